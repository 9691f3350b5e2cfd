"""The runs of the feed in audit.etl_runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from etl.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class LastLoad:
    """The file whose rows the tables hold."""

    file_id: int
    sha256: str
    rows_accepted: int
    newest_update: datetime | None


def last_load(connection: Connection[Any]) -> LastLoad | None:
    """Return the last file that was loaded."""
    row = connection.execute(queries("feed")["last_load"]).fetchone()
    if row is None:
        return None
    return LastLoad(file_id=row[0], sha256=row[1], rows_accepted=row[2], newest_update=row[3])


def record(connection: Connection[Any], outcome: Outcome, started_at: datetime) -> None:
    """Insert the row of a run; it takes effect when the caller commits."""
    values = asdict(outcome)
    values |= {"started_at": started_at, "seconds": json.dumps(outcome.seconds), "drift": json.dumps(outcome.drift)}
    connection.execute(queries("feed")["record_run"], values)
