"""Which places in the budgets of hosts were reserved, noted by a trigger, for tests of crawls that share a budget."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from psycopg import Connection

NOTE: Final = """
    create table reservations (host text, next_at timestamptz, places integer);
    create function note_reservation() returns trigger language plpgsql security definer as $$
    begin
        insert into public.reservations
        values (new.host, new.next_at, new.requests - case when tg_op = 'UPDATE' then old.requests else 0 end);
        return null;
    end $$;
    create trigger note_reservation after insert or update of next_at on ops.host_budgets
    for each row execute function note_reservation()
"""
"""The statements for it; whoever reserves needs no rights on the table."""


def note(database: Connection[tuple[Any, ...]]) -> None:
    """Note every reservation from now on."""
    database.execute(NOTE)


def places(rows: Callable[[str], list[Any]], host: str, gap: float) -> list[float]:
    """When the places of a host begin: a statement reserves one or more, a gap apart, the last a gap before next_at."""
    statements: list[tuple[datetime, int]] = rows(
        f"select next_at, places from reservations where host = '{host}' order by 1"
    )
    return [at.timestamp() - gap * left for at, count in statements for left in range(count, 0, -1)]
