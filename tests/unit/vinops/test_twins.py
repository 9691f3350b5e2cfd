"""Cars with another name in America than in Europe: each name is one of the vocabulary, and wrong twins are none."""

from __future__ import annotations

import pytest

from vinops import twins, vehicles


def test_every_name_is_a_model_of_the_vocabulary() -> None:
    unknown = [name for name in twins.models() if (found := vehicles.model_named(name)) is None or found.value != name]
    assert unknown == []


@pytest.mark.parametrize(
    ("model", "year", "expected"),
    [
        ("Ford Escape", 2015, "Ford Kuga"),
        ("Ford Escape", 2010, None),
        ("Ford Fusion", 2016, "Ford Mondeo"),
        ("Nissan Rogue", 2018, "Nissan X-Trail"),
        ("Mitsubishi Outlander Sport", 2014, "Mitsubishi ASX"),
        ("Volkswagen Tiguan", 2019, "Volkswagen Tiguan Allspace"),
        ("Volkswagen Tiguan", 2015, None),
        ("Nissan Kicks", 2019, None),
        ("Nissan Sentra", 2019, None),
        ("Ford Kuga", 2019, None),
    ],
)
def test_a_twin_depends_on_the_model_year(model: str, year: int, expected: str | None) -> None:
    found = twins.twin(model, year)
    assert (found.model if found else None) == expected
    assert twins.twin(model, None) is None


def test_the_passat_of_america_is_not_that_of_europe() -> None:
    found = twins.twin("Volkswagen Passat", 2014)
    assert found is not None
    assert (found.model, found.is_always) == (None, True)
    assert twins.twin("Volkswagen Passat", 2010) is None


def test_an_outlander_sport_is_no_outlander() -> None:
    found = vehicles.model("Mitsubishi", "OUTLANDER SPORT")
    assert found is not None
    assert found.value == "Mitsubishi Outlander Sport"
