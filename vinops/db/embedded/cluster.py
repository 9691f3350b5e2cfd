"""Creates, configures and starts the cluster. Everything here needs start.lock."""

from __future__ import annotations

import os
import time
from pathlib import Path

from vinops.db.embedded import diagnosis
from vinops.db.embedded.account import Account, obstacle, reaches, run_as
from vinops.db.embedded.places import MAJOR, binary
from vinops.db.embedded.process import ServerError, is_server, server_pid, socket_folder

START_SECONDS = 120  # crash recovery after a kill replays up to max_wal_size
SOCKET = ".s.PGSQL.5432"
SOCKET_BYTES = 100  # sun_path holds 108 with its NUL; PostgreSQL adds `.lock` to the name
LOG_BYTES = 10_000_000

# Rewritten at every start, so that the settings of a new version of vinops apply to an old cluster.
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


def start(base: Path, account: Account) -> str:
    """Create the cluster if there is none, start the server, and wait until it is ready."""
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
        running = _wait(base, server_pid(base) or spawn(base, sockets, account), deadline)
        if running is not None:
            return running
        with log.open("rb") as file:
            file.seek(logged)
            output = file.read().decode("utf-8", "replace")
        # After kill -9 of the server its children need a moment to end; or another start was under way.
        passing = "still in use" in output or server_pid(base) is not None
        if not passing or time.monotonic() > deadline:
            last = "\n".join(output.splitlines()[-8:])
            why = diagnosis.explain(base) or f"{log} ends with:\n{last}"
            raise ServerError(f"PostgreSQL did not start; {why}")
        time.sleep(0.2)


def spawn(base: Path, sockets: Path, account: Account) -> int:
    """Start the server's process and return its id."""
    _forget_dead_server(base, sockets)
    # Positional arguments, so no path is ever quoted; the shell ends at once and leaves the server to init.
    script = '"$0" -D "$1" </dev/null >>"$2" 2>&1 & echo $!'
    command = ["/bin/sh", "-c", script, str(binary("postgres", account)), str(base / "data"), str(base / "server.log")]
    return int(run_as(account, command))


def _wait(base: Path, pid: int, deadline: float) -> str | None:
    """Wait until the server is ready or the process is gone; return the folder of the socket if it is ready."""
    while time.monotonic() < deadline:
        alive = is_server(pid, base)  # asked first: it may end between the two questions
        running = socket_folder(base)
        if running is not None or not alive:
            return running
        time.sleep(0.02)
    return None


def _forget_dead_server(base: Path, sockets: Path) -> None:
    """Remove the lock files of a server that has certainly ended.

    Another program may have its process id by now, or it may be a zombie that is never reaped, as in a container
    without an init; PostgreSQL takes either for a running server. It finds out by itself whether children still use the
    shared memory.
    """
    if server_pid(base) is None:
        for stale in (base / "data" / "postmaster.pid", sockets / f"{SOCKET}.lock", sockets / SOCKET):
            stale.unlink(missing_ok=True)


def _make_cluster(base: Path, account: Account) -> None:
    """Create an empty cluster with the database `vinops`. It gets its name when it is complete."""
    import shutil

    for left in base.glob("data.new-*"):  # of a process that died here; start.lock is ours
        shutil.rmtree(left, ignore_errors=True)
    # A unique name: the initdb of a killed process may still be running.
    new = base / f"data.new-{os.getpid()}-{time.time_ns()}"
    new.mkdir(mode=0o700)
    os.chown(new, account.uid, account.gid)
    run_as(
        account,
        [
            str(binary("initdb", account)),
            *("--pgdata", str(new), "--username", "vinops", "--auth", "trust", "--encoding", "UTF8"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--no-instructions"),
        ],
    )
    single = [str(binary("postgres", account)), "--single", "-D", str(new), "postgres"]
    run_as(account, single, "create database vinops\n")
    data = base / "data"
    if data.exists():
        raise ServerError(f"{data} is not a PostgreSQL cluster: move it away, or set VINOPS_DATA_DIR to a new folder")
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
    path.chmod(0o700)  # the server trusts every account that can reach its socket
    return path


def _check_reach(base: Path, account: Account) -> None:
    """Raise ServerError if the server's account cannot reach its data."""
    if not reaches(account, base):
        raise ServerError(
            f"PostgreSQL runs as the user {account.name} here, who cannot reach {base}: {obstacle(base)}. The data "
            "stay where they were made: open that folder, move the data folder to one open to all (as /opt or /srv), "
            "run as an ordinary user, or set DATABASE_URL"
        )


def _write(path: Path, text: str, account: Account) -> None:
    """Replace a small file by one that the server's account owns, in one step."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.chown(new, account.uid, account.gid)
    new.replace(path)
