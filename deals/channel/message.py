"""The text of a message to the channel: pure functions from the facts of a deal to Telegram's HTML.

Whatever the facts contain, the message is well-formed and short enough for the caption of a photo: 1024 UTF-16 units
of visible text. Texts are cut before they are escaped, so that no cut falls into an entity or a tag. The reasons are
cut first, from the last on, then the title; everything else is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from html import escape
from typing import Any, Final
from urllib.parse import urlsplit

from deals.estimate import confidence as how_sure
from vinops.network import is_loopback
from vinops.text.printable import without_controls
from vinops.text.unlinked import unlinked

LONGEST: Final = 1024  # UTF-16 units: a caption; a text may have 4096, but either may replace the other
LONGEST_TITLE: Final = 300
LONGEST_WORD: Final = 60  # a place, a fuel, a word of warning
LONGEST_URL: Final = 2048
FEWEST_PERCENT: Final = 1  # a price nearer to the market value is at the market
OPEN: Final = "Open the ad"


@dataclass(frozen=True, kw_only=True)
class DealPost:
    """The facts of a deal. Prices are in EUR, tax included; `price_before` is the last other price, if there was one.

    `price_eur` is None for an ad that is gone and named none; `p50` is its market value, from `comparables` cars:
    four of five such cars cost `p10` to `p90`, and `confidence` (0 to 1) is how sure that is.
    """

    title: str
    url: str
    price_eur: Decimal | None
    price_before: Decimal | None = None
    p50: Decimal | None = None
    p10: Decimal | None = None
    p90: Decimal | None = None
    confidence: float = 0.0
    comparables: int = 0
    score: Decimal | None = None
    reasons: Sequence[str] = ()
    risks: Sequence[str] = ()
    photo_url: str | None = None
    year: int | None = None
    month: int | None = None
    mileage_km: int | None = None
    fuel: str | None = None
    gearbox: str | None = None
    power_hp: int | None = None
    place: str | None = None
    seller_kind: str | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message: its text or caption in HTML, the photo that Telegram is to fetch, the button's text and address."""

    html: str
    photo_url: str | None
    link: tuple[str, str] | None


def deal_of(facts: Mapping[str, Any]) -> DealPost:
    """Return the deal of a row of the query `facts`. The message has only the risks above `low`."""
    risks = tuple(f"{each['flag']}: «{each['words']}»" for each in facts["risks"] if each.get("level") != "low")
    return DealPost(**{each.name: facts[each.name] for each in fields(DealPost)} | {"risks": risks})


class _Line:
    """A line of parts, each a visible text and the tag around it."""

    def __init__(self, text: str = "", tag: str = "") -> None:
        self._parts = [(text, tag)]

    def add(self, text: str, tag: str = "") -> _Line:
        self._parts.append((text, tag))
        return self

    @property
    def units(self) -> int:
        return sum(units(text) for text, _ in self._parts)

    @property
    def html(self) -> str:
        return "".join(f"<{tag}>{escape(text)}</{tag}>" if tag else escape(text) for text, tag in self._parts)


def compose(deal: DealPost, *, is_gone: bool = False) -> Message:
    """Return the message about a deal, or its replacement once the ad is gone. Both keep the link."""
    title = clean(deal.title) or "A car"
    below = [_Line(text) for text in (_car(deal), _joined(deal.place, deal.seller_kind)) if text]
    above = [_Line("No longer advertised", "b")] if is_gone else []
    if deal.price_eur is not None:
        above += [_price(deal)]
    if compared := _compared(deal):
        above.append(_Line(compared))
        if deal.p10 is not None and deal.p90 is not None:
            sure = how_sure.words(deal.confidence)
            above.append(_Line(f"{sure}: four of five such cars cost {_number(round(deal.p10))} to {_eur(deal.p90)}"))
    if deal.risks:
        below.append(_Line("Beware: ").add(", ".join(cut(clean(risk), LONGEST_WORD) for risk in deal.risks[:4])))
    if deal.score is not None:
        below.append(_Line(f"Score {deal.score}", "b"))
    when = f", {deal.month:02}/{deal.year}" if deal.year and deal.month else f", {deal.year}" if deal.year else ""
    used = sum(line.units + 1 for line in (*above, *below)) + units(when)
    title = cut(title, min(LONGEST_TITLE, LONGEST - used))
    lines = [_Line(title, "s" if is_gone else "b").add(when), *above, *below]
    if deal.score is not None:
        _add_reasons(lines[-1], deal.reasons, LONGEST - used - units(title))
    return Message(
        html="\n".join(line.html for line in lines),
        photo_url=deal.photo_url if is_photo(deal.photo_url) else None,
        link=(OPEN, deal.url) if is_web(deal.url) else None,
    )


def _price(deal: DealPost) -> _Line:
    line = _Line()
    if deal.price_eur is not None and deal.price_before is not None and deal.price_before > deal.price_eur:
        line.add(_eur(deal.price_before), "s").add(" ")
    return line.add(_eur(deal.price_eur or Decimal(0)), "b")


def _compared(deal: DealPost) -> str:
    """Return the price compared with the market value."""
    if deal.price_eur is None or not deal.p50:
        return ""
    percent = round((deal.p50 - deal.price_eur) / deal.p50 * 100)
    if percent >= FEWEST_PERCENT:
        where = f"{percent} % below the market"
    elif percent <= -FEWEST_PERCENT:
        where = f"{-percent} % above the market"
    else:
        where = "at the market"
    if not deal.comparables:
        return f"{where}: about {_eur(deal.p50)} by the price model"
    cars = "1 comparable car" if deal.comparables == 1 else f"{deal.comparables} comparable cars"
    return f"{where}: {cars}, about {_eur(deal.p50)}"


def _car(deal: DealPost) -> str:
    power = "" if deal.power_hp is None else f"{deal.power_hp} hp"
    mileage = "" if deal.mileage_km is None else f"{_number(deal.mileage_km)} km"
    return _joined(mileage, deal.fuel, deal.gearbox, power)


def _joined(*texts: str | None) -> str:
    words = (cut(clean(text or ""), LONGEST_WORD) for text in texts)
    return " · ".join(word for word in words if word)


def _add_reasons(line: _Line, reasons: Iterable[str], room: int) -> None:
    """Add as many reasons as fit; the last of them may be cut."""
    separator = ": "
    for reason in filter(None, map(clean, reasons)):
        room -= len(separator)
        if room <= 1:
            return
        text = cut(reason, room)
        line.add(separator).add(text)
        room -= units(text)
        separator = "; "


def clean(text: str) -> str:
    """Return a text as one line, without control characters and direction marks, in which Telegram finds no link."""
    return unlinked(" ".join(without_controls(" ".join(text.split())).split()))


def cut(text: str, longest: int) -> str:
    """Return a text cut to a number of UTF-16 units, with an ellipsis as its last one."""
    if units(text) <= longest:
        return text
    kept = ""
    room = longest - 1
    for sign in text[: max(room, 0)]:
        room -= units(sign)
        if room < 0:
            break
        kept += sign
    return kept.rstrip() + "…"


def units(text: str) -> int:
    """Return the length of a text as Telegram counts it: in UTF-16 units."""
    return len(text) + sum(sign > "\uffff" for sign in text)


def _eur(price: Decimal) -> str:
    return f"{_number(round(price))} €"


def _number(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def is_web(url: str) -> bool:
    """Tell whether a button may link to this address."""
    return _host(url, "http", "https") is not None


def is_photo(url: str | None) -> bool:
    """Tell whether Telegram may fetch a photo from this address: https, or a stand-in on loopback."""
    if url is None:
        return False
    if _host(url, "https") is not None:
        return True
    host = _host(url, "http")
    return host is not None and is_loopback(host)


def _host(url: str, *schemes: str) -> str | None:
    if len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0  # an invalid one raises, as an invalid host does
    except ValueError:
        return None
    return parts.hostname if has_port and parts.scheme in schemes else None
