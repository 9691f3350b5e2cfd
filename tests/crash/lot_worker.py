"""A run of the lots with fault-injection points: `python tests/crash/lot_worker.py POINT BROKEN`.

POINT is a file that names an event, `name when`: `value-write after`. When the run reaches that event it renames the
file, which proves that it got there, and kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deals.offers import passes, requote
from deals.queue import outbox, runner
from deals.stages import match_lots, quote, value
from vinops import config
from vinops.db import database

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from deals.lots.terms import Terms
    from vinops.config import Settings


def around(point: Path, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call with an event before and after it."""

    def kill_at(event: str) -> None:
        if point.exists() and point.read_text(encoding="utf-8") == event:
            point.rename(point.with_suffix(".landed"))
            os.kill(os.getpid(), signal.SIGKILL)

    def patched(*arguments: Any, **named: Any) -> Any:
        kill_at(f"{name} before")
        result = call(*arguments, **named)
        kill_at(f"{name} after")
        return result

    return patched


def stamp_first() -> None:
    """Break the run: it marks the lots as valued and ends their work in one transaction, and writes their values in the
    next."""

    def broken(connection: Connection[Any], settings: Settings, lease: outbox.Lease) -> list[int]:
        module: Any = STAGES[lease.stage]
        results = module.work(module.read(connection, lease.listing_ids, settings))
        nothing = dict.fromkeys(("p10", "p20", "p50", "p90"))
        with connection.transaction():
            if lease.stage == "value":
                value.write(connection, [replace(each, method="none", **nothing) for each in results])
            done = outbox.finish(connection, lease, None)
        around(Path(sys.argv[1]), "stamp", lambda: None)()
        with connection.transaction():
            module.write(connection, results)
        return done

    runner._work = broken


def stamp_terms_first() -> None:
    """Break quoting anew: in one transaction it notes by what terms lots are quoted, and in the next it quotes them."""

    def broken(connection: Connection[Any], settings: Settings, by: Terms, after: int) -> list[int]:
        stamp = "update lot_quotes set basis = %s where basis <> %s returning lot_id"
        lot_ids = [row[0] for row in connection.execute(stamp, [by.basis, by.basis])]
        around(Path(sys.argv[1]), "stamp", lambda: None)()
        if lot_ids:
            quote.write(connection, quote.work(quote.read_by(connection, lot_ids, by)))
        return lot_ids

    requote._batch = broken


def match_later() -> None:
    """Break the run: it ends the matching of lots in one transaction, and records what watches find in the next."""
    whole = runner._work

    def broken(connection: Connection[Any], settings: Settings, lease: outbox.Lease) -> list[int]:
        if lease.stage != "match_lots":
            return whole(connection, settings, lease)
        with connection.transaction():
            done = outbox.finish(connection, lease, None)
        around(Path(sys.argv[1]), "stamp", lambda: None)()
        with connection.transaction():
            match_lots.write(connection, match_lots.read(connection, lease.listing_ids, settings))
        return done

    runner._work = broken


STAGES: dict[str, Any] = {"value": value, "quote": quote, "match_lots": match_lots}
BROKEN = {each.__name__: each for each in (stamp_first, stamp_terms_first, match_later)}


def main() -> None:
    """Quote anew by other terms, two lots at a time, queue what changed, and take it through all stages."""
    point = Path(sys.argv[1])
    requote.BATCH = 2  # type: ignore[misc]
    requote._batch = around(point, "batch", requote._batch)
    quote.read_by = around(point, "quote-read_by", quote.read_by)
    if sys.argv[2]:
        BROKEN[sys.argv[2]]()
    for name, module in STAGES.items():
        for function in ("read", "work", "write"):
            setattr(module, function, around(point, f"{name}-{function}", getattr(module, function)))
    for function in ("take", "held", "finish"):
        setattr(outbox, function, around(point, function, getattr(outbox, function)))
    passes.queue_changed = around(point, "queue", passes.queue_changed)
    settings = config.load()
    with database.connect(settings, application="tests", autocommit=True) as connection:
        requote.run(connection, settings)
        passes.queue_changed(connection, settings)
        for stage in STAGES:
            runner.drain(connection, settings, stage)


if __name__ == "__main__":
    main()
