"""What the supervisor does about what it sees: rules without a clock, a process or a database of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ops.workers.processes import State

Deed = Literal["leave", "wait", "start", "restart", "terminate", "give_up"]
Reason = Literal["dead", "failed", "hung"]

TOLD_BY_THE_CRAWL: Final = frozenset({"blocked", "login_failed", "layout_changed", "mostly_failed"})
"""Ends for which the crawl itself has raised an alert, with more to say than its exit code has."""

DONE_ALL_THE_SAME: Final = frozenset({"mostly_failed"})
"""Ends with an exit code that no restart does better on, and that say nothing of the worker: it went through its work,
and what failed is due again later. The next cycle begins in its time, and no limit of restarts leaves lots behind."""

PATTERNS: Final[Mapping[str, tuple[str, int]]] = {
    "worker_refused": (r" (?:WARNING|ERROR|CRITICAL) .*(?:\b429\b|blocked|captcha)", 3),
    "worker_login_failed": (r"Login failed", 1),
    "worker_tracebacks": (r"Traceback \(most recent call last\)", 3),
}
"""Kinds of alerts by what lines of a log look like, and how many between two looks are too many."""

MEANINGS: Final[Mapping[str, str]] = {
    "worker_dead": "ended without a word, as after `kill -9` or when memory ran out",
    "worker_failed": "ended with an error",
    "worker_hung": "stood still and had to be ended",
    "worker_gave_up": "ended too often and is not restarted any more: fix what its log says, then "
    "`vinops workers start`, or `vinops celery start`",
    "broker_away": "the broker takes no messages, so no deal is found meanwhile: check it, and CELERY_BROKER_URL",
    "worker_refused": "the log has refusals (429, blocked, captcha)",
    "worker_login_failed": "the log has `Login failed`: check COPART_USERNAME and COPART_PASSWORD",
    "worker_tracebacks": "the log has tracebacks",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is too long and too often. Times are in seconds."""

    silence: float
    cooldown: float
    restarts: int
    cycle_pause: float


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What keeps a crawl from asking anything: `breaker`, `postponed`, `daily_cap` or `elsewhere`, and its words. Of
    Celery `elsewhere`, or `broker`: one that takes no messages is no fault of a process that waits for it."""

    reason: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A worker at one look. Times are in seconds ago; None is what is not known or never was.

    `silent` is the age of its heartbeat, `up` and `over` when its process began and ended, `restarts` those within the
    window, `errors` how many lines of its log are of which kind since the look before.
    """

    name: str
    title: str
    state: State
    desired: Literal["running", "stopped"] | None
    pid: int | None = None
    gave_up: bool = False
    up: float | None = None
    over: float | None = None
    silent: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    restarts: Sequence[float] = ()
    hold: Hold | None = None
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done about a worker, and why. `trouble` is what is wrong with it, if something is."""

    name: str
    deed: Deed
    text: str
    trouble: Reason | None = None


def silence_of_celery(
    *, is_beat: bool, up: float | None, here: float | None, anywhere: float | None, waiting: int, is_rung: bool
) -> float:
    """Return for how many seconds Celery's worker, or beat, has done nothing although there was something to do.

    `here` and `anywhere` are how many seconds ago a worker of this machine, and of any, last did a task; beat sends one
    every two seconds. `waiting` messages are in the broker: that is the worker's fault, and none is beat's. A worker
    whose queues are gone from the broker has none either, so it counts as silent, too, while a beat runs (`is_rung`).
    """
    began = float("inf") if up is None else up
    if is_beat:
        return 0.0 if waiting else min(began, float("inf") if anywhere is None else anywhere)
    return min(began, float("inf") if here is None else here) if waiting or is_rung else 0.0


def decide(seen: Seen, limits: Limits, *, owns_restarts: bool = True) -> Decision:
    """Return what to do. Who does not own restarts only says what is wrong."""
    if not owns_restarts and seen.state == "running" and seen.silent is None:
        # Between two crawls a unit runs without one; its watchdog is what catches it there.
        return Decision(name=seen.name, deed="leave", text="it runs")
    decision = _decide(seen, limits)
    if owns_restarts or decision.deed in ("leave", "wait"):
        return decision
    text = f"{decision.text}; systemd restarts it" if decision.trouble else decision.text
    return Decision(name=seen.name, deed="leave", text=text, trouble=decision.trouble)


def _decide(seen: Seen, limits: Limits) -> Decision:
    name = seen.name
    if seen.desired != "running":
        said = "an operator stopped it" if seen.desired else "nobody has started it"
        return Decision(name=name, deed="leave", text=said if seen.state != "running" else "it runs, not watched over")
    if seen.state == "running":
        silent = seen.silent if seen.silent is not None else seen.up
        if silent is not None and silent > limits.silence:
            return _hung(seen, silent)
        return Decision(name=name, deed="leave", text="it runs")
    trouble = _trouble(seen)
    said = _end(seen)
    if seen.gave_up:
        return Decision(name=name, deed="leave", text=f"{said}; given up")
    if seen.hold is not None:
        return Decision(name=name, deed="wait", text=f"{said}; {seen.hold.text}", trouble=trouble)
    if trouble is None:
        if seen.over is not None and seen.over < limits.cycle_pause:
            return Decision(name=name, deed="wait", text=f"{said}; the next cycle begins in a moment")
        return Decision(name=name, deed="start", text=f"{said}; the next cycle begins")
    if len(seen.restarts) >= limits.restarts:
        text = f"{said}; restarted {len(seen.restarts)} times lately, which is enough"
        return Decision(name=name, deed="give_up", text=text, trouble=trouble)
    if seen.restarts and min(seen.restarts) < limits.cooldown:
        left = limits.cooldown - min(seen.restarts)
        return Decision(name=name, deed="wait", text=f"{said}; restarted in {left:.0f} s", trouble=trouble)
    return Decision(name=name, deed="restart", text=said, trouble=trouble)


def _hung(seen: Seen, silent: float) -> Decision:
    said = f"PID {seen.pid} runs, and has not been heard of for {silent:.0f} s"
    if seen.hold is not None:
        return Decision(name=seen.name, deed="wait", text=f"{said}; {seen.hold.text}")
    return Decision(name=seen.name, deed="terminate", text=said, trouble="hung")


def _trouble(seen: Seen) -> Reason | None:
    """Return what is wrong with a worker that does not run. One that was stopped, and not by an operator, was hung."""
    if seen.state == "finished" or (seen.state == "failed" and seen.reason in DONE_ALL_THE_SAME):
        return None
    if seen.state == "stopped":
        return "hung" if seen.up is not None else "dead"
    return "failed" if seen.state == "failed" else "dead"


def _end(seen: Seen) -> str:
    reason = f", {seen.reason}" if seen.reason else ""
    code = f" (exit code {seen.exit_code}{reason})" if seen.exit_code is not None else ""
    words = {"finished": "it has finished", "failed": "it failed", "stopped": "it was ended", "dead": "it is dead"}
    return f"{words.get(seen.state, seen.state)}{code}"


def shows(seen: Seen, decision: Decision) -> set[str]:
    """Return the kinds of alerts that a worker gives reason for at this look."""
    if seen.desired == "stopped":
        return set()
    found = {kind for kind, (_, most) in PATTERNS.items() if seen.errors.get(kind, 0) >= most}
    if seen.gave_up or decision.deed == "give_up":
        found.add("worker_gave_up")
    elif decision.trouble and not (decision.trouble == "failed" and seen.reason in TOLD_BY_THE_CRAWL):
        found.add(f"worker_{decision.trouble}")
    if seen.hold is not None and seen.hold.reason == "broker":
        found.add("broker_away")
    return found


Memory = dict[str, float]
"""The troubles of a worker that the owner knows of: kind, and when it last showed, in seconds of the epoch."""


def remember(before: Memory, showing: set[str], seen: Seen, *, now: float, quiet: float) -> Memory:
    """Return the memory after a look. A trouble has passed when it has not shown for `quiet` seconds, or when an
    operator stopped the worker."""
    if seen.desired == "stopped":
        return {}
    kept = {kind: at for kind, at in before.items() if now - at < quiet}
    return {**kept, **dict.fromkeys(showing, now)}


@dataclass(frozen=True, kw_only=True)
class News:
    """What the owner is told in one message: that workers are in trouble, or that their trouble has passed."""

    kind: str
    names: tuple[str, ...]
    is_over: bool


def news(before: Mapping[str, Memory], after: Mapping[str, Memory]) -> list[News]:
    """Return what is to be told: a kind again when one more worker has it, its end when the last one is rid of it."""
    told: list[News] = []
    for kind in MEANINGS:
        had = {name for name, memory in before.items() if kind in memory}
        have = {name for name, memory in after.items() if kind in memory}
        if have - had:
            told.append(News(kind=kind, names=tuple(sorted(have)), is_over=False))
        elif had and not have:
            told.append(News(kind=kind, names=tuple(sorted(had)), is_over=True))
    return told
