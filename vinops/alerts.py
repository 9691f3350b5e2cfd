"""Alerts to the owner: an ERROR in the log, a row in ops.alerts, and a message by Telegram if that is set up.

One alert is open for each kind and subject: a fault that continues is reported once. Everything here blocks, and may
be called from any thread with a connection of its own, in autocommit.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vinops.db.database import queries
from vinops.redaction import redact
from vinops.text.printable import printable
from vinops.text.unlinked import unlinked

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops import telegram
    from vinops.config import Settings

log = logging.getLogger("alerts")

LONGEST_TEXT = 2000  # characters: Telegram takes 4096, counts some double, and a sign that breaks a link more


def raise_alert(connection: Connection[Any], settings: Settings, kind: str, subject: str, message: str) -> bool:
    """Raise an alert and return whether it is new; one that is already open is counted, and keeps its first message.

    Logs one ERROR either way. If the process dies after this, the next `deliver` sends the alert.
    """
    subject, text = redact(subject, settings), redact(message, settings)
    log.error("alert %s %s: %s", kind, subject, text)
    about = {"kind": kind, "subject": subject, "message": text}
    row = connection.execute(queries("alerts")["raise_alert"], about).fetchone()
    return row is not None and row[0] == 1


def clear_alert(connection: Connection[Any], kind: str, subject: str, *, once_delivered: bool = False) -> None:
    """Close the alert of this kind and subject, if one is open: the next one is new.

    One that was not delivered yet is never delivered; with `once_delivered` it stays open until it is.
    """
    about = {"kind": kind, "subject": subject, "once_delivered": once_delivered}
    connection.execute(queries("alerts")["clear_alert"], about)


def tell(settings: Settings, chat_id: str, kind: str, subject: str, message: str) -> telegram.Outcome:
    """Send an alert, and return the outcome.

    If Telegram refuses the text, a standard text is sent instead; a chat that has moved is followed. If the process
    dies here, the alert may have arrived.
    """
    from vinops import telegram  # takes 0.4 s to import, and few processes ever send an alert

    def send(text: str) -> telegram.Outcome:
        outcome = telegram.send_text(settings, chat_id, text)
        if isinstance(outcome, telegram.Refused) and outcome.moved_to:
            log.warning("TELEGRAM_ALERT_CHAT_ID is out of date, set it to %s: %s", outcome.moved_to, outcome.reason)
            outcome = telegram.send_text(settings, outcome.moved_to, text)
        return outcome

    text = printable(f"vinops: {kind} {subject}\n{message}", lines=True)[:LONGEST_TEXT]
    outcome = send(unlinked(text))
    if isinstance(outcome, telegram.Refused) and not outcome.is_chat:
        log.warning("Telegram refused the text of an alert: %s", outcome.reason)
        outcome = send(f"vinops: {kind}\nTelegram refused the text of this alert: it is in ops.alerts and in the log")
    return outcome


def deliver(connection: Connection[Any], settings: Settings) -> int:
    """Send the open alerts that were not delivered to TELEGRAM_ALERT_CHAT_ID, and return how many were.

    Without a token or a chat nothing is sent: the ERROR in the log is the alert. An alert that Telegram does not accept
    is left for the next call, which waits as long as Telegram asks for; that is logged as a WARNING, not raised. Each
    alert is locked while it is sent, so that only one process sends it. If the process dies between Telegram's answer
    and the commit, or the answer is lost, it is sent again.
    """
    chat_id = settings.telegram_alert_chat_id
    if settings.telegram_bot_token is None or chat_id is None:
        return 0
    host = urlsplit(settings.telegram_api_url).netloc
    sent = 0
    while True:
        with connection.transaction():
            row = connection.execute(queries("alerts")["next_alert"], {"host": host}).fetchone()
            if row is None:
                return sent
            from vinops import telegram

            number, kind, subject, message = row
            outcome = tell(settings, chat_id, kind, subject, message)
            if isinstance(outcome, telegram.Sent):
                connection.execute(queries("alerts")["mark_delivered"], {"id": number})
                sent += 1
        if isinstance(outcome, telegram.Sent):
            continue
        log.warning("Telegram did not accept an alert: %s; `deliver` tries again", outcome.reason)
        if isinstance(outcome, telegram.Postponed) and not outcome.is_chat:
            connection.execute(queries("politeness")["postpone_requests"], {"host": host, "seconds": outcome.seconds})
        return sent
