"""Workers for the tests: the command line as a process, and what it starts, on either backend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection

from ops.workers.processes import KEEPER, arguments as command_line, descendants, identify, pids
from ops.workers.registry import workers
from tests.support import forks
from vinops.config import Settings

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
UNITS = "units"

Database = Connection[tuple[Any, ...]]


def until(is_so: Callable[[], object], what: str, *, seconds: float = SECONDS) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


def unit(name: str) -> str:
    """Return the unit of a market worker."""
    return f"vinops-worker@{name}.service"


def install_units(folder: Path, commands: dict[str, list[str]]) -> None:
    """Make a systemctl in the folder `bin` that knows these units, and keeps them in the folder `units`."""
    (folder / UNITS).mkdir()
    (folder / "bin").mkdir()
    for name, command in commands.items():
        (folder / UNITS / f"{name}.command").write_text(json.dumps(command))
    script = folder / "bin" / "systemctl"
    fake = ROOT / "tests" / "support" / "fake_systemctl.py"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{fake}" "{folder / UNITS}" "$@"\n')
    script.chmod(0o755)


@dataclass(kw_only=True)
class Fleet:
    """The workers of one data folder, started by `vinops` as a process.

    `program` is the command line: the real one, or the one with a stand-in for the crawls. With `is_systemd` there is a
    systemctl on PATH that knows the units.
    """

    settings: Settings
    database: Database
    folder: Path
    is_systemd: bool = False
    program: str = str(ROOT / "tests" / "support" / "process_cli.py")
    crawl: Callable[[str], list[str]] = lambda name: [
        sys.executable,
        str(ROOT / "tests" / "support" / "worker_process.py"),
        name,
    ]
    more: dict[str, str] = field(default_factory=dict)
    supervisors: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a command is run with."""
        assert self.settings.database_url is not None
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}" if self.is_systemd else os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self.settings.database_url.reveal(),
            "VINOPS_DATA_DIR": str(self.settings.data_dir),
            "VINOPS_LOG_DIR": str(self.settings.log_dir),
            "MOBILE_BG_URL": "http://127.0.0.1:9",  # no site is requested by mistake
            "COPART_SITE_URL": "http://127.0.0.1:9",
            "COPART_IMAGE_HOSTS": "127.0.0.1:9",
            "VINOPS_WORKERS_BACKEND": "systemd" if self.is_systemd else "processes",
            **self.more,
        }

    def prepare(self) -> None:
        """Make the folders, and install the units where there are some."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        if self.is_systemd:
            install_units(self.folder, {each.unit: self.crawl(each.name) for each in workers(self.settings)})

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return forks.vinops(self.environment, *arguments, program=self.program, cwd=self.folder)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*forks.by_hand(self.program), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, *chosen: str) -> dict[str, int]:
        """Start workers, and return their processes."""
        done = self.run("workers", "start", *chosen, "--json")
        assert done.returncode == 0, done.stderr
        return {each["worker"]: each["pid"] for each in json.loads(done.stdout)}

    def status(self) -> dict[str, dict[str, Any]]:
        """Return how workers are, as `--json` says it."""
        names = [program.name for program in workers(self.settings)]
        found: list[dict[str, Any]] = json.loads(self.run("workers", "status", *names, "--json").stdout)
        return {each["worker"]: each for each in found}

    def state(self, name: str) -> str:
        """Return the state of a worker."""
        return str(self.status()[name]["state"])

    def says(self, name: str, text: str) -> None:
        """Tell a stand-in how to end."""
        whole = self.settings.data_dir / f"{name}.written"
        whole.write_text(text)
        whole.rename(self.settings.data_dir / f"{name}.exit")  # it is read ten times a second

    def forget(self, name: str) -> None:
        """Have a stand-in live on."""
        (self.settings.data_dir / f"{name}.exit").unlink()

    def supervise(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a supervisor."""
        self.supervisors.append(self.begin("supervise", *arguments))
        return self.supervisors[-1]

    def log(self, name: str = "supervisor") -> str:
        """Return what a log says."""
        path = self.settings.log_dir / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.database.execute(statement.encode(), parameters or None).fetchall()

    def processes(self, name: str) -> list[int]:
        """Return the processes that are this worker, by their command lines."""
        mine = self.crawl(name)
        lines = {pid: command_line(pid) for pid in pids()}
        return [
            pid
            for pid, line in lines.items()
            if line[-len(mine) :] == mine and str(KEEPER) not in line and identify(pid) and self._is_ours(pid)
        ]

    def _is_ours(self, pid: int) -> bool:
        try:
            return os.fsencode(self.settings.data_dir) in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def close(self) -> None:
        """End everything that was started."""
        for supervisor in self.supervisors:
            if supervisor.poll() is None:
                supervisor.kill()
            supervisor.communicate()
        for program in workers(self.settings):
            for pid in self.processes(program.name):
                for each in (pid, *(below.pid for below in descendants(pid))):
                    with suppress(ProcessLookupError):  # it may end by itself meanwhile
                        os.kill(each, signal.SIGKILL)
