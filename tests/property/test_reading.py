"""Reading, for any text and any bytes.

    VINOPS_PROPERTY_CASES=50000 .venv/bin/pytest tests/property

tries 50,000 cases of each property (5,000 where each case loads files into the database).
"""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import assume, example, given, strategies as st

from etl.errors import FeedRefused
from etl.merge.diff import Differ, Difference
from etl.read.body import Stripper, restored
from etl.read.file import BLOCK_BYTES, Broken, FeedFile, Record
from etl.store.state import EMPTY, StateWriter
from tests.property.cases import HEADER, crooked_files, many, newlines, texts
from tests.support.feed_files import NAMES, feed_bytes, line, row

LATEST = "2027-01-01T00:00:00Z"
REASONS = {"empty", "html", "short", "header", "wrong_export", "missing_column", "truncated", "unreadable"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.csv"


def read(path: Path, *, block_bytes: int = BLOCK_BYTES) -> list[tuple[int, Record | Broken]]:
    """Return every record of a file, in order, with the number of its line."""
    feed = FeedFile(path, block_bytes=block_bytes)
    records: list[tuple[int, Record | Broken]] = []
    for block in feed.blocks():
        index = 0
        while index < len(block.lines):
            record = feed.record(block.lines, index)
            records.append((block.first_line + index, record))
            index += record.lines if isinstance(record, Record) else 1
    return records


def compared(path: Path, *, block_bytes: int = BLOCK_BYTES) -> tuple[Difference, bytes, bytes]:
    """Return what a file holds against nothing: the difference, the CSV for the database, and the body."""
    feed = FeedFile(path, block_bytes=block_bytes)
    folder = path.parent / uuid4().hex
    sent: list[bytes] = []
    kept: list[bytes] = []
    differ = Differ(
        feed,
        EMPTY,
        send=sent.append,
        keep=lambda part: kept.append(part.data),
        state=StateWriter(folder, "0" * 64, "", feed.separator),
        file_id=1,
        latest=LATEST,
    )
    try:
        found = differ.run(lambda _done: None)
    finally:
        differ._state.drop()
        folder.rmdir()
    return found, b"".join(sent), b"".join(kept)


def written(fields: list[str], newline: bytes) -> list[bytes]:
    """Return the lines of a row as a strict writer has it."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="").writerow(fields)
    return text.getvalue().encode().split(newline)


def read_or_refused(path: Path, *, reasons: set[str]) -> Difference | None:
    """Return what a file holds, or None if it is refused for one of the reasons; anything else is raised."""
    try:
        return compared(path)[0]
    except FeedRefused as refusal:
        if refusal.reason not in reasons or not str(refusal):
            raise
        return None


@many
@given(
    rows=st.lists(st.lists(texts, min_size=len(NAMES) - 1, max_size=len(NAMES) - 1), min_size=1, max_size=3),
    newline=newlines,
)
def test_what_a_strict_writer_wrote_is_read_back(rows: list[list[str]], newline: bytes, path: Path) -> None:
    rows = [[str(number), *fields] for number, fields in enumerate(rows, 1)]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=newline.decode()).writerows(rows)
    data = HEADER + newline + text.getvalue().encode()
    # A record is followed over twenty lines, no farther.
    assume(all(sum(field.count(newline.decode()) for field in fields) < 20 for fields in rows))
    # Nor is a line in the middle of one that has a row's separators, begins and ends like one: it is taken for a row.
    inside = [part for fields in rows for part in written(fields, newline)[1:]]
    assume(not any(part[1:-1].count(b'","') == len(NAMES) - 1 for part in inside))
    path.write_bytes(data)
    assert [record.fields for _, record in read(path) if isinstance(record, Record)] == rows
    assert not any(isinstance(record, Broken) for _, record in read(path))


@many
@given(data=crooked_files())
@example(data=feed_bytes([line(row(1, special_note='12" X'), 1)[:-1]]))
@example(data=feed_bytes([b'",' + line(row(1, special_note='12" X'), 1)]))
def test_any_bytes_after_a_header_are_rows_or_a_refusal(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    found = read_or_refused(path, reasons={"unreadable", "truncated", "html"})
    if found is None:
        return
    assert found.rows_read == len(found.missed) + len(found.rejected)


@many
@given(data=crooked_files())
@example(data=feed_bytes([line(row(1, special_note='12" X'), 1)[:-1]]))
@example(data=feed_bytes([b'",' + line(row(1, special_note='12" X'), 1)]))
def test_what_goes_to_the_database_has_the_columns_of_the_header(data: bytes, path: Path) -> None:
    """One row that COPY cannot take would cost the file."""
    path.write_bytes(data)
    try:
        found, sent, _ = compared(path)
    except FeedRefused:
        return
    rows = list(csv.reader(io.StringIO(sent.decode(), newline=""), strict=True))
    assert [len(fields) for fields in rows] == [len(NAMES) + 3] * len(found.missed)
    assert [int(fields[3 + NAMES.index("lot_number")].strip(" \t\n\r\v\f")) for fields in rows] == list(found.missed)


@many
@given(data=st.one_of(st.binary(max_size=2000), crooked_files().map(lambda data: data[: len(data) * 2 // 3])))
def test_any_bytes_as_a_file_are_rows_or_a_refusal(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    found = read_or_refused(path, reasons=REASONS)
    if found is None:
        return
    assert found.rows_read == len(found.missed) + len(found.rejected)


@many
@given(data=crooked_files(), block_bytes=st.one_of(st.integers(1, 64), st.integers(1, 4000)))
@example(data=feed_bytes([line(row(1, announcements='"'), 1), b'tail"', line(row(2), 3)]), block_bytes=1)
def test_the_size_of_the_blocks_makes_no_difference(data: bytes, block_bytes: int, path: Path) -> None:
    path.write_bytes(data)
    try:
        whole, sent, body = compared(path)
    except FeedRefused as refusal:
        with pytest.raises(FeedRefused, match=f"^{refusal!s:.20}"):
            compared(path, block_bytes=block_bytes)
        return
    parts, sent_in_parts, body_in_parts = compared(path, block_bytes=block_bytes)
    assert parts == whole
    assert sent_in_parts == sent  # with the digests
    assert body_in_parts == body
    assert read(path, block_bytes=block_bytes) == read(path)


ordinals = st.one_of(
    st.integers(0, 12).map(lambda number: b'"%d"' % number),
    st.sampled_from([b'"01"', b'""', b'"-1"', b"1", b'"999999999999999999"', b'"9999999999999999999"', b"\\", b"\\,"]),
)
body_lines = st.lists(
    st.one_of(
        st.tuples(ordinals, st.sampled_from([b',"x"', b",", b"", b' ,"x"', b',"x', b"\\"])).map(b"".join),
        st.binary(max_size=8).map(lambda text: text.replace(b"\n", b"")),
    ),
    max_size=40,
)


@many
@given(
    lines=body_lines,
    newline=newlines,
    cuts=st.lists(st.integers(0, 40)),
    has_ordinal=st.booleans(),
    start=st.integers(1, 12),
)
def test_the_body_gives_back_the_exact_bytes(
    lines: list[bytes], newline: bytes, cuts: list[int], has_ordinal: bool, start: int
) -> None:
    numbered = [b'"%d","row"' % number for number in range(1, start)]
    lines = [*numbered, *lines]
    head = b'"Id","title"' + newline
    stripper = Stripper(head, newline, has_ordinal=has_ordinal)
    edges = sorted({0, len(lines), *(cut for cut in cuts if cut < len(lines))})
    body = stripper.head().data
    for begin, end in pairwise(edges):
        part = lines[begin:end]
        stripped = stripper.strip(newline.join([*part, b""]), part)
        assert len(stripped.lines) == len(stripped.tails) == len(part)
        body += stripped.data
    data = head + newline.join([*lines, b""])
    if newline == b"\r\n":
        assume(not any(each.endswith(b"\r") for each in lines))
    assert b"".join(restored(io.BytesIO(body), newline, has_ordinal=has_ordinal)) == data


@many
@given(lines=body_lines, newline=newlines, cut=st.integers(0, 40))
def test_where_the_body_is_cut_makes_no_difference(lines: list[bytes], newline: bytes, cut: int) -> None:
    head = b'"Id"' + newline
    whole = Stripper(head, newline, has_ordinal=True).strip(b"", lines)
    parts = Stripper(head, newline, has_ordinal=True)
    first, second = parts.strip(b"", lines[:cut]), parts.strip(b"", lines[cut:])
    assert first.lines + second.lines == whole.lines
    assert first.tails + second.tails == whole.tails
