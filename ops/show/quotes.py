"""A quote of a lot as JSON and as text for people, 80 columns wide."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from vinops.text.figures import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deals.landed.itemised import Quote, QuoteLine
    from deals.landed.lot import Rates
    from deals.landed.profiles import Profile

WIDTH: Final = 80
NAMES: Final = {
    "bid": "bid",
    "buyer_fee": "buyer fee",
    "virtual_bid_fee": "virtual bid fee",
    "gate_fee": "gate fee",
    "environmental_fee": "environmental fee",
    "title_pickup": "title pick-up",
    "road": "road to the port",
    "ocean": "ocean",
    "insurance": "insurance",
    "broker_fee": "broker",
    "duty": "duty",
    "origin_certificate": "certificate of origin",
    "port_fee": "port of destination",
    "customs_agent": "customs agent",
    "delivery": "delivery to Bulgaria",
    "vat": "import VAT",
    "approval": "individual approval",
    "conversion": "lamps for the approval",
    "product_fee": "product fee",
    "registration": "registration",
    "exchange": "exchange of the bank",
    "repair": "repair",
    "vat_deducted": "VAT deducted",
}
"""The lines of a quote for people."""
LARGEST: Final = 3


def as_object(quote: Quote, profile: Profile, rates: Rates) -> dict[str, Any]:
    """Return a quote for JSON; amounts are decimals."""
    return {
        "bid_usd": quote.bid,
        "profile": profile.name,
        "usd_per_eur": rates.usd,
        "rate_day": rates.day.isoformat() if rates.day else None,
        "lines": [_line(each) for each in quote.lines],
        "auction_fees_usd": quote.auction_fees_usd,
        "is_complete": quote.is_complete,
        "missing": list(quote.missing),
        "notes": list(quote.notes),
        "landed_eur": quote.landed_eur if quote.is_complete else None,
        "total_eur": quote.total_eur,
    }


def _line(line: QuoteLine) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": line.name,
        "amount": line.amount,
        "currency": line.currency,
        "eur": line.eur,
        "kind": line.kind,
        "basis": line.basis,
        "source": line.source,
    }
    if line.rate_percent is not None:
        found["rate_percent"] = line.rate_percent
    if line.tariff is not None:
        found["tariff"] = {"name": line.tariff.name, "checked": line.tariff.checked.isoformat()}
        found["tariff"]["confidence"] = line.tariff.confidence
    return found


def assumptions(quote: Quote) -> list[QuoteLine]:
    """Return the assumed lines, the one with the largest part of the total first."""
    found = [line for line in quote.lines if line.kind == "assumed" and line.eur]
    return sorted(found, key=lambda line: -abs(line.eur or Decimal()))


def lines(quote: Quote) -> Iterator[str]:
    """Yield a quote as lines of text: the amounts, what is assumed or missing, then where each comes from."""
    yield f"{'':<24}{'amount':>15}      {'EUR':>12}  {'':<10}"
    for line in quote.lines:
        amount = "unknown" if line.amount is None else f"{line.amount:,.2f}"
        eur = "" if line.eur is None else f"{line.eur:,.2f}"
        yield f"{NAMES.get(line.name, line.name):<24}{amount:>15} {line.currency}  {eur:>12}  {line.kind}"
    yield "-" * 57
    whole = "incomplete" if quote.total_eur is None else f"{quote.total_eur:,.2f}"
    yield f"{'total':<24}{'':>15} EUR  {whole:>12}"
    yield ""
    if quote.auction_fees_usd is not None:
        yield f"auction fees: {quote.auction_fees_usd:,.2f} USD"
    for each in quote.missing:
        name, _, why = each.partition(": ")
        yield from wrapped(f"{NAMES.get(name, name)}: {why}", WIDTH, "unknown, so that there is no total: ")
    for each in quote.notes:
        yield from wrapped(each, WIDTH, "note: ")
    if largest := assumptions(quote)[:LARGEST]:
        said = ", ".join(f"{NAMES.get(line.name, line.name)} {line.eur:,.0f} EUR" for line in largest)
        yield from wrapped(said, WIDTH, "the largest assumptions: ")
    yield ""
    for line in quote.lines:
        yield from wrapped(f"{line.basis}; {line.source}", WIDTH, f"{NAMES.get(line.name, line.name)}: ")
