"""The outcome of a run of the feed, as a value and as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from vinops.text.printable import printable

MOST_SHOWN: Final = 10  # unknown columns, and the like
LONGEST_SHOWN: Final = 40  # characters of each


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a run: `status` is loaded, unchanged, refused, failed or busy; counts are of rows and lots."""

    status: str = "failed"
    reason: str | None = None
    message: str = ""
    file_id: int | None = None
    path: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    archive_bytes: int | None = None
    newest_update: str | None = None
    rows_read: int | None = None
    rows_accepted: int | None = None
    rows_rejected: int | None = None
    rows_repaired: int | None = None
    lots_new: int | None = None
    lots_changed: int | None = None
    lots_unchanged: int | None = None
    lots_gone: int | None = None
    lots_returned: int | None = None
    lots_relisted: int | None = None
    conflicts: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    drift: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 for a file that is loaded, was already, or is left to another run; 1 for one that was refused or failed."""
        return 0 if self.status in {"loaded", "unchanged", "busy"} else 1

    @property
    def summary(self) -> str:
        """The run in one line, as the log has it."""
        seconds = self.seconds.get("total", 0.0)
        if self.status != "loaded":
            reason = f" ({self.reason})" if self.reason else ""
            return f"{self.status}{reason}: {self.message} [{seconds:.2f} s]"
        return (
            f"INSERT {self.lots_new} UPDATE {self.lots_changed} "
            f"unchanged {self.lots_unchanged} gone {self.lots_gone} returned {self.lots_returned} "
            f"relisted {self.lots_relisted} rejected {self.rows_rejected} conflicts {self.conflicts} "
            f"of {self.rows_read} rows [{seconds:.2f} s]"
        )

    @property
    def table(self) -> str:
        """The figures of a run that loaded a file, one a line."""
        share = 100 * (self.archive_bytes or 0) / self.bytes if self.bytes else 0.0
        archived = f"{self.path} ({self.archive_bytes} bytes, {share:.2f} %)" if self.path else "already archived"
        rows = [
            ("rows read", self.rows_read),
            ("accepted", self.rows_accepted),
            ("rejected", self.rows_rejected),
            ("repaired", self.rows_repaired),
            ("newest update", self.newest_update),
            ("file", f"{self.bytes} bytes, sha256 {(self.sha256 or '')[:12]}…"),
            ("archive", archived),
        ]
        rows += [(name.replace("_", " "), _few(value)) for name, value in self.drift.items()]
        slowest = sorted(self.seconds.items(), key=lambda item: -item[1])[:5]
        rows.append(("seconds", ", ".join(f"{name} {value:.2f}" for name, value in slowest if value >= 0.01)))
        return "\n".join(f"  {name:<16} {value}" for name, value in rows)


def _few(value: Any) -> str:
    """Return a list or counts by name as text: the first MOST_SHOWN of them, of LONGEST_SHOWN characters."""
    if not isinstance(value, dict | list):
        return printable(str(value), longest=LONGEST_SHOWN)
    names = [printable(str(name), longest=LONGEST_SHOWN) for name in value]
    if isinstance(value, dict):
        names = [f"{name} {count}" for name, count in zip(names, value.values(), strict=True)]
    more = [f"and {len(names) - MOST_SHOWN} more: audit.etl_runs.drift"] if len(names) > MOST_SHOWN else []
    return ", ".join(names[:MOST_SHOWN] + more)
