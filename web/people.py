"""Accounts, sign-ins and marks: the statements of sql/queries/people.sql, and how passwords and tokens are kept.

Functions take a connection in autocommit and are one short statement each, so that nothing is half done if the process
dies. They raise psycopg's errors.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from psycopg.rows import class_row, dict_row

from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

Role: TypeAlias = Literal["viewer", "trader", "operator"]
Subject: TypeAlias = Literal["ad", "lot"]
Status: TypeAlias = Literal["none", "seen", "called", "bought", "rejected"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "trader", "operator")
"""Each may do what those before it may."""
_MARKS: Final[dict[Subject, str]] = {"ad": "people", "lot": "lot_marks"}
"""Where the statements about marks on each kind of thing are."""
STATUSES: Final[tuple[Status, ...]] = ("none", "seen", "called", "bought", "rejected")

IDLE: Final = timedelta(days=7)
ABSOLUTE: Final = timedelta(days=30)
WINDOW: Final = timedelta(minutes=15)
TRIES_OF_BOTH, TRIES_OF_ADDRESS, TRIES_OF_NAME = 10, 30, 100
"""How often a sign-in may be tried in WINDOW: with a name from an address, from an address, with a name."""
SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 200
LONGEST_NAME: Final = 40
LONGEST_NOTE: Final = 2000

_HASHER: Final = PasswordHasher()  # argon2id with the second parameters of RFC 9106: 64 MiB, three passes
_ROOM: Final = threading.BoundedSemaphore(2)  # hashes at once: 64 MiB each


class UserError(ValueError):
    """A name or password that cannot be taken, or a name that is not there. The message says what fixes it."""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who requests a page. `name` is None for the operator at this machine, whose `user_id` is None too."""

    user_id: int | None
    name: str | None
    role: Role
    language: str | None
    is_stale: bool = False

    def may(self, role: Role) -> bool:
        """Tell whether the visitor has at least this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What people marked on an ad or a lot: a star of the visitor's own, and the status that all share."""

    marked_id: int
    is_starred: bool = False
    status: Status = "none"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A note on an ad or a lot, or a step in its life cycle. `said` is the note or the status; `name`
    None is the operator at this machine."""

    kind: Literal["note", "status"]
    said: str
    name: str | None
    happened_at: datetime


def check_password(password: str) -> str:
    """Return a new password in the form that is hashed. Raises UserError."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UserError(f"a password has from {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return unicodedata.normalize("NFC", password)


def add(connection: Connection[Any], name: str, role: Role, password: str) -> None:
    """Add a person. Raises UserError for a name that is taken or has blanks, and for a bad password."""
    if not 0 < len(name) <= LONGEST_NAME or any(each.isspace() or not each.isprintable() for each in name):
        raise UserError(f"a name has from 1 to {LONGEST_NAME} characters, and no blanks")
    about = {"name": name, "role": role, "password_hash": _hash(check_password(password))}
    if connection.execute(_sql("add_user"), about).fetchone() is None:
        raise UserError(f"there is a {name} already: `vinops users passwd` changes a password")


def set_password(connection: Connection[Any], name: str, password: str) -> None:
    """Change a password and end all sign-ins of the person. Raises UserError."""
    about = {"name": name, "password_hash": _hash(check_password(password))}
    _expect(connection.execute(_sql("set_password"), about).fetchone(), name)


def set_role(connection: Connection[Any], name: str, role: Role) -> None:
    """Change a role; it holds from the next request on. Raises UserError."""
    _expect(connection.execute(_sql("set_role"), {"name": name, "role": role}).fetchone(), name)


def remove(connection: Connection[Any], name: str) -> None:
    """Remove a person, whose notes stay, and end the sign-ins. Raises UserError."""
    _expect(connection.execute(_sql("remove_user"), {"name": name}).fetchone(), name)


def listed(connection: Connection[Any]) -> list[dict[str, Any]]:
    """Return all people: name, role, language, created_at, sign_ins (how many), last_used."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_sql("users"), {"idle": IDLE}).fetchall()


def authenticate(connection: Connection[Any], name: str, password: str, address: str) -> int | timedelta | None:
    """Return the id of the person with a name and password, None if there is no such one, or for how long the name or
    the address has to wait after too many tries.

    Takes the same time whether the name exists or not. A try counts before it is made: tries at the same time share one
    limit.
    """
    name = name[: LONGEST_NAME + 1].replace("\0", "")  # which no text of the database contains
    both, alone = _subject("both", name.casefold(), address), _subject("address", address)
    limits = {both: TRIES_OF_BOTH, alone: TRIES_OF_ADDRESS, _subject("name", name.casefold()): TRIES_OF_NAME}
    for subject, most in limits.items():
        row = connection.execute(_sql("count_try"), {"subject_hash": subject, "window": WINDOW}).fetchone()
        if row and row[0] > most:
            return WINDOW
    row = connection.execute(_sql("password_of"), {"name": name}).fetchone()
    user_id, kept = row or (None, _nobody())
    password = unicodedata.normalize("NFC", password[: LONGEST_PASSWORD + 1])
    if not _verify(kept, password) or user_id is None:
        return None
    connection.execute(_sql("forget_tries"), {"subject_hashes": list(limits)})
    if _HASHER.check_needs_rehash(kept):
        about = {"user_id": user_id, "password_hash": _hash(password), "old_hash": kept}
        connection.execute(_sql("rehash"), about)
    return cast("int", user_id)


def sign_in(connection: Connection[Any], user_id: int | None) -> str | None:
    """Record a sign-in and return its token; None if the person was removed meanwhile. None for `user_id` is the
    operator at this machine."""
    token = secrets.token_urlsafe(32)
    about = {"token_hash": digest(token), "user_id": user_id, "idle": IDLE, "absolute": ABSOLUTE, "window": WINDOW}
    return token if connection.execute(_sql("sign_in"), about).fetchone() else None


def visitor(connection: Connection[Any], token: str) -> Visitor | None:
    """Return whose token it is; None if it has ended or never was one."""
    with connection.cursor(row_factory=class_row(Visitor)) as cursor:
        return cursor.execute(_sql("signed_in"), {"token_hash": digest(token), "idle": IDLE}).fetchone()


def note_use(connection: Connection[Any], token: str) -> None:
    """Note that a sign-in is in use: it ends IDLE after the last use."""
    connection.execute(_sql("note_use"), {"token_hash": digest(token)})


def sign_out(connection: Connection[Any], token: str) -> None:
    """End a sign-in."""
    connection.execute(_sql("sign_out"), {"token_hash": digest(token)})


def sign_out_everywhere(connection: Connection[Any], user_id: int | None) -> None:
    """End all sign-ins of a person."""
    connection.execute(_sql("sign_out_everywhere"), {"user_id": user_id})


def set_language(connection: Connection[Any], user_id: int, language: str) -> None:
    """Note the language of a person."""
    connection.execute(_sql("set_language"), {"user_id": user_id, "language": language})


def marks(
    connection: Connection[Any], user_id: int | None, ids: Sequence[int], *, of: Subject = "ad"
) -> Mapping[int, Mark]:
    """Return the marks of ads or lots, for a person."""
    with connection.cursor(row_factory=class_row(Mark)) as cursor:
        about = {"user_id": user_id, "listing_ids": list(ids), "lot_ids": list(ids)}
        rows = cursor.execute(queries(_MARKS[of])["marks"], about).fetchall()
    return {row.marked_id: row for row in rows}


def star(connection: Connection[Any], user_id: int | None, marked_id: int, *, is_on: bool, of: Subject = "ad") -> None:
    """Star an ad or a lot, or take the star back."""
    about = {"user_id": user_id, "listing_id": marked_id, "lot_id": marked_id}
    connection.execute(queries(_MARKS[of])["star" if is_on else "unstar"], about)


def set_status(
    connection: Connection[Any], user_id: int | None, marked_id: int, status: Status, *, of: Subject = "ad"
) -> None:
    """Add a step to the life cycle of an ad or a lot; nothing if it stands there already."""
    about = {"user_id": user_id, "listing_id": marked_id, "lot_id": marked_id, "status": status}
    connection.execute(queries(_MARKS[of])["add_status"], about)


def add_note(
    connection: Connection[Any], user_id: int | None, marked_id: int, body: str, *, of: Subject = "ad"
) -> None:
    """Add a note of 1 to LONGEST_NOTE characters to an ad or a lot."""
    about = {"user_id": user_id, "listing_id": marked_id, "lot_id": marked_id, "body": body}
    connection.execute(queries(_MARKS[of])["add_note"], about)


def history(connection: Connection[Any], marked_id: int, *, of: Subject = "ad") -> list[Event]:
    """Return notes and steps of an ad or a lot, the newest first, at most 200."""
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(queries(_MARKS[of])["history"], {"listing_id": marked_id, "lot_id": marked_id}).fetchall()


def digest(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _subject(*parts: str) -> bytes:
    return digest("\0".join(parts))


def _sql(name: str) -> str:
    return queries("people")[name]


def _expect(row: object, name: str) -> None:
    if row is None:
        raise UserError(f"there is no {name}: `vinops users list` shows who is there")


def _hash(password: str) -> str:
    with _ROOM:
        return _HASHER.hash(password)


def _verify(kept: str, password: str) -> bool:
    try:
        with _ROOM:
            return _HASHER.verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    """Return a hash that no password has, for names that are not there."""
    return _HASHER.hash(secrets.token_urlsafe(32))
