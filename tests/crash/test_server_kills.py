"""The database server dies under a load, alone or together with it: the next load starts it again and carries on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.crash.conftest import story
from tests.crash.killing import SIGKILLED, Killing, named, spread
from tests.crash.world import World, told, wait_until
from vinops.db import database as db, embedded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.killing import Kills
    from tests.crash.world import Loader

pytestmark = pytest.mark.slow

FOLDERS = ("raw", "state", "incoming", "tmp")


class OwnServer:
    """One world, on an embedded server of its own that the loads start like any other. A clone is that world as it
    was when the first clone was asked for."""

    def __init__(self, data_dir: Path, kept: Path, loader: Loader) -> None:
        """`kept` is a folder for what the clones begin with."""
        environment = {
            "VINOPS_DATA_DIR": str(data_dir),
            "VINOPS_FEED_MIN_ROWS": "0",
            "VINOPS_EMBEDDED_LINGER": "1",
        }
        self.world = World(environment=environment, loader=loader)
        self.base = embedded.folder(data_dir)
        self._kept = kept
        with self.world.connect() as connection:
            connection.execute("alter system set fsync = off")  # no process that is killed loses what the kernel has

    def clone(self, _template: World | None = None, _settings: dict[str, str] | None = None) -> World:
        """Return the world as it was."""
        data_dir = self.world.data_dir
        with psycopg.connect(f"{db.url(self.world.settings)} dbname=postgres", autocommit=True) as connection:
            if not self._kept.exists():
                self._kept.mkdir()
                for name in FOLDERS:
                    if (data_dir / name).exists():
                        shutil.copytree(data_dir / name, self._kept / name)
                connection.execute("alter database vinops rename to kept")
            else:
                connection.execute("drop database vinops with (force)")
            # The other strategy copies sequences without writing them to the log anew: after a crash of the server
            # they would give numbers that are taken.
            connection.execute("create database vinops template kept strategy file_copy")
        for name in FOLDERS:
            shutil.rmtree(data_dir / name, ignore_errors=True)
            if (self._kept / name).exists():
                shutil.copytree(self._kept / name, data_dir / name)
        return self.world

    def drop(self, world: World) -> None:
        """Keep it: the next clone takes its place."""

    def pid(self) -> int:
        """The server's process."""
        return int((self.base / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    def said(self, text: str) -> int:
        """How often the server has logged that."""
        return (self.base / "server.log").read_text(encoding="utf-8", errors="replace").count(text)


@dataclass
class ServerKilling(Killing):
    """Kills servers under loads."""

    def server_at(self, event: str, victim: str, *, look: bool) -> None:
        """Kill the server, the load's backend, or both server and loader at an event; prove it, and go on.

        `look`: at the tables before the next load, which then finds a server that this process started.
        """
        own = self.shared
        assert isinstance(own, OwnServer)
        world = own.clone()
        pid, crashes, starts = own.pid(), own.said(CRASHED), own.said(READY)
        ended = world.load(self.told.story.killed, plan=event, victim=victim)
        assert ended.killed_at == event, ended
        assert (ended.code == SIGKILLED) == (victim == "both"), ended
        if victim == "backend":
            wait_until(lambda: own.said(CRASHED) > crashes and own.said(READY) > starts)
            assert own.pid() == pid
        else:
            wait_until(lambda: not embedded.process.is_server(pid, own.base))
        self.kills.landed[victim] += 1
        if look or victim == "backend":
            # The load goes on until it finds its server gone, and a backend until it finds its postmaster gone.
            wanted = None if victim == "server" else "after" if event in self._after_commit() else "before"
            world.quiet()
            self._follow(world, f"{event} ({victim})", wanted, again=True)
        else:
            self._rerun(world, f"{event} ({victim})", again=True, where="unseen")


CRASHED = "was terminated by signal 9"
READY = "database system is ready to accept connections"


@pytest.fixture
def own(open_folder: Path, tmp_path: Path, loader: Loader) -> OwnServer:
    return OwnServer(open_folder / "data", tmp_path / "kept", loader)


@pytest.fixture
def killing_servers(own: OwnServer, tmp_path: Path, kills: Kills) -> ServerKilling:
    one = story("delta", 1, tmp_path / "files", lambda _: "")
    return ServerKilling(shared=own, told=told(one, own.world, own.clone), kills=kills)  # type: ignore[arg-type]


def test_a_load_whose_server_is_killed_is_made_good_by_the_next(killing_servers: ServerKilling) -> None:
    begun = killing_servers
    events = spread(named(begun.told, "point"), 3, seed=3)
    events += [event for event in ("copy 3 before", "point commit 1 before") if event in begun.told.events]
    for number, event in enumerate(events):
        begun.server_at(event, "server" if number % 2 else "both", look=number % 3 == 0)
    assert not begun.faults, "\n".join(begun.faults)


@pytest.mark.quick
def test_a_load_whose_backend_is_killed_is_made_good_by_the_next(killing_servers: ServerKilling) -> None:
    begun = killing_servers
    for event in ("copy 3 before", "point upsert_lots 1 before", "point commit 1 before", "point place 1 before"):
        begun.server_at(event, "backend", look=True)
    assert not begun.faults, "\n".join(begun.faults)
