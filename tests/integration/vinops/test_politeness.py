"""One budget and one breaker a host, whoever asks and however many: what the database holds, decided by its clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import given, strategies as st

from vinops import politeness
from vinops.config import PACES, Secret, Settings
from vinops.db import database as db, embedded
from vinops.db.errors import tried
from vinops.politeness import (
    BreakerOpen,
    Budgets,
    DailyCapReached,
    OpenBreaker,
    Place,
    pace,
    retry_after,
)

T = TypeVar("T")
Database = psycopg.Connection[Any]

ROOT = Path(__file__).resolve().parents[3]
HOST = "cs.copart.com"
HOUR = 3600.0
DAILY = 1000
OURS = "from pg_stat_activity where application_name = 'politeness' and datname = current_database()"


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, *, daily: int | None = DAILY, refusals: int = 3, seconds: float = HOUR, size: int = 4
) -> AsyncIterator[Budgets]:
    """The budgets as one more process would have them."""
    pool = db.async_pool(settings, application="politeness", size=size)
    await pool.open()
    try:
        yield Budgets(pool, daily=daily, refusals=refusals, open_seconds=seconds)
    finally:
        await pool.close()


def run(settings: Settings, work: Callable[[Budgets], Awaitable[T]], **options: Any) -> T:
    """What comes of some work with the budgets, on an event loop of its own."""

    async def whole() -> T:
        async with opened(settings, **options) as budgets:
            return await work(budgets)

    return asyncio.run(whole())


def row(database: Database, columns: str, host: str = HOST) -> tuple[Any, ...]:
    found = database.execute(f"select {columns} from ops.host_budgets where host = %s", (host,)).fetchone()
    assert found is not None, f"{host} has no row"
    return tuple(found)


def now(database: Database) -> datetime:
    found = database.execute("select clock_timestamp()").fetchone()
    assert found is not None
    moment: datetime = found[0]
    return moment


async def wait_until(true: Callable[[], bool]) -> None:
    """Wait for another process."""
    while not true():  # noqa: ASYNC110 # what happens there sets no event here
        await asyncio.sleep(0.01)


def later(database: Database, seconds: float) -> None:
    """Let so much time pass since the breaker opened."""
    database.execute("update ops.host_budgets set open_until = open_until - make_interval(secs => %s)", (seconds,))


# The budget


def test_the_first_request_starts_at_once_and_the_next_ones_a_gap_apart(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[Place]:
        return [await budgets.place(HOST, gap) for gap in (1000, 3000, 0, 500)]

    before = now(database)
    places = run(settings, work)
    starts = [each.starts_at for each in places]
    assert before <= starts[0] <= now(database)
    assert places[0].seconds == 0
    assert [(one - starts[0]).total_seconds() for one in starts] == [0, 1000, 4000, 4000]
    for place, most in zip(places[1:], (1000, 4000, 4000), strict=True):
        assert most - 900 < place.seconds <= most
    assert row(database, "requests, next_at") == (4, starts[0] + timedelta(seconds=4500))


def test_reserve_gives_the_seconds_to_wait(settings: Settings) -> None:
    async def work(budgets: Budgets) -> list[float]:
        return [await budgets.reserve(HOST, 1000) for _ in range(3)]

    first, second, third = run(settings, work)
    assert first == 0
    assert 900 < second <= 1000
    assert 1900 < third <= 2000


def test_a_budget_that_was_not_used_is_not_saved_up(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[datetime]:
        await budgets.reserve(HOST, 10)
        database.execute("update ops.host_budgets set next_at = clock_timestamp() - interval '1 hour'")
        return [(await budgets.place(HOST, 10)).starts_at for _ in range(2)]

    before = now(database)
    one, two = run(settings, work)
    assert one >= before
    assert two - one == timedelta(seconds=10)


def test_each_host_has_a_budget_of_its_own(settings: Settings) -> None:
    async def work(budgets: Budgets) -> list[float]:
        await budgets.reserve(HOST, 100)
        return [await budgets.reserve("127.0.0.1:8080", 100), await budgets.reserve("127.0.0.1:8081", 100)]

    assert run(settings, work) == [0, 0]


def test_a_gap_below_zero_is_refused(settings: Settings) -> None:
    for gap in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="0 seconds or more"):
            run(settings, lambda budgets, gap=gap: budgets.reserve(HOST, gap))


CRAWLER = """
import asyncio, sys
from vinops import config
from vinops.db import database
from vinops.politeness import Budgets

async def crawl(host, gap, count):
    pool = database.async_pool(config.load(), application="crawler")
    async with pool:
        budgets = Budgets(pool, daily=100_000, refusals=5, open_seconds=60)
        async with pool.connection():
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        for _ in range(count // 4):
            for place in await asyncio.gather(*(budgets.place(host, gap) for _ in range(4))):
                print(place.starts_at.isoformat(), flush=True)

asyncio.run(crawl(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
"""


def crawlers(environment: dict[str, str], code: str, count: int, *arguments: str) -> list[list[str]]:
    """What each of so many processes printed that began at the same time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        for _ in range(count)
    ]
    for each in processes:
        assert each.stdout is not None
        if each.stdout.readline() != "ready\n":
            pytest.fail(each.communicate()[1])
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    answers = [each.communicate() for each in processes]
    assert [(each.returncode, errors) for each, (_, errors) in zip(processes, answers, strict=True)] == [
        (0, "")
    ] * count
    return [answer.splitlines() for answer, _ in answers]


def test_three_crawlers_at_once_stay_within_one_budget(environment: dict[str, str], database: Database) -> None:
    said = crawlers(environment, CRAWLER, 3, HOST, "0.05", "80")
    starts = sorted(datetime.fromisoformat(line) for lines in said for line in lines)
    assert len(starts) == 240
    gaps = [two - one for one, two in pairwise(starts)]
    assert min(gaps) >= timedelta(seconds=0.05)  # exactly: one clock, and one row that all of them lock
    assert row(database, "requests") == (240,)


def test_a_place_is_counted_from_when_it_was_had_not_from_when_it_was_asked_for(
    settings: Settings, database: Database
) -> None:
    async def work(budgets: Budgets) -> tuple[Place, datetime]:
        await budgets.reserve(HOST, 0)
        with database.transaction():
            database.execute("select 1 from ops.host_budgets for update")
            place = asyncio.ensure_future(budgets.place(HOST, 1))
            waits = (
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            )
            await wait_until(lambda: database.execute(waits).fetchone() == (1,))
            released = now(database)
        return await place, released

    place, released = run(settings, work)
    assert place.starts_at >= released


def test_those_who_wait_together_have_their_places_with_one_statement(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[Place]:
        return await asyncio.gather(*(budgets.place(HOST, 10) for _ in range(16)))

    database.execute(
        """
        create table statements (at timestamptz default clock_timestamp());
        create function note_statement() returns trigger language plpgsql as $$
        begin
            insert into statements default values;
            return null;
        end $$;
        create trigger note_statement after insert or update on ops.host_budgets
        for each row execute function note_statement()
        """
    )
    places = run(settings, work)
    starts = [each.starts_at for each in places]
    assert [(one - starts[0]).total_seconds() for one in starts] == [10 * number for number in range(16)]
    assert [round(one.seconds - places[0].seconds) for one in places] == [10 * number for number in range(16)]
    assert row(database, "requests, next_at") == (16, starts[-1] + timedelta(seconds=10))
    assert database.execute("select count(*) from statements").fetchone() == (1,)


def test_who_gives_up_while_waiting_takes_no_place_from_the_others(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[Place | BaseException]:
        await budgets.reserve(HOST, 0)
        with database.transaction():
            database.execute("select 1 from ops.host_budgets for update")
            waiting = [asyncio.ensure_future(budgets.place(HOST, 10)) for _ in range(4)]
            await asyncio.sleep(0.1)
            waiting[1].cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        return [*found, await budgets.place(HOST, 10)]

    first, gone, third, fourth, last = run(settings, work)
    assert isinstance(gone, asyncio.CancelledError)
    for number, place in ((2, third), (3, fourth), (4, last)):
        assert isinstance(first, Place)
        assert isinstance(place, Place)
        assert place.starts_at - first.starts_at == timedelta(seconds=10 * number)


def test_all_who_wait_hear_what_went_wrong_and_the_next_are_not_held_up(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        await budgets.reserve(HOST, 0)
        database.execute("alter table ops.host_budgets rename to elsewhere")
        found = await asyncio.gather(*(budgets.place(HOST, 1) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in found] == [psycopg.errors.UndefinedTable] * 3
        database.execute("alter table ops.elsewhere rename to host_budgets")
        assert (await budgets.place(HOST, 1)).seconds == 0

    run(settings, work)


# The requests of a day


def test_no_more_than_the_requests_of_the_day_are_reserved(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[object]:
        return await asyncio.gather(*(budgets.reserve(HOST, 7) for _ in range(6)), return_exceptions=True)

    done = run(settings, work, daily=4)
    refused = [each for each in done if isinstance(each, DailyCapReached)]
    assert len(refused) == 2
    assert (refused[0].host, refused[0].cap) == (HOST, 4)
    assert "VINOPS_DAILY_REQUESTS" in str(refused[0])
    requests, next_at = row(database, "requests, next_at")
    assert requests == 4
    assert next_at < now(database) + timedelta(seconds=28.1), "a refused request took a place"


@pytest.mark.parametrize(("name", "refuses"), [("careful", True), ("steady", False), ("none", False)])
def test_the_careful_pace_has_a_limit_of_its_own_and_the_steady_one_its_gaps(
    settings: Settings, database: Database, name: str, refuses: bool
) -> None:
    async def work(budgets: Budgets) -> bool:
        await budgets.reserve(HOST, 0)
        database.execute("update ops.host_budgets set requests = 60_000")
        try:
            await budgets.reserve(HOST, 0)
        except DailyCapReached:
            return True
        return False

    assert run(settings, work, daily=politeness.pace(name).daily_cap(None)) is refuses
    database.execute("update ops.host_budgets set requests = 0")
    assert run(settings, work, daily=politeness.pace(name).daily_cap(50_000)) is True


def test_the_next_day_counts_from_one(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        await budgets.reserve(HOST, 0)
        await budgets.reserve(HOST, 0)
        with pytest.raises(DailyCapReached):
            await budgets.reserve(HOST, 0)
        database.execute("update ops.host_budgets set day = day - 1")
        await budgets.reserve(HOST, 0)
        await budgets.reserve(HOST, 0)
        with pytest.raises(DailyCapReached):
            await budgets.reserve(HOST, 0)

    run(settings, work, daily=2)
    assert row(database, "requests, day = (clock_timestamp() at time zone 'UTC')::date") == (2, True)


def test_who_asked_before_midnight_does_not_bring_the_old_day_back(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        await budgets.reserve(HOST, 0)
        database.execute("update ops.host_budgets set day = day + 1")  # another machine was first behind midnight
        await budgets.reserve(HOST, 0)

    run(settings, work)
    assert row(database, "requests, day - (clock_timestamp() at time zone 'UTC')::date") == (2, 1)


# Retry-After


def test_nobody_asks_before_a_postponed_time_is_over(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[datetime]:
        await budgets.postpone(HOST, 500)
        await budgets.postpone(HOST, 100)  # takes nothing back
        await budgets.postpone(HOST, -5)
        return [(await budgets.place(HOST, 2)).starts_at for _ in range(2)]

    before = now(database)
    one, two = run(settings, work)
    after = now(database)
    assert before + timedelta(seconds=500) <= one <= after + timedelta(seconds=500)
    assert two - one == timedelta(seconds=2)
    assert row(database, "requests") == (2,)


def test_nobody_is_postponed_for_more_than_a_day(settings: Settings, database: Database) -> None:
    run(settings, lambda budgets: budgets.postpone(HOST, 1e12))
    (next_at,) = row(database, "next_at")
    assert timedelta(hours=23) < next_at - now(database) <= timedelta(days=1)


# The breaker


def test_it_opens_after_so_many_refusals_in_a_row_and_keeps_everybody_out(
    settings: Settings, database: Database
) -> None:
    async def work(budgets: Budgets) -> datetime:
        await budgets.reserve(HOST, 3)
        assert await budgets.refused(HOST, "http_403") is None
        assert await budgets.refused(HOST, "http_403") is None
        assert await budgets.open_breakers([HOST]) == []
        until = await budgets.refused(HOST, "http_429")
        assert until is not None
        _, next_at = row(database, "requests, next_at")
        async with opened(settings) as another:
            for each in (budgets, another):
                with pytest.raises(BreakerOpen) as caught:
                    await each.reserve(HOST, 3)
                assert (caught.value.host, caught.value.until, caught.value.kind) == (HOST, until, "http_429")
            assert await another.open_breakers([HOST, "other"]) == [
                OpenBreaker(host=HOST, until=until, kind="http_429")
            ]
            assert await another.open_breakers(["other"]) == []
            await another.reserve("other", 3)
        assert row(database, "requests, next_at") == (1, next_at), "a refused request took a place"
        return until

    before = now(database)
    until = run(settings, work)
    assert before + timedelta(seconds=HOUR) <= until <= now(database) + timedelta(seconds=HOUR)
    assert row(database, "times_opened, open_until, last_refusal") == (1, until, "http_429")


def test_a_captcha_opens_it_at_once(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        assert await budgets.refused(HOST, "captcha", at_once=True) is not None
        with pytest.raises(BreakerOpen):
            await budgets.reserve(HOST, 0)
        later(database, HOUR)
        await budgets.reserve(HOST, 0)
        assert await budgets.refused(HOST, "http_403") is not None, "it was not on trial"

    run(settings, work)
    assert row(database, "times_opened") == (2,)


def test_a_limit_of_one_refusal_opens_it_with_the_first(settings: Settings) -> None:
    assert run(settings, lambda budgets: budgets.refused(HOST, "http_403"), refusals=1) is not None


def test_refusals_while_it_is_open_neither_prolong_nor_reopen_it(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[datetime | None]:
        return [await budgets.refused(HOST, "http_403", at_once=at_once) for at_once in (True, False, True, False)]

    assert len(set(run(settings, work))) == 1
    assert row(database, "times_opened") == (1,)


def test_each_time_in_a_row_it_is_open_twice_as_long_and_a_day_at_the_most(
    settings: Settings, database: Database
) -> None:
    async def work(budgets: Budgets) -> list[float]:
        lengths = []
        for _ in range(8):
            until = None
            while until is None:
                until = await budgets.refused(HOST, "http_403")
            lengths.append(round((until - now(database)).total_seconds() / HOUR, 1))
            later(database, 24 * HOUR)
            await budgets.reserve(HOST, 0)  # it is closed
        return lengths

    assert run(settings, work) == [1, 2, 4, 8, 16, 24, 24, 24]


def test_when_it_has_closed_one_refusal_opens_it_again(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        for _ in range(3):
            await budgets.refused(HOST, "http_403")
        later(database, HOUR)
        await budgets.reserve(HOST, 0)
        assert await budgets.refused(HOST, "http_403") is not None

    run(settings, work)
    assert row(database, "times_opened") == (2,)


def test_when_it_has_closed_a_success_makes_the_row_start_anew_but_not_the_length(
    settings: Settings, database: Database
) -> None:
    async def work(budgets: Budgets) -> datetime:
        await budgets.refused(HOST, "captcha", at_once=True)
        later(database, HOUR)
        async with opened(settings) as another:  # it knows of the refusals by its place
            await another.reserve(HOST, 0)
            assert await another.succeeded(HOST) is True
        assert await budgets.refused(HOST, "http_403") is None
        assert await budgets.refused(HOST, "http_403") is None
        until = await budgets.refused(HOST, "http_403")
        assert until is not None
        return until

    until = run(settings, work)
    assert timedelta(hours=1.9) < until - now(database) <= timedelta(hours=2)


def test_after_a_day_without_being_open_it_opens_for_the_first_length_again(
    settings: Settings, database: Database
) -> None:
    async def work(budgets: Budgets) -> list[float]:
        lengths = []
        for closed_for in (23.9, 24.1, 0):
            until = await budgets.refused(HOST, "captcha", at_once=True)
            assert until is not None
            length = round((until - now(database)).total_seconds() / HOUR, 1)
            lengths.append(length)
            later(database, (length + closed_for) * HOUR)
        return lengths

    assert run(settings, work) == [1, 2, 1]
    assert row(database, "times_opened") == (1,)


def test_a_success_ends_the_row_of_refusals(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        for _ in range(3):
            await budgets.refused(HOST, "http_403")
            await budgets.refused(HOST, "http_403")
            assert await budgets.succeeded(HOST) is False

    run(settings, work)
    assert row(database, "refusals_in_row, open_until") == (0, None)


def test_an_answer_to_what_was_asked_before_does_not_take_it_off_trial(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        await budgets.refused(HOST, "captcha", at_once=True)
        assert await budgets.succeeded(HOST) is False
        with pytest.raises(BreakerOpen):
            await budgets.reserve(HOST, 0)
        later(database, HOUR)
        assert await budgets.refused(HOST, "http_403") is not None

    run(settings, work)


def test_a_success_costs_no_statement_where_there_is_nothing_to_end(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        await budgets.reserve(HOST, 0)
        with database.transaction():
            database.execute("lock table ops.host_budgets in access exclusive mode")  # a statement would hang
            assert await budgets.succeeded(HOST) is False
        await budgets.refused(HOST, "http_403")
        await budgets.succeeded(HOST)
        with database.transaction():
            database.execute("lock table ops.host_budgets in access exclusive mode")
            assert await budgets.succeeded(HOST) is False

    run(settings, work)
    assert row(database, "refusals_in_row") == (0,)


def test_a_breaker_that_an_operator_opened_has_a_kind_too(settings: Settings, database: Database) -> None:
    database.execute(
        "insert into ops.host_budgets (host, open_until) values (%s, clock_timestamp() + interval '1 h')", (HOST,)
    )
    with pytest.raises(BreakerOpen, match="unknown"):
        run(settings, lambda budgets: budgets.reserve(HOST, 0))


REFUSED = """
import asyncio, sys
from vinops import alerts, config
from vinops.db import database
from vinops.politeness import Budgets

async def crawl(host):
    settings = config.load()
    pool = database.async_pool(settings, application="crawler")
    connection = database.connect(settings, application="crawler", autocommit=True)
    async with pool:
        budgets = Budgets(pool, daily=100_000, refusals=5, open_seconds=60)
        async with pool.connection():
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        for until in await asyncio.gather(*(budgets.refused(host, "http_403") for _ in range(10))):
            if until is not None:
                print(until.isoformat(), alerts.raise_alert(connection, settings, "blocked", host, f"until {until}"))
    connection.close()

asyncio.run(crawl(sys.argv[1]))
"""


def test_of_two_processes_refused_at_once_one_opens_it_and_one_alert_is_raised(
    environment: dict[str, str], database: Database
) -> None:
    silent = REFUSED.replace("import asyncio, sys", "import asyncio, logging, sys; logging.disable()")
    said = [line.split() for lines in crawlers(environment, silent, 2, HOST) for line in lines]
    assert len(said) == 16, "all but the first four know that it is open"
    assert len({until for until, _ in said}) == 1
    assert [new for _, new in said].count("True") == 1
    assert row(database, "refusals_in_row, times_opened") == (20, 1)
    assert database.execute("select kind, subject, times from ops.alerts").fetchall() == [("blocked", HOST, 16)]


def test_a_process_that_is_killed_holds_up_nobody(
    settings: Settings, environment: dict[str, str], database: Database
) -> None:
    killed = CRAWLER.replace("print(place", "sys.stdin.read(); print(place")  # it waits, its places reserved
    process = subprocess.Popen(
        [sys.executable, "-c", killed, HOST, "5", "4"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()

    async def work(budgets: Budgets) -> float:
        await wait_until(lambda: database.execute("select requests from ops.host_budgets").fetchone() == (4,))
        process.kill()
        process.communicate()
        return await budgets.reserve(HOST, 5)

    assert run(settings, work) <= 20


# The connections


def test_its_connections_are_like_all_others(settings: Settings) -> None:
    async def work(budgets: Budgets) -> tuple[Any, ...] | None:
        async with budgets._pool.connection() as connection:
            assert connection.autocommit
            names = ("timezone", "client_encoding", "application_name")
            asked = "select current_setting(%s), current_setting(%s), current_setting(%s)"
            return await (await connection.execute(asked, names)).fetchone()

    assert run(settings, work) == ("UTC", "UTF8", "politeness")


def test_it_can_be_opened_twice_and_closed_unopened(settings: Settings) -> None:
    async def whole() -> None:
        pool = db.async_pool(settings, application="twice")
        await pool.open()
        await pool.open()
        async with pool.connection() as connection:
            await connection.execute("select 1")
        await pool.close()
        await pool.close()
        await db.async_pool(settings, application="never").close()

    asyncio.run(whole())


def test_no_more_connections_are_made_than_asked_for(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> None:
        await asyncio.gather(*(budgets.reserve(HOST, 0) for _ in range(50)))

    async def count(budgets: Budgets) -> tuple[Any, ...] | None:
        await work(budgets)
        return database.execute(f"select count(*) {OURS}").fetchone()

    found = run(settings, count, size=2)
    assert found is not None
    assert 1 <= found[0] <= 2


def test_the_log_does_not_tell_of_every_connection(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(settings, lambda budgets: budgets.reserve(HOST, 0))
    assert [each for each in caplog.records if each.name == "psycopg.pool"] == []


def test_a_database_that_is_behind_is_refused(empty_url: str) -> None:
    with pytest.raises(db.NotMigrated, match="vinops migrate"):
        db.async_pool(Settings(database_url=Secret(empty_url)), application="t")


def test_a_database_that_is_not_there_is_a_database_error(settings: Settings) -> None:
    away = replace(settings, database_url=Secret("postgresql://vinops:canary-81f@127.0.0.1:1/vinops"))
    with pytest.raises(db.DatabaseError, match="DATABASE_URL") as caught:
        db.async_pool(away, application="t")
    assert "canary-81f" not in str(caught.value)


def test_connections_that_broke_are_replaced(settings: Settings, database: Database) -> None:
    async def work(budgets: Budgets) -> list[float]:
        await asyncio.gather(*(budgets.reserve(HOST, 100) for _ in range(8)))
        ended = database.execute(f"select count(pg_terminate_backend(pid, 60000)) {OURS}").fetchone()
        assert ended is not None
        assert ended[0] >= 1
        return list(await asyncio.gather(*(budgets.reserve(HOST, 100) for _ in range(8))))

    assert max(run(settings, work)) > 1400


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_embedded_server_is_started_again_under_an_open_pool(open_folder: Path, how: str) -> None:
    settings = Settings(data_dir=open_folder, embedded_linger=1)
    base = embedded.folder(open_folder)

    async def work(budgets: Budgets) -> float:
        await budgets.reserve(HOST, 1000)
        if how == "stopped":
            await asyncio.to_thread(embedded.stop, base)
        else:
            pid = embedded.process.server_pid(base)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await wait_until(lambda: embedded.process.server_pid(base) is None)
        # A backend may outlive its killed server by a moment: the connection breaks then, and crawls try again.
        return await tried(lambda: budgets.reserve(HOST, 1000))

    assert 0 < run(settings, work) <= 1000, "the place of before is not known any more"


def test_a_server_that_stays_away_is_a_database_error(open_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = Settings(data_dir=open_folder, embedded_linger=1)
    db.connect(own, application="t").close()
    base = embedded.folder(open_folder)
    url = f"postgresql://vinops:canary-81f@/vinops?host={str(base / 'run').replace('/', '%2F')}"
    settings = Settings(database_url=Secret(url))

    async def whole() -> None:
        pool = db.async_pool(settings, application="away")
        async with pool:
            async with pool.connection() as connection:
                await connection.execute("select 1")
            await asyncio.to_thread(embedded.stop, base)
            with pytest.raises(db.DatabaseError, match="Check DATABASE_URL") as caught:
                async with pool.connection(timeout=1):
                    pass
            assert caught.value.__suppress_context__
            assert "canary-81f" not in str(caught.value) + caplog.text

    asyncio.run(whole())


# Pace, loopback and Retry-After


def test_the_paces(settings: Settings) -> None:
    careful, steady, none = (pace(name) for name in PACES)
    assert (careful.lot_gap, careful.page_gap, careful.image_gap) == (24, 3, 0.5)
    assert 60 / careful.lot_gap == 2.5
    assert (steady.lot_gap, steady.page_gap, steady.image_gap) == (0, 3, 0.5)
    assert (none.lot_gap, none.page_gap, none.image_gap) == (0, 0, 0)
    assert pace(settings.pace) == careful


def test_a_fast_clock_shortens_every_gap() -> None:
    careful = pace("careful", speed=10)
    assert (careful.lot_gap, careful.page_gap, careful.image_gap) == (2.4, 0.3, 0.05)
    assert careful.daily == pace("careful").daily == 60_000


@pytest.mark.parametrize(("name", "speed"), [("reckless", 1), ("careful", 0), ("careful", -1), ("none", float("nan"))])
def test_what_is_no_pace_is_refused(name: str, speed: float) -> None:
    with pytest.raises(ValueError, match="careful, steady, none"):
        pace(name, speed=speed)


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("1.5", 1.5),
        ("0", 0),
        ("-5", 0),
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 5000, 86_400),
        ("Tue, 24 Nov 2026 12:02:00 GMT", 120),
        ("Tue, 24 Nov 2026 12:02:00", 120),  # without a zone it is UTC
        ("Tue, 24 Nov 2026 13:02:00 +0100", 120),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("Tue, 24 Nov 2099 11:00:00 GMT", 86_400),
        *((nonsense, None) for nonsense in (None, "", " ", "soon", "inf", "nan", "1e9", "12 s", "٣", "1,5")),
        *((f"Tue, {day} 12:00:00 GMT", None) for day in ("32 Nov 2026", "24 Foo 2026", "24 Nov 99999")),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOON) == seconds


def test_retry_after_goes_by_the_moment_not_by_the_zone() -> None:
    assert retry_after("Tue, 24 Nov 2026 12:02:00 GMT", NOON.astimezone(timezone(timedelta(hours=-7)))) == 120


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} [-+A-Z0-9]{1,9}"))
def test_no_retry_after_is_an_error(value: str) -> None:
    seconds = retry_after(value, NOON)
    assert seconds is None or 0 <= seconds <= 86_400


def test_more_at_once_than_a_day_allows_have_what_the_day_allows(settings: Settings, database: Database) -> None:
    """Also when nothing was asked of the host before, and when a day begins."""

    async def work(budgets: Budgets) -> list[int]:
        counts = []
        for _ in range(2):
            done = await asyncio.gather(*(budgets.reserve(HOST, 0) for _ in range(7)), return_exceptions=True)
            counts.append(sum(isinstance(each, float) for each in done))
            database.execute("update ops.host_budgets set day = day - 1")
        return counts

    assert run(settings, work, daily=3) == [3, 3]
