"""The calls of the Bot API: messages with their buttons, changes of them, updates. See `vinops.telegram`."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import TelegramError

from vinops.redaction import redact
from vinops.telegram import request
from vinops.telegram.outcomes import Answered, Forbidden, Outcome, Refused, Sent, Unanswered
from vinops.telegram.request import LONGEST_ANSWER, Request, run

if TYPE_CHECKING:
    import httpx

    from vinops.config import Settings

MOST_UPDATES = 50
LONGEST_UPDATES = 8_388_608  # bytes: 50 messages of 4096 characters, escaped, with what they reply to
Link = tuple[str, str]
"""A button below a message: its text, and its address or, without a scheme, what the bot gets when it is pressed."""
Buttons = Sequence[Sequence[Link]]
"""Rows of buttons."""

UPDATES: Final = ("message", "edited_message", "callback_query", "my_chat_member")
"""The kinds of updates that are asked for."""
NO_TOKEN: Final = "TELEGRAM_BOT_TOKEN is empty or has a character that no token has"  # noqa: S105 # it is a reason
_UNCHANGED: Final = ("message is not modified", "message_not_modified")
_TOKEN: Final = re.compile(r"[0-9A-Za-z:_-]+")


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
    photo: str | bytes,
    html: str,
    *,
    link: Link | None = None,
    buttons: Buttons = (),
    is_silent: bool = False,
) -> Outcome:
    """Send a photo, which Telegram gets as bytes or fetches from its address, with a caption. If the process dies here,
    it may have arrived."""
    return _call(
        settings,
        lambda bot: bot.send_photo(
            chat_id,
            photo,
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
    return call(settings, "getUpdates", fields, seconds=seconds + request.SECONDS, longest=LONGEST_UPDATES)


def answer_callback_query(settings: Settings, query_id: str, text: str = "") -> Answered | Outcome:
    """Tell Telegram that a button was handled: until then it shows that it is being. Repeating it does no harm."""
    return call(settings, "answerCallbackQuery", {"callback_query_id": query_id, "text": text[:200]})


def call(
    settings: Settings,
    method: str,
    fields: Mapping[str, str],
    *,
    seconds: float | None = None,
    longest: int = LONGEST_ANSWER,
) -> Answered | Outcome:
    """Call a method of the API whose result is no message, and return its result or what went wrong."""
    token = _token(settings)
    if token is None:
        return Forbidden(reason=NO_TOKEN)
    url = f"{settings.telegram_api_url}/bot{token}/{method}"
    outcome = run(lambda client: _posted(client, url, fields, seconds, longest))
    if isinstance(outcome, Answered | Sent):
        return outcome
    return replace(outcome, reason=redact(outcome.reason, settings))


async def _posted(
    client: httpx.AsyncClient, url: str, fields: Mapping[str, str], seconds: float | None, longest: int
) -> Answered | Outcome:
    async with Request(client, seconds, longest) as asked:
        await asked.ask(url, "POST", fields)
        assert asked.outcome is not None  # noqa: S101 # it is set whatever happens
        if isinstance(asked.outcome, Unanswered) and asked.is_success:
            return Answered(result=asked.result)
        return asked.outcome


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
    outcome = run(lambda client: _talk(client, token, f"{settings.telegram_api_url}/bot", ask))
    return outcome if isinstance(outcome, Sent) else replace(outcome, reason=redact(outcome.reason, settings))


async def _talk(
    client: httpx.AsyncClient, token: str, address: str, ask: Callable[[Bot], Awaitable[object]]
) -> Outcome:
    async with Request(client) as asked:
        # For updates too: the default request for them would be created and never closed.
        bot = Bot(token, base_url=address, request=asked, get_updates_request=asked)
        fault: BaseException = RuntimeError("python-telegram-bot sent nothing")
        try:
            await ask(bot)
        except TelegramError as error:
            fault = error.__cause__ or error
        if asked.outcome is None:
            raise fault from None  # an error of ours, which the library takes for a network error
        return asked.outcome  # more detailed than the library's error, and without the address
