"""A file given to `ingest`: gzip is taken, anything else that is no feed file is refused by what it is."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from etl.errors import NotLoaded
from etl.fetch import given, incoming
from vinops.config import Settings

if TYPE_CHECKING:
    from pathlib import Path

FEED = b'"Lot number"\n"1"\n' * 200_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def left(settings: Settings) -> list[Path]:
    return [path for path in settings.data_dir.rglob("*") if path.is_file()]


def refusal(settings: Settings, path: Path) -> tuple[str, str]:
    with pytest.raises(NotLoaded) as error, given.plain(settings, path):
        pytest.fail("it was taken")
    assert left(settings) == []
    return error.value.reason, str(error.value)


def test_a_plain_file_is_given_as_it_is(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(FEED)
    with given.plain(settings, path) as found:
        assert found == path
    assert path.read_bytes() == FEED


@pytest.mark.parametrize("name", ["sales.csv.gz", "sales.csv"])
def test_gzip_is_known_by_its_first_bytes_and_its_copy_goes(settings: Settings, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(FEED[:9]) + gzip.compress(FEED[9:]))  # as `cat one.gz two.gz` makes
    with given.plain(settings, path) as found:
        assert found.read_bytes() == FEED
        assert found != path
    assert left(settings) == []


@pytest.mark.parametrize("cut", [slice(None, -20), slice(None, 12)])
def test_gzip_that_is_cut_short_is_refused(settings: Settings, tmp_path: Path, cut: slice) -> None:
    path = tmp_path / "sales.csv.gz"
    path.write_bytes(gzip.compress(FEED)[cut])
    reason, message = refusal(settings, path)
    assert reason == "truncated"
    assert "is cut short or damaged (the compressed data has no end): get it again" in message


def test_gzip_that_is_damaged_is_refused(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv.gz"
    path.write_bytes(b"\x1f\x8b" + b"no gzip after all" * 9)
    assert refusal(settings, path)[0] == "truncated"


def test_gzip_of_more_than_any_feed_has_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "MOST_BYTES", 1 << 21)
    path = tmp_path / "sales.csv.gz"
    path.write_bytes(gzip.compress(b"x" * (1 << 22)))
    assert refusal(settings, path)[0] == "too_large"


@pytest.mark.parametrize(
    ("magic", "says"),
    [
        (b"\x28\xb5\x2f\xfd", "`python -m etl cat STAMP`"),
        (b"PK\x03\x04", "a ZIP file"),
        (b"BZh9", "bunzip2"),
        (b"\xfd7zXZ\x00", "unxz"),
    ],
)
def test_another_compression_is_refused_with_what_unpacks_it(
    settings: Settings, tmp_path: Path, magic: bytes, says: str
) -> None:
    path = tmp_path / "sales.bin"
    path.write_bytes(magic + b"\0" * 50)
    reason, message = refusal(settings, path)
    assert reason == "compressed"
    assert says in message


def test_what_is_no_file_is_refused_before_it_is_opened(settings: Settings, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refusal(settings, tmp_path) == ("not_a_file", f"{tmp_path} is a folder: name the feed's CSV file")
    assert "a pipe or a device" in refusal(settings, pipe)[1]
    with pytest.raises(FileNotFoundError), given.plain(settings, tmp_path / "nothing.csv"):
        pass
