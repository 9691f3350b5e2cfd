"""Market crawls for the tests: the stand-in of mobile.bg, a database, and `scrapy crawl mobile_bg` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection

from standin.market.server import MarketServer
from tests.support import forks
from tests.support.photo_crawls import Crawled
from vinops.config import Settings

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240

Database = Connection[tuple[Any, ...]]


def everywhere(folder: Path, *, page_limit: int) -> str:
    """Write a makes file for cars everywhere on a site that shows so many pages of a list, and return its path."""
    path = folder / "makes.toml"
    ours = (ROOT / "vinops_scrapy/mobile_bg/makes.toml").read_text()
    ours = ours.replace('"namira-se-v-balgariya"', '""').replace("page_limit = 150", f"page_limit = {page_limit}")
    path.write_text(ours)
    return str(path)


@dataclass(kw_only=True)
class MarketCrawls:
    """Runs crawls against one stand-in and one database. Unpaced, unless told otherwise."""

    settings: Settings
    database: Database
    server: MarketServer
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
            "MOBILE_BG_URL": self.server.url,
            "VINOPS_PACE": "none",
            **self.more,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a crawl; its log is on its standard error."""
        return subprocess.Popen(
            [sys.executable, "-m", "scrapy", "crawl", "mobile_bg", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Crawled:
        """Run a crawl to its end."""
        return self._crawled(*forks.crawl(self.environment, "mobile_bg", *arguments))

    def finish(self, process: subprocess.Popen[str]) -> Crawled:
        """Wait for the end of a crawl."""
        try:
            _, log = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"the crawl did not end: {process.communicate()[1][-3000:]}") from None
        return self._crawled(process.pid, process.returncode, log)

    def _crawled(self, pid: int, exit_code: int, log: str) -> Crawled:
        row = self.database.execute(
            "select reason, stats from ops.crawl_runs where pid = %s order by id desc limit 1", [pid]
        ).fetchone()
        return Crawled(exit_code=exit_code, log=log, reason=row[0] if row else None, stats=row[1] if row else {})

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.database.execute(statement.encode(), parameters or None).fetchall()

    def active(self, *makes: str) -> set[str]:
        """Return the ids of the ads that the database takes for there."""
        rows = self.rows("select ad_id, make_slug from listings where removed_at is null")
        return {ad_id for ad_id, make in rows if not makes or make in makes}

    def claims_expire(self) -> None:
        """Let the time pass that the claims of makes and of the newest ads last."""
        self.database.execute("update ops.listing_walks set claimed_until = now() where claimed_until is not null")
        self.database.execute("update ops.market_cycles set claimed_until = now() where claimed_until is not null")

    def in_bulgaria(self, *makes: str) -> set[str]:
        """Return the ids of the ads that the lists of these makes, or of all, show."""
        return {
            ad_id for ad_id, ad in self.server.ads().items() if not ad.is_abroad and (not makes or ad.make in makes)
        }
