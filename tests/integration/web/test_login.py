"""Signing in: passwords, limits, cookies, and what an attacker might try."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import PasswordHasher

from tests.support.sites import ORIGIN, ads_on_board, running, signed_in, user
from vinops.config import Settings
from vinops.db.errors import DatabaseError
from web import people
from web.requests import local

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from psycopg.rows import TupleRow

    Database = psycopg.Connection[TupleRow]

PASSWORD = "correct horse battery"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make hashing cheap, and list the hashes that were compared."""
    seen: list[str] = []

    class Cheap(PasswordHasher):
        def __init__(self) -> None:
            super().__init__(time_cost=1, memory_cost=8, parallelism=1)

        def verify(self, hash: Any, password: Any) -> Any:  # noqa: A002 # theirs
            seen.append(hash)
            return super().verify(hash, password)

    monkeypatch.setattr(people, "_HASHER", Cheap())
    people._nobody.cache_clear()
    yield seen
    people._nobody.cache_clear()


def login(client: Any, name: str = "ivan", password: str = PASSWORD, **more: str) -> Any:
    return client.post("/login", data={"name": name, "password": password, **more})


def test_a_person_signs_in_with_name_and_password(database: Database, settings: Settings, hashed: list[str]) -> None:
    people.add(database, "Ivan", "viewer", PASSWORD)
    with running(settings) as (_, client):
        assert login(client, password="wrong").status_code == 401
        answer = login(client, name="ivan", next="/deals.csv?make=BMW")
        assert (answer.status_code, answer.headers["location"]) == (303, "/deals.csv?make=BMW")
        assert client.get("/").status_code == 200
    kept = database.execute("select password_hash, encode(token_hash, 'hex') from ops.users, ops.sign_ins").fetchone()
    assert kept is not None
    assert kept[0].startswith("$argon2id$")
    assert client.cookies["session"] not in str(database.execute("select * from ops.sign_ins").fetchall())


def test_an_unknown_name_costs_a_comparison_with_the_same_parameters(
    database: Database, settings: Settings, hashed: list[str]
) -> None:
    people.add(database, "ivan", "viewer", PASSWORD)
    with running(settings) as (_, client):
        known, unknown = login(client, password="wrong wrong"), login(client, name="maria")
    assert [each.split("$")[1:4] for each in hashed] == [hashed[0].split("$")[1:4]] * 2
    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("ivan", "maria") == unknown.text


def test_a_name_that_no_database_holds_is_an_unknown_one(
    database: Database, settings: Settings, hashed: list[str]
) -> None:
    with running(settings) as (_, client):
        assert login(client, name="iv\0an").status_code == 401


def test_ten_wrong_tries_are_followed_by_a_wait_also_for_the_right_password(
    database: Database, settings: Settings, hashed: list[str]
) -> None:
    people.add(database, "ivan", "viewer", PASSWORD)
    with running(settings) as (_, client):
        assert [login(client, password="wrong").status_code for _ in range(people.TRIES_OF_BOTH)] == [401] * 10
        refused = login(client)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "900")
        assert len(hashed) == people.TRIES_OF_BOTH, "a refused try must not cost a hash"
        database.execute("update ops.sign_in_failures set first_at = now() - %s", [people.WINDOW])
        assert login(client).status_code == 303


def test_other_names_from_an_address_and_other_addresses_of_a_name_share_limits(
    database: Database, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "TRIES_OF_ADDRESS", 3)
    monkeypatch.setattr(people, "TRIES_OF_NAME", 5)
    people.add(database, "ivan", "viewer", PASSWORD)
    assert [people.authenticate(database, f"name{number}", "x", "192.0.2.1") for number in range(4)] == [
        None, None, None, people.WINDOW,
    ]  # fmt: skip
    addresses = [f"192.0.2.{number}" for number in range(2, 8)]
    assert [people.authenticate(database, "Ivan", "x", each) for each in addresses] == [None] * 5 + [people.WINDOW]
    assert people.authenticate(database, "ivan", PASSWORD, "192.0.2.9") == people.WINDOW


def test_a_hash_of_older_parameters_is_replaced_when_the_password_is_given(
    database: Database, hashed: list[str]
) -> None:
    people.add(database, "ivan", "viewer", PASSWORD)
    older = PasswordHasher(time_cost=1, memory_cost=16, parallelism=1).hash(PASSWORD)
    database.execute("update ops.users set password_hash = %s", [older])
    assert people.authenticate(database, "ivan", "wrong wrong", "") is None
    assert database.execute("select password_hash from ops.users").fetchone() == (older,)
    assert isinstance(people.authenticate(database, "ivan", PASSWORD, ""), int)
    assert database.execute("select password_hash from ops.users").fetchone() != (older,)
    assert isinstance(people.authenticate(database, "ivan", PASSWORD, ""), int)


def test_the_token_is_a_new_one_and_the_old_one_ends(database: Database, settings: Settings, hashed: list[str]) -> None:
    people.add(database, "ivan", "viewer", PASSWORD)
    with running(settings) as (site, client):
        client.cookies.set(site.session_cookie, "fixed-by-an-attacker-0123456789")
        found = re.match(r"session=([\w-]{40,})", login(client).headers["set-cookie"])
        assert found is not None
        first = found[1]
        client.cookies.clear()
        client.cookies.set(site.session_cookie, first)
        login(client)
        client.cookies.clear()
        client.cookies.set(site.session_cookie, "fixed-by-an-attacker-0123456789")
        assert client.get("/").status_code == 303
        client.cookies.clear()
        client.cookies.set(site.session_cookie, first)
        assert client.get("/").status_code == 303


def test_signing_out_ends_one_browser_or_all(database: Database, settings: Settings) -> None:
    person = user(database, "trader")
    tokens = [str(people.sign_in(database, person)) for _ in range(3)]
    other = str(people.sign_in(database, user(database, "viewer")))
    with running(settings) as (site, client):

        def works(token: str) -> bool:
            client.cookies.clear()
            client.cookies.set(site.session_cookie, token)
            return bool(client.get("/account").status_code == 200)

        assert works(tokens[0])
        client.post("/logout")
        assert [works(each) for each in tokens] == [False, True, True]
        client.post("/logout", data={"everywhere": "1"})
        assert [works(each) for each in (*tokens, other)] == [False, False, False, True]


@pytest.mark.parametrize(
    "change",
    [
        f"update ops.sign_ins set used_at = now() - interval '{people.IDLE.days} days'",
        "update ops.sign_ins set ends_at = now()",
        "update ops.users set removed_at = now(), password_hash = null",
    ],
)
def test_a_sign_in_ends(database: Database, settings: Settings, change: str) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "operator")
        assert client.get("/account").status_code == 200
        database.execute(change.encode())
        assert client.get("/account").status_code == 303


def test_use_keeps_a_sign_in(database: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        database.execute("update ops.sign_ins set used_at = now() - interval '6 days'")
        client.get("/account")
    assert database.execute("select used_at > now() - interval '1 minute' from ops.sign_ins").fetchone() == (True,)


def test_passwd_and_remove_end_the_sign_ins(database: Database, hashed: list[str]) -> None:
    people.add(database, "ivan", "viewer", PASSWORD)
    (row,) = database.execute("select id from ops.users").fetchall()
    for change in (
        lambda: people.set_password(database, "IVAN", "another password"),
        lambda: people.remove(database, "ivan"),
    ):
        token = str(people.sign_in(database, row[0]))
        change()
        assert people.visitor(database, token) is None
    people.add(database, "ivan", "trader", PASSWORD)
    with pytest.raises(people.UserError, match="already"):
        people.add(database, "Ivan", "trader", PASSWORD)


def test_the_one_time_link_signs_the_operator_in_once(database: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        link = site.new_link(ORIGIN)
        for _ in range(2):
            assert client.get(link).status_code == 200, "opening it changes nothing"
        key = link.partition("key=")[2]
        assert client.post("/enter", data={"key": key}).status_code == 303
        assert "operator" in client.get("/account", headers={"Accept-Language": "en"}).text
        client.cookies.clear()
        assert client.post("/enter", data={"key": key}).status_code == 403


def test_the_one_time_link_ends_by_itself_and_with_the_next_one(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings) as (site, client):
        first, second = (site.new_link("").partition("key=")[2] for _ in range(2))
        assert client.post("/enter", data={"key": first}).status_code == 403
        monkeypatch.setattr("web.site.LINK_SECONDS", -1.0)
        assert client.post("/enter", data={"key": site.new_link("").partition("key=")[2]}).status_code == 403
        assert client.post("/enter", data={"key": second}).status_code == 403


def test_the_one_time_link_is_kept_if_the_database_is_away(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings) as (site, client):
        key = site.new_link(ORIGIN).partition("key=")[2]
        with monkeypatch.context() as away:

            def fail() -> None:
                raise DatabaseError("away")

            away.setattr(site, "write", fail)
            assert client.post("/enter", data={"key": key}).status_code == 503
        assert client.post("/enter", data={"key": key}).status_code == 303


def test_who_is_not_signed_in_any_more_is_told_so(database: Database, settings: Settings) -> None:
    (listing,) = ads_on_board(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        database.execute("delete from ops.sign_ins")
        answer = client.post(f"/ads/{listing}/notes", data={"body": "x"}, headers={"Accept-Language": "en"})
    assert answer.status_code == 403
    assert "You are not signed in" in answer.text
    assert 'href="/login"' in answer.text


def test_cookies_are_for_this_site_only(database: Database, settings: Settings) -> None:
    public = Settings(
        **{each: getattr(settings, each) for each in ("database_url", "data_dir", "log_dir")},
        web_public_url="https://vinops.example.com",
    )
    for given, name, secure in ((settings, "session", False), (public, "__Host-session", True)):
        with running(given) as (site, client):
            if given is public:
                client.base_url = "https://vinops.example.com"  # type: ignore[assignment]
            answer = client.post("/enter", data={"key": site.new_link("").partition("key=")[2]},
                                 headers={"Sec-Fetch-Site": "same-origin"})  # fmt: skip
            (cookie,) = answer.headers.get_list("set-cookie")
            assert cookie.startswith(f"{name}=")
            assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
            assert ("Secure" in cookie.split("; ")) is secure
            assert "domain" not in cookie.lower()
            assert ("strict-transport-security" in answer.headers) is secure


@pytest.mark.parametrize(
    "where",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
     "/a\r\nSet-Cookie: a=b", "/" + "a" * 3000, "", "/\tevil"],
)  # fmt: skip
def test_signing_in_leads_to_no_other_site(where: str) -> None:
    assert local(where) == "/"
    assert local("/ads/1?a=b#c") == "/ads/1?a=b#c"


def test_no_form_leads_to_another_site(database: Database, settings: Settings, hashed: list[str]) -> None:
    people.add(database, "ivan", "trader", PASSWORD)
    (listing,) = ads_on_board(database)
    away = "//evil.example/?a=b"
    with running(settings) as (_, client):
        assert 'value="/"' in client.get("/login", params={"next": away}).text
        assert login(client, next=away).headers["location"] == "/"
        assert client.get("/login", params={"next": away}).headers["location"] == "/"
        for path, form in (
            ("/language", {"language": "en"}),
            (f"/ads/{listing}/star", {"on": "1"}),
            (f"/ads/{listing}/status", {"status": "seen"}),
            (f"/ads/{listing}/notes", {"body": "x"}),
        ):
            assert client.post(path, data={**form, "next": away}).headers["location"] == "/", path
