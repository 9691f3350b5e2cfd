"""The keeper of a process: starts it, keeps the last of its output, and records how it ended.

    python -I -S keeper.py LOCK READY STATE ERRORS COMMAND…

LOCK and READY are descriptors: the program's lock, which the process inherits, and a pipe on which the starter waits
for `started` or the reason. STATE is the file that says which process it is, ERRORS the one for its output, begun anew
and at most twice ERRORS_BYTES long with the one before it. Standard library only: it is up in 15 ms and takes 8 MB.

The state is written before the command begins: no process is without it. The end is recorded after the last output was
copied. If the keeper dies the process continues and holds the lock; its exit code is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ERRORS_BYTES = 1_000_000


def keep(lock: int, ready: int, state: Path, errors: Path, command: list[str]) -> None:
    """Run a command and stay until it has ended."""
    if os.fork():  # the starter collects this one; the keeper is init's
        os._exit(0)
    try:
        output, inlet = os.pipe()
        go, gone = os.pipe()
        kept = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o640)
        os.set_inheritable(lock, True)
        os.set_inheritable(ready, False)
        pid = os.fork()
        if pid == 0:
            os.close(gone)
            _become(command, inlet, go)
        os.close(inlet)
        os.close(go)
        about = {
            **_identity(pid),
            "command": command,
            "keeper": _identity(os.getpid()),
            "started_at": datetime.now(UTC).isoformat(),
            "ended_at": None,
            "exit_code": None,
        }
        _write(state, about)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        os.write(ready, f"{place}{error.strerror}".encode())
        os._exit(1)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _pass_on(pid))
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    os.write(gone, b"1")
    os.close(gone)
    os.write(ready, b"started")
    os.close(ready)
    status = _copy_until_it_ends(pid, output, ended, kept, errors)
    about |= {"ended_at": datetime.now(UTC).isoformat(), "exit_code": os.waitstatus_to_exitcode(status)}
    for _ in range(600):  # a full disk may have room again in a while
        try:
            _write(state, about)
            return
        except FileNotFoundError:  # the folder is gone, so the file would never be read
            return
        except OSError:
            time.sleep(1)


def _become(command: list[str], inlet: int, go: int) -> None:
    """Turn this child into the command, once its state is written; end if the keeper died before that."""
    try:
        os.setsid()
        os.dup2(inlet, 1)
        os.dup2(inlet, 2)
        if os.read(go, 1) != b"1":
            os._exit(1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a command would inherit
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 # a list of arguments, none of them from outside
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _copy_until_it_ends(pid: int, output: int, ended: int, kept: int, errors: Path) -> int:
    """Keep the output of the process; return its status when it has ended."""
    os.set_blocking(output, False)
    waiting = [output, ended]
    while True:
        readable, _, _ = select.select(waiting, [], [])
        if ended in readable:
            os.read(ended, 512)
        found, status = os.waitpid(pid, os.WNOHANG)
        while True:  # also after its end: the last output says why
            try:
                data = os.read(output, 65_536)
            except BlockingIOError:
                break
            if not data:
                waiting = [ended]
                break
            with contextlib.suppress(OSError):  # a full disk must not stop the process
                kept = _keep(data, kept, errors)
            if found:
                continue
            if len(data) < 65_536:
                break
        if found:
            return status


def _keep(data: bytes, kept: int, errors: Path) -> int:
    if os.fstat(kept).st_size + len(data) > ERRORS_BYTES:
        errors.replace(errors.with_name(errors.name + ".1"))
        os.close(kept)
        kept = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.write(kept, data)
    return kept


def _pass_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _identity(pid: int) -> dict[str, object]:
    """Return what `ops.workers.processes.Identity` is made of."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"pid": pid, "ticks": int(fields[19]), "boot": boot}


def _write(path: Path, values: dict[str, object]) -> None:
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(json.dumps(values), encoding="utf-8")
    except OSError as error:  # that of a full disk names no file
        raise OSError(error.errno, error.strerror, str(new)) from None
    new.replace(path)


if __name__ == "__main__":
    keep(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5:])
