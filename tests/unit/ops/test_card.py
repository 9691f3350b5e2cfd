"""An ad as a card: it fits a terminal, nothing is cut, and addresses can be copied."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ops.show import card

URL = "https://www.mobile.bg/obiava-11795164322755894-mercedes-benz-c-220"
LISTING = {
    "ad_id": "11795164322755894",
    "year": 2013,
    "price_eur": 5300.00,
    "vat": "included",
    "mileage_km": 201_800,
    "fuel": "Дизелов",
    "gearbox": "Ръчна",
    "power_hp": 170,
    "body": "Седан",
    "colour": "Черен",
    "seller_kind": "private",
    "place": "гр. София",
    "region": "София",
    "posted_at": "2026-11-20T22:30:00+00:00",
    "removed_at": None,
}
AD = {
    "listing_id": 458,
    "title": "Mercedes-Benz C 220 2.1 ТОП СЪСТОЯНИЕ",
    "url": URL,
    "score": 9.4,
    "is_approved": True,
    "reasons": ["35 % below 16 comparable cars", "cheaper than nine of ten"],
    "listing": LISTING,
    "normalized": {
        "price_eur": 5300.00,
        "price_problem": None,
        "risk": "medium",
        "risks": [{"flag": "accident", "level": "medium", "words": "ударена врата"}],
        "duplicate_of": None,
    },
    "valuation": {"p10": 6900, "p50": 8131, "p90": 9400, "comparables": 16, "confidence": 0.83, "method": "blend"},
    "prices": [
        {"seen_at": "2026-11-20T22:30:00+00:00", "price_eur": 5900.00},
        {"seen_at": "2026-11-24T08:00:00+00:00", "price_eur": 5300.00},
    ],
    "notifications": None,
    "duplicates": [459],
}
NEAR = [
    {
        "listing_id": number,
        "title": "Mercedes-Benz C 220",
        "year": 2013,
        "mileage_km": 190_000 + number,
        "price_eur": 8100 + number,
        "url": f"{URL}-{number}",
        "removed_at": datetime(2026, 11, 24, tzinfo=UTC) if number == 2 else None,
    }
    for number in (1, 2)
]


def lines(ad: dict[str, Any] = AD, width: int | None = 80) -> list[str]:
    return list(card.lines(ad, NEAR if ad is AD else [], zone="Europe/Sofia", width=width))


def test_a_card_is_to_be_read() -> None:
    assert lines() == [
        "Mercedes-Benz C 220 2.1 ТОП СЪСТОЯНИЕ, 2013",
        URL,
        "",
        "id           458, on the site 11795164322755894",
        "price        5,300 EUR, VAT included",
        "car          201,800 km, Дизелов, Ръчна, 170 hp, Седан, Черен",
        "seller       private, гр. София, София",
        "posted       2026-11-20 22:30 UTC (2026-11-21 00:30 EET)",
        "value        about 8,131 EUR, four of five between 6,900 and 9,400; by both",
        "             together, sure (confidence 0.83)",
        "difference   -35 % of the value",
        "score        9.4, worth a message",
        "reasons      35 % below 16 comparable cars; cheaper than nine of ten",
        "risk         medium, accident «ударена врата»",
        "same car     459",
        "",
        "Price history",
        "seen                                           EUR",
        "-------------------------------------------  -----",
        "2026-11-20 22:30 UTC (2026-11-21 00:30 EET)  5,900",
        "2026-11-24 08:00 UTC (10:00 EET)             5,300",
        "",
        "The nearest of 16 comparable cars",
        "8,101 EUR, 2013, 190,001 km, Mercedes-Benz C 220 (id 1)",
        f"    {URL}-1",
        "8,102 EUR, 2013, 190,002 km, gone, Mercedes-Benz C 220 (id 2)",
        f"    {URL}-2",
    ]


def test_a_card_fits_forty_columns() -> None:
    found = lines(width=40)
    assert [line for line in found if len(line) > 40 and "://" not in line] == []
    assert "confidence 0.83" in " ".join(" ".join(found).split())


def test_an_ad_that_is_not_priced_yet_has_a_card() -> None:
    bare: dict[str, Any] = {
        **AD,
        "score": None,
        "reasons": None,
        "normalized": None,
        "valuation": None,
        "prices": None,
        "duplicates": None,
        "listing": {**dict.fromkeys(LISTING), "ad_id": "1"},
    }
    found = lines(bare)
    assert found[0].endswith(", year unknown")
    assert "price        no price" in found
    assert "value        not priced" in found
    assert "score        not scored" in found
