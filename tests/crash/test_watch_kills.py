"""The bot of the alerts killed anywhere: no update is lost or applied twice, no message is lost, and each kill within a
call costs at most one message too many.

Twenty kills in each phase: of reading and applying updates, and of queueing and sending.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.watches.sending import queue, send
from standin.telegram.server import TelegramServer
from tests.crash.crawler import Crawler
from tests.crash.killing import SIGKILLED, Kills
from tests.crash.world import wait_until
from tests.support.connections import alone
from tests.support.deal_messages import add_deal
from tests.support.watching import CHAT, TOKEN, Talk, bot_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

pytestmark = pytest.mark.slow

A_PHASE = 20
LEAST = 2 * A_PHASE
ANSWERS = 3
QUICK = ("take_update 2 after", "commit 2 before", "commit 2 after", "answer 3 after", "settle_try 2 before")


@dataclass(kw_only=True)
class Killing:
    """Kills turns of the bot, and collects the faults that remain after the next ones."""

    talk: Talk
    child: Crawler
    kills: Kills
    broken: str | None = None
    deaths: int = 0
    faults: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Let a person have two watches, a told car that came down and one that is gone, two new cars, held ones, and
        three updates that would do something else if they were applied twice."""
        talk, database = self.talk, self.talk.database
        database.execute("truncate listings, watch_people, watch_messages, ops.watch_updates cascade")
        talk.telegram.updates.waiting.clear()
        talk.join()
        self.person = talk.one("select id from watch_people")
        kept = [talk.watch(self.person, make=["Volkswagen"]) for _ in range(3)]
        self.told = [add_deal(database, score=8, title=title, photo_urls=[]) for title in ("Cheaper", "Gone")]
        for each in self.told:
            talk.hit(kept[2], each)
        talk.send()
        talk.say("golf")
        draft = talk.one("select max(id) from watch_drafts")
        self.seen = len(talk.telegram.messages)
        talk.sender.counts.clear()
        database.execute("update watch_messages set state = 'sent' where state <> 'sent'")
        database.execute("update normalized_listings set price_eur = 5000 where listing_id = %s", [self.told[0]])
        database.execute("update listings set removed_at = now() where id = %s", [self.told[1]])
        queue.queue_changes(database, self.told)
        self.new = [add_deal(database, score=score, title=f"New {score}", photo_urls=[]) for score in (7, 9)]
        for each in self.new:
            talk.hit(kept[2], each)
        talk.hit(kept[2], add_deal(database, score=6, title="Held"), state="held")
        database.execute("update watch_people set digest_due = now()")
        self.before = talk.one("select count(*) from watch_messages where kind = 'reply'")
        self.deaths = 0
        talk.telegram.updates.say(CHAT, "/delete 1")
        talk.telegram.updates.press(CHAT, self.seen, f"save:{draft}")
        talk.telegram.updates.say(CHAT, "/help")

    def start(self, **how: Any) -> Any:
        """Start a process that takes a turn."""
        settings = self.talk.settings
        environment = {
            "DATABASE_URL": settings.database_url.reveal() if settings.database_url else "",
            "VINOPS_DATA_DIR": str(settings.data_dir),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": settings.telegram_api_url,
        }
        return self.child.crawl(environment, broken=self.broken, **how)

    def at(self, event: str) -> None:
        """Kill a turn at an event, and prove it."""
        ended = self.start(plan=event).wait()
        assert (ended.code, ended.killed_at) == (SIGKILLED, event), ended
        self.kills.landed[event.split()[0]] += 1
        self.deaths += 1
        wait_until(lambda: alone(self.talk.database))

    def finish(self, event: str) -> None:
        """Let the bot do the rest, and compare the result with that of a bot that nobody kills."""
        for _ in range(6):
            self.talk.database.execute(
                "update watch_messages set tried_at = tried_at - interval '61 s', next_try_at = now()"
                " where state in ('trying', 'waiting')"
            )
            self.talk.turn()
        if found := [*self.faults_of_updates(), *self.faults_of_messages()]:
            self.faults.append("\n  ".join([f"killed at {event}:", *found]))

    def faults_of_updates(self) -> Iterator[str]:
        """Yield updates that were lost or applied twice."""
        talk = self.talk
        if (watches := talk.one("select count(*) from watches")) != 3:
            yield f"of three watches one was deleted and one saved, and there are {watches}"
        answers = talk.one("select count(*) from watch_messages where kind in ('reply', 'edit')") - self.before
        if answers != ANSWERS:
            yield f"{answers} answers were recorded to {ANSWERS} updates"

    def faults_of_messages(self) -> Iterator[str]:
        """Yield messages that were lost or are shown too often."""
        talk = self.talk
        left = talk.database.execute("select kind, state, error from watch_messages where state <> 'sent'").fetchall()
        if left:
            yield f"left behind: {left}"
        shown = [each.text for each in talk.telegram.messages[self.seen :]]
        gone = [each.text for each in talk.telegram.messages if "Gone" in each.text and each.message_id <= self.seen]
        if "No longer advertised" not in gone[-1]:
            yield f"a message that is to say that its ad is gone: {gone}"
        expected = ("Watch 1 is deleted", "/pause N", "New 9", "New 7", "📉", "1 new for you")
        counts = [sum(text in each for each in shown) for text in expected]
        if 0 in counts:
            yield f"messages are lost: {dict(zip(expected, counts, strict=True))}"
        if sum(counts) - len(counts) > self.deaths:
            yield f"{self.deaths} deaths, and the messages are shown {counts} times"


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawler]:
    """The process that forks the bot's turns."""
    with Crawler("watch_bot.py", tmp_path_factory.mktemp("traces")) as child:
        yield child


@pytest.fixture
def killing(
    settings: Settings,
    database: psycopg.Connection[Any],
    child: Crawler,
    module_kills: Kills,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Killing]:
    monkeypatch.setattr(send, "CHAT_GAP", 0.0)
    with TelegramServer(token=TOKEN) as telegram:
        talk = Talk(database=database, settings=bot_settings(settings, telegram), telegram=telegram)
        killing = Killing(talk=talk, child=child, kills=module_kills)
        killing.begin()
        yield killing


def phases(killing: Killing) -> tuple[list[str], list[str]]:
    """Return the events of a turn that nobody kills: of receiving, and of sending."""
    ended = killing.start().wait()
    assert ended.code == 0, ended
    killing.finish("no point")
    assert killing.faults == []
    events = list(ended.events)
    place = events.index("take_sender 1 before")
    return events[:place], events[place:]


def some(events: list[str]) -> list[str]:
    """Return A_PHASE of the events, evenly spread."""
    assert len(events) >= A_PHASE
    return [events[number * len(events) // A_PHASE] for number in range(A_PHASE)]


@pytest.mark.quick
def test_a_bot_that_is_killed_goes_on(killing: Killing) -> None:
    for event in QUICK:
        killing.begin()
        killing.at(event)
        killing.finish(event)
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.timeout(0)
def test_twenty_kills_in_each_phase_lose_nothing(killing: Killing) -> None:
    for phase in phases(killing):
        for event in some(phase):
            killing.begin()
            killing.at(event)
            killing.finish(event)
    assert not killing.faults, "\n".join(killing.faults)
    assert killing.kills.total >= 2 * A_PHASE


def test_a_kill_before_a_call_or_behind_its_record_costs_no_message(killing: Killing) -> None:
    receiving, sending = phases(killing)
    for event in (*receiving, *sending):
        if event.startswith("answer ") or "settle_try" in event:
            continue
        name, number, _ = event.split()
        if name in ("take_update", "add_reply", "new_hits", "record_try") and number in ("1", "2"):
            killing.begin()
            killing.at(event)
            killing.deaths = 0
            killing.finish(event)
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("broken", "event", "caught"),
    [
        ("confirmed_before_it_is_applied", "commit 1 after", "there are"),
        ("never_noted", "take_sender 1 before", "there are"),
        ("settled_before_it_is_sent", "take_place", "messages are lost"),
    ],
)
def test_a_broken_bot_is_caught(killing: Killing, broken: str, event: str, caught: str) -> None:
    killing.broken = broken
    if event == "take_place":  # the first call behind a settled message
        trace = killing.start().wait().events
        place = trace.index("settle_try 1 after")
        event = next(each for each in trace[place:] if each.startswith("answer ") and each.endswith(" before"))
        killing.begin()
    killing.at(event)
    killing.finish(event)
    assert caught in "\n".join(killing.faults)
