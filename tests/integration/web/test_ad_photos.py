"""Photos of ads: by ad and number only, from hosts on a list, decoded with limits, kept under a cap."""

from __future__ import annotations

import asyncio
import io
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web as http
from PIL import Image

from standin.cars import picture
from standin.photos.pictures import png_bomb, scan_bomb, webp_bomb
from tests.support.sites import ads_on_board, running, signed_in
from vinops.config import Settings
from web.photos.ads import MOST_BYTES, AdPhotos, PublicResolver
from web.photos.cache import Cache
from web.photos.errors import PhotoError
from web.photos.maker import Maker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg
    from psycopg.rows import TupleRow

    Database = psycopg.Connection[TupleRow]


class Host:
    """A host of photos on loopback: `answers` by path; it counts the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: http.Request) -> http.StreamResponse:
        self.asked.append(request.path)
        found = self.answers.get(request.path)
        if isinstance(found, bytes):
            return http.Response(body=found, content_type="image/webp")
        return http.Response(status=found or 404, headers={"Location": "/good"} if found == 302 else {})


@pytest.fixture
def host() -> Iterator[Host]:
    import threading

    found, loop = Host(), asyncio.new_event_loop()
    ready = threading.Event()

    app = http.Application()
    app.router.add_get("/{path:.*}", found.answer)
    runner = http.AppRunner(app)

    async def serve() -> None:
        await runner.setup()
        site = http.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        loop.call_soon(ready.set)

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ready.wait(10)
    yield found
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_a_photo_is_fetched_once_and_made_smaller(database: Database, settings: Settings, host: Host) -> None:
    host.answers = {"/good": picture(0, 0, 0)}
    (listing,) = ads_on_board(database)
    database.execute("update listings set photo_urls = %s", [[f"{host.url}/good"]])
    with running(replace(settings, mobile_bg_url=host.url, pace="none")) as (site, client):
        signed_in(site, client, database, "viewer")
        large = client.get(f"/ads/{listing}/photos/1")
        small = client.get(f"/ads/{listing}/photos/1?size=small")
        again = client.get(f"/ads/{listing}/photos/1", headers={"If-None-Match": large.headers["etag"]})
        assert client.get(f"/ads/{listing}/photos/2").status_code == 404
        assert client.get(f"/ads/{listing}/photos/1?size=huge").status_code == 404
    assert (large.status_code, small.status_code, again.status_code) == (200, 200, 304)
    assert large.headers["content-type"] == small.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(small.content)).size == (480, 360)
    assert host.asked == ["/good"]
    assert database.execute("select host, requests from ops.host_budgets").fetchall() == [(host.url[7:], 1)]


def test_a_photo_that_is_gone_is_not_asked_for_with_each_page(
    database: Database, settings: Settings, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answers = {"/page": b"<html>"}
    (listing,) = ads_on_board(database)
    database.execute("update listings set photo_urls = %s", [[f"{host.url}/gone", f"{host.url}/page"]])
    with running(replace(settings, mobile_bg_url=host.url, pace="none")) as (site, client):
        signed_in(site, client, database, "viewer")
        asked = [client.get(f"/ads/{listing}/photos/{number}").status_code for number in (1, 2, 1, 2)]
        assert (asked, host.asked) == ([404, 502, 404, 502], ["/gone", "/page"])
        monkeypatch.setattr(site.photos._making, "_seconds", {"absent": 3600.0, "damaged": 0.0})
        client.get(f"/ads/{listing}/photos/1")
        client.get(f"/ads/{listing}/photos/2")
    assert host.asked == ["/gone", "/page", "/page"]


@pytest.mark.parametrize("change", ["open_until = now() + interval '1 hour'", "next_at = now() + interval '1 hour'"])
def test_a_host_that_asked_for_a_pause_is_not_asked(
    database: Database, settings: Settings, host: Host, change: str
) -> None:
    """Crawls and pages share one budget: what a crawl was told holds here too."""
    host.answers = {"/good": picture(0, 0, 0)}
    (listing,) = ads_on_board(database)
    database.execute("update listings set photo_urls = %s", [[f"{host.url}/good"]])
    database.execute("insert into ops.host_budgets (host) values (%s)", [host.url[7:]])
    database.execute(f"update ops.host_budgets set {change}".encode())
    with running(replace(settings, mobile_bg_url=host.url, pace="none")) as (site, client):
        signed_in(site, client, database, "viewer")
        answer = client.get(f"/ads/{listing}/photos/1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert host.asked == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (png_bomb(30_000, 30_000), 502), (webp_bomb(16_000, 16_000), 502), (scan_bomb(2000, 1500, 200), 502),
        (b"<html>", 502), (b"", 502), (b"x" * (MOST_BYTES + 1), 502), (302, 404), (404, 404), (403, 503), (429, 503),
    ],
)  # fmt: skip
def test_what_is_no_photo_is_refused(
    database: Database, settings: Settings, host: Host, answer: Any, status: int
) -> None:
    host.answers = {"/bad": answer, "/good": picture(0, 0, 0)}
    (listing,) = ads_on_board(database)
    database.execute("update listings set photo_urls = %s", [[f"{host.url}/bad"]])
    with running(replace(settings, mobile_bg_url=host.url, pace="none")) as (site, client):
        signed_in(site, client, database, "viewer")
        found = client.get(f"/ads/{listing}/photos/1")
    assert found.status_code == status
    assert found.headers["content-type"] == "image/svg+xml"
    assert host.asked == ["/bad"], "no redirect is followed"


def test_a_refusal_counts_for_the_breaker_of_the_host(database: Database, settings: Settings, host: Host) -> None:
    host.answers = {"/a": 403, "/b": 403, "/c": picture(0, 0, 0)}
    (listing,) = ads_on_board(database)
    database.execute("update listings set photo_urls = %s", [[f"{host.url}/{name}" for name in "abc"]])
    with running(replace(settings, mobile_bg_url=host.url, pace="none", breaker_refusals=2)) as (site, client):
        signed_in(site, client, database, "viewer")
        assert [client.get(f"/ads/{listing}/photos/{number}").status_code for number in (1, 2, 3)] == [503, 503, 503]
    assert host.asked == ["/a", "/b"]


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.focus.bg/a.webp", "https://evil.example/a", "https://focus.bg.evil.example/a", "file:///etc/passwd",
        "https://evilfocus.bg/a", "https://focus.bg@evil.example/a", "https://cdn.focus.bg:8443/a", "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data", "https://[::1]/a", "https://user@cdn.focus.bg/a", "//cdn.focus.bg/a",
        "https://cdn.focus.bg:x/a", "gopher://cdn.focus.bg/a", "",
    ],
)  # fmt: skip
def test_no_other_host_is_asked(settings: Settings, url: str) -> None:
    photos = AdPhotos(settings, Cache(settings.data_dir, 0), Maker())
    with pytest.raises(PhotoError) as refused:
        photos.check(url)
    assert refused.value.status == 404
    photos.check("https://mobistatic3.focus.bg/mobile/photosorg/1.webp")


@pytest.mark.parametrize("name", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "192.168.1.1", "::1", "fd00::1"])
def test_a_name_that_leads_to_a_machine_of_ours_is_not_asked(name: str) -> None:
    async def resolve() -> None:
        family = socket.AF_INET6 if ":" in name else socket.AF_INET
        await PublicResolver().resolve(name, 443, family)

    with pytest.raises(OSError, match="no public address"):
        asyncio.run(resolve())


def test_the_cache_never_exceeds_its_cap(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 10_000)
    for number in range(50):
        cache.write(f"{number:04}", bytes(900))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 10_000
    assert cache.read("0049") == bytes(900)
    assert cache.read("0000") is None
    cache.write("huge", bytes(20_000))
    assert cache.read("huge") is None


def test_a_cache_that_was_killed_begins_with_what_is_there(tmp_path: Path) -> None:
    Cache(tmp_path, 10_000).write("aaaa", bytes(6000))
    (tmp_path / "half.part").write_bytes(bytes(5000))
    cache = Cache(tmp_path, 10_000)
    cache.write("bbbb", bytes(6000))
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["bbbb"]
