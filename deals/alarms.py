"""The alarms of the deals, each a check with its limit; those of Telegram are raised in channel/post.py.

ALARMS has the check of each kind of alert: it yields a finding for each subject. One that is not OK opens an alert in
ops.alerts, one that is OK clears it. `vinops health` takes its line `backlog` from here, so both have one limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from deals.landed import rates
from deals.queue.outbox import statements
from deals.stages.registry import LOT_STAGES, STAGES
from vinops import alerts
from vinops.checks import Finding, Level, Limit, ok, warning
from vinops.db.database import queries
from vinops.text.figures import age, amount, percent, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from psycopg import Connection

    from vinops.config import Settings

# Workers take 500 ads in a second or two, and a lease of a dead one ends after two minutes.
BACKLOG: Final = Limit(30 * 60, 2 * 3600, age)
GIVEN_UP: Final = Limit(1)
# A full minute of 429 and one of an unavailable database pass by themselves.
SENDING: Final = Limit(10 * 60, 3600, age)
START_BOT: Final = "systemctl restart vinops-watch.service, or by hand: end it, then nohup vinops watch bot &"
UNKNOWN_MODELS: Final = Limit(0.1, unit=percent)  # of 5,269 real ads it was less than a hundredth
LEAST_ADS: Final = 200  # of fewer, a few odd ones are a large share


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A finding about a subject, and the kind of alert that it opens or clears."""

    kind: str
    subject: str
    finding: Finding


@dataclass(frozen=True)
class Backlog:
    """The ads that wait for a stage, the time the oldest was queued, and the ads that were given up there."""

    stage: str
    waiting: int
    in_hand: int
    dead: int
    oldest: datetime | None


def watch(connection: Connection[Any], settings: Settings, kinds: Collection[str] | None = None) -> list[Alarm]:
    """Raise the alarms that are on, clear the others, and return those that are on; with `kinds` only these.

    The connection is in autocommit. If the process dies here, the next call does what is left.
    """
    found = list(alarms(connection, kinds))
    is_on = [alarm for alarm in found if alarm.finding.level is not Level.OK]
    for alarm in found:
        if alarm in is_on:
            message = f"{alarm.finding.message}: `{alarm.finding.fix}`"
            alerts.raise_alert(connection, settings, alarm.kind, alarm.subject, message)
        else:
            alerts.clear_alert(connection, alarm.kind, alarm.subject)
    alerts.deliver(connection, settings)
    return is_on


def alarms(connection: Connection[Any], kinds: Collection[str] | None = None) -> Iterator[Alarm]:
    """Run the check of every alarm, or of these kinds, and yield what each finds, OK or not."""
    for kind, check in ALARMS.items():
        if kinds is not None and kind not in kinds:
            continue
        for subject, finding in check(connection):
            yield Alarm(kind=kind, subject=subject, finding=finding)


def told(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    """Check how long messages and answers of the bot wait to be sent."""
    row = connection.execute(queries("watch_people")["watching"]).fetchone()
    oldest = row[3] if row else None
    if oldest is None:
        yield "bot", ok("nothing waits", SENDING.unit(SENDING.warning))
    else:
        seconds = max((datetime.now(UTC) - oldest).total_seconds(), 0.0)
        yield "bot", SENDING.judge(seconds, f"the oldest message of the alerts waits for {age(seconds)}", fix=START_BOT)


def waits(stage: Backlog, now: datetime, thing: str = "ad", fix: str = "vinops deals run") -> Finding:
    """Check how long the oldest ad, or lot, has waited for a stage."""
    if stage.oldest is None:
        return ok(f"no {thing} waits for {stage.stage}", BACKLOG.unit(BACKLOG.warning))
    seconds = max((now - stage.oldest).total_seconds(), 0.0)
    verb = "waits" if stage.waiting == 1 else "wait"
    text = f"{plural(stage.waiting, thing)} {verb} for {stage.stage}, the oldest for {age(seconds)}"
    return BACKLOG.judge(seconds, text, fix=fix)


def given_up(stages: Iterable[Backlog], thing: str = "ad", fix: str = "vinops deals dead") -> Finding:
    """Check how many ads, or lots, were given up."""
    dead = sum(stage.dead for stage in stages)
    return GIVEN_UP.judge(dead, f"{plural(dead, thing)} given up", fix=fix)


def unknown_models(ads: int, unknown: int) -> Finding:
    """Check for how many ads the model is unknown."""
    if ads < LEAST_ADS:
        return ok(f"{amount(ads)} ads are too few to tell")
    text = f"the model of {amount(unknown)} of {amount(ads)} ads is unknown; new ones belong in vinops/vehicles_*.toml"
    return UNKNOWN_MODELS.judge(unknown / ads, text, fix="vinops deals unknowns")


def _backlog(connection: Connection[Any]) -> list[Backlog]:
    about = {"stages": list(STAGES)}
    return [Backlog(*row) for row in connection.execute(queries("deals")["backlog"], about).fetchall()]


def _backlog_of_lots(connection: Connection[Any]) -> list[Backlog]:
    about = {"stages": list(LOT_STAGES)}
    return [Backlog(*row) for row in connection.execute(statements(of_lots=True)["backlog"], about).fetchall()]


def _lots_late(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    now = datetime.now(UTC)
    yield from ((stage.stage, waits(stage, now, "lot", "vinops landed run")) for stage in _backlog_of_lots(connection))


def _lots_given_up(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    yield "lots", given_up(_backlog_of_lots(connection), "lot", "vinops landed dead")


def _late(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    now = datetime.now(UTC)
    yield from ((stage.stage, waits(stage, now)) for stage in _backlog(connection))


def _given_up(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    yield "ads", given_up(_backlog(connection))


def _unknown(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    ads, unknown, _ = connection.execute(queries("normalize")["unknown_rate"]).fetchone() or (0, 0, 0)
    yield "models", unknown_models(ads, unknown)


def _price_model(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    from deals.estimate import model  # NumPy takes long to import, and `vinops health` needs none

    model.check_drift(connection)
    found = model.current(connection)
    text = f"the price model is not used, comparables are: {found.reason}"
    yield "estimates", warning(text, fix="vinops deals train") if found.is_lost else ok(found.reason)


def _exchange_rate(connection: Connection[Any]) -> Iterator[tuple[str, Finding]]:
    found = rates.newest(connection)
    yield rates.CURRENCY, rates.judge(found.day if found else None, datetime.now(UTC).date())


ALARMS: Final[dict[str, Callable[[Connection[Any]], Iterator[tuple[str, Finding]]]]] = {
    "deals_backlog": _late,
    "deals_given_up": _given_up,
    "lots_backlog": _lots_late,
    "lots_given_up": _lots_given_up,
    "deals_unknown": _unknown,
    "price_model": _price_model,
    "exchange_rate_old": _exchange_rate,
    "watch_late": told,
}
