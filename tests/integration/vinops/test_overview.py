"""What a filter finds, in figures: told from a sample of a large board, and counted where that is as fast."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.sites import ads_on_board
from vinops.board import overview as module
from vinops.board.overview import Overview, overview
from vinops.filters import Filter

if TYPE_CHECKING:
    from psycopg import Connection

CARS: Final = 130
GOLFS: Final = Filter(make=("Volkswagen",))


@pytest.fixture
def board(database: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A board that is large, of which ten ads are the sample."""
    monkeypatch.setattr(module, "SMALL", 9)
    ids = ads_on_board(database, CARS)
    assert sum(each % 13 == 0 for each in ids) == 10
    for place, listing_id in enumerate(ids):
        values = {"id": listing_id, "score": 1 + place % 90 / 10, "km": 1000 * place, "fuel": "diesel"}
        database.execute(
            "update board set score = %(score)s, mileage_km = %(km)s, fuel = %(fuel)s where listing_id = %(id)s", values
        )
    return ids


def best(database: Connection[Any], condition: str = "true") -> list[int]:
    statement = f"select listing_id from board where {condition} order by score desc, listing_id desc limit 3"
    return [row[0] for row in database.execute(statement.encode()).fetchall()]


def asked(database: Connection[Any], wanted: Filter) -> Overview:
    return overview(database, wanted, size=3, days=30, days_of_many=7)


def test_many_are_told_from_the_sample(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENOUGH", 10)
    sample = [each for each in board if each % 13 == 0]
    old = "update board set first_seen = now() - interval '8 days' where listing_id = any(%s)"
    database.execute(old, [sample[:4]])
    found = asked(database, GOLFS)
    assert found == Overview(now=130, lately=78, days=7, is_about=True, best=best(database))
    going = [*sample[3:5], *[each for each in board if each % 13][:20]]
    database.execute("update board set is_gone = true, gone_at = now() where listing_id = any(%s)", [going])
    monkeypatch.setattr(module, "ENOUGH", 8)
    monkeypatch.setattr(module, "SMALL", 7)
    found = asked(database, GOLFS)
    assert (found.now, found.lately) == (100, 78)  # of eight and six, to two digits
    assert asked(database, Filter(make=("BMW",))) == Overview(now=0, lately=0, days=7, is_about=False, best=[])


def test_few_are_counted(database: Connection[Any], board: list[int]) -> None:
    found = asked(database, Filter(make=("Volkswagen",), km_to=40_000))
    assert found == Overview(now=41, lately=41, days=7, is_about=False, best=best(database, "mileage_km <= 40000"))


def test_on_a_small_board_all_are_counted(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENOUGH", 1)
    assert asked(database, GOLFS).is_about
    monkeypatch.setattr(module, "SMALL", 10)
    found = asked(database, GOLFS)
    assert (found.now, found.lately, found.is_about) == (CARS, CARS, False)


def test_of_models_more_are_counted_and_of_more_days(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Filter(family=("Volkswagen Golf",), new_since=timedelta(hours=1), gone="only")
    monkeypatch.setattr(module, "ENOUGH", 1)
    database.execute("update board set first_seen = now() - interval '2 days'")
    for enough, days, is_about in ((11, 30, False), (10, 7, True)):
        monkeypatch.setattr(module, "ENOUGH_OF_MODELS", enough)
        found = asked(database, wanted)
        assert found == Overview(now=130, lately=130, days=days, is_about=is_about, best=best(database))


def test_the_best_are_found_wherever_they_are_in_the_order(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Filter(fuel=("lpg",), price_to=Decimal(9000))
    worst = [row[0] for row in database.execute("select listing_id from board order by score, listing_id limit 39")]
    database.execute("update board set fuel = 'lpg' where listing_id = any(%s)", [worst])
    monkeypatch.setattr(module, "ENOUGH", 1)
    for walk in (CARS, 20):
        monkeypatch.setattr(module, "WALK", walk)
        found = asked(database, wanted)
        assert found.is_about
        assert list(found.best) == best(database, "fuel = 'lpg'")


def test_words_are_asked_of_the_sample_as_of_the_board(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENOUGH", 1)
    database.execute("delete from listing_words")
    database.execute("insert into listing_words select unnest(%s::bigint[]), 'navi'", [board[:100]])
    inside = sum(each % 13 == 0 for each in board[:100])
    assert asked(database, Filter(words=("navi",))).now == 13 * inside
    assert asked(database, Filter(words_not=("navi",))).now == 13 * (10 - inside)


def test_the_sample_is_read_from_its_index_alone(
    database: Connection[Any], board: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[str] = []
    execute = database.execute

    def explained(statement: Any, values: Any = None, **options: Any) -> Any:
        rows = execute(b"explain " + statement.as_bytes(), values, **options).fetchall()
        plans.append("\n".join(row[0] for row in rows))
        return execute(statement, values, **options)

    with database.transaction():
        for name in ("seqscan", "bitmapscan"):
            execute(f"set local enable_{name} to off".encode())
        monkeypatch.setattr(database, "execute", explained)
        asked(database, Filter(fuel=("diesel",), price_to=Decimal(9000), region=("София",)))
        asked(database, Filter(make=("BMW",), price_to=Decimal(9000), region=("София",)))
        asked(database, Filter(family=("BMW X5",), price_to=Decimal(9000), region=("София",)))
        monkeypatch.undo()
    for plan in (each for each in plans if "sample" in each):
        assert plan.count("Index Only Scan using board_active_sample") == 2
        assert plan.count("Index Only Scan using board_gone_sample") == 1
        assert plan.count("Scan using") == 3
