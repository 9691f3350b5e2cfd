"""Lots of the import deals for people: the ranking, and one lot with its value, its quote and its comparables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from deals.estimate import confidence as how_sure
from ops.show import quotes
from vinops.text import grid
from vinops.text.figures import moment, percent, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from deals.offers.bids import TypedBid
    from deals.offers.ranking import Sheet

WIDTH: Final = 80
LABEL: Final = 13
KINDS: Final = {"typed": "your bid", "floor": "usual bid"}
"""What prices to count with are called, where it is not their name."""


def ranking(rows: Sequence[Mapping[str, Any]], *, zone: str, width: int | None) -> Iterator[str]:
    """Yield the lines of ranked lots, as rows of top_by_profit and top_by_bid in sql/queries/lots.sql."""
    for place, row in enumerate(rows, 1):
        head = f"{place:>2}  "
        for number, line in enumerate(_ranked(row, zone)):
            for each in grid.fold(line, None if width is None else width - len(head)):
                yield f"{head if not number else '    '}{each}"
                head = "    "


def _ranked(row: Mapping[str, Any], zone: str) -> Iterator[str]:
    miles = "" if row["mileage_km"] is None else f", {row['mileage_km']:,} km"
    yield f"lot {row['lot']}: {row['model']} {row['year']}{miles}, {row['fuel'] or 'fuel unknown'}"
    yield f"{row['damage'] or 'damage unknown'}; {row['title']}; {row['yard']}; sale {when(row['sale_at'], zone)}"
    yield offer(row)
    sure = how_sure.words(row["confidence"])
    by = f", by the ads of {row['twin']}" if row["twin"] else ""
    yield f"{row['comparables']} comparable ads{by}, {sure}"


def offer(row: Mapping[str, Any]) -> str:
    """Return what one may bid and what that leads to, in one sentence."""
    at = f"bid up to ${row['most_bid_usd']:,}"
    if row["bid_usd"] is not None:
        at = f"{KINDS.get(row['bid_kind'], row['bid_kind'])} ${row['bid_usd']:,}, {at}"
    worth = f"worth {row['p50']:,} € ({row['p10']:,} to {row['p90']:,})"
    profit = f"profit {row['profit_eur']:,} € ({row['profit_low']:,} to {row['profit_high']:,})"
    return (
        f"{at}: lands at {row['landed_eur']:,.0f} €, {worth}, {profit}, {percent(row['loss_chance'])} chance of a loss"
    )


def lines(found: Sheet, ads: Sequence[Mapping[str, Any]], typed: TypedBid | None = None, *, zone: str) -> Iterator[str]:
    """Yield a lot as text: facts, the bid that was kept for it, blockers, value, quote, comparables."""
    facts = found.facts
    yield f"{facts['model'] or facts['model_text'] or facts['make'] or 'car unknown'} {facts['year'] or ''}".rstrip()
    for label, said in (
        ("lot", f"{facts['lot']}, {facts['status']}"),
        ("VIN", facts["vin"] or "not given"),
        ("mileage", "" if facts["mileage_km"] is None else f"{facts['mileage_km']:,} km"),
        ("damage", ", ".join(filter(None, (facts["damage"], facts["secondary_damage"]))) or "unknown"),
        ("title", facts["title"] or "unknown"),
        ("yard", facts["yard"] or "unknown"),
        ("sale", f"{when(facts['sale_at'], zone)}{_status(facts['sale_status'])}"),
        ("bid", f"{facts['high_bid']:,.0f} {facts['currency']}, before the sale" if facts["high_bid"] else ""),
        ("your bid", _kept(typed) if typed else ""),
        ("buy now", f"{facts['buy_now_price']:,.0f} {facts['currency']}" if facts["buy_now_price"] else ""),
    ):
        if said:
            yield from wrapped(said, WIDTH, f"{label:{LABEL}}")
    for blocker in found.blockers:
        yield from wrapped(f"{blocker['name']}: {blocker['reason']}", WIDTH, f"{'blocked':{LABEL}}")
    yield from _value(facts)
    if found.quoted is not None and found.quote is not None:
        yield from wrapped(_said(found), WIDTH, f"{'quote':{LABEL}}")
        yield ""
        yield from quotes.lines(found.quote)
    yield from _comparables(ads)


def as_json(found: Sheet, ads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a lot for JSON, with the lines of its quote."""
    row = dict(found.facts) | {
        "blockers": list(found.blockers),
        "profile": found.by and found.by.name,
        "comparable_ads": list(ads),
    }
    row |= {"bid_usd": found.bid, "bid_kind": found.bid_kind}
    if found.quoted is not None:
        names = ("most_bid_usd", "profit_eur", "profit_low", "profit_high", "loss_chance", "is_ranked")
        row |= {name: getattr(found.quoted, name) for name in names}
    if found.quote is not None and found.rates is not None and found.by is not None:
        row["quote"] = quotes.as_object(found.quote, found.by, found.rates)
    return row


def when(at: datetime | None, zone: str) -> str:
    """Return a time for people, in their zone."""
    return "without a time" if at is None else moment(at, zone)


def _kept(typed: TypedBid) -> str:
    who = f", {typed.name}" if typed.name else ""
    passed = "; others have bid more, so that it does not count" if typed.is_passed else ""
    return f"{typed.bid_usd:,} USD{who}{passed}"


def _status(text: str | None) -> str:
    return f", {text}" if text else ""


def _value(facts: Mapping[str, Any]) -> Iterator[str]:
    details = facts["details"] or {}
    if facts["p50"] is None:
        yield from wrapped("none" if facts["valued_at"] else "not looked at yet", WIDTH, f"{'value':{LABEL}}")
        return
    said = f"{facts['p50']:,} €, four of five such cars {facts['p10']:,} to {facts['p90']:,}; "
    said += f"{facts['comparables']} comparable ads, {how_sure.words(facts['confidence'])}"
    yield from wrapped(said, WIDTH, f"{'value':{LABEL}}")
    yield from wrapped(details.get("discount", ""), WIDTH, " " * LABEL)
    if facts["twin"]:
        yield from wrapped(f"by the ads of {facts['twin']}: {details.get('by_twin')}", WIDTH, " " * LABEL)


def _said(found: Sheet) -> str:
    quoted = found.quoted
    if quoted is None or not quoted.is_complete or found.quote is None or found.quote.landed_eur is None:
        return "incomplete: a part of the cost is not known"
    row = {name: getattr(quoted, name) for name in ("most_bid_usd", "profit_eur", "profit_low", "profit_high")}
    row |= {"loss_chance": quoted.loss_chance, "bid_usd": quoted.bid_usd, "bid_kind": found.bid_kind}
    row |= {name: found.facts[name] for name in ("p10", "p50", "p90")}
    return offer(row | {"landed_eur": found.quote.landed_eur})


def _comparables(ads: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not ads:
        return
    yield ""
    yield "comparable ads, the nearest first:"
    for ad in ads:
        km = "" if ad["mileage_km"] is None else f", {ad['mileage_km']:,} km"
        price = "no price" if ad["price_eur"] is None else f"{ad['price_eur']:,.0f} €"
        yield f"  {price}  {ad['title']}, {ad['year']}{km}{', gone' if ad['is_gone'] else ''}"
        yield f"    {ad['url']}"
