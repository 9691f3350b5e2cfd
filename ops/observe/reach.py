"""How many lots a day a pace reaches, which share of the new ones leaves without any photo, and which with all of them:
one arithmetic for `vinops forecast` and `vinops doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vinops import politeness
from vinops.politeness import DAY
from vinops.text.figures import amount, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PACES: Final = ("careful", "steady")
FIRST: Final = (1, 3, 6)
"""Numbers of first photos that are shown beside the one that is set."""
ACTIVE_LOTS: Final = 150_000.0  # a feed of usual size, until one is loaded
LIFE_HOURS: Final = 9 * 24.0  # how long a lot stays in the feed
USUAL_PHOTOS: Final = 12.0  # of a lot
USUAL_ARRIVALS: Final = ACTIVE_LOTS * 24 / LIFE_HOURS  # lots a day


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a pace reaches with a number of first photos: lots a day, the shares of the new lots that leave without any
    photo, and that get all of them."""

    pace: str
    first: int
    lots_a_day: float
    lost_share: float
    all_share: float

    @property
    def loses_none(self) -> bool:
        """Tell whether each new lot has a photo before it leaves, once the backlog is done."""
        return self.lost_share <= 0


def reach(pace: str, first: int, *, photos: float, arrivals: float, daily: int | None) -> Reach:
    """Return what a pace reaches, all day long, if a lot has so many photos and so many lots arrive a day; `daily` is
    the limit of requests that is set for a host. A lot's list and its photos come from different hosts."""
    gaps = politeness.pace(pace)
    taken = min(photos, float(gaps.first_photos(first)))
    lots = DAY / max(gaps.lot_gap, gaps.page_gap, gaps.image_gap * taken)
    if (cap := gaps.daily_cap(daily)) is not None:
        lots = min(lots, cap / max(taken, 1.0))
    reached = min(lots, arrivals)
    complete = reached
    if photos > taken:
        complete = min(reached, (gaps.requests_a_day(daily) - reached * taken) / (photos - taken))
    return Reach(
        pace=pace,
        first=first,
        lots_a_day=lots,
        lost_share=1 - reached / arrivals if arrivals else 0.0,
        all_share=complete / arrivals if arrivals else 1.0,
    )


def reaches(first: Iterable[int], *, photos: float, arrivals: float, daily: int | None) -> list[Reach]:
    """Return what each pace reaches with each of these numbers of first photos."""
    return [
        reach(pace, number, photos=photos, arrivals=arrivals, daily=daily)
        for pace in PACES
        for number in sorted(set(first))
    ]


def verdict(found: Sequence[Reach], *, pace: str, first: int, arrivals: float) -> str:
    """Return in one sentence what the pace and the first photos that are set lose, and which pace loses none."""
    own = next((each for each in found if each.pace == pace and each.first == first), None)
    none = next((each for each in found if each.first == first and each.loses_none), None)
    better = next((each for each in found if each.loses_none), None)
    text = f"{amount(arrivals)} new lots a day"
    if own is not None and own.loses_none:
        return f"{text}: {pace} reaches {amount(own.lots_a_day)}, none leaves without a photo"
    if own is not None:
        text += f": {pace} reaches {amount(own.lots_a_day)}, {percent(own.lost_share)} leave without a photo"
    if none is not None:
        return f"{text}; VINOPS_PACE={none.pace} loses none"
    if better is not None:
        return f"{text}; VINOPS_PACE={better.pace} with VINOPS_PHOTOS_FIRST={better.first} loses none"
    return f"{text}; no pace loses none"
