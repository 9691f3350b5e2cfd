"""Lock files: for their owner alone, and waits that end."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from kombu import Connection

from deals import app
from demo import folder as demo_folder
from etl.fetch import incoming as fetch
from ops import log_files
from ops.backup import files as backup_files
from ops.workers import processes, registry
from vinops import locks, logs
from vinops.config import Settings
from vinops.db import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def test_a_lock_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    old = tmp_path / "old.lock"
    old.touch(mode=0o644)
    old.chmod(0o644)  # as an earlier version made it, whatever the umask
    for path in (old, tmp_path / "new.lock"):
        os.close(locks.locked(path, fcntl.LOCK_SH))
        assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another account")
def test_another_account_cannot_hold_the_locks_of_the_server(open_folder: Path) -> None:
    """What may be opened may be locked: see flock(2)."""
    base = embedded.places.prepare(open_folder)
    for name in ("users.lock", "start.lock", "keeper.lock"):
        os.close(embedded._locked(base, name, fcntl.LOCK_SH))
        tried = subprocess.run(["/usr/bin/test", "-r", base / name], user=NOBODY, group=NOBODY, check=False)
        assert tried.returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another account")
def test_what_root_makes_in_a_folder_of_another_is_the_others(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    os.close(locks.locked(open_folder / "a.lock", fcntl.LOCK_SH))
    assert (open_folder / "a.lock").stat().st_uid == NOBODY


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Files are open to all unless who makes them says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_nothing_that_is_locked_may_be_opened_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    flock = fcntl.flock

    def watched(file: int | IO[bytes], how: int) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        seen.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), os.fstat(descriptor).st_mode & 0o7777))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", watched)
    settings = Settings(data_dir=tmp_path / "data")
    settings.log_dir.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    logs.LogFile(settings.log_dir / "t.log").close()
    log_files.prune(settings.log_dir, 1)
    with processes.held(tmp_path / "run" / "held.lock"):
        assert processes.Processes(tmp_path / "run")._is_free(registry.workers(settings)[0])
    with demo_folder.held(tmp_path / "demo", Settings(data_dir=tmp_path / "demo"), {}):
        pass
    with backup_files.only_one(tmp_path / "backups"):
        pass
    with fetch.Part(tmp_path, "salesdata"):
        pass
    celery = app.configuration(settings)
    with Connection(celery["broker_url"], transport_options=celery["broker_transport_options"]) as connection:
        connection.channel()._queue_bind("exchange", "", "", "queue")
        connection.channel().get_table("exchange")
    closed = settings.data_dir / "celery"
    assert closed.stat().st_mode & 0o7777 == 0o700
    assert len(seen) > 6
    assert [each for each in seen if each[1] & 0o077 and not each[0].startswith(f"{closed}/")] == []


def test_a_wait_ends_and_names_who_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lock"
    held = locks.locked(path, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        locks.locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with pytest.raises(locks.LockTimeoutError, match=rf"a\.lock is held by process {os.getpid()} \(.*; user \S+\)"):
        locks.locked(path, fcntl.LOCK_SH, seconds=0.05)
    os.close(held)
    os.close(locks.locked(path, fcntl.LOCK_SH, seconds=0.05))


def test_a_long_wait_says_whom_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "NOTICE_SECONDS", 0)
    held = locks.locked(tmp_path / "a.lock", fcntl.LOCK_EX)
    with pytest.raises(locks.LockTimeoutError):
        locks.locked(tmp_path / "a.lock", fcntl.LOCK_EX, seconds=0.1)
    os.close(held)
    assert [each.getMessage() for each in caplog.records] == [
        f"waiting for {tmp_path}/a.lock: it is held by {locks._described(os.getpid())}"
    ]


def test_a_holder_that_has_ended_is_told_apart() -> None:
    with subprocess.Popen(["/bin/true"]) as gone:
        pass
    assert locks._described(gone.pid) == f"process {gone.pid} or one that it left behind"


@pytest.mark.parametrize("name", ["users.lock", "start.lock"])
def test_a_start_that_hangs_does_not_hang_others(open_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(embedded, "START_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(embedded, "STOP_WAIT_SECONDS", 0.05)
    base = embedded.places.prepare(open_folder)
    held = locks.locked(base / name, fcntl.LOCK_EX)
    with pytest.raises(embedded.ServerError, match=f"{name} is held by process {os.getpid()} .*; end that"):
        embedded.ensure_running(open_folder)
    os.close(held)
    embedded.release(open_folder)
