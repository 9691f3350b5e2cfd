"""What became of a call of Telegram's Bot API, and how its answers are read. Descriptions are no part of the API."""

from __future__ import annotations

import http
import json
import re
from dataclasses import dataclass
from typing import Any, Final

PAUSE = 60.0  # seconds to pause if Telegram does not say how long
LONGEST_PAUSE = 86_400.0
LONGEST_REASON = 200  # characters
LARGEST_ID = 2**63 - 1  # of a message or a chat: what PostgreSQL's bigint holds


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Telegram has accepted the message, or the change of it."""

    message_id: int
    is_photo: bool


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """Telegram accepted nothing, and asks for a pause of some seconds, at most a day.

    `is_chat`: the pause is for this chat only, which has a slow mode.
    """

    seconds: float
    reason: str
    is_chat: bool = False


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Telegram refused this message with status 400. Its reason is a text that is not part of the API.

    `is_chat`: the reason holds for every message to this chat; `moved_to` is the chat's new id, if it has one.
    `is_gone`: the message to change does not exist. With neither, the cause may be the message or the chat: only
    another message shows which.
    """

    reason: str
    is_chat: bool = False
    is_gone: bool = False
    moved_to: str | None = None


@dataclass(frozen=True, kw_only=True)
class Forbidden:
    """The bot may not write: because of this chat's permissions, `is_chat`, or because of its token."""

    reason: str
    is_chat: bool = False


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """The call was sent, and it is unknown whether it arrived."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NotReached:
    """No connection could be made: nothing arrived."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Telegram has done what a call asked for that is no message. `result` may be anything that JSON can be."""

    result: Any


Outcome = Sent | Postponed | Refused | Forbidden | Unanswered | NotReached
# The beginnings of descriptions, in lower case: after that they may repeat the text of an ad. The Bot API documents
# none of them; these are from its server (https://github.com/tdlib/telegram-bot-api) and from TDLib behind it.
# Without an entry here the next message shows that the chat is at fault: that costs a call, and no message.
_CHAT_FAULTS: Final = re.compile(
    r"""(?:bad\ request:\ )?(?:
    chat\ not\ found | chat_id\ is\ empty | chat_(?:id_)?invalid | peer_id_invalid | channel_(?:invalid|private)
    | chat_restricted | chat_forbidden | chat_(?:guest_)?(?:send|write)_(?:\w+_)?forbidden | user_banned_in_channel
    | chat_admin_required | need\ administrator\ rights | not\ enough\ rights | (?:have\ )?no\ (?:write\ access|rights)
    | bot\ is\ not\ a\ member | topic_(?:closed|deleted|id_invalid) | message\ thread\ not\ found | logged\ out
    | (?:group|chat|channel|user)\ (?:chat\ )?(?:is|was)\ (?:deactivated|deleted|upgraded) | input_user_deactivated
    )""",
    re.VERBOSE,
)
_WAITS: Final = re.compile(
    r"(?:bad request: )?(?:\w+_wait|flood|slow ?mode|too many requests|please (?:wait|try again)|retry after|try again)"
    r"(?:.{0,20}(?:_|after )(?P<seconds>\d{1,9}))?"
)
_GONE: Final = "bad request: message to edit not found"


def read_answer(status: int, answer: bytes) -> Outcome:
    """Return the outcome in an answer of Telegram; Unanswered if that is neither a success nor an error of its API."""
    fields = parsed(answer)
    result = fields.get("result")
    if status == http.HTTPStatus.OK and fields.get("ok") is True and isinstance(result, dict):
        number = result.get("message_id")
        if type(number) is int and 0 <= number <= LARGEST_ID:
            return Sent(message_id=number, is_photo="photo" in result)
    parameters = fields.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    # Descriptions are stored: PostgreSQL takes neither NUL nor half a pair of surrogates.
    given = str(fields.get("description", "no reason given"))[:LONGEST_REASON]
    description = "".join(sign if sign.isprintable() else " " for sign in given)
    reason = f"status {status}, {description}"
    match status:
        case http.HTTPStatus.TOO_MANY_REQUESTS:
            return Postponed(seconds=_seconds(parameters.get("retry_after")), reason=reason)
        case http.HTTPStatus.UNAUTHORIZED | http.HTTPStatus.NOT_FOUND:
            return Forbidden(reason=reason)  # 404 stands for an invalid token
        case http.HTTPStatus.FORBIDDEN:
            return Forbidden(reason=reason, is_chat=fields.get("ok") is False)
        case http.HTTPStatus.BAD_REQUEST if fields:
            return _read_refusal(reason, description.lower(), parameters)
        case _ if 400 <= status < 500 and fields.get("ok") is False:
            return _read_refusal(reason, description.lower(), parameters)
    return Unanswered(reason=reason)


def parsed(answer: bytes) -> dict[str, Any]:
    """Return an answer that is a JSON object; empty if it is anything else."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_refusal(reason: str, description: str, parameters: dict[str, Any]) -> Refused | Postponed:
    moved_to = parameters.get("migrate_to_chat_id")
    if isinstance(moved_to, int) and -LARGEST_ID <= moved_to < 0:
        return Refused(reason=f"{reason}; its id is {moved_to} now", is_chat=True, moved_to=str(moved_to))
    if waits := _WAITS.match(description):
        asked = parameters.get("retry_after") or int(waits["seconds"] or 0)
        return Postponed(seconds=_seconds(asked), reason=reason, is_chat="slow" in description)
    is_chat = _CHAT_FAULTS.match(description) is not None
    return Refused(reason=reason, is_chat=is_chat, is_gone=description.startswith(_GONE))


def _seconds(asked: object) -> float:
    """Return how long to wait, from a value of Telegram that may be anything."""
    return float(min(asked, LONGEST_PAUSE)) if isinstance(asked, int | float) and asked > 0 else PAUSE
