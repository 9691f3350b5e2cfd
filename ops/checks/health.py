"""All checks of `vinops health`, run on one snapshot: the findings, their summary, and the exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ops.checks import machine, pipelines
from vinops.checks import Finding, Level, critical
from vinops.text import figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.observe.snapshot import Snapshot

CHECKS: Final = {**pipelines.CHECKS, **machine.CHECKS}
PARTS: Final = frozenset(part for check in CHECKS.values() for part in check.reads)
"""The parts of a snapshot that the checks read."""
NAME: Final = max(map(len, CHECKS))
EXIT: Final = {Level.OK: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.UNKNOWN: 3}
SEVERITY: Final = (Level.OK, Level.WARNING, Level.UNKNOWN, Level.CRITICAL)
"""What is known to be critical outweighs what is unknown, which outweighs a warning."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """The findings of all checks, in a fixed order."""

    at: datetime
    lines: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The most severe level."""
        return max((line.level for line in self.lines), key=SEVERITY.index, default=Level.UNKNOWN)

    @property
    def exit_code(self) -> int:
        """The exit code of `vinops health`."""
        return EXIT[self.level]

    @property
    def summary(self) -> str:
        """One line: the names of what is not OK by level."""
        bad = [
            f"{level.value}: {', '.join(line.name for line in self.lines if line.level is level)}"
            for level in reversed(SEVERITY[1:])
            if any(line.level is level for line in self.lines)
        ]
        return "; ".join(bad) if bad else f"OK: {len(self.lines)} of {len(self.lines)} as they should be"

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that are not OK, the most severe first; without UNKNOWN ones if the database is unavailable."""
        is_away = any(line.name == "database" and line.level is Level.CRITICAL for line in self.lines)
        left_out = {Level.OK, Level.UNKNOWN} if is_away else {Level.OK}
        found = [line for line in self.lines if line.level not in left_out]
        return tuple(sorted(found, key=lambda line: -SEVERITY.index(line.level)))


def judge(snapshot: Snapshot) -> Health:
    """Run all checks on a snapshot. Pure: the same snapshot gives the same findings."""
    return Health(at=snapshot.at, lines=tuple(check(snapshot) for check in CHECKS.values()))


def unreadable(error: str) -> Health:
    """Return the health of an installation whose settings cannot be read: critical, and nothing else is known."""
    text = "the settings cannot be read"
    lines = (
        critical(error, fix="vinops doctor", name=name)
        if name == "secrets"
        else Finding(name=name, level=Level.UNKNOWN, text=text, fix="vinops doctor")
        for name in CHECKS
    )
    return Health(at=datetime.now(UTC), lines=tuple(lines))


def text(health: Health, width: int) -> Iterator[str]:
    """Yield the lines as people read them, none but commands wider than `width`."""
    yield from figures.wrapped(health.summary, width, "")
    for line in health.lines:
        head = f"{line.level.value:<8}  {line.name:<{NAME}}  "
        yield from figures.wrapped(line.message, width, head)
        if line.fix and line.level is not Level.OK:
            yield f"{' ' * len(head)}fix: {line.fix}"  # whole, to be copied


def as_dict(health: Health) -> dict[str, object]:
    """Return what `--json` prints: the keys of a line are name, level, figure, threshold and fix."""
    lines = [
        {"name": each.name, "level": each.level.value, "figure": each.text, "threshold": each.limit, "fix": each.fix}
        for each in health.lines
    ]
    return {"at": health.at.isoformat(), "level": health.level.value, "summary": health.summary, "lines": lines}


def as_json(snapshot: Snapshot) -> str:
    """Return a snapshot and its health as JSON, as `vinops monitor --json` prints it."""
    from ops.observe import snapshot as snapshots

    return json.dumps({**json.loads(snapshots.as_json(snapshot)), "health": as_dict(judge(snapshot))})
