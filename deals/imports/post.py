"""Sends the queued messages about lots, as deals/channel/post.py sends those about ads: to a chat of their own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from deals.channel import lots
from deals.channel.post import Content, Poster, Try, post_all
from deals.channel.queue import Posted
from deals.imports.message import LotPost, compose
from deals.imports.photo import archived
from deals.landed.lines import TariffError
from deals.lots import terms
from deals.offers import ranking
from vinops.redaction import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

    from deals.lots.terms import Terms
    from vinops.config import Settings

log = logging.getLogger("deals")


class LotPoster(Poster):
    """Sends messages about lots, while it holds the lock."""

    thing = "lot"
    chat = "imports"
    edits = "imports edits"
    chat_setting = "TELEGRAM_IMPORTS_CHAT_ID"

    def __init__(self, connection: Connection[Any], settings: Settings, now: datetime | None, by: Terms) -> None:
        super().__init__(connection, settings, now)
        self._by = by

    @staticmethod
    def statements() -> Mapping[str, Any]:
        """Return the statements over the queue of lots."""
        return lots.statements()

    @property
    def chat_id(self) -> str | None:
        """The chat of the imports."""
        return self._settings.telegram_imports_chat_id

    @property
    def most_an_hour(self) -> int:
        """How many new messages go to it in an hour."""
        return self._settings.imports_posts_an_hour

    def content(self, listing_id: int, kind: str) -> Content | str:
        """Return what the message about a lot is to show now, from its sheet; or why it is out of date."""
        about = {"listing_id": listing_id, **lots.worth(self._settings)}
        with self._connection.cursor(row_factory=dict_row) as cursor:
            facts = cursor.execute(self._statements["facts"], about).fetchone()
        if facts is None:
            return "the lot is no longer in the database"
        if kind == "deal" and not facts["is_worth"]:
            return "it is no longer worth a message"
        if kind != "deal" and (facts["message_id"] is None or facts["has_shown"] == facts["shown"]):
            return "it was over before it could be posted"
        price = ranking.sheet(self._connection, facts["lot"], self._by)
        most = price
        if facts["most_bid_usd"] is not None:
            most = ranking.sheet(self._connection, facts["lot"], self._by, bid=facts["most_bid_usd"])
        if most is None or (kind == "deal" and (most.quote is None or not most.quote.is_complete)):
            return "its cost is not known"
        if kind == "deal" and most.blockers:
            return most.blockers[0]["reason"]
        return Content(message=compose(self._shown(facts, most, price)), facts=facts, shown=facts["shown"])

    def _shown(self, facts: Mapping[str, Any], most: ranking.Sheet, price: ranking.Sheet | None) -> LotPost:
        public = self._settings.web_public_url
        at_auction = f"{self._settings.copart_site_url}/lot/{facts['lot']}"
        photo = facts["photo_url"] or None
        return LotPost(
            most=most,
            price=price if facts["bid_usd"] is not None else None,
            state=facts["shown"].partition(" ")[0],
            sale=facts["sale"],
            has_time=facts["has_time"],
            url=f"{public}/lots/{facts['lot']}" if public else at_auction,
            is_ours=public is not None,
            photo_url=photo if photo is None or "://" in photo else f"https://{photo}",
        )

    def photo(self, taken: Try) -> str | bytes | None:
        """Return the first archived photo, else the picture that the feed names."""
        return archived(self._connection, self._settings, taken.listing_id) or taken.message.photo_url

    def queue(self, listing_ids: Sequence[int]) -> None:
        """Queue the messages about these lots that are due now, in the caller's transaction."""
        lots.queue(self._connection, listing_ids, self._settings)

    def show(self, listing_id: int) -> str:
        """Return the command that shows what a message is about."""
        row = self._connection.execute(self._statements["number_of"], {"listing_id": listing_id}).fetchone()
        return f"vinops landed show {row[0]}" if row else "vinops landed top"


def post(
    connection: Connection[Any], settings: Settings, *, limit: int | None = None, now: datetime | None = None
) -> Posted:
    """Post the queued messages about lots, the most profitable first, then edits, and return what was done: with the
    guarantees of `deals.channel.post.post`. Without a chat, a bot or terms to quote by nothing is sent."""
    if not lots.is_on(settings):
        return Posted()
    try:
        by = terms.current(connection, settings)
    except TariffError as error:
        log.error("no message about a lot is sent: %s", one_line(str(error)))
        return Posted()
    return post_all(LotPoster(connection, settings, now, by), connection, limit)
