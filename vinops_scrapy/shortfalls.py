"""Kinds of work most of which failed in a run: a run in which one cause fails everything did not go well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_FAILED: Final = 0.5
"""The share of photos, lots, pages or ads that may fail. A bad hour of a host costs a few in a hundred."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A kind of work: the statistics of success, the prefixes of those of failure, `other` statistics with such a
    prefix that count neither, and the least number of results for a judgement."""

    good: frozenset[str]
    failed: tuple[str, ...]
    other: frozenset[str] = frozenset()
    least: int


WORK: Final[Mapping[str, Work]] = {
    "photos": Work(good=frozenset({"photo/stored", "photo/reused"}), failed=("photo/failed/",), least=10),
    "lots": Work(
        good=frozenset({"lot/ok", "lot/first", "lot/partial", "lot/none_yet", "lot/gone"}),
        failed=("lot/failed/",),
        least=3,
    ),
    "pages": Work(
        good=frozenset({"page/read"}), failed=("walk/failed/",), other=frozenset({"walk/failed/pages"}), least=1
    ),
    "ads": Work(
        good=frozenset({"listing/new", "listing/changed", "listing/back", "listing/unchanged"}),
        failed=("listing/left_out/unreadable",),
        least=10,
    ),
    "pages of ads": Work(
        good=frozenset({"detail/read"}), failed=("detail/",), other=frozenset({"detail/deleted"}), least=10
    ),
}
"""`walk/failed/pages` was requested by `-a pages=`, `detail/deleted` is an ad that was sold meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Shortfall:
    """Work of which too much failed: how many of how many, and the reasons, the most frequent first."""

    work: str
    failed: int
    of: int
    reasons: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """Return a text such as `36 of 36 photos failed (damaged 36)`."""
        why = ", ".join(f"{reason} {count}" for reason, count in self.reasons[:3])
        return f"{self.failed} of {self.of} {self.work} failed ({why})"


def shortfalls(stats: Mapping[str, Any]) -> list[Shortfall]:
    """Return the kinds of work most of which failed, judging by the statistics of a run."""
    return [found for found, is_short in _judged(stats) if is_short]


def in_order(stats: Mapping[str, Any]) -> list[str]:
    """Return the kinds of work of which a run did enough, most of it well."""
    return [found.work for found, is_short in _judged(stats) if not is_short]


def _judged(stats: Mapping[str, Any]) -> Iterator[tuple[Shortfall, bool]]:
    for name, work in WORK.items():
        good = sum(stats.get(each, 0) for each in work.good)
        failed = {
            each.rpartition("/")[2]: count
            for each, count in stats.items()
            if each.startswith(work.failed) and each not in work.good | work.other
        }
        lost = sum(failed.values())
        if good + lost >= work.least:
            reasons = tuple(sorted(failed.items(), key=lambda each: (-each[1], each[0])))
            found = Shortfall(work=name, failed=lost, of=good + lost, reasons=reasons)
            yield found, lost > MOST_FAILED * (good + lost)
