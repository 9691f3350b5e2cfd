"""Carries over the external effects since a backup was taken, when that backup replaces a database.

Messages in the channel and in the chat of the imports, requests to hosts and alerts cannot be undone: without their
records a database would post deals and lots twice, exceed its request budgets, and ask a host that has refused. Nor can
what people told the bot: who has asked to be forgotten stays forgotten, and watches are as they were left. If they
cannot be read, posting is held until an operator releases it (`vinops deals release`).
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ops.backup import dumps
from ops.backup.dumps import BackupError
from vinops import alerts
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("backup")

TOKENS: Final = "ops.deal_tokens"  # the sequence that numbers the attempts to send a message
OF_LOTS: Final = ("watch_lots", "watch_lot_keys")


@dataclass(frozen=True, kw_only=True)
class Carried:
    """How much was carried over, or why posting is held instead."""

    messages: int = 0
    hosts: int = 0
    alerts: int = 0
    held: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The external effects that a database has recorded: rows as JSON, and the last values of its sequences."""

    messages: str
    lot_messages: str
    hosts: str
    alerts: str
    holds: str
    people: str | None
    watches: str
    of_lots: Mapping[str, str]
    """What watches ask of lots, by table."""
    sequences: Mapping[str, int]


def carry_over(
    settings: Settings, replaced: str | None, restored: str, sequences: Mapping[str, int], *, name: str
) -> Carried:
    """Carry over from the database at the address `replaced` (None: there is none) into the one at `restored`, which is
    not in use yet. `sequences` are those of the backup, `name` is the name that the database will get.

    In one transaction: either everything is carried over, or posting is held. Raises BackupError if neither can be
    written.
    """
    import psycopg

    with closing(dumps.connect(restored, "vinops restore")) as connection:
        connection.execute(queries("carry_over")["settle_path"])
        tables = _tables(connection)
        if not tables["has_messages"]:
            return Carried()  # a database without messages posts none
        try:
            tried = _carried(connection, "tried_here")
            tried_lots = _carried(connection, "lots_tried_here") if tables["has_lot_messages"] else "[]"
            seen = _read(replaced, sequences, name, tried=tried, tried_lots=tried_lots)
            with connection.transaction():
                found = _write(connection, seen, tables)
        except (psycopg.Error, BackupError) as error:
            reason = " ".join(redact(str(error)).split())
            log.warning("nothing was carried over, posting is held: %s", reason)
            try:
                _hold(connection, settings, reason, tables)
            except psycopg.Error as failure:
                raise BackupError(
                    f"posting could not be held ({redact(str(failure)).strip()}), and what was posted since the backup "
                    f"is not known ({reason})"
                ) from None
            return Carried(held=reason)
    log.info("carried over %s", pairs(messages=found.messages, hosts=found.hosts, alerts=found.alerts))
    return found


def _tables(connection: Connection[Any]) -> dict[str, bool]:
    return dumps.named_row(connection.execute(queries("carry_over")["has_tables"]))


def _carried(connection: Connection[Any], statement: str, **values: object) -> str:
    """Return the text that a statement finds: rows as JSON, or a statement."""
    row = connection.execute(queries("carry_over")[statement], values or None).fetchone()
    return str(row[0]) if row else "[]"


def _read(replaced: str | None, sequences: Mapping[str, int], name: str, *, tried: str, tried_lots: str) -> _Seen:
    """Read the external effects that are not in the backup; `tried` and `tried_lots` are the ads and lots whose
    messages were being sent when it was taken. Raises psycopg.Error, and BackupError also if the database did not
    continue from the state of the backup: then it has no record of what was posted since."""
    if replaced is None:
        raise BackupError(f"there was no database {name} to carry over from")
    with closing(dumps.connect(replaced, "vinops restore")) as connection:
        known = dumps.sequences(connection)
        behind = sorted(each for each, value in sequences.items() if known.get(each, 0) < value)
        if behind:
            raise BackupError(
                f"the database {name} did not continue from the state of this backup ({behind[0]} is behind): it is "
                "another one, or a new one"
            )

        tables, token = _tables(connection), sequences.get(TOKENS, 0)
        return _Seen(
            messages=_carried(connection, "read_messages", token=token, carried=tried),
            lot_messages=_lot_messages(connection, tables, token, tried_lots),
            hosts=_carried(connection, "read_hosts"),
            alerts=_carried(connection, "read_alerts"),
            holds=_carried(connection, "read_holds") if tables["has_holds"] else "[]",
            people=_carried(connection, "read_people") if tables["has_watches"] else None,
            watches=_carried(connection, "read_watches") if tables["has_watches"] else "[]",
            of_lots={
                each: _carried(connection, f"read_{each}") if tables["has_watch_lots"] else "[]" for each in OF_LOTS
            },
            sequences=known,
        )


def _lot_messages(connection: Connection[Any], tables: Mapping[str, bool], token: int, tried: str) -> str:
    found = "[]"
    if tables["has_lot_messages"]:
        found = _carried(connection, "read_lot_messages", token=token, carried=tried)
    return _carried(connection, "with_told_lots", token=token, carried=found) if tables["has_told_lots"] else found


def _write(connection: Connection[Any], seen: _Seen, tables: Mapping[str, bool]) -> Carried:
    """Write the external effects that another database has recorded. Raises psycopg.Error."""

    def run(statement: str, **values: Any) -> None:
        connection.execute(queries("carry_over")[statement], values)

    here = dumps.sequences(connection)
    for sequence, value in seen.sequences.items():
        if value > here.get(sequence, 0):
            run("advance_sequence", name=sequence, value=value)
    _insert(connection, "public.listings", _carried(connection, "missing_ads", carried=seen.messages))
    run("queue_ads", carried=seen.messages)
    run("forget_messages", carried=seen.messages)
    _insert(connection, "public.notifications", _carried(connection, "messages_here", carried=seen.messages))
    _write_lot_messages(connection, seen.lot_messages, has_table=tables["has_lot_messages"])
    if tables["has_hosts"]:
        run("carry_hosts", carried=seen.hosts)
    if tables["has_alerts"]:
        run("carry_alerts", carried=seen.alerts)
        _insert(connection, "ops.alerts", _carried(connection, "new_alerts", carried=seen.alerts))
    if tables["has_watches"] and seen.people is not None:
        _write_people(connection, seen.people, seen.watches)
        if tables["has_watch_lots"]:
            run("forget_watch_lots")
            for table, rows in seen.of_lots.items():
                _insert(connection, f"public.{table}", _carried(connection, "of_watches_here", carried=rows))
    if _count(seen.holds):
        connection.execute(queries("holds")["create_holds"])
        _insert(connection, "ops.holds", seen.holds)
    return Carried(
        messages=_count(seen.messages) + _count(seen.lot_messages),
        hosts=_count(seen.hosts) if tables["has_hosts"] else 0,
        alerts=_count(seen.alerts) if tables["has_alerts"] else 0,
    )


def _write_lot_messages(connection: Connection[Any], carried: str, *, has_table: bool) -> None:
    """Write the messages about lots. Those about lots that are not in this database wait in ops.told_lots until the
    feed brings the lot: it alone adds lots."""
    if not _count(carried):
        return
    statements = queries("carry_over")
    if has_table:
        connection.execute(statements["forget_lot_messages"], {"carried": carried})
        here = _carried(connection, "lot_messages_here", carried=carried)
        _insert(connection, "public.lot_notifications", here)
    connection.execute(statements["create_told_lots"])
    connection.execute(statements["keep_lot_messages"], {"carried": carried})


def _insert(connection: Connection[Any], table: str, carried: str) -> None:
    if _count(carried):
        statement = _carried(connection, "insert_statement", table=table, carried=carried)
        connection.execute(statement.encode())


def _write_people(connection: Connection[Any], carried: str, watches: str) -> None:
    """Let the people with alerts and their watches be those of another database. Raises psycopg.Error."""
    statements = queries("carry_over")
    connection.execute(statements["forget_people"], {"carried": carried, "others": watches})
    for table, name, rows in (("watch_people", "people", carried), ("watches", "watches", watches)):
        row = connection.execute(statements[f"{name}_here"], {"carried": rows}).fetchone()
        if row is not None and _count(row[0]):
            about = {"table": f"public.{table}", "carried": row[0]}
            statement = connection.execute(statements["replace_statement"], about).fetchone()
            assert statement is not None  # noqa: S101 # an aggregate has a row
            connection.execute(statement[0].encode())
    connection.execute(statements["drop_old_messages"])


def _hold(connection: Connection[Any], settings: Settings, reason: str, tables: Mapping[str, bool]) -> None:
    with connection.transaction():
        connection.execute(queries("holds")["create_holds"])
        connection.execute(queries("holds")["hold"], {"what": "posting", "reason": f"after a restore: {reason}"})
        if tables["has_alerts"]:
            alerts.raise_alert(connection, settings, "posting_held", "channel", held_text(reason))


def held_text(reason: str) -> str:
    """Return the message to an operator when posting is held."""
    return (
        f"after a restore it is not known what was posted since the backup ({reason}): no deal is posted. Check the "
        "channel, then resume with `vinops deals release`"
    )


def _count(carried: str) -> int:
    return len(json.loads(carried))
