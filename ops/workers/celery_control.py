"""The Celery processes of the deals: one worker and one beat, started, stopped, looked at, and cleaned up after.

What they do and how many at once stands in deals/app.py. They are plain processes here, units of systemd where those
are installed. A process that was started by hand is found by its command line and its data folder, and named: two
workers share the work without harm, two beats ring twice.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from ops.workers import units
from ops.workers.processes import AlreadyRunning, ProcessError, Processes, Program, arguments, last_lines, parent, pids
from ops.workers.registry import run_folder
from ops.workers.units import Units
from vinops import config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.workers.processes import Standing, Stopped
    from vinops.config import Settings

Kind = Literal["worker", "beat"]

KINDS: Final[tuple[Kind, ...]] = ("worker", "beat")
LOOK_SECONDS: Final = 0.2
UNITS: Final = {"celery_worker": "vinops-celery.service", "celery_beat": "vinops-celery-beat.service"}
READY: Final[dict[Kind, str]] = {"worker": " ready.", "beat": "beat: Starting..."}
ENOUGH: Final = 30.0  # seconds that it lives, where its log level keeps it from saying that it is ready


@dataclass(frozen=True, kw_only=True)
class CeleryStatus:
    """How a Celery process is, and which others of its kind there are that were not started here."""

    kind: Kind
    standing: Standing
    log: Path
    duplicates: tuple[int, ...] = ()


class Backend(Protocol):
    """What starts and stops programs, by their names: plain processes or units. Methods raise ProcessError."""

    def standing(self, name: str) -> Standing:
        """Return how it is."""

    def start(self, program: Program) -> Standing:
        """Start it. Raises AlreadyRunning if there is one; of two who start at once one does."""

    def stop(self, name: str, *, grace: float) -> Stopped:
        """Tell it to end, wait up to `grace` seconds, then kill it and what it left."""


class CeleryControl:
    """The Celery processes of a data folder."""

    def __init__(self, settings: Settings, programs: dict[Kind, Program] | None = None) -> None:
        """`programs` says what is run."""
        self._settings = settings
        self.programs = programs or celery_programs(settings)
        self._processes = Processes(run_folder(settings))
        self.has_units = has_units(settings)
        self._backend: Backend = (
            Units(run_folder(settings), lambda name: UNITS[name]) if self.has_units else self._processes
        )

    def status(self) -> list[CeleryStatus]:
        """Return how both are. Raises ProcessError."""
        found = []
        for kind in KINDS:
            program = self.programs[kind]
            standing = self._backend.standing(program.name)
            others = tuple(pid for pid in by_hand(self._settings, kind, program) if pid != standing.pid)
            found.append(CeleryStatus(kind=kind, standing=standing, log=program.log, duplicates=others))
        return found

    def start(self, noted: AbstractContextManager[object] | None = None) -> dict[Kind, Standing | ProcessError]:
        """Start what does not run and wait until it is up; return for each how it is, or why there is no new one.

        `noted` is open while they are started, and not while they are waited for.
        """
        outcomes: dict[Kind, Standing | ProcessError] = {}
        logged = {kind: _size(self.programs[kind].log) for kind in KINDS}
        with noted or nullcontext():
            for status in self.status():
                try:
                    outcomes[status.kind] = self._start(status)
                except ProcessError as error:
                    outcomes[status.kind] = error
        for kind, outcome in outcomes.items():
            if not isinstance(outcome, ProcessError):
                outcomes[kind] = self._wait_until_up(kind, logged[kind])
        return outcomes

    def start_one(self, kind: Kind) -> Standing:
        """Start one and return how it is then, up or not. Raises ProcessError, AlreadyRunning too."""
        return self._start(next(each for each in self.status() if each.kind == kind))

    def _start(self, status: CeleryStatus) -> Standing:
        program = self.programs[status.kind]
        if status.duplicates and status.standing.state != "running":
            raise AlreadyRunning(
                f"{program.title} was not started: one that was started by hand runs: "
                f"PID {', '.join(map(str, status.duplicates))}; end it with `kill`, then start it here",
                status.duplicates[0],
            )
        return self._backend.start(program)

    def stop(self, *, grace: float) -> dict[Kind, Stopped]:
        """Stop beat, then the worker, which ends the tasks that it has in hand; what they were about stands in
        PostgreSQL, and is done by the next one if it has to be killed."""
        return {kind: self.stop_one(kind, grace=grace) for kind in reversed(KINDS)}

    def stop_one(self, kind: Kind, *, grace: float) -> Stopped:
        """Stop one, and kill it if it takes longer than `grace` seconds. Raises ProcessError."""
        return self._backend.stop(self.programs[kind].name, grace=grace)

    def clean(self) -> list[str]:
        """Remove what dead processes left, and return what was done, a line each. What runs is left alone.

        Messages that can be read stay: they ring for work that stands in PostgreSQL. One that cannot be read is moved
        aside, and the sweep rings again. If the process dies in here the next one goes on.
        """
        done = []
        runs = [status for status in self.status() if status.standing.state == "running" or status.duplicates]
        for kind in KINDS:
            program = self.programs[kind]
            done += [f"removed the stale {name} of {program.title}" for name in self._processes.clear(program.name)]
        if runs:
            titles = " and ".join(self.programs[status.kind].title for status in runs)
            return [*done, f"left the broker alone: {titles} runs"]
        return done + self._clean_broker()

    def _clean_broker(self) -> list[str]:
        if self._settings.celery_broker_url is not None:
            return []
        folder = self._settings.data_dir / "celery"
        done, waiting = [], 0
        for path in sorted((folder / "messages").glob("*.msg")):
            if _is_message(path):
                waiting += 1
                continue
            aside = folder / "unreadable"
            aside.mkdir(exist_ok=True)
            shutil.move(path, aside / path.name)
            done.append(f"moved the message {path.name}, which cannot be read, to {aside}: the sweep rings again")
        if waiting:
            done.append(f"kept {waiting} messages: the next worker reads them")
        return done

    def _wait_until_up(self, kind: Kind, logged: int) -> Standing | ProcessError:
        program = self.programs[kind]
        began = time.monotonic()
        while True:
            standing = self._backend.standing(program.name)
            lived = time.monotonic() - began
            if standing.state != "running":
                return ProcessError(self._why(program, standing))
            if READY[kind] in _text(program.log, logged) or lived > ENOUGH:
                return standing
            time.sleep(LOOK_SECONDS)

    def _why(self, program: Program, standing: Standing) -> str:
        """Return why a process ended, in its own last words. What a unit writes to standard error is in the journal."""
        ended = f"{program.title} ended at once (exit code {standing.exit_code})"
        if self.has_units:
            return f"{ended}: look at `journalctl -u {UNITS[program.name]} -n 50` and at {program.log}"
        return "\n".join([f"{ended}:", *(last_lines(program.errors) or last_lines(program.log))])


def has_units(settings: Settings) -> bool:
    """Tell whether Celery runs as units on this machine: VINOPS_WORKERS_BACKEND, or what is there."""
    if settings.workers_backend == "auto":
        return units.is_installed(UNITS["celery_worker"])
    return settings.workers_backend == "systemd"


def celery_programs(settings: Settings) -> dict[Kind, Program]:
    """Return what is run as the worker and as beat."""
    titles: dict[Kind, str] = {"worker": "Celery worker", "beat": "Celery beat"}
    # Beat would keep a PID file of its own in the current folder, and refuses to start when the id is used again.
    more: dict[Kind, tuple[str, ...]] = {"worker": (), "beat": ("--pidfile=",)}
    return {
        kind: Program(
            name=f"celery_{kind}",
            title=titles[kind],
            command=(sys.executable, "-m", "celery", "-A", "deals", kind, *more[kind]),
            log=settings.log_dir / f"celery_{kind}.log",
            errors=settings.log_dir / f"celery_{kind}.err",
        )
        for kind in KINDS
    }


def by_hand(settings: Settings, kind: Kind, program: Program) -> list[int]:
    """Return the processes of this kind, of this application and data folder: each the first of its family, whoever
    started it. Those of other accounts cannot be seen unless this is root."""
    found = {pid for pid in pids() if _is_celery(arguments(pid), kind, program)}
    first = [pid for pid in found if parent(pid) not in found]
    return sorted(pid for pid in first if _data_dir(pid) == settings.data_dir.resolve())


def _is_celery(line: Sequence[str], kind: Kind, program: Program) -> bool:
    """Tell by a command line: what is run here, or `celery -A deals worker` in any spelling."""
    if tuple(line) == program.command:
        return True
    if not any(Path(part).name == "celery" for part in line[:3]):
        return False
    has_beat = "worker" in line and not {"-B", "--beat"}.isdisjoint(line)  # a worker may have one within
    if kind not in line and not (kind == "beat" and has_beat):
        return False
    return any(part.startswith("--app=deals") for part in line) or any(
        name in ("-A", "--app") and value.split(".")[0] == "deals" for name, value in pairwise(line)
    )


def _data_dir(pid: int) -> Path | None:
    """Return the data folder of a process, by its environment and the .env of its folder."""
    folder = Path(f"/proc/{pid}/cwd")
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
        environ = dict(part.partition("=")[::2] for part in text.split("\0") if part)
        here = folder.readlink()
        return (here / config.load(environ, folder=here).data_dir).resolve()
    except (OSError, config.ConfigError):
        return None


def _is_message(path: Path) -> bool:
    try:
        found: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return True  # somebody has read it
    except ValueError:
        return False
    return isinstance(found, dict) and "body" in found


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _text(path: Path, offset: int) -> str:
    """Return what a log says from an offset on; all of it, if it was rotated meanwhile."""
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    return data[offset if offset <= len(data) else 0 :].decode("utf-8", "replace")
