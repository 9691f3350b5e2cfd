"""Photo crawls for the tests: lots in the database, the stand-in's photos, and `scrapy crawl` as a process."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection

from standin.photos.server import PhotoServer
from tests.support import forks
from vinops.config import Settings

ROOT = Path(__file__).resolve().parents[2]
FIRST_LOT = 45_000_001
SECONDS = 120
AT_ONCE = {"VINOPS_PHOTOS_FIRST": "99"}
"""For crawls that are to do a lot in one visit: its first pass takes all its photos."""

Database = Connection[tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """How a crawl ended."""

    exit_code: int
    log: str
    reason: str | None
    stats: dict[str, Any]


@dataclass(kw_only=True)
class Crawls:
    """Runs crawls against one stand-in and one database. Unpaced, unless told otherwise."""

    settings: Settings
    database: Database
    server: PhotoServer
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a crawl is started with."""
        assert self.settings.database_url is not None
        return {
            **os.environ,
            "DATABASE_URL": self.settings.database_url.reveal(),
            "VINOPS_DATA_DIR": str(self.settings.data_dir),
            "VINOPS_LOG_DIR": str(self.settings.log_dir),
            "COPART_IMAGE_HOSTS": self.server.image_hosts,
            "COPART_SITE_URL": self.server.site_url,
            "VINOPS_PACE": "none",
            "VINOPS_SESSION_PAUSE": "0",
            **self.more,
        }

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a crawl."""
        return [sys.executable, "-m", "scrapy", "crawl", "lot_photos", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a crawl; its log is on its standard error."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Crawled:
        """Run a crawl to its end."""
        return self._crawled(*forks.crawl(self.environment, "lot_photos", *arguments)[1:])

    def finish(self, process: subprocess.Popen[str]) -> Crawled:
        """Wait for the end of a crawl."""
        try:
            _, log = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"the crawl did not end: {process.communicate()[1][-3000:]}") from None
        return self._crawled(process.returncode, log)

    def _crawled(self, exit_code: int, log: str) -> Crawled:
        row = self.database.execute("select reason, stats from ops.crawl_runs order by id desc limit 1").fetchone()
        return Crawled(exit_code=exit_code, log=log, reason=row[0] if row else None, stats=row[1] if row else {})

    def add_lots(self, count: int, *, first: int = FIRST_LOT, most: int = 99) -> list[int]:
        """Add active lots of at most so many photos, the first of which is sold soonest; return their numbers."""
        few = (number for number in itertools.count(first) if len(self.server.photos(number)) <= most)
        numbers = list(itertools.islice(few, count))
        for place, number in enumerate(numbers):
            self.add_lot(number, hours=place + 1)
        return numbers

    def add_lot(self, number: int, *, hours: float | None = 1, vin: str | None = None, url: str | None = None) -> int:
        """Add an active lot that is sold in some hours; return its id."""
        vin = vin or f"1VN{number:014d}"
        row = self.database.execute(
            "with vehicle as (insert into vehicles (vin) values (%(vin)s) on conflict (vin) do update set vin ="
            " excluded.vin returning id) insert into lots (lot_external_id, vin, vehicle_id, first_seen_at, sale_at,"
            " image_url, row_hash, file_id) select %(number)s, %(vin)s, id, now(), now() + make_interval(secs =>"
            " %(hours)s * 3600), %(url)s, '', 0 from vehicle returning id",
            {"number": number, "vin": vin, "hours": hours, "url": url or self.server.list_url(number)},
        ).fetchone()
        assert row is not None
        return int(row[0])

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.database.execute(statement.encode(), parameters or None).fetchall()

    def states(self) -> dict[int, str]:
        """Return the state of each lot's photos, by the lot's number."""
        return dict(
            self.rows(
                "select lot_external_id, lot_photos.state from lot_photos join lots on lots.id = lot_photos.lot_id"
            )
        )

    def check(self, numbers: Iterable[int]) -> None:
        """Check that all photos of these lots are there, each once, as the stand-in has them, and no lease is held."""
        root = self.settings.data_dir
        for number in numbers:
            rows = self.rows(
                "select seq, source_url, storage_key, bytes, content_hash from images join lots on lots.id = lot_id"
                " where lot_external_id = %s order by seq",
                number,
            )
            expected = [(seq, url) for seq, _, url in self.server.photos(number)]
            assert [(seq, url) for seq, url, *_ in rows] == expected, number
            for _, url, key, size, _ in rows:
                body = root.joinpath(key).read_bytes()
                assert len(body) == size
                assert body == self.server.photo(url)
        assert self.rows("select lot_id from lot_photos where lease_owner is not null") == []
