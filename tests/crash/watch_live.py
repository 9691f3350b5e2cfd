"""Runs `vinops watch bot` with fault-injection points: `python tests/crash/watch_live.py POINT BROKEN`.

POINT names an event, and who dies there: see striking.py. An event is `name when`: statements have their names from
sql/queries, `commit-NAME` is the end of the transaction whose last statement that was, and `answer-METHOD` is
Telegram's: before the call, and after its answer.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import watch_bot  # beside this file
from striking import strike

from deals.watches.bot import receive, run
from deals.watches.sending import send
from deals.watches.sending.send import Sender
from ops import cli
from vinops.db.database import queries
from vinops.telegram.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable


class _Last(threading.local):
    """The last statement of a loop of the bot, and the process that serves its connection."""

    statement = ""
    backend: int | None = None


def inject(point: Path) -> None:
    """Wrap the statements, the ends of transactions and the requests of this process."""
    names = {text: name for file in watch_bot.FILES for name, text in queries(file).items()}
    execute, leave, ask = psycopg.Cursor.execute, psycopg.Transaction.__exit__, Request._ask
    last = _Last()

    def patched_execute(cursor: Any, statement: Any, *arguments: Any, **named: Any) -> Any:
        name = names.get(statement) if isinstance(statement, str) else None
        if name is None:
            return execute(cursor, statement, *arguments, **named)
        last.statement, last.backend = name, cursor.connection.info.backend_pid
        strike(point, f"{name} before", last.backend)
        result = execute(cursor, statement, *arguments, **named)
        strike(point, f"{name} after", last.backend)
        return result

    def patched_leave(*arguments: Any, **named: Any) -> Any:
        strike(point, f"commit-{last.statement} before", last.backend)
        result = leave(*arguments, **named)
        strike(point, f"commit-{last.statement} after", last.backend)
        return result

    async def patched_ask(request: Any, url: str, *arguments: Any) -> Any:
        name = url.rpartition("/")[2]
        strike(point, f"answer-{name} before", last.backend)
        result = await ask(request, url, *arguments)
        strike(point, f"answer-{name} after", last.backend)
        return result

    psycopg.Cursor.execute = patched_execute  # type: ignore[method-assign,assignment]
    psycopg.Transaction.__exit__ = patched_leave  # type: ignore[method-assign,assignment]
    Request._ask = patched_ask  # type: ignore[method-assign,assignment]


def never_recovers() -> None:
    """Break the bot: leave what was being tried when the connection broke."""
    rows = Sender._rows
    Sender._rows = lambda self, name, **values: (  # type: ignore[method-assign]
        [] if name == "recover_tries" else rows(self, name, **values)
    )


def gives_up() -> None:
    """Break the bot: end with the first error of the database."""
    run.is_passing = lambda _: False


BROKEN: dict[str, Callable[[], None]] = {
    broken.__name__: broken for broken in (never_recovers, gives_up, watch_bot.confirmed_before_it_is_applied)
}

if __name__ == "__main__":
    point, broken = Path(sys.argv[1]), sys.argv[2]
    # A message a second in a chat, and minutes until a try counts as left behind: here they only cost time.
    send.CHAT_GAP = 0.0  # type: ignore[misc]
    send.ABANDONED = 0.5  # type: ignore[misc]
    receive.PAUSE = 0.1  # type: ignore[misc]
    run.BEHIND = 0.1  # type: ignore[misc]
    run.LOOK = 0.05  # type: ignore[misc]
    if broken:
        BROKEN[broken]()
    inject(point)
    sys.argv = ["vinops", "watch", "bot"]
    cli.main()
