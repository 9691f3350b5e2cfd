"""The connection to Telegram that a thread keeps: used again while it is sound, never after a call that was cut off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from standin.telegram.server import TelegramServer
from vinops import telegram as client
from vinops.config import Secret, Settings
from vinops.telegram import request

TOKEN = "12345:canary-5e1b"


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(token=TOKEN) as server:
        yield server


@pytest.fixture
def bot(settings: Settings, telegram: TelegramServer) -> Settings:
    return replace(settings, telegram_bot_token=Secret(TOKEN), telegram_api_url=telegram.url)


def ports(telegram: TelegramServer) -> list[int]:
    """The port of the client for each request: the same one means the same connection."""
    return [each.port for each in telegram.requests]


def test_the_calls_of_a_block_come_over_one_connection(bot: Settings, telegram: TelegramServer) -> None:
    telegram.fault("bad_request_400", times=1, text="refused")
    telegram.fault("too_many_429", times=1, text="too many")
    with client.kept_connection():
        first = client.send_text(bot, "1", "first")
        assert isinstance(client.send_text(bot, "1", "refused"), client.Refused)
        assert isinstance(client.send_text(bot, "1", "too many"), client.Postponed)
        assert isinstance(client.call(bot, "getMe", {}), client.Answered)
        second = client.send_photo(bot, "1", "http://p/1.jpg", "second")
    assert (first, second) == (
        client.Sent(message_id=1, is_photo=False),
        client.Sent(message_id=2, is_photo=True),
    )
    assert len(telegram.requests) == 5
    assert len(set(ports(telegram))) == 1


def test_other_calls_have_a_connection_of_their_own(bot: Settings, telegram: TelegramServer) -> None:
    with client.kept_connection():
        client.send_text(bot, "1", "kept")
        other = threading.Thread(target=client.send_text, args=(bot, "1", "of another thread"))
        other.start()
        other.join()
    client.send_text(bot, "1", "behind the block")
    client.send_text(bot, "1", "and again")
    assert len(telegram.messages) == 4
    assert len(set(ports(telegram))) == 4


@pytest.mark.parametrize("fault", ["reset", "answer_lost", "no_answer", "drip", "slow"])
def test_a_call_without_an_answer_leaves_no_connection_behind(
    bot: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    with client.kept_connection():
        client.send_text(bot, "1", "before")
        telegram.fault(fault, times=1, **({"seconds": 1.0} if fault == "slow" else {}))
        with monkeypatch.context() as patched:
            patched.setattr(request, "SECONDS", 0.4)
            assert isinstance(client.send_text(bot, "1", "lost"), client.Unanswered)
        after = client.send_text(bot, "1", "after")
    [message] = [each for each in telegram.messages if each.text == "after"]
    assert after == client.Sent(message_id=message.message_id, is_photo=False), "the answer of another call was read"
    before, lost, last = ports(telegram)
    assert before == lost != last


def test_a_connection_that_was_closed_meanwhile_costs_no_message(settings: Settings) -> None:
    with client.kept_connection():
        with TelegramServer(token=TOKEN) as server:
            bot = replace(settings, telegram_bot_token=Secret(TOKEN), telegram_api_url=server.url)
            assert isinstance(client.send_text(bot, "1", "before"), client.Sent)
            port = int(server.url.rpartition(":")[2])
        assert isinstance(client.send_text(bot, "1", "away"), client.NotReached)
        with TelegramServer(token=TOKEN, port=port) as server:
            assert isinstance(client.send_text(bot, "1", "back"), client.Sent)
        with TelegramServer(token=TOKEN, port=port) as server:
            assert isinstance(client.send_text(bot, "1", "again"), client.Sent)
            assert [each.text for each in server.messages] == ["again"]


def test_a_connection_that_was_idle_is_not_used(
    bot: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "IDLE", 0.0)
    with client.kept_connection():
        client.send_text(bot, "1", "first")
        client.send_text(bot, "1", "second")
    assert len(set(ports(telegram))) == 2
