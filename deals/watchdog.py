"""Notifications of Celery to systemd: worker and beat are ready, make progress, stop. Outside a unit nothing happens.

The worker's own timer feeds its watchdog while waiting messages are taken and tasks end. A task that has outlived the
limit at which it is killed means that the worker has lost control of its children; messages that wait in the broker
while it takes none, that it has lost the broker. An unavailable broker is not a failure of the worker: Celery waits for
it. Each turn of the schedule feeds the watchdog of the beat.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from celery import bootsteps, signals
from celery.worker import state

from deals.broker import state as broker_state
from vinops import systemd
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from celery import Celery

log = logging.getLogger("deals")

PATIENCE: Final = 60.0  # seconds that messages may wait for a worker with a free process; usual are milliseconds
GRACE: Final = 60.0  # seconds beyond the time limit after which a task that has not ended counts as lost


def install(app: Celery) -> None:
    """Connect the worker and the beat of this application to systemd."""
    app.steps["worker"].add(WorkerWatchdog)
    signals.worker_ready.connect(_worker_is_ready)
    signals.worker_shutting_down.connect(_worker_ends)
    signals.beat_init.connect(_beat_begins)


class Progress:
    """Whether a worker makes progress: no task runs for longer than `limit` seconds, and no message waits for longer
    than `patience` seconds while the worker takes none."""

    def __init__(self, limit: float, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._limit = limit
        self._patience = patience
        self._clock = clock
        self._since: dict[str, float] = {}
        self._taken = 0
        self._stands_since: float | None = None

    def moves(self, active: Collection[str], *, taken: int, slots: int, waits: Callable[[], bool]) -> bool:
        """Tell whether the worker makes progress. To be called regularly.

        `active` are the ids of the running tasks, `slots` how many may run, `taken` how many were ever started. `waits`
        returns whether the broker has messages; it is only called for a worker that has started none since the last
        call and has a free slot.
        """
        now = self._clock()
        self._since = {task: self._since.get(task, now) for task in active}
        is_taking, self._taken = taken != self._taken, taken
        if is_taking or len(active) >= slots or not waits():
            self._stands_since = None
        elif self._stands_since is None:
            self._stands_since = now
        stood = 0.0 if self._stands_since is None else now - self._stands_since
        return stood <= self._patience and all(now - since <= self._limit for since in self._since.values())


class WorkerWatchdog(bootsteps.StartStopStep):
    """Feeds the watchdog from the worker's timer, which stops if the worker hangs."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        """Feed the watchdog for the worker `parent`."""
        super().__init__(parent, **options)
        self._app: Celery = parent.app
        self._slots: int = parent.concurrency
        self._progress = Progress((parent.app.conf.task_time_limit or 0) + GRACE)
        self._entry: Any = None

    def include_if(self, parent: Any) -> bool:
        """Return whether systemd expects a watchdog."""
        return systemd.watchdog_seconds() is not None

    def start(self, parent: Any) -> None:
        """Start the timer."""
        every = (systemd.watchdog_seconds() or GRACE) / 3
        self._entry = parent.timer.call_repeatedly(every, self.feed)

    def stop(self, parent: Any) -> None:
        """Stop the timer: from now on the unit's stop timeout applies."""
        if self._entry is not None:
            self._entry.cancel()

    def feed(self) -> None:
        """Feed the watchdog, if the worker makes progress."""
        active = [request.id for request in tuple(state.active_requests)]
        taken = sum(state.total_count.values())
        if self._progress.moves(active, taken=taken, slots=self._slots, waits=self._waits):
            systemd.alive(f"{len(active)} tasks running, {taken} started since the worker began")
        else:
            log.error("the worker takes no tasks, or has lost some: systemd ends it %s", pairs(taken=taken))

    def _waits(self) -> bool:
        return broker_state.ask(self._app).waiting > 0


def _worker_is_ready(**_: object) -> None:
    systemd.ready()


def _worker_ends(**_: object) -> None:
    systemd.stopping("stopping after the running tasks")


def _beat_begins(sender: Any, **_: object) -> None:
    """Have each turn of the schedule feed the watchdog; make it turn often enough for that."""
    scheduler = sender.scheduler
    turn = scheduler.tick

    def tick(*arguments: Any, **options: Any) -> Any:
        wait = turn(*arguments, **options)
        systemd.alive()
        return wait

    scheduler.tick = tick
    if (seconds := systemd.watchdog_seconds()) is not None:
        scheduler.max_interval = min(scheduler.max_interval, seconds / 3)
    systemd.ready()
