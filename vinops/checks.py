"""The terms of a check: level, limit, finding.

A check compares a value with its limit and returns a finding. What follows from a finding (a line of `vinops health`
or `vinops doctor`, an alert, a metric) is decided by the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from vinops.text.figures import age

if TYPE_CHECKING:
    from collections.abc import Callable


class Level(Enum):
    """The severity of a finding. UNKNOWN is what could not be examined."""

    OK = "OK"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of a check: its level, the value and why it is not OK, the limit, and the command that fixes it.

    `overdue` is for how many seconds it has not been OK, where the value is an age; None where that is not known.
    """

    name: str = ""
    level: Level
    text: str
    limit: str = ""
    fix: str = ""
    overdue: float | None = field(default=None, compare=False)

    @property
    def message(self) -> str:
        """The value and the limit: `disk 91 % full (limit 90 %)`."""
        return f"{self.text} (limit {self.limit})" if self.limit else self.text


def ok(text: str, limit: str = "", *, name: str = "") -> Finding:
    """Return a finding that needs no action."""
    return Finding(name=name, level=Level.OK, text=text, limit=limit)


def warning(text: str, limit: str = "", *, fix: str, name: str = "") -> Finding:
    """Return a finding that needs attention."""
    return Finding(name=name, level=Level.WARNING, text=text, limit=limit, fix=fix)


def critical(text: str, limit: str = "", *, fix: str, name: str = "") -> Finding:
    """Return a finding that needs action now."""
    return Finding(name=name, level=Level.CRITICAL, text=text, limit=limit, fix=fix)


@dataclass(frozen=True)
class Limit:
    """The values from which on a check warns and is critical; `unit` writes one of them."""

    warning: float
    critical: float = math.inf
    unit: Callable[[float], str] = "{:g}".format

    def level(self, value: float) -> Level:
        """Return the level of a value."""
        return Level.CRITICAL if value >= self.critical else Level.WARNING if value >= self.warning else Level.OK

    def judge(self, value: float, text: str, *, fix: str) -> Finding:
        """Return the finding of a value, with the limit that it is under or has reached."""
        level = self.level(value)
        reached = self.critical if level is Level.CRITICAL else self.warning
        is_bad = level is not Level.OK
        overdue = value - self.warning if is_bad and self.unit is age else None
        return Finding(level=level, text=text, limit=self.unit(reached), fix=fix if is_bad else "", overdue=overdue)
