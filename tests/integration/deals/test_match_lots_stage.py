"""The stage `match_lots` on a real database: what a watch of lots finds is what the page of lots shows for its filter;
what comes to fit later is new, and what fitted already is not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given, strategies as st
from psycopg.sql import SQL

from deals.offers import passes
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from deals.watches import lots as watched
from deals.watches.columns import LOT_NAMES, to_lot_columns, to_lot_filter
from deals.watches.preview import preview_lots
from tests.property.cases import few
from tests.support import import_lots, lots as board
from vinops.lots.filter import DAMAGES, LotFilter
from vinops.lots.writer import where

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[Any]

FAMILIES: Final = ("Toyota RAV4", "Ford Kuga", "Ford Escape", "Volkswagen Passat")
ZONE: Final = "Europe/Sofia"
TODAY: Final = datetime.now(UTC).date()


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(lambda found: tuple(sorted(found)))


def perhaps(*values: Any) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


FILTERS: Final = st.builds(
    LotFilter,
    make=some(("Toyota", "Ford", "Opel")),
    family=some(FAMILIES),
    year_from=perhaps(2015, 2018),
    year_to=perhaps(2019, 2021),
    odometer_to=perhaps(50_000, 90_000),
    fuel=some(("gasoline", "diesel")),
    gearbox=some(("automatic", "manual")),
    body=some(("suv", "sedan")),
    color=some(("white", "black")),
    damage=some(DAMAGES[7:10]),
    title_group=some(("clean", "salvage")),
    runs=some(("drives", "starts", "unknown")),
    keys=some(("yes", "no", "unknown")),
    state=some(("NJ", "TX")),
    yard=some(("nj - trenton", "tx - dallas")),
    seller=some(("geico",)),
    sale_from=perhaps(TODAY),
    sale_to=perhaps(TODAY + timedelta(days=2)),
    sale_within=perhaps(timedelta(hours=24), timedelta(days=4)),
    bid_to=perhaps(Decimal(1000), Decimal("2500.50")),
    buy_now=perhaps("yes", "no"),
    landed_to=perhaps(Decimal(9000)),
    profit_from=perhaps(500),
    most_bid_from=perhaps(1, 5000),
    at_bid_to=perhaps(4000),
)


def watch(database: Database, wanted: LotFilter, *, since: str = "2020-01-01", kind: str = "lot") -> int:
    """Save a watch of a person of its own, and return its id."""
    row = database.execute(
        "with person as (insert into watch_people (chat_id, time_zone) select coalesce(max(chat_id), 0) + 1, %s"
        " from watch_people returning id) insert into watches (person_id, kind, typed, since)"
        " select id, %s, 'x', %s from person returning id",
        [ZONE, kind, since],
    ).fetchone()
    assert row is not None
    watched.save(database, row[0], wanted)
    return int(row[0])


def hits(database: Database, watch_id: int) -> list[tuple[Any, ...]]:
    return database.execute(
        "select lots.lot_external_id, watch_hits.state from watch_hits join lots on lots.id = lot_id"
        " where watch_id = %s order by watch_hits.id",
        [watch_id],
    ).fetchall()


def market(database: Database) -> None:
    """Lots of all kinds, some with quotes, on the board."""
    dice = random.Random(4)
    for number in range(1, 121):
        make, _, model = dice.choice(FAMILIES).upper().partition(" ")
        lot_id = import_lots.add_lot(
            database, number, make=make, model_group=model, model=model, year=dice.randint(2013, 2023),
            fuel=dice.choice(["gasoline", "diesel"]), transmission=dice.choice(["automatic", "manual"]),
            color=dice.choice(["white", "black", None]), damage=dice.choice([None, *DAMAGES[6:11]]),
            title_group=dice.choice([None, "clean", "salvage", "other"]), has_keys=dice.choice([None, True, False]),
            condition=dice.choice([None, "run and drive", "starts"]), state=dice.choice([None, "NJ", "TX"]),
            yard_name=dice.choice(["NJ - TRENTON", "TX - DALLAS"]),
            odometer=dice.choice([None, 40_000, 80_000, 120_000]),
            in_hours=dice.choice([2, 30, 70, 200]), high_bid=dice.choice([None, 900, 2_500.5, 7_000]),
            buy_now_price=dice.choice([None, 5_000]), status=dice.choice(["active"] * 5 + ["gone"]),
        )  # fmt: skip
        database.execute("update lots set seller_name = %s where id = %s", [dice.choice([None, "GEICO"]), lot_id])
        if dice.random() < 0.7:
            bid = dice.choice([None, 3_000, 4_500])
            database.execute(
                "insert into lot_quotes (lot_id, basis, valued_at, is_complete, most_bid_usd, bid_usd, bid_kind,"
                " landed_eur, profit_eur, is_ranked) values (%s, 'x', now(), true, %s, %s, %s, %s, %s, %s)",
                [lot_id, dice.choice([2_000, 6_000]), bid, bid and "floor", dice.choice([8_000, 9_500]),
                 dice.choice([-200, 1_500]), dice.random() < 0.8],
            )  # fmt: skip
    board.rebuild(database)


@few
@given(filters=st.lists(FILTERS, min_size=5, max_size=5))
def test_all_watches_at_once_find_what_the_page_shows_for_each(database: Database, filters: list[LotFilter]) -> None:
    database.execute("truncate watch_people cascade")
    if database.execute("select 1 from lots limit 1").fetchone() is None:
        market(database)
    ids = [row[0] for row in database.execute("select lot_id from lot_board where not is_gone")]
    watches = {watch(database, wanted): wanted for wanted in filters}
    watched.record(database, ids)
    for watch_id, wanted in watches.items():
        condition, values = where(wanted, time_zone=ZONE)
        statement = SQL(
            "select lots.lot_external_id from lot_board join lots on lots.id = lot_board.lot_id where {} order by 1"
        ).format(condition)
        shown = [row[0] for row in database.execute(statement, values, prepare=False)]
        assert sorted(number for number, _ in hits(database, watch_id)) == shown, wanted
        assert preview_lots(database, wanted, time_zone=ZONE).now == len(shown)


@few
@given(wanted=FILTERS)
def test_a_filter_is_kept_as_it_is(wanted: LotFilter) -> None:
    row = to_lot_columns(wanted)
    assert to_lot_filter(row) == wanted
    assert set(LOT_NAMES) == set(row)


def stages(database: Database, settings: Settings) -> None:
    board.rebuild(database)
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)


def change(database: Database, settings: Settings, number: int, what: str) -> None:
    statement = f"update lots set {what}, row_hash = row_hash || 'x' where lot_external_id = %s"
    database.execute(statement.encode(), [number])
    stages(database, settings)


def old(database: Database) -> None:
    database.execute("update lots set first_seen_at = now() - interval '30 days'")
    database.execute("update lot_board set first_seen = now() - interval '30 days'")


def test_a_lot_is_recorded_once(database: Database, settings: Settings) -> None:
    import_lots.store_market(database)
    mine, other = watch(database, LotFilter(make=("Toyota",))), watch(database, LotFilter(make=("Ford",)))
    import_lots.add_lot(database, 1)
    for _ in range(2):
        change(database, settings, 1, "high_bid = coalesce(high_bid, 0) + 25")
    assert hits(database, mine) == [(1, "new")]
    assert hits(database, other) == []


def test_a_new_watch_of_plain_facts_finds_only_what_comes(database: Database, settings: Settings) -> None:
    import_lots.store_market(database)
    import_lots.add_lot(database, 1)
    stages(database, settings)
    old(database)
    import_lots.add_lot(database, 2)
    board.rebuild(database)
    mine = watch(database, LotFilter(make=("Toyota",)), since="now")
    watched.begin(database, mine)
    stages(database, settings)
    import_lots.add_lot(database, 3)
    stages(database, settings)
    change(database, settings, 1, "high_bid = 25")
    assert hits(database, mine) == [(2, "known"), (3, "new")]


def test_what_comes_to_cost_less_later_is_new(database: Database, settings: Settings) -> None:
    import_lots.store_market(database)
    for number, price in ((1, 2_500), (2, 9_000)):
        import_lots.add_lot(database, number, buy_now_price=price)
    stages(database, settings)
    old(database)
    landed = dict(database.execute("select lot_external_id, landed_eur from lot_quotes join lots on id = lot_id"))
    mine = watch(database, LotFilter(landed_to=landed[1] + 500), since="now")
    watched.begin(database, mine)
    assert hits(database, mine) == [(1, "known")]
    change(database, settings, 2, "buy_now_price = 2600")
    change(database, settings, 2, "buy_now_price = 2610")
    assert hits(database, mine) == [(1, "known"), (2, "new")]


def test_a_sale_that_comes_near_is_found_without_a_change_of_the_lot(database: Database, settings: Settings) -> None:
    import_lots.store_market(database)
    import_lots.add_lot(database, 1, in_hours=30)
    stages(database, settings)
    old(database)
    mine = watch(database, LotFilter(sale_within=timedelta(hours=24)), since="now")
    watched.begin(database, mine)
    assert passes.queue_changed(database, settings)["match_lots"] == 0
    database.execute("update lots set sale_at = sale_at - interval '7 hours'")  # as seven hours later
    board.rebuild(database)
    assert passes.queue_changed(database, settings) == {"value": 0, "quote": 0, "match_lots": 1}
    runner.drain(database, settings, "match_lots")
    assert hits(database, mine) == [(1, "new")]
    assert passes.queue_changed(database, settings)["match_lots"] == 0


def test_neither_a_paused_watch_nor_one_of_ads_finds_a_lot(database: Database, settings: Settings) -> None:
    import_lots.store_market(database)
    paused, of_ads = watch(database, LotFilter()), watch(database, LotFilter(), kind="ad")
    database.execute("update watches set paused_at = now() where id = %s", [paused])
    import_lots.add_lot(database, 1)
    stages(database, settings)
    assert [hits(database, each) for each in (paused, of_ads)] == [[], []]
