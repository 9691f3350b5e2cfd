"""Two scrapyd nodes crawl the photos of the same lots: each lot once, one budget, whoever of them is killed.

A node that is killed orphans its running jobs, and starts what waits when it is back: what keeps two of them from the
same lot are the leases in PostgreSQL, and nothing else.
"""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from ops.nodes import egg
from standin.photos.server import PhotoServer
from tests.support import reservations
from tests.support.photo_crawls import Crawls, Database
from tests.support.scrapyd_nodes import Nodes, plain_environment
from vinops import politeness
from vinops_scrapy.middlewares.budget import SPARE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scrapyd_nodes import NodeProcess
    from vinops.config import Settings

pytestmark = [pytest.mark.crash, pytest.mark.machines]

LOTS = 200
SPEED = 200.0
LEASE = "6"  # seconds: what a killed crawl held is free again after so long
AT_ONCE = 3  # lots that a crawl at this pace has open at a time
SOME = 15
PACE = ("-s", "VINOPS_PACE=steady", "-s", f"VINOPS_CLOCK_SPEED={SPEED}")


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    """The photo side of the outside world."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, photos: PhotoServer) -> Iterator[Crawls]:
    """The lots and what came of them."""
    reservations.note(database)
    yield Crawls(settings=settings, database=database, server=photos, more={"VINOPS_PHOTO_LEASE": LEASE})
    shutil.rmtree(settings.data_dir, ignore_errors=True)


@pytest.fixture
def nodes(crawls: Crawls, tmp_path: Path) -> Iterator[Nodes]:
    """Two nodes with their egg."""
    found = Nodes(folder=tmp_path / "nodes", environment=plain_environment(crawls.environment))
    try:
        found.add("one")
        found.add("two")
        yield found
    finally:
        found.close()


def deploy(nodes: Nodes, *arguments: str) -> None:
    """Give both nodes the egg."""
    assert [row["spiders"] for row in nodes.rows("deploy", *arguments)] == [2, 2]


def schedule(nodes: Nodes, *, code: int = 0) -> list[str]:
    """Schedule a photo crawl on each node; return the names of the nodes that have got one."""
    rows = nodes.rows("schedule", "photos", "--batch", str(LOTS), *PACE, code=code)
    return [row["node"] for row in rows if not row["problem"]]


def ended(crawls: Crawls, count: int) -> bool:
    """Tell whether so many runs have ended by themselves."""
    return crawls.rows("select count(*) from ops.crawl_runs where reason = 'finished'") == [(count,)]


def done(crawls: Crawls) -> int:
    """Return how many lots are done."""
    return sum(state == "ok" for state in crawls.states().values())


def done_by_runs(crawls: Crawls) -> list[int]:
    """Return how many lots each run that has ended has done."""
    return [
        int(count)
        for (count,) in crawls.rows(
            "select coalesce((stats ->> 'lot/ok')::int, 0) from ops.crawl_runs where reason is not null order by id"
        )
    ]


def asked_again(crawls: Crawls) -> set[int]:
    """Return the lots of which something was asked more than once."""
    asked = Counter((request.kind, request.path, request.lot) for request in crawls.server.requests)
    listed = Counter(request.lot for request in crawls.server.requests if request.kind == "list")
    again = {lot for (_, _, lot), times in asked.items() if times > 1 and lot}
    return again | {lot for lot, times in listed.items() if times > 1 and lot}


def assert_one_budget(crawls: Crawls) -> None:
    """Each request had its place in the budget, and no two places are closer than one crawl's may be."""
    pace = politeness.pace("steady", speed=SPEED)
    api, cdn = crawls.server.image_hosts.split(",")
    for host, gap, kind in ((api, pace.page_gap, "list"), (cdn, pace.image_gap, "photo")):
        starts = reservations.places(crawls.rows, host, gap * (1 + SPARE))
        asked = sum(request.kind == kind for request in crawls.server.requests)
        assert len(starts) >= asked, f"{host}: a request without its place in the budget"
        assert min(later - sooner for sooner, later in pairwise(starts)) > gap * (1 + SPARE) - 1e-5, host


@pytest.mark.timeout(900)
def test_two_nodes_do_each_lot_once_within_one_budget(crawls: Crawls, nodes: Nodes) -> None:
    lots = crawls.add_lots(LOTS)
    deploy(nodes)
    assert schedule(nodes) == ["one", "two"]
    nodes.until(lambda: ended(crawls, 2), "both have ended", seconds=600)
    crawls.check(lots)
    assert asked_again(crawls) == set()
    counts = done_by_runs(crawls)
    assert sum(counts) == LOTS
    assert min(counts) > 0, "they never met"
    assert_one_budget(crawls)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("with_jobs", [True, False], ids=["with_its_job", "its_job_goes_on"])
def test_one_node_is_killed_and_the_other_finishes(crawls: Crawls, nodes: Nodes, *, with_jobs: bool) -> None:
    lots = crawls.add_lots(LOTS)
    deploy(nodes)
    assert schedule(nodes) == ["one", "two"]
    victim = nodes.members[0]
    nodes.until(lambda: done(crawls) > SOME and victim.job_processes(), "both are at work")
    at_kill = done(crawls)
    victim.kill(jobs=with_jobs)
    assert at_kill < LOTS, "the kill came too late"
    assert bool(victim.job_processes()) is not with_jobs
    if with_jobs:
        nodes.until(lambda: ended(crawls, 1), "the other has ended", seconds=600)
        nodes.until(lambda: not crawls.rows(HELD), "the leases of the killed one have run out")
        assert schedule(nodes, code=1) == ["two"], "what is down is told, and the other has the work"
    else:
        victim.start()
        assert "one" in schedule(nodes), "a node that is back takes jobs, beside the one it does not know of"
    nodes.until(lambda: ended(crawls, 2 if with_jobs else 4), "all have ended", seconds=600)
    crawls.check(lots)
    assert len(asked_again(crawls)) <= (AT_ONCE if with_jobs else 0), "only what the killed job had in hand"
    assert_one_budget(crawls)


@pytest.mark.timeout(900)
def test_without_leases_the_nodes_do_lots_twice(crawls: Crawls, nodes: Nodes, tmp_path: Path) -> None:
    """The broken control: what the tests above look for is there to be found."""
    crawls.add_lots(LOTS)
    broken = tmp_path / "broken.egg"
    broken.write_bytes(without_leases(egg.build()))
    deploy(nodes, "--egg", str(broken))
    assert schedule(nodes) == ["one", "two"]
    nodes.until(lambda: crawls.rows("select 1 from ops.crawl_runs where reason is not null"), "one has ended")
    nodes.until(lambda: not running(nodes.members), "both have ended")
    assert asked_again(crawls)


HELD = "select 1 from lot_photos where lease_expires_at > now()"


def running(members: list[NodeProcess]) -> bool:
    """Tell whether any job runs."""
    return any(node.job_processes() for node in members)


def without_leases(whole: bytes) -> bytes:
    """Return an egg that takes what is due whoever has it."""
    condition = rb"\s+and \(lot_photos\.lease_expires_at is null or lot_photos\.lease_expires_at <= now\(\)\)"
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "sql/queries/photos.sql":
                content, count = re.subn(condition, b"", content)
                assert count > 1, "where lots are looked for, and where they are locked"
            new.writestr(name, content)
    return made.getvalue()
