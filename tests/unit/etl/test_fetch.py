"""Fetching without a network: addresses, limits, decompression, and the files in work."""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import logging
import os
import socket
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given, strategies as st

from etl.errors import FeedRefused, FetchFailed, NotLoaded
from etl.fetch import download, incoming as fetch
from etl.fetch.address import Address, parse_address
from etl.fetch.download import Seen
from etl.progress import silent
from etl.read.file import FeedFile
from standin.feed.command import Market
from vinops.config import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "canary-9b41-fetch"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", fetch_total_seconds=5, fetch_attempts=2)


def with_url(settings: Settings, url: str, **more: Any) -> Settings:
    values = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    return Settings(**{**values, "copart_csv_url": Secret(url), **more})


def address(url: str) -> Address:
    found = parse_address(url)
    assert isinstance(found, Address), found
    return found


def incoming(settings: Settings) -> list[str]:
    folder = settings.data_dir / fetch.INCOMING
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


class TestTheAddress:
    @pytest.mark.parametrize(
        ("url", "masked"),
        [
            ("https://feed.example/a/sales.cgi?authKey=abc", "https://feed.example/a/sales.cgi?authKey=***"),
            ("https://feed.example:8443/x?a=1&abc&b=2", "https://feed.example:8443/x?a=***&***&b=***"),
            ("https://feed.example/7f3a9c21d4e8/sales.csv", "https://feed.example/***/sales.csv"),
            ("http://[::1]:80/x", "http://[::1]/x"),
            ("https://feed.example", "https://feed.example/"),
            ("file:///data/salesdata.csv", "file:///data/salesdata.csv"),
        ],
    )
    def test_is_shown_without_what_may_be_a_key(self, url: str, masked: str) -> None:
        assert address(url).masked == masked

    def test_does_not_show_its_key_in_a_traceback(self) -> None:
        assert KEY not in repr(address(f"https://feed.example/{KEY}?authKey={KEY}"))

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("http://feed.example/x?authKey=k", "unencrypted to feed.example"),
            ("http://127.0.0.1.feed.example/x", "unencrypted"),
            ("http://10.0.0.7/x", "unencrypted"),
            ("https://user:word@feed.example/x", "user name"),
            ("https://feed.example:port/x", "cannot be read"),
            ("https://[::1/x", "cannot be read"),
            ("https:///x", "not an https:// address"),
            ("https://feed.example/a b", "percent-encode"),
            ("https://feed.example/a\r\nX: y", "percent-encode"),
            ("https://feed.example/ä", "percent-encode"),
            ("file://elsewhere/sales.csv", "another machine"),
        ],
    )
    def test_is_refused_before_any_connection(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str, problem: str
    ) -> None:
        def connected(*_: object, **__: object) -> NoReturn:
            pytest.fail("a connection was tried")

        monkeypatch.setattr(socket, "getaddrinfo", connected)
        monkeypatch.setattr(socket.socket, "connect", connected)
        with pytest.raises(FetchFailed, match=problem) as failure:
            fetch.fetch(with_url(settings, url))
        assert failure.value.reason == "setting"
        assert str(failure.value).startswith("COPART_CSV_URL ")
        assert incoming(settings) == []

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.4.5.6", "[::1]"])
    def test_http_is_for_this_machine(self, host: str) -> None:
        assert address(f"http://{host}:8080/x").origin == f"http://{host}:8080"

    def test_a_missing_one_is_named(self, settings: Settings) -> None:
        with pytest.raises(FetchFailed, match="COPART_CSV_URL is not set"):
            fetch.fetch(settings)

    def test_a_name_of_this_machine_that_means_another_one_is_not_connected_to(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [there])
        with pytest.raises(FetchFailed, match="another machine"):
            fetch.fetch(with_url(settings, "http://localhost/x"), sleep=lambda _: None)

    def test_a_header_that_cannot_be_sent_is_named_without_its_value(self, settings: Settings) -> None:
        wrong = with_url(settings, "https://feed.example/x", copart_csv_headers={"X-Key": Secret(f"{KEY}ä")})
        with pytest.raises(FetchFailed, match="X-Key") as failure:
            fetch.fetch(wrong)
        assert KEY not in str(failure.value)


class TestFromAFile:
    @pytest.fixture
    def feed(self, tmp_path: Path) -> Path:
        path = tmp_path / "sales data.csv"
        Market(seed=4, lots=1100).write(path)
        return path

    def test_it_is_copied_byte_for_byte(self, settings: Settings, feed: Path) -> None:
        fetched = fetch.fetch(with_url(settings, feed.as_uri()))
        assert fetched is not None
        assert fetched.path.read_bytes() == feed.read_bytes()
        assert (fetched.bytes, fetched.etag, fetched.last_modified) == (feed.stat().st_size, None, None)
        assert fetched.fetched_at.tzinfo is UTC
        assert incoming(settings) == [fetched.path.name]

    def test_it_may_be_missing(self, settings: Settings, tmp_path: Path) -> None:
        with pytest.raises(FetchFailed) as failure:
            fetch.fetch(with_url(settings, (tmp_path / "none.csv").as_uri()))
        assert failure.value.reason == "not_found"

    def test_a_folder_is_no_file(self, settings: Settings, tmp_path: Path) -> None:
        with pytest.raises(FetchFailed, match="names is a folder"):
            fetch.fetch(with_url(settings, tmp_path.as_uri()))

    def test_it_may_be_compressed_with_gzip(self, settings: Settings, feed: Path) -> None:
        content = feed.read_bytes()
        feed.write_bytes(gzip.compress(content))
        fetched = fetch.fetch(with_url(settings, feed.as_uri()))
        assert fetched is not None
        assert fetched.path.read_bytes() == content
        feed.write_bytes(gzip.compress(content)[:-9])
        with pytest.raises(FeedRefused, match="the file is cut short or damaged") as refusal:
            fetch.fetch(with_url(settings, feed.as_uri()))
        assert refusal.value.reason == "truncated"

    @pytest.mark.parametrize("content", [b"", b"<html>", b'"a","b"\n'])
    def test_a_refusal_does_not_tell_of_a_request(self, settings: Settings, feed: Path, content: bytes) -> None:
        feed.write_bytes(content)
        with pytest.raises(FeedRefused) as refusal:
            fetch.fetch(with_url(settings, feed.as_uri()))
        assert "the source refused" not in str(refusal.value)
        assert "the source sent nothing" not in str(refusal.value)

    def test_it_is_read_as_strictly_as_any_other(self, settings: Settings, feed: Path) -> None:
        feed.write_bytes(feed.read_bytes()[:-10])
        with pytest.raises(FeedRefused, match="cut short") as refusal:
            fetch.fetch(with_url(settings, feed.as_uri()))
        assert refusal.value.reason == "truncated"
        assert incoming(settings) == []

    def test_a_source_that_never_ends_is_refused(
        self, settings: Settings, feed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fetch, "MOST_BYTES", 1000)
        with pytest.raises(FeedRefused) as refusal:
            fetch.fetch(with_url(settings, feed.as_uri()))
        assert refusal.value.reason == "too_large"
        assert incoming(settings) == []

    def test_a_full_disk_is_a_failure_that_says_so(
        self, settings: Settings, feed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> NoReturn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(fetch.Part, "write", full)
        with pytest.raises(FetchFailed, match="No space left") as failure:
            fetch.fetch(with_url(settings, feed.as_uri()))
        assert failure.value.reason == "disk"
        assert incoming(settings) == []

    def test_an_interruption_leaves_nothing(
        self, settings: Settings, feed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> NoReturn:
            raise KeyboardInterrupt

        monkeypatch.setattr(fetch.Part, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch(with_url(settings, feed.as_uri()))
        assert incoming(settings) == []

    def test_progress_ends_with_all_of_it(self, settings: Settings, feed: Path) -> None:
        told: list[tuple[int, int]] = []
        fetch.fetch(with_url(settings, feed.as_uri()), progress=lambda done, whole: told.append((done, whole)))
        size = feed.stat().st_size
        assert told[-2:] == [(size, size), (1, 1)]

    def test_the_log_has_one_line_that_names_the_source(
        self, settings: Settings, feed: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "etl")
        fetch.fetch(with_url(settings, feed.as_uri()))
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith("fetch done: CSV_URL=file:///")
        assert f"bytes={feed.stat().st_size}" in caplog.messages[0]

    def test_an_error_carries_no_other_one(self, settings: Settings, tmp_path: Path) -> None:
        with pytest.raises(FetchFailed) as failure:
            fetch.fetch(with_url(settings, (tmp_path / KEY / "none.csv").as_uri()))
        assert (failure.value.__cause__, failure.value.__context__) == (None, None)
        assert KEY not in "".join(traceback.format_exception(failure.value))


class TestLeftovers:
    def test_those_of_the_dead_are_removed_and_those_of_the_living_stay(self, tmp_path: Path) -> None:
        dead, living = tmp_path / "run-dead.part", tmp_path / "run-living.part"
        dead.write_bytes(b"half")
        living.write_bytes(b"half")
        with living.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            fetch._remove_leftovers(tmp_path)
            assert not dead.exists()
            assert living.exists()
        fetch._remove_leftovers(tmp_path)
        assert not living.exists()

    def test_a_file_being_written_is_not_removed(self, tmp_path: Path) -> None:
        with fetch.Part(tmp_path, "run") as part:
            fetch._remove_leftovers(tmp_path)
            part.write(b"one\n")
            part.flush()
            assert part.keep().read_bytes() == b"one\n"
        assert [path.suffix for path in tmp_path.iterdir()] == [".csv"]

    def test_a_file_taken_for_a_leftover_before_it_was_locked_is_made_anew(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = fcntl.flock
        taken: list[Path] = []

        def late(descriptor: int, operation: int) -> None:
            if not taken:
                taken.extend(tmp_path.iterdir())
                taken[0].unlink()
            real(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        with fetch.Part(tmp_path, "run") as part:
            assert part.path.exists()
            assert part.path != taken[0]

    def test_fetched_files_that_nobody_came_for_go_after_a_day(self, tmp_path: Path) -> None:
        old, new = tmp_path / "fetch-old.csv", tmp_path / "fetch-new.csv"
        for path in (old, new):
            path.write_bytes(b"")
        day_ago = datetime.now(UTC).timestamp() - fetch.KEPT_SECONDS - 60
        os.utime(old, (day_ago, day_ago))
        fetch._remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == [new]


class TestWhatWasSeen:
    URL = f"https://feed.example/sales.csv?authKey={KEY}"

    def keep(self, settings: Settings, tmp_path: Path, **more: Any) -> None:
        values = {"etag": '"e"', "last_modified": "Wed, 01 Jul 2026 08:00:00 GMT", **more}
        path = tmp_path / "x.csv"
        fetch.remember(
            settings, fetch.Fetched(path=path, bytes=1, sha256="ab" * 32, fetched_at=datetime.now(UTC), **values)
        )

    def test_is_used_for_the_file_that_the_tables_hold_and_for_no_other(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        settings = with_url(settings, self.URL)
        self.keep(settings, tmp_path)
        where = address(self.URL)
        seen = fetch._seen(settings, where, "ab" * 32)
        assert seen is not None
        assert seen.etag == '"e"'
        assert fetch._seen(settings, where, "cd" * 32) is None
        assert fetch._seen(settings, where, None) is None
        assert fetch._seen(settings, address("https://other.example/sales.csv"), "ab" * 32) is None

    def test_a_new_key_for_the_same_feed_changes_nothing(self, settings: Settings, tmp_path: Path) -> None:
        settings = with_url(settings, self.URL)
        self.keep(settings, tmp_path)
        assert fetch._seen(settings, address("https://feed.example/sales.csv?authKey=new"), "ab" * 32) is not None

    def test_shows_no_key(self, settings: Settings, tmp_path: Path) -> None:
        settings = with_url(settings, self.URL)
        self.keep(settings, tmp_path)
        assert KEY not in (settings.data_dir / fetch.STATE).read_text(encoding="utf-8")
        assert [path.name for path in (settings.data_dir / "state").iterdir()] == ["fetch.json"]

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", '{"etag": "x"}', "\xff", '{"source": 1, "sha256": 2, "other": 3}'],
    )
    def test_what_cannot_be_read_is_as_nothing(self, settings: Settings, text: str) -> None:
        path = settings.data_dir / fetch.STATE
        path.parent.mkdir(parents=True)
        path.write_bytes(text.encode("latin-1"))
        assert fetch._seen(settings, address(self.URL), "ab" * 32) is None

    @pytest.mark.parametrize("etag", ["a\r\nX-Evil: 1", "\xe9", "x" * 500, 7, ""])
    def test_what_cannot_be_sent_is_as_nothing(self, settings: Settings, etag: object) -> None:
        path = settings.data_dir / fetch.STATE
        path.parent.mkdir(parents=True)
        notes = {"source": address(self.URL).source, "sha256": "ab" * 32, "etag": etag, "last_modified": None}
        path.write_text(json.dumps(notes), encoding="utf-8")
        assert fetch._seen(settings, address(self.URL), "ab" * 32) is None


class TestWaiting:
    @pytest.mark.parametrize("attempt", [1, 2, 5, 50, 5000])
    def test_grows_up_to_a_bound(self, attempt: int) -> None:
        waits = [fetch._backoff(attempt, 300) for _ in range(50)]
        most = min(30.0, 2.0 ** min(attempt, 10))
        assert all(most / 2 <= wait <= most for wait in waits)
        assert len(set(waits)) > 1

    def test_shrinks_with_the_limit(self) -> None:
        assert fetch._backoff(1, 1) <= 0.02

    @pytest.mark.parametrize(
        ("text", "seconds"), [("30", 30.0), ("0", 0.0), ("", None), ("soon", None), ("-3", None), ("³", None)]
    )
    def test_as_long_as_the_source_asks(self, text: str, seconds: float | None) -> None:
        assert download._retry_after(answer(text)) == seconds

    def test_until_the_moment_that_the_source_names(self) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
        wait = download._retry_after(answer(later))
        assert wait is not None
        assert 0 < wait <= 100
        assert download._retry_after(answer("Wed, 01 Jul 2020 08:00:00 GMT")) is None


class Answer:
    """An answer of which only the headers count."""

    def __init__(self, headers: Message) -> None:
        self.headers = headers


def answer(retry_after: str) -> Any:
    headers = Message()
    headers["Retry-After"] = retry_after
    return Answer(headers)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        if data[start:end]:
            yield data[start:end]


class TestCompression:
    @given(
        members=st.lists(st.binary(max_size=400), min_size=1, max_size=3),
        cuts=st.lists(st.integers(0, 1500), max_size=8),
    )
    def test_where_the_pieces_are_cut_makes_no_difference(self, members: list[bytes], cuts: list[int]) -> None:
        packed = b"".join(gzip.compress(member) for member in members)
        assert b"".join(download._decoded(pieces(packed, cuts), "gzip")) == b"".join(members)

    @given(data=st.binary(min_size=1, max_size=400), share=st.floats(0, 0.999))
    def test_what_is_cut_short_is_never_taken_for_whole(self, data: bytes, share: float) -> None:
        packed = gzip.compress(data)
        with pytest.raises(FeedRefused) as refusal:
            list(download._decoded([packed[: int(len(packed) * share)]], "gzip"))
        assert refusal.value.reason == "truncated"
        assert refusal.value.is_transient

    @given(data=st.binary(max_size=200))
    def test_any_bytes_give_a_file_or_a_reason(self, data: bytes) -> None:
        with suppress(NotLoaded):
            b"".join(download._decoded([data], "gzip"))

    def test_what_swells_comes_in_pieces(self) -> None:
        size = 5 * download.INFLATED_BYTES
        parts = list(download.gunzipped([gzip.compress(bytes(size))]))
        assert max(map(len, parts)) <= download.INFLATED_BYTES
        assert sum(map(len, parts)) == size

    def test_another_compression_is_refused_by_name(self) -> None:
        with pytest.raises(FetchFailed) as failure:
            list(download._decoded([b"x"], "br"))
        assert failure.value.reason == "encoding"


class TestHeaders:
    def test_ours_win_and_yours_are_sent(self, settings: Settings) -> None:
        settings = with_url(
            settings,
            "https://feed.example/x",
            copart_csv_referer="https://feed.example/",
            copart_csv_headers={"accept-encoding": Secret("br"), "X-Member": Secret("17")},
        )
        job = download.Job(
            settings=settings,
            address=fetch.source(settings),
            seen=Seen(source="s", sha256="a", etag='"e"', last_modified="Wed"),
            deadline=0,
            progress=silent,
        )
        headers = download._headers(job)
        assert headers["X-Member"] == "17"
        assert headers["Referer"] == "https://feed.example/"
        assert headers["Accept-Encoding"] == "gzip, identity"
        assert "accept-encoding" not in headers
        assert (headers["If-None-Match"], headers["If-Modified-Since"]) == ('"e"', "Wed")


def test_a_kept_file_is_a_feed_file(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    Market(seed=4, lots=1000).write(path)
    fetched = fetch.fetch(with_url(settings, path.as_uri()))
    assert fetched is not None
    assert FeedFile(fetched.path).width == 59
