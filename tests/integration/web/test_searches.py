"""Saved searches: the filter of the board becomes a watch of the person, and of nobody else."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from deals.watches import people
from tests.integration.web.test_roles import ads_on_board, running, signed_in
from tests.support import import_lots, lots as lots_on_board

if TYPE_CHECKING:
    import psycopg

    from vinops.config import Settings

FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


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


def test_what_is_on_the_page_of_lots_is_saved_and_edited(database: psycopg.Connection[Any], settings: Settings) -> None:
    import_lots.add_lot(database, 1)
    lots_on_board.rebuild(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        page = client.get("/lots?make=toyota&damage=hail&landed_to=12000&sale_within=24h&has_photos=no").text
        form = {name: value.replace("&amp;", "&") for name, value in FIELD.findall(page.partition('"keep"')[2])[:2]}
        assert form["kind"] == "lot"
        assert client.post("/searches", data=form).status_code == 303
        saved = "select watches.kind, lots.make, damage, landed_to, sale_within from watches join watch_lots as lots"
        saved += " on watch_id = watches.id"
        expected = ("lot", ["Toyota"], ["hail"], 12000, timedelta(days=1))
        assert database.execute(saved.encode()).fetchall() == [expected]
        (watch,) = database.execute("select id from watches").fetchone() or (0,)
        shown = client.get("/searches").text
        assert (
            f'href="/lots?make=Toyota&amp;damage=hail&amp;sale_within=1d&amp;landed_to=12000&amp;search={watch}"'
            in shown
        )
        assert f'name="id" value="{watch}"' in client.get(f"/lots?make=ford&search={watch}").text
        client.post("/searches", data={"query": "make=Ford", "kind": "lot", "id": str(watch)})
        assert database.execute("select make from watch_lots").fetchall() == [(["Ford"],)]


def test_import_deals_are_saved_as_a_search_of_lots(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        page = client.get("/imports?model=BMW+X5&from_year=2016&max_bid=9000&state=nj&fuel=gasoline").text
        form = {name: value.replace("&amp;", "&") for name, value in FIELD.findall(page.partition('"keep"')[2])[:2]}
        assert client.post("/searches", data=form).status_code == 303
        saved = "select family, year_from, at_bid_to, state, fuel, most_bid_from from watch_lots"
        assert database.execute(saved).fetchall() == [(["BMW X5"], 2016, 9000, ["NJ"], ["gasoline"], 1)]


def test_of_a_search_of_both_each_half_is_edited_alone(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        client.post("/searches", data={"query": "make=BMW"})
        database.execute("update watches set kind = 'both'")
        database.execute("insert into watch_lots (watch_id, make) select id, array['BMW'] from watches")
        (watch,) = database.execute("select id from watches").fetchone() or (0,)
        shown = client.get("/searches").text
        assert f'"/?make=BMW&amp;search={watch}"' in shown
        assert f'"/lots?make=BMW&amp;search={watch}"' in shown
        client.post("/searches", data={"query": "make=Audi", "id": str(watch)})
        client.post("/searches", data={"query": "damage=hail", "kind": "lot", "id": str(watch)})
        halves = "select kind, watches.make, lots.make, damage from watches join watch_lots as lots on watch_id = id"
        assert database.execute(halves).fetchall() == [("both", ["Audi"], [], ["hail"])]


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


def test_a_search_that_cannot_be_saved_is_said_to_be_so(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        late = client.post(
            "/searches", data={"query": "make=Audi", "id": "99"}
        )  # edited in one tab, deleted in another
        assert (late.status_code, "междувременно е изтрито" in late.text) == (404, True)
        for _ in range(people.MOST_WATCHES):
            assert client.post("/searches", data={"query": "make=BMW"}).status_code == 303
        full = client.post("/searches", data={"query": "make=Audi"})
        assert (full.status_code, "първо изтрийте едно" in full.text) == (400, True)
        assert database.execute("select count(*) from watches where make = array['Audi']").fetchone() == (0,)


def test_everything_is_no_search_and_nonsense_is_refused(database: psycopg.Connection[Any], settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        for path, form in (
            ("/searches", {"query": ""}),
            ("/searches", {"query": "make=BMW", "kind": "boat"}),
            ("/searches", {"query": "", "kind": "lot"}),
            ("/searches", {"query": "has_photos=yes", "kind": "lot"}),
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
        everything = "&".join(["make=Ford", "x=&" * 600, "a" * 1500, "landed_to=15000"])
        assert client.post("/searches", data={"query": everything, "kind": "lot"}).status_code < 400
        assert database.execute("select make, landed_to from watch_lots").fetchall() == [(["Ford"], 15000)]


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
