"""Walks of a market that changes, by two machines that die at any moment: no ad is lost or doubled, none falsely gone.

    VINOPS_PROPERTY_CASES=6000 .venv/bin/pytest tests/property/test_walks.py -o timeout=0

tries 600 markets with a database.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from scrapy.statscollectors import StatsCollector
from scrapy.utils.test import get_crawler

from tests.property.cases import few
from tests.support.markets import Site, book, changes, sites
from vinops.config import Settings
from vinops.db import database as db
from vinops_scrapy.listings.records import ClaimLost, Listings, record_walk
from vinops_scrapy.mobile_bg.makes import Make
from vinops_scrapy.mobile_bg.schedule import Schedule
from vinops_scrapy.mobile_bg.walks import Step, Walk

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow
    from psycopg_pool import AsyncConnectionPool

MAKE = Make(slug="a", name="A")
EMPTY = "truncate listings, ops.listing_walks cascade"

machines = st.integers(0, 1)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("page"), machines),
        st.tuples(st.just("page"), machines),
        st.tuples(st.just("page"), machines),
        st.tuples(st.sampled_from(["die", "die_before_commit"]), machines),
        st.tuples(st.sampled_from(["newest", "claims_expire"]), st.just(0)),
    ),
    max_size=60,
)


@dataclass(kw_only=True)
class World:
    """A market, a database, and two machines that walk the one into the other."""

    site: Site
    pool: AsyncConnectionPool[Any]
    database: Connection[TupleRow]
    is_careless: bool = False
    """Whether machines are broken: they save how far a walk is before the ads of the page."""
    walks: dict[int, Walk] = field(default_factory=dict)
    there: dict[int, set[str]] = field(default_factory=dict)
    """The ads that were there since a walk began, by its number."""
    ended: list[Walk] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Connect the machines."""
        self.listings = Listings(self.pool, "a")
        self.schedules = [
            Schedule(
                self.pool,
                StatsCollector(get_crawler()),
                "a",
                owner=f"machine {number}",
                shrink_limit=1,
                claim_seconds=600,
            )
            for number in range(2)
        ]

    async def act(self, action: str, machine: int) -> None:
        """Let something happen."""
        if action == "claims_expire":
            self.database.execute("update ops.listing_walks set claimed_until = now() where claimed_until is not null")
        elif action == "newest":
            page = self.site.page(Step(page=1))
            await self.listings.record([("a", each) for each in page.listings])
        elif action == "die":
            self.walks.pop(machine, None)
        else:
            await self.read(machine, dies=action == "die_before_commit")
        self.check()

    async def read(self, machine: int, *, dies: bool = False) -> None:
        """Read a page of a walk with a machine, and record it unless it dies before."""
        schedule = self.schedules[machine]
        walk = self.walks.get(machine)
        if walk is None:
            walk = await schedule.begin(MAKE, book(self.site.limit))
            if walk is None:
                return
            self.walks[machine] = walk
            self.there.setdefault(walk.number, set(map(str, self.site.ads)))
        step = walk.split([*self.site.models], [*self.site.regions]) if walk.needs_parts else walk.first()
        if step is not None and self.site.of(step) is None:
            walk.skip(step)
        elif step is not None and not await self._record(walk, step, dies=dies):
            del self.walks[machine]
            return
        if walk.first() is None:
            await schedule.end_walk(walk)
            await schedule.release()
            self.ended.append(walk)
            del self.walks[machine]

    async def _record(self, walk: Walk, step: Step, *, dies: bool) -> bool:
        page = self.site.page(step)
        seen = await self.listings.seen_by(walk.number, [each.ad_id for each in page.listings])
        walk.take(step, page, seen)
        try:
            if not dies:
                await self.listings.record([("a", each) for each in page.listings], walk=walk.page())
            elif self.is_careless:
                async with self.pool.connection() as connection:
                    await record_walk(connection, walk.page())
        except ClaimLost:
            return False
        return not dies

    def change(self, kind: str, number: int) -> None:
        """Let the market change."""
        self.site.change(kind, number)
        for there in self.there.values():
            there &= set(map(str, self.site.ads))

    def check(self) -> None:
        """Check what must always be so."""
        rows = self.database.execute("select ad_id, removed_at is null from listings").fetchall()
        known = dict(rows)
        market = set(map(str, self.site.ads))
        assert not {ad for ad, is_active in known.items() if not is_active} & market, "an ad is falsely gone"
        for number, is_complete, ads, seen in self.database.execute(
            "select walks.id, is_complete, ads, (select count(*) from listings where walk_id = walks.id)"
            " from ops.listing_walks as walks where is_complete order by walks.id desc limit 1"
        ).fetchall():
            assert self.there[number] <= {ad for ad, is_active in rows if is_active}, "an ad is lost"
            assert not is_complete or seen <= ads, "an ad is doubled"

    async def settle(self) -> None:
        """Read what is open to its end, and then the market once more, which stands still."""
        self.walks.clear()
        await self.act("claims_expire", 0)
        for _ in range(2):
            count = len(self.ended)
            for _ in range(2000):
                if len(self.ended) > count:
                    break
                await self.act("page", 1)
            assert len(self.ended) > count, "a walk has no end"


async def play(
    settings: Settings,
    database: Connection[TupleRow],
    site: Site,
    events: list[tuple[str, int]],
    acts: list[tuple[str, int]],
    **how_broken: bool,
) -> None:
    """Let a market change while two machines walk it, then check what they leave."""
    database.execute(EMPTY)
    async with db.async_pool(settings, application="crawler") as pool:
        world = World(site=site, pool=pool, database=database, **how_broken)
        for number in range(max(len(events), len(acts))):
            if number < len(acts):
                await world.act(*acts[number])
            if number < len(events):
                world.change(*events[number])
        await world.settle()
    last = world.ended[-1]
    if last.is_complete and last.is_exact:
        active = database.execute("select ad_id from listings where removed_at is null").fetchall()
        assert {ad for (ad,) in active} == set(map(str, site.ads))
    if site.shows_everything:
        assert last.is_exact, "a walk of lists that show everything is not complete"


@few
@given(site=sites(), events=changes, acts=actions)
def test_no_ad_is_lost_or_doubled_or_falsely_gone(
    site: Site,
    events: list[tuple[str, int]],
    acts: list[tuple[str, int]],
    settings: Settings,
    database: Connection[TupleRow],
) -> None:
    asyncio.run(play(settings, database, site, events, acts))


def test_a_machine_that_saves_its_place_before_the_ads_is_caught(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    """The broken control: it dies between the two, and the ads of that page are lost."""
    pages = [("page", 0), ("page", 0), ("die_before_commit", 0)]
    site = Site(ads=list(range(20)))
    asyncio.run(play(settings, database, site, [], pages))
    with pytest.raises(AssertionError, match="an ad is lost"):
        asyncio.run(play(settings, database, Site(ads=list(range(20))), [], pages, is_careless=True))
