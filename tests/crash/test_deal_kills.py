"""Workers killed anywhere between an ad and its hits: every ad ends scored, once, or given up with a reason. On the
embedded broker and on Redis alike, because the work is rows in PostgreSQL.

At least fifty kills, over both brokers; VINOPS_CRASH_KILLS=300 adds more at random.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deals.app import configuration
from deals.stages.registry import STAGES
from tests.crash.killing import Kills
from tests.crash.striking import landed, plan
from tests.crash.world import wait_until
from tests.support.brokers import KINDS, WITHOUT_REDIS, Broker, available, broker
from tests.support.deal_ads import insert_ads, requeue
from vinops.config import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

pytestmark = [pytest.mark.crash, pytest.mark.slow]

LEAST = 25  # on each broker
ADS = 40
EVENTS = (
    "take before",
    "take after",
    "held after",
    "finish before",
    "finish after",
    "run after",
    "wake before",
    "wake after",
    *(f"{stage}-{what}" for stage in STAGES for what in ("read after", "work after", "write before", "write after")),
)
WORKER = Path(__file__).with_name("deal_worker.py")
QUEUES = "normalize,price,score,match,upkeep"  # not notify: what is posted has tests of its own


@dataclass(kw_only=True)
class Deals:
    """Workers on one database and one broker, a fault-injection point, and the faults in the end."""

    settings: Settings
    database: Connection[Any]
    broker: Broker
    kills: Kills
    folder: Path
    listings: list[int] = field(default_factory=list)
    queued: int = 0
    process: subprocess.Popen[bytes] | None = None
    broken: str = ""

    @property
    def point(self) -> Path:
        """The file that names the event to be killed at."""
        return self.folder / "point"

    def start(self, *, queues: str = QUEUES) -> None:
        """Start a worker with two child processes and the beat."""
        assert self.settings.database_url is not None
        environment = {
            **os.environ,
            "DATABASE_URL": self.settings.database_url.reveal(),
            "VINOPS_DATA_DIR": str(self.settings.data_dir),
            "VINOPS_LOG_DIR": str(self.settings.log_dir),
            "VINOPS_DEALS_LEASE": str(self.settings.deals_lease),
            "CELERY_BROKER_URL": self.broker.url,
            "C_FORCE_ROOT": "1",
        }
        with (self.folder / "worker.out").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), str(self.point), self.broken, queues],
                env=environment,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill the worker with all of its processes, as a power failure does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def queue(self, *, by: float = 1.01) -> None:
        """Have every ad cost more, and queue it."""
        requeue(self.database, self.listings, by=by)
        self.queued += 1

    def kill_at(self, event: str) -> None:
        """Queue every ad, kill one process at an event, prove it, and wait for the others to do the work."""
        plan(self.point, event)
        self.queue()
        wait_until(lambda: landed(self.point).exists())
        self.kills.landed[event] += 1
        self.drain()

    def kill_at_random(self, dice: random.Random) -> None:
        """Queue every ad, kill the worker with all of its processes a moment later, and start another."""
        self.queue()
        time.sleep(dice.random() * 0.4)
        self.kill()
        self.kills.landed["at random"] += 1
        self.start()
        self.drain()

    def drain(self) -> None:
        """Wait until nothing is left to do."""
        wait_until(lambda: self.count("select count(*) from ops.deal_outbox where dead_at is null") == 0)

    def drain_behind_the_broker(self) -> None:
        """Wait as `drain` does. A worker that does not find a Redis again that was killed under it, as one of several
        did not, is started anew: that is for the supervisor, and no ad may be lost over it."""
        deadline = time.monotonic() + 20
        while self.count("select count(*) from ops.deal_outbox where dead_at is null"):
            if time.monotonic() > deadline:
                self.kill()
                self.start()
                break
            time.sleep(0.05)
        self.drain()

    def count(self, statement: str, *parameters: Any) -> int:
        """Return the number that a query counts."""
        row = self.database.execute(statement.encode(), parameters or None).fetchone()
        assert row is not None
        return int(row[0])

    def faults(self) -> list[str]:
        """Return the promises that are broken, once nothing is left to do."""
        found = []
        for stage in STAGES:
            ends = self.database.execute(
                "select listings.id, count(ends.listing_id) from listings left join ends on ends.listing_id ="
                " listings.id and stage = %s where listings.id = any(%s) group by listings.id having"
                " count(ends.listing_id) <> %s",
                [stage, self.listings, self.queued],
            ).fetchall()
            if ends:
                found.append(f"{len(ends)} ads had another number of ends of {stage} than {self.queued}: {ends[:3]}")
        checks = {
            "not normalized as they are": (
                "select id from listings left join normalized_listings as n on listing_id = id where id = any(%s) and"
                " (n.listing_id is null or n.price_eur is distinct from listings.price_eur)"
            ),
            "not priced": (
                "select id from listings where id = any(%s) and not exists (select from valuations where listing_id ="
                " id)"
            ),
            "not scored": (
                "select id from listings where id = any(%s) and not exists (select from scores where listing_id = id)"
            ),
            "not found for the watch": (
                "select listing_id from board where listing_id = any(%s) and duplicate_of is null and not exists"
                " (select from watch_hits where watch_hits.listing_id = board.listing_id)"
            ),
            "found for the watch twice": (
                "select listing_id from watch_hits where listing_id = any(%s) group by listing_id having count(*) > 1"
            ),
        }
        for name, statement in checks.items():
            if rows := self.database.execute(statement.encode(), [self.listings]).fetchall():
                found.append(f"{len(rows)} ads are {name}")
        return found


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the brokers."""
    if not available(str(request.param)):
        pytest.skip(WITHOUT_REDIS)
    return str(request.param)


@pytest.fixture(scope="module")
def deal_kills(kind: str) -> Kills:
    """The count of this run on one broker."""
    assert kind
    return Kills(wanted=max(LEAST, int(os.environ.get("VINOPS_CRASH_KILLS", LEAST)) // len(KINDS)))


@pytest.fixture
def deals(
    kind: str, settings: Settings, database: Connection[Any], deal_kills: Kills, tmp_path: Path
) -> Iterator[Deals]:
    """Ads in an empty database, and no worker yet. Each end of a stage's work on an ad leaves a row in `ends`."""
    database.execute(
        "create table ends (listing_id bigint, stage text); create function note_end() returns trigger language plpgsql"
        " as $$ begin insert into ends values (old.listing_id, old.stage); return null; end $$; create trigger ended"
        " after delete on ops.deal_outbox for each row execute function note_end()"
    )
    own = Settings(
        database_url=settings.database_url, data_dir=settings.data_dir, log_dir=settings.log_dir, deals_lease=1.2
    )
    own.data_dir.mkdir()
    with broker(kind, own.data_dir) as found:
        deals = Deals(settings=own, database=database, broker=found, kills=deal_kills, folder=tmp_path)
        database.execute(
            "with person as (insert into watch_people (chat_id) values (1) returning id) insert into watches"
            " (person_id, typed, since) select id, 'everything', '-infinity' from person"
        )
        deals.listings = insert_ads(database, ADS)
        deals.queued = 1
        try:
            yield deals
        finally:
            deals.kill()


def test_a_worker_takes_every_ad_through_all_stages_once(deals: Deals) -> None:
    deals.start()
    deals.drain()
    assert deals.faults() == []


def test_a_whole_worker_that_is_killed_leaves_its_work_to_the_next(deals: Deals) -> None:
    for pause in (0.0, 0.5, 1.0):
        deals.start()
        time.sleep(1.5 + pause)
        deals.kill()
        deals.kills.landed["whole worker"] += 1
        deals.queue()
    deals.start()
    deals.drain()
    wanted = Counter(dict.fromkeys(deals.listings, deals.queued))
    # An ad that was queued twice before a worker leased it is done once.
    ends = Counter(row[0] for row in deals.database.execute("select listing_id from ends where stage = 'score'"))
    assert set(ends) == set(wanted)
    assert all(1 <= ends[each] <= wanted[each] for each in wanted)
    assert [fault for fault in deals.faults() if "number of ends" not in fault] == []


def test_lost_messages_are_sent_again(deals: Deals) -> None:
    deals.start()
    deals.drain()
    for _ in range(3):
        deals.queue()
        time.sleep(0.2)
        deals.broker.lose()
        deals.drain_behind_the_broker()
    assert deals.faults() == []


def test_a_broker_outage_delays_work_and_loses_none(deals: Deals) -> None:
    if deals.broker.kind == "embedded":
        pytest.skip("a folder does not go away")
    deals.start()
    deals.drain()
    deals.broker.stop()
    deals.queue()
    time.sleep(2)
    deals.broker.start()
    deals.drain_behind_the_broker()
    assert deals.faults() == []


def test_a_task_that_is_delivered_twice_finds_nothing_to_do(deals: Deals) -> None:
    from celery import Celery

    app = Celery("tests", set_as_current=False)
    assert deals.settings.data_dir.is_dir()
    url = Secret(deals.broker.url) if deals.broker.url else None
    own = Settings(database_url=None, data_dir=deals.settings.data_dir, celery_broker_url=url)
    app.conf.update(configuration(own))
    deals.start()
    for _ in range(5):
        for stage in STAGES:
            app.send_task(f"deals.{stage}", [deals.listings], queue=stage)
    deals.drain()
    assert deals.faults() == []
    app.close()


def test_an_ad_that_kills_its_worker_is_given_up_and_holds_up_no_other(deals: Deals) -> None:
    (poison,) = insert_ads(deals.database, 1, first=ADS, title="POISON")
    deals.start()
    deals.drain()
    assert deals.faults() == []
    dead = deals.database.execute("select listing_id, error from ops.deal_outbox where dead_at is not null").fetchall()
    assert dead == [(poison, "each worker that processed this ad died")]


BROKEN = {
    "normalize-write before": "not normalized",
    "price-write before": "not priced",
    "score-write before": "not scored",
    "match-write before": "not found for the watch",
}


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        pytest.param(kind, event, marks=[pytest.mark.quick] * ((kind, event) == ("embedded", "price-write before")))
        for kind in KINDS
        for event in BROKEN
    ],
    indirect=["kind"],
)
def test_a_broken_worker_is_caught(deals: Deals, event: str) -> None:
    caught = BROKEN[event]
    deals.broken = "finish_first"
    deals.queued = 0
    deals.start()
    deals.kill_at(event)
    assert caught in "\n".join(deals.faults())


def test_without_the_sweep_work_is_lost_with_its_worker(deals: Deals) -> None:
    """The control of the sweep: without it the work of a killed process stays undone."""
    deals.start(queues="normalize,price,score,match")
    time.sleep(4)
    assert deals.count("select count(*) from ops.deal_outbox where dead_at is null") == ADS


@pytest.mark.parametrize("kind", [pytest.param("embedded", marks=pytest.mark.quick), "redis"], indirect=True)
def test_a_worker_killed_at_a_point_and_one_at_random_lose_nothing_and_do_nothing_twice(deals: Deals) -> None:
    deals.start()
    deals.drain()
    deals.kill_at(EVENTS[0])
    deals.kill_at_random(random.Random())
    assert deals.faults() == []


@pytest.mark.timeout(0)
def test_workers_killed_at_any_line_lose_nothing_and_do_nothing_twice(deals: Deals) -> None:
    deals.start()
    deals.drain()
    for number, event in enumerate(EVENTS):
        if number % 5 == 4:  # a pool that loses one process after the other is not what is tested here
            deals.kill()
            deals.start()
        deals.kill_at(event)
    dice = random.Random(1)
    while deals.kills.total < deals.kills.wanted:
        deals.kill_at_random(dice)
    assert deals.faults() == []
    print(f"{deals.kills.total} kills landed: {dict(deals.kills.landed)}")
