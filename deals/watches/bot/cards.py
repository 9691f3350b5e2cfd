"""What a preview shows: how many cars fit, how many a day, and the three best."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from psycopg.rows import dict_row

from deals.watches import texts
from deals.watches.sending import lot_message
from vinops.db.database import queries

if TYPE_CHECKING:
    from deals.watches.bot.turn import Turn
    from deals.watches.preview import Preview


def counts(turn: Turn, found: Preview, name: str = "counts") -> str:
    """Return how many cars a preview found, in words (how many lots, if the text is "lots_counts"); figures of a sample
    as "about 800"."""

    def figure(number: int) -> str:
        return turn.text("around", number=texts.number(number)) if found.is_about else texts.number(number)

    day = _a_day(turn.language, found.per_day)
    return turn.text(name, now=figure(found.now), lately=figure(found.lately), days=found.days, day=day)


def found_ads(turn: Turn, found: Preview) -> list[str]:
    """Return the lines about the ads that a filter finds."""
    lines = [counts(turn, found)]
    if found.best:
        lines.append(turn.text("best"))
    for card in turn.rows("cards", listing_ids=list(found.best)):
        facts = [texts.eur(card["price_eur"]), str(card["year"] or ""), _km(turn, card["mileage_km"])]
        link = site_link(turn, card["listing_id"], card["url"])
        lines.append(f"• {_linked(card['title'], link)}: {escape(', '.join(filter(None, facts)))}")
    return lines


def found_lots(turn: Turn, found: Preview) -> list[str]:
    """Return the lines about the lots that a filter finds."""
    lines = [counts(turn, found, "lots_counts")]
    if found.best:
        lines.append(turn.text("best"))
    with turn.connection.cursor(row_factory=dict_row) as cursor:
        about = {"lot_ids": list(found.best)}
        cards = cursor.execute(queries("watch_lots")["lot_cards_of_preview"], about).fetchall()
    settings, zone = turn.settings, ZoneInfo(turn.person.time_zone)
    for card in cards:
        lot = lot_message.facts(card, site=settings.copart_site_url, public=settings.web_public_url, zone=zone)
        lines.append(f"• {_linked(lot['title'], lot['url'])}: {lot_message.line(turn.language, lot)}")
    return lines


def lot_figures(turn: Turn, lot_id: int) -> list[str]:
    """Return what the message about a lot rests on: its value, its costs and the profit as they are now."""
    with turn.connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries("watch_lots")["lot_facts"], {"lot_id": lot_id}).fetchone()
    return [] if row is None else lot_message.figures(turn.language, row)


def site_link(turn: Turn, listing_id: int, url: str) -> str:
    """Return the address of an ad: on the site if people can open that, else where it is advertised."""
    public = turn.settings.web_public_url
    return f"{public.rstrip('/')}/ads/{listing_id}" if public else url


def _linked(title: str, link: str) -> str:
    shown = texts.quoted(title, 80)
    return f'<a href="{escape(link)}">{shown}</a>' if _is_link(link) else shown


def _a_day(language: str, number: float) -> str:
    if not 0 < number < 3:
        return texts.number(float(f"{number:.2g}"))
    digits = 1 if number >= 0.095 else 2  # one in 30 days is 0.03 a day, not 0.0
    return f"{number:.{digits}f}".replace(".", "," if language == "bg" else ".")


def _km(turn: Turn, km: int | None) -> str:
    return "" if km is None else f"{texts.number(km)} {turn.text('km')}"


def _is_link(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and len(url) < 500
