"""Telegram's Bot API through python-telegram-bot: what deals and alerts are posted with.

Each function makes one call and returns what came of it; it raises nothing that Telegram or the network brings about,
tries nothing again and follows no redirect. All block, for SECONDS at the most, and may be called from any thread that
runs no event loop. A connection is not kept: twenty messages an hour do not pay for one.

Importing this costs about 0.4 s: import it where it is used.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import httpx  # what python-telegram-bot talks through
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions
from telegram.constants import ParseMode
from telegram.error import TelegramError
from telegram.request import BaseRequest, RequestData

from vinops.redaction import redact

if TYPE_CHECKING:
    from vinops.config import Settings

SECONDS = 10.0  # for a call, from the first sign to the last
PAUSE = 60.0  # seconds that Telegram is left alone for if it does not say how long
LONGEST_PAUSE = 86_400.0
LONGEST_ANSWER = 65_536  # bytes
LONGEST_REASON = 200  # characters

# Their lines name the address of a call, and the token is part of it.
for _name in ("httpx", "httpcore", "telegram"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Telegram has the message, or has changed it."""

    message_id: int
    is_photo: bool


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """Telegram wants to be left alone for some seconds, a day at the most; it took nothing."""

    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Telegram will not take this message, whenever it is sent; `is_photo_at_fault`: without its photo it may."""

    reason: str
    is_photo_at_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class Forbidden:
    """The bot may not write there: its token, the chat's id or its rights in the chat are wrong."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """The call was made, and nobody knows whether it arrived."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NotReached:
    """There was no connection: nothing arrived."""

    reason: str


Outcome = Sent | Postponed | Refused | Forbidden | Unanswered | NotReached
Link = tuple[str, str]
"""A button below a message: its text and its address."""

_TOKEN: Final = re.compile(r"[0-9A-Za-z:_-]+")
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
# In lower case. Telegram fetches a photo by itself, and says with these that it could not, or that it is no photo.
_PHOTO_FAULTS: Final = (
    "wrong file identifier",
    "wrong remote file",
    "failed to get http url content",
    "wrong type of the web page content",
    "webpage_media_empty",
    "webpage_curl_failed",
    "image_process_failed",
    "photo_invalid_dimensions",
)
# A 400 that is not about the message: it would be the same for any other.
_CHAT_FAULTS: Final = (
    "chat not found",
    "chat_id is empty",
    "not enough rights",
    "have no rights to send",
    "need administrator rights",
    "chat_write_forbidden",
    "upgraded to a supergroup",
)


def send_text(settings: Settings, chat_id: str, text: str, *, html: bool = False, link: Link | None = None) -> Outcome:
    """Send a message of text alone, as it is or as Telegram's HTML. If the process dies here it may have arrived."""
    return _call(
        settings,
        lambda bot: bot.send_message(
            chat_id,
            text,
            parse_mode=ParseMode.HTML if html else None,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            reply_markup=_keyboard(link),
        ),
    )


def send_photo(settings: Settings, chat_id: str, photo_url: str, html: str, *, link: Link | None = None) -> Outcome:
    """Send a photo that Telegram fetches, with a caption. If the process dies here it may have arrived."""
    return _call(
        settings,
        lambda bot: bot.send_photo(
            chat_id, photo_url, caption=html, parse_mode=ParseMode.HTML, reply_markup=_keyboard(link)
        ),
    )


def edit(
    settings: Settings, chat_id: str, message_id: int, html: str, *, is_photo: bool, link: Link | None = None
) -> Outcome:
    """Replace the text of a message, or its caption if it is a photo; to do it twice is to do it once."""
    if is_photo:
        outcome = _call(
            settings,
            lambda bot: bot.edit_message_caption(
                chat_id, message_id, caption=html, parse_mode=ParseMode.HTML, reply_markup=_keyboard(link)
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
                reply_markup=_keyboard(link),
            ),
        )
    if isinstance(outcome, Refused) and "message is not modified" in outcome.reason:
        return Sent(message_id=message_id, is_photo=is_photo)
    return outcome


def _keyboard(link: Link | None) -> InlineKeyboardMarkup | None:
    return None if link is None else InlineKeyboardMarkup.from_button(InlineKeyboardButton(link[0], url=link[1]))


def _call(settings: Settings, ask: Callable[[Bot], Awaitable[object]]) -> Outcome:
    token = "" if settings.telegram_bot_token is None else settings.telegram_bot_token.reveal()
    if not _TOKEN.fullmatch(token):
        return Forbidden(reason="TELEGRAM_BOT_TOKEN is empty or holds a sign that no token has")
    outcome = asyncio.run(_talk(token, f"{settings.telegram_api_url}/bot", ask))
    return outcome if isinstance(outcome, Sent) else replace(outcome, reason=redact(outcome.reason, settings))


async def _talk(token: str, address: str, ask: Callable[[Bot], Awaitable[object]]) -> Outcome:
    async with _Request() as request:
        # Both kinds of request are this one: the usual one for updates would be made and never closed.
        bot = Bot(token, base_url=address, request=request, get_updates_request=request)
        fault: BaseException = RuntimeError("python-telegram-bot asked nothing")
        try:
            await ask(bot)
        except TelegramError as error:
            fault = error.__cause__ or error
        if request.outcome is None:
            raise fault from None  # one of ours, which the library takes for one of the network
        return request.outcome  # it says more than the library's error, and holds no address


class _Request(BaseRequest):
    """One request as python-telegram-bot wants it made, within limits of ours; `outcome` is what came of it."""

    def __init__(self) -> None:
        """Neither a proxy nor anything else of the environment is used."""
        self.outcome: Outcome | None = None
        # A quarter is for the connection: when the time is up it is certain that there was one.
        self._client = httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(SECONDS, connect=SECONDS / 4))

    @property
    def read_timeout(self) -> float | None:
        """Seconds until the next sign."""
        return SECONDS

    async def initialize(self) -> None:
        """Nothing to do."""

    async def shutdown(self) -> None:
        """Close the connection."""
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
        """Ask, and keep what came of it. Raises TelegramError unless Telegram did as asked."""
        try:
            async with asyncio.timeout(SECONDS):
                status, answer = await self._ask(url, method, request_data)
        except _NOT_SENT as error:
            self.outcome = NotReached(reason=f"it was not reached ({type(error).__name__})")
        except (httpx.HTTPError, TimeoutError) as error:
            self.outcome = Unanswered(reason=f"it did not answer ({type(error).__name__})")
        else:
            self.outcome = read_answer(status, answer)
        if not isinstance(self.outcome, Sent):
            raise TelegramError(self.outcome.reason)
        # The message was read already; one with a part that the library cannot read was sent all the same.
        return http.HTTPStatus.OK, b'{"ok": true, "result": true}'

    async def _ask(self, url: str, method: str, request_data: RequestData | None) -> tuple[int, bytes]:
        answer = b""
        parameters = request_data.json_parameters if request_data else None
        async with self._client.stream(method, url, data=parameters) as response:
            async for part in response.aiter_bytes():
                answer += part
                if len(answer) > LONGEST_ANSWER:
                    break
        return response.status_code, answer[: LONGEST_ANSWER + 1]


def read_answer(status: int, answer: bytes) -> Outcome:
    """Return what an answer of Telegram says. What is neither a yes nor a no of its own says nothing: Unanswered."""
    try:
        said = json.loads(answer)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    result = said.get("result")
    if status == http.HTTPStatus.OK and said.get("ok") is True and isinstance(result, dict):
        number = result.get("message_id")
        if isinstance(number, int):
            return Sent(message_id=number, is_photo="photo" in result)
    reason = str(said.get("description", "no reason given"))[:LONGEST_REASON]
    text = f"status {status}, {reason}"
    match status:
        case http.HTTPStatus.TOO_MANY_REQUESTS:
            parameters = said.get("parameters")
            asked = parameters.get("retry_after") if isinstance(parameters, dict) else None
            seconds = float(asked) if isinstance(asked, int | float) and asked > 0 else PAUSE
            return Postponed(seconds=min(seconds, LONGEST_PAUSE), reason=text)
        case http.HTTPStatus.BAD_REQUEST if said:
            lower = reason.lower()
            if any(fault in lower for fault in _CHAT_FAULTS):
                return Forbidden(reason=text)
            return Refused(reason=text, is_photo_at_fault=any(fault in lower for fault in _PHOTO_FAULTS))
        case http.HTTPStatus.UNAUTHORIZED | http.HTTPStatus.FORBIDDEN | http.HTTPStatus.NOT_FOUND:
            return Forbidden(reason=text)  # 404 is for a token that is none
    return Unanswered(reason=text)
