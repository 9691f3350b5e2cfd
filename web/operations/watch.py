"""The snapshot of the site: taken in the background by one thread, so that a page neither waits for it nor reads twice.

A snapshot takes a tenth of a second, and a second where its slow parts are due (ops/observe/observer.py). What a page
shows is as old as `Seen.at` says.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg

from ops.checks import health
from ops.observe.observer import Observer
from vinops.checks import Finding, Level
from vinops.redaction import one_line
from web.operations import history
from web.operations.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ops.checks.health import Health
    from ops.observe.snapshot import Snapshot
    from vinops.config import Settings

    Connect = Callable[[], psycopg.Connection[Any]]

log = logging.getLogger("web")

EVERY: Final = 15.0
"""Seconds between two snapshots."""
PROMISE: Final = timedelta(seconds=4 * EVERY)
"""How old a snapshot may be before the page says so."""
STOP_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A snapshot, what its checks found, and what is plotted beside it. `since` has when the site first saw a check
    that is not OK in that state; `history_error` is why what is plotted could not be read."""

    snapshot: Snapshot
    health: Health
    history: History = field(default_factory=History)
    history_error: str = ""
    since: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def at(self) -> datetime:
        """When it was taken."""
        return self.snapshot.at

    def began(self, finding: Finding) -> tuple[datetime, bool]:
        """Return since when a check has not been OK, and whether that is known; else when the site first saw it."""
        if finding.overdue is not None:
            return self.at - timedelta(seconds=finding.overdue), True
        return self.since.get(finding.name, self.at), False

    def worst(self, *names: str) -> Finding | None:
        """Return the most severe finding of these checks that is not OK; None if all are."""
        found = [line for line in self.health.lines if line.name in names and line.level is not Level.OK]
        return max(found, key=lambda line: health.SEVERITY.index(line.level), default=None)

    def is_stale(self, now: datetime) -> bool:
        """Tell whether it is older than promised."""
        return now - self.at > PROMISE


class Watch:
    """Takes snapshots, one at a time. `seen` is the newest; None before the first one."""

    def __init__(self, settings: Settings, connect: Connect) -> None:
        """Watch with these settings. `connect` opens a connection in autocommit that only reads."""
        self.seen: Seen | None = None
        self._settings = settings
        self._connect = connect
        self._observer: Observer | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._taking = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to take snapshots in a thread of its own."""
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and close the connection. A thread that waits for the database ends with the process."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        if self._thread is None or not self._thread.is_alive():
            self.close()
        self._thread = None

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self.take()
            except Exception as error:  # noqa: BLE001 # the next one may succeed; the page shows how old the last one is
                log.error("a snapshot for /ops failed: %s", one_line(f"{type(error).__name__}: {error}"))
            self._end.wait(EVERY)

    def take(self) -> Seen:
        """Take a snapshot now, and return it."""
        with self._taking:
            if self._observer is None:
                self._observer = Observer(self._settings, application="vinops web", connect=self._opened)
            snapshot = self._observer.observe()
            found = health.judge(snapshot)
            before = self.seen.since if self.seen else {}
            bad = {line.name for line in found.lines if line.level is not Level.OK}
            past, error = self._history(snapshot)
            self.seen = Seen(
                snapshot=snapshot,
                health=found,
                history=past,
                history_error=error,
                since={name: before.get(name, snapshot.at) for name in bad},
            )
            return self.seen

    def _opened(self) -> psycopg.Connection[Any]:
        self._connection = self._connect()
        return self._connection

    def _history(self, snapshot: Snapshot) -> tuple[History, str]:
        """Return what is plotted, on the connection of the observer; what was plotted last if it cannot be read."""
        before = self.seen.history if self.seen else History()
        if snapshot.database.error is not None or self._connection is None:
            return before, snapshot.database.error or ""
        try:
            return history.read(self._connection), ""
        except psycopg.Error as error:
            return before, one_line(str(error))

    def close(self) -> None:
        """Close the connection."""
        with self._taking:
            if self._observer is not None:
                self._observer.close()
                self._observer = None
            self._connection = None
