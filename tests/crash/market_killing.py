"""Kill a crawl of a small market, prove that the kill landed, and say what it left that must never be so."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from standin.market.server import MarketServer
from tests.crash.crawler import Crawler
from tests.crash.killing import SIGKILLED, Kills
from tests.crash.market_remains import DRAINED, faults_of_remains
from tests.crash.world import Ended, Job, wait_until
from tests.support.connections import alone
from tests.support.market_crawls import Database, MarketCrawls, everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vinops.config import Settings

ADS = {"seat": 35, "fiat": 30, "kia": 50}  # the list of the last one is cut off after 40: it is walked model by model
MAKES = ("-a", f"makes={','.join(ADS)}")


@dataclass(kw_only=True)
class Killing:
    """Kills crawls of the same market, one after the other, and keeps what is wrong afterwards."""

    crawls: MarketCrawls
    crawler: Crawler
    kills: Kills
    broken: str | None = None
    faults: list[str] = field(default_factory=list)

    def start(self, *arguments: str, **how: Any) -> Job:
        """Start a crawl."""
        return self.crawler.crawl(self.crawls.environment, *arguments, broken=self.broken, **how)

    def at(self, event: str, *arguments: str) -> None:
        """Kill a crawl at an event, prove it, and look at what it left."""
        ended = self.start(*arguments, plan=event).wait()
        assert (ended.code, ended.killed_at) == (SIGKILLED, event), ended
        self._landed(event.split()[0], event)

    def at_moment(self, seconds: float, *arguments: str) -> bool:
        """Kill a crawl so long after its start. Return False if it was faster."""
        job = self.start(*arguments)
        time.sleep(seconds)
        job.kill()
        ended = job.wait()
        if ended.code != SIGKILLED:
            assert ended.code == 0, ended
            return False
        self._landed("at random", f"{seconds:.3f} s, {(*ended.events, 'start')[-1]}")
        return True

    def whole(self, *arguments: str) -> Ended:
        """Crawl to the end."""
        ended = self.start(*arguments).wait()
        assert ended.code == 0, ended
        return ended

    def finish(self) -> None:
        """Crawl to the end and look whether all is as if nobody had died."""
        self.whole(*MAKES)
        self.judge("at the end")

    def judge(self, when: str) -> None:
        """Look whether all is as if nobody had died."""
        found = self.faults_left()
        lost, doubled = (
            set(self.crawls.server.ads()) - self.crawls.active(),
            self.crawls.active() - set(self.crawls.server.ads()),
        )
        if lost or doubled:
            found.append(f"{len(lost)} ads are lost, {len(doubled)} are there that are gone")
        if found:
            self.faults.append("\n  ".join([f"{when}:", *found]))

    def move_on(self) -> None:
        """Have some ads come, change and go; what happened so far was taken by the deals."""
        self.crawls.database.execute("delete from ops.deal_outbox")
        server = self.crawls.server
        server.advance(new=6, changed=8, gone=6, back=0)
        for make, number in ADS.items():  # which drifts: after some hundred kills a model would fill its list
            surplus = [ad.id for ad in server.ads().values() if ad.make == make][number + 20 :]
            for ad_id in surplus:
                server.remove(ad_id)

    def faults_left(self) -> list[str]:
        """Return what is wrong in the tables now."""
        server = self.crawls.server
        asked = {each.ad for each in list(server.requests) if each.kind == "detail" and each.ad}
        return faults_of_remains(self.crawls.rows, server.ads(), asked)

    def _landed(self, kind: str, event: str) -> None:
        self.kills.landed[kind] += 1
        wait_until(lambda: alone(self.crawls.database))
        self.crawls.claims_expire()
        if found := self.faults_left():
            self.faults.append("\n  ".join([f"killed at {event}:", *found]))


@contextmanager
def small_market(settings: Settings, database: Database, folder: Path) -> Iterator[MarketCrawls]:
    """Crawls of a market of three makes and an empty database; the outbox was last emptied at `drained`."""
    database.execute(
        f"{DRAINED}; create function drain() returns trigger"
        " language plpgsql as $$ begin update drained set at = clock_timestamp(); return null; end $$;"
        " create trigger drain after delete on ops.deal_outbox for each statement execute function drain()"
    )
    with MarketServer(seed=9, ads=0, make_ads=ADS, page_limit=2, repeats=0) as server:
        more = {"VINOPS_MAKES_FILE": everywhere(folder, page_limit=2)}
        yield MarketCrawls(settings=settings, database=database, server=server, more=more)
    shutil.rmtree(settings.data_dir, ignore_errors=True)
