"""`vinops watch`: an invitation, who was invited, and the bot as a process."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from standin.telegram.server import TelegramServer
from tests.crash.world import wait_until
from tests.support import forks
from tests.support.children import child
from tests.support.watching import CHAT, TOKEN

if TYPE_CHECKING:
    import psycopg


def test_an_invitation_is_a_link_or_a_code(environment: dict[str, str]) -> None:
    with TelegramServer(token=TOKEN) as telegram:
        bot = environment | {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.url}
        done = forks.vinops(bot, "watch", "invite")
        assert done.stdout.startswith("https://t.me/standin_bot?start=")
    done = forks.vinops(environment, "watch", "invite", "--json")
    assert json.loads(done.stdout)["link"] is None
    assert len(json.loads(done.stdout)["code"]) >= 20
    assert forks.vinops(environment, "watch", "invite", "Nobody").returncode == 1
    assert forks.vinops(environment, "watch", "invite", "--language", "xx").returncode == 2
    assert forks.vinops(environment, "watch", "list", "--json").stdout.strip() == "[]"


def test_the_bot_needs_a_token(environment: dict[str, str]) -> None:
    done = forks.vinops(environment, "watch", "bot")
    assert done.returncode == 1
    assert "TELEGRAM_BOT_TOKEN is not set" in done.stderr


def test_the_bot_answers_and_ends_when_it_is_told_to(
    environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    with TelegramServer(token=TOKEN) as telegram:
        bot = environment | {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.url}
        code = json.loads(forks.vinops(bot, "watch", "invite", "--json", "--language", "en").stdout)["code"]
        with child([*forks.by_hand("vinops"), "watch", "bot"], env=bot) as process:
            telegram.updates.say(CHAT, f"/start {code}")
            wait_until(lambda: telegram.chat(str(CHAT)))
            telegram.updates.say(CHAT, "/help")
            wait_until(lambda: len(telegram.chat(str(CHAT))) == 2)
            second = forks.vinops(bot, "watch", "bot")
            assert (second.returncode, "a bot runs on this data folder already" in second.stderr) == (1, True)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        (row,) = json.loads(forks.vinops(bot, "watch", "list", "--json").stdout)
        assert (row["language"], row["has_chat"], row["watches"]) == ("en", True, 0)
        assert str(CHAT) not in json.dumps(row)
    assert database.execute("select count(*) from ops.alerts").fetchone() == (0,)
