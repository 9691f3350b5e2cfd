"""Any answers of Telegram in any order: no deal is lost, and none is posted more often than is promised.

Twenty messages by default, and a seed; more of both: VINOPS_FAULT_MESSAGES=500 VINOPS_FAULT_SEEDS=20 python -m pytest
tests/integration/deals/test_notify_faults.py.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.channel import post as poster
from deals.channel.post import post
from deals.channel.queue import MOST_TRIES, Posted, queue
from standin.telegram.server import TelegramServer
from tests.support.deal_messages import CHANNEL, OWNER, TOKEN, add_deal, channel_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

Database = psycopg.Connection[Any]

MESSAGES = int(os.environ.get("VINOPS_FAULT_MESSAGES", "20"))
SEEDS = range(int(os.environ.get("VINOPS_FAULT_SEEDS", "1")))
NOW = datetime(2030, 7, 1, 8, 0, tzinfo=UTC)
ROUNDS = 25 * (1 + MESSAGES // 100)  # with faults, then as many without

Fault = tuple[str, dict[str, Any]]
CHAT: list[Fault] = [  # hold for every message, for a while
    ("bad_request_400", {"description": "Bad Request: CHAT_RESTRICTED"}),
    ("bad_request_400", {"description": "Bad Request: SOMETHING_NEW"}),
    ("bad_request_400", {"description": "Bad Request: another thing", "chat_id": CHANNEL}),
    ("bad_request_400", {"description": "Bad Request: NO_SENDING", "methods": ["sendPhoto", "sendMessage"]}),
    ("bad_request_400", {"description": "Bad Request: NO_EDITS", "methods": ["editMessageCaption"]}),
    ("bad_request_400", {"description": "Bad Request: SLOWMODE_WAIT_40", "chat_id": CHANNEL}),
    ("forbidden_403", {}),
    ("too_many_429", {"retry_after": 45}),
]
PHOTO: list[Fault] = [("bad_request_400", {"description": "Bad Request: MEDIA_EMPTY", "methods": ["sendPhoto"]})]
UNHEARD: list[Fault] = [("server_error_502", {}), ("reset", {}), ("answer_lost", {})]


@dataclass(kw_only=True)
class Trial:
    """A channel, and a Telegram with a fault in most rounds."""

    database: Database
    settings: Settings
    telegram: TelegramServer
    dice: random.Random
    now: datetime = NOW
    good: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)

    def add(self, *, is_bad: bool | None = None) -> None:
        """Queue one more message; one in twelve is of a kind that Telegram always refuses."""
        is_bad = self.dice.random() < 1 / 12 if is_bad is None else is_bad
        number = len(self.good) + len(self.bad)
        title = f"{'bad' if is_bad else 'good'} {number}"
        listing_id = add_deal(self.database, score=round(self.dice.uniform(7, 10), 1), title=title)
        (self.bad if is_bad else self.good).append(listing_id)
        queue(self.database, [listing_id])

    def change(self) -> None:
        """Change the price of an ad, whether or not its message was sent."""
        listing_id = self.dice.choice(self.good)
        about = {"id": listing_id, "price": self.dice.randrange(5000, 9000)}
        self.database.execute("update listings set price_eur = %(price)s where id = %(id)s", about)
        self.database.execute("update normalized_listings set price_eur = %(price)s where listing_id = %(id)s", about)
        queue(self.database, [listing_id])

    def round(self, fault: Fault | None) -> Posted:
        """Post, with a fault that may begin or end between two calls, and advance the time by some minutes."""
        self.telegram.clear_faults()
        self.telegram.fault("bad_request_400", description="Bad Request: is never taken", text="<b>bad ")
        if fault is not None:
            name, options = fault
            if before := self.dice.randrange(4):
                self.telegram.fault("slow", times=before, seconds=0.0)  # the fault begins behind so many calls
            self.telegram.fault(name, times=self.dice.choice((None, None, 4, 9)), **options)
        found = post(self.database, self.settings, now=self.now)
        # What Telegram asks for is kept by the clock of the database.
        self.database.execute("update ops.host_budgets set next_at = clock_timestamp()")
        self.now += timedelta(seconds=self.dice.choice((31, 61, 301, 901)))
        return found

    def titles(self) -> Counter[str]:
        """Return how often the channel shows each deal, by title."""
        return Counter(each.text.split(",")[0] for each in self.telegram.chat(CHANNEL))

    def unheard(self) -> int:
        """Return how many messages arrived without an answer."""
        return sum(each.fault == "answer_lost" for each in self.telegram.requests)

    def open_alerts(self) -> list[tuple[str, str]]:
        """Return kind and subject of the open alerts."""
        rows = self.database.execute("select kind, subject from ops.alerts where cleared_at is null").fetchall()
        return [(kind, subject) for kind, subject in rows if kind == "telegram_forbidden"]


@pytest.fixture(params=SEEDS)
def trial(
    request: pytest.FixtureRequest, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Trial]:
    monkeypatch.setattr(poster, "GAP", 0.0)
    monkeypatch.setattr(poster, "A_MINUTE", 100_000)
    with TelegramServer(token=TOKEN, chats=(CHANNEL, OWNER)) as telegram:
        ours = replace(channel_settings(settings, telegram), deals_posts_an_hour=100_000)
        yield Trial(database=database, settings=ours, telegram=telegram, dice=random.Random(request.param))


def run(trial: Trial, faults: list[Fault]) -> None:
    """Queue messages while there are faults, then without faults until no good message waits."""
    for number in range(ROUNDS):
        for _ in range(MESSAGES * 2 // ROUNDS + 1):
            if len(trial.good) + len(trial.bad) < MESSAGES:
                trial.add()
        if number % 3 == 0:
            trial.change()
        trial.round(trial.dice.choice(faults) if trial.dice.random() < 0.8 else None)
    for _ in range(ROUNDS):
        trial.add(is_bad=False)  # what gets through tells what is at fault
        trial.round(None)


def faults_of(trial: Trial) -> Iterator[str]:
    """Yield the messages with a wrong result."""
    rows = trial.database.execute(
        """
        select ads.id, ads.title, told.state, told.error, told.attempts
        from listings as ads inner join notifications as told on ads.id = told.listing_id and told.kind = 'deal'
        order by ads.id
        """
    ).fetchall()
    shown = trial.titles()
    for listing_id, title, state, error, attempts in rows:
        if listing_id in trial.bad:
            if state not in ("failed", "waiting"):
                yield f"{title} is {state}"
        elif state != "sent":
            yield f"{title} is {state} ({error}, {attempts} tries)"
        elif not 1 <= shown[title] <= attempts:
            yield f"{title} was tried {attempts} times and is shown {shown[title]} times"
    if (extra := sum(shown.values()) - len(trial.good)) > trial.unheard():
        yield f"{extra} messages too many, {trial.unheard()} answers were lost"
    prices = trial.database.execute(
        "select ads.title, ads.price_eur::integer from listings as ads where title like 'good %'"
    ).fetchall()
    for title, price in prices:
        texts = [each.text for each in trial.telegram.chat(CHANNEL) if each.text.startswith(f"{title},")]
        if len(texts) == 1 and f"{price:,} €".replace(",", " ") not in texts[0]:
            yield f"{title} costs {price} now: {texts[0]}"
    if found := trial.open_alerts():
        yield f"alerts are open: {found}"


@pytest.mark.timeout(0)
def test_no_deal_is_lost_and_none_is_posted_twice_whatever_telegram_refuses(trial: Trial) -> None:
    run(trial, CHAT + PHOTO)
    assert list(faults_of(trial)) == []
    assert set(trial.titles().values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_when_answers_are_lost_too_each_costs_one_message_too_many_at_most(trial: Trial) -> None:
    run(trial, CHAT + PHOTO + UNHEARD)
    given_up = f", {MOST_TRIES} tries"  # as it is promised, with an alert
    assert [each for each in faults_of(trial) if given_up not in each] == []


@pytest.mark.timeout(0)
def test_a_poster_that_takes_every_refusal_for_the_fault_of_the_message_is_caught(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poster.Poster, "_is_for_good", lambda *_: True)
    run(trial, CHAT + PHOTO)
    assert "is failed (status 400" in "\n".join(faults_of(trial))
