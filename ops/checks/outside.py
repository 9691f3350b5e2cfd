"""The alerts that the supervisor raises for parts that cannot raise their own.

The backlog of the deals is there because Celery may be dead, whose own task raises it otherwise; the disk because
nothing else watches it where there is no timer for `vinops health`; the first photos because a photo crawl that does
not run raises nothing.
"""

from __future__ import annotations

import logging
import math
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row

from deals import alarms
from ops.checks.machine import judge_disks
from ops.checks.pipelines import judge_first
from ops.observe import machine
from ops.observe.snapshot import Photos
from vinops import alerts
from vinops.checks import Level
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("supervisor")

OF_CELERY: Final = frozenset({"deals_backlog", "deals_given_up"})
"""The alarms of the deals that also show that Celery does not work."""
DISK: Final = "disk_full"
COVERAGE: Final = "photo_coverage"
MEANINGS: Final = {
    DISK: "a disk is nearly full, or takes no writes",
    COVERAGE: "more lots than a day ago have no photo yet",
}
PHOTO_SECONDS: Final = 600.0
"""Seconds between two looks at the photos: counting them takes a third of a second of the server."""


class Watch:
    """Raises and clears these alerts each time it is called."""

    def __init__(self, settings: Settings) -> None:
        """Watch the database and the disks of these settings."""
        self._settings = settings
        self._machine = socket.gethostname()
        self._told = False
        self._counted = -math.inf

    def __call__(self, connection: Connection[Any]) -> None:
        """Run all checks. Each alert is raised once until its condition ends. Raises psycopg's errors.

        An alert on a disk that is so full that the database cannot record it is sent past the database, once.
        """
        found = judge_disks(machine.machine(self._settings))
        try:
            if found.level is Level.CRITICAL:
                message = f"{MEANINGS[DISK]}: {found.message}: {found.fix}"
                alerts.raise_alert(connection, self._settings, DISK, self._machine, message)
            elif found.level is Level.OK:  # at 80 %, so that a share around 90 % raises one alert
                alerts.clear_alert(connection, DISK, self._machine)
                self._told = False
            if time.monotonic() - self._counted >= PHOTO_SECONDS:
                self._counted = time.monotonic()
                self._photos(connection)
            alarms.watch(connection, self._settings, OF_CELERY)
        except psycopg.Error:
            if found.level is Level.CRITICAL:
                self._tell(found.message)
            raise

    def _photos(self, connection: Connection[Any]) -> None:
        """Raise the alert of the first pass, or clear it once coverage falls no more. Keep the counts, once an hour."""
        with connection.cursor(row_factory=dict_row) as cursor:
            photos = Photos.of(cursor.execute(queries("snapshot")["photo_states"]).fetchall(), None)
        if photos.active:
            connection.execute(
                queries("operations")["note_coverage"],
                {
                    "lots": photos.active,
                    "with_photo": photos.with_photo,
                    "past_first": photos.past_first,
                    "with_all": photos.settled,
                },
            )
        found = judge_first(photos)
        if found.level in {Level.WARNING, Level.CRITICAL}:
            message = f"{MEANINGS[COVERAGE]}: {found.message}: {found.fix}"
            alerts.raise_alert(connection, self._settings, COVERAGE, "lots", message)
        else:
            alerts.clear_alert(connection, COVERAGE, "lots")

    def _tell(self, text: str) -> None:
        chat = self._settings.telegram_alert_chat_id
        if self._told or chat is None or self._settings.telegram_bot_token is None:
            return
        self._told = True
        alerts.tell(self._settings, chat, DISK, self._machine, text)
