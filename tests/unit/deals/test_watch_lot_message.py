"""What messages say of a lot, in both languages, whatever the feed holds."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from deals.channel.message import LONGEST
from deals.watches.sending import lot_message, message
from standin.telegram.html import plain, units

SOFIA = ZoneInfo("Europe/Sofia")
ROW: dict[str, Any] = {
    "lot_id": 5, "lot_external_id": 40_000_001, "damage": "front end", "title_group": "salvage", "condition": "starts",
    "high_bid": Decimal(1200), "currency": "USD", "sale_at": datetime(2026, 12, 1, 15, 0, tzinfo=UTC), "has_time": True,
    "yard_name": "NJ - TRENTON", "state": "NJ", "odometer": 50_000, "odometer_km": 80_467, "year": 2019,
    "fuel": "gasoline", "title": "2019 TOYOTA RAV4", "photo_url": "cs.example/1_thb.jpg",
    "shown": "open 2026-12-01 15:00",
    "is_gone": False, "is_sold": False, "most_bid_usd": 4_850, "bid_usd": None, "bid_kind": None,
    "landed_eur": Decimal("9700.40"), "profit_eur": 1_900, "loss_chance": 0.22, "p10": 11_200, "p50": 13_100,
    "p90": 15_600, "against": None,
}  # fmt: skip


def said(language: str, **changed: Any) -> str:
    facts = lot_message.facts(ROW | changed, site="https://auction.example/", public=None, zone=SOFIA)
    made = message.gone if facts["is_gone"] else None
    content = (
        made(language, facts) if made else message.hit(language, facts, filters=["RAV4"], message_id=1, watch_id=2)
    )
    assert units(plain(content.html)) <= LONGEST
    return " ".join(plain(content.html).split())


@pytest.mark.parametrize(
    ("language", "parts"),
    [
        ("bg", (
            "Лот 40000001 · удар отпред · документ за щета · пали · 80 467 км (50 000 mi) · NJ - TRENTON",
            "търг 01.12.2026 17:00 (Europe/Sofia) · наддаване сега 1 200 $",
            "Наддавай до 4 850 $: докаран за 9 700 €, струва 13 100 € (11 200 до 15 600)",
            "печалба 1 900 €, 22 % риск от загуба", "За: RAV4",
        )),
        ("en", (
            "Lot 40000001 · front end · salvage title · starts · 80 467 km (50 000 mi) · NJ - TRENTON",
            "sale 01.12.2026 17:00 (Europe/Sofia) · bid now 1 200 $",
            "Bid up to 4 850 $: lands at 9 700 €, worth 13 100 € (11 200 to 15 600)",
            "profit 1 900 €, 22 % chance of a loss", "For: RAV4",
        )),
    ],
)  # fmt: skip
def test_a_message_says_what_to_bid_what_it_costs_and_what_it_is_worth(language: str, parts: tuple[str, ...]) -> None:
    text = said(language)
    assert [part for part in parts if part not in text] == []


def test_a_price_to_count_with_comes_before_the_limit() -> None:
    text = said("en", bid_usd=2_500, bid_kind="floor")
    assert "Expected to go for about 2 500 $: lands at 9 700 €" in text
    assert text.index("Expected") < text.index("Bid up to 4 850 $")
    assert "Buy now for 2 500 $" in said("en", bid_usd=2_500, bid_kind="buy now")


def test_each_state_is_said() -> None:
    assert "The bid has passed the limit" in said("en", shown="passed 2026-12-01 15:00")
    over = {"shown": "over", "against": "no keys", "most_bid_usd": None, "landed_eur": None, "p50": None}
    assert "Против: няма ключове" in said("bg", **over)
    assert "€" not in said("bg", **over)
    assert "Вече не е на търга" in said("bg", is_gone=True)
    assert "sale 01.12.2026" in said("en", has_time=False)
    assert "no sale date" in said("en", sale_at=None)


def test_a_lot_of_which_nothing_is_known_and_texts_of_strangers_are_shown_as_they_are() -> None:
    kept = {"lot_id", "lot_external_id", "shown", "is_gone", "is_sold", "has_time", "title"}
    unknown = {name: None for name in ROW if name not in kept}
    for language in ("bg", "en"):
        assert "40000001" in said(language, **unknown)
        hostile = said(language, title="<b>@x https://evil.example</b>" * 40, damage="<i>&" * 50, yard_name="@y <a>")
        assert "<b>@x" not in hostile.replace("<b>@\u2060x", "")
