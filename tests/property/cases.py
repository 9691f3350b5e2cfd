"""How many cases the property tests try, and the feed files that they try."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings, strategies as st

from tests.support.feed_files import NAMES, TITLE, line as line_of, quoted, row

CASES: Final = int(os.environ.get("VINOPS_PROPERTY_CASES", "50"))
LOADS_SHARE: Final = 10
"""One case of so many is tried where each case loads files into the database."""

_CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
many = settings(max_examples=CASES, deadline=None, derandomize=False, suppress_health_check=_CHECKS)
few = settings(many, max_examples=max(10, CASES // LOADS_SHARE))

TOKENS: Final = ('"', ",", '","', '""', "\n", "\r", "\r\n", "\\", "\\.", " ", "'", "é", "\ufeff", "\u2028", "\x1c")

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.lists(st.one_of(st.sampled_from(TOKENS), st.text(characters, max_size=6)), max_size=5).map("".join)


@st.composite
def crooked_lines(draw: st.DrawFn) -> bytes:
    """Draw a line that was a row of the feed until something was put into it, taken out or cut off."""
    lot = draw(st.integers(1, 9))
    text = line_of(row(lot, special_note=draw(st.sampled_from(["", "WITH KEYS", "é"]))), draw(st.integers(1, 9)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.one_of(st.integers(0, len(text)), st.sampled_from([0, 1, 2, len(text) - 1, len(text)])))
        length = draw(st.sampled_from([0, 0, 0, 1, 2, 3, 40]))
        new = draw(st.sampled_from([b"", b'"', b",", b'","', b'""', b"\n", b"\r", b"\0", b"\xff", b"\\", b"\xc2\xa0"]))
        text = text[:at] + new + text[at + length :]
    return text


HEADER: Final = quoted(TITLE[name] for name in NAMES)

rows_of_text = st.lists(st.one_of(crooked_lines(), st.binary(max_size=40), st.just(b"")), max_size=8)
newlines = st.sampled_from([b"\n", b"\r\n"])


@st.composite
def crooked_files(draw: st.DrawFn) -> bytes:
    """Draw a file of which the header is right and the rest is anything."""
    newline = draw(newlines)
    start = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return start + newline.join([HEADER, *draw(rows_of_text), b""])
