"""Days of the scheduled cycle on a simulated clock: two machines that die at any moment share one budget for the newest
ads, rechecks and walks of a market that changes, with the real queries. No ad is lost, doubled or falsely gone, prices
are right in the end, the budget is kept, and neither the newest ads nor the walks starve.

    VINOPS_PROPERTY_CASES=6000 .venv/bin/pytest tests/property/test_cycle.py -o timeout=0

tries 600 days.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, strategies as st
from scrapy.statscollectors import StatsCollector
from scrapy.utils.test import get_crawler

from tests.property.cases import few
from tests.support.markets import SIZE, Site, book, listing, sites
from tests.support.turns import NewestAlways, WalkAlways
from vinops.db import database as db
from vinops.db.database import queries
from vinops_scrapy.items import ListPage, RecheckedAd
from vinops_scrapy.listings.records import ClaimLost, Listings
from vinops_scrapy.mobile_bg.cycle import UNBROKEN, Cycle, Turn, Turns
from vinops_scrapy.mobile_bg.makes import Make
from vinops_scrapy.mobile_bg.newest import NewestPass, NewestPasses
from vinops_scrapy.mobile_bg.rechecks import Recheck, Rechecks
from vinops_scrapy.mobile_bg.schedule import Schedule
from vinops_scrapy.mobile_bg.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from psycopg import Connection
    from psycopg.rows import TupleRow
    from psycopg_pool import AsyncConnectionPool

    from vinops.config import Settings
    from vinops_scrapy.items import Listing

SOURCE: Final = "a"
MAKES: Final = (Make(slug="a", name="A"), Make(slug="b", name="B"))
OTHER: Final = "z"
"""A make that is not followed: its ads are in the list of all makes."""
GAP: Final = 3.0
SHARE: Final = 0.05
EVERY: Final = 60.0
CLAIM: Final = 120.0
START: Final = datetime(2026, 7, 1, 8, tzinfo=UTC)
SIMULATED: Final = """
    create schema simulated;
    create table simulated.time (at timestamptz not null);
    insert into simulated.time values (now());
    create function simulated.now() returns timestamptz language sql as 'select at from simulated.time';
    create function simulated.clock_timestamp() returns timestamptz language sql as 'select at from simulated.time';
    alter table listings
        alter first_seen set default simulated.now(),
        alter last_seen set default simulated.now(),
        alter changed_at set default simulated.now();
    alter table ops.listing_walks alter started_at set default simulated.now();
"""
PATH: Final = "set search_path to simulated, pg_catalog, public"
EMPTY: Final = "truncate listings, ops.listing_walks, ops.market_cycles, ops.host_budgets cascade"

machines = st.integers(0, 1)
actions = st.lists(
    st.one_of(
        *[st.tuples(st.just("go"), machines)] * 6,
        st.tuples(st.sampled_from(["die", "approve", "sleep"]), machines),
        *[st.tuples(st.sampled_from(["come", "come", "go_away", "price"]), st.integers(0, 200))] * 2,
    ),
    max_size=90,
)


@dataclass(kw_only=True)
class Market:
    """Three makes, of which two are followed, and the list of all of them."""

    sites: dict[str, Site]
    limit: int

    def of(self, make: str | None) -> Site:
        return self.sites[make or ""]

    def change(self, kind: str, number: int) -> int | None:
        """Have an ad come, go, or change its price; return the one that came. The newest has the highest number."""
        make = list(self.sites)[number % len(self.sites)]
        site = self.sites[make]
        if kind == "come":
            newest = max([10_000, *(ad for each in self.sites.values() for ad in each.ads)])
            site.change("come", number, ad=newest + 1)
            return newest + 1
        site.change({"go_away": "go"}.get(kind, kind), number)
        return None

    def followed(self) -> set[int]:
        return {ad for make in MAKES for ad in self.sites[make.slug].ads}

    def is_provable(self, make: str) -> bool:
        """Tell whether the lists of a make show all its ads: its own list is not cut off, or those of its models are
        not."""
        site = self.sites[make]
        return len(site.ads) < self.limit * SIZE or site.shows_everything

    def price(self, ad: int) -> int | None:
        return next((site.prices.get(ad) for site in self.sites.values() if ad in site.ads), None)

    def newest(self, number: int) -> ListPage:
        """Return a page of the list of all makes."""
        ads = [(ad, make) for make, site in self.sites.items() for ad in site.ads]
        shown = sorted(ads, key=lambda each: listing(each[0]).posted_at, reverse=True)[: self.limit * SIZE]
        found = [
            replace(listing(ad, price=self.sites[make].prices.get(ad)), make_text=make.upper()) for ad, make in shown
        ]
        part = found[(number - 1) * SIZE : number * SIZE]
        return ListPage(
            listings=tuple(part), total=len(ads), page=number, next_url="next" if len(found) > number * SIZE else None
        )


@st.composite
def markets(draw: st.DrawFn) -> Market:
    first = draw(sites(most=35))
    rest = {"b": range(1000, 1000 + draw(st.integers(0, 8))), OTHER: range(2000, 2000 + draw(st.integers(0, 8)))}
    others = {make: Site(ads=list(ads), limit=first.limit) for make, ads in rest.items()}
    return Market(sites={"a": first, **others}, limit=first.limit)


def make_of(each: Listing, make: str | None) -> str | None:
    slug = make or (each.make_text or "").lower()
    return slug if slug != OTHER else None


@dataclass(kw_only=True)
class Machine:
    """A crawl on a machine: its cycle, and the request that is under way."""

    cycle: Cycle
    schedule: Schedule
    turn: Turn | None = None
    page: Any = None
    renewed_at: float = 0.0
    waited: dict[str, int] = field(default_factory=lambda: {"newest": 0, "walk": 0})

    def decided(self, turn: Turn) -> None:
        """Note for how many requests each kind has waited that was in hand; none may starve."""
        chosen = "recheck" if turn.recheck else "newest" if isinstance(turn.course, NewestPass) else "walk"
        for kind, course, most in (("newest", self.cycle._newest, 3), ("walk", self.cycle._walk, UNBROKEN + 2)):
            self.waited[kind] = self.waited[kind] + 1 if course and kind != chosen else 0
            assert self.waited[kind] <= most, f"the {kind} starves"


@dataclass(kw_only=True)
class World:
    """A market, a database on a simulated clock, and two machines that read the one into the other."""

    market: Market
    pool: AsyncConnectionPool[Any]
    database: Connection[TupleRow]
    turns: type[Turns] = Turns
    now: float = 0.0
    crawls: int = 0
    starts: list[float] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    machines: dict[int, Machine] = field(default_factory=dict)
    begun: dict[int, tuple[int, set[int]]] = field(default_factory=dict)
    """Of each pass how many ads had left when it began, and the followed ads that were there."""
    left: int = 0
    unseen: set[int] = field(default_factory=set)
    """Ads that a pass could not show: those below its bound, and those that moved up a page while it read."""

    def __post_init__(self) -> None:
        self.listings = Listings(self.pool, SOURCE)
        self.pass_time(0.0)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        at = START + timedelta(seconds=self.now)
        self.database.execute("update simulated.time set at = %s", [at])

    def crawl(self) -> Machine:
        """Start a crawl of both makes."""
        self.crawls += 1
        stats, owner = StatsCollector(get_crawler()), f"crawl {self.crawls}"
        schedule = Schedule(self.pool, stats, SOURCE, owner=owner, shrink_limit=1, claim_seconds=CLAIM)
        passes = NewestPasses(
            *(self.pool, stats, SOURCE),
            owner=owner, every=EVERY, pages=50, page_limit=self.market.limit, claim_seconds=CLAIM,
        )  # fmt: skip
        cycle = Cycle(
            *(self.pool, SOURCE),
            schedule=schedule,
            passes=passes,
            rechecks=Rechecks(self.pool, stats, SOURCE, spacing=GAP / SHARE, min_score=7.5, speed=60),
            makes=MAKES,
            book=book(self.market.limit),
            every=200.0,
            clock=lambda: self.now,
        )
        cycle._turns = self.turns()
        return Machine(cycle=cycle, schedule=schedule, renewed_at=self.now)

    async def act(self, action: str, number: int) -> None:
        """Let something happen."""
        if action == "sleep":  # of a machine: its claims expire
            self.pass_time(CLAIM + 1)
        elif action == "approve":
            self.database.execute(
                "insert into scores (listing_id, score, parts, reasons, is_approved)"
                " select id, 8, '{}', '{}', true from listings where id % 3 = 0 on conflict do nothing"
            )
        elif action == "go":
            await self.go(number)
        elif action == "die":  # before its next request, or before what it has requested is recorded
            self.machines.pop(number, None)
        else:
            self.left += action == "go_away"
            self.market.change(action, number)
        self.check()

    async def go(self, number: int) -> None:
        """Let a machine record what it has requested, or else decide on its next request."""
        if number not in self.machines:
            self.machines[number] = self.crawl()
        machine = self.machines[number]
        if machine.turn is None:
            await self._request(machine)
        else:
            turn, machine.turn = machine.turn, None
            await self._record(machine, turn)

    async def _request(self, machine: Machine) -> None:
        if self.now - machine.renewed_at >= CLAIM / 4:
            machine.renewed_at = self.now
            await machine.schedule.extend()
            await machine.cycle.extend()
        turn = await machine.cycle.turn()
        if turn is None:
            self.pass_time(max(machine.cycle.idle_seconds(), 0.1))
            return
        machine.decided(turn)
        if isinstance(turn.course, NewestPass):
            self.begun.setdefault(turn.course.number, (self.left, self.market.followed()))
        await self._take_place()
        machine.turn, machine.page = turn, self._page(turn)
        self.kinds.append("recheck" if turn.recheck else "newest" if isinstance(turn.course, NewestPass) else "walk")

    async def _take_place(self) -> None:
        """Wait for the next place of the budget, as the downloader does."""
        values = {"host": "site", "gap": GAP, "count": 1, "daily": 28_800}
        async with self.pool.connection() as connection:
            row = await (await connection.execute(queries("politeness")["reserve_requests"], values)).fetchone()
        assert row is not None
        self.pass_time(max(row[1], 0.0))
        self.starts.append(self.now)

    def _page(self, turn: Turn) -> Any:
        """Return what the site answers: an ad's price, or none, a page of a list, or None if there is no such list."""
        if turn.recheck:
            return self._own_page(turn.recheck)
        course = turn.course
        if isinstance(turn.request, Recheck):
            return self._own_page(turn.request)
        if isinstance(course, NewestPass):
            return self.market.newest((turn.request or course.first()).page)  # type: ignore[union-attr]
        assert isinstance(course, Walk)
        site = self.market.of(course.make.slug)
        if course.needs_parts:
            return None
        step = course.first()
        return None if step is None or site.of(step) is None else site.page(step)

    def _own_page(self, recheck: Recheck) -> RecheckedAd:
        ad = int(recheck.ad_id)
        found = listing(ad, price=self.market.price(ad)) if ad in self.market.followed() else None
        return RecheckedAd(ad_id=recheck.ad_id, asked_at=recheck.asked_at, listing=found)

    async def _record(self, machine: Machine, turn: Turn) -> None:
        """Record what was requested, and decide what follows, as the spider does."""
        course = turn.course
        try:
            if turn.recheck:
                await self.listings.record_recheck(machine.page)
                machine.cycle.end_recheck("read" if machine.page.listing else "deleted")
            elif isinstance(course, NewestPass):
                await self._record_newest(machine, course, turn.request or course.first())
            elif isinstance(course, Walk):
                await self._record_walk(machine, course, turn.request)
        except ClaimLost:
            assert course is not None
            course.fail("claim_lost")
            if isinstance(course, NewestPass):
                await machine.cycle.end_pass(course)
            else:
                await machine.schedule.end_walk(course)
                await machine.cycle.end_walk()

    async def _record_newest(self, machine: Machine, course: NewestPass, step: Any) -> None:
        page: ListPage = machine.page
        known = await self.listings.known([each.ad_id for each in page.listings])
        following = course.take(step, page, known, lambda each: make_of(each, None) is not None)
        rows = [(make, each) for each in page.listings if (make := make_of(each, None))]
        await self.listings.record(rows, newest=course.number)
        if following:
            machine.cycle.follow(course, following)  # type: ignore[arg-type] # kept until its turn, whatever it is
        else:
            self._pass_ended(course)
            await machine.cycle.end_pass(course)

    def _pass_ended(self, course: NewestPass) -> None:
        """Check that a pass which met known ads leaves none above them unrecorded."""
        left, there = self.begun[course.number]
        missing = (there & self.market.followed()) - self.active()
        if course.is_cut_short or left != self.left:
            self.unseen |= missing
        assert missing <= self.unseen, "a pass over the newest ads has left a gap"

    async def _record_walk(self, machine: Machine, walk: Walk, request: Any) -> None:
        if isinstance(request, Recheck):
            await self.listings.record_recheck(machine.page)
        elif walk.needs_parts:
            site = self.market.of(walk.make.slug)
            walk.split([*site.models], [*site.regions])
        elif (step := walk.first()) is not None and machine.page is None:
            walk.skip(step)
        elif step is not None:
            page: ListPage = machine.page
            seen = await self.listings.seen_by(walk.number, [each.ad_id for each in page.listings])
            walk.take(step, page, seen)
            await self.listings.record([(walk.make.slug, each) for each in page.listings], walk=walk.page())
        if walk.first() is None and not walk.needs_parts:
            doubt = await machine.schedule.next_doubt(walk)
            if doubt is not None:
                machine.cycle.follow(walk, doubt)  # type: ignore[arg-type]
                return
            await machine.schedule.end_walk(walk)
            await machine.cycle.end_walk()

    def check(self) -> None:
        """Check what must always be so."""
        known = dict(self.database.execute("select ad_id::int, removed_at is null from listings").fetchall())
        there = self.market.followed()
        assert not {ad for ad, is_active in known.items() if not is_active} & there, "an ad is falsely gone"
        assert not set(known) & set(self.market.sites[OTHER].ads), "an ad of another make is recorded"

    async def both(self, requests: int, until: Callable[[], bool] = lambda: False) -> None:
        """Let both machines go on in turn for so many requests, or until something is so."""
        last = len(self.starts) + requests
        while len(self.starts) < last and not until():
            for number in (0, 1):
                await self.act("go", number)

    def active(self) -> set[int]:
        """Return the ads that the database takes for there."""
        rows = self.database.execute("select ad_id::int from listings where removed_at is null").fetchall()
        return {ad for (ad,) in rows}

    def ended(self, make: str) -> int:
        """Return how many complete walks of a make there are."""
        row = self.database.execute(
            "select count(*) from ops.listing_walks where make_slug = %s and is_complete", [make]
        ).fetchone()
        return row[0] if row else 0


def budget_is_kept(world: World) -> None:
    """No gap is shorter than allowed, and rechecks keep to their share."""
    gaps = [later - sooner for sooner, later in zip(world.starts, world.starts[1:], strict=False)]
    assert min(gaps, default=GAP) >= GAP - 1e-3, "two requests came too soon after one another"
    assert world.kinds.count("recheck") <= SHARE * world.now / GAP + 1, "too many rechecks"


async def play(
    settings: Settings,
    database: Connection[TupleRow],
    market: Market,
    acts: Iterable[tuple[str, int]],
    *,
    turns: type[Turns] = Turns,
    is_whole: bool = True,
) -> None:
    """Let a market change while two machines read it, then check what they leave; with `is_whole` after the end."""
    database.execute(EMPTY.encode())
    async with db.async_pool(settings, application="crawler", size=1) as pool:
        async with pool.connection() as connection:
            await connection.execute(PATH.encode())
        world = World(market=market, pool=pool, database=database, turns=turns)
        for act in acts:
            await world.act(*act)
        if not is_whole:
            return
        world.pass_time(CLAIM + 1)  # so that claims of the dead expire
        await world.both(2)
        await new_ads_are_found(world)
        await all_is_read(world)
        budget_is_kept(world)


async def new_ads_are_found(world: World) -> None:
    """Ads that come are recorded within a minute and a few requests, whatever the walks have to do."""
    new = {ad for number in range(8) if (ad := world.market.change("come", number)) is not None}
    new &= world.market.followed()
    came_at = world.now
    await world.both(400, until=lambda: new <= world.active())
    assert world.now - came_at <= EVERY + 20 * GAP, "new ads are noticed late: the newest starves"


async def all_is_read(world: World) -> None:
    """The market stands still: two more complete walks of each make leave what is there, at its price."""
    before = {make.slug: world.ended(make.slug) for make in MAKES}
    provable = [make.slug for make in MAKES if world.market.is_provable(make.slug)]
    await world.both(1200, until=lambda: all(world.ended(make) >= before[make] + 2 for make in provable))
    assert all(world.ended(make) >= before[make] + 2 for make in provable), "a walk has no end: it starves"
    for make in provable:
        rows = world.database.execute(
            "select ad_id::int, price_eur::int from listings where removed_at is null and make_slug = %s", [make]
        ).fetchall()
        site = world.market.of(make)
        assert dict(rows) == {ad: site.prices.get(ad) for ad in site.ads}, "an ad is lost, or has another price"
    twice = world.database.execute(
        "select 1 from (select price_eur, lag(price_eur) over (partition by listing_id order by seen_at) as before,"
        " row_number() over (partition by listing_id order by seen_at) as number from listing_prices) as prices"
        " where number > 1 and price_eur is not distinct from before"
    ).fetchall()
    assert twice == [], "a price is doubled"


@pytest.fixture
def simulated(database: Connection[TupleRow]) -> Connection[TupleRow]:
    """A database whose clock is set by the test."""
    database.execute(SIMULATED.encode())
    return database


@pytest.mark.slow
@few
@given(market=markets(), acts=actions)
def test_nothing_is_lost_and_no_kind_of_request_starves(
    market: Market, acts: list[tuple[str, int]], settings: Settings, simulated: Connection[TupleRow]
) -> None:
    asyncio.run(play(settings, simulated, market, acts))


def pages(count: int, machine: int = 0) -> list[tuple[str, int]]:
    """Let a machine request and record so many pages."""
    return [("go", machine)] * (2 * count)


def market_of(ads: dict[str, range]) -> Market:
    """Return a market of these ads by make, whose lists are not cut off."""
    return Market(sites={make: Site(ads=list(each)) for make, each in ads.items()}, limit=1000)


def small() -> Market:
    """A market that is read in eight requests."""
    return market_of({"a": range(10), "b": range(1000, 1003), OTHER: range(2000, 2003)})


def large() -> Market:
    """A market whose lists have more pages than are read one after the other."""
    return market_of({"a": range(60), "b": range(1000, 1020), OTHER: range(2000, 2010)})


@pytest.mark.parametrize(("broken", "starved"), [(WalkAlways, "newest"), (NewestAlways, "walk")])
def test_a_rule_that_starves_one_kind_is_caught(
    broken: type[Turns], starved: str, settings: Settings, simulated: Connection[TupleRow]
) -> None:
    with pytest.raises(AssertionError, match=f"the {starved} starves"):
        asyncio.run(play(settings, simulated, large(), pages(20), turns=broken))


def test_a_pass_that_counts_as_read_before_its_end_is_caught(
    settings: Settings, simulated: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Listings.record

    async def hasty(self: Listings, rows: Any, *, newest: int | None = None, **more: Any) -> Any:
        recorded = await record(self, rows, newest=newest, **more)
        if newest is not None:
            mark = "update ops.market_cycles set newest_posted_at = greatest(newest_posted_at, %s)"
            simulated.execute(mark, [max((each.posted_at for _, each in rows), default=None)])
        return recorded

    come = [("come", number) for number in range(18)]  # four pages
    read = [*pages(8), *come, ("sleep", 0), *pages(3), ("die", 0), ("sleep", 0), *pages(8)]
    asyncio.run(play(settings, simulated, small(), read, is_whole=False))
    monkeypatch.setattr(Listings, "record", hasty)
    with pytest.raises(AssertionError, match="has left a gap"):
        asyncio.run(play(settings, simulated, small(), read, is_whole=False))
