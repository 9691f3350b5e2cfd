"""Lots on a real database: each field of a filter and each order against plain SQL, keyset pages, facets, plans."""

from __future__ import annotations

import random
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from hypothesis import given, strategies as st

from bench.lots import LARGE, drawn
from tests.property.cases import few
from tests.support.lots import lots_on_board
from vinops.db import database as db
from vinops.lots import reads
from vinops.lots.filter import FIELDS, LotFilter
from vinops.lots.sorts import SORTS
from vinops.lots.writer import where
from web.photos import records
from web.vehicles import history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

    Database = psycopg.Connection[TupleRow]

LOTS: Final = 200
NOW: Final = datetime.now(UTC).replace(microsecond=123)
PLAIN: Final = "from lots as l join vehicles as v on v.id = l.vehicle_id where "
FOR_SALE: Final = "l.status = 'active'"
MODELS: Final = (("FORD", "ESCAPE"), ("FORD", "F150"), ("TOYOTA", "CAMRY"), ("NOSUCH", "THING"))


def market(connection: Database) -> None:
    """Put lots of all kinds into the tables, and the board beside them."""
    dice = random.Random(7)
    for number in range(LOTS):
        make, model = dice.choice(MODELS)
        gone = dice.random() < 0.25
        sale = dice.choice([None, NOW + timedelta(hours=dice.randint(-100, 300)), NOW + timedelta(hours=24)])
        lots_on_board(
            connection,
            is_written=number == LOTS - 1,
            photos=dice.choice([0, 0, 3]),
            make=make,
            model=model,
            model_group=model,
            year=dice.choice([None, 2008, 2015, 2021]),
            fuel=dice.choice([None, "gasoline", "diesel", "flex fuel"]),
            transmission=dice.choice([None, "automatic", "manual"]),
            body_style=dice.choice([None, "SEDAN 4D", "4DR SPOR"]),
            color=dice.choice([None, "blue", "charcoal"]),
            status="gone" if gone else "active",
            gone_at=NOW - timedelta(hours=dice.randint(1, 59 * 24)) if gone else None,
            first_seen_at=NOW - timedelta(hours=dice.choice([1, 23, 25, 500]), seconds=number),
            sale_at=sale,
            sale_date=dice.choice([None, NOW.date()]) if sale is None else sale.date(),
            high_bid=dice.choice([None, Decimal(100), Decimal("2500.50"), Decimal(9000)]),
            buy_now_price=dice.choice([None, Decimal(5000)]),
            damage=dice.choice([None, "front end", "hail", "side"]),
            title_group=dice.choice([None, "clean", "salvage", "other"]),
            condition=dice.choice([None, "run and drive", "starts"]),
            has_keys=dice.choice([None, True, False]),
            odometer=dice.choice([None, 10_000, 61_234, 150_000]),
            state=dice.choice([None, "TX", "OH"]),
            yard_name=dice.choice([None, "TX - DALLAS", "OH - COLUMBUS"]),
            seller_name=dice.choice([None, "GEICO", "State Farm"]),
        )


def quotes(database: Database) -> None:
    """Quote two of three lots; some are not ranked, and some have a price to count with."""
    ids = [row[0] for row in database.execute("select id from lots where id % 3 > 0 order by id").fetchall()]
    dice = random.Random(5)
    for lot_id in ids:
        bid = dice.choice([None, 3_000, 4_500])
        database.execute(
            "insert into lot_quotes (lot_id, basis, valued_at, is_complete, most_bid_usd, bid_usd, bid_kind,"
            " landed_eur, profit_eur, is_ranked) values (%s, 'x', now(), true, %s, %s, %s, %s, %s, %s)",
            [lot_id, dice.choice([2_000, 6_000]), bid, bid and "floor", dice.choice([8_000, 9_500]),
             dice.choice([-200, 1_500]), dice.random() < 0.8],
        )  # fmt: skip


@pytest.fixture(scope="module")
def asked(server: str, admin: Database) -> Iterator[Database]:
    """A connection to the market, which is only read."""
    from tests.conftest import fresh

    for url in fresh(server, admin, "vinops"):
        with psycopg.connect(url, autocommit=True, context=db.session.adapters()) as connection:
            connection.execute("set timezone to 'UTC'")
            market(connection)
            quotes(connection)
            connection.execute("analyze")
            yield connection


def found(database: Database, wanted: LotFilter, sort: str = "new") -> list[int]:
    """Return the numbers of all pages, seven lots at a time."""
    numbers: list[int] = []
    after: str | None = None
    while True:
        page, problems = reads.page(database, wanted, sort=sort, after=after, size=7, now=NOW)
        assert problems == []
        new = [card.lot_external_id for card in page.cards]
        assert set(numbers).isdisjoint(new), "a lot is on two pages"
        numbers += new
        if page.next is None:
            return numbers
        after = page.next


def plain(database: Database, condition: str, order: str = "l.first_seen_at desc, l.id desc") -> list[int]:
    statement = f"select l.lot_external_id {PLAIN} {condition} order by {order}"
    return [row[0] for row in database.execute(statement.encode(), {"now": NOW}).fetchall()]


SALE: Final = "coalesce(l.sale_at, (l.sale_date + time '12:00') at time zone 'UTC')"
DAY: Final = (NOW + timedelta(days=2)).date()
QUOTED: Final = "exists (select from lot_quotes as q where q.lot_id = l.id and q.is_ranked"
FIELD_CASES: Final[list[tuple[str, Any, str]]] = [
    ("make", ("Ford",), "v.make = 'FORD'"),
    ("make", ("Ford", "Toyota"), "v.make in ('FORD', 'TOYOTA')"),
    ("family", ("Ford F-150",), "v.model = 'F150'"),
    ("year_from", 2015, "v.year >= 2015"),
    ("year_to", 2015, "v.year <= 2015"),
    ("odometer_to", 61_234, "l.odometer <= 61234"),
    ("fuel", ("gasoline",), "v.fuel in ('gasoline', 'flex fuel')"),
    ("gearbox", ("manual",), "v.transmission = 'manual'"),
    ("body", ("suv",), "v.body_style = '4DR SPOR'"),
    ("color", ("dark grey",), "v.color = 'charcoal'"),
    ("damage", ("hail", "side"), "l.damage in ('hail', 'side')"),
    ("title_group", ("clean",), "l.title_group = 'clean'"),
    ("runs", ("drives",), "l.condition = 'run and drive'"),
    ("runs", ("starts", "unknown"), "(l.condition = 'starts' or l.condition is null)"),
    ("keys", ("yes",), "l.has_keys"),
    ("keys", ("no", "unknown"), "l.has_keys is not true"),
    ("state", ("TX",), "l.state = 'TX'"),
    ("yard", ("tx - dallas",), "l.yard_name = 'TX - DALLAS'"),
    ("seller", ("state farm",), "l.seller_name = 'State Farm'"),
    ("sale_from", DAY, f"{SALE} >= timestamp '{DAY} 00:00' at time zone 'Europe/Sofia'"),
    ("sale_to", DAY, f"{SALE} < timestamp '{DAY + timedelta(days=1)} 00:00' at time zone 'Europe/Sofia'"),
    ("bid_to", Decimal("2500.5"), "l.high_bid <= 2500.5"),
    ("buy_now", "yes", "l.buy_now_price is not null"),
    ("buy_now", "no", "l.buy_now_price is null"),
    ("sale_within", timedelta(days=2), f"{SALE} >= now() and {SALE} < now() + interval '2 days'"),
    ("landed_to", Decimal(9000), f"{QUOTED} and q.landed_eur <= 9000)"),
    ("profit_from", 1000, f"{QUOTED} and q.bid_usd is not null and q.profit_eur >= 1000)"),
    ("most_bid_from", 5000, f"{QUOTED} and q.most_bid_usd >= 5000)"),
    ("at_bid_to", 4000, f"{QUOTED} and coalesce(q.bid_usd, q.most_bid_usd) <= 4000)"),
    ("has_photos", "yes", "exists (select from images as i where i.lot_id = l.id)"),
    ("has_photos", "no", "not exists (select from images as i where i.lot_id = l.id)"),
    ("new_since", timedelta(days=1), "l.first_seen_at >= now() - interval '24 hours'"),
    ("new_since", DAY - timedelta(days=3),
     f"l.first_seen_at >= timestamp '{DAY - timedelta(days=3)} 00:00' at time zone 'Europe/Sofia'"),
    ("gone", "only", "l.status = 'gone'"),
    ("gone", "also", "true"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "condition"), FIELD_CASES)
def test_a_field_finds_what_plain_sql_finds(asked: Database, name: str, value: Any, condition: str) -> None:
    expected = plain(asked, condition if name == "gone" else f"{FOR_SALE} and {condition}")
    assert found(asked, LotFilter(**{name: value})) == expected
    everything = plain(asked, "true" if name == "gone" else FOR_SALE)
    assert 0 < len(expected) < len(everything) or value == "also"
    assert reads.count(asked, LotFilter(**{name: value})).number == len(expected)


def test_every_field_is_tested() -> None:
    assert {name for name, _, _ in FIELD_CASES} == set(FIELDS)


ORDERS: Final = {
    "sale": f"coalesce({SALE} < %(now)s, false), {SALE} asc nulls last, l.id desc",
    "new": "l.first_seen_at desc, l.id desc",
    "bid": "l.high_bid desc nulls last, l.id desc",
}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("gone", ["no", "also", "only"])
@pytest.mark.parametrize(("few_lots", "walk"), [(None, 10_000), (70, 10_000), (2, 10_000), (2, 5)])
def test_an_order_is_that_of_plain_sql_on_all_pages(
    asked: Database, monkeypatch: pytest.MonkeyPatch, sort: str, gone: Any, few_lots: int | None, walk: int
) -> None:
    """Many lots are read by the index of the order, a page at a time; few are all read and sorted, and so are many
    whose first ones are not found soon."""
    if few_lots is not None:
        monkeypatch.setattr(reads, "FEW", few_lots)
    monkeypatch.setattr(reads, "WALK", walk)
    condition = {"no": FOR_SALE, "also": "true", "only": "l.status = 'gone'"}[gone]
    expected = plain(asked, condition, ORDERS[sort])
    assert found(asked, LotFilter(gone=gone), sort) == expected
    rows = list(reads.export(lambda: nullcontext(asked), LotFilter(gone=gone), sort=sort))
    if sort != "sale":  # whose sales pass while this test runs
        assert [row[0] for row in rows] == expected
    assert sorted(row[0] for row in rows) == sorted(expected)
    assert {len(row) for row in rows} == {len(reads.COLUMNS)}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize(("few_lots", "walk"), [(4_000, 10_000), (2, 10_000), (2, 12)])
def test_fields_together_all_have_to_hold(
    asked: Database, monkeypatch: pytest.MonkeyPatch, sort: str, few_lots: int, walk: int
) -> None:
    monkeypatch.setattr(reads, "FEW", few_lots)
    monkeypatch.setattr(reads, "WALK", walk)

    @few
    @given(st.lists(st.sampled_from(FIELD_CASES), min_size=1, max_size=5, unique_by=lambda case: case[0]))
    def check(chosen: list[tuple[str, Any, str]]) -> None:
        conditions = [condition for _, _, condition in chosen]
        if not any(name == "gone" for name, _, _ in chosen):
            conditions.append(FOR_SALE)
        expected = plain(asked, " and ".join(f"({each})" for each in conditions), ORDERS[sort])
        assert found(asked, LotFilter(**{name: value for name, value, _ in chosen}), sort) == expected

    check()


@pytest.mark.parametrize(
    "token", ["x", "sale~", "sale~7.5~x", "new~7~3", "sale~NaN~3", "sale~99999999999999999~1", "\0"]
)
def test_a_token_that_is_none_of_the_list_is_named(asked: Database, token: str) -> None:
    page, problems = reads.page(asked, LotFilter(), after=token, now=NOW)
    assert [(each.name, each.value) for each in problems] == [("after", token)]
    assert page == reads.page(asked, LotFilter(), now=NOW)[0]


@pytest.mark.parametrize("sort", SORTS)
def test_a_page_is_read_by_an_index_of_its_order(asked: Database, sort: str) -> None:
    order = SORTS[sort]
    row = asked.execute(f"select {order.by.as_string()}, lot_id from lot_board limit 1".encode()).fetchone()
    place, _ = order.after(order.token(*(row or ())))
    condition, values = where(LotFilter())
    statement = f"select lot_id from lot_board where {condition.as_string()} and {order.behind().as_string()}"
    statement += f" order by {order.order.as_string()} limit 26"
    with asked.transaction():
        for name in ("seqscan", "bitmapscan", "sort"):
            asked.execute(f"set local enable_{name} to off".encode())
        plan = asked.execute(f"explain {statement}".encode(), values | (place or {})).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan" in text
    assert "Index Cond" in text
    assert "Sort" not in text


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        (LotFilter(gone="only", yard=("tx - dallas",)), "lower(yard)"),
        (LotFilter(gone="only", seller=("geico",)), "lower(seller)"),
        (LotFilter(gone="only", damage=("hail",)), "damage"),
        (LotFilter(bid_to=Decimal(2500)), "COALESCE(high_bid"),
        (LotFilter(family=("Ford F-150",)), "family"),
    ],
)
def test_what_few_lots_share_is_read_by_an_index(asked: Database, wanted: LotFilter, condition: str) -> None:
    where_clause, values = where(wanted)
    statement = f"explain select lot_id from lot_board where {where_clause.as_string()}"
    with asked.transaction():
        asked.execute("set local enable_seqscan to off")
        lines = [row[0] for row in asked.execute(statement.encode(), values).fetchall()]
    assert any("Index Cond" in line and condition in line for line in lines), "\n".join(lines)


def test_pages_of_lots_read_no_large_table_as_a_whole(asked: Database) -> None:
    """With few rows that is the better plan, so it is made unattractive: it is chosen only where no index serves."""
    dice = random.Random(3)
    facets = reads.facets(asked)
    numbers = found(asked, LotFilter(gone="also"))
    asked.execute("set enable_seqscan to off")
    asked.execute("discard plans")  # of prepared statements
    try:
        before = whole_reads(asked)
        for _ in range(30):
            reads.page(asked, drawn(dice, facets), sort=dice.choice(list(SORTS)))
        reads.page(asked, LotFilter(gone="also"))
        for number in numbers[:20]:
            lot = reads.lot(asked, number)
            assert lot is not None
            assert lot.vin is not None
            assert history.story(asked, lot.vin) is not None
            records.originals(asked, number)
            records.original(asked, number, "0" * 64)
        assert list(reads.export(lambda: nullcontext(asked), LotFilter(gone="also")))
        assert whole_reads(asked) == before
        asked.execute("select count(*) from images where bytes = 0")
        assert whole_reads(asked) == before | {"images": before["images"] + 1}
    finally:
        asked.execute("reset enable_seqscan")
        asked.execute("discard plans")


def whole_reads(database: Database) -> dict[str, int]:
    """Return how often each large table was read as a whole."""
    database.execute("select pg_stat_force_next_flush()")
    rows = database.execute(
        "select relname, seq_scan from pg_stat_user_tables where relname = any(%s)", [sorted(LARGE)]
    ).fetchall()
    assert len(rows) == len(LARGE)
    return dict(rows)


def test_an_order_is_walked_for_so_many_rows_only(asked: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first lots of a filter may be the last ones of the order."""
    monkeypatch.setattr(reads, "FEW", 2)
    monkeypatch.setattr(reads, "WALK", 6)
    asked.execute("set enable_sort to off")
    try:
        before = walked(asked)
        expected = plain(asked, f"{FOR_SALE} and l.high_bid = 100", ORDERS["bid"])
        page, _ = reads.page(asked, LotFilter(bid_to=Decimal(100)), sort="bid")
        assert [card.lot_external_id for card in page.cards] == expected[: reads.SIZE]
        page, _ = reads.page(asked, LotFilter(fuel=("diesel",)), sort="bid")
        assert len(page.cards) == reads.SIZE
        assert 0 < walked(asked) - before <= 2 * 6 + 2
    finally:
        asked.execute("reset enable_sort")


def walked(database: Database) -> int:
    """Return how many entries of the index of bids were read."""
    database.execute("select pg_stat_force_next_flush()")
    row = database.execute(
        "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'lot_board_active_coalesce_lot_id_idx1'"
    ).fetchone()
    return row[0] if row else -1


def test_facets_count_what_is_for_sale(asked: Database) -> None:
    facets = reads.facets(asked)
    assert {each.value: each.ads for each in facets["make"]} == {
        "Ford": len(plain(asked, f"{FOR_SALE} and v.make = 'FORD'")),
        "Toyota": len(plain(asked, f"{FOR_SALE} and v.make = 'TOYOTA'")),
    }
    assert {each.value: each.ads for each in facets["damage"]}["hail"] == len(
        plain(asked, f"{FOR_SALE} and l.damage = 'hail'")
    )


@pytest.mark.parametrize(
    ("given_params", "canonical"),
    [
        ([("odometer_to", "120000 km")], [("odometer_to", "74564")]),
        ([("odometer_to", "120 000")], [("odometer_to", "120000")]),
        ([("odometer_to", "75000 miles")], [("odometer_to", "75000")]),
        ([("make", "тойота"), ("family", "камри")], [("make", "Toyota"), ("family", "Toyota Camry")]),
        ([("damage", "HAIL"), ("damage", "front end")], [("damage", "front end"), ("damage", "hail")]),
        ([("state", "tx")], [("state", "TX")]),
        ([("keys", "да"), ("has_keys", "")], [("keys", "yes")]),
        ([("sale_from", "2026-12-01"), ("gone", "also")], [("sale_from", "2026-12-01"), ("gone", "also")]),
        ([("buy_now", "on"), ("has_photos", "0")], [("buy_now", "yes"), ("has_photos", "no")]),
    ],
)
def test_parameters_are_read_and_written(given_params: list[tuple[str, str]], canonical: list[tuple[str, str]]) -> None:
    wanted, _ = LotFilter.parse(given_params)
    assert wanted.to_params() == canonical
    assert LotFilter.parse(canonical) == (wanted, [])


@pytest.mark.parametrize(
    "bad",
    [("damage", "smashed"), ("state", "Texas"), ("sale_from", "tomorrow"), ("sale_to", "0001-01-01"), ("runs", "?"),
     ("odometer_to", "many"), ("bid_to", "x"), ("buy_now", "perhaps"), ("keys", "2"), ("nothing", "1")],
)  # fmt: skip
def test_what_is_not_understood_is_told(bad: tuple[str, str]) -> None:
    wanted, problems = LotFilter.parse([bad])
    assert wanted.is_empty
    assert [(each.name, each.value) for each in problems] == [bad]
    _, swapped = LotFilter.parse([("year_from", "2020"), ("year_to", "2010")])
    assert [each.reason for each in swapped] == ["it is more than year_to: no lot can be found"]
