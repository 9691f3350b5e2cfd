"""Fetching over real HTTP: what is asked, what is asked again, what never, and that every wait ends."""

from __future__ import annotations

import gzip
import hashlib
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import traceback
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from etl.errors import FeedRefused, FetchFailed
from etl.fetch.incoming import Fetched, fetch, remember
from standin.feed.command import Market
from standin.feed.server import FeedServer
from vinops.config import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOTS = 1100
KEY = "canary-3c58-90ab-fetch"


@pytest.fixture
def source() -> Iterator[FeedServer]:
    with FeedServer(Market(seed=5, lots=LOTS), key=KEY) as source:
        yield source


@pytest.fixture
def settings(source: FeedServer, tmp_path: Path) -> Settings:
    return Settings(
        copart_csv_url=Secret(source.url),
        data_dir=tmp_path / "data",
        fetch_total_seconds=20,
        fetch_attempts=3,
        feed_min_rows=1000,
    )


class Waits(list[float]):
    """Stands for sleeping: notes how long, and goes on at once."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def fetched(settings: Settings, **more: Any) -> Fetched:
    found = fetch(settings, sleep=Waits(), **more)
    assert found is not None
    return found


def refusal(settings: Settings, sleep: Callable[[float], None] | None = None) -> FeedRefused | FetchFailed:
    """Fetch in vain. The error carries neither the key nor another error, and no file is left."""
    with pytest.raises((FeedRefused, FetchFailed)) as caught:
        fetch(settings, sleep=Waits() if sleep is None else sleep)
    error = caught.value
    assert isinstance(error, (FeedRefused, FetchFailed))
    assert (error.__cause__, error.__context__) == (None, None)
    assert KEY not in "".join(traceback.format_exception(error)) + repr(error.args)
    assert list((settings.data_dir / "incoming").iterdir()) == []
    return error


@contextmanager
def raw_server(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Yield the address of a server that hands every connection to `answer`, after the request was read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    answer(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/sales.csv?authKey={KEY}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


def answering(text: bytes) -> Callable[[socket.socket], object]:
    def answer(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(text)

    return answer


class TestWhatIsAsked:
    def test_the_file_comes_whole(self, source: FeedServer, settings: Settings) -> None:
        found = fetched(settings)
        assert found.path.read_bytes() == source.content
        assert found.path.parent == settings.data_dir / "incoming"
        assert (found.bytes, found.sha256) == (len(source.content), hashlib.sha256(source.content).hexdigest())
        assert found.last_modified == "Wed, 01 Jul 2026 08:00:00 GMT"
        assert found.etag is not None

    def test_no_copy_is_good_enough(self, source: FeedServer, settings: Settings) -> None:
        fetched(settings)
        fetched(settings)
        first, second = source.requests
        assert first.query.keys() == second.query.keys() == {"_"}
        assert first.query != second.query
        assert (first.headers["cache-control"], first.headers["pragma"]) == ("no-cache", "no-cache")
        assert first.headers["host"] == source.base_url.removeprefix("http://")

    def test_the_headers_of_the_member_are_sent(self, settings: Settings) -> None:
        required = {"User-Agent": "Mozilla/5.0 (ops)", "Referer": "https://feed.example/", "X-Member": "17"}
        with FeedServer(Market(seed=5, lots=LOTS), key=KEY, required_headers=required) as strict:
            there = replace(settings, copart_csv_url=Secret(strict.url))
            assert refusal(there).reason == "denied"
            fetched(
                replace(
                    there,
                    copart_csv_user_agent="Mozilla/5.0 (ops)",
                    copart_csv_referer="https://feed.example/",
                    copart_csv_headers={"X-Member": Secret("17")},
                )
            )

    def test_a_condition_is_sent_only_with_the_file_that_the_tables_hold(
        self, source: FeedServer, settings: Settings
    ) -> None:
        first = fetched(settings)
        remember(settings, first)
        assert fetch(settings, have=first.sha256) is None
        assert source.requests[-1].headers["if-none-match"] == first.etag
        assert source.requests[-1].headers["if-modified-since"] == first.last_modified
        for have in (None, "ab" * 32):
            assert fetched(settings, have=have).sha256 == first.sha256
            assert "if-none-match" not in source.requests[-1].headers
        source.advance()
        assert fetched(settings, have=first.sha256).sha256 != first.sha256

    def test_an_answer_of_unchanged_that_was_not_asked_for_is_a_failure(self, settings: Settings) -> None:
        with raw_server(answering(b"HTTP/1.1 304 Not Modified\r\n\r\n")) as url:
            assert refusal(replace(settings, copart_csv_url=Secret(url))).reason == "status"

    def test_two_at_once_do_not_disturb_each_other(self, source: FeedServer, settings: Settings) -> None:
        others: list[Fetched] = []

        def meanwhile(_done: int, _whole: int) -> None:
            if not others:
                others.append(fetched(settings))

        mine = fetched(settings, progress=meanwhile)
        assert mine.path != others[0].path
        assert mine.path.read_bytes() == others[0].path.read_bytes() == source.content

    def test_the_log_says_where_how_much_and_how_it_ended(
        self, settings: Settings, source: FeedServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "etl")
        fetched(settings).path.unlink()
        source.fault("denied_403", times=1)
        refusal(settings)
        done, refused = caplog.messages
        assert f"CSV_URL={source.base_url}/FTPLSTDM/salesdata.cgi?authKey=*** status=200" in done
        assert f"bytes={len(source.content)} seconds=" in done
        assert "status=403" in refused
        assert "reason=denied" in refused


class TestCompressed:
    def test_it_is_decoded_and_measured_on_the_wire(self, source: FeedServer, settings: Settings) -> None:
        source.fault("gzip", times=1)
        told: list[tuple[int, int]] = []
        found = fetched(settings, progress=lambda done, whole: told.append((done, whole)))
        assert "gzip" in source.requests[0].headers["accept-encoding"]
        assert found.path.read_bytes() == source.content
        done, whole = told[-2]
        assert done == whole < len(source.content)

    def test_it_may_not_be_cut_short(self, source: FeedServer, settings: Settings) -> None:
        packed = gzip.compress(source.content)[:-100]
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        with raw_server(answering(head + packed)) as url:
            assert refusal(replace(settings, copart_csv_url=Secret(url))).reason == "truncated"

    def test_another_encoding_is_a_failure(self, settings: Settings) -> None:
        with raw_server(answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nabc")) as url:
            assert refusal(replace(settings, copart_csv_url=Secret(url))).reason == "encoding"


class TestTryingAgain:
    @pytest.mark.parametrize(
        ("fault", "options"),
        [
            ("server_error_500", {}),
            ("server_error_503", {}),
            ("truncated", {"how": "length"}),
            ("reset", {}),
            ("reset", {"at": 0.0}),
            ("rate_limited_429", {"retry_after": 0}),
        ],
    )
    def test_what_passes_is_tried_again(
        self, source: FeedServer, settings: Settings, fault: str, options: dict[str, Any]
    ) -> None:
        source.fault(fault, times=2, **options)
        waits = Waits()
        found = fetch(settings, sleep=waits)
        assert found is not None
        assert found.path.read_bytes() == source.content
        assert len(source.requests) == 3
        assert len(waits) == 2
        assert all(wait > 0 for wait in waits)
        assert len({request.query["_"] for request in source.requests}) == 3

    def test_a_silence_ends_the_attempt_and_not_the_fetch(self, source: FeedServer, settings: Settings) -> None:
        source.fault("stall", times=1)
        quick = replace(settings, fetch_total_seconds=6, fetch_attempts=6)
        assert fetched(quick).path.read_bytes() == source.content
        assert len(source.requests) == 2

    @pytest.mark.parametrize(
        ("fault", "options", "requests"),
        [
            ("server_error_500", {}, 3),
            ("truncated", {"how": "length"}, 3),
            ("reset", {}, 3),
            ("rate_limited_429", {"retry_after": 1}, 3),
            ("denied_403", {}, 1),
            ("html_200", {}, 1),
            ("empty", {}, 1),
            ("short", {}, 1),
            ("wrong_export", {}, 1),
            ("redirect", {}, 1),
            ("redirect", {"to": "other_host"}, 1),
        ],
    )
    def test_only_what_may_pass_and_only_so_often(
        self, source: FeedServer, settings: Settings, fault: str, options: dict[str, Any], requests: int
    ) -> None:
        source.fault(fault, **options)
        refusal(settings)
        assert len([each for each in source.requests if each.path.startswith("/FTPLSTDM")]) == requests

    @pytest.mark.parametrize("status", [404, 410, 418, 501, 206, 204])
    def test_other_answers_are_final(self, settings: Settings, status: int) -> None:
        asked: list[socket.socket] = []

        def answer(client: socket.socket) -> None:
            asked.append(client)
            answering(b"HTTP/1.1 %d Odd\r\nContent-Length: 0\r\n\r\n" % status)(client)

        with raw_server(answer) as url:
            error = refusal(replace(settings, copart_csv_url=Secret(url)))
        assert isinstance(error, FetchFailed)
        assert len(asked) == 1

    def test_the_source_may_ask_for_patience(self, source: FeedServer, settings: Settings) -> None:
        source.fault("rate_limited_429", times=1, retry_after=7)
        waits = Waits()
        assert fetch(settings, sleep=waits) is not None
        assert waits == [7.0]

    def test_for_more_than_the_limit_is_an_end(self, source: FeedServer, settings: Settings) -> None:
        source.fault("rate_limited_429", retry_after=3600)
        waits = Waits()
        assert refusal(settings, waits).reason == "rate_limited"
        assert (waits, len(source.requests)) == ([], 1)

    def test_nobody_there_is_tried_again_and_said(self, settings: Settings) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        waits = Waits()
        error = refusal(replace(settings, copart_csv_url=Secret(f"http://127.0.0.1:{port}/?authKey={KEY}")), waits)
        assert error.reason == "network"
        assert "Connection refused" in str(error)
        assert len(waits) == 2


class TestEveryWaitEnds:
    """Each of these would go on for hours."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, fetch_total_seconds=1, fetch_attempts=1)

    def test_of_a_drip(self, source: FeedServer, settings: Settings) -> None:
        source.fault("slow", rate=100)
        assert refusal(settings).reason == "timeout"

    def test_of_a_silence(self, source: FeedServer, settings: Settings) -> None:
        source.fault("stall", at=0.3)
        assert refusal(settings).reason == "timeout"

    def test_of_a_header_in_drips(self, settings: Settings) -> None:
        over = threading.Event()

        def answer(client: socket.socket) -> None:
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not over.wait(0.05):
                client.sendall(b"x")

        with raw_server(answer) as url:
            assert refusal(replace(settings, copart_csv_url=Secret(url))).reason == "timeout"
            over.set()

    def test_of_a_handshake(self, settings: Settings) -> None:
        over = threading.Event()
        with raw_server(lambda _: over.wait(20)) as url:
            slow = replace(settings, copart_csv_url=Secret(url.replace("http:", "https:")), fetch_connect_seconds=0.3)
            assert refusal(slow).reason in ("timeout", "network")
            over.set()

    def test_of_the_resolver(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()

        def silent(*_: object, **__: object) -> list[object]:
            over.wait(20)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", silent)
        slow = replace(settings, copart_csv_url=Secret(f"https://feed.example/?k={KEY}"), fetch_connect_seconds=0.3)
        assert refusal(slow).reason == "timeout"
        over.set()

    def test_of_compressed_data_that_swells(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("etl.fetch.incoming.MOST_BYTES", 1 << 20)
        packed = gzip.compress(bytes(8 << 20))
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        with raw_server(answering(head + packed)) as url:
            assert refusal(replace(settings, copart_csv_url=Secret(url))).reason == "too_large"


class TestOddAnswers:
    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
            f"authKey={KEY}\r\n\r\n".encode(),
        ],
    )
    def test_what_is_no_http_is_a_failure(self, settings: Settings, text: bytes) -> None:
        with raw_server(answering(text)) as url:
            error = refusal(replace(settings, copart_csv_url=Secret(url)))
        assert (type(error), error.reason) == (FetchFailed, "network")

    @pytest.mark.parametrize("tail", [b"5\r\nab", b"zz\r\nab\r\n", b"5\r\nabcde\r\n", b""])
    def test_chunks_without_an_end_are_cut_short(self, settings: Settings, tail: bytes) -> None:
        with raw_server(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + tail)) as url:
            assert refusal(replace(settings, copart_csv_url=Secret(url))).reason == "truncated"

    def test_a_page_that_repeats_the_key_is_not_quoted(self, settings: Settings) -> None:
        body = f'"authKey={KEY}","authKey={KEY}"\n' * 2000
        with raw_server(answering(b"HTTP/1.1 200 OK\r\n\r\n" + body.encode())) as url:
            refusal(replace(settings, copart_csv_url=Secret(url)))

    def test_a_validator_that_holds_the_key_is_not_kept(self, source: FeedServer, settings: Settings) -> None:
        head = f'HTTP/1.1 200 OK\r\nETag: "{KEY}"\r\nLast-Modified: ä\r\n\r\n'.encode("latin-1")
        with raw_server(answering(head + source.content)) as url:
            found = fetched(replace(settings, copart_csv_url=Secret(url)))
        assert (found.etag, found.last_modified) == (None, None)


class TestRedirects:
    def test_on_the_same_host_are_followed(self, source: FeedServer, settings: Settings) -> None:
        source.fault("redirect", times=3, to=source.url.replace(source.base_url, ""))
        assert fetched(settings).path.read_bytes() == source.content
        assert [request.status for request in source.requests] == [302, 302, 302, 200]

    def test_without_end_are_not(self, source: FeedServer, settings: Settings) -> None:
        source.fault("redirect", to=source.url)
        assert refusal(settings).reason == "redirect"
        assert len(source.requests) == 4

    @pytest.mark.parametrize("with_key", [True, False])
    def test_to_another_server_are_not_and_it_learns_nothing(
        self, source: FeedServer, settings: Settings, *, with_key: bool
    ) -> None:
        with FeedServer(Market(seed=5, lots=LOTS), key=KEY) as other:
            source.fault("redirect", to=f"{other.base_url}/FTPLSTDM/salesdata.cgi", with_key=with_key)
            error = refusal(settings)
            assert other.requests == []
        assert error.reason == "redirect"
        assert "another place" in str(error)

    def test_to_a_host_named_by_the_key_do_not_show_it(self, source: FeedServer, settings: Settings) -> None:
        source.fault("redirect", to=f"https://{KEY}.example/")
        assert refusal(settings).reason == "redirect"

    @pytest.mark.parametrize("to", ["", "ftp://127.0.0.1/x", "//[", "http://127.0.0.1:99999/", "https:"])
    def test_to_nowhere_are_refused(self, source: FeedServer, settings: Settings, to: str) -> None:
        source.fault("redirect", to=to)
        assert refusal(settings).reason == "redirect"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with the openssl tool")
class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> tuple[Path, Path]:
        """A self-signed certificate for localhost, and its key."""
        made, key = tmp_path / "certificate.pem", tmp_path / "certificate.key"
        order = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        order += f" -addext subjectAltName=DNS:localhost -keyout {key} -out {made}"
        subprocess.run(order.split(), check=True, capture_output=True, timeout=60)
        return made, key

    @contextmanager
    def tls_server(self, certificate: tuple[Path, Path], text: bytes, host: str = "localhost") -> Iterator[str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

        def answer(client: socket.socket) -> None:
            with context.wrap_socket(client, server_side=True) as secured:
                answering(text)(secured)
                with suppress(OSError):
                    secured.unwrap()

        with raw_server(answer) as url:
            yield url.replace("http://127.0.0.1", f"https://{host}")

    def test_a_file_comes_over_it(
        self,
        source: FeedServer,
        settings: Settings,
        certificate: tuple[Path, Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        text = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(source.content) + source.content
        with self.tls_server(certificate, text) as url:
            assert fetched(replace(settings, copart_csv_url=Secret(url))).path.read_bytes() == source.content

    def test_a_certificate_of_nobody_ends_it_before_the_key_is_sent(
        self, settings: Settings, certificate: tuple[Path, Path]
    ) -> None:
        with self.tls_server(certificate, b"") as url:
            error = refusal(replace(settings, copart_csv_url=Secret(url)))
        assert error.reason == "tls"
        assert "self-signed certificate" in str(error)

    def test_nor_one_of_another_host(
        self, settings: Settings, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with self.tls_server(certificate, b"", host="127.0.0.1") as url:
            assert refusal(replace(settings, copart_csv_url=Secret(url))).reason == "tls"

    def test_every_wait_ends_there_too(
        self, settings: Settings, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        over = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

        def answer(client: socket.socket) -> None:
            with context.wrap_socket(client, server_side=True) as secured:
                secured.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not over.wait(0.05):
                    secured.sendall(b"x")

        with raw_server(answer) as url:
            there = Secret(url.replace("http://127.0.0.1", "https://localhost"))
            slow = replace(settings, copart_csv_url=there, fetch_total_seconds=1, fetch_attempts=1)
            assert refusal(slow).reason == "timeout"
            over.set()
