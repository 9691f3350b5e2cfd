"""What Celery tells systemd: the worker and the beat are ready, they move, they end. Outside of a unit nothing happens.

The worker's watchdog is fed by its own timer while work comes to an end: a task that has outlived the limit at which it
is killed means that the worker has lost hold of its children. The beat's is fed by each turn of the schedule.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celery import bootsteps, signals
from celery.worker import state

from vinops import notify_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celery import Celery

GRACE: Final = 60.0  # seconds beyond the time limit until a task that is still there counts as lost


def install(app: Celery) -> None:
    """Have the worker and the beat of this application speak to systemd, if it listens."""
    app.steps["worker"].add(WorkerWatchdog)
    signals.worker_ready.connect(_worker_is_ready)
    signals.worker_shutting_down.connect(_worker_ends)
    signals.beat_init.connect(_beat_begins)


class Progress:
    """Whether tasks come to an end: none is in work for longer than `limit` seconds."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._limit = limit
        self._clock = clock
        self._since: dict[str, float] = {}

    def moves(self, active: Iterable[str]) -> bool:
        """Tell whether all is well with the tasks, by their ids, that are in work now. Call it now and then."""
        now = self._clock()
        self._since = {task: self._since.get(task, now) for task in active}
        return all(now - since <= self._limit for since in self._since.values())


class WorkerWatchdog(bootsteps.StartStopStep):
    """Feeds the watchdog from the worker's timer, which stands still with the worker."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        """`parent` is the worker."""
        super().__init__(parent, **options)
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
        """Feed it, if tasks come to an end."""
        active = [request.id for request in tuple(state.active_requests)]
        if self._progress.moves(active):
            done = sum(state.total_count.values())
            notify_socket.alive(f"{len(active)} tasks in work, {done} taken since it began")


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
