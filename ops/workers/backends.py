"""What starts and stops programs: plain processes, or systemd units where those are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ops.workers import systemd
from ops.workers.processes import Processes, Stopped, identify, terminate
from ops.workers.registry import run_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ops.workers.processes import ProcessStatus
    from ops.workers.registry import Program
    from vinops.config import Settings


class Backend(Protocol):
    """Starts and stops programs. Methods raise ProcessError."""

    name: str
    owns_restarts: bool
    """Whether it restarts by itself what ended; then nothing else does."""

    def status(self, programs: Sequence[Program]) -> list[ProcessStatus]:
        """Return the status of each, in their order."""

    def start(self, program: Program) -> ProcessStatus:
        """Start a program. Raises AlreadyRunning if it runs; of two calls at once one starts it."""

    def stop(self, program: Program, *, grace: float) -> Stopped:
        """Terminate a program, wait up to `grace` seconds, then kill it and its children."""

    def why(self, status: ProcessStatus) -> str:
        """Return where to read why a process ended, and its last lines."""


def backend(settings: Settings, programs: Sequence[Program]) -> Backend:
    """Return what runs these programs here: VINOPS_WORKERS_BACKEND, by default units if the first one has its own."""
    is_installed = settings.workers_backend == "auto" and systemd.is_installed(programs[0].unit)
    if settings.workers_backend == "systemd" or is_installed:
        return systemd.Units(run_folder(settings))
    return Processes(run_folder(settings))


def stop_only(settings: Settings, program: Program, pid: Callable[[], int | None], *, grace: float) -> Stopped:
    """Stop a program of which one runs on a data folder: its unit, and the process `pid` that has its lock, however
    that was started. Raises ProcessError."""
    found = backend(settings, [program])
    stopped = found.stop(program, grace=grace) if found.owns_restarts else Stopped(pid=None)
    holder = identify(held) if (held := pid()) else None
    return terminate(holder, grace=grace) if holder else stopped
