"""What was damaged in a feed file, and how many rows a right reader accepts, recovers and rejects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a right reader does with a record."""

    ACCEPT = "accept"  #: a row like any other
    RECOVER = "recover"  #: a row, with `value` intact, although a strict or line-by-line reader loses it
    FLAG = "flag"  #: a row whose `value` cannot be believed: the row counts, the value is unknown
    EITHER = "either"  #: a row, the damage taken out, or one rejected row; never more than this one
    REJECT = "reject"  #: kept aside with its reason, and costs no other row
    SUPERSEDED = "superseded"  #: another record of the same lot in the same file is the valid one
    IGNORE = "ignore"  #: no record at all


@dataclass(frozen=True, kw_only=True)
class Touch:
    """One record that a quirk touched. `line` is the physical line of the file on which it begins, from 1;
    `lot` is the text of its lot number (empty where it has none), `column` and `value` what its field means."""

    quirk: str
    line: int
    lot: str
    verdict: Verdict
    column: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `inject` did. The counts are of records: every record of the file is in exactly one of `accepted`,
    `rejected`, `superseded` and `either`; `recovered` are among the accepted. `refused` says why the whole file
    must be refused, and then the counts are of what the file holds, not of what may be taken from it."""

    quirks: tuple[str, ...]
    touches: tuple[Touch, ...]
    records: int
    refused: str | None = None
    unknown_columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()

    def _count(self, *verdicts: Verdict) -> int:
        return sum(touch.verdict in verdicts for touch in self.touches)

    @property
    def accepted(self) -> int:
        """Rows to be had, recovered and flagged ones included."""
        return self.records - self.rejected - self.superseded - self.either

    @property
    def rejected(self) -> int:
        """Records to be kept aside, each with a reason."""
        return self._count(Verdict.REJECT)

    @property
    def recovered(self) -> int:
        """Accepted rows that a strict or line-by-line reader loses."""
        return self._count(Verdict.RECOVER)

    @property
    def superseded(self) -> int:
        """Records that lose against another one of the same lot."""
        return self._count(Verdict.SUPERSEDED)

    @property
    def either(self) -> int:
        """Records that may be cleaned or rejected."""
        return self._count(Verdict.EITHER)

    def summary(self) -> dict[str, object]:
        """The account as JSON can carry it."""
        return {
            "quirks": list(self.quirks),
            "records": self.records,
            "accepted": self.accepted,
            "recovered": self.recovered,
            "rejected": self.rejected,
            "superseded": self.superseded,
            "either": self.either,
            "refused": self.refused,
            "unknown_columns": list(self.unknown_columns),
            "missing_columns": list(self.missing_columns),
            "touches": [
                {"quirk": t.quirk, "line": t.line, "lot": t.lot, "verdict": t.verdict.value, "column": t.column}
                for t in self.touches
            ],
        }
