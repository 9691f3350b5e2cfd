"""scrapyd nodes for the tests: real ones, from a virtual environment of their own, started as deploy/scrapyd says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest

from ops.nodes.scrapyd import Node
from tests.support import forks
from tests.support.fleets import until
from tests.support.outbound.sitecustomize import without_guard
from vinops.config import Secret

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "scrapyd"
PASSWORD = "stand-in-node-password"
INSTALL_SECONDS = 240


@cache
def environment_of_nodes() -> Path:
    """Return the virtual environment of the nodes: what is locked for scrapyd, over what is locked for vinops. Without
    vinops itself, as on a node: a job that did not find it in the egg would not find it at all.

    It is kept in var/ from one run to the next. Skips the test if it is not to be had.
    """
    lock = DEPLOY / "requirements.txt"
    stamp = sha256(lock.read_bytes() + sys.executable.encode()).hexdigest()[:16]
    place = ROOT / "var" / f"scrapyd-{stamp}"
    if (place / "ready").exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    try:
        made = subprocess.run(
            [
                str(place / "bin/python"),
                *("-m", "pip", "install", "-qq", "--no-deps", "--require-hashes"),
                "-r",
                str(lock),
            ],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            env=without_guard(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("scrapyd could not be installed in time: no package index?")
    if made.returncode:
        pytest.skip(f"scrapyd could not be installed: {made.stderr.strip().splitlines()[-1]}")
    scheme = {"base": str(place), "platbase": str(place)}
    # Of a path that a .pth adds the .pth files are not read: the checkout stays out.
    Path(sysconfig.get_path("purelib", vars=scheme), "lock.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (place / "ready").touch()
    return place


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(kw_only=True)
class NodeProcess:
    """A scrapyd node in a folder of its own, started by deploy/scrapyd/start with deploy/scrapyd/scrapyd.conf."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, password: str = PASSWORD) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(DEPLOY / "scrapyd.conf", self.folder)
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(DEPLOY / "start")],
                cwd=self.folder,
                env={
                    **self.environment,
                    "HOME": str(self.folder),
                    "SCRAPYD_PYTHON": str(environment_of_nodes() / "bin/python"),
                    "SCRAPYD_HTTP_PORT": str(self.port),
                    "VINOPS_SCRAPYD_PASSWORD": password,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, f"node {self.name} answers", seconds=120)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    @property
    def address(self) -> str:
        """Where it is, as VINOPS_SCRAPYD_NODES has it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Node:
        """Who asks it."""
        return Node(self.name, self.address, Secret(PASSWORD))

    def job_processes(self) -> list[psutil.Process]:
        """Return the processes of its jobs, also of those whose node is gone: they are known by their logs."""
        found = []
        for each in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self.folder) in part for part in each.cmdline()) and "scrapyd.runner" in each.cmdline():
                    found.append(each)
        return found

    def kill(self, *, jobs: bool) -> None:
        """Kill it with -9; its jobs too, or they are orphans."""
        assert self.process is not None
        found = self.job_processes()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for each in found if jobs else ():
            each.kill()
        self.process = None

    def close(self) -> None:
        """End it and its jobs."""
        if self.process is not None:
            self.kill(jobs=True)
        for each in self.job_processes():
            each.kill()

    def log(self) -> str:
        """Return what it has logged, and the ends of its jobs' logs."""
        return "\n".join(
            path.read_text(errors="replace")[-3000:]
            for path in (self.folder / "node.log", *sorted(self.folder.glob("logs/*/*/*.log")))
        )


@dataclass(kw_only=True)
class Nodes:
    """Nodes, and `vinops nodes` as a process that knows them."""

    folder: Path
    environment: Mapping[str, str]
    members: list[NodeProcess] = field(default_factory=list)

    def add(self, name: str, **more: str) -> NodeProcess:
        """Start one more. Its jobs see `more` in their environment."""
        node = NodeProcess(name=name, folder=self.folder / name, environment={**self.environment, **more})
        self.members.append(node)
        node.start()
        return node

    def run(self, *arguments: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        """Run `vinops nodes …`."""
        about = {
            "VINOPS_SCRAPYD_NODES": ",".join(f"{node.name}={node.address}" for node in self.members),
            "VINOPS_SCRAPYD_PASSWORD": password,
        }
        return forks.vinops({**self.environment, **about}, "nodes", *arguments, cwd=ROOT)

    def rows(self, *arguments: str, code: int = 0) -> Any:
        """Run `vinops nodes … --json` and return what it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == code, (done.stdout, done.stderr, self.log())
        return json.loads(done.stdout)

    def until(self, is_so: Callable[[], object], what: str, *, seconds: float = 240) -> None:
        """Wait until something is so; tell what the nodes logged if it never is."""
        try:
            until(is_so, what, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def log(self) -> str:
        """Return what all of them logged."""
        return "\n".join(f"--- {node.name}\n{node.log()}" for node in self.members)

    def close(self) -> None:
        """End all."""
        for node in self.members:
            node.close()


def plain_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the checkout on Python's path."""
    return {name: value for name, value in {**os.environ, **more}.items() if name != "PYTHONPATH"}
