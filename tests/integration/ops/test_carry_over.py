"""External effects survive a restore: no deal is posted twice, no request budget is exceeded."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from deals.channel import post as poster, queue as notify
from deals.channel.post import post
from deals.channel.queue import Posted, queue
from deals.imports import post as imports
from deals.offers import passes
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from deals.watches import people
from deals.watches.bot.turn import add_reply
from ops.backup import backup, dumps, files as backup_files, restore
from ops.backup.carry_over import OF_LOTS
from ops.backup.progress import Progress
from standin.telegram.server import TelegramServer
from tests.support import forks, import_lots
from tests.support.cases import few_quick
from tests.support.deal_messages import CHANNEL, OWNER, TOKEN, add_deal, channel_settings
from vinops import alerts
from vinops.config import Secret
from vinops.db import database as db
from vinops.filters import Filter
from vinops.lots.filter import LotFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.backup.files import Backup
    from vinops.config import Settings

    Database = psycopg.Connection[Any]


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramServer]:
    monkeypatch.setattr(poster, "GAP", 0.0)
    monkeypatch.setattr(poster, "A_MINUTE", 1000)
    with TelegramServer(token=TOKEN, chats=(CHANNEL, OWNER)) as server:
        yield server


@pytest.fixture
def at_work(server: str, admin: Database, settings: Settings, telegram: TelegramServer) -> Iterator[Settings]:
    """Settings with a channel and a database without connections."""
    name = f"carried_{uuid4().hex[:8]}"
    admin.execute(sql.SQL("create database {} template vinops").format(sql.Identifier(name)))
    host = quote(str(conninfo_to_dict(server)["host"]), safe="")
    url = Secret(f"postgresql://vinops@/{name}?host={host}")
    yield channel_settings(replace(settings, database_url=url), telegram)
    for (each,) in admin.execute("select datname from pg_database where starts_with(datname, %s)", [name]).fetchall():
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(each)))


def opened(settings: Settings) -> Any:
    return closing(db.connect(settings, application="tests", autocommit=True))


def deals(database: Database, *scores: float) -> list[int]:
    ids = [add_deal(database, score=score) for score in scores]
    queue(database, ids)
    return ids


def backed_up(settings: Settings) -> Backup:
    return backup.take(settings, backup_files.folder_of(settings), keep=7, days=30, progress=Progress())[0]


def restored(settings: Settings, kept: Backup) -> dict[str, Any]:
    """Replace the database in use by a backup."""
    dumped = backup_files.folder_of(settings) / kept.name
    return asdict(restore.restore(settings, None, dumped, kept, yes=True, drill=False, progress=Progress()))


def add_bargain(database: Database, sale: datetime, number: int) -> None:
    lot_id = import_lots.add_lot(database, number, buy_now_price=2_500)
    database.execute("update lots set sale_at = %s, sale_date = %s where id = %s", [sale, sale.date(), lot_id])


def tell_lots(settings: Settings, sale: datetime, database: Database, *numbers: int) -> Posted:
    """Add lots that are worth a message and sold at this time, quote what changed, and post."""
    for number in numbers:
        add_bargain(database, sale, number)
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)
    return imports.post(database, settings)


def run_deals(settings: Settings) -> Posted:
    with opened(settings) as database:
        return post(database, settings)


def test_deals_that_were_posted_since_the_backup_are_not_posted_again(
    at_work: Settings, telegram: TelegramServer
) -> None:
    at_work = replace(at_work, deals_posts_an_hour=10)
    with opened(at_work) as database:
        deals(database, *range(1, 9))
    kept = backed_up(at_work)
    with opened(at_work) as database:
        assert post(database, at_work).sent == 8
        deals(database, 9.0)  # an ad that the backup does not know
        assert post(database, at_work).sent == 1
        before = database.execute(
            "select ad_id, state, attempts, message_id, token, tried_at, settled_at"
            " from notifications join listings on listings.id = listing_id order by ad_id"
        ).fetchall()
        (new_ad,) = database.execute("select ad_id from listings where id = 9").fetchone()
    result = restored(at_work, kept)
    assert result["carried_over"] == {"messages": 9, "hosts": 0, "alerts": 0, "held": None}
    assert run_deals(at_work) == Posted()
    assert len(telegram.chat(CHANNEL)) == 9
    with opened(at_work) as database:
        after = database.execute(
            "select ad_id, state, attempts, message_id, token, tried_at, settled_at"
            " from notifications join listings on listings.id = listing_id order by ad_id"
        ).fetchall()
        assert after == before
        # The new ad is work for the first stage, and no token or id is given out twice.
        waiting = "select ad_id, change from ops.deal_outbox join listings on listings.id = listing_id"
        assert database.execute(waiting).fetchall() == [(new_ad, "new")]
        assert database.execute("select max(id) from listings").fetchone() == (10,)
        tokens = [row[4] for row in before]
        assert database.execute("select nextval('ops.deal_tokens') > %s", [max(tokens)]).fetchone() == (True,)
        deals(database, 10.0, 10.0)  # of the ten of this hour one is left
        assert post(database, at_work).sent == 1
    assert len(telegram.chat(CHANNEL)) == 10


def test_messages_are_carried_over_as_they_stood_and_only_those_that_the_backup_does_not_know(
    at_work: Settings, telegram: TelegramServer
) -> None:
    tried = "update notifications set state = 'trying', attempts = %s, token = nextval('ops.deal_tokens')"
    tried += " where listing_id = %s"
    with opened(at_work) as database:
        trying, changed, ended, untouched = deals(database, 9.5, 9.0, 8.0, 9.9)
        assert post(database, at_work).sent == 4
        database.execute(tried, [2, ended])
    kept = backed_up(at_work)
    with opened(at_work) as database:
        database.execute(tried, [4, trying])
        database.execute("update listings set price_eur = 8000 where id = %s", [changed])
        database.execute("update normalized_listings set price_eur = 8000 where listing_id = %s", [changed])
        queue(database, [changed])
        assert post(database, at_work).edited == 1
        database.execute("update notifications set state = 'failed' where listing_id = %s", [ended])  # no new token
    assert restored(at_work, kept)["carried_over"]["messages"] == 3
    with opened(at_work) as database:
        columns = "listing_id, kind, state, attempts, price_eur::int"
        assert database.execute(f"select {columns} from notifications order by 1").fetchall() == [
            (trying, "deal", "trying", 4, 9800),
            (changed, "deal", "sent", 1, 8000),
            (ended, "deal", "failed", 2, 9800),
            (untouched, "deal", "sent", 1, 9800),
        ]


def test_who_was_forgotten_since_the_backup_stays_so_and_watches_are_as_they_were_left(at_work: Settings) -> None:
    with opened(at_work) as database:
        stays, goes = (people.accept(database, people.invite(database, "en"), chat, "Europe/Sofia") for chat in (1, 2))
        assert stays is not None
        assert goes is not None
        kept_one = people.save(database, stays, Filter(make=("BMW",)), kind="ad", typed="bmw")
        deleted = people.save(database, stays, Filter(make=("Audi",)), kind="ad", typed="audi")
        people.save(database, goes, Filter(make=("Kia",)), kind="ad", typed="kia")
        lots = LotFilter(make=("BMW",), landed_to=Decimal(9000))
        of_lots = people.save(database, stays, Filter(), kind="lot", typed="bmw", of_lots=lots)
        no_more = people.save(database, stays, Filter(), kind="lot", typed="bmw", of_lots=lots)
        add_reply(database, "an answer", person_id=stays.id)
    kept = backed_up(at_work)
    with opened(at_work) as database:
        people.forget(database, goes)
        people.save(database, stays, Filter(make=("Seat",)), kind="ad", typed="seat", watch_id=kept_one)
        people.delete(database, stays, deleted or 0)
        people.change(database, "pause_person", stays, reason="person")
        new = people.accept(database, people.invite(database, "en"), 3, "Europe/Sofia")
        assert new is not None
        people.save(database, new, Filter(make=("Fiat",)), kind="ad", typed="fiat")
        lots = LotFilter(family=("Toyota RAV4",), runs=("drives",), sale_within=timedelta(hours=24))
        people.save(database, new, Filter(), kind="both", typed="rav4", of_lots=lots)
        people.save(database, stays, Filter(), kind="lot", typed="rav4", of_lots=lots, watch_id=of_lots)
        people.save(database, stays, Filter(make=("BMW",)), kind="ad", typed="bmw", watch_id=no_more)
        asked = [database.execute(f"select * from {table} order by 1, 2".encode()).fetchall() for table in OF_LOTS]
        before = database.execute("select * from watch_people order by id").fetchall()
        watches = database.execute("select * from watches order by id").fetchall()
    assert restored(at_work, kept)["carried_over"]["held"] is None
    with opened(at_work) as database:
        assert database.execute("select * from watch_people order by id").fetchall() == before
        assert database.execute("select * from watches order by id").fetchall() == watches
        found = [database.execute(f"select * from {table} order by 1, 2".encode()).fetchall() for table in OF_LOTS]
        assert found == asked
        assert [len(rows) for rows in found] == [2, 2]
        assert database.execute("select chat_id from watch_people order by id").fetchall() == [(1,), (3,)]
        assert database.execute("select state from watch_messages").fetchall() == [("dropped",)]


def test_budgets_breakers_and_alerts_are_carried_over(at_work: Settings, telegram: TelegramServer) -> None:
    insert = (
        "insert into ops.host_budgets (host, next_at, day, requests, refusals_in_row, last_refusal, times_opened, "
        "open_until) values (%s, %s, %s, %s, %s, %s, %s, %s)"
    )
    with opened(at_work) as database:
        for row in (
            ("same", "2026-01-01", "2026-01-01", 10, 5, "captcha", 2, None),
            ("before", "-infinity", "2026-01-01", 10, 0, None, 0, None),
            ("only-then", "2026-01-01", "2026-01-01", 3, 0, None, 0, None),
        ):
            database.execute(insert, row)
        alerts.raise_alert(database, at_work, "breaker_open", "same", "told before")
        alerts.raise_alert(database, at_work, "feed_failed", "feed", "passed since")
        kept_of_backup = database.execute("select next_at from ops.host_budgets where host = 'only-then'").fetchone()
    kept = backed_up(at_work)
    with opened(at_work) as database:
        database.execute("delete from ops.host_budgets")
        for row in (
            ("same", "2026-01-02", "2026-01-01", 700, 0, None, 1, "2026-03-01"),
            ("before", "2026-02-01", "2026-02-01", 4, 1, "forbidden", 1, "2026-02-02"),
            ("new", "2026-02-01", "2026-02-01", 400, 3, "html", 1, None),
        ):
            database.execute(insert, row)
        assert alerts.deliver(database, at_work) == 2
        alerts.clear_alert(database, "feed_failed", "feed")
        alerts.raise_alert(database, at_work, "login_failed", "site", "new since")
        assert alerts.deliver(database, at_work) == 1
    assert restored(at_work, kept)["carried_over"] == {"messages": 0, "hosts": 3, "alerts": 3, "held": None}
    with opened(at_work) as database:
        hosts = database.execute(
            "select host, next_at::date::text, day::text, requests, refusals_in_row, last_refusal, times_opened,"
            " open_until::date::text from ops.host_budgets order by host"
        ).fetchall()
        assert hosts == [
            ("before", "2026-02-01", "2026-02-01", 4, 1, "forbidden", 1, "2026-02-02"),
            ("new", "2026-02-01", "2026-02-01", 400, 3, "html", 1, None),
            ("only-then", "2026-01-01", "2026-01-01", 3, 0, None, 0, None),
            ("same", "2026-01-02", "2026-01-01", 700, 5, "captcha", 2, "2026-03-01"),
        ]
        assert kept_of_backup is not None
        told = len(telegram.chat(OWNER))
        assert alerts.deliver(database, at_work) == 0  # all were delivered
        assert len(telegram.chat(OWNER)) == told == 3
        found = database.execute("select kind, cleared_at is null from ops.alerts order by raised_at").fetchall()
        assert found == [("breaker_open", True), ("feed_failed", False), ("login_failed", True)]


@pytest.mark.slow
def test_where_nothing_is_left_to_read_posting_is_held_until_it_is_released(
    at_work: Settings, telegram: TelegramServer, admin: Database, environment: dict[str, str]
) -> None:
    with opened(at_work) as database:
        name = str(database.info.dbname)
        deals(database, 9.0, 8.0)
    kept = backed_up(at_work)
    assert run_deals(at_work).sent == 2
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
    assert f"there was no database {name}" in restored(at_work, kept)["carried_over"]["held"]
    (told,) = telegram.chat(OWNER)
    assert "resume with `vinops deals release`" in told.text
    posted = run_deals(at_work)
    assert (posted.sent, posted.waiting) == (0, 2)
    assert posted.held is not None
    with opened(at_work) as database:
        assert not notify.is_due(database)
    assert len(telegram.chat(CHANNEL)) == 2
    assert at_work.database_url is not None
    variables = {**environment, "DATABASE_URL": at_work.database_url.reveal()}
    ran = forks.vinops(variables, "deals", "run")
    assert "posting is held after a restore" in ran.stderr
    assert "`vinops deals release` lets it go on" in ran.stderr
    # A restore over a database that is held is held too.
    again = restored(at_work, kept)
    assert again["carried_over"]["held"] is None
    assert run_deals(at_work).held is not None
    released = forks.vinops(variables, "deals", "release")
    assert released.returncode == 0, released.stderr
    assert "released; it was held after a restore" in released.stderr
    assert "not held" in forks.vinops(variables, "deals", "release").stderr
    assert run_deals(at_work).sent == 2
    with opened(at_work) as database:
        assert database.execute("select count(*) from ops.alerts where cleared_at is null").fetchone() == (0,)


@pytest.mark.parametrize("how", few_quick(["made anew", "of another schema"], 0))
def test_a_database_that_does_not_know_what_was_posted_is_not_believed(
    how: str, at_work: Settings, telegram: TelegramServer, admin: Database
) -> None:
    with opened(at_work) as database:
        name = str(database.info.dbname)
        deals(database, 9.0)
    kept = backed_up(at_work)
    if how == "made anew":
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("create database {} template vinops").format(sql.Identifier(name)))
    else:
        with opened(at_work) as database:
            database.execute("drop table notifications")
    held = restored(at_work, kept)["carried_over"]["held"]
    assert ("did not continue from the state of this backup" if how == "made anew" else "notifications") in held
    assert run_deals(at_work).held is not None


def test_a_backup_of_a_version_without_holds_is_held_all_the_same(
    at_work: Settings, telegram: TelegramServer, admin: Database
) -> None:
    with opened(at_work) as database:
        name = str(database.info.dbname)
        deals(database, 9.0)
        database.execute("drop table ops.holds")
        database.execute("delete from _yoyo_migration where migration_id = '0013_posting_holds'")
    kept = backed_up(at_work)
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
    assert restored(at_work, kept)["carried_over"]["held"]
    assert db.migrate(at_work) == ["0013_posting_holds"]
    assert run_deals(at_work).held is not None


def test_a_copy_beside_the_database_in_use_is_as_it_was_backed_up(at_work: Settings) -> None:
    with opened(at_work) as database:
        deals(database, 9.0)
    kept = backed_up(at_work)
    assert run_deals(at_work).sent == 1
    dumped = backup_files.folder_of(at_work) / kept.name
    result = restore.restore(at_work, None, dumped, kept, yes=False, drill=False, progress=Progress())
    assert result.carried_over is None
    with psycopg.connect(dumps.named(db.url(at_work), result.database)) as copy:
        assert copy.execute("select state from notifications").fetchall() == [("waiting",)]


def test_lots_that_were_told_since_the_backup_are_not_told_again(at_work: Settings, telegram: TelegramServer) -> None:
    """Also those that the backup does not know, once the feed has brought them again."""
    at_work = replace(at_work, telegram_imports_chat_id=CHANNEL)

    told = partial(tell_lots, at_work, datetime.now(UTC) + timedelta(days=3))

    columns = (
        "select lot_external_id, told.kind, told.state, attempts, message_id, token, told.tried_at, told.settled_at"
        " from lot_notifications as told join lots on lots.id = lot_id order by 1, told.id"
    )
    with opened(at_work) as database:
        import_lots.store_market(database)
        assert told(database, 1, 2).sent == 2
        database.execute("update lot_notifications set state = 'trying', tried_at = now() where lot_id = 1")
    kept = backed_up(at_work)
    with opened(at_work) as database:
        database.execute("update lot_notifications set state = 'sent' where lot_id = 1")  # settled, with no new token
        assert told(database, 3, 4).sent == 2
        before = database.execute(columns).fetchall()
    assert restored(at_work, kept)["carried_over"]["messages"] == 3
    with opened(at_work) as database:
        assert told(database) == Posted()
        assert database.execute("select lot_external_id from ops.told_lots order by 1").fetchall() == [(3,), (4,)]
        assert told(database, 4, 3) == Posted(), "their ids are others now"
        assert database.execute(columns).fetchall() == before
        assert database.execute("select count(*) from ops.told_lots").fetchone() == (0,)
        change = "update lots set high_bid = 40000, row_hash = row_hash || 'x' where lot_external_id = 3"
        database.execute(change)
        assert told(database) == Posted(edited=1), "and the message is edited as before"
        assert told(database, 5).sent == 1
    assert len(telegram.chat(CHANNEL)) == 5


def test_a_second_restore_keeps_the_messages_that_wait_for_their_lots(
    at_work: Settings, telegram: TelegramServer, admin: Database
) -> None:
    """The first one was of the wrong backup: the feed has not brought the lots that were told since."""
    at_work = replace(at_work, telegram_imports_chat_id=CHANNEL)

    sale = datetime.now(UTC) + timedelta(days=3)
    told = partial(tell_lots, at_work, sale)
    with opened(at_work) as database:
        import_lots.store_market(database)
        assert told(database, 1).sent == 1
    older = backed_up(at_work)
    with opened(at_work) as database:
        add_bargain(database, sale, 2)  # told after the next backup
    newer = backed_up(at_work)
    with opened(at_work) as database:
        assert told(database, 3).sent == 2
    first = restored(at_work, older)
    assert first["carried_over"]["messages"] == 2
    # Its name has the second, which is the same for both restores of a test.
    admin.execute(sql.SQL("drop database {}").format(sql.Identifier(first["replaced"])))
    assert restored(at_work, newer)["carried_over"]["messages"] == 2
    with opened(at_work) as database:
        assert told(database, 3) == Posted()
        assert database.execute("select count(*) from ops.told_lots").fetchone() == (0,)
        change = "update lots set high_bid = 40000, row_hash = row_hash || 'x' where lot_external_id in (2, 3)"
        database.execute(change)
        assert told(database) == Posted(edited=2)
    assert len(telegram.chat(CHANNEL)) == 3


def test_a_backup_of_a_version_without_messages_about_lots_takes_them_along(
    at_work: Settings, telegram: TelegramServer
) -> None:
    at_work = replace(at_work, telegram_imports_chat_id=CHANNEL)
    with opened(at_work) as database:
        import_lots.add_lot(database, 7)
        database.execute("alter table lot_notifications rename to gone")
        database.execute("drop table ops.told_lots")
    kept = backed_up(at_work)
    with opened(at_work) as database:
        database.execute("alter table gone rename to lot_notifications")
        import_lots.add_lot(database, 8)
        database.execute(
            "insert into lot_notifications (lot_id, kind, state, score, shown, token)"
            " select id, 'deal', 'sent', 1, 'open', nextval('ops.deal_tokens') from lots"
        )
    assert restored(at_work, kept)["carried_over"]["messages"] == 2
    with opened(at_work) as database:
        waiting = "select lot_external_id, told ->> 'state' from ops.told_lots order by 1"
        assert database.execute(waiting).fetchall() == [(7, "sent"), (8, "sent")], "of a lot that is there, too"
