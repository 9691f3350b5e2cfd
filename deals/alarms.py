"""The alarms of the deals street, but for Telegram's own: each a threshold, each cleared when it has passed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from deals.estimate import model as price_model
from deals.stages.registry import STAGES
from vinops import alerts
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from vinops.config import Settings

LONGEST_WAIT: Final = timedelta(minutes=30)  # workers take 500 ads in a second or two
MOST_UNKNOWN: Final = 0.1  # of the ads that are there; of 5,269 real ones it was less than a hundredth
LEAST_ADS: Final = 200  # of fewer, a few odd ones are many


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What is watched, and what there is to say; no message: all is well."""

    kind: str
    subject: str
    message: str = ""


def watch(connection: Connection[Any], settings: Settings) -> list[Alarm]:
    """Raise the alarms that are on and clear the others; return those that are on.

    The connection is in autocommit. If the process dies in it, the next call does what is left.
    """
    found = list(alarms(connection))
    for alarm in found:
        if alarm.message:
            alerts.raise_alert(connection, settings, alarm.kind, alarm.subject, alarm.message)
        else:
            alerts.clear_alert(connection, alarm.kind, alarm.subject)
    alerts.deliver(connection, settings)
    return [alarm for alarm in found if alarm.message]


def alarms(connection: Connection[Any]) -> Iterator[Alarm]:
    """Yield everything that is watched, whether there is something to say or not."""
    given_up = 0
    for stage, waiting, _, dead, oldest in connection.execute(
        queries("deals")["backlog"], {"stages": list(STAGES)}
    ).fetchall():
        given_up += dead
        is_late = oldest is not None and datetime.now(UTC) - oldest > LONGEST_WAIT
        yield Alarm(kind="deals_backlog", subject=stage, message=_late(stage, waiting, oldest) if is_late else "")
    yield Alarm(kind="deals_given_up", subject="ads", message=_given_up(given_up) if given_up else "")
    row = connection.execute(queries("normalize")["unknown_rate"]).fetchone()
    ads, unknown = (row[0], row[1]) if row else (0, 0)
    is_strange = ads >= LEAST_ADS and unknown > MOST_UNKNOWN * ads
    yield Alarm(kind="deals_unknown", subject="models", message=_unknown(ads, unknown) if is_strange else "")
    yield Alarm(kind="price_model", subject="estimates", message=_model(connection))


def _late(stage: str, waiting: int, oldest: datetime) -> str:
    return (
        f"{waiting} ads wait for the stage {stage}, the first since {oldest:%Y-%m-%d %H:%M} UTC: do the workers run? "
        "`vinops deals run` does the work here and now"
    )


def _given_up(ads: int) -> str:
    return f"{ads} ads were given up: `vinops deals dead` says why, and with --retry they are tried again"


def _unknown(ads: int, unknown: int) -> str:
    return (
        f"of {ads} ads the model of {unknown} is not known: `vinops deals unknowns` lists the words; "
        "they belong into vinops/vehicles_*.toml"
    )


def _model(connection: Connection[Any]) -> str:
    price_model.check_drift(connection)
    found = price_model.current(connection)
    return (
        f"the price model is not used, comparables are: {found.reason}; `vinops deals train`" if found.is_lost else ""
    )
