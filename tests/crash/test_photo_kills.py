"""Whoever dies in a photo crawl, wherever it is: no lot is lost, no photo recorded that is not stored, none twice.

Fifty kills are the least, and more are done at random: VINOPS_CRASH_KILLS=300 python -m pytest tests/crash.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from standin.photos.server import PhotoServer
from tests.crash.conftest import LEAST
from tests.crash.crawler import Crawler
from tests.crash.killing import SIGKILLED, Kills
from tests.crash.world import Job, wait_until
from tests.support.connections import alone
from tests.support.photo_crawls import AT_ONCE, Crawls, Database
from vinops_scrapy.copart.leases import LEASE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.world import Ended
    from vinops.config import Settings

pytestmark = pytest.mark.slow

PROGRAM = "photo_crawl.py"
LOTS = 6
AT_RANDOM = 16
IN_A_ROW = 3
ONE_AT_A_TIME = (  # two lots leased, one open, no crowd
    *("-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=1000"),
    *("-s", "VINOPS_LOTS_AT_ONCE=1", "-s", "VINOPS_LOTS_BESIDE=0"),
)

CHAINS = {
    "before_any_lot_is_settled": (
        "enlist_lots 1 after",
        "lease_due_lots 1 before",
        "lease 1 after",
        "reserve_requests 3 after",
        "known_photos 1 after",
        "listed 1 before",
        "listed 2 after",
        "body 1 after",
        "body 9 after",
        "decode 2 after",
        "put 1 before",
        "write 1 before",
        "write 2 after",
        "rename 3 before",
        "rename 3 after",
        "put 1 after",
        "put 5 after",
        "settle 1 before",
        "hold_lease 1 before",
        "hold_lease 1 after",
        "add_photo 1 before",
        "add_photo 1 after",
        "drop_superseded 1 after",
        "renumber_photos 1 after",
        "settle_lot 1 before",
        "settle_lot 1 after",
        "commit 1 before",
    ),
    "late": ("put 30 after", "put 12 after", "add_photo 1 after", "body 1 after", "write 1 after"),
    "at_the_last_lot": ("settle_lot 6 after", "settle_lot 1 after", "commit 1 before"),
    "when_nothing_is_left": ("settle 6 after", "lease 1 after", "give_back 1 after"),
}
IN_BOTH_PASSES = (
    "settle_lot 1 after",
    "commit 2 before",
    "commit 2 after",
    "settle_lot 3 after",
    "lease_due_lots 2 after",
    "put 4 after",
    "settle_lot 2 after",
    "commit 1 after",
)
"""What is killed first is in the first pass of lots, what is killed last in the second. Of the twelve passes of six
lots at most nine are committed before; lots that are in work at the same moment may add some."""
LOT_BY_LOT = ("commit 1 after", "hold_lease 2 after", "settle 1 after", "listed 2 after", "settle_lot 1 after")
"""After each of the first four one more lot is settled."""
STOPPED = (
    "give_back 1 before",
    "hold_lease 1 after",
    "add_photo 1 after",
    "settle_lot 1 after",
    "commit 1 before",
    "commit 1 after",
    "release_leases 1 before",
)
GIVEN_BACK = ("release_leases 1 after", "give_back 1 after")


@dataclass(kw_only=True)
class Killing:
    """Kills crawls of the same lots, one after the other, and keeps what is wrong afterwards."""

    crawls: Crawls
    crawler: Crawler
    kills: Kills
    broken: str | None = None
    lots: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Add the lots, or have them again as if no crawl had ever been."""
        if not self.lots:
            self.lots = self.crawls.add_lots(LOTS)
        self.crawls.database.execute("truncate images, lot_photos, ops.host_budgets")
        shutil.rmtree(self.crawls.settings.data_dir, ignore_errors=True)

    def start(self, *arguments: str, **how: Any) -> Job:
        """Start a crawl. Leases of killed ones have run out by then."""
        self.expire()
        return self.crawler.crawl(self.crawls.environment, *arguments, broken=self.broken, **how)

    def at(self, event: str, *arguments: str, **how: Any) -> None:
        """Kill a crawl at an event, prove it, and look at what it left."""
        ended = self.start(*arguments, plan=event, **how).wait()
        assert (ended.code, ended.killed_at) == (SIGKILLED, event), ended
        self._landed(event.split()[0], event)

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
            self._landed(kind, event)
            return True
        assert ended.code == 0, ended
        return False

    def _landed(self, kind: str, event: str) -> None:
        self.kills.landed[kind] += 1
        self.quiet()
        if found := faults_of_remains(self.crawls):
            self.faults.append("\n  ".join([f"killed at {event}:", *found]))

    def quiet(self) -> None:
        """Wait until the server has noticed that the killed crawl is gone."""
        wait_until(lambda: alone(self.crawls.database))

    def expire(self) -> None:
        """Have all leases run out: it takes ten minutes."""
        self.crawls.database.execute(
            "update lot_photos set lease_expires_at = now() where lease_expires_at is not null"
        )

    def finish(self) -> None:
        """Crawl to the end and look whether all is as if nobody had died."""
        ended = self.start().wait()
        assert ended.code == 0, ended
        states = self.crawls.states()
        found = [f"lot {lot} is {states.get(lot)}" for lot in self.lots if states.get(lot) != "ok"]
        found += faults_of_remains(self.crawls)
        try:
            self.crawls.check(self.lots)
        except (AssertionError, OSError) as error:
            found.append(f"{type(error).__name__} {error}")
        if found:
            self.faults.append("\n  ".join(["at the end:", *found]))


def faults_of_remains(crawls: Crawls) -> list[str]:
    """Return what must never be so, whenever a crawl dies."""
    faults = []
    root = crawls.settings.data_dir
    for number, url, key in crawls.rows(
        "select lot_external_id, source_url, storage_key from images join lots on lots.id = lot_id"
    ):
        path = root / key
        if not path.is_file():
            faults.append(f"lot {number}: a photo is recorded and not stored")
        elif path.read_bytes() != crawls.server.photo(url):
            faults.append(f"lot {number}: a photo is stored with other bytes")
    faults += [
        f"{path.name} is not the object that its name says"
        for path in (root / "photos").glob("[0-9]*/*")
        if sha256(path.read_bytes()).hexdigest() != path.stem
    ]
    recorded = crawls.rows(
        "select lot_external_id, lot_photos.state, listed, stored,"
        " (select count(*) from images where lot_id = lots.id),"
        " (select count(distinct source_url) from images where lot_id = lots.id)"
        " from lots join lot_photos on lots.id = lot_photos.lot_id"
    )
    for number, state, listed, stored, rows, distinct in recorded:
        if not stored == rows == distinct or (
            state == "ok" and not listed == rows == len(crawls.server.photos(number))
        ):
            faults.append(f"lot {number} is {state}: {listed} listed, {stored} stored, {rows} rows, {distinct} photos")
    if held := crawls.rows(
        "select lot_id from lot_photos where (lease_owner is null) <> (lease_expires_at is null)"
        " or lease_expires_at > now() + make_interval(secs => %s)",
        LEASE_SECONDS,
    ):
        faults.append(f"{len(held)} leases are held for ever")
    return faults


@pytest.fixture(scope="module")
def second_crawler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawler]:
    """Another one, for two crawls at once."""
    with Crawler("photo_crawl.py", tmp_path_factory.mktemp("traces")) as crawler:
        yield crawler


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    """The photo side of the outside world."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield server


@pytest.fixture
def killing(
    settings: Settings, database: Database, photos: PhotoServer, crawler: Crawler, module_kills: Kills
) -> Killing:
    """Kills of crawls of an empty database."""
    killing = Killing(
        crawls=Crawls(settings=settings, database=database, server=photos, more=dict(AT_ONCE)),
        crawler=crawler,
        kills=module_kills,
    )
    killing.begin()
    return killing


def test_what_a_crawl_does_is_a_fault_injection_point(killing: Killing) -> None:
    ended = killing.start().wait()
    assert ended.code == 0, ended
    names = {event.split()[0] for event in ended.events}
    print({name: sum(event.startswith(f"{name} ") for event in ended.events) // 2 for name in sorted(names)})
    assert {event.split()[0] for chain in CHAINS.values() for event in chain} <= names
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.quick
def test_a_crawl_killed_at_a_point_and_one_at_random_are_made_good_by_the_next(killing: Killing) -> None:
    killing.at("settle_lot 1 after")
    killing.at_moment(random.uniform(0.1, 2.0))
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.parametrize("chain", CHAINS)
def test_crawls_killed_at_any_point_are_made_good_by_the_next(chain: str, killing: Killing) -> None:
    for event in CHAINS[chain]:
        killing.at(event)
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


def test_crawls_killed_behind_a_lot_that_is_settled_leave_it_so(killing: Killing) -> None:
    for settled, event in enumerate(LOT_BY_LOT[:-1], 1):
        killing.at(event, *ONE_AT_A_TIME)
        assert sorted(killing.crawls.states().values()) == ["missing"] * (LOTS - settled) + ["ok"] * settled
    killing.at(LOT_BY_LOT[-1], *ONE_AT_A_TIME)
    killing.crawls.server.clear_requests()
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)
    assert len({request.lot for request in killing.crawls.server.requests}) == LOTS - settled


def test_crawls_killed_in_both_passes_of_a_lot_are_made_good_by_the_next(killing: Killing) -> None:
    killing.crawls.more["VINOPS_PHOTOS_FIRST"] = "3"
    for event in IN_BOTH_PASSES:
        killing.at(event)
    listed = [request.lot for request in killing.crawls.server.requests if request.kind == "list"]
    assert killing.crawls.rows("select 1 from lot_photos where state = 'first' and links is null") == []
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)
    again = [request.lot for request in killing.crawls.server.requests if request.kind == "list"][len(listed) :]
    assert len(again) < LOTS, "lists that were kept are not asked for again"


def test_a_crawl_killed_while_it_ends_early_is_made_good_by_the_next(killing: Killing) -> None:
    for event in STOPPED:
        killing.at(event, *ONE_AT_A_TIME, asked_to_stop="put 1 after")
    for event in GIVEN_BACK:
        killing.at(event, *ONE_AT_A_TIME, asked_to_stop="put 1 after")
        assert killing.crawls.rows("select 1 from lot_photos where lease_owner is not null") == []
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


def test_a_killed_crawls_lots_are_taken_again_when_their_leases_have_run_out_and_not_before(killing: Killing) -> None:
    crawls = killing.crawls
    killing.at("listed 1 after")
    assert crawls.rows("select count(*) from lot_photos where lease_expires_at > now()") == [(LOTS,)]
    crawls.server.clear_requests()
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert crawls.server.requests == []
    assert set(crawls.states().values()) == {"missing"}
    crawls.database.execute(
        "update lot_photos set lease_expires_at = now() from lots where lots.id = lot_id and lot_external_id = any(%s)",
        [killing.lots[:2]],
    )
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert {request.lot for request in crawls.server.requests} == set(killing.lots[:2])
    assert [lot for lot, state in sorted(crawls.states().items()) if state == "ok"] == killing.lots[:2]
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.timeout(0)
def test_crawls_killed_at_any_moment_are_made_good_by_the_next(killing: Killing, module_kills: Kills) -> None:
    dice = random.Random(1)
    began = time.monotonic()
    ended = killing.start().wait()
    seconds = time.monotonic() - began
    events = defaultdict(list)  # by name: one that comes a hundred times is not struck more often
    for event in ended.events:
        events[event.split()[0]].append(event)
    landed = tried = 0
    while landed < AT_RANDOM or module_kills.total < module_kills.wanted:
        killing.begin()
        for _ in range(IN_A_ROW):
            if module_kills.wanted > LEAST and dice.random() < 0.5:
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


AT_ANY_MOMENT = test_crawls_killed_at_any_moment_are_made_good_by_the_next.__name__


@pytest.mark.parametrize(
    ("broken", "event", "fault"),
    [
        ("record_before_store", "settle 1 after", "a photo is recorded and not stored"),
        ("settle_without_transaction", "add_photo 1 after", "0 stored"),
        ("settle_without_transaction", "renumber_photos 1 after", "0 stored"),
    ],
)
def test_a_broken_crawl_is_caught(broken: str, event: str, fault: str, killing: Killing) -> None:
    killing.broken = broken
    killing.finish()
    assert not killing.faults, "it shows without a kill"
    killing.begin()
    killing.at(event)
    assert killing.faults
    assert fault in killing.faults[0]
    killing.broken = None
    killing.faults.clear()
    killing.begin()
    killing.at(event)
    killing.finish()
    assert not killing.faults, "the fault is not the broken crawl's"


def rows(crawls: Crawls) -> list[tuple[Any, ...]]:
    """All that crawls know of lots and photos."""
    return crawls.rows(
        "select to_jsonb(lot_photos)::text from lot_photos union all"
        " select to_jsonb(images)::text from images order by 1"
    )


def overtaken(killing: Killing, event: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], dict[str, Any]]:
    """Have a crawl stand still at an event until its leases have run out and another has done its lots; return all
    rows from before it goes on and from after its end, and its statistics."""
    crawls = killing.crawls
    job = killing.start(*ONE_AT_A_TIME, plan=event, victim="stop")
    job.stopped_at()
    for lot in killing.lots:
        crawls.server.add_photo(lot)  # what the first knows of the lots is out of date
    killing.expire()
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    crawls.check(killing.lots)
    before = rows(crawls)
    job.go_on()
    ended = job.wait()
    assert ended.code == 0, ended
    ((stats,),) = crawls.rows("select stats from ops.crawl_runs order by id limit 1")
    return before, rows(crawls), stats


@pytest.mark.parametrize(
    "event", ["known_photos 1 after", "listed 1 after", "put 2 after", "settle 1 before", "hold_lease 1 before"]
)
def test_a_crawl_that_lost_its_lease_overwrites_nothing(event: str, killing: Killing) -> None:
    before, after, stats = overtaken(killing, event)
    assert after == before
    assert stats["lot/lease_lost"] == 2
    killing.crawls.check(killing.lots)


def test_a_crawl_that_does_not_look_at_its_lease_is_caught(killing: Killing) -> None:
    killing.broken = "settle_without_lease"
    before, after, stats = overtaken(killing, "settle 1 before")
    assert after != before
    assert "lot/lease_lost" not in stats
    assert faults_of_remains(killing.crawls)


@pytest.mark.parametrize("asked_to_stop", [None, "put 1 after"], ids=["finished", "told to stop"])
def test_a_crawl_that_lost_its_lease_leaves_that_of_the_next_alone(
    asked_to_stop: str | None, killing: Killing, second_crawler: Crawler
) -> None:
    crawls = killing.crawls
    first = killing.start(*ONE_AT_A_TIME, plan="listed 1 after", victim="stop", asked_to_stop=asked_to_stop)
    first.stopped_at()
    killing.expire()
    second = second_crawler.crawl(crawls.environment, *ONE_AT_A_TIME, plan="settle 1 before", victim="stop")
    second.stopped_at()
    leased = (
        "select lot_id, lease_owner, lease_token, lease_expires_at from lot_photos"
        " where lease_owner is not null order by lot_id"
    )
    held = crawls.rows(leased)
    assert len(held) == 2
    first.go_on()
    ended = first.wait()  # it does the lots that nobody has, or gives all back
    assert ended.code == 0, ended
    assert crawls.rows(leased) == held
    others = ["missing" if asked_to_stop else "ok"] * (LOTS - 2)
    assert sorted(crawls.states().values()) == ["missing"] * 2 + others
    second.go_on()
    ended = second.wait()
    assert ended.code == 0, ended
    crawls.check(killing.lots)
    lost = crawls.rows("select stats -> 'lot/lease_lost' from ops.crawl_runs order by id")
    assert lost == [(1 if asked_to_stop else 2,), (None,)]


def test_a_crawl_that_is_told_to_stop_keeps_its_photos_and_the_next_fetches_the_others(killing: Killing) -> None:
    crawls = killing.crawls
    process = crawls.start("-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=2")  # a photo in 0.25 s
    wait_until(lambda: sum(request.kind == "photo" for request in crawls.server.requests) >= 2)
    process.terminate()
    crawled = crawls.finish(process)
    assert (crawled.exit_code, crawled.reason) == (0, "shutdown"), crawled.log
    assert crawls.rows("select lot_id from lot_photos where lease_owner is not null") == []
    assert crawls.rows("select lot_id from lot_photos where due_at > now() and state <> 'ok'") == []
    assert set(crawls.states().values()) <= {"ok", "partial", "missing"}
    assert "partial" in crawls.states().values()
    assert not faults_of_remains(crawls)
    stored = {url for (url,) in crawls.rows("select source_url from images")}
    asked = {request.path for request in crawls.server.requests if request.kind == "photo"}
    assert {url.removeprefix(crawls.server.cdn_url) for url in stored} == asked, "a photo came and was not kept"
    crawls.server.clear_requests()
    again = crawls.run()
    assert (again.exit_code, again.reason) == (0, "finished"), again.log
    crawls.check(killing.lots)
    wanted = {url for lot in killing.lots for _, _, url in crawls.server.photos(lot)} - stored
    fetched = [request.path for request in crawls.server.requests if request.kind == "photo"]
    assert sorted(fetched) == sorted(url.removeprefix(crawls.server.cdn_url) for url in wanted)
