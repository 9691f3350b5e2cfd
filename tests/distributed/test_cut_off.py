"""Three hosts, each in a network namespace of its own: two crawlers and the database. One crawler is cut off in the
middle for longer than its lease.

The outside world is on the loopback of each crawler, as pacing without mercy is for loopback only. The photos go to one
folder, which stands for the object store that both of them reach.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from standin.photos.server import PhotoServer
from tests.distributed.hosts import DatabaseHost, Host, Network, obstacle
from tests.support.fleets import until
from tests.support.photo_crawls import AT_ONCE, Crawls
from tests.support.scrapyd_nodes import plain_environment
from vinops.config import Secret, Settings
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_HOSTS = obstacle()
pytestmark = [pytest.mark.crash, pytest.mark.machines, pytest.mark.skipif(NO_HOSTS is not None, reason=str(NO_HOSTS))]

ROOT = Path(__file__).resolve().parents[2]
LOTS = 80
SEED = 3
LEASE = 4  # seconds
SOME = 10
SPEED = "100"
SECONDS = 240

# Every time that a lot was settled, and as what.
AUDIT = """
create table settled (lot_id bigint, state text);
create function note_settled() returns trigger language plpgsql as $$
begin
    insert into settled values (new.lot_id, new.state);
    return null;
end $$;
create trigger note_settled after update on lot_photos for each row
when (new.settled_at is distinct from old.settled_at) execute function note_settled();
"""


@dataclass(kw_only=True)
class World:
    """The hosts, and what runs on them."""

    network: Network
    server: DatabaseHost
    crawls: Crawls
    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    code: Path = ROOT

    def add_crawler(self, name: str) -> Host:
        """Add a host with an outside world of its own; all of them are the same."""
        host = self.network.add(name)
        photos = self.crawls.server
        ports = {each: photos.address(each).rpartition(":")[2] for each in ("api", "cdn", "site")}
        arguments = [
            *(sys.executable, "-m", "standin.photos", "serve", "--seed", str(SEED)),
            *("--empty-every", "0", "--none-every", "0"),
            *(part for each, port in ports.items() for part in (f"--{each}-port", port)),
        ]
        out = self.folder / f"{name}-standin.log"
        with out.open("wb") as log:
            self.running.append(host.start(arguments, plain_environment({}), log=log, cwd=ROOT))
        until(lambda: "api_url" in out.read_text(), "the outside world is there")
        return host

    def crawl(self, host: Host, *, more: str = "") -> subprocess.Popen[bytes]:
        """Start a photo crawl on a host; `more` goes to DATABASE_URL."""
        environment = {**self.crawls.environment, "DATABASE_URL": self.server.url + more}
        arguments = [sys.executable, "-m", "scrapy", "crawl", "lot_photos", "-s", "VINOPS_PACE=steady"]
        with (self.folder / f"{host.name}.log").open("ab") as log:
            process = host.start(
                [*arguments, "-s", f"VINOPS_CLOCK_SPEED={SPEED}"],
                plain_environment(environment),
                log=log,
                cwd=self.code,
            )
        self.running.append(process)
        return process

    def log(self, host: Host) -> str:
        """Return what the crawls of a host said."""
        return (self.folder / f"{host.name}.log").read_text(errors="replace")

    def finish(self, process: subprocess.Popen[bytes], host: Host) -> int:
        """Wait for the end of a crawl and return its exit code."""
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the crawl on {host.name} did not end: {self.log(host)[-4000:]}") from None

    def until_done(self, host: Host) -> None:
        """Crawl on a host until every lot is done: leases of one that is cut off have to run out first."""
        while self.done() < LOTS:
            assert self.finish(self.crawl(host), host) == 0, self.log(host)[-4000:]

    def done(self) -> int:
        """Return how many lots are done."""
        return sum(state == "ok" for state in self.crawls.states().values())

    def held(self, host: Host) -> int:
        """Return how many lots a host has under lease, valid or not."""
        rows = self.crawls.rows("select count(*) from lot_photos where lease_owner like %s", f"{host.name}:%")
        return int(rows[0][0])

    def cut_between_transactions(self, host: Host) -> bool:
        """Cut a host off and return whether it has no transaction open; if it has, connect it again.

        The server keeps the locks of such a transaction for as long as it believes in the connection: with PATIENT
        that is ten minutes, in which no other crawl can take the lot.
        """
        host.cut()
        open_ones = self.crawls.rows(
            "select 1 from pg_stat_activity where client_addr = %s::inet and state <> 'idle'", host.address
        )
        if open_ones:
            host.reconnect()
        return not open_ones

    def close(self) -> None:
        """End everything."""
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture
def world(open_folder: Path) -> Iterator[World]:
    """The database on a host of its own, with lots that are due."""
    with Network() as network, PhotoServer(seed=SEED, empty_every=0, none_every=0) as photos:
        server = DatabaseHost(host=network.add("database"), folder=open_folder / "database")
        try:
            server.start()
            settings = Settings(
                database_url=Secret(server.socket_url), data_dir=open_folder / "data", log_dir=open_folder / "logs"
            )
            db.migrate(settings)
            with db.connect(settings, application="tests", autocommit=True) as connection:
                connection.execute(AUDIT)
                crawls = Crawls(
                    settings=settings,
                    database=connection,
                    server=photos,
                    more={"VINOPS_PHOTO_LEASE": str(LEASE), **AT_ONCE},
                )
                made = World(network=network, server=server, crawls=crawls, folder=open_folder)
                try:
                    yield made
                finally:
                    made.close()
        finally:
            server.stop()


def cut_in_the_middle(world: World, *, more: str) -> tuple[Host, Host, subprocess.Popen[bytes], list[int]]:
    """Have two hosts crawl, cut one off while it has lots in hand, and let the other do the rest."""
    first, second = world.add_crawler("crawler-1"), world.add_crawler("crawler-2")
    lots = world.crawls.add_lots(LOTS)
    cut = world.crawl(first, more=more)
    other = world.crawl(second)
    until(lambda: world.done() > SOME and world.held(first) and world.held(second), "both are at work", seconds=SECONDS)
    until(lambda: world.cut_between_transactions(first), "it is cut off with no transaction open", seconds=SECONDS)
    assert world.done() < LOTS
    assert world.held(first), "it was cut off with nothing in hand"
    assert world.finish(other, second) == 0, world.log(second)[-4000:]
    world.until_done(second)
    return first, second, cut, lots


def assert_each_once(world: World, lots: list[int]) -> None:
    """Each lot is there whole, and was settled as done once."""
    world.crawls.check(lots)
    settled = Counter(lot for (lot,) in world.crawls.rows("select lot_id from settled where state = 'ok'"))
    assert set(settled.values()) == {1}, "a lot was settled twice"
    assert len(settled) == LOTS
    machines = dict(world.crawls.rows("select machine, count(*) from ops.crawl_runs group by machine"))
    assert set(machines) == {"crawler-1", "crawler-2"}, "hosts have names of their own"


# So patient that the connection is still there when the link is: what waited in it arrives late, all of it.
PATIENT = "?tcp_user_timeout=600000&options=-ctcp_user_timeout%3D600000%20-ctcp_keepalives_idle%3D600"
HASTY = "?tcp_user_timeout=3000"
SHORT = "?options=" + "%20".join(
    f"-ctcp_{name}%3D{value}"
    for name, value in {
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": 2,
        "user_timeout": 2000,
    }.items()
)


@pytest.mark.timeout(900)
def test_a_crawler_that_was_cut_off_for_longer_than_its_lease_writes_nothing_late(world: World) -> None:
    first, _, cut, lots = cut_in_the_middle(world, more=PATIENT)
    assert cut.poll() is None, world.log(first)[-4000:]
    first.reconnect()
    assert world.finish(cut, first) == 0, world.log(first)[-4000:]
    assert_each_once(world, lots)
    lost = world.crawls.rows(
        "select reason, coalesce((stats ->> 'lot/lease_lost')::int, 0) from ops.crawl_runs where machine = 'crawler-1'"
    )
    assert lost[0][0] == "finished"
    assert lost[0][1] >= 1, "it came late with nothing, so this proves nothing"
    assert "the lease expired and another crawl has the lot" in world.log(first)


@pytest.mark.timeout(900)
def test_a_crawler_that_stays_cut_off_ends(world: World) -> None:
    first, _, cut, lots = cut_in_the_middle(world, more=HASTY)
    assert world.finish(cut, first) == 1, "it says that it did not end well"
    assert_each_once(world, lots)
    assert "Closing spider (no_database)" in world.log(first)
    assert "the database is lost: the run ends" in world.log(first)
    assert "Traceback" not in world.log(first), "an end like others, which nobody has to look into"


HOLD = """
import sys, time
from vinops import config
from vinops.db import database
connection = database.connect(config.load(), application="holder")
connection.execute("select 1 from ops.host_budgets where host = 'cs.example' for update")
names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
print(*(connection.execute(f"show {name}").fetchone()[0] for name in names), flush=True)
time.sleep(600)
"""
HOLDERS = "select 1 from pg_stat_activity where application_name = 'holder'"


@pytest.mark.parametrize(("more", "said"), [("", "30 10 3 60000"), (SHORT, "1 1 2 2000")], ids=["as_set", "shortened"])
def test_the_locks_of_a_host_that_is_cut_off_are_free_again(world: World, more: str, said: str) -> None:
    host = world.network.add("holder")
    world.crawls.database.execute("insert into ops.host_budgets (host) values ('cs.example')")
    out = world.folder / "holder.log"
    with out.open("wb") as log:
        environment = plain_environment({"DATABASE_URL": world.server.url + more, "PYTHONPATH": str(ROOT)})
        world.running.append(host.start([sys.executable, "-c", HOLD], environment, log=log, cwd=world.folder))
    until(lambda: out.read_text().endswith("\n"), "it holds the lock")
    assert out.read_text().strip() == said
    if more:
        host.cut()
        until(lambda: not world.crawls.rows(HOLDERS), "the server has let it go")
        world.crawls.database.execute("set lock_timeout = '1s'")
        assert world.crawls.rows("select host from ops.host_budgets for update nowait") == [("cs.example",)]


@pytest.mark.timeout(900)
def test_without_the_fencing_token_the_late_one_is_believed(world: World) -> None:
    """The broken control: what the tests above look for is there to be found."""
    copy = world.folder / "broken"
    for name in ("vinops", "vinops_scrapy", "sql"):
        shutil.copytree(ROOT / name, copy / name)
    shutil.copy(ROOT / "scrapy.cfg", copy)
    queries = copy / "sql" / "queries" / "photos.sql"
    text = queries.read_text()
    begin = text.index("-- name: hold_lease")
    fence = "\n    and lease_token = %(token)s\n    and lease_owner = %(owner)s\nfor update;"
    assert fence in text[begin:]
    queries.write_text(text[:begin] + text[begin:].replace(fence, "\nfor update;", 1))
    world.code = copy
    first, _, cut, lots = cut_in_the_middle(world, more=PATIENT)
    first.reconnect()
    world.finish(cut, first)
    with pytest.raises(AssertionError, match="settled twice"):
        assert_each_once(world, lots)
