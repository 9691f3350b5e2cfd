"""What messages about cars say: pure functions from facts to Telegram's HTML, in the language of the person.

Whatever the facts contain, the result is well-formed and fits the caption of a photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Final

from deals.channel.message import LONGEST, clean, cut, is_photo, is_web
from deals.watches import texts
from deals.watches.sending import lot_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vinops.telegram import Link

LONGEST_TITLE: Final = 200
LONGEST_FILTER: Final = 160
MOST_RISKS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Content:
    """A message as it is sent: HTML, rows of buttons, and the photo that Telegram is to fetch. `price_eur` is what it
    shows, and `shown` what it shows of a lot, as lot_message_states has it."""

    html: str
    buttons: list[list[Link]]
    photo_url: str | None = None
    price_eur: Decimal | None = None
    shown: str | None = None


def hit(
    language: str,
    facts: Mapping[str, Any],
    *,
    filters: Sequence[str],
    message_id: int,
    watch_id: int | None,
    note: str = "",
) -> Content:
    """Return the message about a car. `filters` are the watches that found it, in words; `note` is a line at the end.
    `message_id` is our number of the message, which its buttons name."""
    lines = _lines(language, facts)
    if filters:
        lines.append(texts.say(language, "for", filter=cut("; ".join(map(clean, filters)), LONGEST_FILTER)))
    if note:
        lines.append(note)
    url = facts.get("url") or ""
    rows: list[list[Link]] = []
    is_lot = "lot_id" in facts
    if is_web(url):
        rows.append([(texts.say(language, "open_lot" if is_lot else "open"), url)])
    mute: Link = (texts.say(language, "mute"), f"mute:{message_id}")
    rows.append([mute] if is_lot else [(texts.say(language, "follow"), f"follow:{message_id}"), mute])
    if watch_id is not None:
        rows.append([(texts.say(language, "pause_watch"), f"pause:{watch_id}")])
    photo = facts.get("photo_url")
    return Content(
        html=texts.fitted(lines, LONGEST),
        buttons=rows,
        photo_url=photo if is_photo(photo) else None,
        price_eur=facts.get("price_eur"),
        shown=facts.get("shown"),
    )


def gone(language: str, facts: Mapping[str, Any]) -> Content:
    """Return what replaces the message about a car that is gone."""
    url = facts.get("url") or ""
    is_lot = "lot_id" in facts
    opens = texts.say(language, "open_lot" if is_lot else "open")
    rows: list[list[Link]] = [[(opens, url)]] if is_web(url) else []
    notice = texts.say(language, "lot_gone" if is_lot else "gone")
    lines = [f"<b>{notice}</b>", *_lines(language, facts, is_gone=True)]
    return Content(html=texts.fitted(lines, LONGEST), buttons=rows, shown=facts.get("shown"))


def dropped(language: str, facts: Mapping[str, Any], before: Decimal | None) -> Content:
    """Return the reply about a price that came down."""
    now = facts["price_eur"]
    change = "" if not before else f"−{texts.eur(before - now)}, {round((before - now) / before * 100)}\u00a0%"
    lines = [
        texts.say(language, "dropped", now=texts.eur(now), before=texts.eur(before), change=change),
        texts.quoted(facts["title"], LONGEST_TITLE),
    ]
    url = facts.get("url") or ""
    rows: list[list[Link]] = [[(texts.say(language, "open"), url)]] if is_web(url) else []
    return Content(html=texts.fitted(lines, LONGEST), buttons=rows, price_eur=now)


def digest(language: str, cars: Sequence[Mapping[str, Any]], *, count: int, more_url: str | None) -> Content:
    """Return a digest of some of `count` cars, a line each; the last ones are only counted if it would be too long."""
    head = texts.say(language, "digest_head", count=texts.number(count))
    lines = [_digest_line(language, car) for car in cars]
    link = [texts.say(language, "link", url="") + more_url] if more_url else []
    while True:
        more = [texts.say(language, "more", count=texts.number(count - len(lines)))] if count > len(lines) else []
        html = "\n".join([head, *lines, *more, *link])
        if texts.visible(html) <= texts.LONGEST or not lines:
            return Content(html=html, buttons=[])
        lines.pop()


def _digest_line(language: str, car: Mapping[str, Any]) -> str:
    title = texts.quoted(car["title"], 80)
    url = car["url"] or ""
    shown = f'<a href="{escape(url)}">{title}</a>' if is_web(url) and len(url) < 500 else title
    if car.get("lot_id") is not None:
        return f"• {shown}: {lot_message.line(language, car)}"
    km = "" if car.get("mileage_km") is None else f"{texts.number(car['mileage_km'])} {texts.say(language, 'km')}"
    facts = [texts.eur(car["price_eur"]), str(car.get("year") or ""), km]
    return f"• {shown}: {escape(', '.join(filter(None, facts)))}"


def ad_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an ad as the messages need them."""
    risks = [each.get("words", "") for each in row["risks"] or () if each.get("level") != "low"]
    return {**row, "risks": risks}


def _lines(language: str, facts: Mapping[str, Any], *, is_gone: bool = False) -> list[str]:
    title = texts.quoted(facts["title"] or "–", LONGEST_TITLE)
    return [f"<s>{title}</s>" if is_gone else f"<b>{title}</b>", *_details(language, facts)]


def _details(language: str, facts: Mapping[str, Any]) -> list[str]:
    if "lot_id" in facts:
        return lot_message.lines(language, facts)
    when = f"{facts['month']:02}/{facts['year']}" if facts["year"] and facts["month"] else str(facts["year"] or "")
    car = [
        when,
        "" if facts["mileage_km"] is None else f"{texts.number(facts['mileage_km'])} {texts.say(language, 'km')}",
        texts.name(language, facts["fuel"]),
        texts.name(language, facts["gearbox"]),
        "" if facts["power_hp"] is None else f"{facts['power_hp']} {texts.say(language, 'hp')}",
        facts["place"] or "",
    ]
    lines = [_price(language, facts), texts.quoted(" · ".join(filter(None, car)), 200)]
    if facts["risks"]:
        lines.append(texts.say(language, "beware", words=", ".join(facts["risks"][:MOST_RISKS])))
    return [line for line in lines if line]


def _price(language: str, facts: Mapping[str, Any]) -> str:
    price, worth = facts["price_eur"], facts["p50"]
    if price is None:
        return texts.say(language, "no_price")
    line = f"<b>{texts.eur(price)}</b>"
    if worth:
        percent = round((worth - price) / worth * 100)
        key = "below_market" if percent >= 1 else "above_market" if percent <= -1 else "at_market"
        line += f" · {texts.say(language, key, percent=abs(percent), worth=texts.eur(worth))}"
    score = facts.get("score")
    return line if score is None else f"{line} · {texts.say(language, 'score', score=score)}"
