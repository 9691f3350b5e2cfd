"""Kill crawls, prove that the kills landed, and keep what is wrong afterwards: for crawls of any spider."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.crash.conftest import LEAST
from tests.crash.killing import SIGKILLED
from tests.crash.world import wait_until

if TYPE_CHECKING:
    from tests.crash.crawler import Crawler
    from tests.crash.killing import Kills
    from tests.crash.world import Ended, Job


@dataclass(kw_only=True)
class CrawlKilling:
    """Kills crawls one after the other. What crawls they are, and what must be so afterwards, subclasses say."""

    crawls: Any
    crawler: Crawler
    kills: Kills
    broken: str | None = None
    faults: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Have the outside world, and a database in which no crawl has ever been."""
        raise NotImplementedError

    def remains(self, ended: Ended) -> list[str]:
        """Return what is wrong after a kill."""
        raise NotImplementedError

    def finish(self) -> None:
        """Crawl to the end and look whether all is as if nobody had died."""
        raise NotImplementedError

    def start(self, *arguments: str, **how: Any) -> Job:
        """Start a crawl."""
        return self.crawler.crawl(self.crawls.environment, *arguments, broken=self.broken, **how)

    def at(self, event: str, *arguments: str, **how: Any) -> Ended:
        """Kill a crawl at an event, prove it, and look at what it left."""
        ended = self.start(*arguments, plan=event, **how).wait()
        assert (ended.code, ended.killed_at) == (SIGKILLED, event), ended
        self._landed(event.split()[0], event, ended)
        return ended

    def perhaps_at(self, event: str) -> bool:
        """The same for an event that may not come. Return False if the crawl was done without it."""
        ended = self.start(plan=event).wait()
        return self._did_land(ended, event.split()[0], event)

    def at_moment(self, seconds: float) -> bool:
        """Kill a crawl so long after its start. Return False if it was faster."""
        job = self.start()
        time.sleep(seconds)
        job.kill()
        ended = job.wait()
        return self._did_land(ended, "at random", f"{seconds:.3f} s, {(*ended.events, 'start')[-1]}")

    def _did_land(self, ended: Ended, kind: str, event: str) -> bool:
        if ended.code == SIGKILLED:
            self._landed(kind, event, ended)
            return True
        assert ended.code == 0, ended
        return False

    def _landed(self, kind: str, event: str, ended: Ended) -> None:
        self.kills.landed[kind] += 1
        self.quiet()
        if found := self.remains(ended):
            self.faults.append("\n  ".join([f"killed at {event}:", *found]))

    def quiet(self) -> None:
        """Wait until the server has noticed that the killed crawl is gone."""
        busy = (
            "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and backend_type = 'client backend'"
        )
        wait_until(lambda: not self.crawls.rows(busy))


def kill_at_random(killing: CrawlKilling, *, least: int, in_a_row: int) -> None:
    """Kill crawls at any moment until so many of these kills have landed, and as many in all as are wanted; each few of
    them in a world of their own, with a look at how it ends."""
    dice = random.Random(1)
    began = time.monotonic()
    ended = killing.start().wait()
    seconds = time.monotonic() - began
    events = defaultdict(list)  # by name: one that comes a hundred times is not struck more often
    for event in ended.events:
        events[event.split()[0]].append(event)
    landed = tried = 0
    while landed < least or killing.kills.total < killing.kills.wanted:
        killing.begin()
        for _ in range(in_a_row):
            if killing.kills.wanted > LEAST and dice.random() < 0.5:
                did_land = killing.perhaps_at(dice.choice(events[dice.choice(sorted(events))]))
            else:
                did_land = killing.at_moment(dice.random() * seconds)
            tried += 1
            landed += did_land
            if not did_land:
                break
        killing.finish()
        assert not killing.faults, "\n".join(killing.faults)
        assert tried < 100 + 10 * landed, "the crawls end before they can be killed"
