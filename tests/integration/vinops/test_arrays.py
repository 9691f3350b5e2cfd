"""Arrays of columns: PostgreSQL reads back what was written, whatever the texts contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings, strategies

from vinops.db.arrays import array_literal

if TYPE_CHECKING:
    from psycopg import Connection

STORABLE = strategies.characters(exclude_characters="\0", exclude_categories=["Cs"])
TEXTS = strategies.text(STORABLE) | strategies.just("NULL")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=strategies.lists(strategies.none() | TEXTS))
def test_texts_are_read_back(database: Connection[Any], values: list[str | None]) -> None:
    assert database.execute("select %s::text[]", [array_literal(values)]).fetchone() == (values,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=strategies.lists(strategies.none() | strategies.integers(-(2**63), 2**63 - 1)))
def test_numbers_are_read_back(database: Connection[Any], values: list[int | None]) -> None:
    assert database.execute("select %s::bigint[]", [array_literal(values)]).fetchone() == (values,)


def test_floats_and_booleans_are_read_back(database: Connection[Any]) -> None:
    values: tuple[list[Any], list[Any]] = ([0.1, None, 1e-9, 0.999], [True, None, False])
    literals = [array_literal(each) for each in values]
    assert database.execute("select %s::float8[], %s::boolean[]", literals).fetchone() == values
