"""The alerts of the supervisor: which kinds apply to a program, and when a message to the owner is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ops.workers.supervision import Decision, Seen

TOLD_BY_THE_CRAWL: Final = frozenset({"blocked", "login_failed", "layout_changed", "mostly_failed"})
"""Reasons of a run's end for which the crawl itself raised an alert that says more than an exit code."""

PATTERNS: Final[Mapping[str, tuple[str, int]]] = {
    "worker_refused": (r" (?:WARNING|ERROR|CRITICAL) .*(?:\b429\b|blocked|captcha)", 3),
    "worker_login_failed": (r"Login failed", 1),
    "worker_tracebacks": (r"Traceback \(most recent call last\)", 3),
}
"""Kinds of alerts by a pattern of log lines, and how many of them between two passes are too many."""

CELERY_PATTERNS: Final = {"worker_tracebacks": PATTERNS["worker_tracebacks"]}
"""The kinds that apply to Celery: refusals concern crawls only, and a 429 of Telegram is handled by waiting."""

MEANINGS: Final[Mapping[str, str]] = {
    "worker_dead": "ended without an exit code of its own, as after `kill -9` or when memory ran out",
    "worker_failed": "ended with an error",
    "worker_hung": "made no progress and had to be ended",
    "worker_gave_up": "ended too often and is no longer restarted: fix what its log says, then "
    "`vinops workers start`, or `vinops celery start`",
    "broker_away": "the broker takes no messages, so no deal is found meanwhile: check it, and CELERY_BROKER_URL",
    "worker_refused": "the log has refusals (429, blocked, captcha)",
    "worker_login_failed": "the log has `Login failed`: check COPART_USERNAME and COPART_PASSWORD",
    "worker_tracebacks": "the log has tracebacks",
}


def shows(seen: Seen, decision: Decision) -> set[str]:
    """Return the kinds of alerts that apply to a program in this pass."""
    if seen.desired == "stopped":
        return set()
    found = {kind for kind, (_, most) in PATTERNS.items() if seen.errors.get(kind, 0) >= most}
    if seen.gave_up or decision.action == "give_up":
        found.add("worker_gave_up")
    elif decision.trouble and not (decision.trouble == "failed" and seen.reason in TOLD_BY_THE_CRAWL):
        found.add(f"worker_{decision.trouble}")
    if seen.hold is not None and seen.hold.reason == "broker":
        found.add("broker_away")
    return found


def applying(seen: Seen, decision: Decision, *, now: float, quiet: float) -> dict[str, float]:
    """Return the alerts of a program after a pass: those of before and those that it shows. One is over when it has not
    applied for `quiet` seconds, or when an operator stopped the program."""
    if seen.desired == "stopped":
        return {}
    kept = {kind: at for kind, at in seen.alerts.items() if now - at < quiet}
    return {**kept, **dict.fromkeys(shows(seen, decision), now)}


@dataclass(frozen=True, kw_only=True)
class News:
    """One message to the owner: programs with the same alert, or that the alert is over."""

    kind: str
    names: tuple[str, ...]
    is_over: bool


def news(before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]) -> list[News]:
    """Return the messages due: a kind again when one more program has it, its end when no program has it."""
    due: list[News] = []
    for kind in MEANINGS:
        had = {name for name, alerts in before.items() if kind in alerts}
        have = {name for name, alerts in after.items() if kind in alerts}
        if have - had:
            due.append(News(kind=kind, names=tuple(sorted(have)), is_over=False))
        elif had and not have:
            due.append(News(kind=kind, names=tuple(sorted(had)), is_over=True))
    return due
