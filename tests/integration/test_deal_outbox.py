"""Work on ads is handed from stage to stage: in one worker's hands at a time, done once, and never lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from deals.queue import outbox, runner
from deals.stages.registry import Stage
from tests.deal_ads import insert_ads, requeue
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection

    from vinops.config import Settings


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A result that says which ad it is of."""

    listing_id: int


@pytest.fixture
def listings(database: Connection[Any]) -> list[int]:
    """Ads that wait for the first stage."""
    return insert_ads(database, 30)


@pytest.fixture
def other(settings: Settings) -> Iterator[Connection[Any]]:
    """A second worker's connection."""
    with db.connect(settings, application="tests", autocommit=True) as connection:
        yield connection


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stages that write down which ads they had, and do nothing else."""
    ids: list[int] = []

    def write(_: Connection[Any], results: Sequence[Seen]) -> None:
        ids.extend(each.listing_id for each in results)

    for name in list(runner.STAGES):
        stage = Stage(name=name, read=lambda _, ids, __: list(ids), work=_seen, write=write)
        monkeypatch.setitem(runner.STAGES, name, stage)
    return ids


def _seen(ids: Sequence[int]) -> list[Seen]:
    return [Seen(listing_id=each) for each in ids]


def waiting(database: Connection[Any], stage: str) -> set[int]:
    """Return the ads that wait for a stage, in whoever's hands."""
    rows = database.execute("select listing_id from ops.deal_outbox where stage = %s and dead_at is null", [stage])
    return {row[0] for row in rows.fetchall()}


def test_an_ad_is_in_one_workers_hands(database: Connection[Any], other: Connection[Any], listings: list[int]) -> None:
    mine = outbox.take(database, "normalize", lease=60, listing_ids=listings[:10])
    theirs = outbox.take(other, "normalize", lease=60)
    assert mine is not None
    assert theirs is not None
    assert set(mine.listing_ids) == set(listings[:10])
    assert set(theirs.listing_ids) == set(listings[10:])
    assert outbox.take(other, "normalize", lease=60) is None


def test_work_of_another_stage_is_left_alone(database: Connection[Any], listings: list[int]) -> None:
    assert listings
    assert outbox.take(database, "score", lease=60) is None


def test_a_batch_goes_through_and_is_handed_on(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int]
) -> None:
    for stage in runner.STAGES:
        assert waiting(database, stage) == set(listings)
        outcome = runner.run(database, settings, stage)
        assert outcome is not None
        assert set(outcome.done) == set(listings)
        assert waiting(database, stage) == set()
    assert sorted(written) == sorted(listings * 3)
    assert runner.run(database, settings, "normalize") is None


def test_a_worker_whose_lease_was_taken_over_writes_nothing(
    database: Connection[Any], other: Connection[Any], settings: Settings, listings: list[int],
    written: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def slow(ids: Sequence[int]) -> list[Seen]:
        database.execute("update ops.deal_outbox set leased_until = clock_timestamp() - interval '1 second'")
        taken = outbox.take(other, "normalize", lease=60)
        assert taken is not None
        return _seen(ids)

    usual = runner.STAGES["normalize"]
    monkeypatch.setitem(
        runner.STAGES, "normalize", Stage(name="normalize", read=usual.read, work=slow, write=usual.write)
    )
    outcome = runner.run(database, settings, "normalize")
    assert outcome is not None
    assert outcome.done == []
    assert written == []
    assert waiting(database, "normalize") == set(listings)
    assert waiting(database, "price") == set()


def test_an_ad_that_changed_while_it_was_in_hand_is_done_once_more(
    database: Connection[Any], other: Connection[Any], settings: Settings, listings: list[int], written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def meanwhile(ids: Sequence[int]) -> list[Seen]:
        requeue(other, listings[:3])
        return _seen(ids)

    usual = runner.STAGES["normalize"]
    monkeypatch.setitem(
        runner.STAGES, "normalize", Stage(name="normalize", read=usual.read, work=meanwhile, write=usual.write)
    )
    outcome = runner.run(database, settings, "normalize")
    assert outcome is not None
    assert set(outcome.done) == set(listings[3:])
    assert waiting(database, "normalize") == set(listings[:3])
    monkeypatch.setitem(runner.STAGES, "normalize", usual)
    outcome = runner.run(database, settings, "normalize")
    assert outcome is not None
    assert set(outcome.done) == set(listings[:3])
    assert len(written) == len(listings) + 3


def test_results_and_the_end_of_the_work_are_one(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fails(connection: Connection[Any], _: Sequence[Seen]) -> None:
        connection.execute("create table half_done ()")
        raise psycopg.OperationalError("the connection is lost")

    usual = runner.STAGES["normalize"]
    monkeypatch.setitem(
        runner.STAGES, "normalize", Stage(name="normalize", read=usual.read, work=usual.work, write=fails)
    )
    with pytest.raises(psycopg.OperationalError):
        runner.run(database, settings, "normalize")
    assert written == []
    assert waiting(database, "normalize") == set(listings)
    assert database.execute("select to_regclass('half_done')").fetchone() == (None,)


def test_an_ad_that_cannot_be_worked_on_is_given_up_and_holds_up_no_other(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    poison = listings[7]

    def fails(ids: Sequence[int]) -> list[Seen]:
        if poison in ids:
            raise ValueError(f"ad {poison} makes no sense")
        return _seen(ids)

    usual = runner.STAGES["normalize"]
    monkeypatch.setitem(
        runner.STAGES, "normalize", Stage(name="normalize", read=usual.read, work=fails, write=usual.write)
    )
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

    usual = runner.STAGES["normalize"]
    monkeypatch.setitem(
        runner.STAGES, "normalize", Stage(name="normalize", read=usual.read, work=usual.work, write=fails)
    )
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

    usual = runner.STAGES["normalize"]
    monkeypatch.setitem(
        runner.STAGES, "normalize", Stage(name="normalize", read=usual.read, work=fails, write=usual.write)
    )
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


def test_ads_that_no_worker_survived_are_given_up_with_a_reason(database: Connection[Any], listings: list[int]) -> None:
    database.execute(
        "update ops.deal_outbox set attempts = %s, token = 1, leased_until = clock_timestamp() - interval '1 second'"
        " where listing_id = %s",
        [outbox.MOST_TRIES, listings[0]],
    )
    assert outbox.bury(database) == [
        (listings[0], "normalize", "the worker died each time that it had this ad in hand")
    ]
    assert outbox.bury(database) == []
    assert listings[0] not in waiting(database, "normalize")


def test_what_waits_is_rung_for_once_in_a_while(database: Connection[Any], listings: list[int]) -> None:
    assert set(outbox.waiting(database, "normalize", count=100, unheard=60)) == set(listings)
    assert outbox.waiting(database, "normalize", count=100, unheard=60) == []
    assert set(outbox.waiting(database, "normalize", count=100, unheard=0)) == set(listings)
    assert outbox.take(database, "normalize", lease=60) is not None
    assert outbox.waiting(database, "normalize", count=100, unheard=0) == []


def test_what_is_handed_on_is_rung_for_at_once(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int]
) -> None:
    assert outbox.waiting(database, "normalize", count=100, unheard=60)
    assert runner.run(database, settings, "normalize") is not None
    assert set(outbox.waiting(database, "price", count=100, unheard=60)) == set(listings) == set(written)


def test_a_crowd_is_counted_no_further_than_need_be(database: Connection[Any], listings: list[int]) -> None:
    assert outbox.is_crowded(database, "normalize", count=len(listings) - 1)
    assert not outbox.is_crowded(database, "normalize", count=len(listings))


def test_all_ads_are_priced_again_when_that_is_asked_for(
    database: Connection[Any], settings: Settings, listings: list[int], written: list[int]
) -> None:
    runner.drain(database, settings, "normalize")
    database.execute("delete from ops.deal_outbox")
    assert runner.queue_again(database) == 0  # nothing was normalized: these stages write nothing
    database.execute(
        "insert into normalized_listings (listing_id, risk, is_comparable) select id, 'low', true from listings"
    )
    database.execute("update listings set removed_at = now() where id = %s", [listings[0]])
    assert runner.queue_again(database) == len(listings) - 1
    assert waiting(database, "price") == set(listings[1:])
    assert written
