"""The ads of a market of real size as columns of numbers: what each advertises, when it is posted and when it leaves.

Ads are numbered in the order in which they are posted. The text of an ad is generated when it is shown: an ad that
nobody asks for costs some thirty bytes.
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from standin.market.ads import IN_A_FOREIGN_COUNTRY, PROMOTED
from standin.market.clock import milliseconds, moment
from standin.market.real import (
    HOURS,
    REGION_SHARES,
    REPRICED_A_DAY,
    TIME_ZONE,
    WITHOUT_REGION,
    make_counts,
    model_weights,
)
from standin.market.values import ABROAD, ALL_MAKES

if TYPE_CHECKING:
    from datetime import datetime

    from standin.market.ads import Promotion

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
#: The end of an ad that is there until somebody removes it, in milliseconds since 1970.
NEVER: Final = 2**62
MAKES: Final = tuple(ALL_MAKES)
MODELS: Final = tuple(tuple(model.slug for model in make.models) for make in ALL_MAKES.values())
#: Regions by their number: none, abroad, and the regions of the country.
REGIONS: Final = ("", ABROAD, *REGION_SHARES)
#: Promotions by their rank in a list; the last one is none.
RANKS: Final[tuple[Promotion, ...]] = ("BEST", "TOP", "VIP", "")
_NOT_PROMOTED: Final = len(RANKS) - 1
_PLACED: Final = (1 - IN_A_FOREIGN_COUNTRY) * (1 - WITHOUT_REGION) / sum(REGION_SHARES.values())
_REGION_WEIGHTS: Final = (
    (1 - IN_A_FOREIGN_COUNTRY) * WITHOUT_REGION,
    IN_A_FOREIGN_COUNTRY,
    *(share * _PLACED for share in REGION_SHARES.values()),
)
_RANK_WEIGHTS: Final = (*(PROMOTED[rank] for rank in RANKS if rank), 1 - sum(PROMOTED.values()))
_MODEL_WEIGHTS: Final = {make: model_weights(make) for make in ALL_MAKES}


class Population:
    """All ads that were ever posted up to a day. Columns are indexed by the number of an ad.

    `posted` and `leaves` are milliseconds since 1970, each `posted` later than the one before; `make`, `model`,
    `region` and `rank` are indexes in MAKES, MODELS, REGIONS and RANKS; `digits` are the digit and the three digits
    around the milliseconds in the id. `repricings` are the changes of prices in the order of their times: time, number
    of the ad, and the factor of the price.
    """

    def __init__(self, *, seed: int, ads: int, new_a_day: int, start: datetime) -> None:
        """Generate the ads that are there at `start`: `ads` of followed makes, and others beside them.

        A day brings about `new_a_day` ads of followed makes, and each ad stays for `ads / new_a_day` days on average.
        """
        self._seed = seed
        self._counts = make_counts(ads)
        self._new_a_day = new_a_day if ads else 0
        self._life = ads / new_a_day * DAY if ads and new_a_day else NEVER / DAY
        self._start = milliseconds(start)
        hour = start.astimezone(ZoneInfo(TIME_ZONE)).hour
        self._course = [HOURS[(hour + passed) % 24] for passed in range(24)]
        self._days = 0
        self.posted, self.leaves = array("q"), array("q")
        self.make, self.model, self.region, self.rank = (array("B") for _ in range(4))
        self.digits = array("H")
        self.repricings: list[tuple[int, int, float]] = []
        self._draw_first()

    def __len__(self) -> int:
        """Return the number of ads drawn so far."""
        return len(self.posted)

    @property
    def until(self) -> int:
        """Return up to which time everything is drawn."""
        return self._start + self._days * DAY

    def draw_day(self) -> None:
        """Generate what the next day of the market brings: new ads, and changes of prices."""
        dice = random.Random(f"{self._seed}:day:{self._days}")
        begin = self.until
        self._days += 1
        there = sum(self._counts.values())
        followed = sum(count for make, count in self._counts.items() if ALL_MAKES[make].group)
        count = round(self._new_a_day * there / followed) if followed else 0
        known = len(self)
        staying = dice.sample(range(known), min(int(known * REPRICED_A_DAY), known))
        changed = [
            (begin + dice.randrange(DAY), number, _factor(dice)) for number in staying if self.leaves[number] > begin
        ]
        self.repricings.extend(sorted(changed))
        makes = dice.choices(list(self._counts), list(self._counts.values()), k=count) if there else []
        moments = sorted(begin + passed for passed in self._moments(dice, count))
        self._append(dice, moments, makes, [dice.expovariate(1 / self._life) for _ in moments])

    def ad_id(self, number: int) -> str:
        """Return the id of an ad."""
        digit, suffix = divmod(self.digits[number], 1000)
        return f"{digit}{self.posted[number]:013d}{suffix:03d}"

    def number(self, ad_id: str) -> int | None:
        """Return the number of the ad with that id, or None."""
        if len(ad_id) != 17 or not ad_id.isdecimal():
            return None
        found = bisect_left(self.posted, int(ad_id[1:14]))
        return found if found < len(self) and self.ad_id(found) == ad_id else None

    def posted_at(self, number: int) -> datetime:
        """Return when an ad is posted."""
        return moment(self.posted[number])

    def _draw_first(self) -> None:
        """Generate the ads that are there at the start: as many as came and did not leave before."""
        dice = random.Random(f"{self._seed}:first")
        makes = [make for make, count in self._counts.items() for _ in range(count)]
        dice.shuffle(makes)
        moments = sorted(
            self._start - (int(dice.expovariate(1 / self._life) // DAY) + 1) * DAY + passed
            for passed in self._moments(dice, len(makes))
        )
        left = [self._start - at + dice.expovariate(1 / self._life) for at in moments]
        self._append(dice, moments, makes, left)

    def _moments(self, dice: random.Random, count: int) -> list[int]:
        """Return times of posting within a day of the market, in milliseconds since its beginning."""
        hours = dice.choices(range(24), self._course, k=count)
        return [hour * HOUR + dice.randrange(HOUR) for hour in hours]

    def _append(self, dice: random.Random, moments: list[int], makes: list[str], stays: list[float]) -> None:
        count = len(moments)
        regions = dice.choices(range(len(REGIONS)), _REGION_WEIGHTS, k=count)
        ranks = dice.choices(range(len(RANKS)), _RANK_WEIGHTS, k=count)
        models = {make: range(len(weights)) for make, weights in _MODEL_WEIGHTS.items()}
        last = self.posted[-1] if self.posted else 0
        for at, make, stay in zip(moments, makes, stays, strict=True):
            last = max(at, last + 1)  # the time tells ads apart
            self.posted.append(last)
            self.leaves.append(last + int(min(stay, NEVER - last)))
            self.make.append(MAKES.index(make))
            self.model.append(dice.choices(models[make], _MODEL_WEIGHTS[make])[0])
            self.digits.append((1 if dice.random() < 0.7 else 2) * 1000 + dice.randrange(1000))
        self.region.extend(regions)
        self.rank.extend(ranks)


def _factor(dice: random.Random) -> float:
    """Return by how much a price changes: usually down, sometimes up."""
    return dice.uniform(0.85, 0.98) if dice.random() < 0.85 else dice.uniform(1.02, 1.08)


def is_promoted(rank: int) -> bool:
    """Return whether that rank is one of promoted ads."""
    return rank != _NOT_PROMOTED
