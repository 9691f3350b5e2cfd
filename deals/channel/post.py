"""Sends queued notifications: takes the next one, tries to send it, records the result. Guarantees: queue.py.

Deals and changes of earlier messages are judged separately: a bot may have the right to one of them and not to the
other. The text of a message is made in message.py.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from deals.channel.message import Message, compose, deal_of
from deals.channel.pace import take_place
from deals.channel.queue import ABANDONED, MOST_TRIES, Posted, held, queue
from vinops import telegram
from vinops.alerts import clear_alert, deliver, raise_alert
from vinops.db.database import queries
from vinops.logs import pairs

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection, Cursor

    from vinops.config import Settings

log = logging.getLogger("deals")

# https://core.telegram.org/bots/faq: a message a second in a chat, and twenty a minute in a group.
GAP = 1.0  # seconds
A_MINUTE = 20
PAUSES: Final = (60.0, 300.0, 1800.0, 7200.0)  # seconds after a first, second … try without an answer
UNHEARD_PAUSE: Final = 60.0  # seconds for all messages, after one without an answer or a connection
REFUSED_PAUSE: Final = 900.0  # seconds for a refused message; for all messages, if the message is not at fault
MOST_SUSPECTS: Final = 2  # messages refused in a row, for different reasons, before no message is at fault
PROOFS: Final = 2  # times that the next message must be accepted before the refused one is at fault
AN_HOUR: Final = 3600.0
UNCHANGED: Final[dict[str, Any]] = {
    "error": None,
    "message_id": None,
    "is_photo": None,
    "is_dry_run": False,
    "uncounted": 0,  # 1: no message can have arrived
    "refusals": 0,
    "is_suspect": None,
    "seconds": 0.0,
}
"""The values of `settle_try` unless a result changes them."""
PASSED: Final = "it was over before it could be posted"


@dataclass(frozen=True, kw_only=True)
class Content:
    """A message, the facts that it was made of, and what of them it shows, as it is stored: the price of an ad. `facts`
    has the score, and of an earlier message `chat_id`, `message_id` and `is_photo`."""

    message: Message
    facts: Mapping[str, Any]
    shown: Any


@dataclass(frozen=True, kw_only=True)
class Try:
    """A message that is recorded as being tried, with the facts of the ad at that moment."""

    id: int
    listing_id: int
    kind: str
    token: int
    attempts: int
    is_suspect: bool
    message: Message
    chat_id: str | None
    price_eur: Any
    facts: Mapping[str, Any]
    thing: str

    @property
    def is_edit(self) -> bool:
        """Whether the attempt edits an earlier message."""
        return self.kind != "deal"

    def __str__(self) -> str:
        return pairs(kind=self.kind, **{self.thing: self.listing_id}, score=self.facts["score"])


class Poster:
    """Sends queued notifications, while it holds the lock. A subclass posts about other things than ads, to a chat of
    its own: it overrides the names, the settings, `content` and `queue`."""

    thing = "listing"
    chat = "channel"  # the subject of the alert that the chat takes no message
    edits = "edits"
    chat_setting = "TELEGRAM_CHANNEL_ID"

    def __init__(self, connection: Connection[Any], settings: Settings, now: datetime | None) -> None:
        self.tried = 0
        self.counts: Counter[str] = Counter()
        self._connection = connection
        self._settings = settings
        self._now = now
        self._statements = self.statements()
        self._host = urlsplit(settings.telegram_api_url).netloc
        self._is_dry_run = settings.telegram_bot_token is None or self.chat_id is None
        self._held = 0.0  # seconds until anything may go
        self._has_alerts = False
        self._calls: deque[float] = deque()

    @staticmethod
    def statements() -> Mapping[str, Any]:
        """Return the statements over the queue."""
        return queries("notifications")

    @property
    def chat_id(self) -> str | None:
        """The chat that new messages go to."""
        return self._settings.telegram_channel_id

    @property
    def most_an_hour(self) -> int:
        """How many new messages go to it in an hour."""
        return self._settings.deals_posts_an_hour

    def content(self, listing_id: int, kind: str) -> Content | str:
        """Return what a message is to show now; or why it is out of date."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            facts = cursor.execute(self._statements["facts"], {"listing_id": listing_id}).fetchone() or {}
        if reason := _out_of_date(kind, facts):
            return reason
        message = compose(deal_of(facts), is_gone=kind == "gone")
        return Content(message=message, facts=facts, shown=None if kind == "gone" else facts["price_eur"])

    def photo(self, taken: Try) -> str | bytes | None:
        """Return the photo of a new message: an address that Telegram fetches, or its bytes."""
        return taken.message.photo_url

    def queue(self, listing_ids: Sequence[int]) -> None:
        """Queue the messages about these that are due now, in the caller's transaction."""
        queue(self._connection, listing_ids)

    def show(self, listing_id: int) -> str:
        """Return the command that shows what a message is about."""
        return f"vinops deals show {listing_id}"

    def outlook(self) -> dict[str, Any]:
        """Return how many messages wait, and in how many seconds the next may go."""
        messages, seconds = self._row("waiting")
        next_in = None if not messages else max(ABANDONED if seconds is None else seconds, self._held)
        return {"waiting": messages, "next_in_seconds": next_in}

    def recover(self) -> None:
        """Queue the messages again that an earlier process was trying when it died."""
        self._calls.extend(time.monotonic() - seconds for (seconds,) in self._rows("calls_lately"))
        with self._connection.transaction():
            rows = self._rows("recover_tries", seconds=ABANDONED, most_attempts=MOST_TRIES)
            for listing_id, kind, attempts, is_failed in rows:
                about = pairs(kind=kind, **{self.thing: listing_id}, attempts=attempts)
                if is_failed:
                    self._give_up(listing_id, "the process that sent it died each time")
                else:
                    log.warning("tried again %s: the process that sent it died; it may be in the channel twice", about)

    def step(self) -> bool:
        """Try to send the next message, and tell whether to continue."""
        if not self._is_dry_run and not self._is_free():
            return False
        taken = self._take()
        if taken is None:
            return False
        self.tried += 1
        if self._is_dry_run:
            message = taken.message
            log.info("dry run %s photo=%s link=%s: %s", taken, message.photo_url, message.link, message.html)
            self._settle(taken, "sent", is_dry_run=True)
            self.counts["sent"] += 1
            return True
        goes_on = self._ended(taken, self._call(taken))
        if self._has_alerts:
            self.deliver_alerts()  # before the next message clears them
        return goes_on

    def _is_free(self) -> bool:
        """Tell whether Telegram may be called now. Waits for the gap between two calls, but not for a longer pause."""
        row = self._row("left_alone", host=self._host)
        now = time.monotonic()
        pause = 0.0 if row is None else row[0]
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        if len(self._calls) >= A_MINUTE:
            pause = max(pause, self._calls[-A_MINUTE] + 60 - now)
        if pause > 0:
            self._held = pause
            return False
        if self._calls:
            time.sleep(max(0.0, self._calls[-1] + GAP - now))
        return True

    def _take(self) -> Try | None:
        """Record the next message as being tried, with the facts of this moment; drop those that are out of date."""
        while True:
            with self._connection.transaction():
                picked = self._pick()
                if picked is None:
                    return None
                number, listing_id, kind = picked
                self._rows("lock_messages", listing_ids=[listing_id])
                content = self.content(listing_id, kind)
                if isinstance(content, str):
                    self._run("drop_notification", id=number, error=content)
                    self.counts["dropped"] += 1
                    log.info("dropped %s: %s", pairs(kind=kind, **{self.thing: listing_id}), content)
                    continue
                facts = content.facts
                chat_id = self.chat_id if kind == "deal" else facts["chat_id"]
                recorded = self._row(
                    "record_try", id=number, score=facts["score"], price_eur=content.shown, chat_id=chat_id
                )
                if recorded is None:
                    continue  # `queue` has dropped it meanwhile
                token, attempts, is_suspect = recorded
            return Try(
                id=number,
                listing_id=listing_id,
                kind=kind,
                token=token,
                attempts=attempts,
                is_suspect=is_suspect,
                message=content.message,
                chat_id=chat_id,
                price_eur=content.shown,
                facts=facts,
                thing=self.thing,
            )

    def _pick(self) -> tuple[int, int, str] | None:
        tries, seconds = self._row("posted_lately", is_dry_run=self._is_dry_run)
        if tries < self.most_an_hour:
            if (picked := self._row("next_deal")) is not None:
                return picked  # type: ignore[no-any-return]
        else:
            self._held = seconds or AN_HOUR
        return None if self._is_dry_run else self._row("next_change")

    def _call(self, taken: Try) -> telegram.Outcome:
        message = taken.message
        chat_id = taken.chat_id or ""
        take_place(self._connection, self._settings)
        self._calls.append(time.monotonic())
        if taken.is_edit:
            number, is_photo = taken.facts["message_id"] or 0, taken.facts["is_photo"]
            return telegram.edit(self._settings, chat_id, number, message.html, is_photo=is_photo, link=message.link)
        if (photo := self.photo(taken)) is not None:
            outcome = telegram.send_photo(self._settings, chat_id, photo, message.html, link=message.link)
            if not isinstance(outcome, telegram.Refused):
                return outcome
            log.info("without its photo %s: %s", taken, outcome.reason)
            take_place(self._connection, self._settings)
            self._calls.append(time.monotonic())
        return telegram.send_text(self._settings, chat_id, message.html, html=True, link=message.link)

    def _ended(self, taken: Try, outcome: telegram.Outcome) -> bool:
        """Record the result of an attempt, and tell whether to continue with the next message."""
        wait = partial(self._settle, taken, "waiting")
        match outcome:
            case telegram.Sent():
                values = {"message_id": outcome.message_id, "is_photo": outcome.is_photo, "is_suspect": False}
                self._settle(taken, "sent", then=self._sent, **values)
                done = "edited" if taken.is_edit else "sent"
                self.counts[done] += 1
                log.info("%s %s", done, taken)
                self._judge(taken)
                return True
            case telegram.Refused() | telegram.Forbidden() if self._is_for_good(taken, outcome):
                self._settle(taken, "failed", error=outcome.reason, then=self._refused)
                self.counts["failed"] += 1
                return True
            case telegram.Refused() if not self._is_stopped_by(taken, outcome):
                wait(error=outcome.reason, uncounted=1, refusals=1, is_suspect=True)
                self._run("postpone_refused", is_edit=taken.is_edit, seconds=REFUSED_PAUSE)
                log.warning(
                    "Telegram refused a message, the next one shows whether the message is the cause %s: %s",
                    taken,
                    outcome.reason,
                )
                return True
            case telegram.Refused() | telegram.Forbidden():
                wait(error=outcome.reason, uncounted=1, refusals=1, is_suspect=False, then=self._forbidden)
                self._run("clear_suspects", is_edit_only=taken.is_edit)
                self._postpone(REFUSED_PAUSE, is_edit_only=taken.is_edit)
            case telegram.Postponed():
                wait(error=outcome.reason, uncounted=1)
                if outcome.is_chat:
                    self._postpone(outcome.seconds, is_edit_only=taken.is_edit)
                else:
                    host = {"host": self._host, "seconds": outcome.seconds}
                    self._connection.execute(queries("politeness")["postpone_requests"], host)
                    self._held = outcome.seconds
            case telegram.NotReached():
                wait(error=outcome.reason, uncounted=1)
                self._postpone(UNHEARD_PAUSE)
            case telegram.Unanswered():
                if taken.kind == "deal" and taken.attempts >= MOST_TRIES:
                    self._settle(taken, "failed", error=outcome.reason, then=self._unanswered)
                else:
                    wait(error=outcome.reason, seconds=PAUSES[min(taken.attempts, len(PAUSES)) - 1])
                self._postpone(UNHEARD_PAUSE)
        log.warning("Telegram did not accept a message %s: %s", taken, outcome.reason)
        return False

    def _postpone(self, seconds: float, *, is_edit_only: bool = False) -> None:
        self._run("postpone_waiting", is_edit_only=is_edit_only, seconds=seconds)

    def _is_for_good(self, taken: Try, refused: telegram.Refused | telegram.Forbidden) -> bool:
        """Tell whether a message can never be changed: it was deleted, or is in a chat that was the channel once."""
        is_elsewhere = taken.chat_id != self.chat_id and refused.is_chat
        return taken.is_edit and (is_elsewhere or (isinstance(refused, telegram.Refused) and refused.is_gone))

    def _is_stopped_by(self, taken: Try, refused: telegram.Refused) -> bool:
        """Tell whether a refusal applies to every message: Telegram says so, or none is accepted."""
        if refused.is_chat or taken.is_suspect:
            return True
        others = [error for (error,) in self._rows("suspects", is_edit=taken.is_edit, id=taken.id)]
        return len(others) >= MOST_SUSPECTS or _gist(refused.reason) in map(_gist, others)

    def _judge(self, passed: Try) -> None:
        """Record that a message was accepted after others were refused; those with PROOFS of this fail."""
        self._run("note_proofs", is_edit=passed.is_edit)
        for number, listing_id, kind, error in self._rows("at_fault", is_edit=passed.is_edit, proofs=PROOFS):
            with self._connection.transaction():
                self._rows("lock_messages", listing_ids=[listing_id])
                if self._row("fail_refused", id=number, proofs=PROOFS) is not None:
                    self._give_up_refused(listing_id, kind, error)
                    self.counts["failed"] += 1

    def _settle(self, taken: Try, state: str, *, then: Callable[[Try, str], None] | None = None, **values: Any) -> None:
        """Record the result of an attempt and its consequences (`then`, called with the error), in one transaction."""
        with self._connection.transaction():
            self._rows("lock_messages", listing_ids=[taken.listing_id])
            values = {**UNCHANGED, **values}
            if self._row("settle_try", id=taken.id, token=taken.token, state=state, **values) is None:
                log.warning("settled by another process %s: it may be in the channel twice", taken)
                return
            if then is not None:
                then(taken, values["error"] or "")
            self.queue([taken.listing_id])  # the ad may have changed meanwhile

    def _sent(self, taken: Try, _: str) -> None:
        if taken.is_edit:
            self._run("show_change", listing_id=taken.listing_id, price_eur=taken.price_eur)
        clear_alert(self._connection, "telegram_forbidden", self._subject(taken))
        is_told = self._settings.telegram_alert_chat_id is not None
        clear_alert(self._connection, "telegram_refused", self._kind(taken.kind), once_delivered=is_told)

    def _refused(self, taken: Try, error: str) -> None:
        self._give_up_refused(taken.listing_id, taken.kind, error)

    def _give_up_refused(self, listing_id: int, kind: str, error: str) -> None:
        if kind != "deal":
            self._run("forget_message", listing_id=listing_id)
        text = f"Telegram refused a message about {self.thing} {listing_id} ({error})"
        self._alert("telegram_refused", self._kind(kind), f"{text}: see `{self.show(listing_id)}`")

    def _forbidden(self, taken: Try, error: str) -> None:
        to = "channel" if self.chat == "channel" else f"chat of the {self.chat}"
        what = f"changes no message of the {to}" if taken.is_edit else f"takes no message for the {to}"
        fix = f"check TELEGRAM_BOT_TOKEN, {self.chat_setting} and the bot's rights there"
        text = f"Telegram {what} ({error}): {fix}; nothing is lost, a message is tried every 15 minutes"
        self._alert("telegram_forbidden", self._subject(taken), text)

    def _subject(self, taken: Try) -> str:
        """Return the subject of the alert that no message of this kind is accepted."""
        return self.edits if taken.is_edit else self.chat

    def _kind(self, kind: str) -> str:
        """Return the subject of the alert that a message of this kind was refused."""
        return kind if self.chat == "channel" else f"{self.chat} {kind}"

    def _unanswered(self, taken: Try, error: str) -> None:
        self._give_up(taken.listing_id, error)

    def _give_up(self, listing_id: int, error: str) -> None:
        self.counts["failed"] += 1
        about = f"{self.thing} {listing_id}"
        text = f"the message about {about} was given up after {MOST_TRIES} tries ({error})"
        self._alert("telegram_unanswered", about, f"{text}: check whether the {self.chat} shows it")

    def _alert(self, kind: str, subject: str, text: str) -> None:
        self._has_alerts |= raise_alert(self._connection, self._settings, kind, subject, text)

    def deliver_alerts(self) -> None:
        """Send the open alerts, if some were raised, or if Telegram is available again."""
        if self._has_alerts or self.counts["sent"] or self.counts["edited"]:
            self._has_alerts = False
            deliver(self._connection, self._settings)

    def _row(self, name: str, **values: Any) -> Any:
        return self._execute(name, values).fetchone()

    def _rows(self, name: str, **values: Any) -> list[Any]:
        return self._execute(name, values).fetchall()

    def _run(self, name: str, **values: Any) -> None:
        self._execute(name, values)

    def _execute(self, name: str, values: dict[str, Any]) -> Cursor[Any]:
        return self._connection.execute(self._statements[name], {"now": self._now, **values})


def _gist(reason: str) -> str:
    """Return a reason without the offsets, times and quoted text that differ between two refusals for it."""
    return re.sub(r"\d+|\"[^\"]*\"|'[^']*'", "", reason).lower()


def _out_of_date(kind: str, facts: Mapping[str, Any]) -> str:
    """Return why a message is no longer true; empty if it is."""
    if not facts:
        return "the ad is no longer in the database"
    if kind == "gone":
        return "" if facts["is_removed"] and facts["message_id"] is not None else PASSED
    if facts["is_removed"]:
        return "the ad is gone"
    if facts["price_eur"] is None:
        return "it names no price"
    if kind == "price":
        return "" if facts["message_id"] is not None else PASSED
    if not facts["is_approved"]:
        return "it is no longer a deal"
    return f"listing {facts['same_car']} shows the same car" if facts["same_car"] else ""


def post(
    connection: Connection[Any], settings: Settings, *, limit: int | None = None, now: datetime | None = None
) -> Posted:
    """Post the queued messages, best deals first, then changes of earlier messages, and return what was done.

    The connection is in autocommit. `limit` is the most messages to try; `now` replaces the clock of the database.
    Of several calls at once one posts and the others return at once: no more than `settings.deals_posts_an_hour` deals
    in any hour, over all processes. Ends early when Telegram asks for a pause, cannot be reached, does not answer, lets
    the bot write no more or refuses one message after the other; the rest stays queued. A refused message fails only
    when others are accepted. Without a token or a channel deals are written to the log instead, and count as sent.

    If the process dies before a try is recorded nothing has happened; after that, the first call that comes ABANDONED
    seconds later tries the message again, and it is in the channel twice if it had arrived. After MOST_TRIES tries
    that may have arrived a deal is given up, with an alert. Raises psycopg's errors when the connection breaks.
    """
    return post_all(Poster(connection, settings, now), connection, limit)


def post_all(poster: Poster, connection: Connection[Any], limit: int | None = None) -> Posted:
    """Post what is queued for a chat: `post` says how."""
    statements = poster.statements()
    row = connection.execute(statements["take_turn"]).fetchone()
    if row is None or not row[0]:
        return Posted(**poster.outlook())
    try:
        if (reason := held(connection)) is not None:
            log.warning("posting is held, `vinops deals release` lets it go on: %s", reason)
            return Posted(**poster.outlook(), held=reason)
        poster.recover()
        with telegram.kept_connection():
            while (limit is None or poster.tried < limit) and poster.step():
                pass
            poster.deliver_alerts()
        done: dict[str, Any] = {**poster.counts, **poster.outlook()}
        return Posted(**done)
    finally:
        with contextlib.suppress(psycopg.Error):  # a broken connection has released the lock
            connection.execute(statements["end_turn"])
