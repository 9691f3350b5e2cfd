"""Saved searches: the filter of the board becomes a watch of the person, and of nobody else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from deals.watches import people
from tests.integration.web.test_roles import ads_on_board, running, signed_in

if TYPE_CHECKING:
    import psycopg

    from vinops.config import Settings


def test_what_is_on_the_board_is_saved_edited_paused_and_deleted(
    database: psycopg.Connection[Any], settings: Settings
) -> None:
    ads_on_board(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        board = client.get("/?make=BMW&price_to=25000&new_since=24h").text
        query = re.search(r'name="query" value="([^"]*)"', board)
        assert query is not None
        form = {"query": query[1].replace("&amp;", "&")}
        assert client.post("/searches", data=form).status_code == 303
        saved = database.execute("select id, make, price_to, version from watches").fetchall()
        assert [row[1:] for row in saved] == [(["BMW"], 25000, 1)]
        watch = saved[0][0]
        page = client.get("/searches").text
        assert "BMW" in page
        assert f'action="/searches/{watch}"' in page
        assert f"search={watch}" in page
        edited = client.get(f"/?make=Audi&search={watch}").text
        assert f'name="id" value="{watch}"' in edited
        client.post("/searches", data={"query": "make=Audi", "id": str(watch)})
        assert database.execute("select make, version from watches").fetchall() == [(["Audi"], 2)]
        for action, column, value in (
            ("pause", "paused_at is not null", True),
            ("resume", "paused_at is not null", False),
            ("silent", "is_silent", True),
            ("loud", "is_silent", False),
        ):
            assert client.post(f"/searches/{watch}", data={"do": action}).status_code == 303
            assert database.execute(f"select {column} from watches".encode()).fetchone() == (value,)
        client.post(f"/searches/{watch}", data={"do": "delete"})
        assert database.execute("select 1 from watches").fetchall() == []


def test_nobody_changes_the_searches_of_others(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        client.post("/searches", data={"query": "make=BMW"})
        row = database.execute("select id from watches").fetchone()
        assert row is not None
        signed_in(site, client, database, "operator")
        client.post(f"/searches/{row[0]}", data={"do": "delete"})
        client.post("/searches", data={"query": "make=Audi", "id": str(row[0])})
        assert database.execute("select make from watches").fetchall() == [(["BMW"],)]
        assert "BMW" not in re.sub(r"<title>.*", "", client.get("/searches").text)


def test_everything_is_no_search_and_nonsense_is_refused(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        for path, form in (
            ("/searches", {"query": ""}),
            ("/searches", {"query": "make=BMW", "kind": "boat"}),
            ("/searches", {"query": "make=BMW", "kind": "lot"}),
            ("/searches", {"query": "make=BMW", "id": "x"}),
            ("/searches/1", {"do": "explode"}),
            ("/searches/notifications", {"how": "loudly"}),
            ("/searches/notifications", {"how": "digest", "digest": "25:99"}),
        ):
            assert (path, form, client.post(path, data=form).status_code) == (path, form, 400)
        assert client.post("/searches/99999999999999999999", data={"do": "pause"}).status_code == 404
        assert database.execute("select 1 from watches").fetchall() == []


def test_a_long_query_is_saved_whole(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        everything = "&".join(["make=BMW", "x=&" * 600, "a" * 1500, "price_to=9000"])
        assert client.post("/searches", data={"query": everything}).status_code < 400
        assert database.execute("select make, price_to from watches").fetchall() == [(["BMW"], 9000)]


def test_notifications_and_the_link_to_telegram(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        client.post("/searches/notifications", data={"how": "digest", "digest": "7:15"})
        assert database.execute("select digest_at from watch_people").fetchone() == (435,)
        client.post("/searches/notifications", data={"how": "off", "digest": "7:15"})
        assert database.execute("select paused_by from watch_people").fetchone() == ("person",)
        client.post("/searches/notifications", data={"how": "silent", "digest": "7:15"})
        row = database.execute("select paused_by, is_silent, digest_at from watch_people").fetchone()
        assert row == (None, True, None)
        code = re.search(r"/start ([\w-]+)</code>", client.post("/searches/connect").text)
        assert code is not None
        with database.transaction():
            person = people.accept(database, code[1], 77, "Europe/Sofia")
        assert person is not None
        assert database.execute("select count(*), max(chat_id) from watch_people").fetchone() == (1, 77)
        assert "start " not in client.get("/searches").text
