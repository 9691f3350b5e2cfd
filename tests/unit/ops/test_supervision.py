"""What the supervisor does about what it sees, rule by rule, and what it tells the owner."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ops.workers import log_watch
from ops.workers.celery import silence
from ops.workers.holds import Hold
from ops.workers.log_watch import Position, new_lines
from ops.workers.registry import Program
from ops.workers.supervision import Decision, Limits, Seen, decide
from ops.workers.troubles import MEANINGS, PATTERNS, News, applying, news, shows

PROGRAM = Program(
    name="1", key="worker_1", title="Worker 1", command=(), log=Path("worker_1.log"), unit="worker.service"
)
LIMITS = Limits(silence=300, cooldown=300, restarts=10, cycle_pause=60)
BREAKER = Hold(reason="breaker", text="it refuses")
BROKER = Hold(reason="broker", text="it takes no messages")
OFTEN = tuple(400.0 + 2000 * number for number in range(10))


def seen(**values: Any) -> Seen:
    """A worker that runs well, but for what is said."""
    return Seen(
        **{
            "program": PROGRAM,
            "state": "running",
            "desired": "running",
            "pid": 7,
            "up": 1000.0,
            "silent": 2.0,
            **values,
        }
    )


def ended(state: str, **values: Any) -> Seen:
    """A worker that ended a second ago."""
    return seen(state=state, **{"pid": None, "over": 1.0, **values})


@pytest.mark.parametrize(
    ("worker", "action", "trouble"),
    [
        # what runs
        (seen(), "leave", None),
        (seen(silent=300.0), "leave", None),
        (seen(silent=301.0), "terminate", "hung"),
        (seen(silent=None, up=299.0), "leave", None),
        (seen(silent=None, up=301.0), "terminate", "hung"),
        (seen(silent=301.0, restarts=(1.0,) * 10), "terminate", "hung"),
        # whose is it
        (seen(silent=9999.0, desired="stopped"), "leave", None),
        (seen(silent=9999.0, desired=None), "leave", None),
        (ended("stopped", desired="stopped"), "leave", None),
        (ended("dead", desired="stopped"), "leave", None),
        (ended("dead", desired=None), "leave", None),
        # the next cycle
        (ended("finished", exit_code=0, over=59.0), "wait", None),
        (ended("finished", exit_code=0, over=61.0), "start", None),
        (ended("finished", exit_code=0, over=61.0, restarts=(1.0,) * 10), "start", None),
        (ended("finished", exit_code=0, over=61.0, hold=BREAKER), "wait", None),
        (ended("finished", exit_code=0, over=61.0, gave_up=True), "leave", None),
        # the cooldown
        (ended("dead"), "restart", "dead"),
        (ended("dead", restarts=(299.0,)), "wait", "dead"),
        (ended("dead", restarts=(301.0,)), "restart", "dead"),
        (ended("dead", restarts=(9000.0, 299.0)), "wait", "dead"),
        (ended("failed", exit_code=1), "restart", "failed"),
        (ended("failed", exit_code=1, restarts=(299.0,)), "wait", "failed"),
        (ended("failed", exit_code=1, reason="mostly_failed", over=61.0, restarts=OFTEN), "start", None),
        (ended("dead", reason="mostly_failed", restarts=OFTEN), "give_up", "dead"),
        # ended by a supervisor that died before it started it again; or never started on this data folder
        (ended("stopped"), "restart", "hung"),
        (ended("stopped", up=None, over=None), "restart", "dead"),
        # the cap
        (ended("dead", restarts=OFTEN[:9]), "restart", "dead"),
        (ended("dead", restarts=OFTEN), "give_up", "dead"),
        (ended("failed", exit_code=1, restarts=(*OFTEN[1:], 1.0)), "give_up", "failed"),
        (ended("dead", restarts=OFTEN, gave_up=True), "leave", None),
        # Celery, whose broker takes no messages
        (seen(silent=301.0, hold=BROKER), "wait", None),
        (seen(silent=2.0, hold=BROKER), "leave", None),
        (ended("failed", exit_code=1, hold=BROKER), "wait", "failed"),
        # an open breaker, before all of it
        (ended("failed", exit_code=1, reason="blocked", hold=BREAKER), "wait", "failed"),
        (ended("dead", restarts=OFTEN, hold=BREAKER), "wait", "dead"),
    ],
)
def test_each_rule(worker: Seen, action: str, trouble: str | None) -> None:
    decision = decide(worker, LIMITS)
    assert (decision.action, decision.trouble) == (action, trouble), decision.text


@pytest.mark.parametrize(
    "worker", [ended("dead"), ended("finished", over=99.0), seen(silent=999.0), ended("dead", restarts=OFTEN)]
)
def test_who_does_not_own_restarts_only_says_what_is_wrong(worker: Seen) -> None:
    owned = decide(worker, LIMITS)
    watched = decide(worker, LIMITS, owns_restarts=False)
    assert owned.action in ("restart", "start", "terminate", "give_up")
    assert (watched.action, watched.trouble) == ("leave", owned.trouble)


def simulate(*, dies_every: float, hours: float, every: float = 60.0) -> list[str]:
    """What is done about a worker that dies so many seconds after each start, by a clock of our own."""
    actions, restarts = [], list[float]()
    began, gave_up, now = 0.0, False, 0.0
    while now < hours * 3600:
        now += every
        is_dead = now - began >= dies_every
        state = "dead" if is_dead else "running"
        worker = seen(state=state, gave_up=gave_up, restarts=[now - at for at in restarts if now - at < 6 * 3600])
        action = decide(worker, LIMITS).action
        actions.append(action)
        if action == "restart":
            restarts.append(now)
            began = now
        gave_up |= action == "give_up"
    return actions


def test_a_worker_that_dies_at_once_is_restarted_ten_times_and_not_more_often_than_every_five_minutes() -> None:
    actions = simulate(dies_every=1.0, hours=6)
    assert actions.count("restart") == 10
    assert actions.count("give_up") == 1
    starts = [number for number, action in enumerate(actions) if action == "restart"]
    assert starts[0] == 0, "the first one at once"
    assert {after - before for before, after in pairwise(starts)} == {5}
    assert set(actions[actions.index("give_up") + 1 :]) == {"leave"}


def test_a_worker_that_dies_now_and_then_is_restarted_for_ever() -> None:
    actions = simulate(dies_every=2400.0, hours=24)
    assert "give_up" not in actions
    assert actions.count("restart") == 36


# What the owner is told.


@pytest.mark.parametrize(
    ("worker", "kinds"),
    [
        (seen(), set()),
        (ended("dead"), {"worker_dead"}),
        (ended("dead", restarts=(10.0,)), {"worker_dead"}),
        (seen(silent=400.0), {"worker_hung"}),
        (ended("failed", exit_code=1, reason="incomplete"), {"worker_failed"}),
        (ended("failed", exit_code=1, reason="blocked", hold=BREAKER), set()),
        (ended("failed", exit_code=1, reason="login_failed"), set()),
        (ended("failed", exit_code=1, reason="mostly_failed"), set()),
        (ended("dead", restarts=OFTEN), {"worker_gave_up"}),
        (ended("dead", gave_up=True), {"worker_gave_up"}),
        (ended("finished", exit_code=0), set()),
        (seen(errors={"worker_refused": 2}), set()),
        (seen(errors={"worker_refused": 3}), {"worker_refused"}),
        (seen(errors={"worker_login_failed": 1, "worker_tracebacks": 3}), {"worker_login_failed", "worker_tracebacks"}),
        (seen(desired="stopped", errors={"worker_refused": 9}), set()),
        (seen(silent=400.0, hold=BROKER), {"broker_away"}),
        (ended("failed", exit_code=1, hold=BROKER), {"broker_away", "worker_failed"}),
    ],
)
def test_what_gives_reason_for_an_alert(worker: Seen, kinds: set[str]) -> None:
    assert shows(worker, decide(worker, LIMITS)) == kinds
    assert kinds <= set(MEANINGS)


@pytest.mark.parametrize(
    ("about", "worker", "beat"),
    [
        # at work: the last task was done a moment ago
        ({}, 1.0, 1.0),
        # messages wait: the worker does not take them, and beat sends them
        ({"here": 900.0, "anywhere": 900.0, "waiting": 450}, 900.0, 0.0),
        # the other machine's worker does all of the work
        ({"here": 900.0, "waiting": 3}, 900.0, 0.0),
        # nothing waits: beat sends nothing, or the worker's queues are gone from the broker
        ({"here": 900.0, "anywhere": 900.0}, 900.0, 900.0),
        # nothing waits and no beat runs here: no fault of the worker
        ({"here": 900.0, "anywhere": 900.0, "beat_runs": False}, 0.0, 900.0),
        # it was started a moment ago, and before that nothing ran for an hour
        ({"up": 5.0, "here": 3600.0, "anywhere": 3600.0, "waiting": 9}, 5.0, 0.0),
        # it has never done a task
        ({"here": None, "anywhere": None, "waiting": 9}, 1000.0, 0.0),
        ({"here": None, "anywhere": None}, 1000.0, 1000.0),
    ],
)
def test_for_how_long_celery_has_done_nothing_though_it_could(
    about: dict[str, Any], worker: float, beat: float
) -> None:
    values = {"up": 1000.0, "here": 1.0, "anywhere": 1.0, "waiting": 0, "beat_runs": True, **about}
    assert silence(is_beat=False, **values) == worker
    assert silence(is_beat=True, **values) == beat


def test_a_trouble_passes_when_it_has_not_shown_for_a_while_or_an_operator_stops_the_worker() -> None:
    dead = decide(ended("dead"), LIMITS)
    alerts = applying(ended("dead"), dead, now=1000.0, quiet=300.0)
    assert alerts == {"worker_dead": 1000.0}
    well = decide(seen(), LIMITS)
    assert applying(seen(alerts=alerts), well, now=1299.0, quiet=300.0) == alerts
    assert applying(ended("dead", alerts=alerts), dead, now=1200.0, quiet=300.0) == {"worker_dead": 1200.0}
    assert applying(seen(alerts=alerts), well, now=1300.0, quiet=300.0) == {}
    assert applying(seen(alerts=alerts, desired="stopped"), well, now=1001.0, quiet=300.0) == {}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "", []),
        ("", "1", [("1", False)]),
        ("", "124", [("124", False)]),
        ("1", "1", []),
        ("1", "12", [("12", False)]),
        ("12", "1", []),
        ("12", "", [("12", True)]),
        ("12", "3", [("3", False)]),
    ],
)
def test_several_workers_with_one_trouble_are_one_message(
    before: str, after: str, told: list[tuple[str, bool]]
) -> None:
    def memories(having: str) -> dict[str, dict[str, float]]:
        return {name: {"worker_dead": 1.0} if name in having else {} for name in "1234"}

    assert news(memories(before), memories(after)) == [
        News(kind="worker_dead", names=tuple(names), is_over=is_over) for names, is_over in told
    ]


def test_troubles_of_different_kinds_are_told_apart() -> None:
    told = news({}, {"1": {"worker_dead": 1.0}, "2": {"worker_hung": 1.0}})
    assert [(each.kind, each.names) for each in told] == [("worker_dead", ("1",)), ("worker_hung", ("2",))]


# What a log says.


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("2026-11-23T07:10:00Z WARNING refusals: status 429 host=www.mobile.bg", {"worker_refused"}),
        ("2026-11-23T07:10:00Z ERROR alerts: alert blocked www.mobile.bg: …", {"worker_refused"}),
        ("2026-11-23T07:10:00Z WARNING browser: a captcha is shown", {"worker_refused"}),
        ("2026-11-23T07:10:00Z INFO market: Scraped: bmw page 3 of 429 INSERT 20 UPDATE 0", set()),
        ("2026-11-23T07:10:00Z WARNING market: gone ad=21429000000000017", set()),
        ("2026-11-23T07:10:00Z ERROR sessions: Login failed: wrong password", {"worker_login_failed"}),
        ("    Traceback (most recent call last):", {"worker_tracebacks"}),
    ],
)
def test_which_lines_are_errors(line: str, kinds: set[str]) -> None:
    assert {kind for kind, count in log_watch.count([line], PATTERNS).items() if count} == kinds
    assert all(re.compile(pattern) for pattern, _ in PATTERNS.values())


def test_a_log_is_read_once_from_where_it_was_left(tmp_path: Path) -> None:
    log = tmp_path / "worker_1.log"
    assert new_lines(log, Position()) == ([], Position())
    log.write_text("old\n")
    lines, position = new_lines(log, Position())
    assert lines == [], "what was there before the first pass is old"
    with log.open("a") as file:
        file.write("one\ntwo\nhal")
    lines, position = new_lines(log, position)
    assert lines == ["one", "two"]
    with log.open("a") as file:
        file.write("f\n")
    lines, position = new_lines(log, position)
    assert lines == ["half"]
    assert new_lines(log, position)[0] == []


def test_a_log_that_was_rotated_or_cut_is_read_on(tmp_path: Path) -> None:
    log = tmp_path / "worker_1.log"
    log.write_text("old\n")
    _, position = new_lines(log, Position())
    with log.open("a") as file:
        file.write("before\n")
    log.replace(tmp_path / "worker_1.log.1")
    log.write_text("after\n")
    lines, position = new_lines(log, position)
    assert lines == ["before", "after"]
    log.write_text("new\n")
    assert log.stat().st_size < (position.offset or 0)
    assert new_lines(log, position)[0] == ["new"]


def test_a_decision_is_a_value() -> None:
    assert decide(seen(), LIMITS) == Decision(name="1", action="leave", text="it runs")


def test_under_systemd_a_unit_that_is_between_two_crawls_is_not_taken_for_hung() -> None:
    between = seen(silent=None, up=9999.0)
    assert decide(between, LIMITS, owns_restarts=False).trouble is None
    assert decide(between, LIMITS).trouble == "hung"
    assert decide(seen(silent=301.0), LIMITS, owns_restarts=False).trouble == "hung"
