"""Sends the messages of alerts: takes the next one, records the try, sends it, records the result.

As for the channel (docs/decisions/0014-telegram.md), a message is recorded as being tried and committed, then sent,
then settled; a try that was not settled is repeated, and may then have arrived twice. One process sends at a time.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from psycopg.rows import dict_row

from deals.channel.pace import take_place
from deals.channel.queue import ABANDONED, MOST_TRIES
from deals.watches.sending import queue
from deals.watches.sending.compose import Letter, NotNowError, PassedError, compose
from vinops import telegram
from vinops.alerts import clear_alert, deliver, raise_alert
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.redaction import without_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("watch")

# https://core.telegram.org/bots/faq: a message a second in a chat, and twenty a minute in a group.
CHAT_GAP: Final = 1.05  # seconds
GROUP_GAP: Final = 60 / 18
PAUSES: Final = (15.0, 60.0, 300.0, 1800.0)  # seconds after a first, second … try that may have arrived
REFUSED_PAUSES: Final = (60.0, 900.0, 1800.0)  # seconds after a first, second … refusal of a message
UNHEARD_PAUSE: Final = 15.0  # seconds for all messages, after one without an answer or a connection
FORBIDDEN_PAUSE: Final = 60.0
EXPIRY: Final = 3600.0  # seconds between two removals of what is old


@dataclass(frozen=True, kw_only=True)
class _Try:
    """A message that is recorded as being tried."""

    id: int
    person_id: int | None
    kind: str
    chat_id: int
    token: int
    attempts: int
    letter: Letter

    def __str__(self) -> str:
        return pairs(message=self.id, kind=self.kind)


class Sender:
    """Sends queued messages on a connection in autocommit, while it holds the lock."""

    def __init__(self, connection: Connection[Any], settings: Settings) -> None:
        self.counts: Counter[str] = Counter()
        self.pause = 0.0
        """Seconds until anything may be sent."""
        self._connection = connection
        self._settings = settings
        self._statements = queries("watch_sending")
        self._host = urlsplit(settings.telegram_api_url).netloc
        self._expired = float("-inf")

    def take_turn(self) -> bool:
        """Take the lock that one process holds at a time, and return whether it is ours. It ends with the session."""
        row = self._row("take_sender")
        return bool(row and row["pg_try_advisory_lock"])

    def queue(self) -> int:
        """Queue what was found and what is due, and what a process that died was trying; return how many hits were
        looked at. Each part is one transaction, and changes nothing when it is repeated."""
        for each in self._rows("recover_tries", seconds=ABANDONED, most_attempts=MOST_TRIES):
            log.warning("the process that sent a message died, it may be there twice %s", pairs(message=each["id"]))
            if each["state"] == "failed":
                self._run("drop_stranger", id=each["id"])
        hits = queue.queue_hits(self._connection)
        queue.queue_digests(self._connection)
        if time.monotonic() > self._expired + EXPIRY:
            self._connection.execute(queries("watch_bot")["expire"])
            self._expired = time.monotonic()
        return hits

    def step(self) -> bool:
        """Try to send the next message, and tell whether there may be another one to send now.

        If the process dies before the try is recorded nothing has happened; after that the message is tried again, and
        is there twice if it had arrived. Raises psycopg's errors when the connection breaks.
        """
        row = self._connection.execute(queries("notifications")["left_alone"], {"host": self._host}).fetchone()
        if row is not None:
            self.pause = row[0]
            return False
        self.pause = 0.0
        taken = self._take()
        if taken is None:
            return False
        return self._ended(taken, self._call(taken))

    def _take(self) -> _Try | None:
        """Record the next message as being tried, with what is true now; drop those that are over."""
        while True:
            with self._connection.transaction():
                queued = self._row("next_message")
                if queued is None:
                    return None
                try:
                    letter = compose(self._connection, self._settings, queued)
                except PassedError as passed:
                    self._run("drop_message", id=queued["id"], error=str(passed))
                    self.counts["dropped"] += 1
                    log.info("dropped %s: %s", pairs(message=queued["id"], kind=queued["kind"]), passed)
                    continue
                except NotNowError as later:
                    self._run("postpone_message", id=queued["id"], until=later.until)
                    continue
                gap = _gap(queued["chat_id"])
                tried = self._row("record_try", id=queued["id"], price_eur=letter.content.price_eur, gap=gap)
                if tried is None:
                    continue  # it was dropped meanwhile
            return _Try(
                id=queued["id"],
                person_id=queued["person_id"],
                kind=queued["kind"],
                chat_id=queued["chat_id"],
                token=tried["token"],
                attempts=tried["attempts"],
                letter=letter,
            )

    def _call(self, taken: _Try) -> telegram.Outcome:
        letter, content = taken.letter, taken.letter.content
        chat_id = str(taken.chat_id)
        take_place(self._connection, self._settings)
        if letter.edits is not None:
            return telegram.edit(
                self._settings, chat_id, letter.edits, content.html, is_photo=letter.is_photo, buttons=content.buttons
            )
        if content.photo_url is not None:
            outcome = telegram.send_photo(
                self._settings,
                chat_id,
                content.photo_url,
                content.html,
                buttons=content.buttons,
                is_silent=letter.is_silent,
            )
            if not isinstance(outcome, telegram.Refused) or outcome.is_chat:
                return outcome
            log.info("without its photo %s: %s", taken, without_ids(outcome.reason))
            take_place(self._connection, self._settings)
        return telegram.send_text(
            self._settings,
            chat_id,
            content.html,
            html=True,
            buttons=content.buttons,
            is_silent=letter.is_silent,
            reply_to=letter.reply_to,
        )

    def _ended(self, taken: _Try, outcome: telegram.Outcome) -> bool:
        """Record the result of a try, and tell whether to go on with the next message."""
        match outcome:
            case telegram.Sent():
                self._sent(taken, outcome)
                return True
            case telegram.Refused():
                self._refused(taken, outcome)
                return True
            case telegram.Forbidden() if outcome.is_chat:
                self._closed(taken, without_ids(outcome.reason))
                return True
            case telegram.Postponed() if outcome.is_chat:
                slow = {"person_id": taken.person_id, "seconds": outcome.seconds}
                self._settle(taken, "waiting", uncounted=1, then=lambda: self._run("slow_chat", **slow))
                return True
        reason = without_ids(outcome.reason)
        match outcome:
            case telegram.Forbidden():
                self._settle(taken, "waiting", error=reason, uncounted=1)
                self.pause = FORBIDDEN_PAUSE
                text = f"Telegram takes no message ({reason}): check TELEGRAM_BOT_TOKEN; nothing is lost"
                if raise_alert(self._connection, self._settings, "telegram_forbidden", "alerts", text):
                    deliver(self._connection, self._settings)
            case telegram.Postponed():
                self._settle(taken, "waiting", error=reason, uncounted=1)
                host = {"host": self._host, "seconds": outcome.seconds}
                self._connection.execute(queries("politeness")["postpone_requests"], host)
                self.pause = outcome.seconds
                self.counts["postponed"] += 1
            case telegram.NotReached():
                self._settle(taken, "waiting", error=reason, uncounted=1)
                self.pause = UNHEARD_PAUSE
            case telegram.Unanswered():
                is_over = taken.attempts >= MOST_TRIES
                seconds = PAUSES[min(taken.attempts, len(PAUSES)) - 1]
                self._settle(taken, "failed" if is_over else "waiting", error=reason, seconds=seconds)
                self.pause = UNHEARD_PAUSE
        log.warning("Telegram did not accept a message %s: %s", taken, reason)
        return False

    def _sent(self, taken: _Try, outcome: telegram.Sent) -> None:
        def then() -> None:
            if taken.letter.about_id is not None:
                content = taken.letter.content
                shows = {"price_eur": content.price_eur, "shown": content.shown, "is_told": taken.letter.edits is None}
                self._run("show_change", id=taken.letter.about_id, **shows)
                self._look_again(taken.letter.about_id)
            if taken.letter.edits is None:  # from the answer on: the call may have waited since the try was recorded
                self._run("slow_chat", person_id=taken.person_id, seconds=_gap(taken.chat_id))
            clear_alert(self._connection, "telegram_forbidden", "alerts")

        values = {"message_id": outcome.message_id, "is_photo": outcome.is_photo}
        self._settle(taken, "sent", then=then, **values)
        done = "edited" if taken.letter.edits is not None else "sent"
        self.counts[done] += 1
        log.info("%s %s", done, taken)

    def _look_again(self, message_id: int) -> None:
        """Queue a change of a message whose ad or lot may have changed while it was sent. Of the ad, for this message
        alone: many people may have been told of it."""
        queue.queue_changes(self._connection, message_ids=[message_id])
        about = self._row("about", id=message_id)
        if about is not None and about["lot_id"] is not None:
            queue.queue_lot_changes(self._connection, [about["lot_id"]])

    def _refused(self, taken: _Try, refused: telegram.Refused) -> None:
        """Follow a chat that moved, and pause one that is closed. A message that is refused for itself is tried again
        later; after the last time it fails, with an alert."""
        reason = without_ids(refused.reason)
        if refused.moved_to is not None:
            new = int(refused.moved_to)
            self._settle(taken, "waiting", error=reason, uncounted=1, then=lambda: self._move(taken, new))
        elif refused.is_gone:
            self._settle(taken, "failed", error=reason, then=lambda: self._forget_message(taken))
        elif refused.is_chat:
            self._closed(taken, reason)
        elif taken.attempts > len(REFUSED_PAUSES):
            self._settle(taken, "failed", error=reason)
            self.counts["failed"] += 1
            text = f"Telegram refused message {taken.id} of kind {taken.kind} of the alerts each time ({reason})"
            raise_alert(self._connection, self._settings, "watch_refused", taken.kind, f"{text}: see the log")
        else:
            self._settle(taken, "waiting", error=reason, seconds=REFUSED_PAUSES[taken.attempts - 1])
            log.warning("Telegram refused a message %s: %s", taken, reason)

    def _closed(self, taken: _Try, reason: str) -> None:
        self._settle(taken, "failed", error=reason, then=lambda: self._pause_chat(taken))
        log.info("a chat cannot be written to, its person is paused %s: %s", taken, reason)

    def _move(self, taken: _Try, new_chat_id: int) -> None:
        about = {"chat_id": taken.chat_id, "new_chat_id": new_chat_id}
        self._connection.execute(queries("watch_people")["move_chat"], about)
        if taken.person_id is None:
            self._run("drop_stranger", id=taken.id)

    def _forget_message(self, taken: _Try) -> None:
        if taken.letter.about_id is not None:
            self._run("forget_message", id=taken.letter.about_id)

    def _pause_chat(self, taken: _Try) -> None:
        if taken.person_id is not None:
            self._run("pause_chat", person_id=taken.person_id)

    def _settle(self, taken: _Try, state: str, *, then: Callable[[], object] | None = None, **values: Any) -> None:
        """Record the result of a try and its consequences in one transaction."""
        known = {"error": None, "message_id": None, "is_photo": None, "uncounted": 0, "seconds": 0.0}
        with self._connection.transaction():
            about = {"id": taken.id, "token": taken.token, "state": state}
            if self._row("settle_try", **about, **(known | values)) is None:
                log.warning("settled or removed by another process %s: it may be there twice", taken)
            elif then is not None:
                then()
            if taken.person_id is None and state != "waiting":
                self._run("drop_stranger", id=taken.id)  # nothing of a chat stays that nobody was invited in

    def _row(self, name: str, **values: Any) -> Any:
        return next(iter(self._rows(name, **values)), None)

    def _rows(self, name: str, **values: Any) -> list[Any]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(self._statements[name], values)
            return cursor.fetchall() if cursor.description else []

    def _run(self, name: str, **values: Any) -> None:
        self._connection.execute(self._statements[name], values)


def _gap(chat_id: int) -> float:
    """Return the seconds between two messages of a chat: ids of groups are negative."""
    return GROUP_GAP if chat_id < 0 else CHAT_GAP
