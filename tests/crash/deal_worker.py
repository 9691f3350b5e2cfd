"""A Celery worker of the deals with fault-injection points: `python tests/crash/deal_worker.py PLAN BROKEN QUEUES`.

The plan is a file that names an event. The first process to reach that event, a child of the worker, renames the file,
which proves that it was there, and kills itself. An event is `name when`: `take after`, `write before`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.signals import worker_init

from deals import tasks
from deals.app import app, import_for_all
from deals.queue import outbox, runner
from deals.stages.registry import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection

POISON = "POISON"
"""An ad with this word in its title kills each process that reads it."""


def kill_at(plan: Path, event: str) -> None:
    """Kill this process if the plan names this event."""
    try:
        if plan.read_text() != event:
            return
        plan.rename(plan.with_suffix(".landed"))  # one process alone can: the others find no file
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def install(plan: Path) -> None:
    """Make every call of a worker to the outbox and the tables a fault-injection point."""

    def around(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*arguments: Any, **named: Any) -> Any:
            kill_at(plan, f"{name} before")
            result = call(*arguments, **named)
            kill_at(plan, f"{name} after")
            return result

        return patched

    for name in ("take", "held", "finish", "waiting"):
        setattr(outbox, name, around(name, getattr(outbox, name)))
    runner.run = around("run", runner.run)  # after: all is committed, and the message is not acknowledged
    tasks.ring = around("ring", tasks.ring)
    for name, stage in runner.STAGES.items():
        runner.STAGES[name] = Stage(
            name=name,
            read=around(f"{name}-read", deadly(stage.read)),
            work=around(f"{name}-work", stage.work),
            write=around(f"{name}-write", stage.write),
        )


def deadly(read: Callable[..., Any]) -> Callable[..., Any]:
    """A poison ad kills whoever reads it."""

    def patched(connection: Connection[Any], listing_ids: Sequence[int], *others: Any) -> Any:
        found = connection.execute(
            "select 1 from listings where id = any(%s) and title like %s", [list(listing_ids), f"{POISON}%"]
        ).fetchone()
        if found:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(connection, listing_ids, *others)

    return patched


def finish_first() -> None:
    """A broken worker: it says that ads are done, and then writes what came of them."""

    def hasty(connection: Connection[Any], settings: Any, stage: Stage, hand: outbox.Hand) -> list[int]:
        results = stage.work(stage.read(connection, hand.listing_ids, settings))
        with connection.transaction():
            done = outbox.finish(connection, hand, runner.NEXT[stage.name])
        with connection.transaction():
            runner.STAGES[stage.name].write(connection, results)
        return done

    runner._through = hasty


BROKEN = {finish_first.__name__: finish_first}

if __name__ == "__main__":
    if sys.argv[2]:
        BROKEN[sys.argv[2]]()
    install(Path(sys.argv[1]))
    worker_init.disconnect(import_for_all)  # no model is used here
    app.worker_main(
        ["worker", "--beat", "--concurrency", "2", "--queues", ",".join(sys.argv[3].split(",")), "-l", "INFO"]
    )
