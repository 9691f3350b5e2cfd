"""The one process that makes pictures smaller, as the site sees it: started when the site does, and again when it died.

A crafted picture may take its memory or its time, or end it; the site goes on. What it was at work on when it ended is
made once more, by its successor, so that whoever kills it takes nobody's picture away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from vinops.logs import pairs
from web.photos.errors import PhotoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

MEMORY: Final = 512 << 20
"""Bytes of address space. The largest pictures that are accepted, of 20 megapixels, take up to 320 MB."""
CPU_SECONDS: Final = 6.0  # twice what the largest accepted picture takes
WALL_SECONDS: Final = 30.0  # for a process that hangs; long enough for a busy machine
TRIES: Final = 2
PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from web.photos import resize;"
    " resize.main(int(sys.argv[2]), float(sys.argv[3]))"
)

T = TypeVar("T")
log = logging.getLogger("web.photos")


class Maker:
    """Has pictures made, one after the other."""

    def __init__(
        self, *, memory: int = MEMORY, cpu_seconds: float = CPU_SECONDS, wall_seconds: float = WALL_SECONDS
    ) -> None:
        self._limits = (str(memory), str(cpu_seconds))
        self._wall_seconds = wall_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the process, and end it. If this process dies, that one reads the end of its input and ends."""
        self._is_ending = False
        self._thread = ThreadPoolExecutor(1, "maker of pictures")
        await self._in_thread(self._started)
        try:
            yield
        finally:
            self._is_ending = True
            if self._process is not None:
                self._process.kill()  # an order that is under way ends, too
            self._thread.submit(self._end)
            await asyncio.to_thread(self._thread.shutdown, wait=True)

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def make(self, body: bytes, sides: Sequence[int]) -> list[bytes]:
        """Return a photo in these sizes, which descend. Raises PhotoError `damaged` for what is no photo, or costs more
        than one."""
        return await self._in_thread(lambda: self._make(body, sorted(sides, reverse=True)))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _make(self, body: bytes, sides: list[int]) -> list[bytes]:
        code = None
        for _ in range(TRIES):
            if self._is_ending:
                break
            process = self._started()
            guard = threading.Timer(self._wall_seconds, process.kill)
            guard.start()
            try:
                return _exchanged(process, body, sides)
            except (OSError, EOFError):
                took_too_long = not guard.is_alive()
            finally:
                guard.cancel()
            code = self._end()
            log.warning("the process that makes pictures ended %s", pairs(code=code, bytes=len(body)))
            if took_too_long or code == -signal.SIGPROF:
                raise PhotoError("damaged", "it takes longer than any photo does")
        if self._is_ending or code == -signal.SIGKILL:  # somebody's, or the kernel's for want of memory: not for good
            raise PhotoError("busy", "the process that makes pictures was killed")
        raise PhotoError("damaged", "the process that makes pictures ended over it")

    def _started(self) -> subprocess.Popen[bytes]:
        """Return the process, a new one if there is none. It has the module path of this one, as vinops may run from an
        egg, and neither its environment nor its files."""
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(sys.path), *self._limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
            )
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what it did not read any more
                if pipe is not None:
                    pipe.close()
        return code


def _exchanged(process: subprocess.Popen[bytes], body: bytes, sides: list[int]) -> list[bytes]:
    """Give an order and return the answer. Raises OSError and EOFError if the process ends, PhotoError."""
    orders, answers = process.stdin, process.stdout
    assert orders is not None and answers is not None  # noqa: S101, PT018 # both are pipes
    orders.write(json.dumps({"bytes": len(body), "sides": sides}).encode() + b"\n")
    orders.write(body)
    orders.flush()
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    found = json.loads(line)
    if "reason" in found:
        raise PhotoError("damaged", f"{found['reason']}: {found['detail']}")
    made = [answers.read(size) for size in found["sizes"]]
    if [len(each) for each in made] != found["sizes"]:
        raise EOFError
    return made
