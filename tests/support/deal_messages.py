"""Ads that are deals, as the stages leave them, and a channel to tell them to: for the tests of messages."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from vinops.config import Secret, Settings

if TYPE_CHECKING:
    import psycopg

    from standin.telegram.server import TelegramServer

TOKEN = "12345:canary-4f0a"
CHANNEL = "-100200300"
OWNER = "77"

_numbers = count(1)


def channel_settings(settings: Settings, telegram: TelegramServer) -> Settings:
    """Settings with that Telegram, a channel, and an owner who gets the alerts."""
    return replace(
        settings,
        telegram_bot_token=Secret(TOKEN),
        telegram_channel_id=CHANNEL,
        telegram_alert_chat_id=OWNER,
        telegram_api_url=telegram.url,
    )


def add_deal(
    database: psycopg.Connection[Any],
    *,
    score: float,
    title: str | None = None,
    price: int = 9800,
    is_approved: bool = True,
    duplicate_of: int | None = None,
    photo_urls: list[str] | None = None,
) -> int:
    """Write an ad with all that the stages make of it, and return its id."""
    ad_id = str(next(_numbers))
    row = database.execute(
        """
        insert into listings (source, ad_id, make_slug, url, title, price_eur, place, seller_kind, photo_urls,
            posted_at, list_hash)
        values ('market', %s, 'vw', %s, %s, %s, 'София', 'dealer', %s, now(), '\\x00')
        returning id
        """,
        [
            ad_id,
            f"https://market.example/ad/{ad_id}",
            title or f"Car {score}",
            price,
            ["https://photos.example/1.jpg"] if photo_urls is None else photo_urls,
        ],
    ).fetchone()
    assert row is not None
    about = {"id": row[0], "price": price, "score": score, "is_approved": is_approved, "duplicate_of": duplicate_of}
    database.execute(
        """
        insert into normalized_listings (listing_id, make, model, fuel, gearbox, year, month, mileage_km, power_hp,
            price_eur, risk, duplicate_of, is_comparable)
        values (%(id)s, 'Volkswagen', 'Volkswagen Golf', 'diesel', 'manual', 2015, 3, 185000, 150, %(price)s, 'low',
            %(duplicate_of)s, true)
        """,
        about,
    )
    database.execute(
        """
        insert into valuations (listing_id, p10, p50, p90, comparables, confidence, method)
        values (%(id)s, 11000, 12400, 13800, 34, 0.8, 'comparables')
        """,
        about,
    )
    database.execute(
        """
        insert into scores (listing_id, score, parts, reasons, is_approved)
        values (%(id)s, %(score)s, '{}', '{"21 %% below 34 comparable cars"}', %(is_approved)s)
        """,
        about,
    )
    return int(row[0])
