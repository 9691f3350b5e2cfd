"""Lock files: `flock` on files that only their owner can open, and timeouts that name the holder.

The kernel releases these locks when a process ends, however it ends. Any account that may open a lock file may hold it,
so its mode is 0600. Standard library only: the keeper of the embedded server uses this module.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

NOTICE_SECONDS = 10.0  # a longer wait is logged
PAUSE = 0.02
COMMAND_LENGTH = 80


class LockTimeoutError(Exception):
    """A lock was not acquired in time. The message names the file and the process that holds it."""


def opened(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a lock file, creating it if it is missing, and return the descriptor. Its mode is 0600 afterwards, also if
    an earlier version created it. Created by root, it belongs to the owner of its folder. Raises OSError."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        found = os.fstat(descriptor)
        if os.geteuid() == 0 and found.st_uid == 0 and (owner := path.parent.stat()).st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        if found.st_mode & 0o177 and os.geteuid() in (0, found.st_uid):
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def locked(path: Path, how: int, *, seconds: float | None = None) -> int:
    """Open a lock file, lock it, and return the descriptor; closing that releases the lock.

    With LOCK_NB raises BlockingIOError if another process holds it. Otherwise waits, at most `seconds` if given, and
    then raises LockTimeoutError. Raises OSError if the file cannot be opened.
    """
    descriptor = opened(path)
    try:
        if seconds is None:
            fcntl.flock(descriptor, how)
        else:
            wait(descriptor, path, how, seconds)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def wait(descriptor: int, path: Path, how: int, seconds: float) -> None:
    """Lock an open file within `seconds`; `path` is for the messages. Raises LockTimeoutError."""
    began = time.monotonic()
    is_logged = False
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - began
        if waited > seconds:
            raise LockTimeoutError(f"{path} is held by {holders(descriptor)}: gave up after {seconds:.0f} s")
        if waited > NOTICE_SECONDS and not is_logged:
            import logging  # imported on demand: the keeper does not need it

            is_logged = True
            logging.getLogger(__name__).warning("waiting for %s: it is held by %s", path, holders(descriptor))
        time.sleep(PAUSE)


def holders(descriptor: int) -> str:
    """Name the processes that hold a lock on an open file, for a message: process id, command and account."""
    pids = sorted(_pids(os.fstat(descriptor)))
    if not pids:
        return "a process that cannot be seen from here, such as one in another container or on another machine"
    return ", ".join(map(_described, pids[:5])) + (f" and {len(pids) - 5} more" if len(pids) > 5 else "")


def _pids(found: os.stat_result) -> set[int]:
    """Read from /proc/locks which processes took a lock on a file: see proc_locks(5)."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return set()
    exact = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    pids: dict[str, set[int]] = {}
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[4].isdecimal() and words[4] != "0":
            pids.setdefault(words[5], set()).add(int(words[4]))
    if exact in pids:
        return pids[exact]
    # Some file systems show a device there that differs from that of stat.
    same = [each for name, each in pids.items() if name.rpartition(":")[2] == str(found.st_ino)]
    return set().union(*same)


def _described(pid: int) -> str:
    import pwd

    process = Path(f"/proc/{pid}")
    try:
        owner = process.stat().st_uid
        words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").split()
    except OSError:
        return f"process {pid} or one that it left behind"
    text = "".join(sign if sign.isprintable() else "?" for sign in " ".join(words))[:COMMAND_LENGTH]
    try:
        account = pwd.getpwuid(owner).pw_name
    except KeyError:
        account = str(owner)
    return f"process {pid} ({text or 'a zombie'}; user {account})"
