"""The figures of the market equal those that plain Python computes, also with walks that ended half done, without ads,
with one day of data and with a year; and a run that dies leaves those before."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

import pytest
from psycopg import OperationalError

from deals import market
from vinops.db import database as db

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

AT: Final = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FAMILIES: Final = {"Volkswagen Golf": "vw", "Volkswagen Polo": "vw", "Audi A4": "audi"}


@dataclass(kw_only=True)
class Ad:
    """An ad, and what was seen of it."""

    family: str | None = "Volkswagen Golf"
    posted: datetime
    first_seen: datetime
    last_seen: datetime
    removed: datetime | None = None
    prices: tuple[tuple[datetime, float | None], ...] = ()
    year: int | None = 2018
    km: int = 150_000
    fuel: str = "diesel"
    region: str = "София"
    vat: str = "exempt"
    risk: str = "low"
    problem: str | None = None
    is_comparable: bool = True
    duplicate_of: Ad | None = None
    id: int = 0

    @property
    def make(self) -> str:
        return (self.family or "Volkswagen").split()[0]

    @property
    def slug(self) -> str:
        return FAMILIES[self.family or "Volkswagen Golf"]

    @property
    def car(self) -> int:
        return (self.duplicate_of or self).id


def store(database: Database, ads: list[Ad]) -> None:
    """Store ads as the crawl and the stages leave them."""
    for ad in ads:
        price = ad.prices[-1][1] if ad.prices else None
        row = database.execute(
            "insert into listings (source, ad_id, make_slug, url, title, price_eur, vat, posted_at, first_seen,"
            " last_seen, removed_at, list_hash) values ('mobile.bg', (select 1 + count(*) from listings)::text, %s,"
            " 'u', 't', null, %s, %s, %s, %s, %s, '') returning id",
            [ad.slug, ad.vat, ad.posted, ad.first_seen, ad.last_seen, ad.removed],
        ).fetchone()
        assert row is not None
        ad.id = row[0]
        for at, amount in ad.prices:
            database.execute("insert into listing_prices values (%s, %s, %s)", [ad.id, amount, at])
        gross = None if price is None or ad.problem else price * (1.2 if ad.vat == "excluded" else 1)
        database.execute(
            "insert into normalized_listings (listing_id, make, model, family, year, mileage_km, fuel, region,"
            " price_eur, price_problem, risk, duplicate_of, is_comparable) values (%s, %s, %s, %s, %s, %s, %s, %s, %s,"
            " %s, %s, %s, %s)",
            [ad.id, ad.make, ad.family, ad.family, ad.year, ad.km, ad.fuel, ad.region, gross, ad.problem, ad.risk,
             ad.duplicate_of and ad.duplicate_of.id, ad.is_comparable and gross is not None],
        )  # fmt: skip


def walk(database: Database, slug: str, finished: datetime, *, is_complete: bool = True) -> None:
    database.execute(
        "insert into ops.listing_walks (source, make_slug, started_at, finished_at, is_complete)"
        " values ('mobile.bg', %s, %s, %s, %s)",
        [slug, finished - HOUR, finished, is_complete],
    )


def months_of(begin: date, end: date) -> list[date]:
    found = [begin.replace(day=1)]
    while found[-1] < end.replace(day=1):
        found.append((found[-1] + timedelta(days=32)).replace(day=1))
    return found


def edge(month: date) -> tuple[datetime, datetime]:
    after = (month + timedelta(days=32)).replace(day=1)
    return (datetime(month.year, month.month, 1, tzinfo=UTC), datetime(after.year, after.month, 1, tzinfo=UTC))


def price_in(ad: Ad, month: date) -> float | None:
    """The last price of an ad in a month, where it counts."""
    _, ends = edge(month)
    price = next((amount for at, amount in reversed(ad.prices) if at < ends), None)
    is_good = (
        ad.family is not None
        and ad.year is not None
        and ad.year <= month.year + 1
        and ad.risk != "high"
        and ad.problem is None
        and ad.prices[-1][1] is not None
        and (ad.is_comparable or ad.removed is not None)
        and not (1_000 <= ad.km < 50_000 and month.year - ad.year > 12)
    )
    if price is None or not is_good or not 100 <= price <= 3_000_000:
        return None
    return price * (1.2 if ad.vat == "excluded" else 1)


def quartiles(prices: list[float]) -> tuple[float, float, float]:
    if len(prices) == 1:
        return (prices[0],) * 3
    one, two, three = quantiles(prices, n=4, method="inclusive")
    return one, two, three


def by_hand(ads: list[Ad], months: list[date]) -> dict[tuple[date, str, str, int], Any]:
    """The rows of market_prices: cars, those with a price, and quartiles."""
    found: dict[tuple[date, str, str, int], list[float | None]] = {}
    for month in months:
        begins, ends = edge(month)
        cars: dict[int, list[Ad]] = {}
        for ad in ads:
            if ad.first_seen < ends and ad.last_seen >= begins:
                cars.setdefault(ad.car, []).append(ad)
        for same in cars.values():
            ad = min(same, key=lambda one: (price_in(one, month) is None, one.id))
            keys = {("", "", 0), (ad.make, "", 0)}
            if ad.family:
                keys.add((ad.make, ad.family, 0))
                if ad.year:
                    keys.add((ad.make, ad.family, ad.year))
            for key in keys:
                found.setdefault((month, *key), []).append(price_in(ad, month))
    return {
        key: (len(all_), len(known), *(quartiles(known) if known else (None,) * 3))
        for key, all_ in found.items()
        for known in [[each for each in all_ if each is not None]]
    }


def stored_prices(database: Database) -> dict[tuple[date, str, str, int], Any]:
    rows = database.execute(
        "select month, make, family, year, ads, priced, p25, p50, p75 from market_prices"
    ).fetchall()
    return {tuple(row[:4]): tuple(row[4:]) for row in rows}  # type: ignore[misc]


def same(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for key, values in expected.items():
        assert [None if each is None else float(each) for each in found[key]] == pytest.approx(
            [None if each is None else each for each in values], abs=0.006
        ), key


def drawn(dice: random.Random, count: int, days: float) -> list[Ad]:
    """So many ads of the last days, each last seen within a day; some are duplicates, doubtful or without price."""
    ads: list[Ad] = []
    while len(ads) < count:
        posted = AT - timedelta(days=dice.uniform(-0.2, days + 20))
        first = max(posted + timedelta(hours=dice.uniform(0, 30)), AT - timedelta(days=days))
        life = dice.expovariate(1 / 25)
        last = min(first + timedelta(days=int(life)), AT - HOUR * dice.uniform(0, 23))
        removed = last + timedelta(hours=dice.uniform(5, 40)) if life < days and dice.random() < 0.8 else None
        if last < first or first > AT or (removed and removed > AT):
            continue
        first_price = round(dice.lognormvariate(9, 0.5))
        prices: list[tuple[datetime, float | None]] = [(first, first_price)]
        for _ in range(dice.choice((0, 0, 1, 3))):
            at = prices[-1][0] + timedelta(days=dice.uniform(0.1, 30))
            if at < last:
                prices.append((at, dice.choice((None, 11, round(first_price * dice.uniform(0.8, 1.1))))))
        ads.append(
            Ad(
                family=dice.choice([*FAMILIES, None]), posted=posted, first_seen=first, last_seen=last, removed=removed,
                prices=tuple(prices), year=dice.choice((None, 2008, 2016, 2019, 2027, 2031)),
                km=dice.choice((20, 30_000, 180_000)), fuel=dice.choice(("diesel", "gasoline")),
                region=dice.choice(("София", "Варна")), vat=dice.choice(("exempt", "excluded")),
                risk=dice.choice(("low", "low", "high")), problem=dice.choice((None, None, None, "lease_balance")),
                is_comparable=dice.random() < 0.8,
            )
        )  # fmt: skip
        if len(ads) > 2 and dice.random() < 0.2:
            first_ad = ads[-2].duplicate_of or ads[-2]
            ads[-1] = replace(ads[-1], family=first_ad.family, posted=first_ad.posted, duplicate_of=first_ad)
    return ads


@pytest.mark.parametrize("days", [0.04, 1, 400])
def test_the_months_are_those_computed_by_hand(database: Database, days: float) -> None:
    ads = drawn(random.Random(f"months {days}"), 400, days)
    store(database, ads)
    done = market.refresh(database, at=AT)
    first = min(ad.first_seen for ad in ads)
    months = months_of(first.date(), AT.date())
    assert done.months == tuple(months)
    same(stored_prices(database), by_hand(ads, months))
    assert done.state == market.State(computed_at=AT, since=first, months=len(months), families=done.state.families)


def test_what_is_advertised_is_what_is_computed_by_hand(database: Database) -> None:
    ads = drawn(random.Random("now"), 300, 60)
    store(database, ads)
    market.refresh(database, at=AT)
    cars: dict[int, list[Ad]] = {}
    for ad in ads:
        if ad.removed is None:
            cars.setdefault(ad.car, []).append(ad)

    def price(ad: Ad) -> float | None:
        amount = ad.prices[-1][1]
        if amount is None or ad.problem or not ad.is_comparable:
            return None
        return amount * (1.2 if ad.vat == "excluded" else 1)

    found: dict[tuple[str, str, str, str], list[float | None]] = {}
    for each in cars.values():
        ad = min(each, key=lambda one: (price(one) is None, one.id))
        keys = {("", "", "", ""), (ad.make, "", "", "")}
        if ad.family:
            own = (ad.make, ad.family)
            keys |= {(*own, "", ""), (*own, "fuel", ad.fuel), (*own, "region", ad.region)}
            keys |= {(*own, "year", str(ad.year))} if ad.year else set()
        for key in keys:
            found.setdefault(key, []).append(price(ad))
    expected = {
        key: (len(all_), len(known), *(quartiles(known) if known else (None,) * 3))
        for key, all_ in found.items()
        for known in [[one for one in all_ if one is not None]]
    }
    rows = database.execute("select make, family, split, value, ads, priced, p25, p50, p75 from market_now").fetchall()
    same({tuple(row[:4]): tuple(row[4:]) for row in rows}, expected)


def stays_by_hand(ads: list[Ad], walks: dict[str, datetime], family: str) -> tuple[int, int, int, int | None, Any]:
    """Watched, gone, days followed, median and share within 30 days: each car laid over each day of age, in turn."""
    begin = AT - market.WINDOW
    cars: dict[int, list[Ad]] = {}
    for ad in ads:
        until = walks.get(ad.slug)
        if until and ad.first_seen <= until and (ad.removed is None or ad.removed > begin) and ad.family == family:
            cars.setdefault(ad.car, []).append(ad)
    spans = []
    for each in cars.values():
        until = walks[each[0].slug]
        is_gone = all(ad.removed is not None and ad.removed <= until for ad in each)
        left = max(
            ad.last_seen + (ad.removed - ad.last_seen) / 2
            if ad.removed is not None and ad.removed <= until
            else min(ad.last_seen, until)
            for ad in each
        )
        posted = min(ad.posted for ad in each)
        entered = max((max(min(ad.first_seen for ad in each), begin) - posted) / DAY, 0.0)
        went = max((left - posted) / DAY, 0.0)
        if left >= begin and went >= entered:
            spans.append((entered, went, is_gone))
    gone = sum(is_gone for *_, is_gone in spans)
    hazard, median, share, day = 0.0, None, None, 0
    while True:
        exposed = sum(max(min(went, day + 1) - max(entered, day), 0) for entered, went, _ in spans)
        if exposed < market.LEAST_EXPOSED:
            break
        hazard += sum(is_gone and int(went) == day for _, went, is_gone in spans) / exposed
        day += 1
        if median is None and hazard >= math.log(2) and gone >= market.LEAST_GONE:
            median = day
        if day == 30 and gone >= market.LEAST_GONE:
            share = 1 - math.exp(-hazard)
    return len(spans), gone, day, median, share


def stays(database: Database, family: str) -> Any:
    found = database.execute(
        "select watched, gone, followed_days, median_days, gone_in_30_days from market_stays where family = %s",
        [family],
    ).fetchone()
    return found or (0, 0, 0, None, None)


@pytest.mark.parametrize("days", [1, 30, 300])
def test_the_time_until_gone_is_that_computed_by_hand(database: Database, days: float) -> None:
    ads = drawn(random.Random(f"stays {days}"), 700, days)
    store(database, ads)
    walks = {"vw": AT - 5 * HOUR, "audi": AT - 26 * HOUR}
    for slug, finished in walks.items():
        walk(database, slug, finished)
        walk(database, slug, finished - DAY)
    market.refresh(database, at=AT)
    medians = 0
    for family in FAMILIES:
        *counts, share = stays(database, family)
        *expected, expected_share = stays_by_hand(ads, walks, family)
        assert counts == expected, family
        assert (share is None) == (expected_share is None)
        if share is not None:
            assert float(share) == pytest.approx(expected_share, abs=0.0001)
        medians += counts[-1] is not None
    assert (medians > 0) == (days > 1), "the ads leave after some weeks"


def golfs(count: int, **more: Any) -> list[Ad]:
    values = {"posted": AT - 20 * DAY, "first_seen": AT - 20 * DAY, "last_seen": AT - 3 * DAY}
    return [Ad(**{**values, **more}, prices=((AT - 20 * DAY, 9_000.0),)) for _ in range(count)]


def test_half_done_walks_say_nothing_about_what_is_gone(database: Database) -> None:
    store(database, golfs(40, removed=AT - 2 * DAY) + golfs(40))
    walk(database, "vw", AT - HOUR, is_complete=False)
    market.refresh(database, at=AT)
    assert stays(database, "Volkswagen Golf")[:2] == (0, 0), "no walk of the make was complete"
    walk(database, "vw", AT - 2.5 * DAY)
    market.refresh(database, at=AT)
    assert stays(database, "Volkswagen Golf")[:2] == (80, 0), "they were marked gone after the last complete walk"
    walk(database, "vw", AT - 2 * DAY)
    market.refresh(database, at=AT)
    watched, gone, followed, median, share = stays(database, "Volkswagen Golf")
    assert (watched, gone) == (80, 40)
    # 80 are watched to day 17, then 40 that went are watched for half a day more: hazard 40 / (40 * 0.5) on day 18.
    assert (followed, median, share) == (18, 18, None)


def test_ads_that_are_still_there_make_the_time_longer(database: Database) -> None:
    store(database, golfs(30, removed=AT - 2 * DAY) + golfs(300, last_seen=AT - HOUR))
    walk(database, "vw", AT - HOUR / 2)
    market.refresh(database, at=AT)
    watched, gone, followed, median, share = stays(database, "Volkswagen Golf")
    assert (watched, gone, median, share) == (330, 30, None, None)
    assert followed == 20, "half of them are not gone within the 20 days for which they were watched"


def test_without_ads_there_are_no_figures(database: Database) -> None:
    done = market.refresh(database, at=AT)
    assert (done.months, done.rows) == ((), 0)
    assert done.state == market.State(computed_at=AT)


def everything(database: Database) -> list[Any]:
    return [
        database.execute(f"select * from {table} order by 1, 2, 3, 4").fetchall()
        for table in ("market_prices", "market_now", "market_stays")
    ]


def test_a_second_run_changes_nothing_and_final_months_are_not_computed_again(database: Database) -> None:
    ads = drawn(random.Random("again"), 200, 100)
    store(database, ads)
    walk(database, "vw", AT - HOUR)
    first = market.refresh(database, at=AT)
    before = everything(database)
    second = market.refresh(database, at=AT)
    assert everything(database) == before
    assert len(first.months) > 3
    assert second.months == (date(2026, 11, 1),)
    database.execute("update market_prices set ads = 999999 where month < '2026-11-01'")
    market.refresh(database, at=AT)
    assert database.execute("select min(ads) from market_prices where month < '2026-11-01'").fetchone() == (999_999,)
    assert len(market.refresh(database, at=AT, is_again=True).months) == len(first.months)
    assert everything(database) == before


@pytest.mark.parametrize(
    ("at", "months"),
    [
        (datetime(2026, 12, 1, 2, 30, tzinfo=UTC), ["2026-11-01", "2026-12-01"]),
        (datetime(2026, 12, 9, tzinfo=UTC), ["2026-11-01", "2026-12-01"]),
        (datetime(2027, 2, 3, tzinfo=UTC), ["2026-11-01", "2026-12-01", "2027-01-01", "2027-02-01"]),
    ],
)
def test_a_month_is_final_a_week_after_its_end(database: Database, at: datetime, months: list[str]) -> None:
    store(database, golfs(3))
    market.refresh(database, at=AT)
    assert [str(month) for month in market.refresh(database, at=at).months] == months
    again = [str(month) for month in market.refresh(database, at=at + HOUR).months]
    assert again == [month for month in months if at < edge(date.fromisoformat(month))[1] + market.SETTLE]


def test_a_run_that_dies_leaves_the_figures_before(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database, drawn(random.Random("dies"), 100, 40))
    market.refresh(database, at=AT)
    before = everything(database)
    database.execute("update listing_prices set price_eur = price_eur * 2")

    statements = dict(db.queries("market")) | {"note_figures": "select pg_terminate_backend(pg_backend_pid())"}
    monkeypatch.setattr(market, "queries", lambda _name: statements)
    with db.connect(settings, application="tests", autocommit=True) as connection, pytest.raises(OperationalError):
        market.refresh(connection, at=AT + HOUR)
    monkeypatch.undo()
    assert everything(database) == before
    assert market.state(database).computed_at == AT


def test_of_two_at_once_one_computes(database: Database, settings: Settings) -> None:
    store(database, golfs(3))
    with db.connect(settings, application="tests", autocommit=True) as other, other.transaction():
        other.execute(db.queries("market")["claim_figures"])
        assert market.refresh(database, at=AT) == market.Refreshed(is_busy=True)
    assert market.refresh(database, at=AT).months


def test_a_car_of_a_year_in_which_its_model_was_not_built_has_no_price(database: Database) -> None:
    built = {"family": "Volkswagen Golf", "is_comparable": False, "removed": AT - 2 * DAY}
    store(database, [*golfs(1, year=2006, **built), *golfs(1, year=2012, **built)])
    database.execute("update normalized_listings set model = 'Volkswagen Bora'")
    market.refresh(database, at=AT)
    rows = database.execute("select year, ads, priced from market_prices where year > 0 and month = '2026-11-01'")
    assert sorted(rows.fetchall()) == [(2006, 1, 1), (2012, 1, 0)]


def test_ads_that_were_first_seen_when_they_were_old_tell_nothing_about_young_ones(database: Database) -> None:
    late = {"posted": AT - 60 * DAY, "first_seen": AT - 20 * DAY}
    store(database, golfs(40, removed=AT - 2 * DAY, **late))
    walk(database, "vw", AT - HOUR)
    market.refresh(database, at=AT)
    assert stays(database, "Volkswagen Golf") == (40, 40, 0, None, None)
