"""The market part of a snapshot: when makes were complete, how old the newest ads are, how long a full walk takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, final
from zoneinfo import ZoneInfo

from vinops.politeness import pace
from vinops.text.figures import age, amount
from vinops_scrapy.mobile_bg.makes import read_makes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vinops.config import Settings

DAY_HOURS: Final = range(7, 23)
"""The hours of the day, in VINOPS_TIME_ZONE, in which people post ads and wait for deals."""
MOST_FOR_NEWEST: Final = 0.75
"""The largest share of the requests that passes over the newest ads may take: see Turns in mobile_bg/cycle.py."""

USUAL_PAGES: Final = 2
"""The most pages of a pass that follows another one by VINOPS_NEWEST_EVERY: a minute brings two to six ads."""


@dataclass(frozen=True, kw_only=True)
class MakeState:
    """A followed make: when its last complete walk ended, and since when it could have been complete: the end of that
    walk, else the start of its first one; None if it was never walked.

    `pages` are those of a whole walk, as the last complete one had them or as the makes file expects them;
    `pages_read` those of the walk under way, None if there is none.
    """

    slug: str
    name: str
    worker: str
    complete_at: datetime | None = None
    since: datetime | None = None
    pages: int = 0
    pages_read: int | None = None

    def said(self, now: datetime) -> str:
        """Return when the make was complete, and how far its walk is: `BMW 5 h ago, page 120 of 860`."""
        when = "never" if self.complete_at is None else f"{age(_seconds(now, self.complete_at))} ago"
        walking = "" if self.pages_read is None else f", page {amount(self.pages_read)} of {amount(self.pages)}"
        return f"{self.name} {when}{walking}"


@final
@dataclass(frozen=True, kw_only=True)
class Market:
    """The scheduled cycle of the market workers.

    `newest_at` is when the last pass over the newest ads began that was read to its end, `newest_since` when the first
    pass of all began, `newest_pages` the pages of the last one, `cut_short_at` when one last ended before it met known
    ads. `walk_seconds` is how long a full walk of all makes takes beside the newest ads and the rechecks; None where
    requests have no gap. `is_day` tells whether it is day where people read this.
    """

    makes: tuple[MakeState, ...] = ()
    newest_at: datetime | None = None
    newest_since: datetime | None = None
    newest_pages: int = 0
    newest_reason: str | None = None
    cut_short_at: datetime | None = None
    walk_seconds: float | None = None
    is_day: bool = True

    @property
    def workers(self) -> frozenset[str]:
        """The names of the workers that have makes."""
        return frozenset(make.worker for make in self.makes)

    def of_worker(self, name: str) -> tuple[MakeState, ...]:
        """Return the makes of a worker."""
        return tuple(make for make in self.makes if make.worker == name)

    def newest_said(self, now: datetime) -> str:
        """Return how old the newest ads are, in words."""
        if self.newest_at is None:
            return "the newest ads were never read"
        return f"newest ads read {age(_seconds(now, self.newest_at))} ago"

    @property
    def walk_said(self) -> str:
        """How long a full walk takes, in words; empty if that is not known."""
        return f"a full walk takes about {age(self.walk_seconds)}" if self.walk_seconds else ""


def read(settings: Settings, rows: Callable[..., Sequence[Mapping[str, Any]]], now: datetime) -> Market:
    """Return the market part. `rows` runs a named statement of sql/queries/snapshot.sql. Raises ConfigError."""
    book = read_makes(settings.makes_file)
    makes = [(str(worker), make) for worker, makes in book.workers.items() for make in makes]
    found = {row["slug"]: row for row in rows("market_makes", makes=[make.slug for _, make in makes])}
    off = {make.slug for worker in book.off for make in book.workers[worker]}
    # A make of a worker that is off is followed once its first walk has begun.
    makes = [(worker, make) for worker, make in makes if make.slug not in off or found[make.slug]["since"] is not None]
    (cycle, *_) = [*rows("market_cycle"), {}]
    states = tuple(
        MakeState(
            slug=make.slug,
            name=make.name,
            worker=worker,
            complete_at=found[make.slug]["complete_at"],
            since=found[make.slug]["since"],
            pages=found[make.slug]["pages"] or max(1, -(-make.expected // book.page_size)),
            pages_read=found[make.slug]["pages_read"],
        )
        for worker, make in makes
    )
    return Market(
        makes=states,
        newest_at=cycle.get("complete_from"),
        newest_since=cycle.get("first_at"),
        newest_pages=cycle.get("pages") or 1,
        newest_reason=cycle.get("reason"),
        cut_short_at=cycle.get("cut_short_at"),
        walk_seconds=walk_seconds(
            pages=sum(make.pages for make in states),
            gap=pace(settings.pace).page_gap,
            newest=pages_to_come(cycle, settings.newest_every) / settings.newest_every,
            recheck_share=settings.recheck_share,
        ),
        is_day=now.astimezone(ZoneInfo(settings.time_zone)).hour in DAY_HOURS,
    )


def pages_to_come(cycle: Mapping[str, Any], every: float) -> int:
    """Return the pages of the next passes over the newest ads, of which one is due each `every` seconds, from the row
    of the last one.

    A pass that met known ads in that time is followed by others like it. The first one reads to its bound, one after a
    pause of hours catches up, and one that is under way has not all its pages: none of these tells how many come.
    """
    pages, seconds = cycle.get("pages") or 1, cycle.get("seconds")
    is_like_others = seconds is not None and seconds <= every and cycle.get("reason") is None
    return pages if is_like_others else min(pages, USUAL_PAGES)


def walk_seconds(*, pages: int, gap: float, newest: float, recheck_share: float) -> float | None:
    """Return how long so many pages take, one request each `gap` seconds, when `newest` pages a second and a share of
    the requests are for other things; None without a gap."""
    if not gap:
        return None
    others = min(newest * gap, MOST_FOR_NEWEST) + recheck_share
    return pages * gap / max(1 - others, 1 - MOST_FOR_NEWEST)


def _seconds(now: datetime, since: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)
