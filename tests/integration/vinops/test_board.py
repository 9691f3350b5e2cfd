"""The board on a real database: each field of a filter and each order against plain SQL, ads, facets, the CSV."""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from hypothesis import given, strategies as st

from tests.property.cases import few
from vinops.board import reads
from vinops.board.sorts import SORTS
from vinops.board.writer import where
from vinops.db import database as db
from vinops.db.database import queries
from vinops.filters import FIELDS, Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

ADS: Final = 240
MAKES: Final = {"BMW": ("BMW 3 Series", "BMW X5"), "Audi": ("Audi A4",), "Dacia": ("Dacia Duster", "Dacia Logan")}
WORDS: Final = ("klimatik", "klimatronik", "navigatsia", "udari", "bmv")

PLAIN: Final = """
    from listings as l join normalized_listings as n on n.listing_id = l.id join scores as s on s.listing_id = l.id
        left join valuations as v on v.listing_id = l.id left join listing_words as w on w.listing_id = l.id
    where n.duplicate_of is null and """
ADVERTISED: Final = "l.removed_at is null"
NOW: Final = datetime.now(UTC).replace(microsecond=123)


def market(connection: Database) -> None:
    """Put a small market into the tables that the stages write, and the board beside it."""
    dice = random.Random(7)
    for number in range(1, ADS + 1):
        make = dice.choice(list(MAKES))
        price = dice.choice([None, Decimal(dice.randint(10, 300)) * 100, Decimal(dice.randint(100_000, 999_999)) / 100])
        gone = dice.random() < 0.25
        values = {
            "make": make,
            "family": dice.choice(MAKES[make]),
            "year": dice.choice([None, dice.randint(1998, 2026)]),
            "km": dice.choice([None, dice.randint(0, 300_000), 150_000]),
            "power": dice.choice([None, dice.randint(60, 300)]),
            "fuel": dice.choice([None, "diesel", "gasoline", "lpg"]),
            "gearbox": dice.choice([None, "manual", "automatic"]),
            "body": dice.choice([None, "suv", "sedan"]),
            "color": dice.choice([None, "black", "dark grey"]),
            "region": dice.choice([None, "София", "Варна"]),
            "seller": dice.choice([None, "private", "dealer"]),
            "price": price,
            "worth": dice.choice([None, 9_000, 20_000]),
            "score": Decimal(dice.randint(10, 100)) / 10,
            "seen": NOW - timedelta(hours=dice.choice([1, 23, 25, 24 * 20])) - timedelta(seconds=number),
            "gone": NOW - timedelta(hours=dice.randint(1, 24 * 59)) if gone else None,
            "words": sorted(dice.sample(WORDS, dice.randint(0, 3))),
            "number": str(number),
        }
        connection.execute(
            """
            with ad as (
                insert into listings (source, ad_id, make_slug, url, title, seller_kind, posted_at, first_seen,
                    removed_at, price_eur, list_hash, photo_urls)
                values ('mobile.bg', %(number)s, 'x', 'https://x/' || %(number)s, 'Ad ' || %(number)s, %(seller)s,
                    %(seen)s, %(seen)s, %(gone)s, %(price)s, '', array['https://p/1', 'https://p/2'])
                returning id
            ), normal as (
                insert into normalized_listings (listing_id, make, family, model, fuel, gearbox, body, colour, region,
                    year, mileage_km, power_hp, price_eur, risk, is_comparable)
                select id, %(make)s, %(family)s, %(family)s, %(fuel)s, %(gearbox)s, %(body)s, %(color)s, %(region)s,
                    %(year)s, %(km)s, %(power)s, %(price)s, 'low', true from ad
            ), worth as (
                insert into valuations (listing_id, p10, p50, p90, comparables, confidence, method)
                select id, %(worth)s::int * 0.8, %(worth)s, %(worth)s::int * 1.2, 8, 0.6, 'comparables' from ad
                where %(worth)s::int is not null
            ), words as (
                insert into listing_words select id, array_to_tsvector(%(words)s::text[]) from ad
            )
            insert into scores (listing_id, score, parts, reasons, is_approved)
            select id, %(score)s, '{}', '{"a reason"}', true from ad""",
            values,
        )
    connection.execute(
        "update normalized_listings set duplicate_of = listing_id - 1 where listing_id % 20 = 0 and listing_id > 1"
    )
    connection.execute(queries("board")["rebuild_board"])


@pytest.fixture(scope="module")
def asked(server: str, admin: Database) -> Iterator[Database]:
    """A connection to the market, which is only read."""
    from tests.conftest import fresh

    for url in fresh(server, admin, "vinops"):
        with psycopg.connect(url, autocommit=True, context=db.session.adapters()) as connection:
            connection.execute("set timezone to 'UTC'")
            market(connection)
            yield connection


def found(database: Database, wanted: Filter, sort: str = "score") -> list[int]:
    """Return the ids of all pages, seven ads at a time."""
    ids: list[int] = []
    after: str | None = None
    while True:
        page, problems = reads.page(database, wanted, sort=sort, after=after, size=7)
        assert problems == []
        new = [card.listing_id for card in page.cards]
        assert set(ids).isdisjoint(new), "an ad is on two pages"
        ids += new
        if page.next is None:
            return ids
        after = page.next


def plain(database: Database, condition: str, order: str = "s.score desc, l.id desc", **values: Any) -> list[int]:
    statement = f"select l.id {PLAIN} {condition} order by {order}"
    return [row[0] for row in database.execute(statement.encode(), values).fetchall()]


BELOW: Final = "round(100 * (1 - n.price_eur / v.p50), 1)"
FIELD_CASES: Final[list[tuple[str, Any, str]]] = [
    ("make", ("BMW",), "n.make = 'BMW'"),
    ("make", ("Audi", "Dacia"), "n.make in ('Audi', 'Dacia')"),
    ("family", ("BMW X5", "Dacia Logan"), "n.family in ('BMW X5', 'Dacia Logan')"),
    ("year_from", 2015, "n.year >= 2015"),
    ("year_to", 2015, "n.year <= 2015"),
    ("price_from", Decimal("5000.01"), "n.price_eur >= 5000.01"),
    ("price_to", Decimal(7000), "n.price_eur <= 7000"),
    ("km_from", 150_000, "n.mileage_km >= 150000"),
    ("km_to", 150_000, "n.mileage_km <= 150000"),
    ("power_from", 150, "n.power_hp >= 150"),
    ("power_to", 150, "n.power_hp <= 150"),
    ("fuel", ("diesel", "lpg"), "n.fuel in ('diesel', 'lpg')"),
    ("gearbox", ("manual",), "n.gearbox = 'manual'"),
    ("body", ("suv",), "n.body = 'suv'"),
    ("color", ("dark grey",), "n.colour = 'dark grey'"),
    ("region", ("Варна",), "n.region = 'Варна'"),
    ("seller", ("private",), "l.seller_kind = 'private'"),
    ("min_score", Decimal("7.5"), "s.score >= 7.5"),
    ("below_market", Decimal("12.5"), f"{BELOW} >= 12.5"),
    ("new_since", timedelta(days=1), "l.first_seen >= now() - interval '24 hours'"),
    ("new_since", NOW.date() - timedelta(days=1), ""),
    ("gone", "only", "l.removed_at is not null"),
    ("gone", "also", "true"),
    ("words", ("климатроник",), "w.words @@ 'klimatronik'"),
    ("words", ("климат",), "(w.words @@ 'klimatik' or w.words @@ 'klimatronik')"),
    ("words", ("klimatik", "навигация"), "w.words @@ 'klimatik' and w.words @@ 'navigatsia'"),
    ("words_not", ("удар",), "not w.words @@ 'udari'"),
    ("words_not", ("klimatik", "навигация"), "not w.words @@ 'klimatik' and not w.words @@ 'navigatsia'"),
]


@pytest.mark.parametrize(("name", "value", "condition"), FIELD_CASES)
def test_a_field_finds_what_plain_sql_finds(asked: Database, name: str, value: Any, condition: str) -> None:
    if isinstance(value, date):
        condition = f"l.first_seen >= timestamp '{value} 00:00' at time zone 'Europe/Sofia'"
    expected = plain(asked, condition if name == "gone" else f"{ADVERTISED} and {condition}")
    assert found(asked, Filter(**{name: value})) == expected
    everything = plain(asked, "true" if name == "gone" else ADVERTISED)
    assert 0 < len(expected) < len(everything) or value == "also"
    assert reads.count(asked, Filter(**{name: value})).number == len(expected)


def test_every_field_is_tested() -> None:
    assert {name for name, _, _ in FIELD_CASES} == set(FIELDS)


ORDERS: Final = {
    "score": "s.score desc, l.id desc",
    "new": "l.first_seen desc, l.id desc",
    "cheap": "n.price_eur asc nulls last, l.id desc",
    "dear": "n.price_eur desc nulls last, l.id desc",
    "below": f"{BELOW} desc nulls last, l.id desc",
    "km": "n.mileage_km asc nulls last, l.id desc",
    "year": "n.year desc nulls last, l.id desc",
}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("gone", ["no", "also", "only"])
def test_an_order_is_that_of_plain_sql_on_all_pages(asked: Database, sort: str, gone: Any) -> None:
    condition = {"no": ADVERTISED, "also": "true", "only": "l.removed_at is not null"}[gone]
    assert found(asked, Filter(gone=gone), sort) == plain(asked, condition, ORDERS[sort])
    rows = list(reads.export(lambda: nullcontext(asked), Filter(gone=gone), sort=sort))
    assert [row[0] for row in rows] == plain(asked, condition, ORDERS[sort])


@pytest.mark.parametrize("sort", SORTS)
def test_of_many_ads_an_order_is_the_same(asked: Database, monkeypatch: pytest.MonkeyPatch, sort: str) -> None:
    """Many are read by the index of the order, a page at a time."""
    expected = plain(asked, "true", ORDERS[sort])
    monkeypatch.setattr(reads, "FEW", len(plain(asked, ADVERTISED)) - 1)  # in one partition few, in the other many
    assert found(asked, Filter(gone="also"), sort) == expected
    monkeypatch.setattr(reads, "FEW", 2)
    assert found(asked, Filter(gone="also"), sort) == expected


def test_fields_together_all_have_to_hold(asked: Database) -> None:
    cases = [case for case in FIELD_CASES if not isinstance(case[1], date)]

    @few
    @given(st.lists(st.sampled_from(cases), min_size=2, max_size=5, unique_by=lambda case: case[0]))
    def check(chosen: list[tuple[str, Any, str]]) -> None:
        conditions = [condition for _, _, condition in chosen]
        if not any(name == "gone" for name, _, _ in chosen):
            conditions.append(ADVERTISED)
        expected = plain(asked, " and ".join(f"({each})" for each in conditions))
        assert found(asked, Filter(**{name: value for name, value, _ in chosen})) == expected

    check()


def test_a_count_stops_at_its_limit(asked: Database) -> None:
    number = len(plain(asked, ADVERTISED))
    assert reads.count(asked, Filter(), most=number) == reads.Count(number=number, is_capped=False)
    assert reads.count(asked, Filter(), most=number - 1) == reads.Count(number=number - 1, is_capped=True)


@pytest.mark.parametrize(
    "token",
    ["x", "score", "score~", "score~7.5", "score~7.5~x", "new~7.5~3", "score~NaN~3", "score~1e9~1", "score~7,5~3",
     "score~7.5~99999999999999999999", "score~7.5~3~4", "score~'~1", "\x00"],
)  # fmt: skip
def test_a_token_that_is_none_of_the_list_is_named(asked: Database, token: str) -> None:
    page, problems = reads.page(asked, Filter(), after=token)
    assert [(each.name, each.value) for each in problems] == [("after", token)]
    assert page == reads.page(asked, Filter())[0]


@pytest.mark.parametrize("sort", SORTS)
def test_no_token_breaks_a_statement(asked: Database, sort: str) -> None:
    @few
    @given(st.one_of(st.text(max_size=30), st.from_regex(rf"{sort}~-?([0-9]{{1,17}}|Infinity)(\.5)?~[0-9]+")))
    def check(token: str) -> None:
        reads.page(asked, Filter(), sort=sort, after=token)

    check()


def test_an_order_that_is_unknown_is_named(asked: Database) -> None:
    page, problems = reads.page(asked, Filter(), sort="best; drop table board")
    assert "none of score, new" in problems[0].reason
    assert page == reads.page(asked, Filter())[0]


def test_the_figures_of_a_statement_are_bound_and_exact(asked: Database) -> None:
    wanted = replace(Filter(), make=("BMW'; drop table board; --",), min_score=Decimal("7.5"), words=("a' | b",))
    text, values = where(wanted)
    assert "drop" not in text.as_string()
    assert not any(isinstance(value, float) for value in values.values())
    assert reads.count(asked, wanted).number == 0


@pytest.mark.parametrize("sort", SORTS)
def test_a_page_is_read_by_an_index_of_its_order(asked: Database, sort: str) -> None:
    order = SORTS[sort]
    row = asked.execute(f"select {order.by.as_string()}, listing_id from board limit 1".encode()).fetchone()
    place, _ = order.after(order.token(*(row or ())))
    condition, values = where(Filter())
    statement = f"select listing_id from board where {condition.as_string()} and {order.behind().as_string()}"
    statement += f" order by {order.order.as_string()} limit 26"
    with asked.transaction():
        for name in ("seqscan", "bitmapscan", "sort"):
            asked.execute(f"set local enable_{name} to off".encode())
        plan = asked.execute(f"explain {statement}".encode(), values | (place or {})).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan" in text
    assert "Index Cond" in text
    assert "Sort" not in text


def test_a_card_shows_what_the_ad_has(asked: Database) -> None:
    page, _ = reads.page(asked, Filter(), sort="below", size=1)
    (card,) = page.cards
    listing, price, p50, below = (
        asked.execute(
            f"select l.id, n.price_eur, v.p50, {BELOW} {PLAIN} {ADVERTISED} and l.id = %s".encode(), [card.listing_id]
        ).fetchone()
        or (None,) * 4
    )
    assert (card.listing_id, card.price_eur, card.p50, card.below_market) == (listing, price, p50, below)
    assert card.comparables == 8
    assert card.reasons == ["a reason"]
    assert [each.price_eur for each in card.prices] == [price]
    assert card.photos == 2


def test_facets_count_what_is_advertised(asked: Database) -> None:
    facets = reads.facets(asked)
    assert set(facets) == {"make", "family", "fuel", "gearbox", "body", "color", "region", "seller"}
    assert {each.value: each.ads for each in facets["make"]} == {
        make: len(plain(asked, f"{ADVERTISED} and n.make = '{make}'")) for make in MAKES
    }
    families = {(each.make, each.value): each.ads for each in facets["family"]}
    assert families["BMW", "BMW X5"] == len(plain(asked, f"{ADVERTISED} and n.family = 'BMW X5'"))
    assert sum(each.ads for each in facets["seller"]) == len(
        plain(asked, f"{ADVERTISED} and l.seller_kind is not null")
    )


def test_an_ad_has_everything_that_its_page_shows(database: Database, settings: Settings) -> None:
    from deals.queue import runner
    from deals.stages.registry import STAGES
    from tests.support.deal_ads import insert_ads, requeue

    ids = insert_ads(database, 60, description="Нов внос от САЩ, без удари.")
    for stage in STAGES:
        runner.drain(database, settings, stage)
    requeue(database, ids[:1], by=0.9)
    database.execute(
        "update normalized_listings set duplicate_of = %s where listing_id = any(%s)", [ids[0], ids[5:15:5]]
    )
    ad = reads.ad(database, ids[0])
    assert ad is not None
    assert [each.price_eur for each in ad.prices] == sorted((each.price_eur for each in ad.prices), reverse=True)
    assert len(ad.prices) == 2
    assert ad.valuation is not None
    assert len(ad.comparables) == min(ad.valuation.comparables, 12)
    assert all(each.carried_eur and each.carried_eur != each.price_eur for each in ad.comparables)
    low, high = ad.valuation.p10, ad.valuation.p90
    assert low is not None
    assert high is not None
    assert sum(low <= (each.carried_eur or 0) <= high for each in ad.comparables) * 2 >= len(ad.comparables)
    assert [each.flag for each in ad.risks]
    assert set(ad.parts) == {"price", "freshness", "demand", "risk"}
    assert [(each.listing_id, each.is_first) for each in ad.duplicates] == [(ids[5], False), (ids[10], False)]
    other = reads.ad(database, ids[5])
    assert other is not None
    assert [(each.listing_id, each.is_first) for each in other.duplicates] == [(ids[0], True), (ids[10], False)]


@pytest.mark.parametrize("listing_id", [0, -1, 10**9, 10**30])
def test_an_ad_that_is_not_there_is_none(asked: Database, listing_id: int) -> None:
    assert reads.ad(asked, listing_id) is None
    assert list(reads.photo_urls(asked, listing_id)) == []


def test_an_ad_that_no_stage_has_seen_yet_has_a_page(database: Database) -> None:
    from tests.support.deal_ads import insert_ads

    (listing,) = insert_ads(database, 1)
    ad = reads.ad(database, listing)
    assert ad is not None
    assert (ad.valuation, ad.score, list(ad.comparables)) == (None, None, [])


def test_the_addresses_of_photos_are_those_of_the_ad(asked: Database) -> None:
    assert list(reads.photo_urls(asked, 1)) == ["https://p/1", "https://p/2"]


def test_the_csv_holds_no_transaction_open(asked: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "CHUNK", 10)
    rows = reads.export(lambda: nullcontext(asked), Filter())
    first = next(rows)
    assert asked.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    everything = [first, *rows]
    assert len(everything) == len(plain(asked, ADVERTISED))
    assert all(len(row) == len(reads.COLUMNS) for row in everything)
    assert dict(zip(reads.COLUMNS, first, strict=True))["url"].startswith("https://x/")


def test_the_columns_of_the_csv_are_those_of_its_statement(asked: Database) -> None:
    cursor = asked.execute(queries("board")["export_rows"], {"listing_ids": [1]})
    assert [column.name for column in cursor.description or ()] == list(reads.COLUMNS)
