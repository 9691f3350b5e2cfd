"""The gallery of lots, and the same as CSV."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from vinops.lots import reads
from vinops.lots.filter import DAMAGES, FIELDS, FIGURES, KEYS, MILE_KM, RUNS, TITLES, LotFilter
from vinops.lots.sorts import FIRST, SORTS
from web import csv_lines, people, vocabulary
from web.operations import freshness
from web.pages.board import OWN, Chip, new_within, number

if TYPE_CHECKING:
    from starlette.responses import Response

    from web.language import Language
    from web.requests import Asked

LISTED: Final = ("fuel", "gearbox", "body", "color", "state")
"""Fields whose values the form lists as the lots have them."""
FIXED: Final = {"damage": DAMAGES, "title_group": tuple(TITLES), "runs": tuple(RUNS), "keys": tuple(KEYS)}
"""Fields whose values are these."""
SUGGESTED: Final = 150
"""How many families, yards and sellers the form suggests."""


def gallery(asked: Asked) -> Response:
    """Show a page of lots."""
    wanted, problems = LotFilter.parse(asked.params, others=OWN)
    sort = asked.param("sort") or FIRST
    with asked.site.read() as connection:
        zone, after = asked.site.settings.time_zone, asked.param("after") or None
        page, unknown = reads.page(connection, wanted, sort=sort, after=after, time_zone=zone)
        facets = asked.site.lot_facets(connection)
        marks = people.marks(connection, asked.person.user_id, [card.lot_id for card in page.cards], of="lot")
    sort = sort if sort in SORTS else FIRST
    return asked.page(
        "lots.html",
        wanted=wanted,
        page=page,
        old_feed=freshness.of_feed(asked.language, asked.site.watch.seen),
        count=page.count,
        facets=facets,
        families=_families(wanted, facets),
        suggested=SUGGESTED,
        marks=marks,
        problems=[*problems, *unknown],
        chips=chips(asked.language, wanted, sort),
        sort=sort,
        sorts=list(SORTS),
        is_first=not asked.param("after"),
        next=address(wanted, sort, after=page.next) if page.next else "",
        begin=address(wanted, sort),
        query=urlencode(wanted.to_params()),
        search=number(asked.param("search")),
        csv=f"/lots.csv?{urlencode(params(wanted, sort))}",
        listed=LISTED,
        fixed=FIXED,
    )


def _families(wanted: LotFilter, facets: Any) -> list[str]:
    """Return the families to suggest: of the makes that are asked for, or the most frequent."""
    found = [each for each in facets.get("family", ()) if not wanted.make or each.make in wanted.make]
    return [each.value for each in found[:SUGGESTED]]


def params(wanted: LotFilter, sort: str, after: str | None = None) -> list[tuple[str, str]]:
    """Return the parameters of a page of lots."""
    found = wanted.to_params()
    if sort != FIRST:
        found.append(("sort", sort))
    if after:
        found.append(("after", after))
    return found


def address(wanted: LotFilter, sort: str, after: str | None = None) -> str:
    """Return the address of a page of lots."""
    query = urlencode(params(wanted, sort, after))
    return f"/lots?{query}" if query else "/lots"


def chips(language: Language, wanted: LotFilter, sort: str) -> list[Chip]:
    """Return what of a filter is applied, each with the address without it."""
    found = []
    for name, about in FIELDS.items():
        value = getattr(wanted, name)
        if value == about.default:
            continue
        for each in value if isinstance(value, tuple) else (None,):
            shown = _condition(language, name, value if each is None else each)
            found.append(Chip(text=shown, without=address(wanted.without(name, each), sort)))
    return found


def _condition(language: Language, name: str, value: Any) -> str:
    _ = language.gettext
    if name in ("make", "family", "state", "yard", "seller"):
        return str(value)
    if name == "gone":
        return vocabulary.name(language, "lot_gone", value)
    if name in vocabulary.NAMES:
        return vocabulary.name(language, name, value)
    if name in ("year_from", "year_to", "sale_from", "sale_to"):
        field, _dash, end = name.rpartition("_")
        kind = "field" if field == "year" else "lot_field"
        shown = f"{value:%d.%m.%Y}" if isinstance(value, date) else str(value)
        given = {"field": vocabulary.name(language, kind, field), "value": shown}
        return _("%(field)s from %(value)s", **given) if end == "from" else _("%(field)s to %(value)s", **given)
    if name == "odometer_to":
        km = language.number(round(value * MILE_KM))
        return _("to %(miles)s mi (%(km)s km)", miles=language.number(value), km=km)
    if name == "bid_to":
        return _("Bid to %(value)s", value=language.number(value))
    if name in FIGURES:
        shown = f"{language.number(value)}\u00a0{FIGURES[name]}"
        return f"{vocabulary.name(language, 'lot_field', name)} {shown}"
    if name == "sale_within":
        hours = int(value.total_seconds() // 3600)
        return language.ngettext("Sale within %(num)s hour", "Sale within %(num)s hours", hours)
    if name in ("buy_now", "has_photos"):
        given = {"field": vocabulary.name(language, "lot_field", name)}
        return f"{given['field']}: {vocabulary.name(language, 'switch', value)}"
    return new_within(language, value)


def csv(asked: Asked) -> Response:
    """Return the lots as CSV."""
    wanted, _problems = LotFilter.parse(asked.params, others=OWN)
    sort = asked.param("sort")
    zone = asked.site.settings.time_zone
    rows = reads.export(asked.site.export, wanted, sort=sort if sort in SORTS else FIRST, time_zone=zone)
    return csv_lines.answer("lots.csv", reads.COLUMNS, rows)
