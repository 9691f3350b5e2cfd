"""What the site reads of the market: pages of the board, counts, one ad, facets, the rows of a CSV.

Each function is a few short statements on a connection in autocommit. None keeps a transaction open, so a slow reader
does not hold up vacuum.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row, dict_row
from psycopg.sql import SQL

from vinops.board.records import Ad, Card, Comparable, Count, Duplicate, Facet, Page, Price, Risk, Valuation
from vinops.board.sorts import BEST, SORTS
from vinops.board.writer import TIME_ZONE, where
from vinops.db.database import queries
from vinops.filters import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from psycopg import Connection

    from vinops.board.records import Facets, Row
    from vinops.board.sorts import Sort
    from vinops.filters import Filter, Gone

SIZE: Final = 25
CAP: Final = 1_000
FEW: Final = 4_000
"""Up to so many ads are all read and sorted, see `_first`."""
CHUNK: Final = 1_000  # rows of a CSV that are read at once
PARTS: Final[Mapping[Gone, Sequence[Gone]]] = {"no": ("no",), "only": ("only",), "also": ("no", "only")}
"""The partitions of the board that are read one after the other: what is quick in one may be slow in the other."""

_KEYS: Final = SQL("select {by} as key, board.listing_id from board where {where} order by {order} limit %(size)s")
_SOME: Final = SQL(
    "with few as materialized (select {by} as key, board.listing_id from board where {where} limit %(most)s)"
    " select counted.ads, found.key, found.listing_id from (select count(*) as ads from few) as counted left join"
    " (select board.key, board.listing_id from few as board where {behind} order by {order} limit %(size)s) as found"
    " on true"
)
_COUNT: Final = SQL("select count(*) from (select from board where {where} limit %(most)s) as found")
_IDS: Final = SQL("select array(select board.listing_id from board where {where} order by {order})")

COLUMNS: Final = (
    "listing_id", "title", "make", "model", "family", "year", "month", "mileage_km", "power_hp", "fuel", "gearbox",
    "body", "color", "region", "place", "seller", "price_eur", "p10", "p50", "p90", "below_market", "comparables",
    "confidence", "score", "reasons", "risk", "posted_at", "first_seen", "gone_at", "url",
)  # fmt: skip
"""The columns of the CSV."""


def page(
    connection: Connection[Any],
    wanted: Filter,
    *,
    sort: str = BEST,
    after: str | None = None,
    size: int = SIZE,
    few: int = FEW,
    time_zone: str = TIME_ZONE,
) -> tuple[Page, list[Problem]]:
    """Return a page of the board in an order (a name of SORTS), behind the row that the token `after` names, and what
    of order and token was not understood: the best come first then, from the beginning. Days of the filter are those of
    the time zone."""
    problems = []
    if sort not in SORTS:
        problems.append(Problem(name="sort", value=sort[:100], reason=f"it is none of {', '.join(SORTS)}"))
    order = SORTS.get(sort, SORTS[BEST])
    place = None
    if after:
        place, problem = order.after(after)
        problems += [problem] if problem else []
    found: list[tuple[Any, int]] = []
    number = 0
    for gone in PARTS[wanted.gone]:
        rows, ads = _first(connection, replace(wanted, gone=gone), order, place, size + 1, few, time_zone)
        found += rows
        number += ads
    found = order.sorted(found)[: size + 1]
    token = order.token(*found[size - 1]) if len(found) > size else None
    cards = _cards(connection, [listing_id for _, listing_id in found[:size]])
    most = min(few, CAP)
    return Page(cards=cards, next=token, count=Count(number=min(number, most), is_capped=number > most)), problems


def _first(
    connection: Connection[Any],
    wanted: Filter,
    order: Sort,
    place: Mapping[str, Any] | None,
    size: int,
    few: int,
    time_zone: str,
) -> tuple[list[tuple[Any, int]], int]:
    """Return the first rows behind a place, in any order, and how many ads there are, counted up to one above `few`.

    Up to `few` ads are all read and sorted: for so few the planner may walk the index of an order to its end, which
    takes half a second. Of more ads the first ones are soon found there.
    """
    condition, values = where(wanted, time_zone=time_zone)
    values |= {"most": few + 1, "size": size} | dict(place or {})
    by_key = replace(order, by=SQL("board.key"))
    behind = by_key.behind() if place else SQL("true")
    statement = _SOME.format(by=order.by, where=condition, behind=behind, order=by_key.order)
    rows: list[Any] = connection.execute(statement, values, prepare=False).fetchall()
    ads = rows[0][0]
    if ads <= few:
        return [(key, listing_id) for _, key, listing_id in rows if listing_id is not None], ads
    if place:
        condition = SQL(" and ").join([condition, order.behind()])
    statement = _KEYS.format(by=order.by, where=condition, order=order.order)
    return connection.execute(statement, values, prepare=False).fetchall(), ads


def count(connection: Connection[Any], wanted: Filter, *, most: int = CAP) -> Count:
    """Return how many ads a filter finds. The count stops above `most`."""
    condition, values = where(wanted)
    row = connection.execute(_COUNT.format(where=condition), values | {"most": most + 1}, prepare=False).fetchone()
    number = row[0] if row else 0
    return Count(number=min(number, most), is_capped=number > most)


def ad(connection: Connection[Any], listing_id: int) -> Ad | None:
    """Return everything that the page of an ad shows; None if there is no such ad."""
    statements = queries("board")
    about = {"listing_id": listing_id}
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statements["ad"], about).fetchone() if listing_id < 1 << 63 else None
        if row is None:
            return None
        prices = cursor.execute(statements["ad_prices"], about).fetchall()
        first_id = row.pop("duplicate_of") or listing_id
        duplicates = cursor.execute(statements["ad_duplicates"], about | {"first_id": first_id}).fetchall()
    valuation, details = _valuation(row)
    return Ad(
        **{
            **row,
            "risks": _risks(row["risks"]),
            "is_approved": bool(row["is_approved"]),
            "parts": row["parts"] or {},
            "reasons": row["reasons"] or (),
        },
        valuation=valuation,
        prices=[Price(**price) for price in prices],
        comparables=_comparables(connection, details),
        duplicates=[Duplicate(**each) for each in duplicates],
    )


def photo_urls(connection: Connection[Any], listing_id: int) -> Sequence[str]:
    """Return the addresses of an ad's photos in their order; none if there is no such ad."""
    if not 0 < listing_id < 1 << 63:
        return ()
    row = connection.execute(queries("board")["photo_urls"], {"listing_id": listing_id}).fetchone()
    return row[0] if row else ()


def facets(connection: Connection[Any]) -> Facets:
    """Return the makes, families, fuels and so on of the ads that are advertised. It takes 0.1 s among 129,000 ads."""
    found: dict[str, list[Facet]] = {}
    for field, value, ads, make in connection.execute(queries("board")["facets"]).fetchall():
        values = found.setdefault(field, [])
        if value is not None:
            values.append(Facet(value=value, ads=ads, make=make))
    return found


def export(
    connected: Callable[[], AbstractContextManager[Connection[Any]]],
    wanted: Filter,
    *,
    sort: str = BEST,
    time_zone: str = TIME_ZONE,
) -> Iterator[Row]:
    """Yield the rows of a CSV in the order of COLUMNS, for the ads that a filter finds at the beginning, in an order.

    What a row says is as it is when it is read. An ad that leaves the board meanwhile is left out. A connection is
    taken for a statement and given back before its rows are yielded: whoever reads slowly keeps none.
    """
    order = SORTS[sort]
    condition, values = where(wanted, time_zone=time_zone)
    statement = _IDS.format(where=condition, order=order.order)
    with connected() as connection:
        row = connection.execute(statement, values, prepare=False, binary=True).fetchone()
    ids = iter(array("q", row[0] if row else ()))
    del row
    while chunk := list(islice(ids, CHUNK)):
        with connected() as connection:
            rows = connection.execute(queries("board")["export_rows"], {"listing_ids": chunk}).fetchall()
        yield from rows


def _cards(connection: Connection[Any], listing_ids: Sequence[int]) -> list[Card]:
    if not listing_ids:
        return []
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries("board")["cards"], {"listing_ids": list(listing_ids)}).fetchall()
    return [
        Card(**row, prices=[Price(price_eur=price, seen_at=at) for price, at in zip(prices, seen, strict=True)])
        for row in rows
        for prices, seen in [(row.pop("prices") or (), row.pop("seen") or ())]
        if row.update(risks=_risks(row["risks"])) is None
    ]


def _risks(found: Sequence[Mapping[str, str]] | None) -> list[Risk]:
    return [Risk(flag=each["flag"], level=each["level"], words=each["words"]) for each in found or ()]


def _valuation(row: dict[str, Any]) -> tuple[Valuation | None, Mapping[str, Any]]:
    """Take the valuation out of the row of an ad; return it with its details."""
    worth = {name: row.pop(name) for name in ("p10", "p50", "p90", "confidence", "method", "valued_at")}
    details = row.pop("details") or {}
    compared = row.pop("cars_compared")
    if worth["method"] is None:
        return None, {}
    valuation = Valuation(**worth, comparables=compared, step=details.get("step"), reason=details.get("reason"))
    return valuation, details


def _comparables(connection: Connection[Any], details: Mapping[str, Any]) -> list[Comparable]:
    ids = details.get("comparables") or []
    if not ids:
        return []
    carried = details.get("carried") or []
    values = {"listing_ids": ids, "carried": [*carried, *[None] * len(ids)][: len(ids)]}
    with connection.cursor(row_factory=class_row(Comparable)) as cursor:
        return cursor.execute(queries("board")["ad_comparables"], values).fetchall()
