"""Whatever an update contains: no exception, no answer that Telegram would refuse, and everything is forgotten."""

from __future__ import annotations

import logging
import random
import string
from typing import Any

import pytest

from deals.watches.bot import updates
from standin.telegram.html import plain, units
from tests.support.deal_messages import add_deal
from tests.support.watching import CHAT, Talk

WORDS = (
    *("/start", "/watch", "/list", "/edit", "/pause", "/resume", "/delete", "/quiet", "/digest", "/language", "/why"),
    *("/star", "/stop", "/forget", "/privacy", "/help", "BMW", "X5", "дизел", "до", "25000", "20 хил лв", "150000"),
    *("2016+", "22-8", "8:30", "off", "bg", "1", "-1", "99999999999999999999", "<b>", "&amp;", "\u202e", "\x00", "%s"),
    *("{}", "'; drop table watches; --", "https://www.mobile.bg/obiavi/avtomobili-dzhipove/bmw/x5", "ь" * 3000),
    *("🚗" * 50, "@x", "\ud800"),
)  # fmt: skip
DATA = ("save", "below", "change", "daily", "choose", "follow", "mute", "pause", "resume", "delete", "edit", "count")


def odd(dice: random.Random) -> Any:
    """Something that JSON can be."""
    match dice.randrange(8):
        case 0:
            return dice.choice([None, True, False, 0, -1, 2**70, 1.5, ""])
        case 1:
            return [odd(dice) for _ in range(dice.randrange(3))]
        case 2:
            return {dice.choice(string.ascii_lowercase): odd(dice) for _ in range(dice.randrange(3))}
        case _:
            return dice.choice(WORDS)


def update(dice: random.Random, number: int) -> Any:
    """A random update: mostly a message or a button of the person, often broken somewhere."""
    if dice.random() < 0.02:
        return odd(dice)
    chat: Any = {"id": dice.choice([CHAT, CHAT, CHAT, -5, 2**63]), "type": dice.choice(["private", "group", 7])}
    text = " ".join(dice.choice(WORDS) for _ in range(dice.randrange(1, 6)))
    data = f"{dice.choice(DATA)}:{dice.choice(['1', '2', 'yes', '7', '999999999999999999', 'x', ''])}"
    if dice.random() < 0.2:
        data += f":{dice.randrange(4)}:{dice.randrange(4)}:{dice.choice([0, 2**32])}"
    message = {"message_id": dice.randrange(1, 50), "chat": chat, "text": text, "from": {"language_code": "bg"}}
    if dice.random() < 0.2:
        message["reply_to_message"] = {"message_id": dice.randrange(1, 50)}
    found: dict[str, Any] = {"update_id": number}
    match dice.randrange(6):
        case 0 | 1 | 2:
            found["message"] = message
        case 3:
            found["edited_message"] = message
        case 4:
            found["callback_query"] = {"id": "q", "message": message, "data": data}
        case 5:
            found[dice.choice(["my_chat_member", "poll", "inline_query"])] = {
                "chat": chat,
                "new_chat_member": odd(dice),
            }
    if dice.random() < 0.3:  # broken somewhere
        where = dice.choice([found, message, chat])
        where[dice.choice(list(where))] = odd(dice)
        if where is found:
            found["update_id"] = number
    return found


def run(talk: Talk, count: int, seed: str, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(seed)
    talk.join()
    ad = add_deal(talk.database, score=8)
    talk.hit(talk.watch(talk.one("select id from watch_people"), make=["Volkswagen"]), ad)
    talk.send()
    first = talk.one("select update_id from ops.watch_updates") + 1
    caplog.clear()
    for number in range(first, first + count):
        talk.receiver.apply(update(dice, number))
        if talk.one("select count(*) from watch_people where chat_id = %s", CHAT) == 0:
            talk.join()
            talk.database.execute("update ops.watch_updates set update_id = %s", [number])
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
    rows = talk.database.execute("select html from watch_messages where html is not null").fetchall()
    assert rows
    assert [html for (html,) in rows if not 0 < units(plain(html)) <= 4096] == []


def test_a_few_hundred_random_updates(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    run(talk, 300, "quick", caplog)


@pytest.mark.slow
def test_ten_thousand_random_updates(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    run(talk, 10_000, "slow", caplog)


def test_updates_of_any_shape_are_read() -> None:
    dice = random.Random("shapes")
    for number in range(10_000):
        each = update(dice, number)
        updates.number_of(each)
        assert updates.read(each) is not None


def test_forget_leaves_no_row_and_no_log_line_with_the_chat(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    person = talk.join()
    ad = add_deal(talk.database, score=8)
    talk.say("BMW X5", "/quiet 22-8", "/list")
    talk.database.execute("update watch_people set quiet_from = null, quiet_to = null")
    watch = talk.watch(person, make=["Volkswagen"])
    talk.hit(watch, ad)
    talk.hit(watch, add_deal(talk.database, score=8), state="held")
    talk.send()
    talk.telegram.fault("bad_request_400", times=1, description=f"Bad Request: chat {CHAT} is odd")
    talk.say("/help")
    talk.say("/forget")
    assert "deletes all" in talk.shown()[-1]
    talk.press("forget:yes")
    assert talk.shown()[-1] == "Everything about this chat is deleted. Goodbye."
    tables = talk.database.execute(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert len(tables) > 40
    for (table,) in tables:
        found = talk.one(f"select count(*) from {table} as found where found::text like '%%{CHAT}%%'")
        assert (table, found) == (table, 0)
    for table in ("watches", "watch_hits", "watch_messages", "watch_drafts", "watch_people"):
        assert (table, talk.one(f"select count(*) from {table}")) == (table, 0)
    assert not [each for each in caplog.records if each.name != "asyncio" and str(CHAT) in each.getMessage()]
