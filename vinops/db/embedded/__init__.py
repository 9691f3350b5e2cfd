"""A PostgreSQL server under the data folder, for when DATABASE_URL is empty. Linux only.

It is shared by every process that names the same data folder, starts with the first and stops some seconds after the
last. All agreement is by `flock`, which the kernel releases whatever happens to a process:

- `users.lock` is held shared by each process that uses the server, for as long as it lives;
- `start.lock` is held exclusively while the cluster is made or the server started, so there is one of each;
- `keeper.lock` is held by the keeper: a small detached process that waits until it can have `users.lock` for itself,
  lingers, and stops the server. It holds `users.lock` while it does, so nobody finds a server on its way out.

The keeper is started before the server: whoever dies, no server stays up unwatched. Run by root, the server runs as
the system user `vinops` (PostgreSQL refuses root), or as the owner of the cluster that is already there; what that user
cannot reach lies elsewhere, see `vinops.db.embedded.places`. This package is also the keeper's program and therefore
imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from pathlib import Path

from vinops import locks
from vinops.db.embedded import cluster, places
from vinops.db.embedded.account import SYSTEM_USER, Account, account_of
from vinops.db.embedded.places import MAJOR, binary, folder, remove
from vinops.db.embedded.process import STOP_SECONDS, ServerError, foreign, socket_folder, stop

__all__ = [
    "KEEPER",
    "MAJOR",
    "SYSTEM_USER",
    "Account",
    "ServerError",
    "account_of",
    "binary",
    "ensure_running",
    "folder",
    "keep",
    "release",
    "remove",
    "stop",
]

# For who starts the server and for who stops it, with room for a busy machine.
START_WAIT_SECONDS = 2.0 * cluster.START_SECONDS
STOP_WAIT_SECONDS = 2.0 * STOP_SECONDS

# The end of the path, so that no file of a checkout can stand in for a library.
KEEPER = """\
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from vinops.db import embedded
embedded.keep(Path(sys.argv[2]), float(sys.argv[3]))
"""

_users: dict[Path, int] = {}  # the descriptors that hold users.lock, kept open for the life of this process


def ensure_running(data_dir: Path, linger: float = 15.0) -> str:
    """Start the server unless it runs, and return the folder of its socket.

    From here until its end this process counts as a user of the server. `linger` is how long in seconds the server
    stays up after its last user. Costs well under a millisecond when the server runs, and about a second when not.
    Raises ServerError. If the process dies in here: a half-made cluster lies under a temporary name and is removed by
    the next start, and a half-started server is found, or stopped, by the next process or by the keeper.
    """
    base = folder(data_dir)
    if base not in _users:
        base = places.prepare(data_dir)
        _users[base] = _locked(base, "users.lock", fcntl.LOCK_SH, STOP_WAIT_SECONDS)
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
        with contextlib.suppress(OSError, ServerError):  # of others: no reason for this one not to be used
            places.sweep()
    return running


def release(data_dir: Path) -> None:
    """Stop counting as a user of the server, before this process ends. Connections must be closed by then."""
    descriptor = _users.pop(folder(data_dir), None)
    if descriptor is not None:
        os.close(descriptor)


def _locked(base: Path, name: str, how: int, seconds: float | None = None) -> int:
    """Lock one of the files of the server and return the descriptor. Raises ServerError, and BlockingIOError with
    LOCK_NB."""
    path = base / name
    try:
        return locks.locked(path, how, seconds=seconds)
    except locks.LockTimeoutError as error:
        raise ServerError(f"the embedded database is not to be had: {error}; end that, then try again") from None
    except PermissionError:
        raise ServerError(foreign(base)) from None
    except BlockingIOError:
        raise
    except OSError as error:
        raise ServerError(
            f"{path} cannot be opened ({error.strerror}): run as the owner of {base}, "
            "set VINOPS_DATA_DIR to a folder of yours, or set DATABASE_URL"
        ) from None


def _is_kept(base: Path) -> bool:
    """Tell whether a keeper lives. Asks with a shared lock: two that ask at once do not see each other."""
    try:
        os.close(_locked(base, "keeper.lock", fcntl.LOCK_SH | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def _start_keeper(base: Path, linger: float) -> None:
    import subprocess

    root = Path(__file__).resolve().parents[3]  # in an egg, from which scrapyd runs a crawl, that is a file
    # Isolated and without site: up in some 20 ms, and nothing from outside is run by it.
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
    process.returncode = 0  # it outlives this process, which is not to warn about it


def keep(base: Path, linger: float) -> None:
    """Wait until nobody has used the server for `linger` seconds, then stop it: the program of the keeper.

    If it dies the server stays up until the next process that uses it starts another keeper.
    """
    keeper = -1
    for _ in range(100):  # a process that asks whether a keeper lives holds the lock for an instant
        try:
            keeper = _locked(base, "keeper.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.01)
    if keeper < 0:
        return
    while True:
        os.close(_locked(base, "users.lock", fcntl.LOCK_EX))
        time.sleep(linger)
        try:
            users = _locked(base, "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # somebody came back
        stop(base)
        # In this order: whoever gets users.lock next must not take this keeper for one that stays.
        os.close(keeper)
        os.close(users)
        return
