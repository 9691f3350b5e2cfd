"""Ads pass from stage to stage: leased by one worker at a time, done once, and never lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from deals.queue import outbox, runner
from deals.stages import normalize
from deals.stages.registry import STAGES
from tests.support.deal_ads import insert_ads, requeue
from vinops.db import database as db
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection

    from vinops.config import Settings


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A result, of one ad."""

    listing_id: int


@pytest.fixture
def listings(database: Connection[Any]) -> list[int]:
    """Ads that wait for the first stage."""
    return insert_ads(database, 30)


def test_draining_tells_how_many_ads_are_through(
    database: Connection[Any], settings: Settings, listings: list[int]
) -> None:
    told: list[int] = []
    runner.drain(database, settings, "normalize", told.append)
    assert told[-1] == len(listings)


@pytest.fixture
def other(settings: Settings) -> Iterator[Connection[Any]]:
    """A second worker's connection."""
    with db.connect(settings, application="tests", autocommit=True) as connection:
        yield connection


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the stages by some that only record the ads that they process."""
    ids: list[int] = []

    def write(_: Connection[Any], results: Sequence[Seen]) -> None:
        ids.extend(each.listing_id for each in results)

    for stage in STAGES.values():
        monkeypatch.setattr(stage.module, "read", lambda _, ids, __: list(ids))
        monkeypatch.setattr(stage.module, "work", _seen)
        monkeypatch.setattr(stage.module, "write", write)
    return ids


def _seen(ids: Sequence[int]) -> list[Seen]:
    return [Seen(listing_id=each) for each in ids]


def waiting(database: Connection[Any], stage: str) -> set[int]:
    """Return the ads that wait for a stage, leased or not."""
    rows = database.execute("select listing_id from ops.deal_outbox where stage = %s and dead_at is null", [stage])
    return {row[0] for row in rows.fetchall()}


def test_an_ad_is_leased_by_one_worker(database: Connection[Any], other: Connection[Any], listings: list[int]) -> None:
    mine = outbox.take(database, "normalize", seconds=60, listing_ids=listings[:10])
    theirs = outbox.take(other, "normalize", seconds=60)
    assert mine is not None
    assert theirs is not None
    assert set(mine.listing_ids) == set(listings[:10])
    assert set(theirs.listing_ids) == set(listings[10:])
    assert outbox.take(other, "normalize", seconds=60) is None


def test_work_of_another_stage_is_left_alone(database: Connection[Any], listings: list[int]) -> None:
    assert listings
    assert outbox.take(database, "score", seconds=60) is None


def test_a_batch_passes_all_stages_in_order(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int]
) -> None:
    for stage in STAGES:
        assert waiting(database, stage) == set(listings)
        outcome = runner.run(database, settings, stage)
        assert outcome is not None
        assert set(outcome.done) == set(listings)
        assert waiting(database, stage) == set()
    assert sorted(written) == sorted(listings * len(STAGES))
    assert runner.run(database, settings, "normalize") is None


def test_a_worker_whose_lease_was_taken_over_writes_nothing(
    database: Connection[Any], other: Connection[Any], settings: Settings, listings: list[int],
    written: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def slow(ids: Sequence[int]) -> list[Seen]:
        database.execute("update ops.deal_outbox set leased_until = clock_timestamp() - interval '1 second'")
        taken = outbox.take(other, "normalize", seconds=60)
        assert taken is not None
        return _seen(ids)

    monkeypatch.setattr(normalize, "work", slow)
    outcome = runner.run(database, settings, "normalize")
    assert outcome is not None
    assert outcome.done == []
    assert written == []
    assert waiting(database, "normalize") == set(listings)
    assert waiting(database, "price") == set()


def test_an_ad_that_changed_during_its_lease_is_done_once_more(
    database: Connection[Any], other: Connection[Any], settings: Settings, listings: list[int], written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def meanwhile(ids: Sequence[int]) -> list[Seen]:
        requeue(other, listings[:3])
        return _seen(ids)

    monkeypatch.setattr(normalize, "work", meanwhile)
    outcome = runner.run(database, settings, "normalize")
    assert outcome is not None
    assert set(outcome.done) == set(listings[3:])
    assert waiting(database, "normalize") == set(listings[:3])
    monkeypatch.setattr(normalize, "work", _seen)
    outcome = runner.run(database, settings, "normalize")
    assert outcome is not None
    assert set(outcome.done) == set(listings[:3])
    assert len(written) == len(listings) + 3


def test_a_write_that_fails_leaves_the_work_and_no_results(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fails(connection: Connection[Any], _: Sequence[Seen]) -> None:
        connection.execute("create table half_done ()")
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(normalize, "write", fails)
    with pytest.raises(psycopg.OperationalError):
        runner.run(database, settings, "normalize")
    assert written == []
    assert waiting(database, "normalize") == set(listings)
    assert database.execute("select to_regclass('half_done')").fetchone() == (None,)


def test_results_are_rolled_back_when_the_work_cannot_be_finished(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """`outbox.finish` belongs to the transaction of the stage's `write`: results without it would be written twice."""

    def write(connection: Connection[Any], results: Sequence[Seen]) -> None:
        connection.execute("create table half_done ()")
        written.extend(each.listing_id for each in results)

    def fails(*_: object) -> list[int]:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(normalize, "write", write)
    monkeypatch.setattr(outbox, "finish", fails)
    with pytest.raises(psycopg.OperationalError):
        runner.run(database, settings, "normalize")
    assert set(written) == set(listings), "it came as far as the end of the work"
    assert database.execute("select to_regclass('half_done')").fetchone() == (None,)
    assert waiting(database, "normalize") == set(listings)


def test_an_ad_that_cannot_be_worked_on_is_given_up_and_holds_up_no_other(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    poison = listings[7]

    def fails(ids: Sequence[int]) -> list[Seen]:
        if poison in ids:
            raise ValueError(f"ad {poison} makes no sense")
        return _seen(ids)

    monkeypatch.setattr(normalize, "work", fails)
    tries = 0
    while waiting(database, "normalize"):
        database.execute("update ops.deal_outbox set retry_at = null")  # its pauses are over
        runner.drain(database, settings, "normalize")
        tries += 1
        assert tries <= outbox.MOST_TRIES
    assert sorted(written) == sorted(set(listings) - {poison})
    dead = database.execute("select listing_id, error, attempts from ops.deal_outbox where dead_at is not null")
    assert dead.fetchall() == [(poison, f"ValueError: ad {poison} makes no sense", outbox.MOST_TRIES)]


@pytest.mark.parametrize(
    ("error", "is_the_ad"),
    [
        (errors.ProgramLimitExceeded("index row size 3016 exceeds btree version 4 maximum 2704"), True),
        (errors.AdminShutdown("terminating connection"), False),
        (errors.DiskFull("could not extend file"), False),
    ],
)
def test_an_ad_is_at_fault_for_what_the_database_says_of_its_values_alone(
    database: Connection[Any], settings: Settings, listings: list[int], error: psycopg.Error, is_the_ad: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fails(_: Connection[Any], __: Sequence[Seen]) -> None:
        raise error

    monkeypatch.setattr(normalize, "write", fails)
    if is_the_ad:
        outcome = runner.run(database, settings, "normalize")
        assert outcome is not None
        assert outcome.failed == len(listings)
    else:
        with pytest.raises(type(error)):
            runner.run(database, settings, "normalize")


def test_an_ad_that_failed_alone_waits_before_it_is_tried_again(
    database: Connection[Any], settings: Settings, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (listing,) = insert_ads(database, 1)

    def fails(_: Sequence[int]) -> list[Seen]:
        raise ValueError("no")

    monkeypatch.setattr(normalize, "work", fails)
    assert [outcome.failed for outcome in runner.drain(database, settings, "normalize")] == [1]
    assert waiting(database, "normalize") == {listing}
    assert written == []


def test_a_change_gives_an_ad_that_was_given_up_another_chance(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int]
) -> None:
    database.execute("update ops.deal_outbox set dead_at = now(), error = 'no', attempts = 6")
    assert runner.run(database, settings, "normalize") is None
    requeue(database, listings[:2])
    outcome = runner.run(database, settings, "normalize")
    assert outcome is not None
    assert set(outcome.done) == set(written) == set(listings[:2])


def test_ads_that_repeatedly_crashed_workers_are_given_up_with_a_reason(
    database: Connection[Any], listings: list[int]
) -> None:
    database.execute(
        "update ops.deal_outbox set attempts = %s, token = 1, leased_until = clock_timestamp() - interval '1 second'"
        " where listing_id = %s",
        [outbox.MOST_TRIES, listings[0]],
    )
    assert outbox.give_up(database) == [(listings[0], "normalize", "each worker that processed this ad died")]
    assert outbox.give_up(database) == []
    assert listings[0] not in waiting(database, "normalize")


def test_ads_that_wait_are_announced_once_in_a_while(database: Connection[Any], listings: list[int]) -> None:
    assert set(outbox.announce(database, "normalize", count=100, seconds=60)) == set(listings)
    assert outbox.announce(database, "normalize", count=100, seconds=60) == []
    assert set(outbox.announce(database, "normalize", count=100, seconds=0)) == set(listings)
    assert outbox.take(database, "normalize", seconds=60) is not None
    assert outbox.announce(database, "normalize", count=100, seconds=0) == []


def test_ads_of_the_next_stage_are_announced_at_once(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int]
) -> None:
    assert outbox.announce(database, "normalize", count=100, seconds=60)
    assert runner.run(database, settings, "normalize") is not None
    assert set(outbox.announce(database, "price", count=100, seconds=60)) == set(listings) == set(written)


def test_more_ads_than_a_number_are_a_crowd(database: Connection[Any], listings: list[int]) -> None:
    assert outbox.is_crowded(database, "normalize", count=len(listings) - 1)
    assert not outbox.is_crowded(database, "normalize", count=len(listings))


def test_all_active_ads_are_requeued_for_pricing(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int]
) -> None:
    runner.drain(database, settings, "normalize")
    database.execute("delete from ops.deal_outbox")
    assert runner.requeue_all(database) == 0  # nothing was normalized: these stages write nothing
    database.execute(
        "insert into normalized_listings (listing_id, risk, is_comparable) select id, 'low', true from listings"
    )
    database.execute("update listings set removed_at = now() where id = %s", [listings[0]])
    assert runner.requeue_all(database) == len(listings) - 1
    assert waiting(database, "price") == set(listings[1:])
    assert written


def test_ads_that_are_named_are_found_by_their_keys(database: Connection[Any], listings: list[int]) -> None:
    """However many ads wait: the plan is the one that a worker keeps for all its batches."""
    database.execute("set session_replication_role = replica")  # without the ads of 5,000 rows
    database.execute(
        "insert into ops.deal_outbox (listing_id, change) select %s + number, 'new' from generate_series(1, 5000)"
        " as numbers (number)",
        [listings[-1]],
    )
    database.execute("set session_replication_role = origin; analyze ops.deal_outbox")
    names: dict[str, str] = {}
    statement = re.sub(
        r"%\((\w+)\)s",
        lambda found: names.setdefault(found[1], f"${len(names) + 1}"),
        queries("deals")["take_named_work"],
    )
    plan = "\n".join(row[0] for row in database.execute(f"explain (generic_plan) {statement}".encode()).fetchall())
    database.execute("truncate ops.deal_outbox")
    assert "deal_outbox_stage" not in plan
    assert "deal_outbox_pkey" in plan
