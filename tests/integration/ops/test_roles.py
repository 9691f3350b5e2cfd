"""The roles of the services: each pipeline works with its own role, which has no rights on the others."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from deals import market as figures
from deals.channel import lots
from deals.imports.photo import archived
from deals.landed import book, profiles
from deals.landed.lot import Rates
from deals.lots.terms import Terms
from deals.offers import bids, passes
from deals.offers.lists import Lists
from deals.offers.ranking import Wanted
from deals.queue import runner
from deals.stages.registry import LOT_STAGES, STAGES
from deals.watches import people as watching
from deals.watches.preview import preview_lots
from deals.watches.sending import queue as alerts_queue
from deals.watches.sending.compose import compose
from ops import retention
from ops.retention import Removed
from ops.roles import ensure_web
from standin.market.server import MarketServer
from standin.photos.server import PhotoServer
from tests.support import forks
from tests.support.deal_ads import insert_ads
from tests.support.feed_files import Loader, row
from tests.support.fleets import until
from tests.support.lots import lots_on_board
from tests.support.market_crawls import MarketCrawls
from tests.support.photo_crawls import Crawls
from vinops import alerts
from vinops.board import reads
from vinops.checks import Level
from vinops.config import Secret, Settings
from vinops.db import database as db
from vinops.db.database import queries
from vinops.filters import Filter
from vinops.lots import reads as lot_reads
from vinops.lots.filter import LotFilter
from web import market, people
from web.photos import records
from web.site import Site
from web.vehicles import history, search

if TYPE_CHECKING:
    from psycopg import Connection

    Database = Connection[tuple[Any, ...]]

SQL = Path(__file__).resolve().parents[3] / "deploy" / "sql"
ROLES = ("etl", "photos", "market", "deals", "ops", "retention", "node")


@pytest.fixture
def roles(database: Database) -> Database:
    """The database with the roles and their rights, as deploy-automation.sh makes them."""
    for name in ("roles.sql", "grants.sql", "roles.sql", "grants.sql"):  # twice: an upgrade does it again
        database.execute((SQL / name).read_bytes())
    return database


def as_role(settings: Settings, role: str) -> Settings:
    assert settings.database_url is not None
    url = settings.database_url.reveal().replace("//vinops@", f"//vinops_{role}@")
    return replace(settings, database_url=Secret(url))


def test_the_feed(roles: Database, settings: Settings) -> None:
    mine = replace(as_role(settings, "etl"), feed_min_rows=1)
    loader = Loader(settings=mine, database=roles, folder=settings.data_dir / "files")
    loader.loaded([row(1), row(2), row(3)])
    loader.loaded([row(1, sale_date="20260801"), row(3), row(4)], allow_shrink=True)
    assert loader.one("select count(*) from lots where status = 'gone'") == 1
    strangers = [row(10 + place, vin="12345678901234567", make=make) for place, make in enumerate("ABCD")]
    loader.loaded([row(3), *strangers[:3]], allow_shrink=True)
    loader.loaded([row(3), *strangers])
    assert loader.one("select count(*) from staging.placeholder_vins") == 1
    environment = {**os.environ, "DATABASE_URL": mine.database_url.reveal() if mine.database_url else ""}
    environment |= {"VINOPS_DATA_DIR": str(settings.data_dir), "VINOPS_LOG_DIR": str(settings.log_dir)}
    command = [sys.executable, "-m", "etl", "status"]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


def test_the_ads(roles: Database, settings: Settings) -> None:
    with MarketServer(seed=4, ads=120) as server:
        crawls = MarketCrawls(settings=as_role(settings, "market"), database=roles, server=server)
        assert crawls.run("-a", "worker=1", "-a", "mode=full").exit_code == 0
        server.advance(new=10, changed=20, gone=10, back=0)
        worker = crawls.start("-a", "worker=1")
        done = "select 1 from ops.market_cycles where complete_from is not null and rechecked_at is not null"
        until(lambda: crawls.rows(done), "it has read the newest ads, and looked for one to recheck")
        worker.terminate()
        assert crawls.finish(worker).exit_code == 0
    assert crawls.rows("select count(*) > 0 from listing_prices") == [(True,)]


def test_the_photos(roles: Database, settings: Settings) -> None:
    with PhotoServer(seed=1) as server:
        crawls = Crawls(settings=as_role(settings, "photos"), database=roles, server=server)
        lots = crawls.add_lots(3)
        assert crawls.run("-a", "batch=3").exit_code == 0
    found = roles.execute("select count(distinct lot_id) from images").fetchone()
    assert found is not None
    assert 1 <= found[0] <= len(lots)


def test_a_node_does_the_crawls_of_both_sides(roles: Database, settings: Settings) -> None:
    with PhotoServer(seed=1) as server:
        photos = Crawls(settings=as_role(settings, "node"), database=roles, server=server)
        photos.add_lots(1)
        assert photos.run("-a", "batch=1").exit_code == 0
    with MarketServer(seed=4, ads=120) as market:
        crawls = MarketCrawls(settings=as_role(settings, "node"), database=roles, server=market)
        assert crawls.run("-a", "worker=1", "-a", "mode=full").exit_code == 0


def test_retention(roles: Database, settings: Settings) -> None:
    with db.connect(as_role(settings, "retention"), application="tests") as connection:
        found = list(retention.retain(connection, settings, datetime.now(UTC)))
    assert all(isinstance(each, Removed) for each in found)


@pytest.mark.parametrize("role", ROLES)
def test_everybody_may_tell_the_owner_and_nobody_may_do_all(roles: Database, settings: Settings, role: str) -> None:
    with db.connect(as_role(settings, role), application="tests", autocommit=True) as connection:
        assert alerts.raise_alert(connection, settings, "kind", role, "message")
        alerts.clear_alert(connection, "kind", role)
        for forbidden in (
            "drop table lots",
            "create table public.mine ()",
            "delete from vehicles",
            "copy lots to program 'id'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.encode())


@pytest.mark.parametrize(
    ("role", "forbidden"),
    [
        ("etl", "select 1 from listings"),
        ("market", "select 1 from lots"),
        ("photos", "select 1 from listings"),
        ("photos", "update lots set status = 'gone'"),
        ("node", "update lots set status = 'gone'"),
        ("node", "select 1 from valuations"),
        ("deals", "update listings set price_eur = 1"),
        ("ops", "update lots set status = 'gone'"),
        ("retention", "delete from listings"),
    ],
)
def test_what_belongs_to_others_is_theirs(roles: Database, settings: Settings, role: str, forbidden: str) -> None:
    with (
        db.connect(as_role(settings, role), application="tests", autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(forbidden.encode())


def test_a_watch_of_lots_is_saved_by_the_site_found_by_a_worker_and_told_by_the_bot(
    roles: Database, settings: Settings
) -> None:
    (number,) = lots_on_board(roles, first_seen_at=datetime.now(UTC))
    wanted = (LotFilter(make=("Ford",)), LotFilter(landed_to=Decimal(9000)))
    with db.connect(as_role(settings, "web"), application="tests", autocommit=True) as connection:
        person = watching.ensure_user(connection, None, language="en", time_zone="Europe/Sofia")
        for each in wanted:
            with connection.transaction():
                watching.save(connection, person, Filter(), kind="lot", typed="x", of_lots=each)
    roles.execute("update watch_people set chat_id = 7")
    roles.execute("delete from watch_hits")  # it was there when the watch was saved
    with db.connect(as_role(settings, "deals"), application="tests", autocommit=True) as connection:
        passes.queue_changed(connection, settings)
        for stage in LOT_STAGES:
            runner.drain(connection, settings, stage)
    with db.connect(as_role(settings, "watch"), application="tests", autocommit=True) as connection:
        for each in wanted:
            preview_lots(connection, each, time_zone="Europe/Sofia")
        with connection.transaction():
            assert watching.save(connection, person, Filter(), kind="lot", typed="x", of_lots=wanted[0])
        assert alerts_queue.queue_hits(connection) == 1
        with connection.cursor(row_factory=dict_row) as cursor:
            queued = cursor.execute(queries("watch_sending")["next_message"]).fetchone()
        assert queued is not None
        with connection.transaction():
            assert f"Lot {number}" in compose(connection, settings, queued).content.html
        alerts_queue.queue_lot_changes(connection, [queued["lot_id"]])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update lots set status = 'gone'")


def test_who_watches_sees_everything(roles: Database, settings: Settings, environment: dict[str, str]) -> None:
    mine = as_role(settings, "ops")
    assert mine.database_url is not None
    environment["DATABASE_URL"] = mine.database_url.reveal()
    done = forks.vinops(environment, "health", "--json")
    assert "permission denied" not in done.stdout + done.stderr
    assert done.returncode in (0, 1), done.stdout
    assert forks.vinops(environment, "supervise", "--once", "--json").returncode == 0


def test_the_site_reads_what_its_pages_show_and_nothing_else(roles: Database, settings: Settings) -> None:
    (listing,) = insert_ads(roles, 1)
    (lot,) = lots_on_board(roles)
    deals = replace(as_role(settings, "deals"))
    with db.connect(deals, application="tests", autocommit=True) as connection:
        for stage in STAGES:
            runner.drain(connection, deals, stage)
        figures.refresh(connection)
        told = replace(deals, telegram_imports_chat_id="1", telegram_bot_token=Secret("x"))
        lots.queue(connection, [1], told)
        assert archived(connection, deals, 1) is None
    check_snapshot(as_role(settings, "web"))
    with db.connect(as_role(settings, "web"), application="tests", autocommit=True) as connection:
        check_site(connection, listing, lot)
        assert connection.execute("show statement_timeout").fetchone() == ("2s",)
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(30)")


def check_snapshot(settings: Settings) -> None:
    """Take a snapshot for /ops, and fail at what could not be read."""
    watch = Site(settings).watch
    try:
        seen = watch.take()
    finally:
        watch.close()
    assert (seen.snapshot.database.error, seen.snapshot.faults, seen.history_error) == (None, {}, "")
    assert not [line.name for line in seen.health.lines if line.level is Level.UNKNOWN]


def check_site(connection: Database, listing: int, lot: int) -> None:
    """Read a page, an ad, a lot, the facets and the CSV, mark the lot, and fail at what is not the site's."""
    wanted = Filter(words=("vw",), words_not=("удари",))
    page, _ = reads.page(connection, wanted)
    assert [card.listing_id for card in page.cards] == [listing]
    assert reads.count(connection, wanted).number == 1
    assert reads.ad(connection, listing) is not None
    assert reads.facets(connection)["make"]
    assert len(list(reads.export(lambda: nullcontext(connection), wanted))) == 1
    lot_page, _ = lot_reads.page(connection, LotFilter(make=("Ford",)))
    assert [card.lot_external_id for card in lot_page.cards] == [lot]
    assert lot_reads.lot(connection, lot) is not None
    assert lot_reads.facets(connection)["make"]
    assert len(list(lot_reads.export(lambda: nullcontext(connection), LotFilter()))) == 1
    marked = lot_page.cards[0].lot_id
    people.star(connection, None, marked, is_on=True, of="lot")
    people.set_status(connection, None, marked, "seen", of="lot")
    people.add_note(connection, None, marked, "call", of="lot")
    assert people.marks(connection, None, [marked], of="lot")[marked].is_starred
    assert len(people.history(connection, marked, of="lot")) == 2
    people.star(connection, None, marked, is_on=False, of="lot")
    assert bids.keep(connection, lot, 5_000)
    assert bids.of_lot(connection, lot) is not None
    by = Terms(profile=profiles.load().default, tariffs=book.load().on(date(2026, 11, 30)), rates=Rates(usd=Decimal(1)))
    assert Lists(connection, Wanted(), by).page(10, by_profit=True).rows == []
    assert bids.passed(connection, datetime.now(UTC), 10) == []
    assert bids.forget(connection, lot)
    assert records.originals(connection, 1) is None
    assert records.original(connection, 1, "") is None
    state = figures.state(connection)
    assert state.computed_at is not None
    (family,) = market.families(connection, state.computed_at, make="", words="")
    assert market.months(connection, family.family)
    assert market.splits(connection, family.family)
    assert market.makes(connection)
    assert market.stay(connection, family.family) is None
    assert market.points(connection, family.family)
    assert history.story(connection, "WVWZZZ1KZAW123456") is None
    assert history.is_placeholder(connection, "WVWZZZ1KZAW123456") is False
    assert search.find(connection, "vw golf").only == "/?family=Volkswagen+Golf"
    for forbidden in (
        "update board set score = 10",
        "delete from listings",
        "delete from market_prices",
        "insert into listing_words values (1, '')",
        "update lots set status = 'gone'",
        "delete from lot_board",
        "delete from lots",
        "update images set content_hash = ''",
        "select 1 from raw.csv_files",
        "select 1 from staging.copart_raw",
        "select 1 from ops.holds",
        "delete from images",
        "insert into listing_vins values (1, 'WVWZZZ1KZAW123456')",
        "update ops.alerts set cleared_at = now()",
        "delete from ops.deal_outbox",
        "insert into ops.photo_coverage values (now(), 1, 1, 1, 1)",
        "insert into lot_quotes (lot_id) values (1)",
        "select 1 from ops.told_lots",
        "delete from ops.lot_outbox",
        "update ops.users set role = 'operator'",
        "update ops.users set removed_at = null",
        "insert into ops.users (name, role, password_hash) values ('me', 'operator', 'x')",
        "delete from ops.users",
        "create table public.mine ()",
        "copy board to program 'id'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(forbidden.encode())
    connection.execute("update ops.users set language = 'bg', password_hash = 'x' where false")


def test_on_the_embedded_server_the_site_has_the_same_rights(database: Database, settings: Settings) -> None:
    (listing,) = insert_ads(database, 1)
    (lot,) = lots_on_board(database)
    for stage in STAGES:
        runner.drain(database, settings, stage)
    figures.refresh(database)
    ensure_web(database)
    ensure_web(database)
    check_snapshot(as_role(settings, "web"))
    with db.connect(as_role(settings, "web"), application="tests", autocommit=True) as connection:
        check_site(connection, listing, lot)
        assert connection.execute("show statement_timeout").fetchone() == ("2s",)
