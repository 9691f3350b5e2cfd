"""What a day of the market was like: what was recorded beside what the market knows of itself. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import NamedTuple

from standin.market.values import ABROAD, MAKES

MARGIN = 600.0
"""Seconds of the clock before its end: an ad of that time may not have been seen yet."""
BRIEF = 300.0
"""An ad that left within so many seconds of the clock need not have been seen."""


class Ad(NamedTuple):
    """An ad as the market knows it; times are milliseconds of its clock, `left` is None while it is there."""

    ad_id: str
    make: str
    posted: int
    left: int | None
    region: str

    @property
    def is_ours(self) -> bool:
        """Whether it is of a make that is followed, and in Bulgaria."""
        return self.make in MAKES and self.region != ABROAD


class Row(NamedTuple):
    """An ad as it was recorded; times are seconds of real time."""

    ad_id: str
    make: str
    first_seen: float
    removed: float | None


class Walked(NamedTuple):
    """A complete walk of a make, in seconds of real time."""

    make: str
    began: float
    ended: float


class Message(NamedTuple):
    """A posted deal, in seconds of real time."""

    ad_id: str
    posted: float


@dataclass(frozen=True, kw_only=True)
class Span:
    """The time in which the clock ran: from `start` in milliseconds of the clock, which was `real` seconds since 1970,
    for so many hours at that speed."""

    start: int
    real: float
    speed: float
    hours: float

    @classmethod
    def of(cls, now: str, *, real: float, speed: float, hours: float) -> Span:
        """Return it from the time of the clock as text."""
        return cls(start=round(datetime.fromisoformat(now).timestamp() * 1000), real=real, speed=speed, hours=hours)

    @property
    def end(self) -> int:
        """When the clock stopped, in milliseconds of the clock."""
        return self.start + round(self.hours * 3_600_000)

    def clock(self, real: float) -> float:
        """Return the milliseconds of the clock at a real time; before and after it stands still."""
        return min(self.start + max(real - self.real, 0.0) * self.speed * 1000, self.end)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found. `seen` are seconds of the clock from an ad's appearing to its row; `told` the same to its
    message, for which the time from row to message counts as it was, for computing does not go faster with the clock:
    these seconds are `work`. `unseen` ads were never recorded, `brief` ones left before that matters."""

    seen: Sequence[float]
    told: Sequence[float]
    work: Sequence[float]
    unseen: int
    brief: int
    walk_hours: Mapping[str, float] = field(default_factory=dict)
    """Hours of the clock from its start to the end of the first complete walk that began since, by make."""
    makes: int = 0
    """Makes that should have one."""
    gone: int = 0
    falsely_gone: int = 0
    not_gone: int = 0
    lost: int = 0
    unlisted: int = 0

    @property
    def longest_walk(self) -> float:
        """Hours until the last make was complete; infinite if one is not."""
        return max(self.walk_hours.values()) if len(self.walk_hours) == self.makes else float("inf")


def share_below(values: Iterable[float], share: float) -> float:
    """Return the value that this share of them does not exceed; infinite for none."""
    found = sorted(values)
    return found[max(ceil(share * len(found)) - 1, 0)] if found else float("inf")


def judge(
    span: Span, history: Iterable[Ad], rows: Iterable[Row], walks: Iterable[Walked], messages: Iterable[Message]
) -> Facts:
    """Compare what was recorded with what the market knows.

    `falsely_gone` ads were there when they were marked as gone; `not_gone` ones had left before the last complete walk
    of their make began, and are not; `lost` ones were there all the time of that walk and were never recorded, or are
    falsely gone. Of the former those that name no region are `unlisted`: where a list ends before they come, none of
    the lists by region shows them.
    """
    ours = {ad.ad_id: ad for ad in history if ad.is_ours}
    recorded = {row.ad_id: row for row in rows}
    first, last = _walks(span, walks)
    new = [ad for ad in ours.values() if span.start < ad.posted <= span.end - MARGIN * 1000]
    seen = {ad.ad_id: (span.clock(recorded[ad.ad_id].first_seen) - ad.posted) / 1000
            for ad in new if ad.ad_id in recorded}  # fmt: skip
    missed = [ad for ad in new if ad.ad_id not in recorded]
    brief = sum(ad.left is not None and ad.left - ad.posted < BRIEF * 1000 for ad in missed)
    work = {each.ad_id: each.posted - recorded[each.ad_id].first_seen for each in messages if each.ad_id in seen}
    gone = [row for row in recorded.values() if row.removed is not None]
    lost = [
        ad
        for ad in ours.values()
        if ad.make in last
        and ad.posted < span.clock(last[ad.make].began)
        and (ad.left is None or ad.left > span.clock(last[ad.make].ended))
        and ((row := recorded.get(ad.ad_id)) is None or (row.removed is not None and _was_there(span, ad, row.removed)))
    ]
    unlisted = sum(not ad.region and ad.ad_id not in recorded for ad in lost)
    return Facts(
        seen=sorted(seen.values()),
        told=sorted(seen[ad_id] + seconds for ad_id, seconds in work.items()),
        work=sorted(work.values()),
        unseen=len(missed) - brief,
        brief=brief,
        walk_hours={make: (span.clock(walk.ended) - span.start) / 3_600_000 for make, walk in first.items()},
        makes=len({ad.make for ad in ours.values()}),
        gone=len(gone),
        falsely_gone=sum(_was_there(span, ours.get(row.ad_id), row.removed or 0.0) for row in gone),
        not_gone=sum(
            ad.left is not None
            and ad.make in last
            and ad.left < span.clock(last[ad.make].began)
            and ad.ad_id in recorded
            and recorded[ad.ad_id].removed is None
            for ad in ours.values()
        ),
        lost=len(lost) - unlisted,
        unlisted=unlisted,
    )


def _walks(span: Span, walks: Iterable[Walked]) -> tuple[dict[str, Walked], dict[str, Walked]]:
    """Return the first and the last complete walk of each make, of those that began since the clock runs."""
    first: dict[str, Walked] = {}
    last: dict[str, Walked] = {}
    for walk in sorted((each for each in walks if each.began >= span.real), key=lambda each: each.ended):
        first.setdefault(walk.make, walk)
        last[walk.make] = walk
    return first, last


def _was_there(span: Span, ad: Ad | None, removed: float) -> bool:
    return ad is not None and (ad.left is None or ad.left > span.clock(removed))
