"""The fault-injection points of a load, named and counted, and a SIGKILL at one of them.

An event is `name nth when`: `point merge 1 before`, `replace 2 after`, `execute 7 before`. The points are the steps of
etl.steps; the others are the calls that change something outside the process, or pass on a part of the file.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

import etl.fetch.download
import etl.fetch.incoming
import etl.merge.upsert
import etl.read.file
import etl.steps
import etl.store.archive
import etl.store.files
import etl.store.state
from vinops.db import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK_BYTES = 8192  # small, so that a small file has many blocks

CALLS: tuple[tuple[str, Any, str], ...] = (
    ("replace", os, "replace"),
    ("fsync", os, "fsync"),
    ("unlink", os, "unlink"),
    ("write_bytes", Path, "write_bytes"),
    ("write_text", Path, "write_text"),
    ("commit", psycopg.Connection, "commit"),
    ("execute", psycopg.Connection, "execute"),
    ("executemany", psycopg.Cursor, "executemany"),
    ("copy", psycopg.Copy, "write"),
    ("keep", etl.store.archive.Archiver, "keep"),
    ("body", etl.store.state.StateWriter, "add_body"),
    ("download", etl.fetch.incoming.Part, "write"),
)


class FaultInjector:
    """Writes each event to the trace; at the planned one it writes that too and kills the victim."""

    def __init__(self, trace: Path, plan: str | None, victim: str, data_dir: Path) -> None:
        """`victim` is loader, backend, server, both (server and loader), or stop: the loader waits for SIGCONT."""
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._plan = plan
        self._victim = victim
        self._data_dir = data_dir
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._connection: Any = None

    def write(self, text: str) -> None:
        """Write a line to the trace, unbuffered."""
        os.write(self._trace, text.encode() + b"\n")

    def install(self) -> None:
        """Patch the steps and the calls of this process."""
        reached = etl.steps.Steps.reached

        def at_point(steps: etl.steps.Steps, name: str) -> None:
            self._event(f"point {name or 'end'}", self._next(f"point {name or 'end'}"), "before")
            reached(steps, name)

        etl.steps.Steps.reached = at_point  # type: ignore[method-assign]
        for name, owner, attribute in CALLS:
            setattr(owner, attribute, self._around(name, getattr(owner, attribute)))
        blocks = etl.read.file.FeedFile.blocks

        def one_by_one(feed: etl.read.file.FeedFile) -> Iterator[etl.read.file.Block]:
            for block in blocks(feed):
                self._event("block", self._next("block"), "before")
                yield block

        etl.read.file.FeedFile.blocks = one_by_one  # type: ignore[method-assign]
        connect = database.connect

        def remembered(*arguments: Any, **named: Any) -> Any:
            self._connection = connect(*arguments, **named)
            return self._connection

        database.connect = remembered

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*arguments: Any, **named: Any) -> Any:
            number = self._next(name)
            self._event(name, number, "before")
            result = call(*arguments, **named)
            self._event(name, number, "after")
            return result

        return patched

    def _next(self, name: str) -> int:
        with self._lock:
            self._counts[name] += 1
            return self._counts[name]

    def _event(self, name: str, number: int, when: str) -> None:
        event = f"{name} {number} {when}"
        if event != self._plan:
            self.write(event)
            return
        self.write(f"killed {self._victim} at {event}")
        if self._victim == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self._victim == "backend":
            os.kill(self._connection.info.backend_pid, signal.SIGKILL)
        if self._victim in ("server", "both"):
            pid_file = self._data_dir / "postgres" / "data" / "postmaster.pid"
            os.kill(int(pid_file.read_text(encoding="utf-8").split()[0]), signal.SIGKILL)
        if self._victim in ("loader", "both"):
            os.kill(os.getpid(), signal.SIGKILL)


def use_small_blocks() -> None:
    """Have files of some kilobytes read, copied, archived and checked in many parts."""
    etl.read.file.FeedFile.__init__.__kwdefaults__["block_bytes"] = BLOCK_BYTES  # type: ignore[index]
    etl.fetch.download.CHUNK_BYTES = BLOCK_BYTES


def merge_without_transaction() -> None:
    """A broken loader: its merge commits before every statement."""
    # Tables that are dropped by the commit would end this loader before it does any harm.
    init, run = etl.merge.upsert.Merge.__init__, etl.merge.upsert.Merge._run

    def begin(merge: Any, *arguments: Any) -> None:
        init(merge, *arguments)
        kept = "on commit preserve rows"
        merge._queries = {name: text.replace("on commit drop", kept) for name, text in merge._queries.items()}

    def committing(merge: Any, name: str, **values: Any) -> Any:
        merge._connection.commit()
        return run(merge, name, **values)

    etl.merge.upsert.Merge._run = committing  # type: ignore[method-assign]
    etl.merge.upsert.Merge.__init__ = begin  # type: ignore[method-assign]


def place_before_commit() -> None:
    """A broken loader: an archived file has its name before the commit that records it."""
    add, place = etl.store.files.add, etl.store.archive.place

    def placing(connection: Any, data_dir: Path, written: Any, **values: Any) -> Path:
        path = add(connection, data_dir, written, **values)
        place(data_dir, path)
        return path

    etl.store.files.add = placing
    etl.store.archive.place = lambda *_: None


def never_settle() -> None:
    """A broken loader: it ignores what a killed run left in the archive."""
    etl.store.files.settle = lambda *_: None


def any_state_is_trusted() -> None:
    """A broken loader: it takes the newest state on disk for that of the last file."""
    load = etl.store.state.load

    def newest(folder: Path, sha256: str) -> Any:
        states = sorted(folder.glob("*.lots"), key=lambda path: path.stat().st_mtime_ns)
        return load(folder, states[-1].stem if states else sha256)

    etl.store.state.load = newest


BROKEN = {
    broken.__name__: broken
    for broken in (merge_without_transaction, place_before_commit, never_settle, any_state_is_trusted)
}
