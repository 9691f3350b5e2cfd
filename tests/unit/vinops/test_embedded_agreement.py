"""How processes and the keeper coordinate the start and stop of the embedded server, without a server."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vinops import locks
from vinops.db import embedded
from vinops.db.embedded import cluster, process
from vinops.db.embedded.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60  # seconds
ACCOUNT = Account(uid=os.geteuid(), gid=os.getegid(), name="tests")


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def used(base: Path) -> int:
    """Use the server as a process does, and return the descriptor that holds the lock."""
    return locks.locked(base / "users.lock", fcntl.LOCK_SH)


class Keeper:
    """The keeper of a folder, in a thread. `stopped` is set when it stops the server; `lingering` is called while it
    waits for another user."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch, lingering: Callable[[], None]) -> None:
        self.stopped = threading.Event()
        monkeypatch.setattr(embedded, "stop", lambda _: self.stopped.set())
        monkeypatch.setattr(embedded, "time", SimpleNamespace(sleep=lambda _: lingering()))
        self.thread = threading.Thread(target=embedded.keep, args=(base, 1.0), daemon=True)
        self.thread.start()
        wait_until(lambda: embedded._is_kept(base) or self.stopped.is_set())

    def ends(self) -> bool:
        """Wait for its end, and tell whether it stopped the server."""
        self.thread.join(PATIENCE)
        return self.stopped.is_set()


def test_a_server_in_use_is_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = used(tmp_path)
    keeper = Keeper(tmp_path, monkeypatch, lambda: None)
    assert not keeper.stopped.wait(0.1)
    os.close(user)
    assert keeper.ends()
    assert not embedded._is_kept(tmp_path)


def test_a_user_who_comes_back_while_the_keeper_lingers_keeps_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users: list[int] = []
    keeper = Keeper(tmp_path, monkeypatch, lambda: None if users else users.append(used(tmp_path)))
    wait_until(lambda: bool(users))
    assert not keeper.stopped.wait(0.1)
    os.close(users[0])
    assert keeper.ends()


@pytest.fixture
def running(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """A server that runs without a keeper. Yields the folders that a keeper was started for."""
    started: list[Path] = []
    monkeypatch.setattr(embedded, "socket_folder", lambda _: "sockets")
    monkeypatch.setattr(embedded, "_start_keeper", lambda base, _: started.append(base))
    yield started
    embedded.release(open_folder)


def test_a_running_server_without_a_keeper_is_given_one(running: list[Path], open_folder: Path) -> None:
    assert embedded.ensure_running(open_folder) == "sockets"
    assert running == [embedded.folder(open_folder)]


def test_a_process_is_a_user_until_it_says_that_it_no_longer_is(running: list[Path], open_folder: Path) -> None:
    lock = embedded.folder(open_folder) / "users.lock"
    embedded.ensure_running(open_folder)
    with pytest.raises(BlockingIOError):  # what the keeper waits for
        locks.locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    embedded.release(open_folder)
    os.close(locks.locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB))


def test_a_server_whose_starter_was_killed_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(*_: Any) -> int:
        raise AssertionError("a second server was started")

    monkeypatch.setattr(cluster, "server_pid", lambda _: 42)
    monkeypatch.setattr(cluster, "spawn", second)
    monkeypatch.setattr(cluster, "_wait", lambda _base, pid, _deadline: f"sockets of {pid}")
    (tmp_path / "server.log").touch()
    assert cluster._launch(tmp_path, tmp_path / "run", ACCOUNT) == "sockets of 42"


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_process_id_that_now_belongs_to_another_program_is_forgotten(
    is_alive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "run"):
        (tmp_path / name).mkdir()
    files = [tmp_path / "data" / "postmaster.pid", tmp_path / "run" / f"{cluster.SOCKET}.lock"]
    for file in files:
        file.write_text(f"{os.getpid()}\n")
    if is_alive:
        monkeypatch.setattr(cluster, "server_pid", lambda _: os.getpid())
    cluster._forget_dead_server(tmp_path, tmp_path / "run")
    assert [file.exists() for file in files] == [is_alive, is_alive]


def test_a_cluster_that_is_half_made_is_none_and_the_next_start_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def run_as(_account: Account, command: list[str], _input: str = "") -> None:
        if command[0] == "initdb":
            (tmp_path / command[2] / "PG_VERSION").write_text("16")
        elif not made:
            made.append(command[2])
            raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "run_as", run_as)
    monkeypatch.setattr(cluster, "binary", lambda name, _: name)
    with pytest.raises(KeyboardInterrupt):
        cluster._make_cluster(tmp_path, ACCOUNT)
    assert not (tmp_path / "data").exists()
    assert list(tmp_path.iterdir()), "nothing was half made"
    cluster._make_cluster(tmp_path, ACCOUNT)
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


class Executing:
    """/proc as it shows a process that is held in the middle of execve: running, and without arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
        """Show no arguments for so many reads."""
        self.left = looks
        read = Path.read_bytes

        def shown(path: Path) -> bytes:
            if path.name == "cmdline" and self.left > 0:
                self.left -= 1
                return b""
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", shown)


def test_a_server_whose_shell_is_just_becoming_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "postgres"
    (base / "data").mkdir(parents=True)
    server = subprocess.Popen(["/bin/sh", "-c", "read x", "postgres", "-D", str(base / "data")], stdin=subprocess.PIPE)
    ready = [str(server.pid), str(base / "data"), "", "5432", str(base / "run"), "", "", "ready"]

    def spawn(*_: object) -> int:
        executing.left = 30
        (base / "data" / "postmaster.pid").write_text("\n".join(ready))
        return server.pid

    executing = Executing(monkeypatch, 0)
    monkeypatch.setattr(cluster, "spawn", spawn)
    with server:
        assert cluster._launch(base, base / "run", ACCOUNT) == str(base / "run")
        assert executing.left == 0
        server.communicate()


@pytest.mark.parametrize("stat", [b"9 (postgres) Z 1 9 9 0 -1 4228108 0", b"2 (kthreadd) S 0 0 0 0 -1 2129984 0"])
def test_neither_a_zombie_nor_a_thread_of_the_kernel_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stat: bytes
) -> None:
    def forbidden(_: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(Path, "read_bytes", lambda path: stat if path.name == "stat" else b"")
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=time.monotonic, sleep=forbidden))
    assert not process.is_server(9, tmp_path)
