"""The requests that a market received: the recorded ones, and counts of all by kind with the gaps between them."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from standin.market.addresses import Asked
    from standin.market.faults import Kind

#: The most gaps that are kept, and the most requests that a market of real size records.
MOST: Final = 100_000


@dataclass(kw_only=True)
class Request:
    """A recorded request.

    `at` is its arrival in seconds of the monotonic clock; `kind` is the kind of resource requested; `make`, `model`,
    `region`, `page` and `sort` belong to a list, `ad` to a detail page or a photo; header names are in lower case;
    `peer_port` identifies the connection; `status` is 0 until the response has begun.
    """

    method: str
    path: str
    query: str
    at: float
    kind: Kind
    make: str | None
    model: str | None
    region: str | None
    page: int | None
    sort: int | None
    ad: str | None
    headers: dict[str, str]
    peer_port: int
    fault: str | None = None
    status: int = 0


@dataclass(kw_only=True)
class Tally:
    """Counts of requests by kind, and the gaps between them in seconds of the market's clock.

    Lists are counted by what they are narrowed to: `list_all`, `list_make`, `list_model` and `list_region`; the region
    of all cars in Bulgaria narrows nothing.
    """

    counts: Counter[str] = field(default_factory=Counter)
    gaps: array[float] = field(default_factory=lambda: array("d"))
    last: float | None = None

    def count(self, kind: Kind, asked: Asked | None, *, at: float, speed: float, whole: str) -> None:
        """Count a request that arrived at that time; `whole` is the slug of the region that narrows nothing."""
        self.counts[kind if asked is None else f"list_{_narrowed(asked, whole)}"] += 1
        if self.last is not None and len(self.gaps) < MOST:
            self.gaps.append((at - self.last) * speed)
        self.last = at

    def summary(self) -> dict[str, Any]:
        """Return the counts, and of the gaps the smallest, the hundredth part of them that is smaller, and the mean."""
        gaps = sorted(self.gaps)
        return {
            "requests": dict(self.counts),
            "total": self.counts.total(),
            "gaps": {"smallest": gaps[0], "p1": gaps[len(gaps) // 100], "mean": sum(gaps) / len(gaps)} if gaps else {},
        }


def _narrowed(asked: Asked, whole: str) -> str:
    if asked.region not in (None, whole):
        return "region"
    return "all" if asked.make is None else "make" if asked.model is None else "model"
