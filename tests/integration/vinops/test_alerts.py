"""Alerts reach the owner once, over real HTTP, and the bot's token reaches nobody else."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from standin.telegram.html import links
from standin.telegram.server import TelegramServer
from vinops import telegram as client
from vinops.alerts import clear_alert, deliver, raise_alert
from vinops.config import Secret, Settings
from vinops.db import database as db
from vinops.telegram import request
from vinops.text.unlinked import JOINER

Database = psycopg.Connection[Any]

TOKEN = "12345:canary-7d1e"
CHAT = "-100200300"


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(token=TOKEN, chats=(CHAT,)) as server:
        yield server


@pytest.fixture
def owner(settings: Settings, telegram: TelegramServer) -> Settings:
    """Settings of an owner whom Telegram reaches."""
    return replace(
        settings, telegram_bot_token=Secret(TOKEN), telegram_alert_chat_id=CHAT, telegram_api_url=telegram.url
    )


@pytest.fixture(autouse=True)
def _no_log_shows_the_token(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert "canary" not in caplog.text


def table(database: Database, columns: str) -> list[tuple[Any, ...]]:
    return database.execute(f"select {columns} from ops.alerts order by id").fetchall()


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "alerts" and each.levelno == level]


# Raising and clearing


def test_whoever_has_nothing_to_tell_does_not_pay_for_the_client() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, vinops.alerts; print('telegram' in sys.modules, 'httpx' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["False", "False"]


def test_an_alert_is_logged_and_kept_until_it_is_cleared(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert raise_alert(database, settings, "blocked", "cs.copart.com", "refuses (http_403)")
    assert logged(caplog, logging.ERROR) == ["alert blocked cs.copart.com: refuses (http_403)"]
    assert table(database, "kind, subject, message, times, delivered_at, cleared_at") == [
        ("blocked", "cs.copart.com", "refuses (http_403)", 1, None, None)
    ]
    clear_alert(database, "blocked", "cs.copart.com")
    clear_alert(database, "blocked", "cs.copart.com")  # nothing left to clear
    assert table(database, "cleared_at is not null") == [(True,)]


def test_a_repeat_is_counted_and_not_new(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    new = [raise_alert(database, settings, "blocked", "a", message) for message in ("one", "two", "three")]
    assert new == [True, False, False]
    assert table(database, "message, times") == [("one", 3)]
    assert logged(caplog, logging.ERROR) == [f"alert blocked a: {each}" for each in ("one", "two", "three")]


def test_kind_and_subject_make_an_alert(settings: Settings, database: Database) -> None:
    assert all(raise_alert(database, settings, *each, "m") for each in (("a", "x"), ("a", "y"), ("b", "x")))
    clear_alert(database, "a", "x")
    assert table(database, "kind, subject, cleared_at is null") == [
        ("a", "x", False),
        ("a", "y", True),
        ("b", "x", True),
    ]


def test_after_it_was_cleared_the_next_one_is_new(settings: Settings, database: Database) -> None:
    for _ in range(2):
        assert raise_alert(database, settings, "blocked", "a", "m")
        clear_alert(database, "blocked", "a")
    assert table(database, "times") == [(1,), (1,)]


def test_secrets_are_masked_before_anything_is_kept(
    owner: Settings, database: Database, telegram: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    raise_alert(database, owner, "login", f"as {TOKEN}", f"https://x/y?authKey=canary-8 and {TOKEN} failed")
    assert deliver(database, owner) == 1
    [kept] = table(database, "subject || message")
    [message] = telegram.messages
    for text in (str(kept), str(message.text), caplog.text):
        assert "canary" not in text
        assert "***" in text


def test_text_from_outside_has_no_effect_in_the_chat(
    owner: Settings, database: Database, telegram: TelegramServer
) -> None:
    raise_alert(
        database, owner, "drift", "@evil", "column «t.me/evil» \x1b]0;x\x07 \u202e and\nhttps://evil.example /start"
    )
    assert deliver(database, owner) == 1
    text = str(telegram.messages[0].text)
    assert links(text) == []
    assert all(sign.isprintable() or sign in ("\n", JOINER) for sign in text)
    assert "\\x1b]0;x\\x07 \\u202e" in text


# Delivering


def test_what_is_open_is_sent_once_to_the_owners_chat(
    owner: Settings, database: Database, telegram: TelegramServer
) -> None:
    raise_alert(database, owner, "blocked", "a", "first")
    raise_alert(database, owner, "login", "b", "second")
    assert deliver(database, owner) == 2
    assert deliver(database, owner) == 0
    raise_alert(database, owner, "blocked", "a", "again")  # a repeat is told no more
    assert deliver(database, owner) == 0
    assert [(each.chat_id, each.text) for each in telegram.messages] == [
        (CHAT, "vinops: blocked a\nfirst"),
        (CHAT, "vinops: login b\nsecond"),
    ]
    assert len(telegram.requests) == 2
    assert table(database, "delivered_at <= clock_timestamp()") == [(True,), (True,)]


def test_what_has_passed_is_not_sent_any_more(owner: Settings, database: Database, telegram: TelegramServer) -> None:
    raise_alert(database, owner, "blocked", "a", "m")
    clear_alert(database, "blocked", "a")
    assert deliver(database, owner) == 0
    assert telegram.requests == []


def test_of_two_that_deliver_at_once_each_alert_is_sent_by_one(
    owner: Settings, database: Database, telegram: TelegramServer
) -> None:
    count = 6
    for number in range(count):
        raise_alert(database, owner, "blocked", str(number), "m")
    telegram.fault("slow", seconds=0.1)
    sent: list[int] = []

    def work() -> None:
        with db.connect(owner, application="deliver", autocommit=True) as connection:
            start.wait()
            sent.append(deliver(connection, owner))

    start = threading.Barrier(3)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(sent) == count
    assert sorted(str(each.text) for each in telegram.messages) == [f"vinops: blocked {n}\nm" for n in range(count)]


def test_an_alert_that_another_process_is_sending_is_left_to_it(
    owner: Settings, database: Database, telegram: TelegramServer
) -> None:
    for subject in ("a", "b"):
        raise_alert(database, owner, "blocked", subject, "m")
    with db.connect(owner, application="other", autocommit=True) as other, other.transaction():
        other.execute(db.queries("alerts")["next_alert"], {"host": "another"})
        assert deliver(database, owner) == 1
    assert [each.text for each in telegram.messages] == ["vinops: blocked b\nm"]
    assert deliver(database, owner) == 1  # that process died: nothing is held, nothing lost


@pytest.mark.parametrize("missing", ["telegram_bot_token", "telegram_alert_chat_id"])
def test_without_telegram_nothing_is_sent_and_nothing_lost(
    owner: Settings, database: Database, telegram: TelegramServer, missing: str
) -> None:
    without = replace(owner, **{missing: None})
    raise_alert(database, without, "blocked", "a", "m")
    assert deliver(database, without) == 0
    assert telegram.requests == []
    assert deliver(database, owner) == 1


@pytest.mark.parametrize("fault", ["server_error_502", "redirect", "reset"])
def test_what_telegram_does_not_take_stays_for_the_next_time(
    owner: Settings, database: Database, telegram: TelegramServer, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    raise_alert(database, owner, "blocked", "a", "m")
    raise_alert(database, owner, "blocked", "b", "m")
    telegram.fault(fault, times=1)
    assert deliver(database, owner) == 0
    assert len(telegram.requests) == 1, "a failure was followed by more, or a redirect"
    assert len(logged(caplog, logging.WARNING)) == 1
    assert table(database, "delivered_at") == [(None,), (None,)]
    assert deliver(database, owner) == 2


def test_an_alert_whose_text_telegram_refuses_is_told_in_other_words_and_holds_up_no_other(
    owner: Settings, database: Database, telegram: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    raise_alert(database, owner, "blocked", "odd", "m")
    raise_alert(database, owner, "login", "b", "m")
    telegram.fault("bad_request_400", description="Bad Request: SOMETHING_NEW", text="odd")
    assert deliver(database, owner) == 2
    first, second = (str(each.text) for each in telegram.messages)
    assert first.startswith("vinops: blocked\nTelegram refused the text of this alert")
    assert second == "vinops: login b\nm"
    assert logged(caplog, logging.WARNING) == [
        "Telegram refused the text of an alert: status 400, Bad Request: SOMETHING_NEW"
    ]
    assert deliver(database, owner) == 0


@pytest.mark.parametrize("description", ["CHAT_RESTRICTED", "SOMETHING_NEW", "SLOWMODE_WAIT_30"])
def test_alerts_that_the_chat_refuses_stay_until_it_takes_them(
    owner: Settings, database: Database, telegram: TelegramServer, description: str
) -> None:
    for subject in ("a", "b"):
        raise_alert(database, owner, "blocked", subject, "m")
    telegram.fault("bad_request_400", description=f"Bad Request: {description}")
    for _ in range(3):
        assert deliver(database, owner) == 0
    assert table(database, "delivered_at") == [(None,), (None,)]
    telegram.clear_faults()
    assert deliver(database, owner) == 2
    assert [each.text for each in telegram.messages] == ["vinops: blocked a\nm", "vinops: blocked b\nm"]


def test_a_chat_that_became_a_supergroup_is_followed_and_its_new_id_is_said(
    owner: Settings, database: Database, telegram: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    raise_alert(database, owner, "blocked", "a", "m")
    telegram.chats = None
    telegram.fault(
        "bad_request_400",
        description="Bad Request: group chat was upgraded to a supergroup chat",
        parameters={"migrate_to_chat_id": -100777},
        chat_id=CHAT,
    )
    assert deliver(database, owner) == 1
    assert [(each.chat_id, each.text) for each in telegram.messages] == [("-100777", "vinops: blocked a\nm")]
    [warning] = logged(caplog, logging.WARNING)
    assert "TELEGRAM_ALERT_CHAT_ID is out of date, set it to -100777" in warning


def test_an_alert_that_is_to_be_delivered_first_is_cleared_only_then(
    owner: Settings, database: Database, telegram: TelegramServer
) -> None:
    raise_alert(database, owner, "refused", "a", "m")
    clear_alert(database, "refused", "a", once_delivered=True)
    assert table(database, "cleared_at") == [(None,)]
    assert deliver(database, owner) == 1
    clear_alert(database, "refused", "a", once_delivered=True)
    assert table(database, "cleared_at is not null") == [(True,)]


def test_a_wrong_token_is_said_without_showing_it(
    owner: Settings, database: Database, telegram: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = replace(owner, telegram_bot_token=Secret("12345:canary-wrong"))
    raise_alert(database, wrong, "blocked", "a", "m")
    assert deliver(database, wrong) == 0
    assert [each.status for each in telegram.requests] == [401]
    [warning] = logged(caplog, logging.WARNING)
    assert "status 401, Unauthorized" in warning


@pytest.mark.parametrize("token", ["with blank canary-1", "line\r\nX: canary-2", "snow☃canary-3"])
def test_a_token_that_cannot_be_sent_is_not_shown_either(
    owner: Settings, database: Database, telegram: TelegramServer, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    odd = replace(owner, telegram_bot_token=Secret(token))
    raise_alert(database, odd, "blocked", "a", "m")
    assert deliver(database, odd) == 0
    assert len(logged(caplog, logging.WARNING)) == 1
    assert telegram.requests == []


def test_no_proxy_of_the_environment_is_used(
    owner: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    raise_alert(database, owner, "blocked", "a", "m")
    assert deliver(database, owner) == 1


def test_telegram_out_of_reach_raises_nothing(
    owner: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    away = replace(owner, telegram_api_url="http://127.0.0.1:1")
    raise_alert(database, away, "blocked", "a", "m")
    assert deliver(database, away) == 0
    assert logged(caplog, logging.WARNING) == [
        "Telegram did not accept an alert: it was not reached (ConnectError); `deliver` tries again"
    ]


def test_no_traceback_of_the_sender_holds_the_token(
    owner: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_alert(database, owner, "blocked", "a", "m")

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(request, "read_answer", broken)
    with pytest.raises(RuntimeError) as caught:
        deliver(database, owner)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert table(database, "delivered_at") == [(None,)]


@pytest.mark.timeout(60)
def test_an_answer_that_never_ends_is_given_up(
    owner: Settings, database: Database, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "SECONDS", 0.3)
    raise_alert(database, owner, "blocked", "a", "m")
    telegram.fault("drip", times=1)
    assert deliver(database, owner) == 0
    assert table(database, "delivered_at") == [(None,)]


def test_telegram_is_left_alone_for_as_long_as_it_asks(
    owner: Settings, database: Database, telegram: TelegramServer
) -> None:
    raise_alert(database, owner, "blocked", "a", "m")
    raise_alert(database, owner, "blocked", "b", "m")
    telegram.fault("too_many_429", times=1, retry_after=500)
    assert deliver(database, owner) == 0
    with db.connect(owner, application="another", autocommit=True) as another:
        assert deliver(another, owner) == 0
    assert len(telegram.requests) == 1, "it was asked again"
    found = database.execute("select next_at - updated_at from ops.host_budgets").fetchall()
    assert len(found) == 1
    assert timedelta(seconds=499) < found[0][0] <= timedelta(seconds=500)
    database.execute("update ops.host_budgets set next_at = clock_timestamp()")
    assert deliver(database, owner) == 2


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (b'{"parameters": {"retry_after": 7}}', 7),
        (b'{"parameters": {"retry_after": 1e9}}', 86_400),
        *(
            (odd, 60)
            for odd in (b"", b"[]", b"{}", b"<html>", b'{"parameters": 3}', b'{"parameters": {"retry_after": "x"}}')
        ),
        *((odd, 60) for odd in (b'{"parameters": {"retry_after": -1}}', b'{"parameters": {"retry_after": NaN}}')),
    ],
)
def test_how_long_telegram_asks_to_wait(answer: bytes, seconds: float) -> None:
    outcome = client.read_answer(429, answer)
    assert isinstance(outcome, client.Postponed)
    assert outcome.seconds == seconds


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"<html>hotel login</html>", b'{"ok": false}', b'{"ok": 1}', b"\xff", b'{"ok": true, "result": {}}'],
)
def test_only_a_message_that_telegram_confirms_was_delivered(answer: bytes) -> None:
    assert isinstance(client.read_answer(200, answer), client.Unanswered)
    confirmed = client.read_answer(200, b'{"ok": true, "result": {"message_id": 7}}')
    assert confirmed == client.Sent(message_id=7, is_photo=False)


def test_a_long_message_is_cut_to_what_telegram_takes(
    owner: Settings, database: Database, telegram: TelegramServer
) -> None:
    raise_alert(database, owner, "blocked", "a", "🚗" * 10_000)
    assert deliver(database, owner) == 1
    assert str(telegram.messages[0].text).startswith("vinops: blocked a\n🚗🚗")
