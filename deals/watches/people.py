"""People with alerts: invitations, settings and watches. For the bot, the site and the command line.

Functions take a connection, and are one statement each unless they say otherwise. They raise psycopg's errors.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row, dict_row

from deals.watches import columns, lots, matching
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from vinops.filters import Filter
    from vinops.lots.filter import LotFilter

INVITED: Final = timedelta(hours=24)
MOST_WATCHES: Final = 50  # of a person
BY_PERSON, BY_BLOCK, BY_ACCOUNT = "person", "blocked", "account"
"""Why a person is paused."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person with alerts. Times of day are minutes after midnight in `time_zone`."""

    id: int
    chat_id: int | None
    user_id: int | None
    language: str
    time_zone: str
    is_silent: bool
    quiet_from: int | None
    quiet_to: int | None
    is_quiet_silent: bool
    digest_at: int | None
    digest_due: datetime | None
    paused_at: datetime | None
    paused_by: str | None


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A watch of a person. `number` is its place in the person's list, from 1 on. `filter` is what it asks of ads, and
    `lots` what it asks of lots: None if `kind` is "ad"."""

    id: int
    number: int
    kind: str
    typed: str
    version: int
    paused_at: datetime | None
    is_silent: bool
    created_at: datetime
    filter: Filter = field(repr=False)
    lots: LotFilter | None = field(repr=False, default=None)


@dataclass(frozen=True, kw_only=True)
class Invited:
    """What an invitation is for: a person of the site, the operator, or just a chat."""

    user_id: int | None
    is_operator: bool
    language: str


def of_chat(connection: Connection[Any], chat_id: int) -> Person | None:
    """Return the person of a chat, and lock the row; None if nobody was invited in it."""
    with connection.cursor(row_factory=class_row(Person)) as cursor:
        return cursor.execute(_sql("person_of_chat"), {"chat_id": chat_id}).fetchone()


def of_user(connection: Connection[Any], user_id: int | None) -> Person | None:
    """Return the alerts of a person of the site, of the operator for None; None if there are none yet."""
    with connection.cursor(row_factory=class_row(Person)) as cursor:
        return cursor.execute(_sql("person_of_user"), {"user_id": user_id}).fetchone()


def ensure_user(connection: Connection[Any], user_id: int | None, *, language: str, time_zone: str) -> Person:
    """Return the alerts of a person of the site; they are added if there are none. Two statements."""
    found = of_user(connection, user_id)
    if found is None:
        about = {"user_id": user_id, "language": language, "time_zone": time_zone}
        connection.execute(_sql("add_person_of_user"), about)
        found = of_user(connection, user_id)
        assert found is not None  # noqa: S101 # added, by this call or another one
    return found


def user_id_of(connection: Connection[Any], name: str) -> int | None:
    """Return the id of a person of the site; None if there is no such name."""
    row = connection.execute(_sql("user_of_name"), {"name": name}).fetchone()
    return None if row is None else int(row[0])


def invite(connection: Connection[Any], language: str, *, user_id: int | None = None, is_operator: bool = False) -> str:
    """Return a new code that lets one chat in, once, within a day. Only its hash is kept."""
    code = secrets.token_urlsafe(18)
    about = {
        "token_hash": digest(code), "user_id": user_id, "is_operator": is_operator, "language": language,
        "window": INVITED,
    }  # fmt: skip
    connection.execute(_sql("add_invitation"), about)
    return code


def accept(connection: Connection[Any], code: str, chat_id: int, time_zone: str) -> Person | None:
    """Use an invitation for a chat, and return its person; None if the code is not one that holds.

    The alerts of a person of the site keep their watches; the messages of a chat before it are left as they are. Call
    it in a transaction: of the invitation and the person both are changed or neither is.
    """
    return _accept(connection, code, chat_id, time_zone, is_new_chat=True)


def _accept(
    connection: Connection[Any], code: str, chat_id: int, time_zone: str, *, is_new_chat: bool
) -> Person | None:
    with connection.cursor(row_factory=class_row(Invited)) as cursor:
        found = cursor.execute(_sql("take_invitation"), {"token_hash": digest(code)}).fetchone()
    if found is None:
        return None
    about = {
        "chat_id": chat_id, "user_id": found.user_id, "is_operator": found.is_operator, "language": found.language,
        "time_zone": time_zone,
    }  # fmt: skip
    is_linked = found.user_id is not None or found.is_operator
    row = connection.execute(_sql("link_user"), about).fetchone() if is_linked else None
    if row is None:
        connection.execute(_sql("add_person"), about)
    elif is_new_chat:
        connection.execute(_sql("leave_chat"), {"person_id": row[0]})
    return of_chat(connection, chat_id)


def link(connection: Connection[Any], code: str, person: Person, time_zone: str) -> Person | None:
    """Link a chat that has alerts to the person of the site that an invitation is for, and return whose alerts they are
    then, with the watches of both. None, and the invitation holds, if it is for nobody of the site, or the chat has
    another one already.

    Call it in a transaction: all of it is done or nothing is.
    """
    assert person.chat_id is not None  # noqa: S101 # who writes has a chat
    with connection.cursor(row_factory=class_row(Invited)) as cursor:
        found = cursor.execute(_sql("invitation"), {"token_hash": digest(code)}).fetchone()
    if found is None or person.user_id is not None:
        return None
    theirs = of_user(connection, found.user_id)
    if theirs is None:
        change(connection, "name_user", person, user_id=found.user_id, is_operator=found.is_operator)
        connection.execute(_sql("take_invitation"), {"token_hash": digest(code)})
        return of_chat(connection, person.chat_id)
    if theirs.id == person.id:
        return None
    change(connection, "leave_chat", theirs)
    for statement in ("move_watches", "move_messages"):
        change(connection, statement, person, to_id=theirs.id)
    change(connection, "move_digest", theirs, digest_due=person.digest_due)
    forget(connection, person)
    return _accept(connection, code, person.chat_id, time_zone, is_new_chat=False)


def forget(connection: Connection[Any], person: Person) -> None:
    """Remove everything about a person: watches, hits, messages, drafts, settings."""
    connection.execute(_sql("forget_person"), {"person_id": person.id})


def change(connection: Connection[Any], statement: str, person: Person, **values: Any) -> bool:
    """Change a setting of a person by a statement of watch_people.sql; return whether it returned a row."""
    cursor = connection.execute(_sql(statement), {"person_id": person.id, **values})
    return cursor.description is not None and cursor.fetchone() is not None


def watches(connection: Connection[Any], person: Person) -> list[Watch]:
    """Return the watches of a person in their order."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_sql("watches_of"), {"person_id": person.id}).fetchall()
    of_lots = lots.filters(connection, [row["id"] for row in rows if row["kind"] != "ad"])
    return [
        Watch(
            number=number,
            filter=columns.to_filter(row),
            lots=of_lots.get(row["id"]),
            **{name: row[name] for name in ("id", "kind", "typed", "version", "paused_at", "is_silent", "created_at")},
        )
        for number, row in enumerate(rows, 1)
    ]


def save(
    connection: Connection[Any], person: Person, wanted: Filter, *, kind: str, typed: str, watch_id: int | None = None,
    of_lots: LotFilter | None = None,
) -> int | None:  # fmt: skip
    """Save a new watch, or replace the filters of one, and return its id; None if that is no longer there. `of_lots` is
    what it asks of lots, if `kind` is not "ad".

    From now on it finds what is new. Call it in a transaction: the watch and what it knows already are both changed or
    neither is.
    """
    about = {**columns.to_columns(wanted), "person_id": person.id, "kind": kind, "typed": typed, "watch_id": watch_id}
    row = connection.execute(_sql("insert_watch" if watch_id is None else "update_watch"), about).fetchone()
    if row is None:
        return None
    lots.save(connection, row[0], None if kind == "ad" else of_lots)
    _begin(connection, row[0])
    return int(row[0])


def _begin(connection: Connection[Any], watch_id: int) -> None:
    matching.begin(connection, watch_id)
    lots.begin(connection, watch_id)


def pause(connection: Connection[Any], person: Person, watch_id: int) -> bool:
    """Pause a watch, and return whether it went on until now."""
    return change(connection, "pause_watch", person, watch_id=watch_id, is_paused=True)


def resume(connection: Connection[Any], person: Person, watch_id: int) -> bool:
    """End the pause of a watch, and return whether it had one. It finds what is new from now on. Call it in a
    transaction."""
    if not change(connection, "pause_watch", person, watch_id=watch_id, is_paused=False):
        return False
    _begin(connection, watch_id)
    return True


def begin_again(connection: Connection[Any], person: Person) -> None:
    """Let all watches of a person that go on find what is new from now on. Call it in a transaction."""
    for watch in watches(connection, person):
        if watch.paused_at is None:
            _begin(connection, watch.id)


def delete(connection: Connection[Any], person: Person, watch_id: int) -> bool:
    """Delete a watch with what it found, and return whether it was there."""
    return change(connection, "delete_watch", person, watch_id=watch_id)


def found_lately(
    connection: Connection[Any], person: Person, *, days: int = 7, limit: int = 200
) -> list[Mapping[str, Any]]:
    """Return the cars that the watches of a person found in the last days, newest first."""
    about = {"person_id": person.id, "days": days, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return [*cursor.execute(_sql("found_lately"), about).fetchall()]


def digest(code: str) -> bytes:
    """Return what is kept of a code, or of a chat that nobody was invited in."""
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()


def _sql(name: str) -> str:
    return queries("watch_people")[name]
