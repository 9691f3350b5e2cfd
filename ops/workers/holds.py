"""Conditions outside a crawl that keep it from starting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ops.workers import runs
from vinops import politeness
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from ops.workers.registry import Program
    from vinops.config import Settings

Reason = Literal["breaker", "postponed", "daily_cap", "elsewhere", "broker"]

TEXTS: Final = {
    "breaker": "{host} refuses, the breaker is open until {until}",
    "postponed": "{host} asked not to be requested until {until}",
    "daily_cap": "the requests of the day to {host} are used up, until {until}",
}


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What a program waits for, in a word and in words for people.

    A host: `breaker`, `postponed`, `daily_cap`. Another process that does its work: `elsewhere`, with its `pid` if it
    can be ended here. Of Celery `broker`: one that takes no messages, which no restart changes.
    """

    reason: Reason
    text: str
    pid: int | None = None


def hold_of(connection: Connection[Any], settings: Settings, program: Program) -> Hold | None:
    """Return what keeps a crawl from starting, None if nothing does."""
    if where := runs.elsewhere(connection, [program]).get(program.name):
        return Hold(reason="elsewhere", text=f"it runs elsewhere, as {where}")
    daily = politeness.pace(settings.pace).daily_cap(settings.daily_requests)
    about = {"hosts": sorted(program.hosts), "daily": politeness.NO_CAP if daily is None else daily}
    row = connection.execute(queries("workers")["holds"], about).fetchone()
    if row is None:
        return None
    host, reason, until = row
    return Hold(reason=reason, text=TEXTS[reason].format(host=host, until=f"{until:%Y-%m-%dT%H:%M:%SZ}"))
