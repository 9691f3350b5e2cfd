"""Facts of an ad that contradict each other: such an ad is no example of a price, and no deal until someone asks."""

from __future__ import annotations

from typing import Final

NEW_ENOUGH: Final = 12  # years: an older car with fewer than FEW_KM has had its mileage changed, or a digit is missing
FEW_KM: Final = 50_000
LEAST_KM: Final = 1_000  # fewer are not read as a mileage (deals.estimate.cars)
LAST_BUILT: Final = {
    "Chevrolet Kalos": 2011, "Chevrolet Lacetti": 2011, "Citroën Xsara": 2006, "Citroën Xsara Picasso": 2010,
    "Fiat Stilo": 2008, "Ford Escort": 2003, "Mercedes-Benz C 270": 2007, "Mercedes-Benz E 270": 2006,
    "Nissan Almera": 2006, "Nissan Primera": 2008, "Opel Vectra": 2009, "Peugeot 206": 2012, "Peugeot 307": 2009,
    "Peugeot 407": 2011, "Renault Laguna": 2015, "Volkswagen Bora": 2006, "Volkswagen Lupo": 2005,
}  # fmt: skip
"""The last year in which cars of these models were built for Europe, as their makers state (2025)."""


def doubts(*, model: str | None, year: int | None, mileage_km: int | None, this_year: int) -> tuple[str, ...]:
    """Return what is doubtful in these facts, by name: "year doubtful", "mileage doubtful"."""
    if year is None:
        return ()
    found = []
    if year > this_year + 1 or year > LAST_BUILT.get(model or "", year) + 1:
        found.append("year doubtful")
    if mileage_km is not None and LEAST_KM <= mileage_km < FEW_KM and this_year - year > NEW_ENOUGH:
        found.append("mileage doubtful")
    return tuple(found)
