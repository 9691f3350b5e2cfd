"""The words of mobile.bg: prices, what a car is, makes and models; and what masks take out of an ad's words.

The phone numbers are made up, all noughts behind the prefix: Bulgaria keeps no range free for such uses.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from vinops_scrapy.pages import mobile_bg, mobile_bg_words as words
from vinops_scrapy.pages.masking import masked

POSTED = datetime(2025, 10, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "amount", "currency", "euro"),
    [
        ("21 423.13 € 41 900 лв.", "21423.13", "EUR", "21423.13"),
        ("21\u00a0423.13\u00a0€ 41\u00a0900\u00a0лв.", "21423.13", "EUR", "21423.13"),
        ("194 499 €380 406.98 лв.", "194499", "EUR", "194499"),
        ("41 900 лв. 21 423.13 €", "21423.13", "EUR", "21423.13"),
        ("19 558.30 лв.", "19558.30", "BGN", "10000.00"),
        ("9999 лв", "9999", "BGN", "5112.41"),
        ("68000 EUR", "68000", "EUR", "68000"),
        ("12 000 USD", "12000", "USD", None),
        ("1 234 567,89 €", "1234567.89", "EUR", "1234567.89"),
        ("100 €", "100", "EUR", "100"),
        ("12'500 €", "12500", "EUR", "12500"),
        ("12’500 €", "12500", "EUR", "12500"),
        ("1'234’567 €", "1234567", "EUR", "1234567"),
        ("24ʼ448 лв.", "24448", "BGN", "12500.06"),
    ],
)
def test_a_price(text: str, amount: str, currency: str, euro: str | None) -> None:
    found = words.price(text)
    assert found.dropped == ()
    assert found.fields["price"] == Decimal(amount)
    assert found.fields["currency"] == currency
    assert found.fields["price_eur"] == (None if euro is None else Decimal(euro))


@pytest.mark.parametrize("text", ["", "Запитване", "Цена по договаряне", "€"])
def test_words_are_no_price(text: str) -> None:
    assert words.price(text) == words.Reading()


@pytest.mark.parametrize(
    "text",
    [
        "5.62 € 11 лв.",
        "11 лв.",
        "0 €",
        "99.99 €",
        "4,850 €",
        "21.423 €",
        "21 4235 €",
        "1 2 3 4 €",
        "9000",
        "99999999 €",
        "12·500 €",
        "12_500 €",
        "12*500 €",
        "12-500 €",
        "12''500 €",
    ],
)
def test_a_placeholder_and_an_unreadable_price_are_dropped(text: str) -> None:
    assert words.price(text) == words.Reading(dropped=("price",))


@pytest.mark.parametrize(
    ("note", "vat"),
    [
        ("Не се начислява ДДС", "exempt"),
        ("Цената е с включено ДДС", "included"),
        ("Цената е без ДДС", "excluded"),
        ("ДДС", None),
        ("", None),
    ],
)
def test_a_note_on_tax(note: str, vat: str | None) -> None:
    assert words.vat(note) == vat


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("януари 2019 г.", {"year": 2019, "month": 1}),
        ("декември 2022", {"year": 2022, "month": 12}),
        ("2017 г.", {"year": 2017}),
        (" 190 000 км", {"mileage_km": 190_000}),
        ("1\u00a0000\u00a0000 км", {"mileage_km": 1_000_000}),
        ("190'000 км", {"mileage_km": 190_000}),
        ("190’000 км", {"mileage_km": 190_000}),
        ("0 км", {"mileage_km": 0}),
        ("231 к.с.", {"power_hp": 231}),
        ("1500 к.с.", {"power_hp": 1_500}),
        ("20 к.с.", {"power_hp": 20}),
        ("3000 куб.см", {"engine_cc": 3_000}),
        ("Евро 6", {"euro_class": 6}),
        ("Евро 6d", {"euro_class": 6}),
        ("Дизелов", {"fuel": "Дизелов"}),
        ("Plug-in хибрид", {"fuel": "Plug-in хибрид"}),
        ("Полуавтоматична", {"gearbox": "Полуавтоматична"}),
        ("Стреч лимузина", {"body": "Стреч лимузина"}),
        ("Тъмно син мет.", {"colour": "Тъмно син мет."}),
        ("Tъмно син", {"colour": "Tъмно син"}),
        ("Ван", {"body": "Ван"}),
        ("41.45 kWh", {}),
        ("гаранция до 08.2027", {}),
        ("гаранция до август 2027 г.", {}),
        ("08.2027", {}),
        ("брумари 2019 г.", {}),
        ("", {}),
    ],
)
def test_what_a_text_says_of_a_car(text: str, fields: dict[str, Any]) -> None:
    assert words.car([text], POSTED) == words.Reading(fields=fields)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1896 к.с.", "power_hp"),
        ("1501 к.с.", "power_hp"),
        ("19 к.с.", "power_hp"),
        ("1 000 001 км", "mileage_km"),
        ("-5 км", "mileage_km"),
        ("99999999999999999999 км", "mileage_km"),
        ("19000 куб.см", "engine_cc"),
        ("0 куб.см", "engine_cc"),
        ("Евро 0", "euro_class"),
        ("Евро 8", "euro_class"),
        ("март 1899 г.", "year"),
        ("март 2027 г.", "year"),
        ("0000 г.", "year"),
    ],
)
def test_a_value_that_makes_no_sense_is_dropped(text: str, name: str) -> None:
    assert words.car([text], POSTED) == words.Reading(dropped=(name,))


@pytest.mark.parametrize(
    ("year", "mileage", "kept"),
    [(2026, 1, True), (2025, 1, True), (2023, 228, True), (2022, 228, False), (2022, 1_000, True), (1969, 0, False)],
)
def test_few_kilometres_of_an_old_car_are_dropped(year: int, mileage: int, *, kept: bool) -> None:
    found = words.car([f"{mileage} км", f"март {year} г."], POSTED)
    assert found.fields.get("mileage_km") == (mileage if kept else None)
    assert found.dropped == (() if kept else ("mileage_km",))
    assert found.fields["year"] == year


def test_few_kilometres_of_a_car_of_unknown_age_are_kept() -> None:
    assert words.car(["228 км"], POSTED).fields == {"mileage_km": 228}


def test_the_first_of_a_kind_counts_and_order_does_not() -> None:
    texts = ["Седан", "Газ", "100 км", "90 000 км", "Черен", "март 2024 г.", "май 2025 г.", "Ръчна"]
    assert words.car(texts, POSTED).fields == {
        "body": "Седан", "fuel": "Газ", "mileage_km": 100, "colour": "Черен", "year": 2024, "month": 3,
        "gearbox": "Ръчна",
    }  # fmt: skip


def test_when_an_ad_was_put_in() -> None:
    assert words.posted_at("11700000000000123") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "ad_id",
    ["", "1170000000000012", "31700000000000123", "10000000000000123", "19999999999999123", "1170000000000012x"],
)
def test_what_is_no_number_of_an_ad(ad_id: str) -> None:
    assert words.posted_at(ad_id) is None


@pytest.mark.parametrize(
    ("title", "make", "model", "expected"),
    [
        ("Audi A4 2.0 TDI", "", "", ("Audi", "A4")),
        ("Alfa Romeo 159 1.9", "", "", ("Alfa Romeo", "159")),
        ("Land Rover Range rover sport HSE", "", "", ("Land Rover", "Range rover sport")),
        ("Mercedes-Benz E 220 AMG", "", "", ("Mercedes-Benz", "E 220")),
        ("Mercedes-Benz E 220 AMG", "mercedes-benz", "220", ("Mercedes-Benz", "E 220")),
        ("Mercedes-Benz Vito 116", "mercedes-benz", "vito", ("Mercedes-Benz", "Vito")),
        ("Great Wall Hover H5 Extra", "great-wall", "hover-h5", ("Great Wall", "Hover H5")),
        ("Audi A6 Allroad", "ot-2010", "oblast-sofiya", ("Audi", "A6")),
        ("Audi", "audi", "a4", ("Audi", None)),
        ("Audi [phone]", "", "", ("Audi", None)),
        ("", "", "", (None, None)),
    ],
)
def test_make_and_model(title: str, make: str, model: str, expected: tuple[str | None, str | None]) -> None:
    found = words.make_and_model(title, make=make, model=model)
    assert (found.get("make_text"), found.get("model_text")) == expected


@pytest.mark.parametrize(
    ("region", "place", "expected"),
    [
        ("обл. Бургас", " гр. Айтос", {"region": "Бургас", "place": "Айтос"}),
        ("общ. Дупница", "гр. Дупница", {"region": "Дупница", "place": "Дупница"}),
        ("обл. София", "с. Примерно", {"region": "София", "place": "Примерно"}),
        ("Извън страната", "", {"region": "Извън страната"}),
        ("", "", {}),
    ],
)
def test_where_a_car_is(region: str, place: str, expected: dict[str, str]) -> None:
    assert words.location(region, place) == expected


def test_equipment_with_commas_in_its_names() -> None:
    text = "4x4, DVD, TV, Steptronic, Tiptronic, USB, audio\\video, IN\\AUX изводи, Аларма, 4x4, "
    assert words.equipment(text) == (
        "4x4", "DVD, TV", "Steptronic, Tiptronic", "USB, audio\\video, IN\\AUX изводи", "Аларма",
    )  # fmt: skip


@pytest.mark.parametrize(
    "number",
    [
        "0888 000 000", "0888000000", "0888/000-000", "0888/000 000", "08 88 00 00 00", "0888-00-00-00",
        "0.8.8.8.0.0.0.0.0.0",
        "+359 88 800 0000", "+359888000000", "+359 (0) 888 000 000", "00359 888 000 000", "359888000000",
        "0988 000 000",
        "02 000 00 00", "02/0000000", "02 / 000 00 00", "042 000 000", "0700 00 000", "+49 151 0000 0000",
        "0888\n000 000",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "Обадете се: {}.", "Вайбър {}, след 18 ч.", "тел.{}", "({})"])
def test_a_phone_number_is_masked(number: str, around: str) -> None:
    found = masked(around.format(number))
    assert "[phone]" in found
    assert "00" not in found
    assert found.replace("[phone]", "").strip(" (+)") == around.format("").strip(" ()")


@pytest.mark.parametrize(
    "text", ["тел: 888 000 000", "тел. 000-000", "GSM 88 80 00 000", "Телефон за връзка: 0888 000 000"]
)
def test_a_number_after_a_word_is_masked(text: str) -> None:
    assert masked(text).endswith("[phone]")


@pytest.mark.parametrize(
    "text",
    [
        "Цена 20 000 лв. или 10 225.84 €, без коментар",
        "190 000 км, 2019 г., 3000 куб.см, 231 к.с.",
        "VIN WVWZZZ00Z00000000 и WDB08880000000000",
        "Гуми 225/45/17 и 255/40 R18, 8.5x19",
        "ГТП до 05.06.2026, винетка до 07.02.2026",
        "Работно време 07.00-19.00 и 09:00 - 18:00",
        "Разход 0.7 до 05.2021 120 000 км",
        "Обслужена на 02.03.2024 на 150 000 км",
        "тел. 150 000 км",
        "0 лв. първоначална вноска, 280 лв. на месец",
        "Нов внос от Германия. Двигател 2.0, Скоростна кутия Автоматична",
        "Астон Мартин, Лада Калина, Мартин",
        "За контакти Моля звънете",
        "+ 4 гуми, 2+1 ключа",
        "",
    ],
)
def test_what_is_no_number_and_no_name_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "address", ["ivan@example.com", "ivan.ivanov @ example.com", "ivan(at)example.com", "i@a.b.bg"]
)
def test_a_mail_address_is_masked(address: str) -> None:
    assert masked(f"Пишете на {address} или идвайте") == "Пишете на [mail] или идвайте"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Тел. Иван", "Тел. [name]"),
        ("Тел. Иван 0888 000 000", "Тел. [name] [phone]"),
        ("тел.: 0888 000 000 Иван Иванов", "тел.: [phone] [name]"),
        ("за контакти: Иван Иванов", "за контакти: [name]"),
        ("За връзка Мария.", "За връзка [name]."),
        ("търсете Мария", "търсете [name]"),
        ("Питайте за Тонка", "Питайте за [name]"),
        ("обадете се на МАРИЯ ИВАНОВА", "обадете се на [name]"),
        ("г-н Петров", "г-н [name]"),
        ("Собственик: Мария", "Собственик: [name]"),
        ("0888 000 000 - Георги", "[phone] - [name]"),
        ("Георги (0888 000 000)", "[name] ([phone])"),
        ("ТЕЛ. 0888000000 ТОНКА ПРИМЕРОВА.", "ТЕЛ. [phone] [name]."),
        ("Казвам се Иван и продавам", "Казвам се [name] и продавам"),
        ("Продава Иван Иванов от София", "Продава [name] от София"),
    ],
)
def test_a_name_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ({"make": "audi"}, "/audi"),
        ({"make": "audi", "page": 1}, "/audi"),
        ({"make": "audi", "page": 3}, "/audi/p-3"),
        ({"make": "audi", "model": "a4", "page": 2, "sort": 6}, "/audi/a4/p-2?sort=6"),
        (
            {"make": "mercedes-benz", "model": "220", "region": "namira-se-v-balgariya", "page": 2},
            "/mercedes-benz/220/namira-se-v-balgariya/p-2",
        ),
        ({"make": None, "region": "namira-se-v-balgariya", "sort": 6}, "/namira-se-v-balgariya?sort=6"),
        ({"make": None}, ""),
    ],
)
@pytest.mark.parametrize("site", ["https://www.mobile.bg", "http://127.0.0.1:8001/"])
def test_the_address_of_a_list(site: str, arguments: dict[str, Any], address: str) -> None:
    expected = f"{site.rstrip('/')}/obiavi/avtomobili-dzhipove{address}"
    assert mobile_bg.list_address(site, **arguments) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"make": ""}, {"make": "Audi"}, {"make": "../pcgi"}, {"make": "audi?sort=1"}, {"make": "ауди"},
        {"make": "audi\n"},
        {"make": "audi", "model": "a 4"}, {"make": "audi", "region": "x/y"}, {"make": "audi", "page": 0},
        {"make": "audi", "sort": 0}, {"make": None, "model": "a4"},
    ],
)  # fmt: skip
def test_what_is_no_slug_has_no_address(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"slug|page|make"):
        mobile_bg.list_address("https://www.mobile.bg", **arguments)


def test_the_address_of_the_sitemap() -> None:
    address = mobile_bg.sitemap_address("https://www.mobile.bg/")
    assert address == "https://www.mobile.bg/sitemap/sitemap-avtomobili-dzhipove-avtomobili-dzhipove.xml.gz"
