"""The exchange rate: fetched from a stand-in, kept in the database, and never replaced by a bad one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from deals import alarms
from deals.landed import rates
from deals.landed.rates import JumpError, RateError
from standin.rates.server import PATH, RatesServer
from vinops.checks import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from vinops.config import Settings

TODAY = date(2026, 11, 30)


@pytest.fixture
def ecb() -> Iterator[RatesServer]:
    with RatesServer(usd="1.1012") as server:
        yield server


@pytest.fixture
def here(settings: Settings, ecb: RatesServer) -> Settings:
    """Settings that lead to the stand-in, whose budget leaves no gap."""
    return replace(settings, ecb_rates_url=ecb.url, clock_speed=1000.0)


def kept(database: Connection[Any]) -> list[tuple[Any, ...]]:
    return database.execute("select currency, day, rate from exchange_rates order by day").fetchall()


def again(database: Connection[Any]) -> None:
    """Let the host be asked at once."""
    database.execute("update ops.host_budgets set next_at = now(), open_until = null, refusals_in_row = 0")


def test_a_rate_is_fetched_and_kept_once(database: Connection[Any], here: Settings, ecb: RatesServer) -> None:
    today = datetime.now(UTC).date()
    assert rates.newest(database) is None
    assert rates.refresh(database, here) == f"new: 1.1012 of {today}"
    again(database)
    assert rates.refresh(database, here) == f"unchanged: 1.1012 of {today}"
    assert kept(database) == [("USD", today, Decimal("1.101200"))]
    found = rates.newest(database)
    assert found is not None
    assert (found.usd, found.day) == (Decimal("1.1012"), today)
    assert [each.path for each in ecb.requests] == [PATH, PATH]
    assert ecb.requests[0].user_agent == here.user_agent
    assert database.execute("select requests from ops.host_budgets").fetchone() == (2,)


def test_the_budget_of_the_host_is_kept(database: Connection[Any], here: Settings, ecb: RatesServer) -> None:
    patient = replace(here, clock_speed=1.0)
    rates.refresh(database, patient)
    with pytest.raises(RateError, match="was asked a moment ago: try again in"):
        rates.refresh(database, patient)
    assert len(ecb.requests) == 1
    again(database)
    with pytest.raises(RateError, match="is not asked today"):
        rates.refresh(database, replace(here, daily_requests=1))
    assert len(ecb.requests) == 1


def test_a_try_that_comes_too_early_postpones_no_other(
    database: Connection[Any], here: Settings, ecb: RatesServer
) -> None:
    usual = replace(here, clock_speed=1.0)
    rates.refresh(database, usual)
    state = "select next_at, requests from ops.host_budgets"
    before = database.execute(state).fetchall()
    for _ in range(3):
        with pytest.raises(RateError, match="was asked a moment ago"):
            rates.refresh(database, usual)
    assert database.execute(state).fetchall() == before
    assert len(ecb.requests) == 1


def test_a_jump_is_refused_until_somebody_accepts_it(
    database: Connection[Any], here: Settings, ecb: RatesServer
) -> None:
    ecb.day = datetime.now(UTC).date() - timedelta(days=1)
    rates.refresh(database, here)
    ecb.day, ecb.usd = None, "1.1563"  # 5.004 % more
    again(database)
    with pytest.raises(JumpError, match="it was refused: compare it with the ECB's page"):
        rates.refresh(database, here)
    assert [each[2] for each in kept(database)] == [Decimal("1.101200")], "the last good one stays"
    alerts = "select kind from ops.alerts where cleared_at is null"
    assert database.execute(alerts).fetchall() == [("exchange_rate",)]
    again(database)
    rates.refresh(database, here, accept_jump=True)
    assert len(kept(database)) == 2
    assert database.execute(alerts).fetchall() == []


def test_a_move_of_less_than_a_twentieth_is_taken(database: Connection[Any], here: Settings, ecb: RatesServer) -> None:
    ecb.day = datetime.now(UTC).date() - timedelta(days=1)
    rates.refresh(database, here)
    ecb.day, ecb.usd = None, "1.0462"  # 4.99 % less
    again(database)
    assert rates.refresh(database, here).startswith("new: 1.0462")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("forbidden_403", "answered 403"),
        ("too_many_429", "answered 429"),
        ("server_error_502", "answered 502"),
        ("redirect", "answered 302"),
        ("html", "is no XML"),
        ("huge", "has more than 100,000 bytes"),
        ("bomb", "declares a document type"),
        ("cut", "is no XML"),
        ("no_dollar", "has no day or no rate of the dollar"),
        ("reset", r"did not answer \((ConnectionResetError|RemoteDisconnected)\)"),
        ("garbage", "did not answer"),
    ],
)
def test_what_is_no_rate_changes_nothing(
    fault: str, says: str, database: Connection[Any], here: Settings, ecb: RatesServer
) -> None:
    ecb.day = datetime.now(UTC).date() - timedelta(days=1)
    rates.refresh(database, here)
    before = kept(database)
    ecb.day = None
    again(database)
    ecb.fault(fault, times=1)
    with pytest.raises(RateError, match=says):
        rates.refresh(database, here)
    assert kept(database) == before
    again(database)
    assert rates.refresh(database, here).startswith("new: ")


def test_an_answer_that_drips_is_given_up(
    database: Connection[Any], here: Settings, ecb: RatesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "FETCH_SECONDS", 0.3)
    ecb.fault("drip", times=1)
    with pytest.raises(RateError, match="sent the file too slowly"):
        rates.refresh(database, here)
    assert kept(database) == []


def test_refusals_open_the_breaker_and_retry_after_is_honoured(
    database: Connection[Any], here: Settings, ecb: RatesServer
) -> None:
    ecb.fault("too_many_429", times=1, retry_after=300)
    with pytest.raises(RateError, match="answered 429"):
        rates.refresh(database, here)
    with pytest.raises(RateError, match="was asked a moment ago"):
        rates.refresh(database, here)
    database.execute("update ops.host_budgets set next_at = now()")
    ecb.fault("forbidden_403")
    for _ in range(here.breaker_refusals - 1):
        database.execute("update ops.host_budgets set next_at = now()")
        with pytest.raises(RateError, match="answered 403"):
            rates.refresh(database, here)
    asked = len(ecb.requests)
    database.execute("update ops.host_budgets set next_at = now()")
    with pytest.raises(RateError, match="its breaker is open"):
        rates.refresh(database, here)
    assert len(ecb.requests) == asked


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<Cube><Cube time='2026-12-01'><Cube currency='USD' rate='1.1'/></Cube></Cube>", "which is still to come"),
        ("<Cube><Cube time='2026-11-27'><Cube currency='USD' rate='0'/></Cube></Cube>", "no rate of the dollar"),
        ("<Cube><Cube time='2026-11-27'><Cube currency='USD' rate='x'/></Cube></Cube>", "no rate of the dollar"),
        ("<Cube><Cube time='27.11.2026'><Cube currency='USD' rate='1.1'/></Cube></Cube>", "no day"),
        ("<Cube/>", "no day or no rate"),
        ("<a>" * 11 + "</a>" * 11, "nested too deep"),
        (
            "<C><Cube time='2026-11-27'><Cube currency='USD' rate='1.1'/></Cube><Cube time='2026-11-26'/></C>",
            "several days",
        ),
        (
            "<C><Cube time='2026-11-27'><Cube currency='USD' rate='1.1'/><Cube currency='USD' rate='1.2'/></Cube></C>",
            "several rates of the dollar",
        ),
        ("<?xml version='1.0' encoding='nobodys'?><Cube/>", "is no XML"),
        ("", "is no XML"),
    ],
)
def test_a_file_that_is_not_the_ecbs_is_refused(text: str, says: str) -> None:
    with pytest.raises(RateError, match=says):
        rates.parse(text.encode(), today=TODAY)


def test_the_ecbs_file_is_read() -> None:
    found = rates.parse(RatesServer(usd="1.1578", day=date(2026, 11, 27)).content().encode(), today=TODAY)
    assert (found.day, found.rate) == (date(2026, 11, 27), Decimal("1.1578"))


@pytest.mark.parametrize(("days", "level"), [(0, Level.OK), (5, Level.OK), (6, Level.WARNING), (400, Level.WARNING)])
def test_a_rate_that_is_older_than_five_days_warns(days: int, level: Level) -> None:
    assert rates.judge(TODAY - timedelta(days=days), TODAY).level is level
    assert rates.judge(None, TODAY).level is Level.OK


def test_the_alarm_says_that_the_rate_is_old_and_clears(database: Connection[Any], here: Settings) -> None:
    database.execute(
        "insert into exchange_rates (currency, day, rate, source) values ('USD', current_date - 9, 1.1, 'x')"
    )
    [alarm] = alarms.watch(database, here, {"exchange_rate_old"})
    assert "9 days ago" in alarm.finding.message
    assert alarm.finding.fix == "vinops landed rate --fetch"
    rates.refresh(database, here)
    assert alarms.watch(database, here, {"exchange_rate_old"}) == []
