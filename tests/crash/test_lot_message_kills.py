"""Processes killed anywhere while they post about lots: none is lost, and each kill causes at most one message too
many, that of the call which ran.

At least twenty kills; more at random: VINOPS_CRASH_KILLS=300 python -m pytest tests/crash.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.channel import post as poster
from deals.imports.post import post
from deals.offers import passes
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from standin.telegram.server import TelegramServer
from tests.crash.crawler import Crawler
from tests.crash.killing import SIGKILLED, Kills
from tests.crash.world import wait_until
from tests.support import import_lots
from tests.support.connections import alone
from tests.support.deal_messages import CHANNEL, OWNER, TOKEN, channel_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from standin.telegram.messages import Message
    from vinops.config import Settings

pytestmark = pytest.mark.slow

Database = psycopg.Connection[Any]

LEAST = 26
AT_RANDOM = 4
AN_HOUR = 6  # posts: three lots, and three that died
CHAT = "-100777"
NOW = datetime(2030, 7, 1, 8, 0, tzinfo=UTC)
PASSED, GONE = 1, 2
"""Lots that were told, and whose message is out of date."""
BARGAINS = {11: 1_500, 12: 2_000, 13: 2_500}
"""Lots to be told, the most profitable first, with what they are bought for."""

BEFORE_IT_IS_SENT = (
    "take_turn 1 after",
    "recover_tries 1 after",
    "next_deal 1 after",
    "next_deal 2 after",
    "record_try 1 before",
    "record_try 1 after",
    "answer 1 before",
    "record_try 3 after",
)
BEHIND_IT = ("answer 1 after", "settle_try 1 before", "settle_try 1 after", "answer 2 after", "settle_try 3 after")
EDITS = (
    "record_try 4 after",
    "answer 4 before",
    "answer 4 after",
    "show_change 1 before",
    "show_change 1 after",
    "answer 5 after",
    "settle_try 5 after",
)


@dataclass(kw_only=True)
class Killing:
    """Kills posting processes, and collects the faults that remain after the next ones."""

    settings: Settings
    database: Database
    telegram: TelegramServer
    child: Crawler
    kills: Kills
    broken: str | None = None
    now: datetime = NOW
    deaths: int = 0
    faults: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Queue messages about three lots, and two edits: a bid has passed the limit, and a lot is gone."""
        self.database.execute("truncate lots, vehicles cascade")
        self.database.execute("truncate ops.lot_outbox")
        self.telegram.messages.clear()
        self.deaths = 0
        self.now += timedelta(days=1)
        for number in (PASSED, GONE):
            import_lots.add_lot(self.database, number, buy_now_price=2_500)
        self._quote()
        assert post(self.database, self.settings, now=self.now).sent == 2
        change = "update lots set high_bid = 40000, row_hash = row_hash || 'x' where lot_external_id = %s"
        self.database.execute(change, [PASSED])
        gone = "update lots set status = 'gone', gone_at = now() where lot_external_id = %s"
        self.database.execute(gone, [GONE])
        for number, price in BARGAINS.items():
            import_lots.add_lot(self.database, number, buy_now_price=price)
        self._quote()
        self.now += timedelta(hours=2)

    def _quote(self) -> None:
        passes.queue_changed(self.database, self.settings)
        for stage in LOT_STAGES:
            runner.drain(self.database, self.settings, stage)

    def start(self, **how: Any) -> Any:
        """Start a posting process."""
        environment = {
            "DATABASE_URL": self.settings.database_url.reveal() if self.settings.database_url else "",
            "VINOPS_DATA_DIR": str(self.settings.data_dir),
            "VINOPS_IMPORTS_POSTS_AN_HOUR": str(self.settings.imports_posts_an_hour),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_CHANNEL_ID": CHANNEL,
            "TELEGRAM_IMPORTS_CHAT_ID": CHAT,
            "TELEGRAM_ALERT_CHAT_ID": OWNER,
            "TELEGRAM_API_URL": self.settings.telegram_api_url,
        }
        return self.child.crawl(environment, self.now.isoformat(), "lots", broken=self.broken, **how)

    def at(self, event: str) -> None:
        """Kill a posting process at an event, and prove it."""
        ended = self.start(plan=event).wait()
        assert (ended.code, ended.killed_at) == (SIGKILLED, event), ended
        self._landed(event.split()[0])

    def at_moment(self, seconds: float) -> bool:
        """Kill a posting process this long after its start. Return False if it had ended."""
        job = self.start()
        time.sleep(seconds)
        job.kill()
        ended = job.wait()
        if ended.code != SIGKILLED:
            assert ended.code == 0, ended
            return False
        self._landed("at random")
        return True

    def finish(self, event: str) -> None:
        """Post the rest, and check that the result is as without kills, but for one message for each."""
        shown = len(self.chat())
        if shown > AN_HOUR + 2:
            self.faults.append(f"killed at {event}: {shown} messages in an hour")
        for _ in range(10):
            self.now += timedelta(seconds=61)
            if not post(self.database, self.settings, now=self.now).waiting:
                break
        if found := list(self._faults()):
            self.faults.append("\n  ".join([f"killed at {event}:", *found]))

    def chat(self) -> list[Message]:
        """Return the messages in the chat of the imports."""
        return self.telegram.chat(CHAT)

    def messages(self, number: int) -> list[Message]:
        """Return the messages about a lot."""
        return [each for each in self.chat() if each.buttons[0][1].endswith(f"/lot/{number}")]

    def _faults(self) -> Iterator[str]:
        counts = [len(self.messages(number)) for number in BARGAINS]
        if 0 in counts:
            yield f"lots are lost: {counts}"
        elif (first := [self.messages(number)[0].message_id for number in BARGAINS]) != sorted(first):
            yield "they are not in order"
        if sum(counts) - len(counts) > self.deaths:
            yield f"{self.deaths} deaths, and the lots are shown {counts} times"
        left = self.database.execute("select lot_id, kind, state, error from lot_notifications where state <> 'sent'")
        if rows := left.fetchall():
            yield f"left behind: {rows}"
        for number, says in ((PASSED, "has passed the limit"), (GONE, "No longer at the auction")):
            texts = [each.text for each in self.messages(number)]
            if len(texts) != 1 or says not in texts[0]:
                yield f"a message that is to say «{says}»: {texts}"

    def _landed(self, kind: str) -> None:
        self.kills.landed[kind] += 1
        self.deaths += 1
        wait_until(lambda: alone(self.database))


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawler]:
    """The process that forks posting processes."""
    with Crawler("notify_post.py", tmp_path_factory.mktemp("traces")) as child:
        yield child


@pytest.fixture
def killing(
    settings: Settings, database: Database, child: Crawler, module_kills: Kills, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Killing]:
    monkeypatch.setattr(poster, "GAP", 0.0)
    import_lots.store_market(database)
    with TelegramServer(token=TOKEN, chats=(CHANNEL, OWNER, CHAT)) as telegram:
        ours = replace(
            channel_settings(settings, telegram), telegram_imports_chat_id=CHAT, imports_posts_an_hour=AN_HOUR
        )
        killing = Killing(settings=ours, database=database, telegram=telegram, child=child, kills=module_kills)
        killing.begin()
        yield killing


def test_what_a_post_does_is_a_fault_injection_point(killing: Killing) -> None:
    ended = killing.start().wait()
    assert ended.code == 0, ended
    assert {*BEFORE_IT_IS_SENT, *BEHIND_IT, *EDITS} <= set(ended.events)
    killing.finish("no point")
    assert killing.faults == []
    assert len(killing.chat()) == len(BARGAINS) + 2
    assert not killing.telegram.chat(CHANNEL)


def test_a_death_before_a_message_is_sent_costs_nothing(killing: Killing) -> None:
    for event in BEFORE_IT_IS_SENT:
        killing.begin()
        killing.at(event)
        killing.finish(event)
        assert len(killing.chat()) == len(BARGAINS) + 2, f"killed at {event}: one was sent twice"
    assert not killing.faults, "\n".join(killing.faults)


def test_a_death_behind_it_costs_one_message_too_many(killing: Killing) -> None:
    for event in BEHIND_IT:
        killing.begin()
        killing.at(event)
        killing.finish(event)
        assert len(killing.chat()) == len(BARGAINS) + 3, f"killed at {event}: where is the one too many"
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.quick
def test_a_death_at_the_answer_costs_one_message_too_many(killing: Killing) -> None:
    killing.at("settle_try 1 before")
    killing.finish("settle_try 1 before")
    assert len(killing.messages(min(BARGAINS))) == 2
    assert not killing.faults, "\n".join(killing.faults)


def test_a_death_in_an_edit_costs_nothing(killing: Killing) -> None:
    for event in EDITS:
        killing.begin()
        killing.at(event)
        killing.finish(event)
        assert len(killing.chat()) == len(BARGAINS) + 2, f"killed at {event}: an edit made a message"
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("broken", "events", "caught"),
    [
        ("settled_before_it_is_sent", ["answer 1 before"], "lots are lost"),
        ("never_recorded", ["answer 1 after"] * 7, "messages in an hour"),
    ],
)
def test_a_broken_poster_is_caught(killing: Killing, broken: str, events: list[str], caught: str) -> None:
    killing.broken = broken
    for event in events:
        killing.at(event)
        killing.now += timedelta(seconds=61)
    killing.finish(events[0])
    assert caught in "\n".join(killing.faults)


@pytest.mark.timeout(0)
def test_posters_killed_at_any_moment_lose_nothing(killing: Killing, module_kills: Kills) -> None:
    dice = random.Random(1)
    began = time.monotonic()
    assert killing.start().wait().code == 0
    seconds = time.monotonic() - began
    landed = 0
    while landed < AT_RANDOM or module_kills.total < module_kills.wanted:
        killing.begin()
        landed += killing.at_moment(dice.random() * seconds)
        killing.finish("a random moment")
        assert not killing.faults, "\n".join(killing.faults)
    print(f"{module_kills.total} kills landed: {dict(module_kills.landed)}")
