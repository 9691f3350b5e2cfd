"""Finds the server's process by postmaster.pid, and stops it. Standard library only, as the keeper runs it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

STOP_SECONDS = 120
EXEC_SECONDS = 5.0  # the longest that a process is without arguments, if the program comes from a slow disk
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of proc_pid_stat(5)


class ServerError(Exception):
    """The embedded server cannot be used. The message says why and what fixes it."""


def server_pid(base: Path) -> int | None:
    """Return the id of this folder's server from postmaster.pid, unless another process has the id by now."""
    lines = pid_file(base)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    return pid if pid and is_server(pid, base) else None


def socket_folder(base: Path) -> str | None:
    """Return the folder of the socket if a server accepts connections."""
    lines = pid_file(base)
    if len(lines) < 8 or lines[7].strip() != "ready" or server_pid(base) is None:
        return None
    return lines[4]


def pid_file(base: Path) -> list[str]:
    """Return the lines of postmaster.pid; none without the file. Raises ServerError."""
    try:
        return (base / "data" / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except PermissionError:
        raise ServerError(foreign(base)) from None


def is_server(pid: int, base: Path) -> bool:
    """Tell whether a process is this folder's server, by its command line, which other accounts can read."""
    arguments = command_line(pid)
    data = os.fsencode(base / "data")
    if data in arguments:
        return True
    # Started with another spelling of the path, by a version that did not follow a link in the data folder.
    given = arguments[arguments.index(b"-D") + 1 :][:1] if b"-D" in arguments else []
    return [os.path.realpath(each) for each in given] == [data]


def command_line(pid: int) -> list[bytes]:
    """Return the arguments of a process; none if it has ended, or is the kernel's.

    While a process executes another program (the shell becoming the server) it has none for an instant: one in thirteen
    starts was seen like that (2026-11-29, 31 of 400). So a process without arguments that still runs is read again.
    """
    deadline = time.monotonic() + EXEC_SECONDS
    while True:
        try:
            text = Path(f"/proc/{pid}/cmdline").read_bytes()
            state, *fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return []
        never = state in (b"Z", b"X") or int(fields[5]) & KERNEL_THREAD
        if text or never or time.monotonic() > deadline:
            return text.split(b"\0") if text else []
        time.sleep(0.001)


def stop(base: Path) -> bool:
    """Stop the server of this folder, wait for its end, and return whether one was running. Raises ServerError on a
    timeout.

    Open transactions are rolled back. If this process dies, the server still stops.
    """
    pid, lines = server_pid(base), pid_file(base)
    if pid is None:
        return False
    os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
    deadline = time.monotonic() + STOP_SECONDS
    while is_server(pid, base):
        if time.monotonic() > deadline:
            raise ServerError(f"PostgreSQL (process {pid}) does not stop: see {base / 'server.log'}")
        time.sleep(0.02)
    if len(lines) > 4 and Path(lines[4]) != base / "run":  # it was created in the folder for temporary files
        with contextlib.suppress(OSError):
            Path(lines[4]).rmdir()
    return True


def foreign(base: Path) -> str:
    """Return the message for a database that this account may not use."""
    return (
        f"the embedded database in {base} belongs to another account: run as that account or as root, "
        "set VINOPS_DATA_DIR to a folder of yours, or set DATABASE_URL"
    )
