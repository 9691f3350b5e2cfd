"""Posts messages, each time in a process of its own that can be killed: `python tests/crash/notify_post.py`.

It takes jobs as loader.py does; a job's arguments are the time that it takes for now, and `ads` or `lots`, which the
messages are about. An event is `name nth when`:
`record_try 1 before`, `answer 2 after`. Statements have their names from sql/queries, `commit` is the end of a
transaction, and `answer` is Telegram's: before the request is sent, and after the answer has been read.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fault_injection  # beside this file
import psycopg

from deals.channel import lots, post as poster
from deals.imports import post as imports
from vinops import config
from vinops.db import database
from vinops.db.database import queries
from vinops.telegram.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = ("notifications", "alerts")


class FaultInjector(fault_injection.FaultInjector):
    """Fault-injection points of posting."""

    def install(self) -> None:
        """Patch the statements, the ends of transactions and the requests of this process."""
        names = {text: name for file in FILES for name, text in queries(file).items()}
        names |= {text: name for name, text in lots.statements().items()}
        execute, leave, ask = psycopg.Connection.execute, psycopg.Transaction.__exit__, Request._ask

        def patched_execute(connection: Any, statement: Any, *arguments: Any, **named: Any) -> Any:
            name = names.get(statement)
            if name is None:
                return execute(connection, statement, *arguments, **named)
            return self._around(name, execute)(connection, statement, *arguments, **named)

        async def patched_ask(*arguments: Any) -> Any:
            number = self._next("answer")
            self._event("answer", number, "before")
            result = await ask(*arguments)
            self._event("answer", number, "after")
            return result

        psycopg.Connection.execute = patched_execute  # type: ignore[method-assign,assignment]
        psycopg.Transaction.__exit__ = self._around("commit", leave)  # type: ignore[method-assign]
        Request._ask = patched_ask  # type: ignore[method-assign]


def settled_before_it_is_sent() -> None:
    """Break posting: record that a message was sent, and then send it."""
    call, settle = poster.Poster._call, poster.Poster._settle

    def hasty(self: Any, taken: Any) -> Any:
        settle(self, taken, "sent", message_id=0)
        return call(self, taken)

    poster.Poster._call = hasty  # type: ignore[method-assign]
    poster.Poster._settle = lambda *_, **__: None  # type: ignore[method-assign,assignment]


def never_recorded() -> None:
    """Break posting: do not record that a message is being tried."""
    trying = poster.Poster._execute

    def without(self: Any, name: str, values: dict[str, Any]) -> Any:
        if name == "record_try":
            return self._connection.execute("select 1, 1, false")
        if name == "settle_try":
            table = "lot_notifications" if self.thing == "lot" else "notifications"
            broken = f"update {table} set state = 'trying', token = 1 where id = %(id)s"  # one of two
            self._connection.execute(broken.encode(), values)
        return trying(self, name, values)

    poster.Poster._execute = without  # type: ignore[method-assign]


BROKEN: dict[str, Callable[[], None]] = {
    broken.__name__: broken for broken in (settled_before_it_is_sent, never_recorded)
}


def take_jobs() -> None:
    """Take jobs until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            errors = os.open(Path(job["trace"]).with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            try:
                _post(job)
                code = 0
            except BaseException:  # noqa: BLE001 # the process ends here, and must not go on as its parent
                traceback.print_exc()
            os._exit(code)
        print(pid, flush=True)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)
        sys.stdin.readline()  # until then the id belongs to nobody else: whoever kills late kills a dead process
        os.waitpid(pid, 0)


def _post(job: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(job["environment"])
    poster.GAP = 0.0
    settings = config.load(folder=Path("/nonexistent"))
    if job["broken"]:
        BROKEN[job["broken"]]()
    struck = FaultInjector(Path(job["trace"]), job["plan"], job["victim"], settings.data_dir)
    with database.connect(settings, application="poster", autocommit=True) as connection:
        struck.install()
        now, about = job["arguments"]
        post = {"ads": poster.post, "lots": imports.post}[about]
        post(connection, settings, now=datetime.fromisoformat(now))


if __name__ == "__main__":
    take_jobs()
