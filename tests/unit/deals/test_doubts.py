"""Years and mileages that cannot be believed."""

from __future__ import annotations

import pytest

from deals.estimate.doubts import doubts


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"year": 2010, "mileage_km": 49_999}, ("mileage doubtful",)),
        ({"year": 2010, "mileage_km": 50_000}, ()),
        ({"year": 2014, "mileage_km": 30_000}, ("mileage doubtful",)),
        ({"year": 2015, "mileage_km": 30_000}, ()),
        ({"year": 2010, "mileage_km": 228}, ()),  # thousands: it is read as unknown
        ({"year": 2010, "mileage_km": None}, ()),
        ({"year": 2029, "mileage_km": 30_000}, ("year doubtful",)),
        ({"year": 2028, "mileage_km": 30_000}, ()),
        ({"model": "Chevrolet Kalos", "year": 2025, "mileage_km": 21_483}, ("year doubtful",)),
        ({"model": "Chevrolet Kalos", "year": 2008, "mileage_km": 121_483}, ()),
        ({"year": None, "mileage_km": 3_000}, ()),
    ],
)
def test_facts_that_contradict_each_other_are_doubtful(facts: dict[str, object], found: tuple[str, ...]) -> None:
    assert doubts(**{"model": "Kola 100", "this_year": 2027} | facts) == found  # type: ignore[arg-type]
