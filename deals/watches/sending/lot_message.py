"""What messages say of a lot: when it is sold, how far to bid, what it costs landed, what it is worth, the chance of a
loss. Pure functions from facts to lines of Telegram's HTML; see message.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from deals.watches import texts
from vinops import lot_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from typing import Literal
    from zoneinfo import ZoneInfo

SIGNS: Final = {"USD": "$", "CAD": "CAD"}
RUNS: Final = {"run and drive": "drives", "starts": "starts"}


def facts(row: Mapping[str, Any], *, site: str, public: str | None, zone: ZoneInfo) -> dict[str, Any]:
    """Return the facts of a lot as the messages need them. `site` is the address of the auction's site, and `public`
    that of ours, if people can open it."""
    number = row["lot_external_id"]
    photo = row.get("photo_url")
    return {
        **row,
        "url": f"{public.rstrip('/')}/lots/{number}" if public else f"{site.rstrip('/')}/lot/{number}",
        "sale": sale(row, zone),
        "photo_url": photo if photo is None or "://" in photo else f"https://{photo}",
        "price_eur": None,
    }


def sale(row: Mapping[str, Any], zone: ZoneInfo) -> str | None:
    """Return when a lot is sold, in a zone; of a sale without a time the day."""
    at = row["sale_at"]
    if at is None:
        return None
    if not row.get("has_time", True):
        return f"{at:%d.%m.%Y}"
    return f"{at.astimezone(zone):%d.%m.%Y %H:%M} ({zone.key})"


def lines(language: str, lot: Mapping[str, Any]) -> list[str]:
    """Return the lines below the name of a lot."""
    code = texts.code(language)
    parts = [
        texts.say(language, "lot", number=lot["lot_external_id"]),
        _named(code, "damage", lot["damage"]),
        _named(code, "title_group", lot["title_group"]),
        _named(code, "runs", RUNS.get(lot["condition"])),
        _mileage(language, lot),
        texts.quoted(lot["yard_name"] or lot["state"] or "", 40),
    ]
    sold = texts.say(language, "sale", when=lot["sale"]) if lot["sale"] else texts.say(language, "no_sale")
    bid = amount(lot["high_bid"], lot["currency"])
    found = [" · ".join(filter(None, parts))]
    found.append(f"{sold} · {texts.say(language, 'bid', price=bid)}" if bid else sold)
    if not lot["is_gone"]:
        found += [*_notices(language, lot), *figures(language, lot)]
    return found


def figures(language: str, lot: Mapping[str, Any]) -> list[str]:
    """Return what a ranked lot costs and brings; nothing of another one."""
    if lot["most_bid_usd"] is None or lot["landed_eur"] is None or lot["p50"] is None:
        return []
    most = texts.say(language, "bid_up_to", bid=dollars(lot["most_bid_usd"]))
    lands = texts.say(language, "lands_at", landed=texts.eur(lot["landed_eur"]))
    worth = texts.say(
        language, "worth", worth=texts.eur(lot["p50"]), low=texts.number(lot["p10"]), high=texts.number(lot["p90"])
    )
    found = []
    if lot["bid_usd"] is None:
        found.append(f"<b>{most}</b>: {lands}, {worth}")
    else:
        price = texts.say(
            language, "buy_now" if lot["bid_kind"] == "buy now" else "expected", bid=dollars(lot["bid_usd"])
        )
        found += [f"<b>{price}</b>: {lands}, {worth}", most]
    if lot["profit_eur"] is not None and lot["loss_chance"] is not None:
        about = {"profit": texts.eur(lot["profit_eur"]), "chance": round(lot["loss_chance"] * 100)}
        found.append(texts.say(language, "profit", **about))
    return found


def line(language: str, lot: Mapping[str, Any]) -> str:
    """Return what a list says of a lot behind its name, as HTML."""
    code = texts.code(language)
    bid = amount(lot["high_bid"], lot["currency"])
    landed = texts.say(language, "lands_at", landed=texts.eur(lot["landed_eur"])) if lot["landed_eur"] else ""
    most = texts.say(language, "bid_up_to", bid=dollars(lot["most_bid_usd"])) if lot["most_bid_usd"] else ""
    parts = [
        texts.say(language, "bid", price=bid) if bid else "",
        landed,
        most[:1].lower() + most[1:],
        _named(code, "damage", lot["damage"]),
        texts.say(language, "sale", when=lot["sale"]) if lot["sale"] else "",
    ]
    return ", ".join(filter(None, parts))


def amount(value: Decimal | int | None, currency: str | None) -> str:
    """Return an amount in the currency of its lot; empty for an unknown one and for none."""
    return f"{texts.number(value)}\u00a0{SIGNS.get(currency or 'USD', '¤')}" if value else ""


def dollars(value: int) -> str:
    """Return an amount in USD."""
    return amount(value, "USD") or "0\u00a0$"


def _notices(language: str, lot: Mapping[str, Any]) -> list[str]:
    state = lot["shown"].partition(" ")[0]
    if state == "passed":
        return [f"<b>{texts.say(language, 'bid_passed')}</b>"]
    if state == "over" and lot["against"]:
        said = lot_words.name(texts.code(language), "against", lot["against"])
        return [texts.say(language, "against", reason=said)]
    return []


def _named(code: Literal["bg", "en"], kind: str, value: str | None) -> str:
    return "" if value is None else texts.quoted(lot_words.name(code, kind, value), 60)


def _mileage(language: str, lot: Mapping[str, Any]) -> str:
    if lot["odometer"] is None or lot["odometer_km"] is None:
        return ""
    km = f"{texts.number(lot['odometer_km'])} {texts.say(language, 'km')}"
    return f"{km} ({texts.number(lot['odometer'])} mi)"
