"""Makes the content of a queued message from what is true at this moment, or says why it is not sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from psycopg.rows import class_row, dict_row

from deals.watches import clock, columns, lots, matching, texts
from deals.watches.in_words import in_words
from deals.watches.people import Person
from deals.watches.sending import lot_message, message
from deals.watches.sending.message import Content
from deals.watches.sending.queue import MOST_A_DAY
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

    from vinops.config import Settings

DIGEST: Final = 20  # cars that a digest names


class NotNowError(Exception):
    """The message has to wait until a time."""

    def __init__(self, until: datetime) -> None:
        super().__init__("quiet hours")
        self.until = until


class PassedError(Exception):
    """The message is no longer true, or no longer wanted. The text says why."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What is sent, where, and how. `edits` is the message that is changed; `reply_to` the one that is answered;
    `about_id` our number of the message about the car, `is_change` whether that shows `content.price_eur` then."""

    content: Content
    is_silent: bool = False
    edits: int | None = None
    is_photo: bool = False
    reply_to: int | None = None
    about_id: int | None = None


def compose(connection: Connection[Any], settings: Settings, queued: Mapping[str, Any]) -> Letter:
    """Return what a queued message says now. Raises NotNowError in quiet hours, and PassedError if it is over.

    Call it in the transaction that records the try: a digest takes what is held.
    """
    if queued["kind"] in ("reply", "edit"):
        buttons = [[(str(text), str(target)) for text, target in row] for row in queued["buttons"]]
        content = Content(html=queued["html"], buttons=buttons)
        return Letter(content=content, edits=queued["message_id"] if queued["kind"] == "edit" else None)
    maker = _Maker(connection, settings, queued)
    match queued["kind"]:
        case "hit":
            return maker.hit()
        case "digest":
            return maker.digest()
        case _:
            return maker.change()


class _Maker:
    def __init__(self, connection: Connection[Any], settings: Settings, queued: Mapping[str, Any]) -> None:
        self._connection = connection
        self._settings = settings
        self._queued = queued
        with connection.cursor(row_factory=class_row(Person)) as cursor:
            about = {"person_id": queued["person_id"]}
            person = cursor.execute(queries("watch_sending")["person"], about).fetchone()
        if person is None or person.chat_id is None:
            raise PassedError("the person is no longer there")
        if person.paused_at is not None:
            raise PassedError("the person has paused everything")
        self._person = person
        now = clock.now()
        self._is_quiet = clock.is_quiet(now, person.time_zone, person.quiet_from, person.quiet_to)
        if self._is_quiet and not person.is_quiet_silent and queued["kind"] in ("hit", "price"):
            raise NotNowError(clock.next_time(now, person.time_zone, person.quiet_to or 0))

    def hit(self) -> Letter:
        """Return the message about a car, of the watches that it still fits."""
        queued = self._queued
        facts = self._facts(queued["listing_id"], queued["lot_id"])
        if facts["is_gone"]:
            raise PassedError("it is gone")
        if facts.get("is_sold"):
            raise PassedError("its sale is over")
        watches = self._rows("watches_for", person_id=self._person.id, car=queued["car"])
        if queued["listing_id"] is not None and watches:
            ids = [watch["id"] for watch in watches]
            fits = matching.still_fits(self._connection, ids, [queued["listing_id"]])
            watches = [watch for watch in watches if (watch["id"], queued["listing_id"]) in fits]
        elif watches:
            fits = lots.still_fits(self._connection, [watch["id"] for watch in watches], [queued["lot_id"]])
            watches = [watch for watch in watches if (watch["id"], queued["lot_id"]) in fits]
        if not watches:
            raise PassedError("no watch wants it any more")
        content = message.hit(
            self._person.language,
            facts,
            filters=self._words(watches),
            message_id=queued["id"],
            watch_id=watches[0]["id"],
            note=self._note(),
        )
        is_silent = self._is_quiet or self._person.is_silent or all(watch["is_silent"] for watch in watches)
        return Letter(content=content, is_silent=is_silent, about_id=queued["id"])

    def change(self) -> Letter:
        """Return a reply about a lower price, or the edit of a message whose ad is gone or back."""
        about = self._row("about", id=self._queued["about_id"])
        if about is None or about["message_id"] is None:
            raise PassedError("the message is no longer there")
        facts = self._facts(about["listing_id"], about["lot_id"])
        language = self._person.language
        if self._queued["kind"] == "price":
            price, before = facts["price_eur"], about["price_told"]
            if about["muted_at"] is not None or facts["is_gone"] or price is None or before is None or price >= before:
                raise PassedError("it was over before it could be sent")
            content = message.dropped(language, facts, before)
            return Letter(
                content=content,
                is_silent=self._is_quiet or self._person.is_silent,
                reply_to=about["message_id"],
                about_id=about["id"],
            )
        if "lot_id" in facts and facts["shown"] == about["shown"]:
            raise PassedError("it was over before it could be sent")
        if facts["is_gone"]:
            content = message.gone(language, facts)
        else:
            content = message.hit(language, facts, filters=[], message_id=about["id"], watch_id=about["watch_id"])
        return Letter(
            content=content, edits=about["message_id"], is_photo=bool(about["is_photo"]), about_id=about["id"]
        )

    def digest(self) -> Letter:
        """Return the digest of what is held for a person."""
        cars = self._rows("fill_digest", id=self._queued["id"], person_id=self._person.id, limit=DIGEST)
        if not cars:
            raise PassedError("nothing is held any more")
        public = self._settings.web_public_url
        shown = [car if car["lot_id"] is None else self._lot(car) for car in cars]
        content = message.digest(
            self._person.language,
            shown,
            count=cars[0]["cars"],
            more_url=f"{public.rstrip('/')}/searches" if public else None,
        )
        return Letter(content=content, is_silent=self._is_quiet or self._person.is_silent)

    def _note(self) -> str:
        since = clock.midnight(clock.now(), self._person.time_zone)
        about = {"watch_id": self._queued["watch_id"], "since": since, "until": self._queued["created_at"]}
        row = self._row("told_today", **about)
        if row is None or row["messages"] < MOST_A_DAY:
            return ""
        return texts.say(self._person.language, "cap", most=MOST_A_DAY)

    def _facts(self, listing_id: int | None, lot_id: int | None) -> dict[str, Any]:
        if listing_id is not None:
            row = self._row("car_facts", listing_id=listing_id)
            found = None if row is None else message.ad_facts(row)
        else:
            with self._connection.cursor(row_factory=dict_row) as cursor:
                row = cursor.execute(queries("watch_lots")["lot_facts"], {"lot_id": lot_id}).fetchone()
            found = None if row is None else self._lot(row)
        if found is None:
            raise PassedError("it is no longer in the database")
        return found

    def _lot(self, row: Mapping[str, Any]) -> dict[str, Any]:
        site, public = self._settings.copart_site_url, self._settings.web_public_url
        return lot_message.facts(row, site=site, public=public, zone=ZoneInfo(self._person.time_zone))

    def _words(self, watches: Sequence[Mapping[str, Any]]) -> list[str]:
        of_lots = lots.filters(self._connection, [watch["id"] for watch in watches if watch["kind"] != "ad"])
        return [
            in_words(self._person.language, columns.to_filter(watch), watch["kind"], of_lots.get(watch["id"]))
            for watch in watches
        ]

    def _row(self, name: str, **values: Any) -> dict[str, Any] | None:
        return next(iter(self._rows(name, **values)), None)

    def _rows(self, name: str, **values: Any) -> Sequence[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(queries("watch_sending")[name], values).fetchall()
