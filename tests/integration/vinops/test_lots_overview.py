"""What a filter of lots finds, in figures: told from a sample of a large board, and counted where that is as fast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, strategies as st

from tests.property.cases import few
from tests.support import lots
from vinops.board import overview as module
from vinops.board.overview import Overview
from vinops.lots.filter import LotFilter
from vinops.lots.overview import overview

if TYPE_CHECKING:
    from psycopg import Connection

LOTS: Final = 130
FORDS: Final = LotFilter(make=("Ford",))
NOW: Final = datetime.now(UTC)
ORDER: Final = (
    "case when q.bid_usd is not null and q.profit_eur > 0 then q.profit_eur end desc nulls last,"
    " q.most_bid_usd desc nulls last, l.sale_at asc nulls last, l.lot_id desc"
)
PROFITS: Final = "q.bid_usd is not null and q.profit_eur >= 1000"


@pytest.fixture
def board(database: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A board that is large, of which ten lots are the sample. Of each ten, seven have figures: five of these at a
    price to count with, three of them with a profit, no two the same."""
    monkeypatch.setattr(module, "SMALL", 9)
    lots.lots_on_board(database, LOTS, first_seen_at=NOW)
    ids = [row[0] for row in database.execute("select lot_id from lot_board order by 1")]
    assert sum(each % 13 == 0 for each in ids) == 10
    for place, lot_id in enumerate(ids):
        values = {
            "id": lot_id, "bid": 3_000 if place % 10 < 5 else None, "most": 1_000 + 10 * (place * 37 % LOTS),
            "profit": 10 * (place * 61 % LOTS) if place % 10 < 3 else -5, "landed": 5_000 + 100 * place,
        }  # fmt: skip
        database.execute(
            "update lot_board set odometer = 1000 * %(place)s, fuel = 'diesel' where lot_id = %(id)s",
            {"id": lot_id, "place": place},
        )
        if place % 10 < 7:
            database.execute(
                "insert into lot_quotes (lot_id, basis, valued_at, is_complete, most_bid_usd, bid_usd, bid_kind,"
                " landed_eur, profit_eur, is_ranked) values (%(id)s, 'x', now(), true, %(most)s, %(bid)s::integer,"
                " case when %(bid)s::integer is not null then 'floor' end, %(landed)s, %(profit)s, true)",
                values,
            )
    return ids


def best(database: Connection[Any], condition: str = "true") -> list[int]:
    statement = (
        "select l.lot_id from lot_board as l left join lot_quotes as q on q.lot_id = l.lot_id and q.is_ranked"
        f" where not l.is_gone and (l.sale_at is null or l.sale_at > now()) and {condition} order by {ORDER} limit 3"
    )
    return [row[0] for row in database.execute(statement.encode()).fetchall()]


def asked(database: Connection[Any], wanted: LotFilter) -> Overview:
    return overview(database, wanted, size=3, days=7, time_zone="Europe/Sofia")


def change(database: Connection[Any], what: str, ids: list[int]) -> None:
    database.execute(f"update lot_board set {what} where lot_id = any(%s)".encode(), [ids])


def test_many_are_told_from_the_sample(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENOUGH", 10)
    sample = [each for each in board if each % 13 == 0]
    change(database, "first_seen = now() - interval '8 days'", sample[:4])
    found = asked(database, FORDS)
    assert found == Overview(now=130, lately=78, days=7, is_about=True, best=best(database))
    going = [*sample[3:5], *[each for each in board if each % 13][:20]]
    change(database, "is_gone = true, gone_at = now()", going)
    monkeypatch.setattr(module, "ENOUGH", 8)
    monkeypatch.setattr(module, "SMALL", 7)
    found = asked(database, FORDS)
    assert (found.now, found.lately) == (100, 78)  # of eight and six, to two digits
    assert list(found.best) == best(database)
    assert asked(database, LotFilter(make=("BMW",))) == Overview(now=0, lately=0, days=7, is_about=False, best=[])


def test_few_are_counted(database: Connection[Any], board: list[int]) -> None:
    found = asked(database, LotFilter(make=("Ford",), odometer_to=40_000))
    assert found == Overview(now=41, lately=41, days=7, is_about=False, best=best(database, "l.odometer <= 40000"))


def test_on_a_small_board_all_are_counted(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENOUGH", 1)
    assert asked(database, FORDS).is_about
    monkeypatch.setattr(module, "SMALL", 10)
    found = asked(database, FORDS)
    assert (found.now, found.lately, found.is_about) == (LOTS, LOTS, False)


def test_of_models_more_are_counted(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = LotFilter(family=("Ford Escape",), new_since=timedelta(hours=1), gone="only")
    monkeypatch.setattr(module, "ENOUGH", 1)
    change(database, "first_seen = now() - interval '2 days'", board)
    for enough, is_about in ((11, False), (10, True)):
        monkeypatch.setattr(module, "ENOUGH_OF_MODELS", enough)
        found = asked(database, wanted)
        assert found == Overview(now=130, lately=130, days=7, is_about=is_about, best=best(database))


@pytest.mark.parametrize("enough", [1, 25])
def test_lots_that_were_sold_are_not_among_the_best_and_a_sale_says_nothing_of_how_many_came(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    monkeypatch.setattr(module, "ENOUGH", enough)
    first = best(database)
    change(database, "sale_at = now() - interval '1 hour'", first)
    found = asked(database, FORDS)
    assert (found.now, found.is_about) == (LOTS, enough == 1)
    assert list(found.best) == best(database)
    assert set(first).isdisjoint(found.best)
    sample = [each for each in board if each % 13 == 0]
    change(database, "sale_at = now() + interval '30 hours'", sample[:5])
    found = asked(database, LotFilter(make=("Ford",), sale_within=timedelta(hours=48)))
    assert (found.now, found.lately) == ((65, LOTS) if enough == 1 else (5, LOTS))
    assert list(found.best) == best(database, "l.sale_at < now() + interval '48 hours'")


@pytest.mark.parametrize("walk", [LOTS, 1])
@pytest.mark.parametrize("enough", [1, 25])
def test_the_best_are_found_wherever_they_are_in_the_order(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch, walk: int, enough: int
) -> None:
    """Also among lots that have no figures, and in the order of the most that one may bid."""
    monkeypatch.setattr(module, "ENOUGH", enough)
    monkeypatch.setattr(module, "WALK", walk)
    for condition in ("true", f"not ({PROFITS})", "q.lot_id is null", "q.bid_usd is null"):
        change(database, "fuel = 'diesel'", board)
        statement = (
            f"select l.lot_id from lot_board as l left join lot_quotes as q on q.lot_id = l.lot_id where {condition}"
        )
        change(database, "fuel = 'lpg'", [row[0] for row in database.execute(statement.encode())])
        found = asked(database, LotFilter(fuel=("lpg",)))
        assert list(found.best) == best(database, "fuel = 'lpg'")


def test_lots_that_are_gone_count_as_come_unless_figures_are_asked_for(
    database: Connection[Any], board: list[int]
) -> None:
    change(database, "is_gone = true, gone_at = now()", board[:30])
    found = asked(database, FORDS)
    assert (found.now, found.lately) == (100, 130)
    found = asked(database, LotFilter(make=("Ford",), landed_to=Decimal(9_000)))
    assert (found.now, found.lately) == (8, 8)


CASES: Final[list[tuple[str, Any, str]]] = [
    ("make", ("Ford",), "true"),
    ("family", ("Ford Escape",), "true"),
    ("odometer_to", 80_000, "l.odometer <= 80000"),
    ("landed_to", Decimal(12_000), "q.landed_eur <= 12000"),
    ("profit_from", 1_000, PROFITS),
    ("most_bid_from", 1_500, "q.most_bid_usd >= 1500"),
    ("at_bid_to", 2_000, "coalesce(q.bid_usd, q.most_bid_usd) <= 2000"),
]


@pytest.mark.parametrize("enough", [1, 25])
def test_figures_of_a_quote_are_found_from_either_side(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    """Few lots bring much: if a filter names no car, they are looked for among the quotes."""
    monkeypatch.setattr(module, "ENOUGH", enough)

    @few
    @given(st.lists(st.sampled_from(CASES), min_size=1, max_size=4, unique_by=lambda case: case[0]))
    def check(chosen: list[tuple[str, Any, str]]) -> None:
        condition = " and ".join(each for _, _, each in chosen)
        statement = (
            "select l.lot_id from lot_board as l left join lot_quotes as q on q.lot_id = l.lot_id and q.is_ranked"
            f" where {condition}"
        )
        ids = [row[0] for row in database.execute(statement.encode())]
        found = asked(database, LotFilter(**{name: value for name, value, _ in chosen}))
        sampled = 13 * sum(each % 13 == 0 for each in ids)
        assert found.now == (sampled if found.is_about else len(ids))
        assert list(found.best) == best(database, condition)

    check()


def test_the_sample_and_figures_are_read_from_their_indexes_alone(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[str] = []
    execute = database.execute

    def explained(statement: Any, values: Any = None, **options: Any) -> Any:
        rows = execute(b"explain " + statement.as_bytes(), values, **options).fetchall()
        plans.append("\n".join(row[0] for row in rows))
        return execute(statement, values, **options)

    with database.transaction():
        for name in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            execute(f"set local enable_{name} to off".encode())
        monkeypatch.setattr(database, "execute", explained)
        asked(database, LotFilter(fuel=("diesel",), damage=("hail",), runs=("drives",), landed_to=Decimal(9_000)))
        asked(database, LotFilter(make=("Ford",), runs=("drives",)))
        asked(database, LotFilter(family=("Ford Escape",), runs=("drives",)))
        monkeypatch.undo()
    of_figures, of_make, of_family = (plan for plan in plans if "sample" in plan)
    assert of_figures.count("Index Only Scan using lot_board_active_sample") == 2
    assert of_figures.count("Index Only Scan using lot_quotes_figures") == 1
    assert of_figures.count("Scan using") == 3
    for plan in (of_make, of_family):
        assert plan.count("Index Only Scan using lot_board_active_sample") == 2
        assert plan.count("Index Only Scan using lot_board_gone_sample") == 1
        assert plan.count("Scan using") == 3
