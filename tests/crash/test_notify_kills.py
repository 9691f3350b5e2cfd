"""Processes killed anywhere while they post: no deal is lost, and each kill causes at most one duplicate message.

At least twenty-four kills; more at random: VINOPS_CRASH_KILLS=300 python -m pytest tests/crash.
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
from deals.channel.post import post
from deals.channel.queue import queue
from standin.telegram.server import TelegramServer
from tests.crash.crawler import Crawler
from tests.crash.killing import SIGKILLED, Kills
from tests.crash.world import wait_until
from tests.support.connections import alone
from tests.support.deal_messages import CHANNEL, OWNER, TOKEN, add_deal, channel_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from standin.telegram.messages import Message
    from vinops.config import Settings

pytestmark = pytest.mark.slow

Database = psycopg.Connection[Any]

LEAST = 24
AT_RANDOM = 4
AN_HOUR = 6  # posts: four deals, and two that died
NOW = datetime(2030, 7, 1, 8, 0, tzinfo=UTC)
SCORES = (9.5, 8.5, 8.0)

BEFORE_IT_IS_SENT = (
    "take_turn 1 after",
    "recover_tries 1 after",
    "next_deal 1 after",
    "record_try 1 before",
    "record_try 1 after",
    "commit 2 before",
    "commit 2 after",
    "answer 1 before",
    "commit 4 after",
    "record_try 3 after",
)
BEHIND_IT = (
    "answer 1 after",
    "settle_try 1 before",
    "settle_try 1 after",
    "commit 3 before",
    "answer 2 after",
    "settle_try 3 after",
)
EDITS = (
    "record_try 4 after",
    "answer 4 before",
    "answer 4 after",
    "show_change 1 before",
    "show_change 1 after",
    "answer 5 after",
    "settle_try 5 after",
)
REFUSED_FIRST = ("settle_try 1 after", "note_proofs 1 before", "note_proofs 1 after")
REFUSED_AGAIN = ("settle_try 1 after", "at_fault 1 before", "fail_refused 1 after", "raise_alert 1 after")


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
        """Queue three deals, one change of a price, and one change of an ad that is gone."""
        self.database.execute("truncate listings cascade")
        self.telegram.messages.clear()
        self.deaths = 0
        self.now += timedelta(days=1)
        self.told = [add_deal(self.database, score=8.0, title=title) for title in ("cheaper", "gone")]
        queue(self.database, self.told)
        post(self.database, self.settings, now=self.now)
        self.database.execute("update listings set price_eur = 9000 where id = %s", [self.told[0]])
        self.database.execute("update normalized_listings set price_eur = 9000 where listing_id = %s", [self.told[0]])
        self.database.execute("update listings set removed_at = now() where id = %s", [self.told[1]])
        self.deals = [add_deal(self.database, score=score) for score in SCORES]
        queue(self.database, [*self.told, *self.deals])
        self.now += timedelta(hours=2)

    def add(self) -> int:
        """Queue one more deal, with the lowest score."""
        listing_id = add_deal(self.database, score=7.5)
        queue(self.database, [listing_id])
        return listing_id

    def start(self, **how: Any) -> Any:
        """Start a posting process."""
        environment = {
            "DATABASE_URL": self.settings.database_url.reveal() if self.settings.database_url else "",
            "VINOPS_DATA_DIR": str(self.settings.data_dir),
            "VINOPS_DEALS_POSTS_AN_HOUR": str(self.settings.deals_posts_an_hour),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_CHANNEL_ID": CHANNEL,
            "TELEGRAM_ALERT_CHAT_ID": OWNER,
            "TELEGRAM_API_URL": self.settings.telegram_api_url,
        }
        return self.child.crawl(environment, self.now.isoformat(), "ads", broken=self.broken, **how)

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
        shown = len(self.channel())
        if shown > AN_HOUR + len(self.told):
            self.faults.append(f"killed at {event}: {shown} messages in an hour")
        for _ in range(10):
            self.now += timedelta(seconds=61)
            if not post(self.database, self.settings, now=self.now).waiting:
                break
        if found := [*self.faults_of_deals(), *self.faults_of_edits()]:
            self.faults.append("\n  ".join([f"killed at {event}:", *found]))

    def channel(self) -> list[Message]:
        """Return the messages in the channel."""
        return self.telegram.chat(CHANNEL)

    def messages(self, listing_id: int) -> list[Message]:
        """Return the messages about an ad."""
        row = self.database.execute("select url from listings where id = %s", [listing_id]).fetchone()
        assert row is not None
        return [each for each in self.channel() if each.buttons[0][1] == row[0]]

    def faults_of_deals(self) -> Iterator[str]:
        """Yield deals that are lost or posted too often, and whether the order is wrong."""
        counts = [len(self.messages(listing_id)) for listing_id in self.deals]
        if 0 in counts:
            yield f"deals are lost: {counts}"
        elif self.deals != sorted(self.deals, key=lambda each: self.messages(each)[0].message_id):
            yield "they are not in order"
        if sum(counts) - len(counts) > self.deaths:
            yield f"{self.deaths} deaths, and the deals are shown {counts} times"
        left = self.database.execute("select kind, state, error from notifications where state <> 'sent'").fetchall()
        if left:
            yield f"left behind: {left}"

    def faults_of_edits(self) -> Iterator[str]:
        """Yield earlier messages that are out of date."""
        for listing_id, says in zip(self.told, ("9 000 €", "No longer advertised"), strict=True):
            texts = [each.text for each in self.messages(listing_id)]
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
    with TelegramServer(token=TOKEN, chats=(CHANNEL, OWNER)) as telegram:
        ours = replace(channel_settings(settings, telegram), deals_posts_an_hour=AN_HOUR)
        killing = Killing(settings=ours, database=database, telegram=telegram, child=child, kills=module_kills)
        killing.begin()
        yield killing


def test_what_a_post_does_is_a_fault_injection_point(killing: Killing) -> None:
    ended = killing.start().wait()
    assert ended.code == 0, ended
    assert {*BEFORE_IT_IS_SENT, *BEHIND_IT, *EDITS} <= set(ended.events)
    killing.finish("no point")
    assert killing.faults == []
    assert len(killing.channel()) == len(SCORES) + 2


def test_a_death_before_a_message_is_sent_costs_nothing(killing: Killing) -> None:
    for event in BEFORE_IT_IS_SENT:
        killing.begin()
        killing.at(event)
        killing.finish(event)
        assert len(killing.channel()) == len(SCORES) + 2, f"killed at {event}: one was sent twice"
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.quick
def test_a_death_behind_it_costs_one_message_too_many(killing: Killing) -> None:
    for event in BEHIND_IT:
        killing.begin()
        killing.at(event)
        killing.finish(event)
        assert len(killing.channel()) == len(SCORES) + 3, f"killed at {event}: where is the one too many"
    assert not killing.faults, "\n".join(killing.faults)


def test_a_death_in_an_edit_costs_nothing(killing: Killing) -> None:
    for event in EDITS:
        killing.begin()
        killing.at(event)
        killing.finish(event)
        assert len(killing.channel()) == len(SCORES) + 2, f"killed at {event}: an edit made a message"
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.slow
def test_a_death_while_it_is_found_out_whose_fault_a_refusal_is_fails_no_other_message(killing: Killing) -> None:
    for again, events in ((False, REFUSED_FIRST), (True, REFUSED_AGAIN)):
        for event in events:
            killing.begin()
            killing.telegram.fault("bad_request_400", text=f"Car {SCORES[0]}")
            bad, *others = killing.deals
            if again:
                post(killing.database, killing.settings, now=killing.now)
                killing.now += timedelta(minutes=16)
                others.append(killing.add())
            killing.at(event)
            for _ in range(3):
                killing.now += timedelta(minutes=46)  # more may be posted again
                others.append(killing.add())
                post(killing.database, killing.settings, now=killing.now)
            killing.telegram.clear_faults()
            states = "select state from notifications where kind = 'deal' and listing_id = any(%s) order by listing_id"
            assert killing.database.execute(states, [[bad]]).fetchall() == [("failed",)], event
            assert killing.database.execute(states, [others]).fetchall() == [("sent",)] * len(others), event
            shown = [len(killing.messages(each)) for each in (bad, *others)]
            assert shown[0] == 0, event
            assert all(1 <= each <= 1 + killing.deaths for each in shown[1:]), event
            assert killing.deaths == 1


def test_deaths_one_after_the_other_cost_a_message_each_and_the_hour_is_kept(killing: Killing) -> None:
    for event in ("answer 1 after", "answer 1 after", "settle_try 1 after"):
        killing.at(event)
        killing.now += timedelta(seconds=61)
    killing.finish("answers")
    assert len(killing.messages(killing.deals[0])) == 4
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("broken", "events", "caught"),
    [
        ("settled_before_it_is_sent", ["answer 1 before"], "deals are lost"),
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
