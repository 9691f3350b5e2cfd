"""A PostgreSQL server in the data folder, used if DATABASE_URL is empty. Linux only.

All processes with the same data folder share it. It starts with the first and stops some seconds after the last. They
coordinate by `flock`, which the kernel releases when a process ends, however it ends:

- `users.lock` is held shared by each process that uses the server, until the process ends;
- `start.lock` is held exclusively while the cluster is created or the server started, so there is one of each;
- `keeper.lock` is held by the keeper: a small detached process that waits until it gets `users.lock` exclusively,
  lingers, and stops the server. It holds `users.lock` meanwhile, so no process finds a server that is stopping.

The keeper is started before the server, so no server runs without one. Started by root, the server runs as the system
user `vinops` (PostgreSQL refuses root), or as the owner of an existing cluster; files that this user cannot reach are
placed elsewhere, see `vinops.db.embedded.places`. This package is also the keeper's program and therefore imports only
the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from pathlib import Path

from vinops import disk, locks
from vinops.db.embedded import cluster, diagnosis, places
from vinops.db.embedded.account import SYSTEM_USER, Account, account_of
from vinops.db.embedded.places import MAJOR, USERS_LOCK, binary, folder, remove
from vinops.db.embedded.process import STOP_SECONDS, ServerError, foreign, socket_folder, stop

__all__ = [
    "KEEPER",
    "MAJOR",
    "SYSTEM_USER",
    "USERS_LOCK",
    "Account",
    "ServerError",
    "account_of",
    "binary",
    "ensure_running",
    "explain",
    "folder",
    "keep",
    "release",
    "remove",
    "stop",
]

# The longest waits for another process to start or stop the server, with room for a busy machine.
START_WAIT_SECONDS = 2.0 * cluster.START_SECONDS
STOP_WAIT_SECONDS = 2.0 * STOP_SECONDS

# At the end of the path, so that no file of a checkout can shadow a library.
KEEPER = """\
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from vinops.db import embedded
embedded.keep(Path(sys.argv[2]), float(sys.argv[3]))
"""

_users: dict[Path, int] = {}  # the descriptors that hold users.lock, kept open for the life of this process


def ensure_running(data_dir: Path, linger: float = 15.0) -> str:
    """Start the server unless it is running, and return the folder of its socket.

    From here on this process counts as a user of the server. `linger` is how many seconds the server stays up after its
    last user. Takes well under a millisecond if the server is running, else about a second. Raises ServerError. If the
    process dies in it, the next start removes the unfinished cluster, and the next process or the keeper finds, or
    stops, the starting server.
    """
    try:
        return _ensure_running(data_dir, linger)
    except OSError as error:
        why: str | None = explain(data_dir) or disk.explain(error, folder(data_dir))
        raise ServerError(f"the embedded database cannot be started: {why}") from None
    except ServerError as error:
        if disk.PHRASE in str(error) and (why := explain(data_dir)):
            raise ServerError(f"the embedded database cannot be started: {why}") from None
        raise


def explain(data_dir: Path) -> str | None:
    """Return why the server fails if its disk is full or read-only, with what fixes it; None if neither is the case."""
    return diagnosis.explain(folder(data_dir))


def _ensure_running(data_dir: Path, linger: float) -> str:
    base = folder(data_dir)
    if base not in _users:
        base = places.prepare(data_dir)
        _users[base] = _locked(base, USERS_LOCK, fcntl.LOCK_SH, STOP_WAIT_SECONDS)
    running = socket_folder(base)
    if running is None or not _is_kept(base):
        lock = _locked(base, "start.lock", fcntl.LOCK_EX, START_WAIT_SECONDS)
        try:
            account = account_of(base)
            if not _is_kept(base):
                _start_keeper(base, linger)
            running = socket_folder(base) or cluster.start(base, account)
        finally:
            os.close(lock)
        with contextlib.suppress(OSError, ServerError):  # concerns other servers: this one can be used
            places.sweep()
    return running


def release(data_dir: Path) -> None:
    """Stop counting as a user of the server, before this process ends. Connections must be closed by then."""
    descriptor = _users.pop(folder(data_dir), None)
    if descriptor is not None:
        os.close(descriptor)


def _locked(base: Path, name: str, how: int, seconds: float | None = None) -> int:
    """Lock one of the lock files and return the descriptor. Raises ServerError, and BlockingIOError with LOCK_NB."""
    path = base / name
    try:
        return locks.locked(path, how, seconds=seconds)
    except locks.LockTimeoutError as error:
        raise ServerError(f"the embedded database cannot be locked: {error}; end that, then try again") from None
    except PermissionError:
        raise ServerError(foreign(base)) from None
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno == errno.EROFS or disk.is_full(error):
            raise ServerError(disk.explain(error, base)) from None
        raise ServerError(
            f"{path} cannot be opened ({error.strerror}): run as the owner of {base}, "
            "set VINOPS_DATA_DIR to a folder of yours, or set DATABASE_URL"
        ) from None


def _is_kept(base: Path) -> bool:
    """Tell whether a keeper is running. Tries a shared lock, so that two processes can try at once."""
    try:
        os.close(_locked(base, "keeper.lock", fcntl.LOCK_SH | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def _start_keeper(base: Path, linger: float) -> None:
    import subprocess

    root = Path(__file__).resolve().parents[3]  # a file if scrapyd runs a crawl from an egg
    # Isolated and without site: it starts in some 20 ms, and runs no code from outside.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", KEEPER, str(root), str(base), str(linger)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    deadline = time.monotonic() + 10
    while not _is_kept(base) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if not _is_kept(base):
        raise ServerError("the keeper of the embedded database did not start: try again, or set DATABASE_URL")
    process.returncode = 0  # it outlives this process, which must not warn about it


def keep(base: Path, linger: float) -> None:
    """Wait until no process has used the server for `linger` seconds, then stop it: the keeper's program.

    If it dies, the server stays up until the next process that uses it starts another keeper.
    """
    keeper = -1
    for _ in range(100):  # a process in _is_kept holds the lock for an instant
        try:
            keeper = _locked(base, "keeper.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.01)
    if keeper < 0:
        return
    while True:
        os.close(_locked(base, USERS_LOCK, fcntl.LOCK_EX))
        time.sleep(linger)
        try:
            users = _locked(base, USERS_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # there is a user again
        stop(base)
        # In this order: the next holder of users.lock must not take this keeper for one that stays.
        os.close(keeper)
        os.close(users)
        return
