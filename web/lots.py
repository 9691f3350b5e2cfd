"""How a lot is said: its name, mileage, amounts, time of sale, the words of its events, its bids over time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from vinops.board.records import Price
from web import vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vinops.lots.records import Lot, LotCard, LotEvent
    from web.language import Language

SIGNS: Final = {"USD": "$", "CAD": "CA$"}
DAY: Final = 86_400
LINES: Final = 300
"""How many events the page of a lot shows."""


def title(lot: Lot | LotCard) -> str:
    """Return year, make and model in the words of the feed."""
    parts = (lot.year, lot.make_said, lot.model_said, getattr(lot, "trim", None))
    return " ".join(str(part) for part in parts if part) or f"#{lot.lot_external_id}"


def amount(language: Language, value: Decimal | None, currency: str | None) -> str:
    """Return an amount in the currency of its lot: 1 200 $. Empty for an unknown one."""
    if value is None:
        return ""
    return f"{language.number(value)}\u00a0{sign(currency)}"


def sign(currency: str | None) -> str:
    """Return the sign of a currency; that of one that is unknown here stands for any."""
    return SIGNS.get(currency or "USD", "¤")


def mileage(language: Language, miles: int | None, km: int | None, brand: str | None) -> str:
    """Return miles and km, and what the odometer's reading is worth if it is not the actual one."""
    _ = language.gettext
    if miles is None or km is None:
        return _("mileage unknown")
    given = {"miles": language.number(miles), "km": language.number(km)}
    text = _("%(miles)s mi (%(km)s km)", **given)
    return text if brand in (None, "actual") else f"{text}, {vocabulary.name(language, 'odometer_brand', brand)}"


def keys(value: bool | None) -> str:
    """Return the value of the filter for whether a lot has keys."""
    return "unknown" if value is None else "yes" if value else "no"


def strip(language: Language, lot: Lot | LotCard) -> Iterator[tuple[str, str]]:
    """Yield the facts that a trader looks at first, each with the kind that it is: title, damage, keys, runs, odometer,
    seller. An unknown one says so."""
    _ = language.gettext

    def said(kind: str, value: str | None, unknown: str) -> str:
        return vocabulary.name(language, kind, value) if value is not None else unknown

    yield "title", said("title_group", lot.title_group, _("title unknown"))
    yield "damage", said("damage", lot.damage, _("damage unknown"))
    yield "keys", vocabulary.name(language, "keys", keys(lot.has_keys))
    yield "runs", said("condition", lot.condition, _("unknown whether it runs"))
    yield "odometer", mileage(language, lot.odometer, lot.odometer_km, lot.odometer_brand)
    yield "seller", lot.seller or _("seller unknown")


def sale(language: Language, lot: Lot | LotCard) -> str:
    """Return when a lot is sold, in the reader's zone; of a sale whose time is unknown the day at the yard."""
    if lot.sale_at is not None:
        return language.moment(lot.sale_at)
    if lot.sale_date is not None:
        return language.gettext("%(day)s, time unknown", day=f"{lot.sale_date:%d.%m.%Y}")
    return language.gettext("no sale date")


def sale_at_yard(lot: Lot) -> str:
    """Return when a lot is sold by the clock of its yard, with the zone as the feed names it; empty if unknown."""
    if lot.sale_date is None or lot.sale_time is None:
        return ""
    return f"{lot.sale_date:%d.%m.%Y}, {lot.sale_time:%H:%M} {lot.sale_time_zone or ''}".rstrip()


def until(language: Language, moment: datetime, now: datetime | None = None) -> str:
    """Return how long it is until a time, or how long ago it was."""
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    if seconds <= 0:
        return language.ago(moment, now)
    if seconds < 3600:
        return language.ngettext("in %(num)s minute", "in %(num)s minutes", max(int(seconds // 60), 1))
    if seconds < 2 * DAY:
        return language.ngettext("in %(num)s hour", "in %(num)s hours", int(seconds // 3600))
    return language.ngettext("in %(num)s day", "in %(num)s days", int(seconds // DAY))


def told(language: Language, event: LotEvent, currency: str | None) -> str:
    """Return an event in words. `relisted` names no other lot: the page links it."""
    _ = language.gettext
    plain = {
        "appeared": _("First seen in the feed"), "relisted": _("Listed again"), "returned": _("Back in the feed"),
        "gone": _("Gone from the feed"),
    }  # fmt: skip
    if event.event in plain:
        return plain[event.event]
    names = {
        "sale_date": _("Sale date"), "sale_status": _("Sale"), "high_bid": _("Bid"), "buy_now_price": _("Buy now"),
        "yard": _("Yard"),
    }  # fmt: skip
    old, new = (_value(language, event.event, value, currency) for value in (event.old_value, event.new_value))
    given = {"what": names.get(event.event, event.event), "old": old, "new": new}
    if event.old_value is None:
        return _("%(what)s: %(new)s", **given)
    if event.new_value is None:
        return _("%(what)s: %(old)s, no longer given", **given)
    return _("%(what)s: %(old)s → %(new)s", **given)


def bids(lot: Lot) -> list[Price]:
    """Return the bids of a lot over time; what it had when it was first seen comes first."""
    found: list[Price] = []
    for event in lot.events:
        if event.event == "high_bid":
            if not found and event.old_value is not None:
                found.append(Price(price_eur=_decimal(event.old_value), seen_at=lot.first_seen))
            found.append(Price(price_eur=_decimal(event.new_value), seen_at=event.happened_at))
    return found or [Price(price_eur=lot.high_bid, seen_at=lot.first_seen)]


def newest(events: Sequence[LotEvent]) -> list[LotEvent]:
    """Return the newest events, the last one first."""
    return list(reversed(events))[:LINES]


def _value(language: Language, event: str, value: str | None, currency: str | None) -> str:
    if value is None:
        return language.gettext("unknown")
    if event == "sale_date":
        try:
            return f"{date.fromisoformat(value):%d.%m.%Y}"
        except ValueError:
            return value
    if event == "sale_status":
        return vocabulary.name(language, "sale_status", value)
    if event in ("high_bid", "buy_now_price"):
        number = _decimal(value)
        return value if number is None else amount(language, number, currency)
    return value


def _decimal(value: str | None) -> Decimal | None:
    try:
        number = Decimal(value or "")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
