"""The stand-in feed over real HTTP: it answers as the real one does, and every fault can be seen from outside."""

from __future__ import annotations

import csv
import gzip
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from standin.feed import command as feed
from standin.feed.command import QUIRKS, Market, inject, site_export
from standin.feed.live import LiveFeed
from standin.feed.server import FAULT_NAMES, FAULTS, FeedServer
from standin.refusals import REFUSALS
from tests.support.children import child

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LOTS = 1200
KEY = "canary-6e1d"


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, *, method: str = "GET", body: object = None, timeout: float = 20, **headers: str) -> Answer:
    """One request on a connection of its own; redirects are not followed, nothing is decoded."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        text = None if body is None else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), text, named)
        response = connection.getresponse()
        content = response.read()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=fields, body=content)
    finally:
        connection.close()


def test_with_a_speed_the_next_file_comes_by_itself() -> None:
    feed = LiveFeed(lots=60)
    began = feed.now
    with FeedServer(feed, key=KEY, speed=9000) as server:
        first = ask(server.url)
        while feed.now < began + timedelta(minutes=45):
            time.sleep(0.01)
        assert ask(server.url).headers["last-modified"] != first.headers["last-modified"]
    with pytest.raises(ValueError, match="at least 0"):
        FeedServer(feed, speed=-1)


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer(Market(seed=6, lots=LOTS), key=KEY) as server:
        yield server


class TestTheFeed:
    def test_the_file_comes_whole_with_its_length_and_validators(self, server: FeedServer) -> None:
        answer = ask(server.url)
        buffer = io.BytesIO()
        server.market.write(buffer)
        assert answer.status == 200
        assert answer.body == buffer.getvalue() == server.content
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert answer.headers["etag"].startswith('"')
        assert answer.headers["last-modified"] == "Wed, 01 Jul 2026 08:00:00 GMT"
        assert "text/csv" in answer.headers["content-type"]

    def test_a_client_that_has_the_file_gets_304(self, server: FeedServer) -> None:
        known = ask(server.url).headers
        conditions: list[dict[str, Any]] = [
            {"If_None_Match": known["etag"]},
            {"If_Modified_Since": known["last-modified"]},
        ]
        for condition in conditions:
            answer = ask(server.url, **condition)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["etag"] == known["etag"]
        server.advance()
        for condition in conditions:
            assert ask(server.url, **condition).status == 200

    def test_an_etag_wins_over_a_date(self, server: FeedServer) -> None:
        modified = ask(server.url).headers["last-modified"]
        assert ask(server.url, If_None_Match='"other"', If_Modified_Since=modified).status == 200

    def test_a_broken_condition_is_no_condition(self, server: FeedServer) -> None:
        assert ask(server.url, If_Modified_Since="yesterday").status == 200

    def test_ranges_are_not_supported(self, server: FeedServer) -> None:
        answer = ask(server.url, Range="bytes=100-200")
        assert (answer.status, len(answer.body)) == (200, len(server.content))

    @pytest.mark.parametrize("query", ["", "?authKey=", "?authKey=wrong", "?key=canary-6e1d"])
    def test_a_wrong_key_is_refused_with_status_200(self, server: FeedServer, query: str) -> None:
        answer = ask(f"{server.base_url}/FTPLSTDM/salesdata.cgi{query}")
        assert (answer.status, answer.body) == (200, REFUSALS["denied"].encode())
        assert "text/html" in answer.headers["content-type"]
        assert not server.requests[-1].key_accepted

    def test_required_headers_are_required(self) -> None:
        with FeedServer(Market(lots=10), required_headers={"User-Agent": "Mozilla", "Referer": ""}) as server:
            assert ask(server.url).status == 403
            assert ask(server.url, User_Agent="curl/8", Referer="https://example.org/").status == 403
            assert ask(server.url, User_Agent="Mozilla/5.0").status == 403
            assert ask(server.url, User_Agent="Mozilla/5.0", Referer="https://example.org/").status == 200
            assert [request.status for request in server.requests] == [403, 403, 403, 200]

    def test_advance_serves_the_next_file(self, server: FeedServer) -> None:
        first = ask(server.url)
        advance = server.advance(changed=0.1, gone=0.05)
        second = ask(server.url)
        rows = list(csv.DictReader(io.StringIO(second.body.decode())))
        assert len(rows) == advance.rows
        assert not {str(lot) for lot in advance.gone} & {row["Lot number"] for row in rows}
        assert first.headers["etag"] != second.headers["etag"]
        assert second.headers["last-modified"] == "Wed, 01 Jul 2026 08:15:00 GMT"

    def test_what_was_asked_is_kept_without_the_key(self, server: FeedServer) -> None:
        ask(f"{server.url}&_=1751356800", Cache_Control="no-cache", If_None_Match='"x"')
        request = server.requests[-1]
        assert (request.method, request.path, request.query) == ("GET", "/FTPLSTDM/salesdata.cgi", {"_": "1751356800"})
        assert request.headers["cache-control"] == "no-cache"
        assert request.headers["if-none-match"] == '"x"'
        assert (request.key_accepted, request.status, request.fault) == (True, 200, None)
        assert KEY not in repr(server.requests)

    def test_only_loopback_is_served(self) -> None:
        with pytest.raises(ValueError, match="loopback only"):
            FeedServer(Market(lots=1), host="0.0.0.0")

    def test_a_taken_port_is_an_error_of_the_caller(self, server: FeedServer) -> None:
        with pytest.raises(OSError, match="address already in use"):
            FeedServer(Market(lots=1), port=server.port).start()

    def test_the_port_is_closed_after_the_block(self) -> None:
        with FeedServer(Market(lots=1)) as server:
            url = server.url
            assert ask(url).status == 200
        with pytest.raises(ConnectionRefusedError):
            ask(url)


class TestControl:
    def test_advance_over_http(self, server: FeedServer) -> None:
        answer = ask(f"{server.base_url}/control/advance", method="POST", body={"gone": 0.1, "minutes": 30})
        counts = json.loads(answer.body)
        assert (answer.status, counts["gone"], counts["now"]) == (200, LOTS // 10, "2026-07-01T08:30:00+00:00")
        assert ask(f"{server.base_url}/control/advance", method="POST").status == 200

    def test_faults_over_http(self, server: FeedServer) -> None:
        control = f"{server.base_url}/control/fault"
        order = {"name": "html_200", "times": None, "options": {"kind": "interruption"}}
        assert ask(control, method="POST", body=order).status == 200
        assert b"Pardon Our Interruption" in ask(server.url).body
        assert b"Pardon Our Interruption" in ask(server.url).body
        assert ask(control, method="DELETE").status == 200
        assert ask(server.url).body == server.content

    def test_requests_over_http(self, server: FeedServer) -> None:
        ask(server.url)
        asked = json.loads(ask(f"{server.base_url}/control/requests").body)
        assert [(request["path"], request["status"]) for request in asked] == [("/FTPLSTDM/salesdata.cgi", 200)]

    @pytest.mark.parametrize(
        "order",
        [{"name": "nonsense"}, {}, [], {"name": "slow", "options": {"speed": 3}}, {"name": "empty", "times": 0}],
    )
    def test_a_wrong_order_is_refused_and_changes_nothing(self, server: FeedServer, order: object) -> None:
        answer = ask(f"{server.base_url}/control/fault", method="POST", body=order)
        assert answer.status == 400
        assert json.loads(answer.body)["error"]
        assert ask(server.url).body == server.content

    def test_a_wrong_advance_is_refused(self, server: FeedServer) -> None:
        assert ask(f"{server.base_url}/control/advance", method="POST", body={"speed": 1}).status == 400

    def test_faults_wait_for_their_turn(self, server: FeedServer) -> None:
        server.fault("server_error_503", times=2)
        server.fault("denied_403", times=1)
        assert [ask(server.url).status for _ in range(4)] == [503, 503, 403, 200]
        assert [request.fault for request in server.requests] == [
            "server_error_503",
            "server_error_503",
            "denied_403",
            None,
        ]


class TestFaults:
    @pytest.mark.parametrize("kind", REFUSALS)
    def test_html_200(self, server: FeedServer, kind: str) -> None:
        server.fault("html_200", kind=kind)
        answer = ask(server.url)
        assert (answer.status, answer.body) == (200, REFUSALS[kind].encode())
        assert "text/html" in answer.headers["content-type"]

    @pytest.mark.parametrize(
        ("name", "status"), [("denied_403", 403), ("server_error_500", 500), ("server_error_503", 503)]
    )
    def test_error_statuses_then_fine(self, server: FeedServer, name: str, status: int) -> None:
        server.fault(name, times=1)
        assert [ask(server.url).status, ask(server.url).status] == [status, 200]

    def test_rate_limited_429(self, server: FeedServer) -> None:
        server.fault("rate_limited_429", times=1, retry_after=7)
        server.fault("rate_limited_429", times=1, retry_after=60, as_date=True)
        first, second = ask(server.url), ask(server.url)
        assert (first.status, first.headers["retry-after"]) == (429, "7")
        assert (second.status, second.headers["retry-after"]) == (429, "Wed, 01 Jul 2026 08:01:00 GMT")

    def test_truncated_against_its_own_content_length(self, server: FeedServer) -> None:
        server.fault("truncated")
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(server.url)
        assert server.content.startswith(caught.value.partial)
        assert len(caught.value.partial) + (caught.value.expected or 0) == len(server.content)

    @pytest.mark.parametrize("how", ["chunked", "file"])
    def test_truncated_without_a_sign_in_the_protocol(self, server: FeedServer, how: str) -> None:
        server.fault("truncated", how=how)
        answer = ask(server.url)
        assert server.content.startswith(answer.body)
        assert 0.5 < len(answer.body) / len(server.content) < 0.7
        assert not answer.body.endswith(b"\n")
        assert ("content-length" in answer.headers) == (how == "file")

    def test_empty(self, server: FeedServer) -> None:
        server.fault("empty", times=1)
        server.fault("empty", times=1, header=True)
        first, second = ask(server.url), ask(server.url)
        assert (first.status, first.body, first.headers["content-length"]) == (200, b"", "0")
        assert second.body == server.content.split(b"\n")[0] + b"\n"

    def test_short(self, server: FeedServer) -> None:
        server.fault("short")
        answer = ask(server.url)
        assert server.content.startswith(answer.body)
        assert answer.body.count(b"\n") == 1000
        assert answer.body.endswith(b"\n")

    def test_slow(self) -> None:
        with FeedServer(Market(lots=20)) as server:
            server.fault("slow", rate=100_000)
            assert ask(server.url).body == server.content

    def test_slow_comes_in_drips(self, server: FeedServer) -> None:
        server.fault("slow", rate=2000)
        with socket.create_connection((server.host, server.port), timeout=20) as connection:
            parts = urlsplit(server.url)
            connection.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            seen = b""
            while seen.count(b"\n") < 12:
                piece = connection.recv(65536)
                assert 0 < len(piece) < 20_000
                seen += piece

    def test_stall(self, server: FeedServer) -> None:
        server.fault("stall")
        with pytest.raises(TimeoutError):
            ask(server.url, timeout=0.5)
        assert server.requests[-1].status == 200

    def test_stall_ends_when_it_is_told_to(self, server: FeedServer) -> None:
        server.fault("stall", seconds=0.1)
        with pytest.raises(http.client.IncompleteRead):
            ask(server.url)

    def test_reset(self, server: FeedServer) -> None:
        server.fault("reset")
        with pytest.raises(ConnectionResetError):
            ask(server.url)

    def test_stale_always(self, server: FeedServer) -> None:
        before = server.content
        server.advance()
        server.fault("stale")
        answer = ask(f"{server.url}&_=1")
        assert answer.body == before != server.content
        assert (answer.headers["cf-cache-status"], answer.headers["age"]) == ("HIT", "900")

    def test_stale_unless_the_cache_is_busted(self, server: FeedServer) -> None:
        before = server.content
        server.advance()
        server.fault("stale", when="without_cache_busting")
        assert ask(server.url).body == before
        assert ask(server.url, Cache_Control="no-cache").body == before
        fresh = ask(f"{server.url}&_=1")
        assert fresh.body == server.content
        assert fresh.headers["cf-cache-status"] == "DYNAMIC"

    def test_wrong_export(self, server: FeedServer) -> None:
        server.fault("wrong_export")
        answer = ask(server.url)
        assert answer.body == site_export(server.market)
        assert answer.body.startswith(b"Lot URL,Lot #,")

    def test_shrunk(self, server: FeedServer) -> None:
        server.fault("shrunk", keep=0.5)
        answer = ask(server.url)
        assert server.content.startswith(answer.body)
        assert answer.body.count(b"\n") == 1 + LOTS // 2
        assert int(answer.headers["content-length"]) == len(answer.body)

    def test_redirect_to_the_login_page(self, server: FeedServer) -> None:
        server.fault("redirect")
        answer = ask(server.url)
        assert (answer.status, answer.headers["location"]) == (302, f"{server.base_url}/login")
        assert ask(answer.headers["location"]).body == REFUSALS["login"].encode()
        assert KEY not in str(answer.headers)

    def test_redirect_to_another_host_that_would_even_answer(self, server: FeedServer) -> None:
        server.fault("redirect", to="other_host", with_key=True)
        location = ask(server.url).headers["location"]
        assert location == f"http://localhost:{server.port}/elsewhere/salesdata.csv?authKey={KEY}"
        assert ask(location.replace("localhost", "127.0.0.1")).body == server.content
        assert (server.requests[-1].path, server.requests[-1].key_accepted) == ("/elsewhere/salesdata.csv", True)

    def test_redirect_anywhere(self, server: FeedServer) -> None:
        server.fault("redirect", to="https://elsewhere.invalid/")
        assert ask(server.url).headers["location"] == "https://elsewhere.invalid/"

    def test_gzip(self, server: FeedServer) -> None:
        server.fault("gzip")
        answer = ask(server.url)
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.body) == server.content

    @pytest.mark.parametrize("name", [name for name in QUIRKS if name not in FAULTS])
    def test_every_quirk_is_a_fault(self, server: FeedServer, name: str) -> None:
        server.fault(name, times=1, count=4, seed=2)
        damaged, _ = inject(server.content, name, count=4, seed=2)
        answer = ask(server.url)
        assert answer.body == damaged != server.content
        assert int(answer.headers["content-length"]) == len(damaged)
        assert ask(server.url).body == server.content

    def test_unknown_names_and_options_are_refused(self, server: FeedServer) -> None:
        with pytest.raises(ValueError, match="unknown fault 'nonsense'"):
            server.fault("nonsense")
        with pytest.raises(ValueError, match="has no option speed: its options are rate"):
            server.fault("slow", speed=1)

    def test_every_fault_has_its_test(self) -> None:
        tested = {
            "html_200", "denied_403", "server_error_500", "server_error_503", "rate_limited_429", "truncated", "empty",
            "short", "slow", "stall", "reset", "stale", "wrong_export", "shrunk", "redirect", "gzip",
        }  # fmt: skip
        assert set(FAULT_NAMES) == tested | set(QUIRKS)

    @pytest.mark.parametrize("name", ["stall", "slow"])
    def test_the_server_stops_in_the_middle_of_an_answer(self, name: str) -> None:
        server = FeedServer(Market(lots=LOTS))
        server.start()
        server.fault(name)
        with socket.create_connection((server.host, server.port), timeout=20) as connection:
            parts = urlsplit(server.url)
            connection.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            server.stop()
            while connection.recv(1 << 20):
                pass


class TestCommandLine:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_serve_says_where_and_stops_cleanly(self, number: signal.Signals) -> None:
        environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(Path(feed.__file__).parents[1])}
        command = [sys.executable, "-W", "error", "-m", "standin.feed", "serve", "--rows", "50", "--key", KEY]
        with child(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            url = json.loads(process.stdout.readline())["url"]
            assert url.endswith(f"/FTPLSTDM/salesdata.cgi?authKey={KEY}")
            assert ask(url).body.count(b"\n") == 51
            process.send_signal(number)
            assert process.wait(20) == 0
            assert process.stderr.read() == b""

    def test_a_host_that_is_not_loopback_is_an_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert feed.main(["serve", "--host", "0.0.0.0", "--rows", "1"]) == 1
        assert "loopback only" in capsys.readouterr().err
