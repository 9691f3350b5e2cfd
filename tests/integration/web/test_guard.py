"""What every request passes: Host, Origin, length; what every answer carries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.datastructures import Headers

from tests.support.sites import ORIGIN, PORT, ads_on_board, running, signed_in
from vinops import parsers
from vinops.board import reads
from web import app
from web.guard import is_own
from web.routes import ROUTES
from web.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]


@pytest.mark.parametrize("host", ["evil.example", "localhost", "localhost:80", "localhost:8080.evil.example",
                                  "evil.example:8080", "127.0.0.1", "localhost:8080@evil.example", ""])  # fmt: skip
def test_a_foreign_host_is_refused(database: Database, settings: Settings, host: str) -> None:
    with running(settings) as (_, client):
        answer = client.get("/login", headers={"Host": host})
        assert answer.status_code == 400
        assert not host or host not in answer.text
        assert client.get("/login", headers={"Host": "127.0.0.1:8080"}).status_code == 200


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Cars.Example", "cars.example"), ("https://cars.example:443", "cars.example"),
        ("https://cars.example:8443/", "CARS.example:8443"), ("https://коли.бг", "xn--h1addl.xn--90ae"),
        ("https://Коли.бг:8443", "xn--h1addl.xn--90ae:8443"), ("https://[2001:DB8::1]", "[2001:db8::1]"),
    ],
)  # fmt: skip
def test_a_public_name_is_the_one_that_browsers_send(settings: Settings, url: str, host: str) -> None:
    site = Site(replace(settings, web_public_url=parsers.https(url)))
    assert host.lower() in site.hosts


@pytest.mark.parametrize("url", ["https:// cars.example", "https://a,b", "https://a\\b", "https://a b", "https://а..бг",
                                 "https://a:99999", "https://a:", "https://%61"])  # fmt: skip
def test_a_public_name_that_no_browser_sends_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        parsers.https(url)


@pytest.mark.parametrize(
    ("host", "link"),
    [("127.0.0.1", "localhost:8080"), ("localhost", "localhost:8080"), ("::1", "[::1]:8080"),
     ("127.0.0.2", "127.0.0.2:8080"), ("::", None), ("192.0.2.7", None)],
)  # fmt: skip
def test_the_link_leads_to_where_it_listens(settings: Settings, host: str, link: str | None) -> None:
    site = Site(settings, host=host)
    assert site.own == (link or "localhost:8080")
    assert site.own in site.hosts
    assert (f"{host}:8080" in site.hosts) is (host in ("127.0.0.1", "localhost", "127.0.0.2"))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:8080"}, False),
        ({"origin": "http://localhost:8080"}, True),
        ({"origin": "http://LOCALHOST:8080"}, True),
        ({"origin": "http://localhost:8081"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({}, False),
    ],
)
def test_unsafe_requests_come_from_pages_of_this_site(headers: dict[str, str], expected: bool) -> None:
    assert is_own(Headers(headers), "localhost:8080") is expected


def test_a_form_of_another_site_changes_nothing(database: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "operator")
        token = client.cookies[site.session_cookie]
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert client.post("/logout", headers=headers).status_code == 403
        client.cookies.set(site.session_cookie, token)
        assert client.get("/account").status_code == 200


def test_no_route_takes_a_form_of_another_site(database: Database, settings: Settings) -> None:
    (listing,) = ads_on_board(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "operator")
        for page in ROUTES:
            if page.method == "POST":
                where = page.path.replace("{listing_id:int}", str(listing))
                for headers in ({"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {"Origin": ""}):
                    form = {"on": "1", "status": "seen", "body": "x", "language": "bg", "everywhere": "1"}
                    assert client.post(where, data=form, headers=headers).status_code == 403, page.path
        assert client.get("/account").status_code == 200
    for table in ("ad_stars", "ad_statuses", "ad_notes"):
        assert database.execute(f"select * from {table}".encode()).fetchall() == []


def test_long_and_strange_forms_are_refused(database: Database, settings: Settings) -> None:
    with running(settings) as (_, client):
        assert client.post("/login", data={"name": "a" * 30_000}).status_code == 413
        assert client.post("/login", content=iter([b"name=" + b"a" * 30_000])).status_code == 413
        assert client.post("/login", content=b"{}", headers={"Content-Type": "application/json"}).status_code == 415
        many = "&".join(f"a{number}=1" for number in range(200))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert client.post("/login", content=many, headers=form).status_code == 400
        assert client.post("/login", content=b"\xff=1", headers=form).status_code == 400
        assert client.get(f"/login?{'&'.join(f'a{number}=1' for number in range(501))}").status_code == 400


def test_a_form_that_does_not_arrive_is_not_waited_for(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.05)

    async def part() -> AsyncIterator[bytes]:
        yield b"name="
        await asyncio.sleep(600)

    async def answer() -> httpx.Response:
        site = Site(settings, port=PORT)
        transport = httpx.ASGITransport(app.create(site))  # TestClient sends a body when it has all of it
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            headers = {"Origin": ORIGIN, "Content-Length": "9"}
            return await asyncio.wait_for(client.post("/login", content=part(), headers=headers), 60)

    assert asyncio.run(answer()).status_code == 408


@pytest.mark.parametrize("path", ["/ads/{}", "/ads/1/photos/{}", "/{}"])
def test_a_path_longer_than_any_is_not_there(database: Database, settings: Settings, path: str) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        assert client.get(path.format("9" * 5000)).status_code == 404


def test_an_answer_does_not_repeat_a_long_address(database: Database, settings: Settings) -> None:
    long = "a" * 20_000
    with running(settings) as (site, client):
        assert client.get(f"/?words={long}").headers["location"] == "/login?next=%2F"
        signed_in(site, client, database, "viewer")
        assert long not in client.get(f"/?words={long}").text


def test_a_page_that_fails_carries_the_policy_too(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(reads, "page", fail)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        answer = client.get("/")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "private, no-store"


def test_every_answer_carries_the_policy(database: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        for path in ("/", "/login", "/account", "/nothing", "/robots.txt", "/static/x", "/ads/1", "/health"):
            answer = client.get(path)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "private, no-store"
            assert "server" not in answer.headers
        from web import assets

        assert "immutable" in client.get(assets.path("site.css")).headers["cache-control"]
        assert client.get("/static/../app.py").status_code == 404
        assert client.get("/static/..%2fapp.py").status_code == 404
