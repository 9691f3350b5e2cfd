"""What Celery tells systemd: the worker and the beat are ready, they move, they end. Outside of a unit nothing happens.

The worker's watchdog is fed by its own timer while work that waits is taken, and what was taken comes to an end. A task
that has outlived the limit at which it is killed means that the worker has lost hold of its children; messages that
wait in the broker while it takes none, that it has lost hold of the broker. A broker that is away is nobody's fault
here: Celery waits for it. The beat's is fed by each turn of the schedule.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from celery import bootsteps, signals
from celery.worker import state

from deals.broker import state as broker_state
from vinops import systemd as notify_socket
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from celery import Celery

log = logging.getLogger("deals")

PATIENCE: Final = 60.0  # seconds that messages may wait for a worker that could take them; it takes milliseconds
GRACE: Final = 60.0  # seconds beyond the time limit until a task that is still there counts as lost


def install(app: Celery) -> None:
    """Have the worker and the beat of this application speak to systemd, if it listens."""
    app.steps["worker"].add(WorkerWatchdog)
    signals.worker_ready.connect(_worker_is_ready)
    signals.worker_shutting_down.connect(_worker_ends)
    signals.beat_init.connect(_beat_begins)


class Progress:
    """Whether work goes on: no task is in work for longer than `limit` seconds, and none waits for longer than
    `patience` seconds while none is taken."""

    def __init__(self, limit: float, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._limit = limit
        self._patience = patience
        self._clock = clock
        self._since: dict[str, float] = {}
        self._taken = 0
        self._stands_since: float | None = None

    def moves(self, active: Collection[str], *, taken: int, slots: int, waits: Callable[[], bool]) -> bool:
        """Tell whether all is well. Call it now and then.

        `active` are the ids of the tasks in work, `slots` how many there may be, `taken` how many there ever were.
        `waits` says whether the broker has messages; it is asked only of a worker that has taken none since the last
        call and could.
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
    """Feeds the watchdog from the worker's timer, which stands still with the worker."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        """`parent` is the worker."""
        super().__init__(parent, **options)
        self._app: Celery = parent.app
        self._slots: int = parent.concurrency
        self._progress = Progress((parent.app.conf.task_time_limit or 0) + GRACE)
        self._entry: Any = None

    def include_if(self, parent: Any) -> bool:
        """Only where a watchdog waits."""
        return notify_socket.watchdog_seconds() is not None

    def start(self, parent: Any) -> None:
        """Begin to feed it."""
        every = (notify_socket.watchdog_seconds() or GRACE) / 3
        self._entry = parent.timer.call_repeatedly(every, self.feed)

    def stop(self, parent: Any) -> None:
        """Feed it no more: from here on the time to stop counts."""
        if self._entry is not None:
            self._entry.cancel()

    def feed(self) -> None:
        """Feed it, if work goes on."""
        active = [request.id for request in tuple(state.active_requests)]
        taken = sum(state.total_count.values())
        if self._progress.moves(active, taken=taken, slots=self._slots, waits=self._waits):
            notify_socket.alive(f"{len(active)} tasks in work, {taken} taken since it began")
        else:
            log.error("the worker takes no tasks, or has lost some: systemd ends it %s", pairs(taken=taken))

    def _waits(self) -> bool:
        return broker_state.ask(self._app).waiting > 0


def _worker_is_ready(**_: object) -> None:
    notify_socket.ready()


def _worker_ends(**_: object) -> None:
    notify_socket.stopping("the tasks in work come to their end")


def _beat_begins(sender: Any, **_: object) -> None:
    """Have each turn of the schedule feed the watchdog; the schedule turns at least as often as is needed."""
    scheduler = sender.scheduler
    turn = scheduler.tick

    def tick(*arguments: Any, **options: Any) -> Any:
        wait = turn(*arguments, **options)
        notify_socket.alive()
        return wait

    scheduler.tick = tick
    if (seconds := notify_socket.watchdog_seconds()) is not None:
        scheduler.max_interval = min(scheduler.max_interval, seconds / 3)
    notify_socket.ready()
