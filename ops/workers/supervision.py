"""The supervisor's decision about each program: pure rules, without a clock, processes or a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ops.workers.holds import Hold
    from ops.workers.log_watch import Position
    from ops.workers.processes import State
    from ops.workers.registry import Program

Action = Literal["leave", "wait", "start", "restart", "terminate", "give_up"]
Trouble = Literal["dead", "failed", "hung"]

DID_ITS_WORK: Final = frozenset({"mostly_failed"})
"""Reasons for an exit code that a restart does not change and the worker did not cause: it completed its work list, and
what failed is due again later. The next cycle begins as usual and does not count towards the limit of restarts."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of the supervisor. Times are in seconds.

    `silence` is VINOPS_WORKER_SILENCE, the one limit after which a program that gave no sign counts as hung: for health
    and the monitor as well, and, as WatchdogSec, for the units. The sign of a crawl is the heartbeat of its run, every
    three seconds while something moves; that of Celery a finished task, about every two seconds.
    """

    silence: float
    cooldown: float
    restarts: int
    cycle_pause: float


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A program in one supervision pass. Times are in seconds ago; None is what is not known or never was.

    `silent` is the age of its heartbeat, `up` and `over` when its process began and ended, `restarts` those within the
    window, `errors` how many new lines of its log are of which kind; the log was read as far as `position`. `alerts`
    are those that the owner knows of, by kind, with the time at which each last applied, in seconds of the epoch.
    """

    program: Program
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
    position: Position | None = None
    alerts: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the program."""
        return self.program.name


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be done about a program, and why. `trouble` is what is wrong with it, if anything."""

    name: str
    action: Action
    text: str
    trouble: Trouble | None = None


def decide(seen: Seen, limits: Limits, *, owns_restarts: bool = True) -> Decision:
    """Return what to do. Where systemd owns restarts, only say what is wrong."""
    if not owns_restarts and seen.state == "running" and seen.silent is None:
        # Between two crawls a unit runs without a run; there its watchdog notices a hang.
        return Decision(name=seen.name, action="leave", text="it runs")
    decision = _decide(seen, limits)
    if owns_restarts or decision.action in ("leave", "wait"):
        return decision
    text = f"{decision.text}; systemd restarts it" if decision.trouble else decision.text
    return Decision(name=seen.name, action="leave", text=text, trouble=decision.trouble)


def _decide(seen: Seen, limits: Limits) -> Decision:
    name = seen.name
    if seen.desired != "running":
        text = "an operator stopped it" if seen.desired else "no operator has started it"
        return Decision(name=name, action="leave", text=text if seen.state != "running" else "it runs, unsupervised")
    if seen.state == "running":
        silent = seen.silent if seen.silent is not None else seen.up
        if silent is not None and silent > limits.silence:
            return _hung(seen, silent)
        return Decision(name=name, action="leave", text="it runs")
    trouble = _trouble(seen)
    text = _end(seen)
    if seen.gave_up:
        return Decision(name=name, action="leave", text=f"{text}; given up")
    if seen.hold is not None:
        return Decision(name=name, action="wait", text=f"{text}; {seen.hold.text}", trouble=trouble)
    if trouble is None:
        if seen.over is not None and seen.over < limits.cycle_pause:
            return Decision(name=name, action="wait", text=f"{text}; the next cycle begins in a moment")
        return Decision(name=name, action="start", text=f"{text}; the next cycle begins")
    if len(seen.restarts) >= limits.restarts:
        text = f"{text}; restarted {len(seen.restarts)} times lately, which is the limit"
        return Decision(name=name, action="give_up", text=text, trouble=trouble)
    if seen.restarts and min(seen.restarts) < limits.cooldown:
        left = limits.cooldown - min(seen.restarts)
        return Decision(name=name, action="wait", text=f"{text}; restarted in {left:.0f} s", trouble=trouble)
    return Decision(name=name, action="restart", text=text, trouble=trouble)


def _hung(seen: Seen, silent: float) -> Decision:
    text = f"PID {seen.pid} runs, and has given no sign for {silent:.0f} s"
    if seen.hold is not None:
        return Decision(name=seen.name, action="wait", text=f"{text}; {seen.hold.text}")
    return Decision(name=seen.name, action="terminate", text=text, trouble="hung")


def _trouble(seen: Seen) -> Trouble | None:
    """Return what is wrong with a program that does not run. One that was stopped, but not by an operator, was hung."""
    if seen.state == "finished" or (seen.state == "failed" and seen.reason in DID_ITS_WORK):
        return None
    if seen.state == "stopped":
        return "hung" if seen.up is not None else "dead"
    return "failed" if seen.state == "failed" else "dead"


def _end(seen: Seen) -> str:
    reason = f", {seen.reason}" if seen.reason else ""
    code = f" (exit code {seen.exit_code}{reason})" if seen.exit_code is not None else ""
    words = {"finished": "it has finished", "failed": "it failed", "stopped": "it was ended", "dead": "it is dead"}
    return f"{words.get(seen.state, seen.state)}{code}"
