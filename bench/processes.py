"""Whole processes, timed from outside: start-up, imports and shut-down count."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil


class ProcessFailed(Exception):  # noqa: N818 # the command failed, not the bench
    """A measured command did not exit with 0. The message has its command and the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A process that ended well: wall-clock and processor time in seconds, peak resident memory in MB, its output."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def run(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end. Raises ProcessFailed.

    The kernel counts the peak of the starting process into that of the child (exec keeps the high-water mark), so
    this process must stay small for the number to mean anything; it has 36 MB.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        env = None if environ is None else {**os.environ, **environ}
        began = time.perf_counter()
        process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # collected here: Popen is not to wait again
        out.seek(0)
        output = out.read().decode("utf-8", "replace")
        err.seek(0)
        said = err.read().decode("utf-8", "replace")
    if process.returncode:
        last = "\n".join((output + said).strip().splitlines()[-6:])
        raise ProcessFailed(f"`{' '.join(command[:4])} …` ended with {process.returncode}: {last}")
    return Finished(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        output=output,
    )


def used(process: psutil.Process) -> float:
    """Return the processor time of a process in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def used_by_all(server: psutil.Process) -> float:
    """Return the processor time of the backends of a server, of those that have ended too. One that ends while it is
    read would be counted twice or not at all: it is read again."""
    while True:
        ended = server.cpu_times()
        found = float(ended.children_user + ended.children_system)
        with suppress(psutil.NoSuchProcess):
            found += sum(used(each) for each in server.children())
            if server.cpu_times()[2:4] == ended[2:4]:
                return found
