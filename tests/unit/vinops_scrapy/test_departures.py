"""Requests of one process leave a gap apart, however late it wakes: the clock is one that the test turns."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import errors

from vinops.db.database import DatabaseError
from vinops.politeness import Departures
from vinops_scrapy.middlewares import budget as middlewares

HOST = "cs.copart.com"
GAP = 0.5


class Clock:
    """A clock that stands still but for sleeping, which ends late by what `lateness` has next."""

    def __init__(self, *lateness: float) -> None:
        self.now = 1000.0
        self.lateness = list(lateness)

    async def sleep(self, seconds: float) -> None:
        wakes_at = self.now + seconds + (self.lateness.pop(0) if self.lateness else 0.0)
        await asyncio.sleep(0)  # others have their turn
        self.now = max(self.now, wakes_at)


def departures(clock: Clock) -> Departures:
    return Departures(lambda: clock.now, clock.sleep)


def left_at(clock: Clock, places: list[float]) -> list[float]:
    """When requests leave that have these places, as seconds from now, one after the other."""
    began = clock.now
    leaving = departures(clock)

    async def work() -> list[float]:
        times = []
        for place in places:
            await leaving.leave(HOST, began + place - clock.now, GAP)
            times.append(clock.now - began)
        return times

    return asyncio.run(work())


def test_who_is_on_time_leaves_at_its_place() -> None:
    assert left_at(Clock(), [0.0, 0.5, 1.0, 4.0]) == pytest.approx([0.0, 0.5, 1.0, 4.0])


def test_behind_one_that_was_late_the_next_is_late_too() -> None:
    """The places alone, without this, are 0.3 s apart here."""
    assert left_at(Clock(0.2), [0.0, 0.5, 1.0, 1.5]) == pytest.approx([0.0, 0.7, 1.2, 1.7])


def test_what_is_late_is_not_passed_on_for_ever() -> None:
    assert left_at(Clock(0.2), [0.0, 0.5, 1.0, 2.5, 3.0]) == pytest.approx([0.0, 0.7, 1.2, 2.5, 3.0])


def test_several_who_wait_at_once_leave_a_gap_apart() -> None:
    clock = Clock(0.3, 0.1, 0.0, 0.2)
    leaving = departures(clock)
    times: list[float] = []

    async def one(place: float) -> None:
        await leaving.leave(HOST, place, GAP)
        times.append(clock.now)

    async def work() -> None:
        await asyncio.gather(*(one(GAP * number) for number in range(6)))

    asyncio.run(work())
    assert len(times) == 6
    assert min(later - sooner for sooner, later in pairwise(times)) >= GAP - 1e-9


def test_each_host_has_departures_of_its_own() -> None:
    clock = Clock()
    leaving = departures(clock)

    async def work() -> list[float]:
        return [await leaving.leave(host, 0.0, GAP) for host in (HOST, "other", HOST)]

    assert asyncio.run(work()) == pytest.approx([0.0, 0.0, GAP])


def test_without_a_gap_nobody_waits() -> None:
    async def work() -> list[float]:
        leaving = departures(Clock())
        return [await leaving.leave(HOST, 0.0, 0.0) for _ in range(3)]

    assert asyncio.run(work()) == [0.0, 0.0, 0.0]


def test_a_crawl_asks_for_places_with_something_to_spare_and_leaves_a_gap_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(0.2)
    leaving = departures(clock)
    asked: list[tuple[str, float]] = []
    stats: dict[str, float] = {}
    places = [1000.0, 1000.5, 1001.0]

    async def reserve(host: str, gap: float) -> float:
        asked.append((host, gap))
        return max(places.pop(0) - clock.now, 0.0)

    monkeypatch.setattr(middlewares, "budgets", lambda _: SimpleNamespace(reserve=reserve))
    monkeypatch.setattr(middlewares, "departures", lambda _: leaving)
    crawler: Any = SimpleNamespace(stats=SimpleNamespace(get_value=stats.get, set_value=stats.__setitem__))

    async def work() -> list[float]:
        times = []
        for _ in range(3):
            await middlewares.wait(crawler, HOST, GAP)
            times.append(clock.now - 1000.0)
        return times

    assert asyncio.run(work()) == pytest.approx([0.0, 0.7, 1.2])
    assert asked == [(HOST, GAP * 1.01)] * 3
    assert stats["budget/waited_seconds"] == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (errors.AdminShutdown("terminating connection"), middlewares.RESERVATIONS),
        (psycopg.OperationalError("the connection is closed"), middlewares.RESERVATIONS),
        (errors.DiskFull("could not extend file"), 1),
        (errors.UndefinedTable("relation does not exist"), 1),
    ],
)
def test_a_place_is_asked_for_again_only_when_the_connection_broke(
    error: psycopg.Error, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def reserve(host: str, gap: float) -> float:
        asked.append(host)
        raise error

    monkeypatch.setattr(middlewares, "budgets", lambda _: SimpleNamespace(reserve=reserve))
    crawler: Any = SimpleNamespace(stats=SimpleNamespace(inc_value=lambda _: None))
    with pytest.raises(DatabaseError, match=str(error)):
        asyncio.run(middlewares._reserve(crawler, HOST, GAP))
    assert len(asked) == times


def test_each_wait_is_told_before_it_begins() -> None:
    clock = Clock(0.0)
    told: list[tuple[float, float]] = []

    async def work() -> None:
        leaving = Departures(lambda: clock.now, clock.sleep, rest=lambda seconds: told.append((clock.now, seconds)))
        await leaving.leave(HOST, 300.0, GAP)

    began = clock.now
    asyncio.run(work())
    assert told == [(began, 300.0)]
