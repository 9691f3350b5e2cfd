"""Quotes by other terms: made anew without the outbox, by any number of processes, and what fails is the stage's."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals import tasks
from deals.offers import passes, requote
from deals.queue import runner
from deals.stages import quote as quoting
from deals.stages.registry import LOT_STAGES
from tests.support import forks, import_lots
from vinops.db import database as databases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[Any]

LOTS = 5


@pytest.fixture
def stale(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Lots with quotes by a rate that is no longer the newest, quoted anew two at a time."""
    import_lots.store_market(database)
    for number in range(1, LOTS + 1):
        import_lots.add_lot(database, number, buy_now_price=2_000 + 100 * number)
    through_the_stages(database, settings)
    assert len(stored(database)) == LOTS
    database.execute("update exchange_rates set rate = 1.25")
    monkeypatch.setattr(requote, "BATCH", 2)
    return database


def through_the_stages(database: Database, settings: Settings) -> None:
    """Queue what changed, and take it through both stages."""
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)


def stored(database: Database) -> list[Any]:
    """Return the quotes, but for when they were made."""
    return database.execute("select to_jsonb(q) - 'quoted_at' from lot_quotes as q order by lot_id").fetchall()


def versions(database: Database) -> list[Any]:
    return database.execute("select lot_id, xmin::text from lot_quotes order by 1").fetchall()


def waiting(database: Database) -> list[Any]:
    return database.execute("select lot_id, stage from ops.lot_outbox order by 1").fetchall()


def test_it_stores_what_the_stage_would(stale: Database, settings: Settings) -> None:
    before = stored(stale)
    assert requote.run(stale, settings) == LOTS
    assert waiting(stale) == [], "nothing is queued"
    found = stored(stale)
    assert found != before
    stale.execute("truncate lot_quotes")
    through_the_stages(stale, settings)
    assert found == stored(stale)


# Celery 5.7 would have queues in one setting, apart from the tasks that go there.
@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_the_task_of_each_minute_does_it(
    stale: Database, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    woken: list[str] = []
    monkeypatch.setattr(tasks, "wake", woken.append)
    monkeypatch.setattr(tasks, "connection", lambda: stale)
    before = stored(stale)
    tasks.lots()
    assert stored(stale) != before
    assert waiting(stale) == []
    assert woken == ["notify"], "what it queued for the chat is sent at once"
    tasks.lots()
    assert woken == ["notify"]


def test_the_command_counts_what_was_quoted_anew(stale: Database, environment: dict[str, str]) -> None:
    before = stored(stale)
    done = forks.vinops(environment, "landed", "run", "--no-post", "--json")
    assert done.returncode == 0, done.stderr
    stages = {each["stage"]: each["done"] for each in json.loads(done.stdout)["stages"]}
    assert stages == {"value": 0, "quote": LOTS, "match_lots": 0}
    assert stored(stale) != before


def test_a_second_time_it_writes_nothing(stale: Database, settings: Settings) -> None:
    requote.run(stale, settings)
    before = versions(stale)
    assert requote.run(stale, settings) == 0
    assert passes.queue_changed(stale, settings) == {"value": 0, "quote": 0, "match_lots": 0}
    assert versions(stale) == before


def test_of_two_at_once_each_takes_lots_that_the_other_has_not(
    stale: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = quoting.write
    quoted: list[int] = []
    others: list[int] = []

    def write(connection: Database, results: Sequence[Any]) -> None:
        quoted.extend(each.lot_id for each in results)
        if not others:
            others.append(0)
            with databases.connect(settings, application="tests", autocommit=True) as other:
                others.append(requote.run(other, settings))
        real(connection, results)

    monkeypatch.setattr(quoting, "write", write)
    assert requote.run(stale, settings) == 2, "what was locked when the other came"
    assert others == [0, LOTS - 2]
    assert len(quoted) == len(set(quoted)) == LOTS


def test_a_value_that_changes_meanwhile_is_quoted_by_its_stage(
    stale: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage's quote, which is newer, waits for the lock and is written over that of the old value."""
    real = quoting.write

    def write(connection: Database, results: Sequence[Any]) -> None:
        real(connection, results)
        with databases.connect(settings, application="tests", autocommit=True) as other:
            other.execute("update lot_values set p20 = p20 - 1000, p10 = p10 - 1000, valued_at = now()")

    monkeypatch.setattr(quoting, "write", write)
    requote.run(stale, settings)
    monkeypatch.undo()
    through_the_stages(stale, settings)
    found = stored(stale)
    stale.execute("truncate lot_quotes")
    through_the_stages(stale, settings)
    assert found == stored(stale)


def test_lots_that_wait_are_left_to_the_stage(stale: Database, settings: Settings) -> None:
    stale.execute("insert into ops.lot_outbox (lot_id, stage) select min(lot_id), 'quote' from lot_quotes")
    assert requote.run(stale, settings) == LOTS - 1
    assert len(waiting(stale)) == 1


def test_a_lot_that_cannot_be_quoted_holds_up_no_other(
    stale: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (bad,) = stale.execute("select max(lot_id) from lot_quotes").fetchone() or (0,)
    real = quoting.read_by

    def failing(connection: Database, lot_ids: Sequence[int], by: Any) -> Any:
        if bad in lot_ids:
            raise ValueError("nonsense")
        return real(connection, lot_ids, by)

    monkeypatch.setattr(quoting, "read_by", failing)
    assert requote.run(stale, settings) == LOTS - 1
    assert "left to the stage: ValueError: nonsense" in caplog.text
    assert gc.isenabled()
    for _ in range(8):
        through_the_stages(stale, settings)
        stale.execute("update ops.lot_outbox set retry_at = null")
    assert stale.execute("select lot_id from ops.lot_outbox where dead_at is not null").fetchall() == [(bad,)]
    caplog.clear()
    assert requote.run(stale, settings) == 0
    assert "nonsense" not in caplog.text, "it is not tried again each minute"


def test_a_database_that_is_away_is_no_fault_of_the_lots(
    stale: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(quoting, "write", away)
    with pytest.raises(psycopg.OperationalError):
        requote.run(stale, settings)
    assert gc.isenabled()
    monkeypatch.undo()
    assert requote.run(stale, settings) == LOTS
