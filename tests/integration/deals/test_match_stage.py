"""The stage `match` on a real database: what a watch finds is what the board shows for its filter, told once a car."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, strategies as st
from psycopg.sql import SQL

from deals.queue import runner
from deals.watches import matching
from deals.watches.columns import NAMES, to_columns, to_filter
from deals.watches.preview import preview
from tests.property.cases import few
from tests.support.sites import ads_on_board
from vinops.board.writer import where
from vinops.db.database import queries
from vinops.filters import Filter

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

FAMILIES: Final = ("BMW X5", "BMW 3 Series", "Audi A4", "Dacia Duster")
WORDS: Final = ("klimatik", "udari", "panorama")


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(lambda found: tuple(sorted(found)))


FILTERS: Final = st.builds(
    Filter,
    make=some(("BMW", "Audi", "Dacia", "Opel")),
    family=some(FAMILIES),
    year_from=st.none() | st.integers(2000, 2020),
    year_to=st.none() | st.integers(2005, 2026),
    price_from=st.none() | st.sampled_from([Decimal(1000), Decimal(5000)]),
    price_to=st.none() | st.sampled_from([Decimal(8000), Decimal("12000.50")]),
    km_from=st.none() | st.just(50_000),
    km_to=st.none() | st.just(150_000),
    power_from=st.none() | st.just(100),
    power_to=st.none() | st.just(200),
    fuel=some(("diesel", "gasoline")),
    gearbox=some(("manual", "automatic")),
    body=some(("suv", "estate")),
    color=some(("black", "white")),
    region=some(("София", "Варна")),
    seller=some(("private", "dealer")),
    min_score=st.none() | st.just(Decimal("6.5")),
    below_market=st.none() | st.just(Decimal(10)),
    words=some(("климатик", "панорама")),
    words_not=some(("удар", "панорама")),
)


def watch(database: Connection[Any], wanted: Filter, *, kind: str = "ad", since: str = "2020-01-01") -> int:
    """Save a watch of a person of its own, and return its id."""
    person = database.execute(
        "insert into watch_people (chat_id) select coalesce(max(chat_id), 0) + 1 from watch_people returning id"
    ).fetchone()
    columns = {**to_columns(wanted), "typed": "x", "kind": kind, "since": since, "person_id": person[0]}  # type: ignore[index]
    statement = SQL("insert into watches ({}) values ({}) returning id").format(
        SQL(", ").join(map(SQL, columns)), SQL(", ").join(SQL(f"%({name})s") for name in columns)
    )
    row = database.execute(statement, columns).fetchone()
    assert row is not None
    return int(row[0])


def hits(database: Connection[Any], watch_id: int) -> list[tuple[Any, ...]]:
    return database.execute(
        "select car, listing_id, price_eur, state, dropped_at is not null from watch_hits where watch_id = %s"
        " order by id",
        [watch_id],
    ).fetchall()


def lower(database: Connection[Any], listing_id: int, price: int) -> None:
    """Lower the price of an ad, as the crawl and the stages do."""
    database.execute("update listings set price_eur = %s where id = %s", [price, listing_id])
    database.execute("update normalized_listings set price_eur = %s where listing_id = %s", [price, listing_id])
    database.execute(
        "update board set price_eur = source.price_eur, below_market = source.below_market from board_source as source"
        " where board.listing_id = source.listing_id and board.listing_id = %s",
        [listing_id],
    )


def old(database: Connection[Any], *listing_ids: int) -> None:
    """Let ads be a month old."""
    ids = list(listing_ids)
    database.execute("update listings set first_seen = now() - interval '30 days' where id = any(%s)", [ids])
    database.execute("update board set first_seen = now() - interval '30 days' where listing_id = any(%s)", [ids])
    database.execute("update listing_prices set seen_at = now() - interval '30 days' where listing_id = any(%s)", [ids])


def market(database: Connection[Any]) -> list[int]:
    """Put ads of all kinds on the board."""
    dice = random.Random(3)
    ids = ads_on_board(database, 150)
    for listing_id in ids:
        family = dice.choice(FAMILIES)
        values = {
            "id": listing_id,
            "family": dice.choice([family, family, family, None]),
            "make": family.split()[0],
            "year": dice.choice([None, dice.randint(1999, 2026)]),
            "km": dice.choice([None, dice.randint(0, 250_000)]),
            "power": dice.choice([None, dice.randint(60, 300)]),
            "fuel": dice.choice([None, "diesel", "gasoline", "lpg"]),
            "gearbox": dice.choice([None, "manual", "automatic"]),
            "body": dice.choice([None, "suv", "estate", "sedan"]),
            "color": dice.choice([None, "black", "red"]),
            "region": dice.choice([None, "София", "Варна", "Русе"]),
            "seller": dice.choice([None, "private", "dealer"]),
            "price": dice.choice([None, Decimal(dice.randint(500, 20_000))]),
            "score": Decimal(dice.randint(10, 100)) / 10,
            "below": dice.choice([None, Decimal(dice.randint(-300, 400)) / 10]),
            "gone": dice.random() < 0.1,
            "words": sorted(dice.sample(WORDS, dice.randint(0, 3))),
        }
        database.execute("delete from board where listing_id = %(id)s", values)
        database.execute(
            "insert into board (listing_id, is_gone, gone_at, duplicate_of, score, first_seen, price_eur, below_market,"
            " year, mileage_km, power_hp, make, family, fuel, gearbox, body, color, region, seller) values (%(id)s,"
            " %(gone)s, case when %(gone)s then now() end, null, %(score)s, now(), %(price)s, %(below)s, %(year)s,"
            " %(km)s, %(power)s, %(make)s, %(family)s, %(fuel)s, %(gearbox)s, %(body)s, %(color)s, %(region)s,"
            " %(seller)s)",
            values,
        )
        if dice.random() < 0.9:
            database.execute(
                "insert into listing_words select %(id)s, array_to_tsvector(%(words)s::text[])"
                " on conflict (listing_id) do update set words = excluded.words",
                values,
            )
    database.execute("update board set duplicate_of = listing_id - 1 where listing_id % 15 = 0")
    return ids


def shown(database: Connection[Any], wanted: Filter, *, by_index: bool = False) -> set[int]:
    """The ads that the board shows for a filter."""
    condition, values = where(wanted, by_index=by_index)
    statement = SQL("select board.listing_id from board where {}").format(condition)
    return {row[0] for row in database.execute(statement, values, prepare=False).fetchall()}


@few
@given(filters=st.lists(FILTERS, min_size=5, max_size=5))
def test_all_watches_at_once_find_what_the_board_shows_for_each(
    database: Connection[Any], filters: list[Filter]
) -> None:
    database.execute("truncate watch_people cascade")
    ids = [row[0] for row in database.execute("select listing_id from board").fetchall()] or market(database)
    watches = {watch(database, wanted): wanted for wanted in filters}
    matching.record(database, ids)
    for watch_id, wanted in watches.items():
        assert {row[1] for row in hits(database, watch_id)} == shown(database, wanted), wanted


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(region=("София", "Русе")),
        Filter(color=("red",)),
        Filter(body=("suv",)),
        Filter(fuel=("diesel", "lpg")),
        Filter(gearbox=("manual",)),
        Filter(seller=("private",)),
        Filter(price_to=Decimal(9000)),
    ],
    ids=["region", "color", "body", "fuel", "gearbox", "seller", "none"],
)
def test_a_watch_without_models_finds_what_the_board_shows_for_it(database: Connection[Any], wanted: Filter) -> None:
    ids = market(database)
    watch_id = watch(database, wanted)
    found = shown(database, wanted)
    assert matching.record(database, ids) == len(found) > 5
    assert {row[1] for row in hits(database, watch_id)} == found


@few
@given(wanted=FILTERS)
def test_the_conditions_by_index_find_the_same(database: Connection[Any], wanted: Filter) -> None:
    if database.execute("select from board limit 1").fetchone() is None:
        market(database)
    assert shown(database, wanted, by_index=True) == shown(database, wanted)


@few
@given(wanted=FILTERS)
def test_a_filter_is_kept_as_it_is(wanted: Filter) -> None:
    row = to_columns(wanted)
    assert to_filter(row) == wanted
    assert set(NAMES) <= set(row)


def test_the_stage_records_a_car_once(database: Connection[Any], settings: Settings) -> None:
    golf, other = (
        watch(database, Filter(family=("Volkswagen Golf",), price_to=Decimal(most))) for most in (8500, 9000)
    )
    none = watch(database, Filter(family=("BMW X5",)))
    ids = ads_on_board(database, 2)
    for _ in range(2):
        database.execute(
            "insert into ops.deal_outbox (listing_id, stage, change) select unnest(%s::bigint[]), 'match', 'changed'"
            " on conflict do nothing",
            [ids],
        )
        outcome = runner.run(database, settings, "match")
        assert outcome is not None
        assert sorted(outcome.done) == ids
    for watch_id in (golf, other):
        assert [row[:4] for row in hits(database, watch_id)] == [(str(i), i, Decimal("8000.00"), "new") for i in ids]
    assert hits(database, none) == []


def test_a_new_watch_finds_only_what_comes(database: Connection[Any]) -> None:
    before, lately = ads_on_board(database, 2)
    old(database, before)
    watch_id = watch(database, Filter(make=("Volkswagen",)))
    with database.transaction():
        matching.begin(database, watch_id)
    (after,) = ads_on_board(database, 1)
    matching.record(database, [before, lately, after])
    assert [(row[1], row[3]) for row in hits(database, watch_id)] == [(lately, "known"), (after, "new")]


@pytest.mark.parametrize("paused", ["watches", "watch_people"])
def test_a_paused_watch_finds_nothing(database: Connection[Any], paused: str) -> None:
    watch_id = watch(database, Filter())
    by = ", paused_by = 'person'" if paused == "watch_people" else ""
    database.execute(SQL("update {} set paused_at = now()" + by).format(SQL(paused)))
    matching.record(database, ads_on_board(database, 1))
    assert hits(database, watch_id) == []


def test_a_watch_for_lots_finds_no_ads(database: Connection[Any]) -> None:
    watch_id = watch(database, Filter(), kind="lot")
    matching.record(database, ads_on_board(database, 1))
    assert hits(database, watch_id) == []


def test_a_lower_price_of_a_car_that_was_found_is_noted(database: Connection[Any]) -> None:
    watch_id = watch(database, Filter(make=("Volkswagen",)))
    (listing_id,) = ads_on_board(database, 1)
    matching.record(database, [listing_id])
    database.execute("update watch_hits set state = 'told'")
    lower(database, listing_id, 7500)
    matching.record(database, [listing_id])
    assert hits(database, watch_id) == [(str(listing_id), listing_id, Decimal("7500.00"), "told", True)]
    lower(database, listing_id, 7900)
    assert matching.record(database, [listing_id]) == 0


@pytest.mark.parametrize(
    ("wanted", "is_found"),
    [
        (Filter(price_to=Decimal(7600)), True),
        (Filter(below_market=Decimal(24)), True),
        (Filter(min_score=Decimal(8)), True),
        (Filter(make=("Volkswagen",)), False),  # it fitted before: the page shows it
        (Filter(price_to=Decimal(9000)), False),
        (Filter(below_market=Decimal(10)), False),
        (Filter(price_to=Decimal(7600), year_from=2050), False),
    ],
    ids=str,
)
def test_an_old_ad_is_found_if_a_lower_price_makes_it_fit(
    database: Connection[Any], wanted: Filter, is_found: bool
) -> None:
    (listing_id,) = ads_on_board(database, 1)
    lower(database, listing_id, 8000)
    old(database, listing_id)
    watch_id = watch(database, wanted)
    matching.begin(database, watch_id)
    matching.record(database, [listing_id])
    assert hits(database, watch_id) == []
    lower(database, listing_id, 7500)
    matching.record(database, [listing_id])
    assert bool(hits(database, watch_id)) == is_found


def test_a_car_that_is_advertised_again_is_the_same_car(database: Connection[Any]) -> None:
    watch_id = watch(database, Filter(make=("Volkswagen",)))
    first, second, other = ads_on_board(database, 3)
    about = "update normalized_listings set month = 5, mileage_km = %s where listing_id = any(%s)"
    database.execute(about, [100_000, [first, second]])
    database.execute(about, [150_000, [other]])
    matching.record(database, [first])
    database.execute("update listings set removed_at = now() where id = %s", [first])
    database.execute("update normalized_listings set year = 2015 where listing_id = any(%s)", [[first, second, other]])
    matching.record(database, [second, other])
    assert [row[:2] for row in hits(database, watch_id)] == [(str(first), second), (str(other), other)]


def test_what_still_fits(database: Connection[Any]) -> None:
    cheap, dear = (watch(database, Filter(price_to=Decimal(most))) for most in (9000, 7000))
    (listing_id,) = ads_on_board(database, 1)
    assert matching.still_fits(database, [cheap, dear], [listing_id]) == {(cheap, listing_id)}
    assert matching.still_fits(database, [], [listing_id]) == set()


def test_a_car_that_stays_as_it_is_is_not_touched(database: Connection[Any]) -> None:
    watch(database, Filter(make=("Volkswagen",)))
    ids = ads_on_board(database, 3)
    assert matching.record(database, ids) == 3
    assert matching.record(database, ids) == 0
    locked = "select count(*) from watch_hits where xmax::text <> '0'"
    assert database.execute(locked).fetchone() == (0,)


def test_two_ads_of_a_car_are_one_hit_of_the_newer_one_each_time(database: Connection[Any]) -> None:
    watch_id = watch(database, Filter(make=("Volkswagen",)))
    ids = ads_on_board(database, 3)
    database.execute(
        "update normalized_listings set month = 5, year = 2015, mileage_km = 100000 where listing_id = any(%s)", [ids]
    )
    database.execute("update listings set removed_at = now() where id = %s", [ids[0]])
    for changed in (1, 0, 0):
        assert matching.record(database, ids[1:]) == changed
        assert [row[:2] for row in hits(database, watch_id)] == [(str(ids[0]), ids[2])]


def test_ads_and_hits_are_looked_up_one_by_one(database: Connection[Any]) -> None:
    """Whatever the sizes: for hundreds of ids the planner else walks an index of the board, or reads all hits."""
    ids = ads_on_board(database, 3)
    statement = f"explain {queries('matching')['match']}".encode()
    values = {"listing_ids": ids, "watch_ids": None, "state": "new"}
    with database.transaction():
        for name in ("seqscan", "hashjoin", "mergejoin"):
            database.execute(f"set local enable_{name} to off".encode())
        plan = "\n".join(row[0] for row in database.execute(statement, values, prepare=False).fetchall())
    assert "Seq Scan" not in plan
    assert "((watch_id = fits.watch_id) AND (car = fits.car))" in plan
    assert "listing_id = ANY" not in plan


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (Filter(family=("BMW X5",), make=("BMW",), region=("София",)), ["BMW X5"]),
        (Filter(make=("BMW",), fuel=("diesel",)), ["BMW"]),
        (Filter(region=("София", "Варна"), body=("suv",), fuel=("diesel",)), ["София", "Варна"]),
        (Filter(color=("black",), body=("suv",)), ["black"]),
        (Filter(body=("suv",), fuel=("diesel",)), ["suv"]),
        (Filter(fuel=("diesel",), gearbox=("manual",), price_to=Decimal(5000)), ["diesel"]),
        (Filter(gearbox=("manual",), seller=("private",)), ["manual"]),
        (Filter(seller=("private",)), ["private"]),
        (Filter(price_to=Decimal(5000)), [""]),
    ],
    ids=str,
)
def test_a_watch_is_looked_up_by_the_rarest_that_it_names(
    database: Connection[Any], wanted: Filter, keys: list[str]
) -> None:
    watch_id = watch(database, wanted)
    assert database.execute("select keys from watches where id = %s", [watch_id]).fetchone() == (keys,)


def test_the_preview_counts_and_shows_the_best(database: Connection[Any]) -> None:
    ids = ads_on_board(database, 5)
    old(database, ids[0])
    database.execute("update board set first_seen = now() - interval '31 days' where listing_id = %s", [ids[0]])
    database.execute("update board set is_gone = true, gone_at = now() where listing_id = %s", [ids[1]])
    database.execute("update board set first_seen = now() - interval '8 days' where listing_id = %s", [ids[2]])
    database.execute("update board set score = 9.5 where listing_id = %s", [ids[4]])
    found = preview(database, Filter(family=("Volkswagen Golf",), new_since=timedelta(hours=1)))
    assert (found.now, found.lately, found.days, found.is_about) == (4, 4, 30, False)
    assert list(found.best) == [ids[4], ids[3], ids[2]]
    assert replace(found, lately=60).per_day == 2


def test_the_preview_of_cars_of_any_model_counts_those_of_a_week(database: Connection[Any]) -> None:
    ids = ads_on_board(database, 4)
    database.execute("update board set first_seen = now() - interval '8 days' where listing_id = %s", [ids[0]])
    database.execute("update board set is_gone = true, gone_at = now() where listing_id = any(%s)", [ids[:2]])
    found = preview(database, Filter(make=("Volkswagen",)))
    assert (found.now, found.lately, found.days, found.is_about) == (2, 3, 7, False)
