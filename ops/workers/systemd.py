"""Workers as systemd units: vinops-worker@N.service and vinops-photo-scraper.service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ops.workers import units
from ops.workers.registry import PHOTOS, WorkerStatus, names, run_folder, status_of, worker_program
from ops.workers.units import Units

if TYPE_CHECKING:
    from ops.workers.processes import Stopped
    from vinops.config import Settings


def unit(name: str) -> str:
    """Return the unit of a worker."""
    return "vinops-photo-scraper.service" if name == PHOTOS else f"vinops-worker@{name}.service"


def has_units() -> bool:
    """Tell whether systemd runs this machine and knows the unit of the workers."""
    return units.is_installed(unit("1"))


class SystemdBackend:
    """Workers as units. systemd restarts what dies, and stops all of a unit's processes with it."""

    name = "systemd"
    owns_restarts = True

    def __init__(self, settings: Settings) -> None:
        """The folder `run` of the data folder keeps which start of a unit was stopped on purpose."""
        self._settings = settings
        self._units = Units(run_folder(settings), lambda name: unit(name.removeprefix("worker_")))

    def start(self, name: str) -> WorkerStatus:
        """As the protocol says."""
        return status_of(self._settings, name, self._units.start(worker_program(self._settings, name)))

    def stop(self, name: str, *, grace: float) -> Stopped:
        """As the protocol says. The unit's own TimeoutStopSec may kill it earlier."""
        return replace(self._units.stop(f"worker_{name}", grace=grace), name=name)

    def status(self) -> list[WorkerStatus]:
        """As the protocol says."""
        known = names(self._settings)
        found = self._units.standings([f"worker_{name}" for name in known])
        return [status_of(self._settings, name, found[f"worker_{name}"]) for name in known]
