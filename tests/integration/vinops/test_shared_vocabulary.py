"""How much of the real market the vocabulary knows, where there are real words beside the repository.

They are ads, the site's own lists and a day of the auction, in the folder that VINOPS_SHARED_DATA names, else in
`../shared/data`. None of them is part of the repository: the vocabulary is written by us.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vinops import vehicles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DATA = Path(os.environ.get("VINOPS_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
ADS = DATA / "listings_bg_2025.csv"
LISTS = DATA / "mobilebg_dictionaries_2025-10.json"
MODELS = DATA / "bg_models_and_places.json"
AUCTION = DATA / "copart_salesdata59.csv.gz"
COLUMNS = {
    "make": vehicles.make, "fuel": vehicles.fuel, "gearbox": vehicles.gearbox, "body": vehicles.body,
    "color": vehicles.colour,
}  # fmt: skip
NOT_OF_A_CAR = {"", "всички", "всички категории", "Без значение", "България"}
"""What the site's form says for "any"."""

pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in (ADS, LISTS, MODELS, AUCTION)),
    reason="the real words are not here: name their folder in VINOPS_SHARED_DATA",
)


@pytest.fixture(scope="module")
def ads() -> list[dict[str, str]]:
    with ADS.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def lots() -> list[dict[str, str]]:
    """The cars of a day of the auction."""
    with gzip.open(AUCTION) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace"))
        return [row for row in rows if row["Vehicle Type"] == "V"]


def known(texts: Iterable[str], look_up: Callable[[str], Any]) -> tuple[float, list[tuple[str, int]]]:
    """Of how many of the texts that say something we know what it is, and which others are the most frequent."""
    counts = Counter(text for text in texts if text)
    unknown = Counter({text: count for text, count in counts.items() if look_up(text) is None})
    return 1 - unknown.total() / counts.total(), unknown.most_common(10)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_words_of_real_ads(ads: list[dict[str, str]], column: str) -> None:
    share, unknown = known((ad[column] for ad in ads), COLUMNS[column])
    assert share >= 0.999, unknown


def test_the_models_of_real_ads(ads: list[dict[str, str]]) -> None:
    unknown = Counter[str]()
    guessed = Counter[str]()
    told = [ad for ad in ads if ad["model"]]
    for ad in told:
        make = vehicles.make(ad["make"])
        model = make and vehicles.model(make.value, ad["model"], title=ad["title"])
        unknown[f"{ad['make']} {ad['model']}"] += model is None
        guessed[f"{ad['make']} {ad['model']}"] += bool(model and model.how == "fuzzy")
    assert 1 - unknown.total() / len(told) >= 0.99, unknown.most_common(20)
    assert guessed.total() / len(told) <= 0.001, guessed.most_common(20)


def test_a_title_changes_few_models_and_leaves_the_make(ads: list[dict[str, str]]) -> None:
    changed = 0
    for ad in ads:
        make = vehicles.make(ad["make"])
        if make and (model := vehicles.model(make.value, ad["model"])):
            by_title = vehicles.model(make.value, ad["model"], title=ad["title"])
            assert by_title is not None
            assert by_title.make == model.make
            changed += by_title.value != model.value
    assert 0.001 < changed / len(ads) < 0.02


@pytest.mark.parametrize("name", ["fuel", "gearbox", "body", "colour", "region"])
def test_the_words_of_the_site(name: str) -> None:
    entries = json.loads(LISTS.read_text(encoding="utf-8"))[name]
    texts = {text for entry in entries for text in ([entry] if isinstance(entry, str) else entry)} - NOT_OF_A_CAR
    assert len(texts) >= 3
    assert not [text for text in texts if getattr(vehicles, name)(text) is None]


def test_the_makes_of_the_site() -> None:
    counts = json.loads(LISTS.read_text(encoding="utf-8"))["brand_counts_2025_10"]
    unknown = {make: count for make, count in counts.items() if vehicles.make(make) is None}
    assert 1 - sum(unknown.values()) / sum(counts.values()) >= 0.999, unknown
    assert not [make for make in counts if (found := vehicles.make(make)) and found.how == "fuzzy"]


def test_the_models_of_the_site() -> None:
    by_make = json.loads(MODELS.read_text(encoding="utf-8"))["models_by_brand"]
    of_ours = [
        (make.value, model) for name, models in by_make.items() if (make := vehicles.make(name)) for model in models
    ]
    found = {pair: vehicles.model(*pair) for pair in of_ours}
    unknown = [pair for pair, model in found.items() if model is None]
    assert 1 - len(unknown) / len(of_ours) >= 0.97, unknown
    assert not [pair for pair, model in found.items() if model and model.how == "fuzzy"]


def test_the_models_that_the_site_has_lists_of() -> None:
    lists = json.loads(LISTS.read_text(encoding="utf-8"))["model_slugs_selected_brands"]
    for slug, models in lists.items():
        make = vehicles.make(slug)
        assert make is not None
        assert not [each["model"] for each in models if vehicles.model(make.value, each["model"]) is None]


def test_the_districts_have_their_names() -> None:
    places = json.loads(MODELS.read_text(encoding="utf-8"))["places_by_region"]
    assert len(places) == 27
    assert not [region for region in places if vehicles.region(region) is None]


def test_the_makes_of_the_auction(lots: list[dict[str, str]]) -> None:
    share, unknown = known((lot["Make"] for lot in lots), vehicles.make)
    assert share >= 0.99, unknown


def test_the_models_of_the_auction(lots: list[dict[str, str]]) -> None:
    groups = [(make.value, lot["Model Group"]) for lot in lots if (make := vehicles.make(lot["Make"]))]
    found = {pair: vehicles.model(*pair) for pair in set(groups)}
    unknown = Counter(pair for pair in groups if found[pair] is None)
    assert 1 - unknown.total() / len(groups) >= 0.95, unknown.most_common(20)
    assert sum(model is not None and model.how == "fuzzy" for model in found.values()) <= 5
