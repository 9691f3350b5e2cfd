"""Posts deals, alerts and answers with Telegram's Bot API, through python-telegram-bot, and reads a bot's updates.

Each function makes one call and returns its outcome; errors of Telegram and the network are outcomes, not exceptions.
Nothing is retried, and no redirect followed. All block, for at most SECONDS (`get_updates` for as long as it may wait
longer), and may be called from any thread without a running event loop. Connections are not kept.

Importing this takes about 0.4 s: import it where it is used.
"""

from __future__ import annotations

import asyncio
import functools
import http
import json
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import httpx  # the HTTP client of python-telegram-bot
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import TelegramError
from telegram.request import BaseRequest, RequestData

from vinops.redaction import redact

if TYPE_CHECKING:
    from vinops.config import Settings

SECONDS = 10.0  # for a whole call
PAUSE = 60.0  # seconds to pause if Telegram does not say how long
LONGEST_PAUSE = 86_400.0
LONGEST_ANSWER = 65_536  # bytes
MOST_UPDATES = 50
LONGEST_UPDATES = 8_388_608  # bytes: 50 messages of 4096 characters, escaped, with what they reply to
LONGEST_REASON = 200  # characters
LARGEST_ID = 2**63 - 1  # of a message or a chat: what PostgreSQL's bigint holds

# Their log lines contain the address of a call, and the token is part of it.
for _name in ("httpx", "httpcore", "telegram"):
    logging.getLogger(_name).setLevel(logging.WARNING)


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
Link = tuple[str, str]
"""A button below a message: its text, and its address or, without a scheme, what the bot gets when it is pressed."""
Buttons = Sequence[Sequence[Link]]
"""Rows of buttons."""

UPDATES: Final = ("message", "edited_message", "callback_query", "my_chat_member")
"""The kinds of updates that are asked for."""
NO_TOKEN: Final = "TELEGRAM_BOT_TOKEN is empty or has a character that no token has"  # noqa: S105 # it is a reason
_TOKEN: Final = re.compile(r"[0-9A-Za-z:_-]+")
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
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
_UNCHANGED: Final = ("message is not modified", "message_not_modified")


def send_text(
    settings: Settings,
    chat_id: str,
    text: str,
    *,
    html: bool = False,
    link: Link | None = None,
    buttons: Buttons = (),
    is_silent: bool = False,
    reply_to: int | None = None,
) -> Outcome:
    """Send a text message, plain or as Telegram's HTML, as an answer to another one of the chat if that is still there.
    If the process dies here, it may have arrived."""
    return _call(
        settings,
        lambda bot: bot.send_message(
            chat_id,
            text,
            parse_mode=ParseMode.HTML if html else None,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            reply_markup=_keyboard(link, buttons),
            disable_notification=is_silent or None,
            reply_parameters=_answer_to(reply_to),
        ),
    )


def send_photo(
    settings: Settings,
    chat_id: str,
    photo_url: str,
    html: str,
    *,
    link: Link | None = None,
    buttons: Buttons = (),
    is_silent: bool = False,
) -> Outcome:
    """Send a photo that Telegram fetches, with a caption. If the process dies here, it may have arrived."""
    return _call(
        settings,
        lambda bot: bot.send_photo(
            chat_id,
            photo_url,
            caption=html,
            parse_mode=ParseMode.HTML,
            reply_markup=_keyboard(link, buttons),
            disable_notification=is_silent or None,
        ),
    )


def edit(
    settings: Settings,
    chat_id: str,
    message_id: int,
    html: str,
    *,
    is_photo: bool,
    link: Link | None = None,
    buttons: Buttons = (),
) -> Outcome:
    """Replace the text of a message, or its caption if it is a photo. Repeating it changes nothing."""
    if is_photo:
        outcome = _call(
            settings,
            lambda bot: bot.edit_message_caption(
                chat_id, message_id, caption=html, parse_mode=ParseMode.HTML, reply_markup=_keyboard(link, buttons)
            ),
        )
    else:
        outcome = _call(
            settings,
            lambda bot: bot.edit_message_text(
                html,
                chat_id,
                message_id,
                parse_mode=ParseMode.HTML,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                reply_markup=_keyboard(link, buttons),
            ),
        )
    if isinstance(outcome, Refused) and any(each in outcome.reason.lower() for each in _UNCHANGED):
        return Sent(message_id=message_id, is_photo=is_photo)
    return outcome


def get_updates(settings: Settings, offset: int | None, *, seconds: int) -> Answered | Outcome:
    """Return the updates of the bot from `offset` on, at most MOST_UPDATES; those before it are confirmed by that.

    Telegram waits for one as long as `seconds`. `result` is what Telegram sent: a list, of anything. Without an offset
    nothing is confirmed. If the process dies here, Telegram returns the same updates again, for a day.
    """
    fields = {"timeout": str(seconds), "limit": str(MOST_UPDATES), "allowed_updates": json.dumps(UPDATES)}
    if offset is not None:
        fields["offset"] = str(offset)
    return call(settings, "getUpdates", fields, seconds=seconds + SECONDS, longest=LONGEST_UPDATES)


def answer_callback_query(settings: Settings, query_id: str, text: str = "") -> Answered | Outcome:
    """Tell Telegram that a button was handled: until then it shows that it is being. Repeating it does no harm."""
    return call(settings, "answerCallbackQuery", {"callback_query_id": query_id, "text": text[:200]})


def call(
    settings: Settings,
    method: str,
    fields: Mapping[str, str],
    *,
    seconds: float = SECONDS,
    longest: int = LONGEST_ANSWER,
) -> Answered | Outcome:
    """Call a method of the API whose result is no message, and return its result or what went wrong."""
    token = _token(settings)
    if token is None:
        return Forbidden(reason=NO_TOKEN)
    url = f"{settings.telegram_api_url}/bot{token}/{method}"
    outcome = asyncio.run(_posted(url, fields, seconds, longest))
    if isinstance(outcome, Answered | Sent):
        return outcome
    return replace(outcome, reason=redact(outcome.reason, settings))


async def _posted(url: str, fields: Mapping[str, str], seconds: float, longest: int) -> Answered | Outcome:
    async with _Request(seconds, longest) as request:
        await request.ask(url, "POST", fields)
        assert request.outcome is not None  # noqa: S101 # it is set whatever happens
        if isinstance(request.outcome, Unanswered) and request.is_success:
            return Answered(result=request.result)
        return request.outcome


def _keyboard(link: Link | None, buttons: Buttons = ()) -> InlineKeyboardMarkup | None:
    rows = [*([[link]] if link else []), *buttons]
    if not rows:
        return None
    return InlineKeyboardMarkup([[_button(text, target) for text, target in row] for row in rows])


def _button(text: str, target: str) -> InlineKeyboardButton:
    if target.startswith(("http://", "https://")):
        return InlineKeyboardButton(text, url=target)
    return InlineKeyboardButton(text, callback_data=target)


def _answer_to(message_id: int | None) -> ReplyParameters | None:
    return None if message_id is None else ReplyParameters(message_id, allow_sending_without_reply=True)


def _token(settings: Settings) -> str | None:
    token = "" if settings.telegram_bot_token is None else settings.telegram_bot_token.reveal()
    return token if _TOKEN.fullmatch(token) else None


def _call(settings: Settings, ask: Callable[[Bot], Awaitable[object]]) -> Outcome:
    token = _token(settings)
    if token is None:
        return Forbidden(reason=NO_TOKEN)
    outcome = asyncio.run(_talk(token, f"{settings.telegram_api_url}/bot", ask))
    return outcome if isinstance(outcome, Sent) else replace(outcome, reason=redact(outcome.reason, settings))


async def _talk(token: str, address: str, ask: Callable[[Bot], Awaitable[object]]) -> Outcome:
    async with _Request() as request:
        # For updates too: the default request for them would be created and never closed.
        bot = Bot(token, base_url=address, request=request, get_updates_request=request)
        fault: BaseException = RuntimeError("python-telegram-bot sent nothing")
        try:
            await ask(bot)
        except TelegramError as error:
            fault = error.__cause__ or error
        if request.outcome is None:
            raise fault from None  # an error of ours, which the library takes for a network error
        return request.outcome  # more detailed than the library's error, and without the address


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Return the trusted certificates. Reading them takes 30 ms, six times as long as the rest of a call."""
    return httpx.create_ssl_context(trust_env=False)


class _Request(BaseRequest):
    """The HTTP layer of python-telegram-bot for one request, with our limits; `outcome` is its outcome."""

    def __init__(self, seconds: float = SECONDS, longest: int = LONGEST_ANSWER) -> None:
        """Use no proxy and nothing else of the environment."""
        self.outcome: Outcome | None = None
        self.result: Any = None
        self.is_success = False
        self._seconds = seconds
        self._longest = longest
        # A quarter for the connection: a timeout of the whole call then means that there was one.
        limits = httpx.Timeout(seconds, connect=SECONDS / 4)
        self._client = httpx.AsyncClient(trust_env=False, timeout=limits, verify=_certificates())

    @property
    def read_timeout(self) -> float | None:
        """Seconds until the next byte."""
        return SECONDS

    async def initialize(self) -> None:
        """Nothing to do."""

    async def shutdown(self) -> None:
        await self._client.aclose()

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = None,
        write_timeout: Any = None,
        connect_timeout: Any = None,
        pool_timeout: Any = None,
    ) -> tuple[int, bytes]:
        """Send the request and set `outcome`. Raises TelegramError unless that is Sent."""
        await self.ask(url, method, request_data.json_parameters if request_data else {})
        if not isinstance(self.outcome, Sent):
            raise TelegramError(self.outcome.reason if self.outcome else "")
        # The answer was read already: a message with a part that the library cannot parse was sent all the same.
        return http.HTTPStatus.OK, b'{"ok": true, "result": true}'

    async def ask(self, url: str, method: str, fields: Mapping[str, str]) -> None:
        """Send the request and set `outcome`, and `result` after a success. Raises no error of the network."""
        try:
            async with asyncio.timeout(self._seconds):
                status, answer = await self._ask(url, method, fields)
        except _NOT_SENT as error:
            self.outcome = NotReached(reason=f"it was not reached ({type(error).__name__})")
        except (httpx.HTTPError, TimeoutError) as error:
            self.outcome = Unanswered(reason=f"it did not answer ({type(error).__name__})")
        else:
            self.outcome = read_answer(status, answer)
            fields_read = _parsed(answer)
            self.is_success = status == http.HTTPStatus.OK and fields_read.get("ok") is True
            self.result = fields_read.get("result")

    async def _ask(self, url: str, method: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        parts: list[bytes] = []
        length = 0
        async with self._client.stream(method, url, data=fields or None) as response:
            async for part in response.aiter_bytes():
                parts.append(part)
                length += len(part)
                if length > self._longest:
                    break
        return response.status_code, b"".join(parts)[: self._longest + 1]


def read_answer(status: int, answer: bytes) -> Outcome:
    """Return the outcome in an answer of Telegram; Unanswered if that is neither a success nor an error of its API."""
    fields = _parsed(answer)
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


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


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
