"""Sheets of one page to print, for the customer at the desk: photos and figures of a car. What the trader thinks of it,
as the score, risks, notes and what it may fetch, is not on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from vinops.board import reads
from vinops.lots import reads as lot_reads
from web import lots, vocabulary
from web.operations import freshness
from web.pages.ads import listing_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from vinops.board.records import Ad
    from vinops.lots.records import Lot
    from web.requests import Asked

PHOTOS: Final = 5
"""One large and a row of four."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What a sheet says: texts may be from outside. `amount` is the price, `figures` are names with values, `texts`
    headings with paragraphs, `photos` addresses of this site, `source` says where it is from, `age` that its figures
    are older than promised."""

    title: str
    lead: str = ""
    amount: str = ""
    photos: Sequence[str]
    figures: Sequence[tuple[str, str]]
    texts: Sequence[tuple[str, str]] = ()
    source: str
    age: str
    back: str


def ad(asked: Asked) -> Response:
    """Show an ad as a sheet."""
    with asked.site.read() as connection:
        found = reads.ad(connection, listing_id(asked))
    if found is None:
        raise HTTPException(404)
    return asked.page("sheet.html", sheet=_of_ad(asked, found))


def lot(asked: Asked) -> Response:
    """Show a lot as a sheet."""
    with asked.site.read() as connection:
        found = lot_reads.lot(connection, asked.request.path_params["lot_number"])
    if found is None:
        raise HTTPException(404)
    return asked.page("sheet.html", sheet=_of_lot(asked, found))


def _of_lot(asked: Asked, found: Lot) -> Sheet:
    lang, _ = asked.language, asked.language.gettext
    path = f"/lots/{found.lot_external_id}"
    damages = (vocabulary.name(lang, "damage", each) for each in (found.damage, found.secondary_damage))
    sale = f"{lots.sale(lang, found)} ({asked.site.settings.time_zone})" if found.sale_at else lots.sale(lang, found)
    return Sheet(
        title=lots.title(found),
        lead=" · ".join([f"{_('Lot')} {found.lot_external_id}", *([f"VIN {found.vin}"] if found.vin else [])]),
        amount=lots.amount(lang, found.high_bid, found.currency),
        photos=[
            f"{path}/photos/{each.seq}" if place == 0 else f"/thumbs/{found.lot_external_id}/{each.hash}/640.webp"
            for place, each in enumerate(found.photos[:PHOTOS])
        ],
        figures=_known(
            (_("Sale"), sale),
            (_("Buy now"), lots.amount(lang, found.buy_now_price, found.currency)),
            (_("Retail value"), lots.amount(lang, found.retail_value, found.currency)),
            (_("Mileage"), lots.mileage(lang, found.odometer, found.odometer_km, found.odometer_brand)),
            (_("Damage"), ", ".join(each for each in damages if each)),
            (_("Title"), vocabulary.name(lang, "title_group", found.title_group)),
            (_("Keys"), vocabulary.name(lang, "keys", lots.keys(found.has_keys))),
            (_("Runs"), vocabulary.name(lang, "condition", found.condition)),
            (_("Engine"), found.engine),
            (_("Fuel"), vocabulary.name(lang, "fuel", found.fuel)),
            (_("Gearbox"), vocabulary.name(lang, "gearbox", found.transmission)),
            (_("Drive"), vocabulary.name(lang, "drive", found.drive)),
            (_("Body"), found.body_style),
            (_("Color"), vocabulary.name(lang, "color", found.color)),
            (_("Yard"), found.yard),
        ),
        source=_("Lot %(number)s of the auction, changed %(time)s", number=found.lot_external_id,
                 time=lang.moment(found.last_updated_at or found.first_seen)),
        age="" if found.gone_at else freshness.of_feed(lang, asked.site.watch.seen),
        back=path,
    )  # fmt: skip


def _of_ad(asked: Asked, found: Ad) -> Sheet:
    lang, _ = asked.language, asked.language.gettext
    known = f"{found.month:02}/{found.year}" if found.year and found.month else str(found.year or "")
    return Sheet(
        title=found.title,
        amount=lang.eur(found.price_eur) if found.price_eur is not None else "",
        photos=[
            f"/ads/{found.listing_id}/photos/{number}{'?size=small' if number > 1 else ''}"
            for number in range(1, min(len(found.photo_urls), PHOTOS) + 1)
        ],
        figures=_known(
            (_("Make"), found.make),
            (_("Model"), found.family or found.model),
            (_("Year"), known),
            (_("Mileage"), _unit(lang.number(found.mileage_km), _("km")) if found.mileage_km is not None else ""),
            (_("Fuel"), vocabulary.name(lang, "fuel", found.fuel)),
            (_("Gearbox"), vocabulary.name(lang, "gearbox", found.gearbox)),
            (_("Power"), _unit(lang.number(found.power_hp), _("hp")) if found.power_hp else ""),
            (_("Engine"), _unit(lang.number(found.engine_cc), _("cm³")) if found.engine_cc else ""),
            ("Euro", str(found.euro_class or "")),
            (_("Body"), vocabulary.name(lang, "body", found.body)),
            (_("Color"), vocabulary.name(lang, "color", found.color)),
            (_("Region"), found.place or found.region),
        ),
        texts=_known((_("Equipment"), " · ".join(found.equipment[:100]))),
        source=_("Ad %(number)s on %(site)s, posted %(time)s", number=found.ad_id, site=found.source,
                 time=lang.day(found.posted_at)),
        age="; ".join(freshness.of_ad(lang, asked.site.watch.seen, found)),
        back=f"/ads/{found.listing_id}",
    )  # fmt: skip


def _known(*figures: tuple[str, str | None]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in figures if value and value.strip()]


def _unit(number: str, unit: str) -> str:
    return f"{number}\u00a0{unit}"
