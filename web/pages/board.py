"""The board of deals, and the same as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from vinops.board import reads
from vinops.board.sorts import BEST, SORTS
from vinops.filters import FIELDS, Filter
from web import csv_lines, people, vocabulary
from web.operations import freshness

if TYPE_CHECKING:
    from starlette.responses import Response

    from web.language import Language
    from web.requests import Asked

OWN: Final = ("sort", "after", "search")
"""Parameters of the page that are not the filter's."""
LISTED: Final = ("fuel", "gearbox", "body", "color", "region", "seller")
RANGES: Final = ("year", "price", "km", "power")
FAMILIES: Final = 150
"""How many families the form suggests."""


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A condition that is applied: its text, and the address of the board without it."""

    text: str
    without: str


def board(asked: Asked) -> Response:
    """Show a page of the board."""
    wanted, problems = Filter.parse(asked.params, others=OWN)
    sort = asked.param("sort") or BEST
    with asked.site.read() as connection:
        zone, after = asked.site.settings.time_zone, asked.param("after") or None
        page, unknown = reads.page(connection, wanted, sort=sort, after=after, time_zone=zone)
        facets = asked.site.facets(connection)
        marks = people.marks(connection, asked.person.user_id, [card.listing_id for card in page.cards])
    sort = sort if sort in SORTS else BEST
    makes = freshness.makes_of(wanted.make, wanted.family)
    return asked.page(
        "board.html",
        wanted=wanted,
        page=page,
        count=page.count,
        facets=facets,
        families=_families(wanted, facets),
        marks=marks,
        stale=freshness.notes(asked.language, asked.site.watch.seen, makes, datetime.now(UTC)),
        problems=[*problems, *unknown],
        chips=chips(asked.language, wanted, sort),
        sort=sort,
        sorts=list(SORTS),
        is_first=not asked.param("after"),
        next=address(wanted, sort, after=page.next) if page.next else "",
        begin=address(wanted, sort),
        query=urlencode(wanted.to_params()),
        search=number(asked.param("search")),
        csv=f"/deals.csv?{urlencode(params(wanted, sort))}",
        listed=LISTED,
        ranges=RANGES,
    )


def number(text: str) -> str:
    """Return the number of a saved search that is being changed; empty if there is none."""
    return text if text.isascii() and text.isdecimal() and len(text) < 19 else ""


def _families(wanted: Filter, facets: Any) -> list[str]:
    """Return the families to suggest: of the makes that are asked for, or the most frequent."""
    found = [each for each in facets.get("family", ()) if not wanted.make or each.make in wanted.make]
    return [each.value for each in found[:FAMILIES]]


def params(wanted: Filter, sort: str, after: str | None = None) -> list[tuple[str, str]]:
    """Return the parameters of a page of the board."""
    found = wanted.to_params()
    if sort != BEST:
        found.append(("sort", sort))
    if after:
        found.append(("after", after))
    return found


def address(wanted: Filter, sort: str, after: str | None = None) -> str:
    """Return the address of a page of the board."""
    query = urlencode(params(wanted, sort, after))
    return f"/?{query}" if query else "/"


def chips(language: Language, wanted: Filter, sort: str) -> list[Chip]:
    """Return what of a filter is applied, each with the address without it."""
    found = []
    for name in FIELDS:
        value = getattr(wanted, name)
        if value == FIELDS[name].default:
            continue
        for each in value if isinstance(value, tuple) else (None,):
            shown = _condition(language, name, value if each is None else each)
            found.append(Chip(text=shown, without=address(wanted.without(name, each), sort)))
    return found


def _condition(language: Language, name: str, value: Any) -> str:
    _ = language.gettext
    if name in ("make", "family", "region"):
        return str(value)
    if name in ("words", "words_not"):
        quoted = f"„{value}“" if language.code == "bg" else f"“{value}”"
        return f"−{quoted}" if name == "words_not" else quoted
    if name in vocabulary.NAMES:
        return vocabulary.name(language, name, value)
    field, _dash, end = name.rpartition("_")
    if end in ("from", "to") and field in RANGES:
        shown = str(value) if field == "year" else language.number(value)
        unit = {"year": "", "price": "€", "km": _("km"), "power": _("hp")}[field]
        given = {"field": vocabulary.name(language, "field", field), "value": f"{shown}\u00a0{unit}".rstrip()}
        return _("%(field)s from %(value)s", **given) if end == "from" else _("%(field)s to %(value)s", **given)
    if name == "min_score":
        return _("Score from %(value)s", value=language.number(value, 1))
    if name == "below_market":
        return _("%(value)s %% below market", value=language.number(value))
    return new_within(language, value)


def new_within(language: Language, value: timedelta | date) -> str:
    """Return the condition that something was first seen within a time, or since a day."""
    _ = language.gettext
    if isinstance(value, date):
        return _("New since %(day)s", day=f"{value:%d.%m.%Y}")
    hours = int(value.total_seconds() // 3600)
    if hours % 24:
        return language.ngettext("New within %(num)s hour", "New within %(num)s hours", hours)
    return language.ngettext("New within %(num)s day", "New within %(num)s days", hours // 24)


def csv(asked: Asked) -> Response:
    """Return the board as CSV."""
    wanted, _problems = Filter.parse(asked.params, others=OWN)
    sort = asked.param("sort")
    zone = asked.site.settings.time_zone
    rows = reads.export(asked.site.export, wanted, sort=sort if sort in SORTS else BEST, time_zone=zone)
    return csv_lines.answer("deals.csv", reads.COLUMNS, rows)
