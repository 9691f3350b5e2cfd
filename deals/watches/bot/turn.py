"""A turn: one update, whose it is, and the answers to it, which are recorded in the update's transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from deals.watches import texts
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.watches.people import Person
    from vinops.config import Settings
    from vinops.telegram import Buttons


@dataclass(kw_only=True)
class Turn:
    """An update that is being applied for a person. `notice` is what the press of a button is answered with."""

    connection: Connection[Any]
    settings: Settings
    person: Person
    notice: str = field(default="")

    @property
    def language(self) -> Literal["bg", "en"]:
        """The language of the person."""
        return texts.code(self.person.language)

    def text(self, key: str, /, **values: Any) -> str:
        """Return a text in the language of the person."""
        return texts.say(self.language, key, **values)

    def reply(self, lines: str | Sequence[str], buttons: Buttons = (), *, edits: int | None = None) -> None:
        """Record an answer, or with `edits` the new content of that message. It is sent after the commit."""
        html = texts.fitted([lines] if isinstance(lines, str) else [*lines])
        add_reply(self.connection, html, buttons, person_id=self.person.id, message_id=edits)

    def say(self, key: str, /, **values: Any) -> None:
        """Record an answer that is one text."""
        self.reply(self.text(key, **values))

    def row(self, statement: str, /, **values: Any) -> dict[str, Any] | None:
        """Return the first row of a statement of watch_bot.sql."""
        return next(iter(self.rows(statement, **values)), None)

    def rows(self, statement: str, /, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of a statement of watch_bot.sql; none of one without a result."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(queries("watch_bot")[statement], {"person_id": self.person.id, **values})
            return cursor.fetchall() if cursor.description else []


def add_reply(
    connection: Connection[Any],
    html: str,
    buttons: Buttons = (),
    *,
    person_id: int | None = None,
    chat_id: int | None = None,
    message_id: int | None = None,
) -> None:
    """Record an answer to a person, or to a chat without one. If the process dies before the commit, there is none."""
    about = {
        "person_id": person_id, "chat_id": chat_id, "message_id": message_id, "html": html,
        "buttons": Jsonb([[list(button) for button in row] for row in buttons]),
    }  # fmt: skip
    connection.execute(queries("watch_bot")["add_reply"], about)
