"""The market over time: all families, and one of them; both as CSV."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException

from deals import market as figures
from web import csv_lines, market as reads
from web.operations import freshness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.responses import Response

    from web.requests import Asked

PAGE: Final = 100
"""Families on a page."""
LONGEST: Final = 100
"""Characters of a make, of a family and of the words that are searched for."""
YOUNG: Final = timedelta(days=31)
"""With less than so much data a page says how much there is."""
SORTS: Final[dict[str, Callable[[reads.Family], Any]]] = {
    "ads": lambda row: -row.ads,
    "name": lambda row: row.family.casefold(),
    "price": lambda row: _last(row.p50),
    "dear": lambda row: _last(row.p50 and -row.p50),
    "fell": lambda row: _last(row.change),
    "rose": lambda row: _last(row.change and -row.change),
    "fast": lambda row: _last(row.median_days),
}
"""The orders of the families; those without the figure come last."""
COLUMNS: Final = (
    *("make", "family", "ads", "priced", "p25", "p50", "p75", "p50_3_months_ago", "p50_12_months_ago"),
    *("half_gone_in_days", "share_gone_in_30_days", "gone_in_90_days"),
)
FAMILY_COLUMNS: Final = ("list", "value", "month", "model_year", "ads", "priced", "p25", "p50", "p75")


def _last(value: Any) -> tuple[bool, Any]:
    return (value is None, value)


def market(asked: Asked) -> Response:
    """Show the families that are advertised, a page of them."""
    make, words, sort = _wanted(asked)
    with asked.site.read() as connection:
        state = figures.state(connection)
        found = _families(asked, connection, state)
        makes = reads.makes(connection)
    pages = max(1, -(-len(found) // PAGE))
    given = asked.param("page")
    page = min(max(int(given), 1), pages) if given.isascii() and given.isdecimal() and len(given) < 6 else 1
    wanted = [("make", make), ("words", words), ("sort", "" if sort == "ads" else sort)]
    query = urlencode([(name, value) for name, value in wanted if value])
    return asked.page(
        "market.html",
        state=state,
        stale=_stale(asked, {make} if make else set()),
        is_young=_is_young(state),
        rows=found[(page - 1) * PAGE : page * PAGE],
        count=len(found),
        makes=makes,
        make=make,
        words=words,
        sort=sort,
        sorts=list(SORTS),
        page=page,
        pages=pages,
        next=f"/market?{query}{'&' * bool(query)}page={page + 1}" if page < pages else "",
        csv=f"/market.csv?{query}" if query else "/market.csv",
    )


def _stale(asked: Asked, makes: set[str]) -> list[str]:
    """Return what of these makes, of all for none, rests on walks that are older than promised."""
    return freshness.notes(asked.language, asked.site.watch.seen, makes, datetime.now(UTC))


def csv(asked: Asked) -> Response:
    """Return all families that the address asks for as CSV."""
    with asked.site.read() as connection:
        found = _families(asked, connection, figures.state(connection))
    rows = (
        (
            *(row.make, row.family, row.ads, row.priced, row.p25, row.p50, row.p75, row.p50_before),
            *(row.p50_long_before, row.median_days, row.gone_in_30_days, row.gone),
        )
        for row in found
    )
    return csv_lines.answer("market.csv", COLUMNS, rows)


def family(asked: Asked) -> Response:
    """Show a family: its prices by month and model year, fuel and region, how long its cars stay, and its ads."""
    name = _name(asked.request.path_params["family"])
    with asked.site.read() as connection:
        months, splits = reads.months(connection, name), reads.splits(connection, name)
        if not months and not splits:
            raise HTTPException(404)
        state, stay = figures.state(connection), reads.stay(connection, name)
        points = reads.points(connection, name)
    years = sorted({each.year for each in months if each.year}, reverse=True)
    given = asked.param("year")
    year = next((each for each in years if str(each) == given), 0)
    own = [each for each in months if each.year == year]
    whole = next((each for each in splits if not each.split), None)
    at = state.computed_at
    medians = {each.month: each.p50 for each in months if not each.year and each.priced >= reads.LEAST}
    return asked.page(
        "market_family.html",
        family=name,
        state=state,
        stale=_stale(asked, freshness.makes_of((), [name])),
        is_young=_is_young(state),
        whole=whole,
        change=reads.rise(whole, medians.get(reads.months_before(at, 3))) if whole and at else None,
        long_change=reads.rise(whole, medians.get(reads.months_before(at, 12))) if whole and at else None,
        months=own,
        year=year,
        years=years,
        plot=_plot(asked, own),
        lists={kind: [each for each in splits if each.split == kind] for kind in ("year", "fuel", "region")},
        stay=stay,
        is_unwalked=bool(stay and at and at - stay.watched_until >= figures.WALKED),
        least_gone=figures.LEAST_GONE,
        points=points,
        total=points[0].total if points else 0,
        board=f"/?{urlencode({'family': name})}",
        csv=f"/market/family.csv?{urlencode({'family': name})}",
    )


def family_csv(asked: Asked) -> Response:
    """Return all figures of a family as CSV: what is advertised, then the months."""
    name = _name(asked.param("family"))
    with asked.site.read() as connection:
        months, splits = reads.months(connection, name), reads.splits(connection, name)
    if not months and not splits:
        raise HTTPException(404)
    rows: list[tuple[Any, ...]] = [
        (each.split or "now", each.value, None, None, each.ads, each.priced, each.p25, each.p50, each.p75)
        for each in splits
    ]
    rows += [
        ("month", None, f"{each.month:%Y-%m}", each.year or None, each.ads, each.priced, each.p25, each.p50, each.p75)
        for each in months
    ]
    return csv_lines.answer("market-family.csv", FAMILY_COLUMNS, rows)


def _wanted(asked: Asked) -> tuple[str, str, str]:
    make, words = (asked.param(name).replace("\0", "")[:LONGEST].strip() for name in ("make", "words"))
    sort = asked.param("sort")
    return make, words, sort if sort in SORTS else "ads"


def _families(asked: Asked, connection: Any, state: figures.State) -> list[reads.Family]:
    make, words, sort = _wanted(asked)
    if state.computed_at is None:
        return []
    return sorted(reads.families(connection, state.computed_at, make=make, words=words), key=SORTS[sort])


def _name(text: str) -> str:
    """Return the name of a family. Raises HTTPException for one that none can have."""
    if not text or not text.isprintable() or len(text) > LONGEST:  # empty is what the tables have for all
        raise HTTPException(404)
    return text


def _is_young(state: figures.State) -> bool:
    return bool(state.since and state.computed_at and state.computed_at - state.since < YOUNG)


def _plot(asked: Asked, months: Sequence[reads.Month]) -> str:
    """Return what static/market.js draws: the months, and their quartiles with the names of these; empty for fewer
    than two months with a price."""
    known = [each for each in months if each.p50 is not None]
    if len(known) < 2:
        return ""
    _ = asked.language.gettext
    return json.dumps(
        {
            "names": [_("Month"), _("a quarter is below"), _("median"), _("a quarter is above"), _("ads")],
            "months": [each.month.isoformat() for each in known],
            "p25": [float(each.p25 or 0) for each in known],
            "p50": [float(each.p50 or 0) for each in known],
            "p75": [float(each.p75 or 0) for each in known],
            "ads": [each.ads for each in known],
        }
    )
