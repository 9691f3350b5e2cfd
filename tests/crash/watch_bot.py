"""Takes turns of the bot of the alerts in processes of their own that can be killed: `python tests/crash/watch_bot.py`.

It takes jobs as notify_post.py does. A turn reads the updates that wait, applies them, and sends what is due. An event
is `name nth when`: statements have their names from sql/queries, `commit` is the end of a transaction, and `answer` is
Telegram's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import notify_post  # beside this file
import psycopg

from deals.watches.bot.receive import Receiver
from deals.watches.sending import send
from deals.watches.sending.send import Sender
from vinops import config
from vinops.db import database
from vinops.db.database import queries
from vinops.telegram.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = ("watch_bot", "watch_people", "watch_sending", "matching", "alerts")


class FaultInjector(notify_post.FaultInjector):
    """Fault-injection points of the bot."""

    def install(self) -> None:
        """Patch the statements, the ends of transactions and the requests of this process."""
        names = {text: name for file in FILES for name, text in queries(file).items()}
        execute, leave, ask = psycopg.Cursor.execute, psycopg.Transaction.__exit__, Request._ask

        def patched_execute(cursor: Any, statement: Any, *arguments: Any, **named: Any) -> Any:
            name = names.get(statement) if isinstance(statement, str) else None
            if name is None:
                return execute(cursor, statement, *arguments, **named)
            return self._around(name, execute)(cursor, statement, *arguments, **named)

        async def patched_ask(*arguments: Any) -> Any:
            number = self._next("answer")
            self._event("answer", number, "before")
            result = await ask(*arguments)
            self._event("answer", number, "after")
            return result

        psycopg.Cursor.execute = patched_execute  # type: ignore[method-assign,assignment]
        psycopg.Transaction.__exit__ = self._around("commit", leave)  # type: ignore[method-assign]
        Request._ask = patched_ask  # type: ignore[method-assign]


def confirmed_before_it_is_applied() -> None:
    """Break the bot: note an update as applied in a transaction of its own, and then apply it."""
    apply = Receiver.apply

    def hasty(self: Any, update: Any) -> bool:
        take = Receiver._take
        with self._connection.transaction():
            is_new = take(self, update["update_id"])
        self._take = lambda _: is_new
        return apply(self, update)

    Receiver.apply = hasty  # type: ignore[method-assign]


def never_noted() -> None:
    """Break the bot: do not note that an update was applied."""
    Receiver._take = lambda *_: True  # type: ignore[method-assign]


def settled_before_it_is_sent() -> None:
    """Break the bot: record that a message was sent, and then send it."""
    call, settle = Sender._call, Sender._settle

    def hasty(self: Any, taken: Any) -> Any:
        settle(self, taken, "sent", message_id=1)
        return call(self, taken)

    Sender._call = hasty  # type: ignore[method-assign]
    Sender._settle = lambda *_, **__: None  # type: ignore[method-assign,assignment]


BROKEN: dict[str, Callable[[], None]] = {
    broken.__name__: broken for broken in (confirmed_before_it_is_applied, never_noted, settled_before_it_is_sent)
}


def _turn(job: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(job["environment"])
    send.CHAT_GAP = 0.0  # type: ignore[misc]
    settings = config.load(folder=Path("/nonexistent"))
    if job["broken"]:
        BROKEN[job["broken"]]()
    struck = FaultInjector(Path(job["trace"]), job["plan"], job["victim"], settings.data_dir)
    with database.connect(settings, application="bot", autocommit=True) as connection:
        struck.install()
        receiver, sender = Receiver(connection, settings), Sender(connection, settings)
        assert receiver.take_turn()
        receiver.step(seconds=0)
        assert sender.take_turn()
        sender.queue()
        while sender.step():
            pass


if __name__ == "__main__":
    notify_post._post = _turn
    notify_post.take_jobs()
