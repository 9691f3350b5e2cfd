"""Lines into records: which attempt reads what, and what is refused as no feed at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.errors import FeedRefused
from etl.read.file import MOST_BROKEN_BYTES, MOST_JOINED_LINES, Broken, FeedFile, Record
from tests.support.feed_files import NAMES, feed_bytes, line, row

NOTE = NAMES.index("special_note")
LAST = NAMES.index("announcements")


def feed(tmp_path: Path, data: bytes, *, block_bytes: int = 1 << 20) -> FeedFile:
    path = tmp_path / "sales.csv"
    path.write_bytes(data)
    return FeedFile(path, block_bytes=block_bytes)


def first(tmp_path: Path, *lines: bytes) -> Record | Broken:
    """Return the record that begins at the first of some lines."""
    return feed(tmp_path, feed_bytes([])).record(list(lines), 0)


def read(tmp_path: Path, *lines: bytes) -> Record:
    record = first(tmp_path, *lines)
    assert isinstance(record, Record), record
    return record


@pytest.mark.parametrize(
    ("written", "note", "repaired"),
    [
        ("plain", "plain", False),
        ("a, b", "a, b", False),
        ('12" X', '12" X', True),
        ('"125" SLEEPER CAB', '"125" SLEEPER CAB', True),
        ('12"" X', '12" X', False),
        ('"",""', '","', False),
        ("", "", False),
        ("  padded  ", "  padded  ", False),
        ("back\\slash", "back\\slash", False),
    ],
)
def test_a_field_is_read(tmp_path: Path, written: str, note: str, repaired: bool) -> None:
    record = read(tmp_path, line(row(1, special_note=written), 1))
    assert (record.fields[NOTE], record.lines, record.repaired) == (note, 1, repaired)
    assert len(record.fields) == len(NAMES)


def test_a_line_break_in_a_field_joins_the_lines(tmp_path: Path) -> None:
    lines = line(row(1, special_note="a\n\nb"), 1).split(b"\n")
    record = read(tmp_path, *lines, line(row(2), 2))
    assert (record.fields[NOTE], record.lines) == ("a\n\nb", 3)


def test_a_line_break_beside_a_lone_quote_joins_the_lines(tmp_path: Path) -> None:
    lines = line(row(1, special_note='a 12" b\nc'), 1).split(b"\n")
    record = read(tmp_path, *lines, line(row(2), 2))
    assert (record.fields[NOTE], record.lines, record.repaired) == ('a 12" b\nc', 2, True)


def test_an_escaped_separator_does_not_end_the_joining(tmp_path: Path) -> None:
    lines = line(row(1, announcements='"",""\n'), 1).split(b"\n")
    assert read(tmp_path, *lines).fields[LAST] == '","\n'


def test_a_row_of_its_own_is_never_joined_to_the_broken_one_before(tmp_path: Path) -> None:
    broken = first(tmp_path, line(row(1), 1)[:200], line(row(2), 2))
    assert isinstance(broken, Broken)
    assert broken.reason == "field_count"


def test_a_record_is_followed_over_so_many_lines_and_no_farther(tmp_path: Path) -> None:
    for breaks, expected in ((MOST_JOINED_LINES - 1, Record), (MOST_JOINED_LINES, Broken)):
        lines = line(row(1, special_note="\n" * breaks), 1).split(b"\n")
        assert isinstance(first(tmp_path, *lines), expected)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "blank"),
        (b" \t", "blank"),
        (line(row(1), 1) + b',""', "field_count"),
        (line(row(1), 1)[:-3], "field_count"),
        (b"x" + line(row(1), 1)[:-1], "quotes"),
        (line(row(1, special_note="a\0b"), 1), "nul"),
        (line(row(1), 1).replace(b"FORD", b"F\xd6RD"), "encoding"),
        (line(row(1), 1).replace(b"FORD", b"F\xed\xa0\x80D"), "encoding"),
    ],
)
def test_a_bad_row_has_a_reason(tmp_path: Path, bad: bytes, reason: str) -> None:
    broken = first(tmp_path, bad, line(row(2), 2))
    assert isinstance(broken, Broken)
    assert broken.reason == reason
    assert broken.detail


@pytest.mark.parametrize(
    "text",
    [
        line(row(1, special_note='12" X'), 1)[:-1],
        b'",' + line(row(1, special_note='12" X'), 1),
        line(row(1, special_note='12" X'), 1),
        line(row(1, special_note='a""b'), 1),
        line(row(1), 1) + b"\r",
    ],
)
def test_a_line_whose_quotes_do_more_than_enclose_fields_is_not_clean(tmp_path: Path, text: bytes) -> None:
    assert not feed(tmp_path, feed_bytes([])).is_clean(text)


def test_a_plain_line_is_clean(tmp_path: Path) -> None:
    assert feed(tmp_path, feed_bytes([])).is_clean(line(row(1, special_note=", a, b ,"), 1))


def test_blocks_end_behind_a_row_that_nothing_can_follow(tmp_path: Path) -> None:
    """The first row is one by itself, by its separators, and goes on in the next line, by the rules of CSV."""
    data = feed_bytes([line(row(1, announcements='"'), 1), b'tail"', line(row(2), 2)])
    blocks = list(feed(tmp_path, data, block_bytes=1).blocks())
    assert [(block.first_line, len(block.lines)) for block in blocks] == [(2, 3)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"\xef\xbb\xbf", "short"),
        (b"<!DOCTYPE html>\n<p>no</p>\n", "html"),
        (b"\xef\xbb\xbf  <html>\n", "html"),
        (b"Denied <html lang=en>\n", "html"),
        (b"no line end", "short"),
        (feed_bytes([row(1)])[:-1], "truncated"),
        (feed_bytes([row(1)], newline=b"\r\n")[:-2] + b"\n", "truncated"),
        (b'"Id,"VIN\n', "header"),
        (b'"I\0d"\n', "header"),
        (b'"I\xffd"\n', "header"),
        (b'"a","b"\n', "wrong_export"),
    ],
)
def test_what_is_no_whole_feed_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(FeedRefused) as refusal:
        feed(tmp_path, data)
    assert refusal.value.reason == reason


def test_far_too_much_text_without_a_row_is_refused(tmp_path: Path) -> None:
    reader = feed(tmp_path, feed_bytes([]) + b"x" * (MOST_BROKEN_BYTES + (2 << 20)) + b"\n")
    with pytest.raises(FeedRefused) as refusal:
        list(reader.blocks())
    assert refusal.value.reason == "unreadable"


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FeedFile(tmp_path / "none.csv")
