"""Import deals: the ranking of lots, the same as CSV, the quote of a lot, and what a lot went for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from psycopg.rows import dict_row
from starlette.exceptions import HTTPException

from deals.landed import profiles
from deals.landed.lines import TariffError
from deals.lots import results, terms
from deals.offers import bids, lists
from deals.offers.lists import Lists, Page
from deals.offers.ranking import Place, Wanted
from vinops import vehicles
from vinops.db.database import queries
from vinops.filters import UnknownValueError
from vinops.lots.filter import LotFilter
from vinops.redaction import one_line
from web import csv_lines, quotes
from web.operations import freshness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection
    from starlette.responses import Response

    from deals.lots.terms import Terms
    from web.requests import Asked

SHOWN: Final = 50  # lots of each list
EXPORTED: Final = 1000
BLOCKED: Final = 30
HIGHEST_PRICE: Final = 10_000_000
FUELS: Final = ("gasoline", "diesel", "hybrid", "plug-in hybrid", "electric", "lpg")
LISTS: Final = ("profit", "bid")
"""The lists, by what each is ordered by."""
OTHERS: Final = frozenset({"profile", "by", "after"})
"""Parameters that are no filter."""
PLACE: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,18})", re.ASCII)
NUMBERS: Final = {"from_year": (1900, 2100), "to_year": (1900, 2100), "max_bid": (0, quotes.HIGHEST_BID)}


@dataclass(frozen=True)
class Problem:
    """A parameter that was not understood, and why."""

    name: str
    value: str
    reason: str


def imports(asked: Asked) -> Response:
    """Show the ranked lots: those with a price to count with by the careful profit, the others by the most one may bid;
    and folded below them lots that something speaks against. A place in a list shows what is behind it, and no other
    list."""
    request, problems = _asks(asked)
    by, known = None, None
    with asked.site.read() as connection:
        try:
            known = profiles.load(asked.site.settings.data_dir)
            by = terms.current(connection, asked.site.settings, request.profile)
        except TariffError as error:
            problems.append(Problem("profile", request.profile or "", one_line(str(error))))
        found = _found(connection, request, by)
        ranked = [row["lot"] for row in (*found.priced.rows, *found.others.rows)]
        covers = dict(connection.execute(queries("lots")["lot_covers"], {"lot_numbers": ranked}).fetchall())
    given = request.given()
    return asked.page(
        "imports.html",
        wanted=request.wanted,
        problems=problems,
        priced=found.priced.rows,
        others=found.others.rows,
        passed=found.passed,
        blocked=found.blocked,
        old_feed=freshness.of_feed(asked.language, asked.site.watch.seen),
        covers=covers,
        fuels=FUELS,
        profiles=sorted(known.by_name) if known else (),
        profile=by.profile.name if by else "",
        query=f"?{urlencode({'profile': request.profile})}" if request.profile else "",
        is_filtered=any(name != "profile" for name in given),
        is_first=request.after is None,
        begin=_address(given),
        next_priced=_next(given, "profit", found.priced),
        next_others=_next(given, "bid", found.others),
        as_lots=urlencode(_as_lots(request.wanted).to_params()),
        csv=f"/imports.csv?{urlencode(given)}" if given else "/imports.csv",
    )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the address asks for: lots, the profile (None: the default one), and the place behind which the list `by`
    goes on; `by` is profit or bid."""

    wanted: Wanted
    profile: str | None = None
    by: str | None = None
    after: Place | None = None

    def given(self) -> dict[str, Any]:
        """Return the parameters of the first page."""
        found = {name: value for name, value in vars(self.wanted).items() if value is not None}
        return found | ({"profile": self.profile} if self.profile else {})


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The lots that the page shows."""

    priced: Page
    others: Page
    passed: Sequence[Mapping[str, Any]] = ()
    blocked: Sequence[Mapping[str, Any]] = ()


def _found(connection: Connection[Any], request: Request, by: Terms | None) -> _Found:
    """Return the lots by these terms; while tariffs or profiles cannot be read, as they are stored."""
    ranked = Lists(connection, request.wanted, by)
    pages = {
        by: ranked.page(SHOWN, by_profit=by == "profit", after=request.after)
        for by in LISTS
        if request.after is None or request.by == by
    }
    passed: Sequence[Mapping[str, Any]] = ()
    blocked: Sequence[Mapping[str, Any]] = ()
    if request.after is None:
        passed = bids.passed(connection, ranked.sale_after, SHOWN)
        with connection.cursor(row_factory=dict_row) as cursor:
            about = {**vars(request.wanted), "limit": BLOCKED}
            blocked = cursor.execute(queries("imports")["blocked_lots"], about).fetchall()
    return _Found(
        priced=pages.get("profit", Page(rows=())),
        others=pages.get("bid", Page(rows=())),
        passed=passed,
        blocked=blocked,
    )


def _address(given: Mapping[str, Any]) -> str:
    return f"/imports?{urlencode(given)}" if given else "/imports"


def _next(given: Mapping[str, Any], by: str, page: Page) -> str:
    """Return the address of the next page of a list, empty behind the last."""
    place = page.next
    return _address({**given, "by": by, "after": f"{place.value}.{place.lot_id}"}) if place else ""


def csv(asked: Asked) -> Response:
    """Return the ranking as CSV."""
    request, problems = _asks(asked)
    if wrong := next((each for each in problems if each.name == "profile"), None):
        raise HTTPException(400, wrong.reason)  # a file of the figures of another profile would not say so
    with asked.site.read() as connection:
        try:
            by = terms.current(connection, asked.site.settings, request.profile)
        except TariffError as error:
            raise HTTPException(503, one_line(str(error))) from None
        rows = lists.both(connection, request.wanted, by, EXPORTED)
    return csv_lines.answer("imports.csv", lists.COLUMNS, [[row[name] for name in lists.COLUMNS] for row in rows])


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


def bid(asked: Asked) -> Response:
    """Keep the bid that somebody typed for a lot, or remove it: the lot is ranked by it."""
    number = _number(asked)
    text = asked.form.get("bid", "")
    try:
        typed = quotes.dollars(text, quotes.HIGHEST_BID, least=1) if text else None
    except UnknownValueError:
        raise HTTPException(400) from None
    with asked.site.write() as connection:
        if typed is None:
            bids.forget(connection, number)
        elif not bids.keep(connection, number, typed, user_id=asked.person.user_id):
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


def _asks(asked: Asked) -> tuple[Request, list[Problem]]:
    """Return what the address asks for, and what of it was not understood."""
    wanted, problems = Wanted(), []
    others: dict[str, Any] = {}
    seen: set[str] = set()
    for name, raw in asked.params:
        value = raw.strip()
        if not value or name in seen:
            continue
        seen.add(name)
        found, reason = _value(name, value)
        if reason:
            problems.append(Problem(name, value, reason))
        elif name in OTHERS:
            others[name] = found
        else:
            wanted = replace(wanted, **{name: found})
    if others.get("profile") is not None:
        problems += _no_profile(asked, others)
    if "by" not in others:
        others.pop("after", None)
    return Request(wanted=wanted, **others), problems


def _no_profile(asked: Asked, others: dict[str, Any]) -> list[Problem]:
    """Drop a profile that is none or the default one, and return what is wrong with it."""
    try:
        known = profiles.load(asked.site.settings.data_dir)
    except TariffError:
        return []  # the page says what is wrong with the profiles
    name = others["profile"]
    if name in known.by_name and name != known.default.name:
        return []
    del others["profile"]
    if name in known.by_name:
        return []
    return [Problem("profile", name, f"it is none of {', '.join(sorted(known.by_name))}")]


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
    if name == "profile":
        return text, ""
    if name == "by":
        return _one_of(text, LISTS)
    if name == "after":
        place = PLACE.fullmatch(text)
        found = Place(value=int(place[1]), lot_id=int(place[2])) if place else None
        return found, "" if found else "it is no place in this list: it begins anew"
    return None, "there is no such filter"


def _one_of(text: str, values: Sequence[str]) -> tuple[Any, str]:
    return (text, "") if text in values else (None, f"it is none of {', '.join(values)}")
