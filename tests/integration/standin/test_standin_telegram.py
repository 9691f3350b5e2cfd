"""The stand-in for Telegram takes and refuses as the real one does, so that what passes here passes there."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standin.telegram.server import TelegramServer
from tests.support.children import child

pytestmark = pytest.mark.slow

TOKEN = "12345:abc"
CHAT = "-100"
PHOTO = "https://photos.example/1.jpg"


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer(token=TOKEN) as server:
        yield server


def ask(server: TelegramServer, method: str, **fields: Any) -> tuple[int, Any]:
    data = json.dumps({"chat_id": CHAT, **fields}).encode()
    url = f"{server.url}/bot{TOKEN}/{method}"
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def keyboard(url: str) -> str:
    return json.dumps({"inline_keyboard": [[{"text": "Open", "url": url}]]})


def test_a_photo_is_shown_with_caption_and_button(server: TelegramServer) -> None:
    status, said = ask(
        server, "sendPhoto", photo=PHOTO, caption="<b>a</b>", parse_mode="HTML", reply_markup=keyboard(PHOTO)
    )
    assert (status, said["result"]["caption"], "photo" in said["result"]) == (200, "a", True)
    [message] = server.chat(CHAT)
    assert (message.text, message.photo, message.buttons) == ("a", PHOTO, [("Open", PHOTO)])


@pytest.mark.parametrize(
    ("method", "fields", "says"),
    [
        ("sendMessage", {"text": " "}, "message text is empty"),
        ("sendMessage", {"text": "<b></b>", "parse_mode": "HTML"}, "message text is empty"),
        ("sendMessage", {"text": "a" * 4097}, "message is too long"),
        ("sendMessage", {"text": "🚗" * 2049}, "message is too long"),
        ("sendMessage", {"text": "<b>a", "parse_mode": "HTML"}, "can't parse entities"),
        ("sendMessage", {"text": "a", "reply_markup": keyboard("ftp://x")}, "Wrong HTTP URL"),
        ("sendMessage", {"text": "a", "reply_markup": "{"}, "can't parse reply keyboard"),
        ("sendMessage", {"text": "a", "chat_id": ""}, "chat not found"),
        ("sendPhoto", {"photo": "nonsense"}, "wrong file identifier/HTTP URL specified"),
        ("sendPhoto", {"photo": PHOTO, "caption": "a" * 1025}, "message caption is too long"),
        ("editMessageText", {"message_id": 9, "text": "a"}, "message to edit not found"),
        ("deleteMessage", {"message_id": 9}, "message to delete not found"),
    ],
)
def test_what_telegram_refuses(server: TelegramServer, method: str, fields: dict[str, Any], says: str) -> None:
    status, said = ask(server, method, **fields)
    assert (status, said["ok"]) == (400, False)
    assert says in said["description"]
    assert server.messages == []


def test_a_caption_counts_as_it_is_read(server: TelegramServer) -> None:
    caption = f"<b>{'&amp;' * 1024}</b>"
    assert ask(server, "sendPhoto", photo=PHOTO, caption=caption, parse_mode="HTML")[0] == 200


def test_a_message_is_edited_and_deleted(server: TelegramServer) -> None:
    ask(server, "sendMessage", text="a")
    ask(server, "sendPhoto", photo=PHOTO, caption="b")
    assert ask(server, "editMessageText", message_id=1, text="c")[0] == 200
    assert ask(server, "editMessageCaption", message_id=2, caption="d")[0] == 200
    assert [(each.text, each.edits) for each in server.chat(CHAT)] == [("c", 1), ("d", 1)]
    status, said = ask(server, "editMessageText", message_id=1, text="c")
    assert status == 400
    assert "message is not modified" in said["description"]
    assert "no text in the message" in ask(server, "editMessageText", message_id=2, text="e")[1]["description"]
    assert ask(server, "deleteMessage", message_id=1) == (200, {"ok": True, "result": True})
    assert [each.text for each in server.chat(CHAT)] == ["d"]


def test_a_chat_that_kicked_the_bot_and_one_that_is_flooded(server: TelegramServer) -> None:
    server.kicked.add("-200")
    assert ask(server, "sendMessage", text="a", chat_id="-200")[0] == 403
    server.flood = 2
    assert [ask(server, "sendMessage", text="a")[0] for _ in range(3)] == [200, 200, 429]
    assert 0 < ask(server, "sendMessage", text="a")[1]["parameters"]["retry_after"] <= 60
    assert ask(server, "sendMessage", text="a", chat_id="-300")[0] == 200


def test_a_fault_may_be_meant_for_one_method(server: TelegramServer) -> None:
    server.fault("bad_request_400", methods=["sendPhoto"])
    assert ask(server, "sendMessage", text="a")[0] == 200
    assert ask(server, "sendPhoto", photo=PHOTO)[0] == 400
    assert ask(server, "getMe")[1]["result"]["is_bot"] is True


def test_a_fault_may_be_meant_for_one_chat_one_text_and_name_parameters(server: TelegramServer) -> None:
    moved = {"migrate_to_chat_id": -1007}
    server.fault("bad_request_400", chat_id="-200", text="odd", parameters=moved)
    assert ask(server, "sendMessage", text="odd")[0] == 200
    assert ask(server, "sendMessage", text="even", chat_id="-200")[0] == 200
    assert ask(server, "sendMessage", text="an odd one", chat_id="-200")[1]["parameters"] == moved
    assert [each.fault for each in server.requests] == [None, None, "bad_request_400"]


def test_a_lost_answer_leaves_the_message(server: TelegramServer) -> None:
    server.fault("answer_lost", times=1)
    with pytest.raises(OSError, match="reset"):
        ask(server, "sendMessage", text="a")
    assert [each.text for each in server.chat(CHAT)] == ["a"]
    assert [each.status for each in server.requests] == [0]


def test_messages_outlive_a_server_that_keeps_them(tmp_path: Path) -> None:
    kept = tmp_path / "chat.json"
    with TelegramServer(token=TOKEN, keep=kept) as server:
        ask(server, "sendMessage", text="one", reply_markup=keyboard("https://ads.example/1"))
        before = server.messages
    with TelegramServer(token=TOKEN, keep=kept) as server:
        assert server.messages == before
        assert ask(server, "editMessageText", message_id=1, text="one, changed")[0] == 200
        assert ask(server, "sendMessage", text="two")[1]["result"]["message_id"] == 2
    with TelegramServer(token=TOKEN, keep=kept) as server:
        assert [(each.text, each.edits) for each in server.messages] == [("one, changed", 1), ("two", 0)]


def test_it_runs_as_a_process_and_shows_its_messages() -> None:
    command = [sys.executable, "-m", "standin.telegram", "serve", "--token", TOKEN, "--chat", CHAT]
    with child(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        data = json.dumps({"chat_id": CHAT, "text": "hello"}).encode()
        request = urllib.request.Request(
            f"{addresses['url']}/bot{TOKEN}/sendMessage", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        with urllib.request.urlopen(addresses["messages"]) as response:
            [message] = json.load(response)
        assert (message["chat_id"], message["text"]) == (CHAT, "hello")
        process.terminate()
        assert process.wait() == 0
