"""What starts and stops workers: plain processes, or systemd units where those are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ops.workers import registry
from ops.workers.processes import Processes, Stopped
from ops.workers.registry import names, run_folder, status_of
from ops.workers.systemd import SystemdBackend, has_units

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.workers.processes import Program
    from ops.workers.registry import WorkerStatus
    from vinops.config import Settings


class Backend(Protocol):
    """What starts and stops workers. Methods raise ProcessError."""

    name: str
    owns_restarts: bool
    """Whether it starts by itself what has ended: then nobody else does."""

    def start(self, name: str) -> WorkerStatus:
        """Start a worker. Raises AlreadyRunning if there is one; of two who start at once one does."""

    def stop(self, name: str, *, grace: float) -> Stopped:
        """Tell a worker to end, wait up to `grace` seconds, then kill it and what it left."""

    def status(self) -> list[WorkerStatus]:
        """Return how all workers are, those that were never started too."""


class ProcessBackend:
    """Workers as plain processes of this machine, their files in the folder `run` of the data folder."""

    name = "processes"
    owns_restarts = False

    def __init__(self, settings: Settings, program: Callable[[Settings, str], Program] | None = None) -> None:
        """`program` says what is run as a worker of a name."""
        self._settings = settings
        self._program = program or registry.worker_program
        self._processes = Processes(run_folder(settings))

    def start(self, name: str) -> WorkerStatus:
        """As the protocol says."""
        standing = self._processes.start(self._program(self._settings, name))
        return status_of(self._settings, name, standing)

    def stop(self, name: str, *, grace: float) -> Stopped:
        """As the protocol says."""
        stopped = self._processes.stop(f"worker_{name}", grace=grace)
        return Stopped(name=name, pid=stopped.pid, was_killed=stopped.was_killed, leftovers=stopped.leftovers)

    def status(self) -> list[WorkerStatus]:
        """As the protocol says."""
        return [
            status_of(self._settings, name, self._processes.standing(f"worker_{name}"))
            for name in names(self._settings)
        ]


def backend(settings: Settings) -> Backend:
    """Return what runs the workers of this machine: VINOPS_WORKERS_BACKEND, or what is there."""
    if settings.workers_backend == "systemd" or (settings.workers_backend == "auto" and has_units()):
        return SystemdBackend(settings)
    return ProcessBackend(settings)
