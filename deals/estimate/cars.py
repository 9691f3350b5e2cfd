"""Cars as columns: the facts of ads that pricing uses, an array for each, for vectorized arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Texts = NDArray[np.object_]

LEAST_KM, MOST_KM = 1_000, 900_000  # outside are 228 for 228,000, and 5,555,555
LEAST_HP, MOST_HP = 30, 900
LEAST_LITRES, MOST_LITRES = 0.6, 8.5
_ALL_ALIKE = np.array([int(digit * count) for digit in "123456789" for count in (4, 5, 6)] + [123_456, 123_123])
APART_KM: Final = 1_000  # between two ads of one car, as in deals.stages.duplicates
MIDDLE_OF_YEAR: Final = 6.5  # where an ad gives no month

_COMMA = re.compile(r"(?<=\d),\s?(?=\d)")
_POWER = re.compile(r"(?<!\d)(\d{2,3})\s*(?:к\.?\s?с|k\.?\s?c|c\.?\s?k|h\.?p|ps)\b")
_LITRES = re.compile(r"(?<![\d.])([0-6]\.\d)(?![\d.])")


class Row(NamedTuple):
    """An ad as a row of sql/queries/pricing.sql; unknown values are None. `seen` is when it was last seen with this
    price, a year with its fraction; None for now, as in a file."""

    listing_id: int
    car: int
    price_eur: float | None
    year: int | None
    month: int | None
    mileage_km: int | None
    power_hp: int | None
    engine_cc: int | None
    make: str | None
    model: str | None
    family: str | None
    fuel: str | None
    gearbox: str | None
    body: str | None
    colour: str | None
    title: str
    seen: float | None = None
    seller: str | None = None
    equipment: Sequence[str] | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Rows as columns of one length; `ids` are ads."""

    ids: Ints

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def take(self, which: Bools | Ints) -> Self:
        """Return the rows of these indices, in their order, or of this mask."""
        return replace(self, **{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def joined(self, other: Self) -> Self:
        """Return these rows, then those of the other."""
        both = {each.name: [getattr(self, each.name), getattr(other, each.name)] for each in fields(self)}
        return replace(self, **{name: np.concatenate(pair) for name, pair in both.items()})


@dataclass(frozen=True, kw_only=True)
class Cars(Columns):
    """Ads as columns of one length. Unknown numbers are NaN, unknown texts are empty.

    `car` is the first ad of the same car, or the ad itself: ads of one car share it. `log_price` is the logarithm of
    EUR, `born` a year with its fraction, `km` kilometres, `power` horsepower, `engine` litres. `model` and `family`
    include the make, as in vinops.vehicles; `title` and `description` are in lower case. `seen` is NaN for now;
    `equipment` is a tuple of texts for each ad.
    """

    car: Ints
    log_price: Floats
    born: Floats
    km: Floats
    power: Floats
    engine: Floats
    make: Texts
    model: Texts
    family: Texts
    fuel: Texts
    gearbox: Texts
    body: Texts
    colour: Texts
    title: Texts
    seen: Floats
    seller: Texts
    equipment: Texts
    description: Texts


def of_rows(rows: Sequence[Row]) -> Cars:
    """Return ads as columns: without implausible numbers, with power and engine of the title where the ad has none."""
    by_name: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(Row._fields)}
    titles = [_COMMA.sub(".", title.casefold()) for title in by_name["title"]]
    return Cars(
        ids=np.array(by_name["listing_id"], dtype=np.int64),
        car=np.array(by_name["car"], dtype=np.int64),
        log_price=log_prices(by_name["price_eur"]),
        born=born(by_name["year"], by_name["month"]),
        km=plausible_km(by_name["mileage_km"]),
        power=plausible_power(by_name["power_hp"], titles),
        engine=_litres(by_name["engine_cc"], titles),
        **{
            name: _texts("" if value is None else value for value in by_name[name])
            for name in ("make", "model", "family", "fuel", "gearbox", "body", "colour", "seller")
        },
        title=_texts(titles),
        seen=np.array(by_name["seen"], dtype=np.float64),
        equipment=_texts(tuple(names or ()) for names in by_name["equipment"]),
        description=_texts((text or "").casefold() for text in by_name["description"]),
    )


def as_lots(cars: Cars) -> Cars:
    """Return the cars with only the facts of an auction's lot: no words, month, power, seller or equipment."""
    nothing = np.full(len(cars), np.nan)
    return replace(
        cars,
        born=born(np.floor(cars.born).tolist(), [None] * len(cars)),
        power=nothing,
        seen=nothing,
        title=_texts(["" for _ in cars.title]),
        seller=_texts(["" for _ in cars.seller]),
        equipment=_texts([() for _ in cars.equipment]),
        description=_texts(["" for _ in cars.description]),
    )


def same_cars(cars: Cars) -> Ints:
    """Return for each ad the first ad (least id) that seems to show the same car, whenever either was advertised.

    The same model, year and month, fuel, gearbox, body and power, and a mileage at most APART_KM from another ad's of
    the group. Ads without a mileage are one car. It errs on the side of one car: it keeps ads out of the other folds.
    """
    facts = [cars.model, cars.fuel, cars.gearbox, cars.body]
    codes = [np.unique(each.astype(str), return_inverse=True)[1] for each in facts]
    codes += [np.nan_to_num(each, nan=-1.0) for each in (cars.born, cars.power)]
    km = np.nan_to_num(cars.km, nan=-1e9)
    order = np.lexsort((km, *codes))
    is_new = np.ones(len(cars), dtype=bool)
    is_new[1:] = np.diff(km[order]) > APART_KM
    for each in codes:
        is_new[1:] |= np.diff(each[order]) != 0
    group = np.cumsum(is_new) - 1
    first = np.full(len(cars), np.iinfo(np.int64).max)
    np.minimum.at(first, group, cars.ids[order])
    found = np.empty(len(cars), dtype=np.int64)
    found[order] = first[group]
    return found


def log_prices(prices: Iterable[float | None]) -> Floats:
    """Return ln EUR; NaN for no price."""
    found = np.array(prices, dtype=np.float64)
    return np.log(np.where(found > 0, found, np.nan))


def born(years: Iterable[int | None], months: Iterable[int | None]) -> Floats:
    """Return years with their fraction: January 2010 is 2010.04."""
    month = np.array(months, dtype=np.float64)
    return np.array(years, dtype=np.float64) + (np.where(np.isfinite(month), month, MIDDLE_OF_YEAR) - 0.5) / 12


def plausible_km(mileages: Iterable[int | None]) -> Floats:
    """Return kilometres; NaN for an implausible mileage, such as 123,456, and for that of a new car."""
    km = np.array(mileages, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where((km >= LEAST_KM) & (km <= MOST_KM) & ~np.isin(km, _ALL_ALIKE), km, np.nan)


def plausible_power(powers: Iterable[int | None], titles: Sequence[str] = ()) -> Floats:
    """Return horsepower; NaN for an implausible power that the title does not give either."""
    power = np.array(powers, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        power = np.where((power >= LEAST_HP) & (power <= MOST_HP), power, np.nan)
    for place in np.flatnonzero(np.isnan(power)).tolist() if titles else ():
        if (told := _POWER.search(titles[place])) and int(told[1]) >= LEAST_HP:
            power[place] = int(told[1])
    return power


def _litres(displacements: Iterable[int | None], titles: Sequence[str]) -> Floats:
    litres = np.array(displacements, dtype=np.float64) / 1000
    with np.errstate(invalid="ignore"):
        litres = np.where((litres >= LEAST_LITRES) & (litres <= MOST_LITRES), litres, np.nan)
    for place in np.flatnonzero(np.isnan(litres)).tolist():
        if (told := _LITRES.search(titles[place])) and float(told[1]) >= LEAST_LITRES:
            litres[place] = float(told[1])
    return np.round(litres, 1)  # 1968 ccm is the 2.0 of the title


def _texts(values: Iterable[Any]) -> Texts:
    listed = list(values)
    texts = np.empty(len(listed), dtype=object)
    for place, value in enumerate(listed):  # at once, tuples of one length would become rows
        texts[place] = value
    return texts
