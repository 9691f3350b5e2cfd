"""Workers as `vinops workers status` shows them: each with its page, progress and last line, then the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vinops.redaction import redact
from vinops.text import figures
from vinops.text.figures import age, percent, rate, size
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from ops.observe.market import MakeState
    from ops.observe.snapshot import CrawlRun, Machine, Snapshot, Worker

HEAD = 8


def lines(
    snapshot: Snapshot, *, by_hand: Mapping[str, Sequence[int]], last: Mapping[str, str], width: int
) -> Iterator[str]:
    """Yield the lines, none but paths wider than `width`. By worker, `by_hand` are the processes that were started by
    hand, and `last` the last lines of the logs."""
    for worker in snapshot.workers or ():
        yield from figures.wrapped(_state(worker, snapshot.at), width, f"{worker.name:<{HEAD}}")
        makes = snapshot.market.of_worker(worker.name) if snapshot.market else ()
        for about in _details(worker, by_hand.get(worker.name, ()), last.get(worker.name, ""), makes, snapshot.at):
            yield from figures.wrapped(about, width, " " * HEAD)
        yield f"{' ' * HEAD}log: {worker.log}"  # whole, to be copied
    if snapshot.market is not None and any(worker.makes for worker in snapshot.workers or ()):
        said = "; ".join(filter(None, [snapshot.market.newest_said(snapshot.at), snapshot.market.walk_said]))
        yield from figures.wrapped(said, width, f"{'market':<{HEAD}}")
    if snapshot.database.error is not None:
        yield from figures.wrapped(f"no progress is known: {snapshot.database.error}", width, f"{'runs':<{HEAD}}")
    if snapshot.machine is not None:
        yield from figures.wrapped(_machine(snapshot.machine), width, f"{'machine':<{HEAD}}")


def _state(worker: Worker, now: datetime) -> str:
    """Return how a worker is, since when, and what it crawls: `running, PID 4711, for 2 h; Audi, VW, Opel`."""
    makes = f"; {', '.join(worker.makes)}" if worker.makes else ""
    if worker.state == "running":
        up = f", for {age((now - worker.started_at).total_seconds())}" if worker.started_at else ""
        return f"running, PID {worker.pid}{up}{makes}"
    if worker.ended_at is None:
        return f"{worker.state}{makes}"
    return f"{worker.state} {age((now - worker.ended_at).total_seconds())} ago, {worker.end}{makes}"


def _details(
    worker: Worker, by_hand: Sequence[int], last: str, makes: Sequence[MakeState], now: datetime
) -> Iterator[str]:
    if by_hand:
        pids = ", ".join(map(str, by_hand))
        yield f"started by hand: PID {pids} (`vinops workers stop {worker.name}` ends it)"
    if worker.run is not None:
        yield _progress(worker, worker.run, now)
    if any(make.since for make in makes):
        yield f"complete: {'; '.join(make.said(now) for make in makes)}"
    if last:
        yield f"last: {printable(redact(last))}"


def _progress(worker: Worker, run: CrawlRun, now: datetime) -> str:
    """Return how far a run is: `at bmw page 3; page 12 of 85, 240 items, 96/min, heartbeat 2 s ago`."""
    at = f"at {printable(run.current_item)}; " if run.current_item and worker.state == "running" else ""
    of = f" of {run.total}" if run.total else ""
    when = f"{age(max((now - run.heartbeat_at).total_seconds(), 0.0))} ago"
    return f"{at}{run.unit} {run.done}{of}, {run.items} items, {rate(worker.rate)}/min, heartbeat {when}"


def _machine(machine: Machine) -> str:
    disk = max(machine.disks.values(), key=lambda each: each.share)
    cores = figures.plural(machine.cores, "core")
    return (
        f"CPU {percent(machine.cpu)}, load {machine.load:.1f} on {cores}; memory {percent(machine.memory)}, "
        f"{size(machine.memory_free)} free; disk {percent(disk.share)}, {size(disk.free)} free"
    )
