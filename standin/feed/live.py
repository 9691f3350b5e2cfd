"""A feed of real size: 16,000 new lots a day, each of which stays for nine days (the median) until it is sold.

    market = LiveFeed(seed=1, lots=150_000)
    market.advance(minutes=15)
    market.leaves(39_000_041)

How long a lot stays is drawn when it appears, and its sale is on the day on which it leaves. The distribution is
rounded from what the real feed showed; one lot in two hundred is gone within three hours.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from standin.feed.lots import FIELD, PHOTO_BASE, WEEKDAYS, Clock, LotMaker
from standin.feed.market import DEFAULT_NOW, Advance, Market

if TYPE_CHECKING:
    from standin.feed.places import Yard

DAY: Final = 86_400
#: Lots in the feed, and new ones in a day.
LOTS: Final = 150_000
NEW_A_DAY: Final = 16_000
#: The share of the lots that stay for at most so many days; in between it is interpolated. The mean is 9.4 days.
STAYS: Final = ((0.0, 0.0), (0.01, 0.25), (0.1, 4.0), (0.25, 6.5), (0.5, 9.0), (0.75, 11.5), (0.9, 14.5), (1.0, 24.0))
#: Share of the lots whose date of sale is not set yet, until they leave.
WITHOUT_SALE: Final = 0.28
_STEPS: Final = 240


def stay(share: float) -> float:
    """Return for how many days at most that share of the lots stays."""
    for (low, begin), (high, end) in pairwise(STAYS):
        if share <= high:
            return begin + (end - begin) * (share - low) / (high - low)
    return STAYS[-1][1]


def share_gone(days: float) -> float:
    """Return the share of the lots that stay for at most so many days."""
    for (low, begin), (high, end) in pairwise(STAYS):
        if days <= end:
            return low + (high - low) * (days - begin) / (end - begin)
    return 1.0


class LivingLots(LotMaker):
    """Generates lots and how long each of them stays."""

    def __init__(
        self, *, seed: int, clock: Clock, photo_base: str = PHOTO_BASE, thumbnail_base: str | None = None
    ) -> None:
        super().__init__(seed=seed, clock=clock, photo_base=photo_base, thumbnail_base=thumbnail_base)
        self.leaves: dict[int, int] = {}
        self._leaving = 0

    def clone(self) -> LivingLots:
        """Return an independent copy that generates the same lots as this maker would."""
        twin = super().clone()
        assert isinstance(twin, LivingLots)  # copy.copy keeps the class
        twin.leaves = self.leaves.copy()
        return twin

    def make(self, number: int, *, age: int) -> str:
        """Return the row, without `Id`, of a lot that appeared `age` seconds ago and is still there."""
        before = share_gone(age / DAY)
        days = stay(before + (1 - before) * self._draw())
        self._leaving = self.leaves[number] = self.clock.seconds - age + max(int(days * DAY), age + 1)
        return super().make(number, age=age)

    def _sale(self, yard: Yard) -> tuple[str, str, str, int]:
        """Return the sale on the day on which the lot leaves; without a sale: date 0, item 0, no weekday, no time."""
        if self._draw() < WITHOUT_SALE:
            return "0", "", "", 0
        day = datetime.fromtimestamp(self._leaving, UTC).date()
        return day.strftime("%Y%m%d"), WEEKDAYS[day.weekday()], yard.time, int(self._draw() * 1400) + 1

    def _touch_sale_date(self, fields: list[str]) -> None:
        """Set the date of a sale that was not set yet."""
        if fields[FIELD["Sale Date M/D/CY"]] == "0":
            self._leaving = self.leaves[int(fields[FIELD["Lot number"]])]
            self._set_sale(fields, self._sale(self._yard_in(fields)))

    def _touch_yard(self, fields: list[str]) -> None:
        self._leaving = self.leaves[int(fields[FIELD["Lot number"]])]
        super()._touch_yard(fields)


class LiveFeed(Market):
    """A feed whose lots come, change and leave by its time, not by shares."""

    def __init__(
        self,
        seed: int = 1,
        lots: int = LOTS,
        now: datetime = DEFAULT_NOW,
        *,
        new_a_day: int | None = None,
        photo_base: str = PHOTO_BASE,
        thumbnail_base: str | None = None,
    ) -> None:
        """Generate `lots` lots as of `now`, each with its age and the time it still stays.

        `new_a_day` new ones appear in a day, in proportion to the lots by default. The other arguments are those of
        Market. Raises ValueError for a number below 0, and as Market does.
        """
        self._new_a_day = round(lots * NEW_A_DAY / LOTS) if new_a_day is None else new_a_day
        if self._new_a_day < 0:
            message = "the number of new lots a day must be at least 0"
            raise ValueError(message)
        self._owed = 0.0
        days = STAYS[-1][1]
        self._older = list(accumulate(1 - share_gone(days * (step + 0.5) / _STEPS) for step in range(_STEPS)))
        super().__init__(seed, lots, now, photo_base=photo_base, thumbnail_base=thumbnail_base)

    def leaves(self, lot: int) -> datetime | None:
        """Return when a lot leaves or left, None for an unknown one."""
        at = self._lots.leaves.get(lot)
        return None if at is None else datetime.fromtimestamp(at, UTC)

    def advance(
        self,
        *,
        changed: float = 0.01,
        new: float = 0.0,
        gone: float = 0.0,
        returned: float = 0.0,
        relisted: float = 0.0,
        minutes: int = 15,
    ) -> Advance:
        """Advance to the next file, `minutes` later: new lots by the day's number, gone ones by their time.

        `changed` is the share of the lots that change. The other shares are not used.
        """
        self._owed += self._new_a_day * minutes / 1440
        count, total = int(self._owed), len(self)
        self._owed -= count
        share = count / total if total else 0.0
        return super().advance(changed=changed, new=share, gone=0.0, returned=0.0, relisted=0.0, minutes=minutes)

    def _lot_maker(self, clock: Clock, photo_base: str, thumbnail_base: str | None) -> LotMaker:
        self._lots = LivingLots(seed=self.seed, clock=clock, photo_base=photo_base, thumbnail_base=thumbnail_base)
        return self._lots

    def _age(self, seniority: float) -> int:
        """Return the age in seconds of the lot that is older than the share `seniority` of the lots."""
        step = bisect_right(self._older, seniority * self._older[-1])
        return int(STAYS[-1][1] * DAY * (step + self._draw()) / _STEPS)

    def _leaving(self, size: int) -> set[int]:  # they leave by their time
        """Return the positions of the lots that leave by now."""
        now, leaves = self._lots.clock.seconds, self._lots.leaves
        return {position for position, lot in enumerate(self.lot_numbers) if leaves[lot] <= now}

    def clone(self) -> LiveFeed:
        """Return an independent feed in the same state."""
        twin = super().clone()
        assert isinstance(twin, LiveFeed)  # copy.copy keeps the class
        assert isinstance(twin._maker, LivingLots)
        twin._lots = twin._maker
        return twin
