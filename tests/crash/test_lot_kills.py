"""A run of the lots killed anywhere: the next one finishes it, and what is stored is that of an uninterrupted run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deals.offers import passes, requote
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from deals.watches import lots as watched
from tests.support import import_lots, lots as board
from tests.support.cases import few_quick
from vinops.lots.filter import LotFilter

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[Any]

pytestmark = [pytest.mark.crash]

WORKER = Path(__file__).with_name("lot_worker.py")
EVENTS = (
    *("queue before", "queue after", "take before", "take after", "held after", "finish before", "finish after"),
    *(
        f"{stage}-{what}"
        for stage in LOT_STAGES
        for what in ("read after", "work after", "write before", "write after")
    ),
)
ANEW = (
    *("batch before", "quote-read_by after", "quote-work after", "quote-write before", "quote-write after"),
    "batch after",
)
"""The events of quoting anew by other terms, in order."""
STORED = """
    select lots.lot_external_id, known.p10, known.p50, known.p90, known.blockers, quotes.most_bid_usd,
        quotes.profit_eur, quotes.loss_chance, quotes.is_ranked
    from lots left join lot_values as known on lots.id = known.lot_id
    left join lot_quotes as quotes on lots.id = quotes.lot_id order by 1"""


def lots(database: Database) -> None:
    """A market, and lots of several kinds."""
    import_lots.store_market(database)
    for number, facts in enumerate(
        ({}, {"buy_now_price": 3_000}, {"damage": "water/flood"}, {"make": "FORD", "model_group": "ESCAPE",
         "model": "ESCAPE"}, {"title_type": "BP", "title_group": "other"}), 1
    ):  # fmt: skip
        import_lots.add_lot(database, number, **facts)
    board.rebuild(database)
    for chat in (1, 2):
        row = database.execute("insert into watch_people (chat_id) values (%s) returning id", [chat]).fetchone()
        assert row is not None
        for makes in (("Toyota",), ()):
            statement = "insert into watches (person_id, kind, typed) values (%s, 'lot', 'x') returning id"
            added = database.execute(statement, [row[0]]).fetchone()
            assert added is not None
            watched.save(database, added[0], LotFilter(make=makes))


def hits(database: Database) -> list[Any]:
    statement = "select watch_id, car, lot_id, price_eur, state from watch_hits order by watch_id, car"
    return database.execute(statement).fetchall()


def killed(environment: dict[str, str], folder: Path, event: str, broken: str = "") -> None:
    """Run the worker until it kills itself at this event, and prove that it did."""
    point = folder / "point"
    point.write_text(event, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(WORKER), str(point), broken], env={**os.environ, **environment}, check=False, timeout=120
    )
    assert point.with_suffix(".landed").exists(), f"the kill at {event} did not land"
    assert done.returncode == -signal.SIGKILL


def swept(database: Database, settings: Settings) -> None:
    """Let the leases of the dead expire, and run again."""
    database.execute("update ops.lot_outbox set leased_until = '-infinity' where leased_until is not null")
    requote.run(database, settings)
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)


def faults(database: Database, settings: Settings) -> list[str]:
    """Return what differs from an uninterrupted run, which is made now."""
    found = database.execute(STORED).fetchall()
    matched = hits(database)
    left = database.execute("select count(*) from ops.lot_outbox").fetchone()
    database.execute("truncate lot_values, lot_quotes, ops.lot_outbox, watch_hits")
    swept(database, settings)
    assert hits(database)
    wanted = database.execute(STORED).fetchall()
    assert any(row[5] for row in wanted)
    return [
        *(f"{mine} is not {other}" for mine, other in zip(found, wanted, strict=True) if mine != other),
        *([] if left == (0,) else [f"{left} wait"]),
        *([] if matched == hits(database) else [f"watches found {matched}, not {hits(database)}"]),
    ]


@pytest.mark.parametrize(
    "event", few_quick(EVENTS, EVENTS.index("finish before"), EVENTS.index("match_lots-write after"))
)
def test_a_killed_run_is_finished_by_the_next(
    database: Database, settings: Settings, environment: dict[str, str], tmp_path: Path, event: str
) -> None:
    lots(database)
    killed(environment, tmp_path, event)
    swept(database, settings)
    assert faults(database, settings) == []


def test_marking_lots_before_their_values_are_written_is_caught(
    database: Database, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    """The broken control: what is marked as valued and is not, no sweep finds."""
    lots(database)
    killed(environment, tmp_path, "stamp before", broken="stamp_first")
    swept(database, settings)
    assert faults(database, settings)


def at_another_rate(database: Database, settings: Settings) -> None:
    """Lots with quotes by a rate that is no longer the newest, and a watch of costs that has found none of them."""
    lots(database)
    swept(database, settings)
    last = "(select max(id) from watches)"
    database.execute(f"update watch_lots set landed_to = 1000000 where watch_id = {last}")
    database.execute(f"delete from watch_hits where price_eur is not null or watch_id = {last}")
    database.execute("update exchange_rates set rate = 1.25")


@pytest.mark.parametrize("event", few_quick(ANEW, ANEW.index("quote-write after"), ANEW.index("batch after")))
def test_quoting_anew_is_finished_by_the_next_run(
    database: Database, settings: Settings, environment: dict[str, str], tmp_path: Path, event: str
) -> None:
    at_another_rate(database, settings)
    killed(environment, tmp_path, event)
    swept(database, settings)
    assert faults(database, settings) == []


def test_noting_the_terms_before_the_quotes_is_caught(
    database: Database, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    """The broken control: quotes that say they are by the new terms, and are not, no run finds."""
    at_another_rate(database, settings)
    killed(environment, tmp_path, "stamp before", broken="stamp_terms_first")
    swept(database, settings)
    assert faults(database, settings)


def test_ending_the_matching_before_its_hits_are_recorded_is_caught(
    database: Database, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    """The other broken control: what watches should have found, no sweep finds."""
    lots(database)
    killed(environment, tmp_path, "stamp before", broken="match_later")
    swept(database, settings)
    (fault,) = faults(database, settings)
    assert fault.startswith("watches found []")
