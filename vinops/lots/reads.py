"""What the site reads of lots: pages of the gallery, counts, one lot, facets, the rows of a CSV.

As in vinops/board/reads.py each function is a few short statements on a connection in autocommit.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row
from psycopg.sql import SQL

from vinops.board.records import Count, Facet
from vinops.db.database import queries
from vinops.filters import Problem
from vinops.lots.filter import LotFilter
from vinops.lots.records import Lot, LotCard, LotEvent, LotPage, OtherLot, Photo
from vinops.lots.sorts import FIRST, SORTS
from vinops.lots.writer import TIME_ZONE, where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from psycopg import Connection
    from psycopg.sql import Composable

    from vinops.board.records import Facets, Row
    from vinops.board.sorts import Sort
    from vinops.filters import Gone

    Place = Mapping[str, Any]

SIZE: Final = 24
CAP: Final = 1_000
FEW: Final = 4_000
"""Up to so many lots are all read and sorted, see vinops/board/reads.py."""
WALK: Final = 10_000
"""Of more lots the first ones are looked for among so many in the order. Where a filter goes with the order, as burnt
cars with low bids, they may be further behind: an index walked to its end takes a second, all lots read 0.1 s."""
RANGES: Final = {"sale": ("sale_from", "sale_to", "sale_within"), "new": ("new_since",), "bid": ("bid_to",)}
"""Fields that say where in an order to begin and to end."""
CHUNK: Final = 1_000  # rows of a CSV that are read at once
PARTS: Final[Mapping[Gone, Sequence[Gone]]] = {"no": ("no",), "only": ("only",), "also": ("no", "only")}
LIMIT: Final = (1 << 63) - 1

_SOME: Final = SQL(
    "with few as materialized (select {by} as key, lot_board.lot_id from lot_board where {where} limit %(most)s)"
    " select counted.lots, found.is_late, found.key, found.lot_id"
    " from (select count(*) as lots from few) as counted left join"
    " (select {late_key} as is_late, few.key, few.lot_id from few where {behind}"
    " order by is_late, {order} limit %(size)s) as found on true"
)
_WALK: Final = SQL(
    "select {late_key} as is_late, lot_board.key, lot_board.lot_id from"
    " (select {by} as key, lot_board.* from lot_board where {within} order by {order} limit %(walk)s) as lot_board"
    " where {where} order by {key_order} limit %(size)s"
)
_ALL: Final = SQL(
    "select {late_key} as is_late, few.key, few.lot_id from"
    " (select {by} as key, lot_board.lot_id from lot_board where {where} offset 0) as few"
    " where {behind} order by is_late, {order} limit %(size)s"
)  # "offset 0" keeps the planner from walking the index of the order
_COUNT: Final = SQL("select count(*) from (select from lot_board where {where} limit %(most)s) as found")
_IDS: Final = SQL("select array(select lot_board.lot_id from lot_board where {where} order by {order})")

COLUMNS: Final = (
    "lot", "vin", "year", "make", "model", "family", "trim", "body", "color", "engine", "fuel", "gearbox", "drive",
    "damage", "secondary_damage", "title_state", "title_type", "title_group", "condition", "has_keys", "odometer_mi",
    "odometer_km", "odometer_brand", "retail_value", "repair_cost", "currency", "yard", "state", "seller", "sale_at",
    "sale_date", "sale_status", "high_bid", "buy_now_price", "has_photos", "first_seen", "gone_at",
)  # fmt: skip
"""The columns of the CSV."""


def page(
    connection: Connection[Any], wanted: LotFilter, *, sort: str = FIRST, after: str | None = None, size: int = SIZE,
    now: datetime | None = None, time_zone: str = TIME_ZONE,
) -> tuple[LotPage, list[Problem]]:  # fmt: skip
    """Return a page of lots in an order (a name of SORTS), behind the row that the token `after` names, and what of
    order and token was not understood: the next sales come first then, from the beginning.

    In the order by sale, sales that were before `now` come after all others: of lots that stay in the feed. Days of the
    filter are those of the time zone.
    """
    problems = []
    if sort not in SORTS:
        problems.append(Problem(name="sort", value=sort[:100], reason=f"it is none of {', '.join(SORTS)}"))
    order = SORTS.get(sort, SORTS[FIRST])
    place: Place | None = None
    if after:
        place, problem = order.after(after)
        problems += [problem] if problem else []
    now = now or datetime.now(UTC)
    found: list[tuple[bool, Any, int]] = []
    number = 0
    for gone in PARTS[wanted.gone]:
        rows, lots = _first(connection, replace(wanted, gone=gone), order, place, size + 1, now, time_zone)
        found += rows
        number += lots
    # three stable sorts: late last, by key, the newest first
    found.sort(key=lambda row: row[2], reverse=True)
    found.sort(key=lambda row: row[1], reverse=order.is_descending)
    found.sort(key=lambda row: row[0])
    found = found[: size + 1]
    token = order.token(*found[size - 1][1:]) if len(found) > size else None
    cards = _cards(connection, [lot_id for _, _, lot_id in found[:size]])
    return LotPage(cards=cards, next=token, count=Count(number=min(number, CAP), is_capped=number > CAP)), problems


def _first(
    connection: Connection[Any],
    wanted: LotFilter,
    order: Sort,
    place: Place | None,
    size: int,
    now: datetime,
    time_zone: str,
) -> tuple[list[tuple[bool, Any, int]], int]:
    """Return the first rows behind a place, in any order, and how many lots there are, counted up to one above FEW.

    Up to FEW lots are all read and sorted. Of more the first ones are looked for in the order's index, up to WALK rows,
    and if that is not enough all are read and sorted after all.
    """
    condition, values = where(wanted, time_zone=time_zone)
    by_key = replace(order, by=SQL("few.key"), id=SQL("few.lot_id"))
    is_late = _is_late(order, place, now)
    behind = _behind(by_key, place, is_late=is_late)
    values |= {"most": FEW + 1, "size": size, "now": now} | dict(place or {})
    statement = _SOME.format(
        by=order.by, where=condition, behind=behind, order=by_key.order, late_key=_late(by_key)
    )  # fmt: skip
    rows: list[Any] = connection.execute(statement, values, prepare=False).fetchall()
    lots = rows[0][0]
    if lots <= FEW:
        return [(late, key, lot_id) for _, late, key, lot_id in rows if lot_id is not None], lots
    within, _ = where(LotFilter(gone=wanted.gone, **{name: getattr(wanted, name) for name in RANGES[order.name]}))
    conditions: list[Composable] = [within]
    if order.name == FIRST:
        conditions.append(SQL("{} {} %(now)s").format(order.by, SQL("<" if is_late else ">=")))
    if place:
        conditions.append(order.behind())
    by_row = replace(order, by=SQL("lot_board.key"))
    statement = _WALK.format(
        by=order.by, within=SQL(" and ").join(conditions), order=order.order, where=condition, late_key=_late(by_row),
        key_order=by_row.order,
    )  # fmt: skip
    found: list[Any] = connection.execute(statement, values | {"walk": WALK}, prepare=False).fetchall()
    if len(found) < size:
        statement = _ALL.format(
            by=order.by, where=condition, behind=behind, order=by_key.order, late_key=_late(by_key)
        )  # fmt: skip
        found = connection.execute(statement, values, prepare=False).fetchall()
    return found, lots


def _late(order: Sort) -> Composable:
    """Return whether the sale of a row is past, in the order by sale; false in others."""
    return SQL("{} < %(now)s").format(order.by) if order.name == FIRST else SQL("false")


def _is_late(order: Sort, place: Place | None, now: datetime) -> bool:
    return order.name == FIRST and place is not None and place["after"] < now


def _behind(order: Sort, place: Place | None, *, is_late: bool) -> Composable:
    if place is None:
        return SQL("true")
    if order.name != FIRST:
        return order.behind()
    late = _late(order)
    if is_late:
        return SQL("{} and {}").format(late, order.behind())
    return SQL("({} or {})").format(late, order.behind())


def count(connection: Connection[Any], wanted: LotFilter, *, most: int = CAP) -> Count:
    """Return how many lots a filter finds. The count stops above `most`."""
    condition, values = where(wanted)
    row = connection.execute(_COUNT.format(where=condition), values | {"most": most + 1}, prepare=False).fetchone()
    number = row[0] if row else 0
    return Count(number=min(number, most), is_capped=number > most)


def lot(connection: Connection[Any], lot_number: int) -> Lot | None:
    """Return everything that the page of a lot shows, by its number in the feed; None if there is no such lot."""
    if not 0 < lot_number <= LIMIT:
        return None
    statements = queries("lots")
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statements["lot"], {"lot_number": lot_number}).fetchone()
        if row is None:
            return None
        about = {"lot_id": row["lot_id"], "vehicle_id": row["vehicle_id"]}
        photos = cursor.execute(statements["lot_gallery"], about).fetchall()
        events = cursor.execute(statements["lot_events"], about).fetchall()
        others = cursor.execute(statements["lots_of_vehicle"], about).fetchall()
    return Lot(
        **row,
        photos=[Photo(**photo) for photo in photos],
        events=[LotEvent(**event) for event in events],
        others=[OtherLot(**other) for other in others],
    )


def facets(connection: Connection[Any]) -> Facets:
    """Return the makes, families, damages and so on of the lots that are for sale."""
    found: dict[str, list[Facet]] = {}
    for field, value, lots, make in connection.execute(queries("lots")["lot_facets"]).fetchall():
        values = found.setdefault(field, [])
        if value is not None:
            values.append(Facet(value=value, ads=lots, make=make))
    return found


def lot_id(connection: Connection[Any], lot_number: int) -> int | None:
    """Return the id of a lot by its number in the feed."""
    if not 0 < lot_number <= LIMIT:
        return None
    row = connection.execute(queries("lots")["lot_id"], {"lot_number": lot_number}).fetchone()
    return row[0] if row else None


def export(
    connected: Callable[[], AbstractContextManager[Connection[Any]]],
    wanted: LotFilter,
    *,
    sort: str = FIRST,
    time_zone: str = TIME_ZONE,
) -> Iterator[Row]:
    """Yield the rows of a CSV in the order of COLUMNS, for the lots that a filter finds at the beginning, in an order.

    What a row says is as it is when it is read. A lot that leaves the board meanwhile is left out. A connection is
    taken for a statement and given back before its rows are yielded: whoever reads slowly keeps none.
    """
    order = SORTS[sort]
    condition, values = where(wanted, time_zone=time_zone)
    values["now"] = datetime.now(UTC)
    by = SQL("{}, {}").format(_late(order), order.order) if order.name == FIRST else order.order
    statement = _IDS.format(where=condition, order=by)
    with connected() as connection:
        row = connection.execute(statement, values, prepare=False, binary=True).fetchone()
    ids = iter(array("q", row[0] if row else ()))
    del row
    while chunk := list(islice(ids, CHUNK)):
        with connected() as connection:
            rows = connection.execute(queries("lots")["lot_export_rows"], {"lot_ids": chunk}).fetchall()
        yield from rows


def _cards(connection: Connection[Any], lot_ids: Sequence[int]) -> list[LotCard]:
    if not lot_ids:
        return []
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries("lots")["lot_cards"], {"lot_ids": list(lot_ids)}).fetchall()
    return [
        LotCard(**row, photos=[Photo(**photo) for photo in photos])
        for row in rows
        for photos in [row.pop("photos") or ()]
    ]
