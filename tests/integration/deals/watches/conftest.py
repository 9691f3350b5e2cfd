"""A bot at the stand-in, without the gaps between messages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from deals.watches.sending import send
from standin.telegram.server import TelegramServer
from tests.support.watching import CHAT, TOKEN, Talk, bot_settings
from vinops.config import Settings


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(token=TOKEN) as server:
        yield server


@pytest.fixture
def bot(settings: Settings, telegram: TelegramServer) -> Settings:
    """Settings with a bot."""
    return bot_settings(settings, telegram)


@pytest.fixture
def talk(database: psycopg.Connection[Any], bot: Settings, telegram: TelegramServer) -> Talk:
    """The bot, turn by turn."""
    return Talk(database=database, settings=bot, telegram=telegram)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let messages follow one another without a gap; the tests of the pace set it again."""
    monkeypatch.setattr(send, "CHAT_GAP", 0.0)
    monkeypatch.setattr(send, "GROUP_GAP", 0.0)


@pytest.fixture(autouse=True)
def _no_log_shows_a_chat_or_the_token(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert "canary" not in caplog.text
    ours = [each.getMessage() for each in caplog.records if not each.name.startswith(("aiohttp", "asyncio"))]
    assert not [text for text in ours if str(CHAT) in text]
