"""The Celery processes as the supervisor sees them: beside the workers, by the same interface."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ops.workers.celery_control import KINDS, CeleryControl
from ops.workers.registry import WorkerStatus

if TYPE_CHECKING:
    from celery import Celery

    from deals.broker.state import BrokerState
    from ops.workers.celery_control import CeleryStatus, Kind
    from ops.workers.processes import Stopped
    from vinops.config import Settings

WORKER: Final = "celery_worker"
BEAT: Final = "celery_beat"
NAMES: Final = (WORKER, BEAT)


class CeleryBackend:
    """Starts and stops Celery's processes by the names of their programs."""

    def __init__(self, settings: Settings, control: CeleryControl | None = None) -> None:
        """`control` is what does it."""
        self._settings = settings
        self._control = control or CeleryControl(settings)
        self._kinds: dict[str, Kind] = {self._control.programs[kind].name: kind for kind in KINDS}
        self._app: Celery | None = None
        self.owns_restarts = self._control.has_units
        self.name = "systemd" if self._control.has_units else "processes"

    def start(self, name: str) -> WorkerStatus:
        """Start it, and do not wait until it is up. Raises AlreadyRunning."""
        kind = self._kinds[name]
        self._control.start_one(kind)
        return next(each for each in self.status() if each.name == name)

    def stop(self, name: str, *, grace: float) -> Stopped:
        """Tell it to end, wait up to `grace` seconds, then kill it."""
        return replace(self._control.stop_one(self._kinds[name], grace=grace), name=name)

    def status(self) -> list[WorkerStatus]:
        """Return how those are that were ever started, here or by hand."""
        return [_status(self._control, each) for each in self._control.status() if each.standing.started_at]

    def by_hand(self) -> dict[str, tuple[int, ...]]:
        """Return the processes that were started by hand, of those that do not run here."""
        return {
            self._control.programs[each.kind].name: each.duplicates
            for each in self._control.status()
            if each.duplicates and each.standing.state != "running"
        }

    def broker(self) -> BrokerState:
        """Ask the broker what waits, and whether it takes messages."""
        from celery import Celery  # with deals.app half a second, for a question that is seldom asked

        from deals.app import configuration
        from deals.broker import state as broker_state

        if self._app is None:
            self._app = Celery("supervise", set_as_current=False)
            self._app.conf.update({**configuration(self._settings), "include": []})
        return broker_state.ask(self._app)


def _status(control: CeleryControl, found: CeleryStatus) -> WorkerStatus:
    program, standing = control.programs[found.kind], found.standing
    return WorkerStatus(
        name=program.name,
        makes=(),
        state=standing.state,
        pid=standing.pid,
        started_at=standing.started_at,
        ended_at=standing.ended_at,
        exit_code=standing.exit_code,
        log=program.log,
        last_pid=standing.identity.pid if standing.identity else None,
    )
