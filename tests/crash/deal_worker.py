"""A Celery worker of the deals with fault-injection points: `python tests/crash/deal_worker.py POINT BROKEN QUEUES`.

POINT is a file that names an event, and who dies there: see striking.py. Without another victim that is the process
itself, a child of the worker. An event is `name when`: `take after`, `write before`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from celery.signals import worker_init
from striking import strike  # beside this file

from deals import tasks
from deals.app import app, import_for_all
from deals.queue import outbox, runner
from deals.stages.registry import STAGES, next_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection

POISON = "POISON"
"""An ad with this word in its title kills each process that reads it."""


def inject(point: Path) -> None:
    """Wrap everything that a worker does to the outbox and the tables."""

    def around(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*arguments: Any, **named: Any) -> Any:
            backend = backend_of(arguments)
            strike(point, f"{name} before", backend)
            result = call(*arguments, **named)
            strike(point, f"{name} after", backend)
            return result

        return patched

    for name in ("take", "held", "finish", "announce"):
        setattr(outbox, name, around(name, getattr(outbox, name)))
    runner.run = around("run", runner.run)  # after: all is committed, and the message is not acknowledged
    tasks.wake = around("wake", tasks.wake)
    for name, stage in STAGES.items():
        module: Any = stage.module
        module.read = around(f"{name}-read", deadly(module.read))
        module.work = around(f"{name}-work", module.work)
        module.write = around(f"{name}-write", module.write)


def backend_of(arguments: Sequence[Any]) -> int | None:
    """Return the process that serves the connection among some arguments, else that of this process's connection."""
    connections = [each for each in (*arguments, *tasks._open) if isinstance(each, psycopg.Connection)]
    return connections[0].info.backend_pid if connections and not connections[0].closed else None


def deadly(read: Callable[..., Any]) -> Callable[..., Any]:
    """Have a poison ad kill each process that reads it."""

    def patched(connection: Connection[Any], listing_ids: Sequence[int], *others: Any) -> Any:
        found = connection.execute(
            "select 1 from listings where id = any(%s) and title like %s", [list(listing_ids), f"{POISON}%"]
        ).fetchone()
        if found:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(connection, listing_ids, *others)

    return patched


def finish_first() -> None:
    """Break the worker: it finishes the work on ads in one transaction and writes the results in the next."""

    def broken(connection: Connection[Any], settings: Any, lease: outbox.Lease) -> list[int]:
        stage = STAGES[lease.stage].module
        results = stage.work(stage.read(connection, lease.listing_ids, settings))
        with connection.transaction():
            done = outbox.finish(connection, lease, next_stage(lease.stage))
        with connection.transaction():
            stage.write(connection, results)
        return done

    runner._work = broken


def announced_once() -> None:
    """Break the worker: what was announced once is never announced again, though its message may be lost."""
    announce = outbox.announce
    outbox.announce = lambda *arguments, **named: announce(*arguments, **(named | {"seconds": 1e6}))


BROKEN = {broken.__name__: broken for broken in (finish_first, announced_once)}

if __name__ == "__main__":
    if sys.argv[2]:
        BROKEN[sys.argv[2]]()
    inject(Path(sys.argv[1]))
    worker_init.disconnect(import_for_all)  # no model is used here
    app.worker_main(
        ["worker", "--beat", "--concurrency", "2", "--queues", ",".join(sys.argv[3].split(",")), "-l", "INFO"]
    )
