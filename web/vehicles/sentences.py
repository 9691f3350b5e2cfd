"""The entries of a time line in words."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from web.requests import shown

if TYPE_CHECKING:
    from web.language import Language
    from web.vehicles.records import Entry

LONGEST: Final = 40


def _(text: str) -> str:
    """Mark a text for translation."""
    return text


TEXTS: Final = {
    "appeared": _("appeared at the auction"),
    "relisted": _("listed again, after an earlier lot"),
    "returned": _("came back under the same number"),
    "gone": _("left the feed, which does not say that it was sold"),
    "sale_date": _("sale date: %(old)s → %(new)s"),
    "sale_status": _("sale status: %(old)s → %(new)s"),
    "high_bid": _("bid: %(old)s → %(new)s"),
    "buy_now_price": _("buy now: %(old)s → %(new)s"),
    "yard": _("yard: %(old)s → %(new)s"),
    "ad_appeared": _("advertised for %(new)s"),
    "ad_price": _("price: %(old)s → %(new)s"),
    "ad_gone": _("the ad is gone"),
}
"""The texts by event."""
AMOUNTS: Final = frozenset({"high_bid", "buy_now_price"})
PRICES: Final = frozenset({"ad_appeared", "ad_price"})


def sentence(language: Language, entry: Entry) -> str:
    """Return what happened, in a language. Values from outside are plain text: escape them."""
    text = TEXTS.get(entry.event)
    values = {"old": _value(language, entry, entry.old), "new": _value(language, entry, entry.new)}
    if text is None:
        return f"{shown(entry.event, LONGEST)}: {values['old']} → {values['new']}"
    return language.gettext(text, **values) if "%" in text else language.gettext(text)


def money(language: Language, value: Decimal | None, currency: str | None) -> str:
    """Return an amount in the currency of a lot."""
    return "–" if value is None else f"{language.number(value)}\u00a0{shown(currency or 'USD', 8)}"


def _value(language: Language, entry: Entry, value: str | None) -> str:
    if value is None:
        return "–"
    if entry.event in AMOUNTS or entry.event in PRICES:
        try:
            amount = Decimal(value)
        except InvalidOperation:
            return shown(value, LONGEST)
        return language.eur(amount) if entry.event in PRICES else money(language, amount, entry.currency)
    return shown(value, LONGEST)
