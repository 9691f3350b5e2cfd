"""One vocabulary: what names what, what is guessed, and what is never taken for something else."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from standin.market import values as market_values
from vinops import vehicles


def model(make: str, text: str, title: str = "") -> str | None:
    """The model that a text names, or None."""
    found = vehicles.model(make, text, title=title)
    return found.value if found else None


@pytest.mark.parametrize(
    "text", ["GRAND CHER", "Гранд Чероки", "Grand Cherokee", "grand-cherokee", "GRAND CHEROKEE LTD"]
)
def test_the_auction_and_the_ads_name_one_model(text: str) -> None:
    assert model("Jeep", text) == "Jeep Grand Cherokee"


@pytest.mark.parametrize(
    ("text", "make", "how"),
    [
        ("Volkswagen", "Volkswagen", "exact"), ("VW", "Volkswagen", "alias"), ("Фолксваген", "Volkswagen", "alias"),
        ("VOLKSWAGEN", "Volkswagen", "exact"), ("Mercedes", "Mercedes-Benz", "alias"),
        ("MERCEDES BENZ", "Mercedes-Benz", "exact"), ("Мерцедес", "Mercedes-Benz", "alias"),
        ("Мерседес", "Mercedes-Benz", "alias"), ("Alfa", "Alfa Romeo", "alias"), ("Алфа Ромео", "Alfa Romeo", "alias"),
        ("Шкода", "Škoda", "alias"), ("Skoda", "Škoda", "exact"), ("Škoda", "Škoda", "exact"),
        ("Ситроен", "Citroën", "alias"), ("CITROEN", "Citroën", "exact"), ("Range Rover", "Land Rover", "alias"),
        ("Land Rover", "Land Rover", "exact"), ("ВМW", "BMW", "exact"), ("БМВ", "BMW", "alias"),
        ("CHEVROLET TRUCK/VAN", "Chevrolet", "alias"), ("LynkCo", "Lynk & Co", "exact"),
        ("Rolls Royce", "Rolls-Royce", "exact"), ("GMC", "GMC", "exact"), ("Опел", "Opel", "exact"),
        ("Пежо", "Peugeot", "alias"),
        ("DR Automobiles", "DR", "alias"), ("DS Automobiles", "DS", "alias"),
    ],
)  # fmt: skip
def test_makes(text: str, make: str, how: str) -> None:
    assert vehicles.make(text) == vehicles.Match(value=make, how=how)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", " ", "Други", "Land", "Great", "ERROR", "OTHER", "—", "Автомобил", "XX", "12"])
def test_what_is_no_make_stays_unknown(text: str) -> None:
    assert vehicles.make(text) is None


@pytest.mark.parametrize(
    ("make", "text", "value", "family"),
    [
        ("BMW", "320", "BMW 320", "BMW 3 Series"), ("BMW", "320d", "BMW 320", "BMW 3 Series"),
        ("BMW", "3 SERIES", "BMW 3 Series", "BMW 3 Series"), ("BMW", "735Li", "BMW 735", "BMW 7 Series"),
        ("BMW", "530E", "BMW 530", "BMW 5 Series"), ("BMW", "M135", "BMW M135", "BMW 1 Series"),
        ("BMW", "X5", "BMW X5", "BMW X5"), ("BMW", "3gt", "BMW 3 Series GT", "BMW 3 Series GT"),
        ("BMW", "Х5", "BMW X5", "BMW X5"), ("BMW", "iX1", "BMW iX1", "BMW iX1"),
        ("Mercedes-Benz", "C 220", "Mercedes-Benz C 220", "Mercedes-Benz C-Class"),
        ("Mercedes-Benz", "C220CDI", "Mercedes-Benz C 220", "Mercedes-Benz C-Class"),
        ("Mercedes-Benz", "C-CLASS", "Mercedes-Benz C-Class", "Mercedes-Benz C-Class"),
        ("Mercedes-Benz", "Т-класа", "Mercedes-Benz T-Class", "Mercedes-Benz T-Class"),
        ("Mercedes-Benz", "ML 320", "Mercedes-Benz ML 320", "Mercedes-Benz M-Class"),
        ("Mercedes-Benz", "GLS580", "Mercedes-Benz GLS 580", "Mercedes-Benz GLS-Class"),
        ("Mercedes-Benz", "A45 AMG", "Mercedes-Benz A 45 AMG", "Mercedes-Benz A-Class"),
        ("Mercedes-Benz", "GLE 63 S AMG", "Mercedes-Benz GLE 63 AMG", "Mercedes-Benz GLE-Class"),
        ("Mercedes-Benz", "GLE 53 4MATIC", "Mercedes-Benz GLE 53 AMG", "Mercedes-Benz GLE-Class"),
        ("Mercedes-Benz", "124", "Mercedes-Benz 124", "Mercedes-Benz 124"),
        ("Mercedes-Benz", "190-CLASS", "Mercedes-Benz 190", "Mercedes-Benz 190"),
        ("Audi", "A4", "Audi A4", "Audi A4"), ("Audi", "А4", "Audi A4", "Audi A4"),
        ("Lexus", "RX450", "Lexus RX 450h", "Lexus RX"), ("Lexus", "IS 350 F S", "Lexus IS 350", "Lexus IS"),
        ("Infiniti", "Fx 35", "Infiniti FX35", "Infiniti FX"), ("Infiniti", "Q50 BASE", "Infiniti Q50", "Infiniti Q50"),
        ("Citroën", "C4 Grand Picasso", "Citroën Grand C4 Picasso", "Citroën C4 Picasso"),
        ("Mini", "Cooper s", "Mini Cooper S", "Mini Hatch"), ("Peugeot", "e-208", "Peugeot 208", "Peugeot 208"),
        ("Volvo", "V40 Cross Country", "Volvo V40 Cross Country", "Volvo V40 Cross Country"),
        ("Mazda", "MAZDA3", "Mazda 3", "Mazda 3"), ("Mazda", "СХ-3", "Mazda CX-3", "Mazda CX-3"),
        ("Toyota", "РАВ4", "Toyota RAV4", "Toyota RAV4"), ("Toyota", "LAND CRUIS", "Toyota Land Cruiser", None),
        ("Toyota", "COROLLA CR", "Toyota Corolla Cross", None), ("Toyota", "COROLLA LE", "Toyota Corolla", None),
        ("Ford", "CMAX", "Ford C-Max", None), ("Ford", "С-Мах", "Ford C-Max", None),
        ("Ford", "F150", "Ford F-150", None),
        ("Bentley", "CONTINENTA", "Bentley Continental", None), ("Kia", "Cee'd", "Kia Ceed", None),
        ("Volkswagen", "Пасат", "Volkswagen Passat", None), ("Volkswagen", "Туарег", "Volkswagen Touareg", None),
        ("Volkswagen", "Джета", "Volkswagen Jetta", None), ("Škoda", "Октавия", "Škoda Octavia", None),
        ("Opel", "Инсигния", "Opel Insignia", None), ("Nissan", "Кашкай", "Nissan Qashqai", None),
        ("Land Rover", "RANGEROVER", "Land Rover Range Rover", None), ("Volkswagen", "ID.3", "Volkswagen ID.3", None),
        ("Citroën", "C - Zero", "Citroën C-Zero", None), ("Saab", "9 3", "Saab 9-3", None),
        ("Fiat", "500 L Living", "Fiat 500L", None), ("Lada", "21074", "Lada 2107", None),
    ],
)  # fmt: skip
def test_models_and_their_families(make: str, text: str, value: str, family: str | None) -> None:
    found = vehicles.model(make, text)
    assert found is not None
    assert (found.value, found.family) == (value, family or value)
    assert found.how != "fuzzy"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        ("Dodge", "RAM 1500"), ("RAM", "1500"), ("RAM", "Ram 1500 Classic"), ("Dodge", "1500"),
    ],
)  # fmt: skip
def test_a_model_belongs_to_one_make_wherever_it_is_advertised(make: str, text: str) -> None:
    found = vehicles.model(make, text)
    assert found is not None
    assert (found.make, found.value, found.family) == ("RAM", "RAM 1500", "RAM 1500")


@pytest.mark.parametrize(
    ("make", "text", "title", "value"),
    [
        ("Land Rover", "Land", "Range Rover Sport 3.0", "Land Rover Range Rover Sport"),
        ("Land Rover", "Range", "Land Rover Range Rover Sport 3.0", "Land Rover Range Rover Sport"),
        ("Land Rover", "Discovery", "Land Rover Discovery SPORT 2.0d", "Land Rover Discovery Sport"),
        ("Toyota", "Land", "Toyota Land cruiser 120", "Toyota Land Cruiser"),
        ("Mercedes-Benz", "ML", "Mercedes-Benz ML 320", "Mercedes-Benz ML 320"),
        ("Mercedes-Benz", "GLK", "Mercedes-Benz GLK 651", "Mercedes-Benz GLK-Class"),
        ("Mercedes-Benz", "C 220", "Mercedes-Benz C 220 AMG line", "Mercedes-Benz C 220"),
        ("Citroën", "C4", "Citroen C4 Picasso 1.6", "Citroën C4 Picasso"),
        ("Citroën", "C4", "Citroen C4 1.6 HDI", "Citroën C4"),
        ("Mazda", "3", "Mazda 3 2.3 MPS", "Mazda 3"), ("Mazda", "3", "Mazda 3 23", "Mazda 3"),
        ("BMW", "X5", "BMW X5 M пакет", "BMW X5"), ("BMW", "X5M", "BMW X5M", "BMW X5 M"),
        ("BMW", "320", "BMW 320 GT xDrive", "BMW 3 Series GT"), ("BMW", "320", "БМВ 330", "BMW 320"),
        ("Hyundai", "", "Хюндай Тусон 2.0", "Hyundai Tucson"), ("Fiat", "500", "Fiat 500 Lounge", "Fiat 500"),
    ],
)  # fmt: skip
def test_a_title_says_what_the_text_does_not(make: str, text: str, title: str, value: str) -> None:
    assert model(make, text, title) == value


def test_an_engine_is_no_model() -> None:
    assert model("Mazda", "", "Mazda 2.0 на изплащане") is None
    assert model("Peugeot", "", "Peugeot 1.6 HDI") is None


@pytest.mark.parametrize(
    ("title", "make"),
    [("Range Rover Sport 3.0", "Land Rover"), ("Алфа Ромео 159", "Alfa Romeo"), ("Продавам", None), ("", None)],
)
def test_the_make_in_a_title(title: str, make: str | None) -> None:
    found = vehicles.make_in(title)
    assert (found.value if found else None) == make


@pytest.mark.parametrize(
    ("make", "text", "value", "score"),
    [
        ("Opel", "Insigna", "Opel Insignia", 0.857), ("Opel", "Astar", "Opel Astra", 0.8),
        ("Volkswagen", "Tiguna", "Volkswagen Tiguan", 0.833), ("Škoda", "Octavai 2.0", "Škoda Octavia", 0.857),
        ("Mitsubishi", "Outlnader", "Mitsubishi Outlander", 0.889),
        ("Jeep", "Grnad Cherokeee", "Jeep Grand Cherokee", 0.857),
    ],
)  # fmt: skip
def test_a_misspelling_is_guessed_and_said_to_be_a_guess(make: str, text: str, value: str, score: float) -> None:
    found = vehicles.model(make, text)
    assert found is not None
    assert (found.value, found.how, found.score) == (value, "fuzzy", score)


def test_a_misspelled_make_is_guessed() -> None:
    assert vehicles.make("Huyndai") == vehicles.Match(value="Hyundai", how="fuzzy", score=0.857)
    assert vehicles.make("Peugot") == vehicles.Match(value="Peugeot", how="fuzzy", score=0.833)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        ("Audi", "A9"), ("Audi", "Q9"), ("Mazda", "CX-4"), ("Mazda", "4"), ("Mazda", "CX-31"), ("BMW", "X9"),
        ("BMW", "920"), ("Kia", "Rip"), ("Opel", "Asta"), ("Volkswagen", "Gold"), ("Volkswagen", "ID.8"),
        ("Toyota", "RAV5"), ("Tesla", "Model 4"), ("Great Wall", "Steed 9"),
        ("Great Wall", "Voleex C40"), ("Hyundai", "IX45"), ("Opel", "ALL OTHER"), ("Toyota", ""), ("Toyota", "—"),
        ("Fiat", "Bravissimo"), ("Nissan", "Q7"), ("BYD", "Sealion 8"), ("Alfa Romeo", "Crosswagon Q5"),
        ("Opel", "Borsa"), ("Fiat", "Bunto"),
    ],
)  # fmt: skip
def test_another_number_another_first_letter_or_a_short_name_is_never_guessed(make: str, text: str) -> None:
    assert vehicles.model(make, text) is None


def test_a_guess_between_two_is_none() -> None:
    assert {model("Fiat", "Brava"), model("Fiat", "Bravo")} == {"Fiat Brava", "Fiat Bravo"}
    assert model("Fiat", "Bravu") is None


def test_a_make_that_nobody_knows_has_no_models() -> None:
    assert vehicles.model("Tatra", "613", title="Tatra 613") is None


@pytest.mark.parametrize(
    ("look_up", "text", "value"),
    [
        (vehicles.fuel, "Дизелов", "diesel"), (vehicles.fuel, "Дизел", "diesel"), (vehicles.fuel, "Газ", "lpg"),
        (vehicles.fuel, "GAS", "gasoline"), (vehicles.fuel, "Plug-in хибрид", "plug-in hybrid"),
        (vehicles.fuel, "Метан", "cng"), (vehicles.fuel, "Водород", "hydrogen"),
        (vehicles.fuel, "Бензинов", "gasoline"),
        (vehicles.fuel, "Хибриден", "hybrid"), (vehicles.fuel, "ELECTRIC", "electric"),
        (vehicles.fuel, "Дизлов", "diesel"),
        (vehicles.gearbox, "Ръчна", "manual"), (vehicles.gearbox, "Полуавтоматична", "semi-automatic"),
        (vehicles.gearbox, "AUTOMATIC", "automatic"), (vehicles.body, "Стреч лимузина", "limousine"),
        (vehicles.body, "Джип", "suv"), (vehicles.body, "Ван", "van"), (vehicles.body, "Миниван", "mpv"),
        (vehicles.colour, "Tъмно син", "dark blue"), (vehicles.colour, "Тъмно син мет.", "dark blue"),
        (vehicles.colour, "Т.зелен", "dark green"), (vehicles.colour, "GRAY", "grey"),
        (vehicles.colour, "Черен", "black"),
        (vehicles.region, "обл. София", "София"), (vehicles.region, "София", "София"),
        (vehicles.region, "Sofia", "София"),
        (vehicles.region, "общ. Дупница", "Кюстендил"), (vehicles.region, "Plovdiv", "Пловдив"),
        (vehicles.region, "Извън страната", "Извън страната"), (vehicles.region, "област Стара Загора", "Стара Загора"),
        (vehicles.fuel, "Въглища", None), (vehicles.gearbox, "Без значение", None), (vehicles.body, "Трактор", None),
        (vehicles.colour, "ERROR", None), (vehicles.region, "България", None), (vehicles.fuel, "", None),
    ],
)  # fmt: skip
def test_words(look_up: Any, text: str, value: str | None) -> None:
    found = look_up(text)
    assert (found.value if found else None) == value


def test_all_that_the_stand_in_advertises_is_known() -> None:
    for make in market_values.MAKES.values():
        found = vehicles.make(make.name)
        assert found is not None, make.name
        for each in make.models:
            known = vehicles.model(found.value, each.name, title=f"{make.name} {each.name} 2.0 Sport")
            assert known is not None, (make.name, each.name)
            assert known.how != "fuzzy"
            assert vehicles.body(each.body), each.body
    for look_up, words in (
        (vehicles.fuel, market_values.FUELS), (vehicles.gearbox, market_values.GEARBOXES),
        (vehicles.colour, market_values.COLOURS), (vehicles.region, [*market_values.REGIONS, market_values.ABROAD]),
    ):  # fmt: skip
        assert not [word for word in words if look_up(word) is None]


def test_models_of_the_stand_in_stay_apart() -> None:
    for make in market_values.MAKES.values():
        found = vehicles.make(make.name)
        assert found is not None
        values = [model(found.value, each.name) for each in make.models]
        assert len(set(values)) == len(values), values


def test_the_files_name_each_thing_once_and_nothing_that_is_not_there() -> None:
    told = vehicles._makes()[1]
    assert len(told) > 110
    for make, about in told.items():
        assert set(about) <= {"names", "models", "also", "families", "numbers", "careful", "elsewhere"}, make
        names = [" ".join(name.split()) for name in about["models"].split(",")]
        assert len(set(names)) == len(names), make
        for name in about.get("careful", ()):
            assert name in names, (make, name)
        for name in [
            *about.get("also", {}),
            *(each for family in about.get("families", {}).values() for each in family),
        ]:
            assert name in names or model(make, name) == f"{make} {name}", (make, name)
        for name in names:
            assert model(make, name) == f"{make} {name}", (make, name)
    assert sum(len(about["models"].split(",")) for about in told.values()) > 1_500
    for field, table in vehicles._words().items():
        assert {value for value, _ in table.values()} == set(vehicles._read("vehicles.toml")[field])


def test_no_word_stands_twice() -> None:
    for field, table in vehicles._read("vehicles.toml").items():
        keys = [vehicles.name_key(word) for words in table.values() for word in set(words)]
        assert not {key for key in keys if keys.count(key) > 1}, field


def test_nothing_is_read_until_it_is_needed() -> None:
    code = (
        "import sys; from vinops import vehicles; assert not vehicles._makes.cache_info().currsize; vehicles.make('VW')"
    )
    code += "; vehicles.model('Volkswagen', 'Golf'); assert vehicles._about.cache_info().currsize == 1"
    code += "; assert 'rapidfuzz' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
