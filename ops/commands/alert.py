"""`vinops alert KIND SUBJECT [MESSAGE]`: alert the owner. Called by OnFailure= of the units."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vinops import alerts, config, logs
from vinops.db import database
from vinops.db.errors import is_of_database
from vinops.output import at_work

if TYPE_CHECKING:
    from vinops.config import Settings

MESSAGES: Final = {
    "unit_failed": "the unit has failed, and is not restarted automatically unless a timer starts it: "
    "`systemctl status {subject}` and `journalctl -u {subject} -n 50` show why, "
    "`systemctl start --no-block {subject}` starts it",
}


def command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A word of the runbook, as unit_failed.")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="What it is about, as a unit.")],
    message: Annotated[str, typer.Argument(metavar="[MESSAGE]", help="What happened, and what fixes it.")] = "",
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Clear the alert: its condition has ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Raise an alert and deliver it: one for each kind and subject until it is cleared."""
    settings = config.load()
    logs.configure("alerts", settings, console=not sys.stdout.isatty() and not as_json)
    text = message or MESSAGES.get(kind, "").format(subject=subject) or "see the logs"
    try:
        with closing(database.connect(settings, application="vinops alert", autocommit=True)) as connection:
            if clear:
                alerts.clear_alert(connection, kind, subject)
                return
            with at_work("delivering"):
                is_new = alerts.raise_alert(connection, settings, kind, subject, text)
                delivered = alerts.deliver(connection, settings)
    except Exception as error:
        # The database may be what failed. An alert sent twice is better than one not sent.
        if not is_of_database(error) or clear or not _send(settings, kind, subject, text):
            raise
        is_new, delivered = True, 1
    if as_json:
        typer.echo(json.dumps({"new": is_new, "delivered": delivered}))


def _send(settings: Settings, kind: str, subject: str, text: str) -> bool:
    """Send a message without the database, and return whether Telegram accepted it."""
    if settings.telegram_bot_token is None or settings.telegram_alert_chat_id is None:
        return False
    from vinops import telegram

    outcome = alerts.tell(settings, settings.telegram_alert_chat_id, kind, subject, text)
    return isinstance(outcome, telegram.Sent)
