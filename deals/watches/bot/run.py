"""Runs the bot: one loop that receives updates and one that sends messages, each with a connection of its own."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from deals.watches import texts
from deals.watches.bot import receive
from deals.watches.sending.send import Sender
from vinops import systemd, telegram
from vinops.db import database
from vinops.db.errors import explain, is_passing
from vinops.redaction import without_ids

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("watch")

LOOK: Final = 0.5  # seconds between two looks for something to send
BEHIND: Final = 10.0  # seconds after which a process that does not hold a lock asks for it again
BEAT: Final = 10.0
SILENT: Final = 120.0  # seconds without a turn of a loop, after which it hangs


class Bot:
    """The two loops. Each goes on after the database or Telegram were away."""

    def __init__(self, settings: Settings) -> None:
        self.stopped = threading.Event()
        self._settings = settings
        self._fault: BaseException | None = None
        self._turns = dict.fromkeys(("_receive", "_send"), time.monotonic())

    def run(self) -> None:
        """Receive and send until `stopped` is set. Raises what ended a loop, if that is no passing error."""
        loops = [
            threading.Thread(target=self._guarded, args=(loop,), name=loop.__name__, daemon=True)
            for loop in (self._receive, self._send)
        ]
        for each in loops:
            each.start()
        systemd.ready()
        every = (systemd.watchdog_seconds() or 3 * BEAT) / 3
        while not self.stopped.wait(every):
            if time.monotonic() - min(self._turns.values()) < SILENT:
                systemd.alive()
        systemd.stopping()
        loops[1].join(timeout=2 * telegram.SECONDS)  # it settles what it is sending; the other one only waits
        if self._fault is not None:
            raise self._fault

    def _guarded(self, loop: Any) -> None:
        while not self.stopped.is_set():
            self._turn(loop.__name__)
            try:
                with database.connect(self._settings, application=f"vinops watch {loop.__name__[1:]}") as connection:
                    connection.autocommit = True
                    loop(connection)
            except Exception as error:  # noqa: BLE001 # run() raises it
                if not is_passing(error):
                    self._fault = error
                    self.stopped.set()
                    return
                log.warning("the database does not answer: %s", without_ids(explain(error, self._settings)))
                self.stopped.wait(receive.PAUSE)

    def _receive(self, connection: Connection[Any]) -> None:
        receiver = receive.Receiver(connection, self._settings, name=receive.bot_name(self._settings))
        self._wait_for_turn(receiver, "_receive")
        self._publish_commands()
        while not self.stopped.is_set():
            self._turn("_receive")
            receiver.step()
            self._rest(receiver.pause, "_receive")

    def _send(self, connection: Connection[Any]) -> None:
        sender = Sender(connection, self._settings)
        self._wait_for_turn(sender, "_send")
        with telegram.kept_connection():
            while not self.stopped.is_set():
                self._turn("_send")
                sender.queue()
                while not self.stopped.is_set() and sender.step():
                    self._turn("_send")
                self.stopped.wait(max(LOOK, min(sender.pause, BEHIND)))

    def _rest(self, seconds: float, loop: str) -> None:
        """Wait as long as Telegram asks, which may be hours, and stay alive meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopped.wait(min(left, BEAT)):
            self._turn(loop)

    def _turn(self, loop: str) -> None:
        self._turns[loop] = time.monotonic()

    def _wait_for_turn(self, part: receive.Receiver | Sender, loop: str) -> None:
        is_told = False
        while not self.stopped.is_set() and not part.take_turn():
            self._turn(loop)
            if not is_told:
                log.warning("another process of the bot runs: this one waits until that ends")
                is_told = True
            self.stopped.wait(BEHIND)

    def _publish_commands(self) -> None:
        """Tell Telegram the menu of commands, in each language. Without it the bot works all the same."""
        for code in texts.LANGUAGES:
            menu = [{"command": name, "description": said[code]} for name, said in texts.COMMANDS.items()]
            fields = {"commands": json.dumps(menu, ensure_ascii=False)}
            if code != texts.FALLBACK:
                fields["language_code"] = code
            outcome = telegram.call(self._settings, "setMyCommands", fields)
            if not isinstance(outcome, telegram.Answered):
                log.info("the menu of commands was not taken: %s", without_ids(getattr(outcome, "reason", "")))
                return
