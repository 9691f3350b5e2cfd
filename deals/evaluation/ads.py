"""Ads with prices from a CSV file, normalized as ads of the database are."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from deals.estimate.cars import Row, of_rows, same_cars
from deals.estimate.doubts import doubts
from deals.stages import normalize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deals.estimate.cars import Cars

COLUMNS: Final = (
    "listing_id", "title", "make", "model", "year", "month", "mileage_km", "fuel", "gearbox", "body", "power_hp",
    "color", "price_bgn", "price_eur", "vat",
)  # fmt: skip
FIRST_YEAR, LAST_YEAR = 1950, 2100
MOST: Final = 1 << 31
"""No number of an ad is as large as this one."""
BGN: Final = Decimal("1.95583")
VATS: Final = {"incl": "included", "excl": "excluded"}


class EvaluateError(Exception):
    """A file cannot be used for the measurement. The message says what is wrong with it."""


def read_file(path: Path) -> tuple[Cars, Counter[str]]:
    """Return the ads of a file that have a usable price, and how many were left out, by the reason.

    Raises EvaluateError if the file or a column is missing, or if it has no ads.
    """
    lines = read_lines(path)
    years = [year for line in lines if (year := _whole(line["year"])) and FIRST_YEAR <= year <= LAST_YEAR]
    this_year = max(years, default=LAST_YEAR)
    left_out: Counter[str] = Counter()
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        row = _row(number, line, this_year)
        if isinstance(row, str):
            left_out[row] += 1
            continue
        rows.append(row)
    cars = of_rows(rows)
    return replace(cars, car=same_cars(cars)), left_out


def read_lines(path: Path) -> list[dict[str, str | None]]:
    """Return the lines of a file. Raises EvaluateError as `read_file` does."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None:
                raise EvaluateError(f"{path} is empty: its first line names the columns {', '.join(COLUMNS)}")
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise EvaluateError(f"{path} lacks the columns {', '.join(missing)}")
            lines = list(reader)
    except (OSError, UnicodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EvaluateError(f"{path} cannot be read as CSV in UTF-8: {reason}") from None
    if not lines:
        raise EvaluateError(f"{path} holds no ad")
    return lines


def ad_of(number: int, line: Mapping[str, str | None]) -> normalize.Ad:
    """Return an ad of a file, as a crawl would have stored it."""
    return normalize.Ad(
        listing_id=number,
        title=line["title"] or "",
        make_text=line["make"] or None,
        model_text=line["model"] or None,
        price_eur=_price(line),
        vat=VATS.get(line["vat"] or "", line["vat"] or None),
        year=_whole(line["year"]),
        month=_whole(line["month"]),
        mileage_km=_whole(line["mileage_km"]),
        fuel=line["fuel"] or None,
        gearbox=line["gearbox"] or None,
        body=line["body"] or None,
        power_hp=_whole(line["power_hp"]),
        colour=line["color"] or None,
    )


def _row(number: int, line: Mapping[str, str | None], this_year: int) -> Row | str:
    """Return an ad of a file, normalized, or why it is left out."""
    ad = ad_of(number, line)
    found = normalize.normalized(ad)
    if ad.price_eur is None:
        return "no price"
    if found.price_problem or found.price_eur is None:
        return found.price_problem or "no price"
    if not (ad.make_text and ad.model_text) or not FIRST_YEAR <= (ad.year or 0) <= LAST_YEAR:
        return "impossible"
    if found.risk == "high":
        return "not a whole car"
    make = found.make or ad.make_text
    model = found.model or f"{make} {ad.model_text}"
    if doubtful := doubts(model=model, year=ad.year, mileage_km=ad.mileage_km, this_year=this_year):
        return doubtful[0]
    return Row(
        listing_id=_id(line["listing_id"] or "", number),
        car=0,
        price_eur=float(found.price_eur),
        year=found.year,
        month=found.month,
        mileage_km=found.mileage_km,
        power_hp=found.power_hp,
        engine_cc=found.engine_cc,
        make=make,
        model=model,
        family=found.family or model,
        fuel=found.fuel or ad.fuel,
        gearbox=found.gearbox or ad.gearbox,
        body=found.body or ad.body,
        colour=found.colour or ad.colour,
        title=ad.title,
    )


def _price(line: Mapping[str, str | None]) -> Decimal | None:
    for name, rate in (("price_eur", Decimal(1)), ("price_bgn", BGN)):
        try:
            value = Decimal(line[name] or "")
        except InvalidOperation:
            continue
        if value.is_finite() and 0 < value < MOST:
            return round(value / rate, 2)
    return None


def _whole(text: str | None) -> int | None:
    """Return a number without its fraction: pandas writes a column with gaps as «2018.0»."""
    try:
        found = int(float(text or ""))
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < MOST else None


def _id(text: str, number: int) -> int:
    """Return the id of an ad, or one that no ad has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else -number
