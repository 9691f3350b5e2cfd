"""An ad as a card for people: its facts, price, value and score, its price history, the cars it is compared with."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from deals.estimate import confidence as how_sure
from vinops.text import grid
from vinops.text.figures import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LABEL: Final = 13
NO_YEAR: Final = "year unknown"
METHODS: Final = {"comparables": "by comparable cars", "model": "by the model", "blend": "by both together"}


def lines(
    ad: Mapping[str, Any], comparables: Sequence[Mapping[str, Any]], *, zone: str, width: int | None
) -> Iterator[str]:
    """Yield the lines of a card in at most `width` columns if one is given; addresses stay whole.

    `ad` is a row of the query `deal` and `comparables` are rows of `comparables`, both in sql/queries/scoring.sql.
    """
    listing: Mapping[str, Any] = ad["listing"]
    cars: Mapping[str, Any] = ad["normalized"] or {}
    worth: Mapping[str, Any] = ad["valuation"] or {}
    yield from grid.fold(f"{ad['title']}, {listing['year'] or NO_YEAR}", width)
    yield str(ad["url"])
    yield ""
    for label, said in (
        ("id", f"{ad['listing_id']}, on the site {listing['ad_id']}"),
        ("price", _price(listing, cars)),
        ("car", _car(listing)),
        ("seller", _joined(listing["seller_kind"], listing["place"], listing["region"])),
        ("posted", _time(listing["posted_at"], zone)),
        ("gone", _time(listing["removed_at"], zone)),
        ("value", _value(worth)),
        ("difference", _difference(cars, worth)),
        ("score", _score(ad)),
        ("reasons", "; ".join(ad["reasons"] or ())),
        ("risk", _risk(cars)),
        ("same car as", str(cars["duplicate_of"]) if cars.get("duplicate_of") else ""),
        ("same car", ", ".join(map(str, ad["duplicates"] or ()))),
    ):
        yield from _labelled(label, said, width)
    yield from _table(
        "Price history",
        ("seen", "EUR"),
        [(_time(each["seen_at"], zone), eur(each["price_eur"])) for each in ad["prices"] or ()],
        width,
    )
    yield from _comparables(comparables, worth, width)
    yield from _table(
        "Messages",
        ("queued", "kind", "state", "EUR"),
        [
            (_time(each["created_at"], zone), each["kind"], each["state"], eur(each["price_eur"]))
            for each in ad["notifications"] or ()
        ],
        width,
    )


def _labelled(label: str, said: str, width: int | None) -> Iterator[str]:
    """Yield a line with a label, none without a text."""
    if said:
        first, *others = grid.fold(said, None if width is None else width - LABEL)
        yield f"{label:<{LABEL}}{first}"
        yield from (" " * LABEL + each for each in others)


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    if rows:
        yield from ("", title)
        yield from grid.lines(names, rows, width=width, right=[name == "EUR" for name in names])


def _comparables(found: Sequence[Mapping[str, Any]], worth: Mapping[str, Any], width: int | None) -> Iterator[str]:
    """Yield a row for each comparable car, and its address below."""
    if not found:
        return
    yield ""
    yield from grid.fold(f"The nearest of {worth['comparables']} comparable cars", width)
    for each in found:
        gone = "gone" if each["removed_at"] else ""
        said = _joined(eur(each["price_eur"]) + " EUR", str(each["year"] or NO_YEAR), _km(each["mileage_km"]), gone)
        yield from grid.fold(f"{said}, {each['title']} (id {each['listing_id']})", width)
        yield f"    {each['url']}"


def _price(listing: Mapping[str, Any], cars: Mapping[str, Any]) -> str:
    price = cars.get("price_eur") if cars.get("price_eur") is not None else listing["price_eur"]
    said = f"{eur(price)} EUR" if price is not None else "no price"
    return _joined(said, listing["vat"] and f"VAT {listing['vat']}", cars.get("price_problem"))


def _car(listing: Mapping[str, Any]) -> str:
    hp = f"{listing['power_hp']} hp" if listing["power_hp"] else None
    return _joined(
        _km(listing["mileage_km"]), listing["fuel"], listing["gearbox"], hp, listing["body"], listing["colour"]
    )


def _value(worth: Mapping[str, Any]) -> str:
    if not worth or worth["p50"] is None:
        return str((worth.get("details") or {}).get("reason") or "not priced")
    spread = f"about {eur(worth['p50'])} EUR, four of five between {eur(worth['p10'])} and {eur(worth['p90'])}"
    method = METHODS.get(worth["method"], worth["method"])
    sure = how_sure.words(float(worth["confidence"]))
    return f"{spread}; {method}, {sure} (confidence {float(worth['confidence']):.2f})"


def _difference(cars: Mapping[str, Any], worth: Mapping[str, Any]) -> str:
    price, middle = cars.get("price_eur"), worth.get("p50")
    if price is None or not middle:
        return ""
    return f"{100 * (Decimal(str(price)) / Decimal(str(middle)) - 1):+.0f} % of the value"


def _score(ad: Mapping[str, Any]) -> str:
    if ad["score"] is None:
        return "not scored"
    return f"{ad['score']}, {'worth a message' if ad['is_approved'] else 'not worth a message'}"


def _risk(cars: Mapping[str, Any]) -> str:
    if not cars or (cars["risk"] == "low" and not cars["risks"]):
        return ""
    quotes = (f"{each['flag']} «{each['words']}»" for each in cars["risks"])
    return _joined(cars["risk"], *quotes)


def _km(number: int | None) -> str | None:
    return None if number is None else f"{number:,} km"


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _time(at: str | datetime | None, zone: str) -> str:
    """Return a time for people; JSON in a row has it as text."""
    if at is None:
        return ""
    return moment(datetime.fromisoformat(at) if isinstance(at, str) else at, zone)


def eur(price: Any) -> str:
    """Return an amount without cents, its thousands set apart; `-` without one."""
    return "-" if price is None else f"{Decimal(str(price)):,.0f}"
