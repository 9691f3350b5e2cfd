"""The database server, a session of it, and Redis die under the alerts while the bot reads and sends and a worker
matches; and the process that matches. All go on by themselves: no update is lost or applied twice, no message is lost,
and each death costs at most one message too many.

Twenty deaths in each phase: of reading updates, of matching, and of sending; and twenty of Redis.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from standin.telegram.server import TelegramServer
from tests.crash.watch_world import BACKEND, REDIS, RESTART, SELF, SERVER, Alerts
from tests.support.brokers import WITHOUT_REDIS, available, broker
from tests.support.watching import TOKEN
from vinops.config import Settings
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.crash.killing import Kills

pytestmark = pytest.mark.slow

A_PHASE = 20
LEAST = 5 * A_PHASE
RECEIVING = (
    "take_update before",
    "take_update after",
    "person_of_chat after",
    "watches_of after",
    "delete_watch before",
    "delete_watch after",
    "insert_watch before",
    "insert_watch after",
    "begin_watch after",
    "match after",
    "remove_draft before",
    "add_draft before",
    "add_draft after",
    "add_reply before",
    "add_reply after",
    "commit-add_reply before",
    "commit-add_reply after",
    "answer-answerCallbackQuery before",
    "answer-answerCallbackQuery after",
    "last_update before",
)
SENDING = (
    "new_hits before",
    "new_hits after",
    "after_outage after",
    "add_hit_messages before",
    "add_hit_messages after",
    "settle_hits before",
    "settle_hits after",
    "commit-settle_hits before",
    "commit-settle_hits after",
    "car_facts after",
    "watches_for after",
    "record_try before",
    "record_try after",
    "commit-record_try before",
    "commit-record_try after",
    "answer-sendMessage before",
    "answer-sendMessage after",
    "settle_try before",
    "settle_try after",
    "show_change after",
)
MATCHING = ("match-read before", "match-read after", "match-work after", "match-write before", "match-write after")
REDIS_DIES = (
    *("announce after", "wake before", "wake after", "take before", "take after", "held after", "finish after"),
    *("run after", "match-read after", "match-work after", "match-write before", "match-write after"),
    *("take_update after", "commit-add_reply after", "new_hits after", "add_hit_messages before", "record_try after"),
    *("answer-sendMessage after", "settle_try before", "settle_try after"),
)


@pytest.fixture
def alerts(open_folder: Path, tmp_path: Path, module_kills: Kills) -> Iterator[Callable[..., Alerts]]:
    """Make the alerts with their own servers; what is broken may be named. With Redis if it is installed."""
    made: list[Alerts] = []
    settings = Settings(data_dir=open_folder / "data", embedded_linger=1)
    with db.connect(settings, application="tests", autocommit=True) as connection:
        connection.execute("alter system set fsync = off")  # no process that is killed loses what the kernel has
    data = tmp_path / "data"
    data.mkdir()
    with (
        broker("redis" if available("redis") else "embedded", data) as found,
        TelegramServer(token=TOKEN) as telegram,
    ):

        def make(*, is_matching: bool = True, **broken: str) -> Alerts:
            alerts = Alerts(
                settings=settings, broker=found, telegram=telegram, folder=tmp_path, kills=module_kills, **broken
            )
            made.append(alerts)
            alerts.start(is_matching=is_matching)
            return alerts

        yield make
        for each in made:
            each.end()


def judged(alerts: Alerts) -> None:
    """Fail with what was wrong."""
    assert not alerts.faults, "\n".join(alerts.faults)


@pytest.mark.quick
def test_a_bot_goes_on_after_its_server_was_killed_or_restarted(alerts: Callable[..., Alerts]) -> None:
    running = alerts(is_matching=False)
    for event, victim in (
        ("take_update after", BACKEND),
        ("commit-add_reply before", SERVER),
        ("settle_try before", RESTART),
    ):
        running.kill(event, victim, is_matching=False)
    judged(running)
    assert running.said("watch_live.py").count("the database does not answer") >= 3


@pytest.mark.timeout(0)
@pytest.mark.parametrize("events", [RECEIVING, SENDING], ids=["receiving", "sending"])
def test_servers_killed_under_the_bot_cost_nothing(alerts: Callable[..., Alerts], events: tuple[str, ...]) -> None:
    running = alerts()
    assert len(events) == A_PHASE
    running.kill("take_update after", BACKEND)  # a first round has no draft and no watch to delete
    for event, victim in zip(events, cycle((BACKEND, SERVER, RESTART)), strict=False):
        running.kill(event, victim)
    judged(running)


@pytest.mark.timeout(0)
def test_servers_and_workers_killed_under_the_matcher_cost_nothing(alerts: Callable[..., Alerts]) -> None:
    running = alerts()
    for event in MATCHING:
        for victim in (SELF, BACKEND, SERVER, RESTART):
            running.kill(event, victim)
    judged(running)


@pytest.mark.timeout(0)
@pytest.mark.skipif(not available("redis"), reason=WITHOUT_REDIS)
def test_a_redis_killed_under_the_alerts_costs_nothing(alerts: Callable[..., Alerts]) -> None:
    running = alerts()
    assert len(REDIS_DIES) == A_PHASE
    for event in REDIS_DIES:
        running.kill(event, REDIS)
    judged(running)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("broken", "event", "caught"),
    [
        ("confirmed_before_it_is_applied", "add_draft before", "answers were recorded"),
        ("never_recovers", "settle_try before", "left behind"),
        ("gives_up", "take_update after", "the bot has ended"),
    ],
)
def test_a_broken_bot_is_caught(alerts: Callable[..., Alerts], broken: str, event: str, caught: str) -> None:
    running = alerts(is_matching=False, broken_bot=broken, patience=5.0)
    running.kill(event, BACKEND, is_matching=False)
    assert caught in "\n".join(running.faults)


def test_a_broken_matcher_is_caught(alerts: Callable[..., Alerts]) -> None:
    running = alerts(broken_worker="finish_first", patience=30.0)
    running.kill("match-write before", BACKEND)
    assert "was not found by the watch" in "\n".join(running.faults)


@pytest.mark.skipif(not available("redis"), reason=WITHOUT_REDIS)
def test_a_worker_that_relies_on_redis_is_caught(alerts: Callable[..., Alerts]) -> None:
    running = alerts(broken_worker="announced_once", patience=15.0)
    running.kill("announce after", REDIS)
    assert "left behind" in "\n".join(running.faults)
