"""Import deals: the ranking of lots, the same as CSV, the quote of a lot, and what a lot went for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from psycopg.rows import dict_row
from starlette.exceptions import HTTPException

from deals.lots import results
from deals.offers import ranking
from deals.offers.ranking import Wanted
from vinops import vehicles
from vinops.db.database import queries
from vinops.filters import UnknownValueError
from vinops.lots.filter import LotFilter
from web import csv_lines, quotes
from web.operations import freshness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from web.requests import Asked

SHOWN: Final = 50  # lots of each list
EXPORTED: Final = 1000
BLOCKED: Final = 30
HIGHEST_PRICE: Final = 10_000_000
FUELS: Final = ("gasoline", "diesel", "hybrid", "plug-in hybrid", "electric", "lpg")
COLUMNS: Final = (
    "lot", "model", "year", "mileage_km", "fuel", "twin", "damage", "title", "yard", "sale_at", "high_bid",
    "most_bid_usd", "bid_usd", "bid_kind", "landed_eur", "p10", "p20", "p50", "p90", "profit_eur", "profit_low",
    "profit_high", "loss_chance", "comparables", "confidence",
)  # fmt: skip
"""The columns of the CSV."""
NUMBERS: Final = {"from_year": (1900, 2100), "to_year": (1900, 2100), "max_bid": (0, quotes.HIGHEST_BID)}


@dataclass(frozen=True)
class Problem:
    """A parameter that was not understood, and why."""

    name: str
    value: str
    reason: str


def imports(asked: Asked) -> Response:
    """Show the ranked lots: those with a price to count with by the careful profit, the others by the most one may bid;
    and folded below them lots that something speaks against."""
    wanted, problems = _wanted(asked)
    with asked.site.read() as connection:
        priced = ranking.top(connection, wanted, SHOWN, by_profit=True)
        others = ranking.top(connection, wanted, SHOWN, by_profit=False)
        with connection.cursor(row_factory=dict_row) as cursor:
            about = {**vars(wanted), "limit": BLOCKED}
            blocked = cursor.execute(queries("imports")["blocked_lots"], about).fetchall()
            ranked = [row["lot"] for row in (*priced, *others)]
            covers = dict(connection.execute(queries("lots")["lot_covers"], {"lot_numbers": ranked}).fetchall())
    given = {name: value for name, value in vars(wanted).items() if value is not None}
    return asked.page(
        "imports.html",
        wanted=wanted,
        problems=problems,
        priced=priced,
        others=others,
        blocked=blocked,
        old_feed=freshness.of_feed(asked.language, asked.site.watch.seen),
        covers=covers,
        fuels=FUELS,
        is_filtered=bool(given),
        query=urlencode(_as_lots(wanted).to_params()),
        shown=SHOWN,
        csv=f"/imports.csv?{urlencode(given)}" if given else "/imports.csv",
    )


def csv(asked: Asked) -> Response:
    """Return the ranking as CSV."""
    wanted, _problems = _wanted(asked)
    with asked.site.read() as connection:
        rows = ranking.top(connection, wanted, EXPORTED, by_profit=True)
        rows += ranking.top(connection, wanted, EXPORTED - len(rows), by_profit=False) if len(rows) < EXPORTED else []
    return csv_lines.answer("imports.csv", COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


def quote(asked: Asked) -> Response:
    """Show the quote of a lot."""
    number = _number(asked)
    if (block := quotes.block(asked, number)) is None:
        raise HTTPException(404)
    old = freshness.of_feed(asked.language, asked.site.watch.seen)
    return asked.page("import.html", quoted_lot=number, quoted_block=block, old_feed=old)


def result(asked: Asked) -> Response:
    """Note what a lot went for, and whether it was won."""
    number = _number(asked)
    outcome = asked.form.get("outcome")
    if outcome not in ("won", "lost"):
        raise HTTPException(400)
    try:
        price = quotes.dollars(asked.form.get("price", ""), HIGHEST_PRICE, least=1)
    except UnknownValueError:
        raise HTTPException(400) from None
    with asked.site.write() as connection:
        is_there = results.note(connection, number, price, is_won=outcome == "won", user_id=asked.person.user_id)
    if not is_there:
        raise HTTPException(404)
    return asked.back(asked.form.get("next") or f"/imports/{number}")


def _as_lots(wanted: Wanted) -> LotFilter:
    """Return the filter of lots that finds what is ranked here."""
    model = vehicles.model_named(wanted.model) if wanted.model else None
    return LotFilter(
        make=(wanted.make,) if wanted.make else (),
        family=(model.family,) if model else (),
        year_from=wanted.from_year,
        year_to=wanted.to_year,
        fuel=(wanted.fuel,) if wanted.fuel else (),
        state=(wanted.state,) if wanted.state else (),
        at_bid_to=wanted.max_bid,
        most_bid_from=1,
    )


def _number(asked: Asked) -> int:
    number: int = asked.request.path_params["lot_number"]
    if not 0 < number <= quotes.MOST_LOT:
        raise HTTPException(404)
    return number


def _wanted(asked: Asked) -> tuple[Wanted, list[Problem]]:
    """Return what the address asks for, and what of it was not understood."""
    wanted, problems = Wanted(), []
    seen: set[str] = set()
    for name, raw in asked.params:
        value = raw.strip()
        if not value or name in seen:
            continue
        seen.add(name)
        found, reason = _value(name, value)
        if reason:
            problems.append(Problem(name, value, reason))
        else:
            wanted = replace(wanted, **{name: found})
    return wanted, problems


def _value(name: str, text: str) -> tuple[Any, str]:
    """Return the value of a parameter, and why there is none."""
    if name in NUMBERS:
        least, most = NUMBERS[name]
        try:
            return quotes.dollars(text, most, least=least), ""
        except UnknownValueError as error:
            return None, str(error)
    if name == "make":
        make = vehicles.make(text)
        return (make.value, "") if make else (None, "there is no such make")
    if name == "model":
        model = vehicles.model_named(text)
        return (model.value, "") if model else (None, "there is no such model")
    if name == "fuel":
        return _one_of(text, FUELS)
    if name == "state":
        state = text.upper()
        is_state = len(state) == 2 and state.isascii() and state.isalpha()
        return (state, "") if is_state else (None, "it is not a state in two letters")
    return None, "there is no such filter"


def _one_of(text: str, values: Sequence[str]) -> tuple[Any, str]:
    return (text, "") if text in values else (None, f"it is none of {', '.join(values)}")
