"""The text of a message about a lot: a pure function of its sheet to Telegram's HTML, for the caption of a photo.

Each amount in euro is one of the quote's: a line of it, a sum of its lines, or the value that it is compared with.
Texts from outside are cut before they are escaped, as in deals/channel/message.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from deals.channel.message import LONGEST, LONGEST_WORD, Message, clean, cut, is_photo, is_web, units

if TYPE_CHECKING:
    from datetime import datetime

    from deals.landed.itemised import QuoteLine
    from deals.offers.ranking import Sheet

SOFIA: Final = ZoneInfo("Europe/Sofia")
LONGEST_SOURCE: Final = 40
OPEN: Final = "Open the quote"
LOT: Final = "Open the lot"
NOTICES: Final = {"gone": "No longer at the auction", "over": "Not to be bought any more"}
"""What the message begins with in a state of lot_message_states; `open` has no notice."""


@dataclass(frozen=True, kw_only=True)
class LotPost:
    """A lot as a message shows it. `most` is its sheet at the most one may bid, `price` at the price to count with,
    None without one; `state` is the first word of lot_message_states. `sale` has its time only if `has_time`."""

    most: Sheet
    price: Sheet | None
    state: str
    sale: datetime | None
    has_time: bool
    url: str
    is_ours: bool
    photo_url: str | None


def compose(post: LotPost) -> Message:
    """Return the message, or its replacement once its state is another one. Both keep the link."""
    facts = post.most.facts
    car = clean(facts["model"] or f"{facts['make'] or ''} {facts['model_text'] or ''}") or "A car"
    name = cut(f"{car}, {facts['year']}" if facts["year"] else car, LONGEST_WORD)
    lines: list[tuple[str, str]] = [(name, "b" if post.state == "open" else "s")]
    if notice := _notice(post):
        lines.append((cut(notice, 2 * LONGEST_WORD), "b"))
    mileage = f"{facts['mileage_km']:,} km" if facts["mileage_km"] is not None else ""
    title = f"title {facts['title']}" if facts["title"] else ""
    lines += [(text, "") for text in (_joined(mileage, facts["fuel"]), _joined(facts["damage"], title)) if text]
    lines.append((_joined(facts["yard"], _sale(post)), ""))
    lines += [(text, "") for text in _figures(post)]
    html, room = [], LONGEST
    for text, tag in lines:
        shown = cut(text, room)
        room -= units(shown) + 1
        html.append(f"<{tag}>{escape(shown)}</{tag}>" if tag else escape(shown))
        if room <= 1:
            break
    return Message(
        html="\n".join(html),
        photo_url=post.photo_url if is_photo(post.photo_url) else None,
        link=(OPEN if post.is_ours else LOT, post.url) if is_web(post.url) else None,
    )


def _notice(post: LotPost) -> str:
    if post.state == "passed":
        return f"The bid of {_usd(post.most.facts['high_bid'])} has passed the limit"
    reason = clean(post.most.blockers[0]["reason"]) if post.state == "over" and post.most.blockers else ""
    notice = NOTICES.get(post.state, "")
    return f"{notice}: {reason}" if reason else notice


def _sale(post: LotPost) -> str:
    if post.sale is None:
        return "no sale date"
    there = post.sale.astimezone(SOFIA)
    return f"sale {there:%Y-%m-%d %H:%M} in Sofia" if post.has_time else f"sale {post.sale:%Y-%m-%d}"


def _figures(post: LotPost) -> list[str]:
    """Return what the lot costs and brings, and the assumptions that weigh most; nothing without a complete quote."""
    most, quote, facts = post.most, post.most.quote, post.most.facts
    if quote is None or quote.landed_eur is None or quote.total_eur is None or most.quoted is None:
        return []
    worth = f"worth {_eur(facts['p50'])} ({facts['p10']:,} to {facts['p90']:,})"
    found = [
        f"Bid up to {_usd(quote.bid)}: lands at {_eur(quote.landed_eur)}, {worth}, {_left(most)}",
        f"Repair: {_eur(quote.total_eur - quote.landed_eur)} more; the profit is a careful one, with a dear repair",
    ]
    price = post.price
    if price is not None and price.quote is not None and price.quote.landed_eur is not None:
        kind = "Buy now for" if price.bid_kind == "buy now" else "Expected to go for about"
        found.append(f"{kind} {_usd(price.quote.bid)}: lands at {_eur(price.quote.landed_eur)}, {_left(price)}")
    if most.assumptions:
        found.append("Assumed: " + "; ".join(map(_assumed, most.assumptions)))
    return found


def _left(sheet: Sheet) -> str:
    quoted = sheet.quoted
    if quoted is None or quoted.profit_eur is None or quoted.loss_chance is None:
        return ""
    return f"profit {_eur(quoted.profit_eur)}, {quoted.loss_chance:.0%} chance of a loss".replace("%", " %")


def _assumed(line: QuoteLine) -> str:
    source = cut(clean(line.source), LONGEST_SOURCE)
    name = cut(clean(line.name.replace("_", " ")), LONGEST_SOURCE)
    return f"{name} {_eur(line.eur or Decimal(0))} ({source})"


def _joined(*texts: str | None) -> str:
    words = (cut(clean(text or ""), LONGEST_WORD) for text in texts)
    return " · ".join(word for word in words if word)


def _usd(amount: Decimal | int | None) -> str:
    return f"${round(amount or 0):,}"


def _eur(amount: Decimal | int) -> str:
    return f"{round(amount):,} €"
