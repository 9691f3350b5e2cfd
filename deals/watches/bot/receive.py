"""Receives updates: one process reads them, and applies each exactly once.

The id of an update is stored in the transaction of its effect. Telegram returns an update again until a later call
confirms it; one that was applied is skipped then. No conversation is in memory: a process that dies at any line loses
nothing, and nothing is done twice. Answers are messages of that transaction; sending/send.py sends them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from deals.channel.pace import bot_id
from deals.watches import people, texts
from deals.watches.bot import buttons, commands, updates
from deals.watches.bot.turn import Turn, add_reply
from vinops import telegram
from vinops.alerts import clear_alert, deliver, raise_alert
from vinops.db.database import queries
from vinops.db.errors import is_passing
from vinops.logs import pairs
from vinops.redaction import without_ids

if TYPE_CHECKING:
    from psycopg import Connection

    from deals.watches.bot.updates import Event
    from deals.watches.people import Person
    from vinops.config import Settings

log = logging.getLogger("watch")

WAIT: Final = 20  # seconds that Telegram waits for an update
PAUSE: Final = 5.0  # seconds after a call that failed
CONFLICT_PAUSE: Final = 15.0  # after another process of the same bot was found
FORBIDDEN_PAUSE: Final = 60.0
STRANGERS_A_MINUTE: Final = 20


class Receiver:
    """Reads the updates of a bot on a connection in autocommit, while it holds the lock."""

    def __init__(self, connection: Connection[Any], settings: Settings, *, name: str = "") -> None:
        """`name` is the bot's user name: commands in groups that name another bot are not for it."""
        self.pause = 0.0
        """Seconds to wait before the next call."""
        self._connection = connection
        self._settings = settings
        self._name = name.lower()
        self._statements = queries("watch_bot")
        self._bot_id = bot_id(settings)

    def take_turn(self) -> bool:
        """Take the lock that one process holds at a time, and return whether it is ours. It ends with the session."""
        row = self._connection.execute(self._statements["take_consumer"], {"bot_id": self._bot_id}).fetchone()
        return bool(row and row[0])

    def step(self, *, seconds: int = WAIT) -> int:
        """Read the updates that wait, apply each, and return how many were applied.

        If the process dies before an update's commit, nothing of it was done and it is read again; after that it is
        skipped. Raises psycopg's errors when the connection breaks.
        """
        row = self._connection.execute(self._statements["last_update"], {"bot_id": self._bot_id}).fetchone()
        outcome = telegram.get_updates(self._settings, None if row is None else row[0] + 1, seconds=seconds)
        if not isinstance(outcome, telegram.Answered):
            self._failed(outcome)
            return 0
        self.pause = 0.0
        for kind in ("telegram_forbidden", "telegram_conflict"):
            clear_alert(self._connection, kind, "bot")
        if not isinstance(outcome.result, list):
            self.pause = PAUSE
            log.warning("no updates %s: %s", pairs(again_in=PAUSE), "the answer is no list")
            return 0
        if not self._name:  # Telegram did not say it when the process began
            self._name = bot_name(self._settings).lower()
        found = outcome.result
        return sum(self.apply(update) for update in found)

    def apply(self, update: Any) -> bool:
        """Apply an update, unless it was applied before, and return whether it was applied now.

        An update whose effect fails is confirmed with an answer that says so: it must not hold up the others.
        """
        number = updates.number_of(update)
        if number is None:
            log.warning("an update without an id was skipped")
            return False
        event = updates.read(update)
        notice = ""
        try:
            with self._connection.transaction():
                is_new = self._take(number)
                if is_new:
                    notice = self._handle(event)
        except Exception as error:
            if is_passing(error):
                raise  # the database is unavailable: the update waits
            log.error("failed %s: %s", pairs(update=number, event=type(event).__name__), _where(error))
            with self._connection.transaction():
                is_new = self._take(number)
                if is_new:
                    self._apologise(event)
        if isinstance(event, updates.Pressed | updates.Other) and event.query_id is not None:
            # Repeated updates too: the process may have died before it answered.
            telegram.answer_callback_query(self._settings, event.query_id, notice)
        if is_new:
            log.info("applied %s", pairs(update=number, event=type(event).__name__))
        return is_new

    def _take(self, number: int) -> bool:
        about = {"bot_id": self._bot_id, "update_id": number}
        return self._connection.execute(self._statements["take_update"], about).fetchone() is not None

    def _handle(self, event: Event) -> str:
        """Do what an event asks for, in the transaction of its update; return what a button is answered with."""
        match event:
            case updates.Moved():
                about = {"chat_id": event.chat_id, "new_chat_id": event.new_chat_id}
                self._connection.execute(queries("watch_people")["move_chat"], about)
            case updates.Blocked():
                person = people.of_chat(self._connection, event.chat_id)
                if person is not None:
                    people.change(self._connection, "pause_person", person, reason=people.BY_BLOCK)
            case updates.Said() | updates.Pressed():
                return self._turn(event)
        return ""

    def _turn(self, event: updates.Said | updates.Pressed) -> str:
        code = ""
        if isinstance(event, updates.Said):
            parts = commands.split(event.text)
            if parts and parts[1] and self._name and parts[1] != self._name:
                return ""  # for another bot of the group
            code = parts[2] if parts and parts[0] == "start" else ""
            if event.is_group and parts is None:
                return ""
        person = people.of_chat(self._connection, event.chat_id)
        if code and person is None and len(code) <= 64:
            return self._invited(event, code)
        if code and person is not None and len(code) <= 64:
            linked = people.link(self._connection, code, person, self._settings.time_zone)
            if linked is not None:
                Turn(connection=self._connection, settings=self._settings, person=linked).say("linked")
                return ""
        if person is None or person.paused_by == people.BY_ACCOUNT:
            return self._stranger(event)
        turn = Turn(connection=self._connection, settings=self._settings, person=person)
        if person.paused_by == people.BY_BLOCK and people.change(
            self._connection, "resume_person", person, reasons=[people.BY_BLOCK]
        ):
            people.begin_again(self._connection, person)  # who writes has unblocked the bot
        if isinstance(event, updates.Said):
            commands.obey(turn, event)
        else:
            buttons.press(turn, event)
        return turn.notice

    def _invited(self, event: updates.Said | updates.Pressed, code: str) -> str:
        person = people.accept(self._connection, code, event.chat_id, self._settings.time_zone)
        if person is None:
            return self._stranger(event, "bad_code")
        for key in ("stranger", "bad_code"):
            about = {"chat_hash": people.digest(_stranger_key(event.chat_id, key))}
            self._connection.execute(self._statements["forget_stranger"], about)
        Turn(connection=self._connection, settings=self._settings, person=person).say("welcome")
        return ""

    def _stranger(self, event: updates.Said | updates.Pressed, key: str = "stranger") -> str:
        """Answer a chat that nobody was invited in with one sentence, once a day; of many chats not all."""
        # An invitation that does not hold is answered too, once a day, after a first text without one.
        about = {"chat_hash": people.digest(_stranger_key(event.chat_id, key)), "limit": STRANGERS_A_MINUTE}
        if self._connection.execute(self._statements["tell_stranger"], about).fetchone() is not None:
            code = event.language[:2] if isinstance(event, updates.Said) else ""
            add_reply(self._connection, texts.say(code, key), chat_id=event.chat_id)
        return ""

    def _apologise(self, event: Event) -> None:
        if isinstance(event, updates.Said):
            person: Person | None = people.of_chat(self._connection, event.chat_id)
            if person is not None:
                Turn(connection=self._connection, settings=self._settings, person=person).say("failed")

    def _failed(self, outcome: telegram.Outcome) -> None:
        """Note why Telegram returned no updates, and how long to wait before the next call."""
        reason = "" if isinstance(outcome, telegram.Sent) else outcome.reason
        self.pause = PAUSE
        match outcome:
            case telegram.Postponed():
                self.pause = outcome.seconds
            case telegram.Forbidden():
                self.pause = FORBIDDEN_PAUSE
                self._alert("telegram_forbidden", f"Telegram returns no updates ({reason}): check TELEGRAM_BOT_TOKEN")
            case telegram.Refused() if "409" in reason[:12]:
                self.pause = CONFLICT_PAUSE
                text = "another process reads the updates of this bot, or it has a webhook: end that one"
                self._alert("telegram_conflict", f"{text} ({reason})")
        log.warning("no updates %s: %s", pairs(again_in=self.pause), without_ids(reason))

    def _alert(self, kind: str, text: str) -> None:
        if raise_alert(self._connection, self._settings, kind, "bot", text):
            deliver(self._connection, self._settings)


def _stranger_key(chat_id: int, key: str) -> str:
    return str(chat_id) if key == "stranger" else f"{key} {chat_id}"


def bot_name(settings: Settings) -> str:
    """Return the bot's user name; empty if Telegram does not say it."""
    outcome = telegram.call(settings, "getMe", {})
    result = outcome.result if isinstance(outcome, telegram.Answered) else None
    name = result.get("username") if isinstance(result, dict) else None
    return name if isinstance(name, str) else ""


def _where(error: Exception) -> str:
    """Return an error for the log: its type and place and, without anything that may be the id of a chat, its text."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
    return without_ids(f"{type(error).__name__}{where}: {error}")
