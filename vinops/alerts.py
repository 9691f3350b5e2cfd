"""Alerts to the owner: an ERROR in the log, a row in ops.alerts, and a message by Telegram if that is set up.

One alert is open for each kind and subject: a fault that goes on is told once. Everything here blocks, and may be
called from any thread that brings a connection of its own, in autocommit.
"""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vinops.database import queries
from vinops.redaction import redact

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("alerts")

SECONDS = 10.0  # for a message to Telegram, from the first sign to the last
PAUSE = 60.0  # seconds that Telegram is left alone for if it does not say how long
LONGEST_PAUSE = 86_400.0
LONGEST_TEXT = 2000  # characters: Telegram takes 4096, and counts some of them double
LONGEST_ANSWER = 65_536  # bytes


def raise_alert(connection: Connection[Any], settings: Settings, kind: str, subject: str, message: str) -> bool:
    """Raise an alert and return whether it is new; one that is open already is counted, and keeps its first message.

    Logs one ERROR either way. If the process dies behind this the alert stands, and the next `deliver` sends it.
    """
    subject, text = redact(subject, settings), redact(message, settings)
    log.error("alert %s %s: %s", kind, subject, text)
    about = {"kind": kind, "subject": subject, "message": text}
    row = connection.execute(queries("alerts")["raise_alert"], about).fetchone()
    return row is not None and row[0] == 1


def clear_alert(connection: Connection[Any], kind: str, subject: str) -> None:
    """Note that what an alert told of has passed, if there is one: the next one of its kind and subject is new.

    One that was not delivered by then is not delivered any more.
    """
    connection.execute(queries("alerts")["clear_alert"], {"kind": kind, "subject": subject})


def deliver(connection: Connection[Any], settings: Settings) -> int:
    """Send the open alerts that were not delivered to TELEGRAM_ALERT_CHAT_ID, and return how many were.

    Without a token or a chat nothing is sent: the ERROR in the log is the alert. What Telegram does not take stays for
    the next call, which asks nothing while Telegram wants to be left alone; that is logged as a WARNING, not raised.
    Each alert is locked while it is sent, so that of two processes one sends it. If the process dies between Telegram's
    answer and the commit, or the answer is lost, it is sent again.
    """
    if settings.telegram_bot_token is None or settings.telegram_alert_chat_id is None:
        return 0
    host = urlsplit(settings.telegram_api_url).netloc
    sent = 0
    while True:
        with connection.transaction():
            row = connection.execute(queries("alerts")["next_alert"], {"host": host}).fetchone()
            if row is None:
                return sent
            number, kind, subject, message = row
            problem, pause = _send(settings, f"vinops: {kind} {subject}\n{message}")
            if not problem:
                connection.execute(queries("alerts")["mark_delivered"], {"id": number})
                sent += 1
        if problem:
            log.warning("Telegram did not take an alert: %s; `deliver` tries again", redact(problem, settings))
            if pause:
                connection.execute(queries("politeness")["postpone_requests"], {"host": host, "seconds": pause})
            return sent


def _send(settings: Settings, text: str) -> tuple[str, float]:
    """Send a message; return what went wrong, empty if nothing did, and the seconds to wait before the next.

    The token is part of the address. No error leaves here: one may quote what was sent.
    """
    token = settings.telegram_bot_token
    api = urlsplit(settings.telegram_api_url)
    path = f"{api.path}/bot{token.reveal() if token else ''}/sendMessage"
    body = json.dumps({"chat_id": settings.telegram_alert_chat_id, "text": text[:LONGEST_TEXT]})
    kind = http.client.HTTPConnection if api.scheme == "http" else http.client.HTTPSConnection
    connection = kind(api.hostname or "", api.port, timeout=SECONDS)
    limit = None
    try:
        connection.connect()
        limit = threading.Timer(SECONDS, _cut, (connection.sock,))  # the timeout is that of one sign, not of all
        limit.daemon = True
        limit.start()
        connection.request("POST", path, body, {"Content-Type": "application/json", "Connection": "close"})
        response = connection.getresponse()
        answer = response.read(LONGEST_ANSWER)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"it was not reached ({type(error).__name__})", 0.0
    finally:
        if limit is not None:
            limit.cancel()
        connection.close()
    return _problem(response.status, answer)


def _cut(connection: socket.socket) -> None:
    """End a conversation that takes too long: whoever reads or writes finds the connection closed."""
    with contextlib.suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)


def _problem(status: int, answer: bytes) -> tuple[str, float]:
    """Read Telegram's answer: what went wrong, and the seconds that it asks to wait."""
    try:
        said = json.loads(answer)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    if status == http.HTTPStatus.OK and said.get("ok") is True:
        return "", 0.0
    pause = 0.0
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        parameters = said.get("parameters")
        asked = parameters.get("retry_after") if isinstance(parameters, dict) else None
        pause = float(asked) if isinstance(asked, int | float) and asked > 0 else PAUSE
    return f"status {status}, {str(said.get('description', 'no reason given'))[:200]}", min(pause, LONGEST_PAUSE)
