"""What an answer of Telegram means: whose fault a refusal is, and that nothing in it can stop whoever stores it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vinops.telegram import LONGEST_PAUSE, PAUSE, Forbidden, Postponed, Refused, Sent, Unanswered, read_answer


def refused(description: str, status: int = 400, **parameters: Any) -> Any:
    """Read a refusal as Telegram words it."""
    said = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    return read_answer(status, json.dumps(said).encode())


@pytest.mark.parametrize(
    "description",
    [
        "chat not found",
        "CHAT_RESTRICTED",
        "TOPIC_CLOSED",
        "CHANNEL_PRIVATE",
        "PEER_ID_INVALID",
        "CHAT_ADMIN_REQUIRED",
        "CHAT_WRITE_FORBIDDEN",
        "CHAT_SEND_PHOTOS_FORBIDDEN",
        "CHAT_SEND_PLAIN_FORBIDDEN",
        "CHAT_GUEST_SEND_FORBIDDEN",
        "USER_BANNED_IN_CHANNEL",
        "message thread not found",
        "group chat was deactivated",
        "user is deactivated",
        "group chat was upgraded to a supergroup chat",
        "not enough rights to send text messages to the chat",
        "need administrator rights in the channel chat",
        "have no rights to send a message",
    ],
)
def test_what_is_the_chats_fault(description: str) -> None:
    outcome = refused(f"Bad Request: {description}")
    assert outcome == Refused(reason=f"status 400, Bad Request: {description}", is_chat=True)


@pytest.mark.parametrize(
    "description",
    [
        'can\'t parse entities: Unsupported start tag "x" at byte offset 4',
        "message is too long",
        "PHOTO_SAVE_FILE_INVALID",
        "file is too big",
        "invalid file HTTP URL specified: Unsupported URL protocol",
        "MEDIA_EMPTY",
        "WEBPAGE_MEDIA_EMPTY",
        "BUTTON_URL_INVALID",
        "Bad Request: inline keyboard button URL 'https://x/'CHAT_RESTRICTED_WAIT_900' is invalid: Wrong HTTP URL",
        'Bad Request: can\'t parse entities: Unsupported start tag "CHAT_RESTRICTED"',
        "something that nobody has heard of",
        "",
    ],
)
def test_what_may_be_the_fault_of_either(description: str) -> None:
    assert refused(description) == Refused(reason=f"status 400, {description}")


def test_a_message_that_is_gone_is_told_apart() -> None:
    assert refused("Bad Request: message to edit not found").is_gone
    assert not refused("Bad Request: message can't be edited").is_gone


def test_a_chat_that_moved_says_where_to() -> None:
    outcome = refused("Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-1001234567890123)
    assert (outcome.is_chat, outcome.moved_to) == (True, "-1001234567890123")
    assert "its id is -1001234567890123 now" in outcome.reason


@pytest.mark.parametrize("odd", [True, 7, 0, "-100", None, [], -(10**30), 1.5])
def test_a_new_id_that_is_none_is_not_followed(odd: object) -> None:
    assert refused("Bad Request: odd", migrate_to_chat_id=odd).moved_to is None


@pytest.mark.parametrize(
    ("description", "parameters", "seconds", "is_chat"),
    [
        ("SLOWMODE_WAIT_29", {}, 29, True),
        ("SLOWMODE_WAIT", {}, PAUSE, True),
        ("Slow mode is on", {"retry_after": 12}, 12, True),
        ("FLOOD_WAIT_3", {}, 3, False),
        ("FLOOD_PREMIUM_WAIT_4", {}, 4, False),
        ("Too Many Requests: retry after 35", {}, 35, False),
        ("please try again later", {}, PAUSE, False),
        ("FLOOD_WAIT_999999999", {}, LONGEST_PAUSE, False),
        ("FLOOD_WAIT_" + "9" * 150, {}, LONGEST_PAUSE, False),
    ],
)
def test_a_400_that_asks_to_wait_is_no_refusal(
    description: str, parameters: dict[str, Any], seconds: float, is_chat: bool
) -> None:
    outcome = refused(description, **parameters)
    assert outcome == Postponed(seconds=seconds, reason=f"status 400, {description}", is_chat=is_chat)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Forbidden(reason="status 401, no")),
        (404, Forbidden(reason="status 404, no")),
        (403, Forbidden(reason="status 403, no", is_chat=True)),
        (406, Refused(reason="status 406, no")),
        (413, Refused(reason="status 413, no")),
        (420, Refused(reason="status 420, no")),
        (429, Postponed(seconds=PAUSE, reason="status 429, no")),
        (500, Unanswered(reason="status 500, no")),
        (504, Unanswered(reason="status 504, no")),
    ],
)
def test_the_other_statuses(status: int, expected: object) -> None:
    assert refused("no", status) == expected


@pytest.mark.parametrize("status", [400, 403, 408, 413, 502])
@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"[" * 60_000])
def test_what_somebody_else_answers_is_no_refusal(status: int, answer: bytes) -> None:
    outcome = read_answer(status, answer)
    assert isinstance(outcome, Forbidden if status == 403 else Unanswered)
    assert not getattr(outcome, "is_chat", False)


@pytest.mark.parametrize("number", ["true", "1e3", "9223372036854775808", '"7"', "null", "-1"])
def test_a_number_that_cannot_be_stored_is_none(number: str) -> None:
    answer = f'{{"ok": true, "result": {{"message_id": {number}}}}}'.encode()
    assert not isinstance(read_answer(200, answer), Sent)


@pytest.mark.parametrize("asked", ["1" + "0" * 400, "true", "1e400"])
def test_no_number_of_seconds_is_too_large(asked: str) -> None:
    outcome = read_answer(429, f'{{"parameters": {{"retry_after": {asked}}}}}'.encode())
    assert isinstance(outcome, Postponed)
    assert outcome.seconds <= LONGEST_PAUSE


def test_a_reason_can_be_stored() -> None:
    outcome = read_answer(400, rb'{"ok": false, "description": "a\u0000b\ud83d c\r\nd\u001b[31m \u0431"}')
    assert outcome == Refused(reason="status 400, a b  c  d [31m б")
