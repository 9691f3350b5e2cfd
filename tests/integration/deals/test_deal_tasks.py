"""The Celery tasks when the database goes away, and the scheduled tasks: nothing is lost with a message."""

from __future__ import annotations

import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from kombu.exceptions import OperationalError

from deals import alarms, schedule, tasks
from deals.channel import post as channel
from deals.estimate import model as price_model
from deals.landed import rates
from deals.offers import passes
from deals.queue import runner
from deals.stages import score as scoring
from deals.stages.registry import ALL_STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

    from vinops.config import Settings

# Celery 5.7 would have queues in one setting, apart from the tasks that go there.
pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")

NIGHT = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _this_process(
    database: Connection[Any], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Make this process a worker with the settings of the test; no scheduled task is due at any time of day."""
    database.execute("update ops.scheduled_tasks set done_at = clock_timestamp() + interval '30 minutes'")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tasks, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setenv("ECB_RATES_URL", "http://127.0.0.1:9/eurofxref-daily.xml")  # nobody answers there
    yield
    for each in tasks._open:
        each.close()
    tasks._open.clear()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that are sent to workers."""
    found: list[str] = []
    for each in (tasks.notify, *tasks.STAGE_TASKS.values(), *tasks.SCHEDULED_TASKS.values()):
        monkeypatch.setattr(each, "apply_async", lambda *_, name=each.name, **__: found.append(name))
    return found


def cut(database: Connection[Any]) -> None:
    """Close the connections of the workers, as a restart of PostgreSQL does."""
    database.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'celery deals'")


# Each task: the function that it calls, and the task's arguments.
WORK: dict[str, tuple[Any, str, tuple[Any, ...]]] = {
    "sweep": (runner, "give_up", ()),
    "notify": (channel, "post", ()),
    "demand": (scoring, "refresh_demand", ()),
    "train": (price_model, "train", ()),
    "rescore": (runner, "requeue_all", ()),
    "measure": (price_model, "measure_by_time", ()),
    "train_lots": (price_model, "train", ()),
    "exchange_rate": (rates, "refresh", ()),
    "watch_over": (alarms, "watch", ()),
    "lots": (passes, "queue_changed", ()),
    "value_lots": (passes, "renew", ()),
    **dict.fromkeys(ALL_STAGES, (runner, "run", ([1],))),
}


@pytest.mark.parametrize("when", ["before", "in the middle"])
@pytest.mark.parametrize("name", WORK)
def test_each_task_tries_again_when_its_connection_is_cut(
    name: str,
    when: str,
    database: Connection[Any],
    sent: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    module, function, arguments = WORK[name]
    real: Callable[..., Any] = getattr(module, function)
    calls: list[str] = []

    def counted(connection: Connection[Any], *others: Any, **more: Any) -> Any:
        calls.append(name)
        if when == "in the middle" and len(calls) == 1:
            cut(database)
        return real(connection, *others, **more)

    monkeypatch.setattr(module, function, counted)
    if when == "before":
        tasks.connection()
        cut(database)
    with caplog.at_level(logging.WARNING, "deals"):
        (tasks.STAGE_TASKS.get(name) or getattr(tasks, name))(*arguments)
    said = [each for each in caplog.records if each.name == "deals" and "no new exchange rate" not in each.getMessage()]
    if when == "before":
        assert (len(calls), said) == (1, []), "the connection was replaced before the work began"
    else:
        assert len(calls) == 2, "it was tried again, and came to its end"
        assert said[0].getMessage().startswith("the connection to the database was lost task=")
        assert [each.exc_info for each in said] == [None], "one line, and no traceback"
    row = database.execute("select machine, now() - done_at < interval '1 minute' from ops.task_progress").fetchone()
    assert row == (socket.gethostname(), True)


def test_a_task_whose_database_stays_away_ends_and_is_sent_again(
    database: Connection[Any], sent: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def never(connection: Connection[Any], _: object) -> None:
        cut(database)
        connection.execute("select 1")

    monkeypatch.setattr(price_model, "train", never)
    database.execute("update ops.scheduled_tasks set done_at = now() - interval '25 hours' where task = 'train'")
    tasks.sweep()
    assert sent == ["deals.train"]
    tasks.train()
    assert "the database is still unavailable task=train: the sweep sends it again" in caplog.text
    tasks.sweep()
    assert sent == ["deals.train"], "not again at once"
    database.execute("update ops.scheduled_tasks set rung_at = rung_at - interval '16 minutes'")
    tasks.sweep()
    assert sent == ["deals.train"] * 2


def test_an_error_of_the_task_itself_is_raised(database: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "give_up", lambda connection: connection.execute("select 1 / 0"))
    with pytest.raises(psycopg.errors.DivisionByZero):
        tasks.sweep()


# Scheduled tasks.


@pytest.mark.parametrize(
    ("task", "done", "now", "is_due"),
    [
        ("train", timedelta(days=-1, minutes=32), timedelta(minutes=29), False),
        ("train", timedelta(days=-1, minutes=32), timedelta(minutes=31), True),
        ("train", timedelta(minutes=32), timedelta(hours=23), False),
        ("train", timedelta(days=-9), timedelta(hours=12), True),
        ("rescore", timedelta(hours=-2), timedelta(minutes=89), False),
        ("rescore", timedelta(hours=-2), timedelta(minutes=91), True),
        ("demand", timedelta(minutes=8), timedelta(minutes=66), False),
        ("demand", timedelta(minutes=8), timedelta(minutes=68), True),
    ],
)
def test_a_task_is_due_when_its_time_has_come_since_it_was_done(
    task: str, done: timedelta, now: timedelta, is_due: bool
) -> None:
    assert schedule.is_due(task, done_at=NIGHT + done, now=NIGHT + now) is is_due


def test_after_a_night_without_a_worker_each_task_is_sent_once(database: Connection[Any], sent: list[str]) -> None:
    tasks.sweep()
    assert sent == [], "a new database has missed nothing"
    database.execute("update ops.scheduled_tasks set done_at = done_at - interval '25 hours'")
    tasks.sweep()
    tasks.sweep()
    names = ("demand", "exchange_rate", "market", "measure", "rescore", "train", "train_lots", "value_lots")
    assert sorted(sent) == [f"deals.{name}" for name in names]
    for each in tasks.SCHEDULED_TASKS.values():
        each()
    database.execute("update ops.scheduled_tasks set rung_at = null")
    tasks.sweep()
    assert len(sent) == len(names)


def test_every_scheduled_task_has_a_time_and_a_row(database: Connection[Any]) -> None:
    rows = database.execute("select task from ops.scheduled_tasks").fetchall()
    assert {task for (task,) in rows} == set(schedule.TIMES) == set(tasks.SCHEDULED_TASKS)


def test_a_broker_that_is_away_does_not_end_a_sweep(
    database: Connection[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("OOM")

    database.execute("update ops.scheduled_tasks set done_at = done_at - interval '25 hours'")
    for each in tasks.SCHEDULED_TASKS.values():
        monkeypatch.setattr(each, "apply_async", refuse)
    tasks.sweep()
    assert caplog.text.count("the broker is unavailable") == len(schedule.TIMES)
    assert database.execute("select count(*) from ops.task_progress").fetchone() == (1,)


def test_progress_is_written_every_ten_seconds_at_the_most(database: Connection[Any], settings: Settings) -> None:
    del settings
    versions = set()
    for _ in range(3):
        tasks.sweep()
        versions.add(database.execute("select xmin::text from ops.task_progress").fetchone())
    assert len(versions) == 1


def test_what_an_operator_must_allow_is_one_line_and_no_failure_of_the_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise psycopg.errors.InsufficientPrivilege("permission denied for table ads")

    monkeypatch.setattr(runner, "requeue_all", refused)
    tasks.rescore()
    (event,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert event.exc_info is None
    assert event.getMessage().startswith("a task failed task=rescore: the database refused a statement (permission")
    assert "deploy/sql/grants.sql" in event.getMessage()
