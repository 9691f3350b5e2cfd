"""The body: ordinals out, ordinals in."""

from __future__ import annotations

import io

import pytest

from etl.read.body import Stripper, following, restored, tail_of

HEAD = b'"Id","title"\n'


def stripped(*lines: bytes) -> list[bytes]:
    part = Stripper(HEAD, b"\n", has_ordinal=True).strip(b"", list(lines))
    assert part.data == b"\n".join([*part.lines, b""])
    return part.lines


def test_rows_in_order_lose_their_ordinal() -> None:
    assert stripped(b'"1","a"', b'"2","b"') == [b',"a"', b',"b"']


def test_the_change_from_nine_to_ten_is_no_break() -> None:
    assert stripped(*(b'"%d","a"' % number for number in range(1, 12))) == [b',"a"'] * 11


def test_a_row_out_of_order_stands_as_it_is_and_sets_the_count() -> None:
    assert stripped(b'"1","a"', b'"7","b"', b'"8","c"') == [b',"a"', b'"7","b"', b',"c"']


@pytest.mark.parametrize("line", [b',"a"', b"\\", b'\\,"a"', b",", b"\\\\"])
def test_what_looks_like_a_stripped_line_is_marked(line: bytes) -> None:
    assert stripped(line) == [b"\\" + line]
    body = io.BytesIO(HEAD + b"\\" + line + b"\n")
    assert b"".join(restored(body, b"\n", has_ordinal=True)) == HEAD + line + b"\n"


@pytest.mark.parametrize("line", [b'"01","a"', b'"1" ,"a"', b'1,"a"', b'"2","a"', b"", b'"1"'])
def test_what_is_not_the_next_ordinal_stays(line: bytes) -> None:
    assert stripped(line) == [line]


def test_a_file_without_ordinals_is_its_body() -> None:
    lines = [b'"7","a"', b',"b"']
    part = Stripper(HEAD, b"\n", has_ordinal=False).strip(b"raw", lines)
    assert (part.data, part.lines, part.tails) == (b"raw", lines, lines)
    assert b"".join(restored(io.BytesIO(b"anything"), b"\n", has_ordinal=False)) == b"anything"


def test_the_tails_are_the_rows_without_their_first_field() -> None:
    part = Stripper(HEAD, b"\n", has_ordinal=True).strip(b"", [b'"1","a"', b'"9","b"', b"none"])
    assert part.tails == [b',"a"', b',"b"', b"none"]
    assert tail_of(b"none") == b"none"


def test_a_number_too_long_for_an_ordinal_sets_no_count() -> None:
    assert following(b'"%d","a"' % 10**18, 5) == 5
    assert following(b'"%d","a"' % (10**18 - 1), 5) == 10**18
