"""Whichever process of a service is killed, systemd starts the unit again, and nothing is lost, doubled or left behind.

Twelve kills of market workers by default; many more by VINOPS_CRASH_KILLS=500 python -m pytest tests/systemd -k kills.
"""

from __future__ import annotations

import ast
import itertools
import os
import random
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.crash.market_remains import DRAINED, faults_of_remains
from tests.support import market_crawls, reservations
from tests.systemd.installed import (
    MARKS,
    PYTHON,
    SECRETS,
    SETTINGS,
    ask,
    booted,
    deploy,
    sql,
    start_feed,
    start_market,
    start_standin,
    wait_until_up,
    write_secrets,
)
from tests.systemd.killing import BY_CODE, BY_SIGNAL, UnitKills, restart_soon
from vinops_scrapy.middlewares.budget import SPARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.systemd.boot import Machine

pytestmark = MARKS

LEAST: Final = 12
WANTED: Final = max(LEAST, int(os.environ.get("VINOPS_CRASH_KILLS", LEAST)))
ROUNDS: Final = 2 if WANTED == LEAST else 10
#: The longest time between a restart and the next kill, of any unit.
APART: Final = 3.5
MAKES: Final = {1: {"seat": 30, "fiat": 25}, 2: {"kia": 50}, 3: {"volvo": 30, "mazda": 20}, 4: {"honda": 35}}
WORKERS: Final = {f"vinops-worker@{number}.service": tuple(makes) for number, makes in MAKES.items()}
MARKET: Final = 8802
PROGRAM: Final = "/opt/vinops"
CLOCK: Final = 6
#: Seconds between two requests, those of the steady pace on this clock, and what is added to them in its real pace.
GAP: Final = 3 / CLOCK
SPARED: Final = 3 * SPARE
#: Seconds between two readings of clocks that are the same.
PAST: Final = 0.02
HOST: Final = f"127.0.0.1:{MARKET}"
CLAIM: Final = 4
FEED: Final = 8801
PHOTO_PORTS: Final = {"api": 8805, "cdn": 8806, "site": 8807}
OF_LOTS: Final = {
    "VINOPS_FEED_MIN_ROWS": "1",
    "COPART_SITE_URL": f"http://127.0.0.1:{PHOTO_PORTS['site']}",
    "COPART_IMAGE_HOSTS": ",".join(f"127.0.0.1:{PHOTO_PORTS[name]}" for name in ("api", "cdn")),
    "VINOPS_PHOTO_LEASE": "3",
    "VINOPS_CYCLE_PAUSE": "1",
    "VINOPS_DEALS_LEASE": "3",
}
OF_MARKET: Final = {
    "VINOPS_CLOCK_SPEED": str(CLOCK),
    "VINOPS_PACE": "steady",
    "VINOPS_MAKES_FILE": "/etc/vinops/makes.toml",
    "VINOPS_WALK_EVERY_HOURS": "0.02",  # 12 s
    "VINOPS_NEWEST_EVERY": "30",  # 5 s
    "VINOPS_MARKET_RUN_HOURS": "0.1",  # a minute
    "VINOPS_SUPERVISE_EVERY": "10",
}
SUPERVISOR: Final = "vinops-supervisor.service"
#: Kills of each of the other services.
OTHERS: Final = max(2, WANTED // 20)
ETL, PHOTOS = "vinops-etl.service", "vinops-photo-scraper.service"
DEALS: Final = ("vinops-celery.service", "vinops-celery-beat.service", SUPERVISOR)
LOTS: Final = 15
LOT_NUMBERS: Final = (
    "import csv, io, sys, urllib.request as r;"
    "text = r.urlopen(sys.argv[1]).read().decode();"
    "print(*(row['Lot number'] for row in csv.DictReader(io.StringIO(text))))"
)
REQUEUE: Final = "insert into ops.deal_outbox (listing_id, change) select id, 'changed' from listings"
SCORED: Final = "select string_agg(listing_id::text, ' ' order by listing_id) from scores"
#: A make of the second worker, whose walk has read a part of its pages and goes on.
IN_A_WALK: Final = """
    select make_slug from ops.listing_walks
    where make_slug = 'kia' and pages > 0 and finished_at is null and claimed_until > now()
"""
LEFT_CLAIMS: Final = "select make_slug from ops.listing_walks where claimed_until < now() - interval '10 seconds'"
CLAIMS: Final = """
    select count(*) from (
        select claimed_until from ops.listing_walks union all select claimed_until from ops.market_cycles
    ) as claims
    where claimed_until > now()
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine with vinops, whose market workers crawl a small market, on a clock that runs six times as fast."""
    with booted() as machine:
        makes = itertools.chain(*(of.items() for of in MAKES.values()))
        options = [part for make, count in makes for part in ("--make-ads", f"{make}={count}")]
        start_market(machine, ads=0, options=("--page-limit", "2", *options))
        deploy(machine, "--no-start", *write_secrets(machine, SECRETS | SETTINGS | OF_LOTS | OF_MARKET))
        machine.run("install", "-m", "644", "/dev/stdin", OF_MARKET["VINOPS_MAKES_FILE"], text=makes_file())
        replace_in(machine, "vinops_scrapy/settings.py", "CLAIM_SECONDS = 120.0", f"CLAIM_SECONDS = {CLAIM}.0")
        replace_in(machine, "vinops_scrapy/middlewares/budget.py", f"SPARE = {SPARE}", f"SPARE = {SPARED / GAP}")
        sql(machine, f"{DRAINED}; {reservations.NOTE}")
        restart_soon(machine, "vinops-worker@.service")
        yield machine


def makes_file() -> str:
    """Return a makes file for cars everywhere: the list of kia is cut off after 40 ads, and walked model by model."""
    workers = "\n".join(
        f"[worker.{number}]\n" + "\n".join(f'{make} = {{ name = "{make.title()}" }}' for make in makes)
        for number, makes in MAKES.items()
    )
    return f'region = ""\nsort = 6\nregions = []\npage_limit = 2\npage_size = 20\n{workers}\n'


def replace_in(machine: Machine, path: str, old: str, new: str) -> None:
    """Replace a text in a file of the installed program, or add one at its end."""
    text = machine.run("cat", f"{PROGRAM}/{path}").stdout
    assert old in text, path
    text = text.replace(old, new) if old else text + new
    machine.run("install", "-m", "644", "/dev/stdin", f"{PROGRAM}/{path}", text=text)


@dataclass
class Market:
    """The market in the database beside the one that the stand-in serves, while workers are killed."""

    machine: Machine
    kills: UnitKills
    faults: list[str] = field(default_factory=list)
    compared: int = 0

    def rows(self, query: str) -> list[tuple[str, ...]]:
        """Return the rows of a query."""
        return [tuple(line.split("|")) for line in sql(self.machine, query).splitlines()]

    def served(self) -> dict[str, Any]:
        """Return the ads of the stand-in."""
        return dict(ask(self.machine, MARKET, "GET", "ads"))

    def move_on(self) -> None:
        """Have some ads come, change and go. None comes back."""
        ask(self.machine, MARKET, "POST", "advance", {"new": 6, "changed": 8, "gone": 6, "back": 0})

    def remains(self) -> list[str]:
        """Return what must never be so, however many crawls died."""
        found = faults_of_remains(self.rows, self.served())
        if claims := self.rows(LEFT_CLAIMS):
            found.append(f"{len(claims)} claims of dead crawls that nobody took over")
        close = [gap for one, two in itertools.pairwise(self.places()) if (gap := two - one) < GAP]
        return [*found, f"{len(close)} places in the budget are too close"] if close else found

    def places(self) -> list[float]:
        """Return when the places in the budget of the site begin, in seconds since 1970."""

        def rows(query: str) -> list[tuple[datetime, int]]:
            return [(datetime.fromisoformat(at), int(count)) for at, count in self.rows(query)]

        return reservations.places(rows, HOST, GAP + SPARED)

    def arrivals(self) -> list[float]:
        """Return when the requests arrived, in seconds since 1970."""
        wall = time.time() - time.monotonic()
        return sorted(wall + request["at"] for request in ask(self.machine, MARKET, "GET", "requests"))

    def too_early(self) -> list[int]:
        """Return which requests arrived before as many places in the budget had begun. Places of the killed are left
        unused, and on a busy machine requests come late and bunched up: neither makes one early."""
        arrived, places = self.arrivals(), self.places()
        assert len(places) >= len(arrived), "a request without its place in the budget"
        return [number for number, at in enumerate(arrived) if at < places[number] - PAST]

    def differences(self) -> list[str]:
        """Return in what the ads of the database are not those that are served."""
        served = self.served()
        query = "select ad_id, price_eur from listings where removed_at is null"
        active = [(ad_id, price) for ad_id, price in self.rows(query)]
        here = dict(active)
        found = {
            "lost": served.keys() - here.keys(),
            "there that are gone": here.keys() - served.keys(),
            "doubled": {ad_id for ad_id, times in Counter(ad_id for ad_id, _ in active).items() if times > 1},
            "of another price": {
                ad_id
                for ad_id in served.keys() & here.keys()
                if (price := served[ad_id]["price"]) and served[ad_id]["oddity"] is None
                if not here[ad_id] or Decimal(price) != Decimal(here[ad_id])
            },
        }
        self.compared += len(served)
        return [f"{len(ads)} ads are {how}: {sorted(ads)[:3]}" for how, ads in found.items() if ads]

    def finish(self) -> None:
        """Let the workers walk each make once more, and compare."""
        began = sql(self.machine, "select clock_timestamp()")
        walked = f"select distinct make_slug from ops.listing_walks where is_complete and started_at > '{began}'"
        makes = {make for makes in WORKERS.values() for make in makes}
        deadline = time.monotonic() + 180
        while not_walked := makes - {make for (make,) in self.rows(walked)} or self.differences():
            if time.monotonic() > deadline:
                self.faults.append(f"at the end: {not_walked}")
                break
            time.sleep(1)
        self.faults += self.remains()


@pytest.fixture(scope="module")
def market(machine: Machine) -> Market:
    """The market before anybody was killed: each make was walked once."""
    market = Market(machine, UnitKills(machine))
    start_workers(machine)
    machine.run("systemctl", "start", "--no-block", SUPERVISOR)
    market.finish()
    assert market.faults == []
    return market


def start_workers(machine: Machine) -> None:
    """Start the workers, and wait until they are up."""
    machine.run("systemctl", "start", "--no-block", *WORKERS)
    wait_until_up(machine, *WORKERS)


@pytest.mark.timeout(0)
def test_workers_killed_at_any_moment_lose_and_double_nothing(market: Market) -> None:
    machine, kills = market.machine, market.kills
    dice = random.Random(1)
    began = time.monotonic()
    for number in range(1, ROUNDS + 1):
        market.move_on()
        while kills.total < WANTED * number // ROUNDS:
            time.sleep(dice.uniform(0, APART))
            kills.restarted(dice.choice(list(WORKERS)), dice.choice(("main", "main", "crawl")))
        market.finish()
        assert not market.faults + kills.faults, "\n".join(market.faults + kills.faults)
    for unit in WORKERS:
        landed = {code: kills.by_unit[unit, code] for code in (BY_SIGNAL, BY_CODE)}
        machine.until(lambda unit=unit, landed=landed: kills.in_journal(unit) == landed, f"the journal has {landed}")
        assert kills.restarts(unit) == sum(landed.values()), "nothing else ended it, and nobody else started it"
    assert sql(machine, "select count(*) from ops.worker_restarts") == "0", "systemd alone restarts units"
    assert not market.too_early(), "a request before its place in the budget"
    gaps = sorted(two - one for one, two in itertools.pairwise(market.arrivals()))
    print(
        f"{kills.total} kills landed in {time.monotonic() - began:.0f} s: {dict(kills.landed)};"
        f" {market.compared} ads compared; of {len(gaps)} gaps {sum(gap < GAP for gap in gaps)} below {GAP} s,"
        f" the smallest {gaps[0]:.3f} s"
    )


def test_told_to_stop_after_that_they_leave_nothing(market: Market) -> None:
    market.machine.run("systemctl", "stop", *WORKERS, SUPERVISOR, seconds=200)
    for unit in WORKERS:
        assert market.machine.show(unit, "Result")["Result"] == "success"
    assert sql(market.machine, CLAIMS) == "0"
    market.machine.until(lambda: market.machine.shell("pgrep -u vinops || true") == "", "no process is left")
    of_workers = "select count(*) from pg_stat_activity where usename = 'vinops_market'"
    market.machine.until(lambda: sql(market.machine, of_workers) == "0", "no connection is left")


def source_of(broken: str) -> str:
    """Return a broken crawl of tests/crash/market_crawl.py, as lines that a module of spiders can end with."""
    text = Path(market_crawls.ROOT / "tests/crash/market_crawl.py").read_text()
    functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    lines = ast.unparse(functions[broken])
    return f"\nfrom vinops_scrapy.listings import records as listings\n\n{lines}\n\n{broken}()\n"


@dataclass(frozen=True, kw_only=True)
class Broken:
    """The fault by which a broken unit or program is caught, and what breaks it: lines of a drop-in, or a file of the
    program with another text."""

    caught: str
    drop_in: str = ""
    path: str = ""
    old: str = ""
    new: str = ""


BROKEN: Final = {
    "the crawl outlives its loop": Broken(caught="outlived", drop_in="KillMode=process"),
    "claims of the dead never expire": Broken(
        caught="claims of dead crawls",
        path="sql/queries/listings.sql",
        old="and (claimed_until < clock_timestamp() or claimed_by = %(owner)s)",
        new="and claimed_by = %(owner)s",
    ),
    "ads are gone before their walk has ended": Broken(
        caught="taken for gone and are there",
        path="vinops_scrapy/spiders/mobile_bg.py",
        new=source_of("gone_without_an_end"),
    ),
    "each worker has a budget of its own": Broken(
        caught="in the budget are too close",
        path="sql/queries/politeness.sql",
        old="next_at = greatest(budgets.next_at, clock_timestamp())",
        new="next_at = clock_timestamp()",
    ),
}


@contextmanager
def broken_by(machine: Machine, broken: Broken) -> Iterator[None]:
    """Break the program or the unit; afterwards all is as before, and no worker runs."""
    if broken.drop_in:
        restart_soon(machine, "vinops-worker@.service", broken.drop_in)
    else:
        replace_in(machine, broken.path, broken.old, broken.new)
    try:
        yield
    finally:
        machine.run("systemctl", "kill", "--signal=KILL", "vinops-worker@*", check=False)
        machine.run("systemctl", "stop", *WORKERS, seconds=200)
        if broken.drop_in:
            restart_soon(machine, "vinops-worker@.service")
        else:
            replace_in(machine, broken.path, broken.new, broken.old)
        sql(machine, "update ops.listing_walks set claimed_until = null; truncate reservations")


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_caught(market: Market, name: str) -> None:
    machine, broken = market.machine, BROKEN[name]
    found, caught = [], False
    with broken_by(machine, broken):
        start_workers(machine)
        for _ in range(5):
            kills = UnitKills(machine)
            machine.until(lambda: market.rows(IN_A_WALK), "a walk has begun", seconds=120)
            assert kills.restarted("vinops-worker@2.service")
            deadline = time.monotonic() + 20  # a claim counts as left ten seconds after its end
            while not caught and time.monotonic() < deadline:
                found = kills.faults + market.remains()
                caught = any(broken.caught in fault for fault in found)
            if caught:
                break
    assert caught, found


@pytest.fixture(scope="module")
def lots(machine: Machine) -> Machine:
    """The machine with lots to load, and photos of all of them in lists, so that no browser is needed."""
    start_feed(machine, rows=LOTS, photo_url=f"http://127.0.0.1:{PHOTO_PORTS['api']}")
    ports = [part for name, port in PHOTO_PORTS.items() for part in (f"--{name}-port", str(port))]
    every = ("--empty-every", "0", "--none-every", "0", "--tiny")
    start_standin(machine, "photos", "-m", "standin.photos", "serve", *every, *ports)
    for unit in (ETL, PHOTOS):
        restart_soon(machine, unit)
    return machine


def kill_runs(machine: Machine, unit: str, seconds: tuple[float, float], prepare: Callable[[], object]) -> None:
    """Start a service again and again, and kill it so many seconds after its start."""
    kills, dice = UnitKills(machine), random.Random(2)
    for _ in range(20 * OTHERS):
        prepare()
        machine.run("systemctl", "start", "--no-block", unit)
        time.sleep(dice.uniform(*seconds))
        kills.failed(unit)
        if kills.total == OTHERS:
            break
    assert (kills.total, kills.faults) == (OTHERS, [])
    machine.until(lambda: kills.in_journal(unit)[BY_SIGNAL] == OTHERS, "the journal has them")


def alerts_of(machine: Machine, unit: str) -> str:
    """Return how many alerts of a failed unit are open."""
    query = "select count(*) from ops.alerts where kind = 'unit_failed' and cleared_at is null"
    return sql(machine, f"{query} and subject = '{unit}'")


@pytest.mark.timeout(0)
def test_a_load_killed_at_any_moment_is_made_good_by_the_next(lots: Machine) -> None:
    changes = {"changed": 0.2, "new": 0.1, "gone": 0.1}
    kill_runs(lots, ETL, (0.1, 2.0), lambda: ask(lots, FEED, "POST", "advance", changes))
    lots.until(lambda: alerts_of(lots, ETL) == "1", "one alert is raised")
    lots.run("systemctl", "start", ETL)
    served = lots.run(PYTHON, "-c", LOT_NUMBERS, SECRETS["COPART_CSV_URL"]).stdout.split()
    active = sql(lots, "select lot_external_id from lots where status = 'active'").split()
    assert sorted(active) == sorted(served)
    lots.until(lambda: alerts_of(lots, ETL) == "0", "a run that ends well clears it")


@pytest.mark.timeout(0)
def test_a_photo_crawl_killed_at_any_moment_is_made_good_by_the_next(lots: Machine) -> None:
    due = "update lot_photos set due_at = now(), state = 'missing'"
    kills, dice = UnitKills(lots), random.Random(2)
    lots.run("systemctl", "start", "--no-block", PHOTOS)
    wait_until_up(lots, PHOTOS)
    for _ in range(20 * OTHERS):
        sql(lots, due)
        time.sleep(dice.uniform(1.0, 6.0))
        kills.restarted(PHOTOS)
        if kills.total == OTHERS:
            break
    assert (kills.total, kills.faults) == (OTHERS, [])
    time.sleep(float(OF_LOTS["VINOPS_PHOTO_LEASE"]))
    sql(lots, due)
    active = "lots left join lot_photos as photos on lot_id = lots.id where status = 'active'"
    lacking = f"select count(*) from {active} and photos.state is distinct from 'ok'"
    lots.until(lambda: sql(lots, lacking) == "0", "every lot has its photos", seconds=120)
    lots.run("systemctl", "stop", PHOTOS, seconds=200)
    assert sql(lots, "select count(*) from lot_photos where lease_owner is not null") == "0"
    total, photos, objects = sql(
        lots, "select count(*), count(distinct (lot_id, seq, variant)), count(distinct storage_key) from images"
    ).split("|")
    assert total == photos
    assert lots.shell("find /var/data/vinops/photos -name '*.jpg' | wc -l").strip() == objects
    assert alerts_of(lots, PHOTOS) == "0"


@pytest.mark.timeout(0)
def test_the_deals_and_their_supervisor_killed_at_any_moment_lose_nothing(market: Market) -> None:
    machine, kills, dice = market.machine, UnitKills(market.machine), random.Random(3)
    for unit in DEALS:
        restart_soon(machine, unit)
    # The embedded broker, whose messages are files: the client of Redis lacks a package in a copied environment.
    machine.shell("rm /etc/vinops/credentials*/CELERY_BROKER_URL && vinops credentials apply")
    machine.run("systemctl", "start", "--no-block", *DEALS)
    wait_until_up(machine, *DEALS)
    score_again(machine)
    machine.until(lambda: is_scored(machine), "the ads are scored", seconds=180)
    scored = sql(machine, SCORED)
    assert scored
    for unit in DEALS * OTHERS:
        score_again(machine)
        time.sleep(dice.uniform(0, 6))
        assert kills.restarted(unit)
    score_again(machine)
    machine.until(lambda: is_scored(machine), "the ads are scored", seconds=180)
    assert (sql(machine, SCORED), kills.faults) == (scored, [])
    machine.run("systemctl", "stop", *DEALS, seconds=200)
    assert "vinops-celery" not in machine.shell("cat /proc/[0-9]*/cgroup"), "no process is left"


def score_again(machine: Machine) -> None:
    """Have all ads be scored again."""
    sql(machine, f"begin; delete from scores; delete from ops.deal_outbox; {REQUEUE}; commit")


def is_scored(machine: Machine) -> bool:
    """Tell whether nothing waits to be scored, not even what was given up."""
    return sql(machine, "select count(*) from ops.deal_outbox") == "0"
