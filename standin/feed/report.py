"""The report on a damaged feed file: its quirks, and how many rows a correct reader accepts, recovers and rejects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a correct reader does with a record."""

    ACCEPT = "accept"  #: accept it as a valid row
    RECOVER = "recover"  #: accept it with `value` intact, although a strict or line-by-line reader loses it
    FLAG = "flag"  #: accept the row but treat `value`, which is impossible, as unknown
    EITHER = "either"  #: accept it without the damaged bytes or reject it; other rows are not affected
    REJECT = "reject"  #: reject it with a reason; other rows are not affected
    SUPERSEDED = "superseded"  #: skip it: another record of the same lot in the same file is the valid one
    IGNORE = "ignore"  #: skip it: it is not a record


@dataclass(frozen=True, kw_only=True)
class Touch:
    """A record that a quirk changed or inserted.

    `line` is the line of the file on which it begins, counted from 1; `lot` is the text of its lot number (empty if it
    has none); `column` is the changed column and `value` the text that a correct reader finds in it.
    """

    quirk: str
    line: int
    lot: str
    verdict: Verdict
    column: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The changes that `inject` made.

    Every record of the file counts as exactly one of `accepted`, `rejected`, `superseded` and `either`; `recovered`
    records are also `accepted`. `refused` is the reason why the whole file must be refused, or None; in a refused file
    the counts still describe its content, although nothing may be loaded from it.
    """

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
        """Return the number of accepted records, including recovered and flagged ones."""
        return self.records - self.rejected - self.superseded - self.either

    @property
    def rejected(self) -> int:
        """Return the number of records to be rejected, each with a reason."""
        return self._count(Verdict.REJECT)

    @property
    def recovered(self) -> int:
        """Return the number of accepted records that a strict or line-by-line reader loses."""
        return self._count(Verdict.RECOVER)

    @property
    def superseded(self) -> int:
        """Return the number of records superseded by another one of the same lot."""
        return self._count(Verdict.SUPERSEDED)

    @property
    def either(self) -> int:
        """Return the number of records that may be either cleaned or rejected."""
        return self._count(Verdict.EITHER)

    def summary(self) -> dict[str, object]:
        """Return the report in types that can be serialized as JSON."""
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
