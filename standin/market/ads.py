"""The ads of the market, generated so that prices, ages and mileages are consistent with each other.

drawer = AdDrawer(seed=1)
ads = drawer.draw("bmw", 100, posted_from=first, posted_to=last)
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from standin.market.values import (
    ABROAD,
    ALL_MAKES,
    AUTOMATIC,
    COLOURS,
    CONTACTS,
    COUNTRIES,
    CRASHED,
    DAMAGE,
    DEALERS,
    FIRST_NAMES,
    FUTURE_GUARANTEE,
    HALF_AUTOMATIC,
    LEASE_BALANCE,
    MANUAL,
    NEGATED,
    NO_PRICE,
    ORDINARY_EQUIPMENT,
    PRAISE,
    REGIONS,
    TRIMS,
    VAT_NOTES,
    slugified,
)

if TYPE_CHECKING:
    from standin.market.values import Engine, Make, Model

Promotion = Literal["", "BEST", "TOP", "VIP"]
T = TypeVar("T")
Seller = Literal["private", "dealer"]
#: A defect of an ad that otherwise looks ordinary.
Oddity = Literal["placeholder", "lease_balance", "impossible_hp", "short_mileage", "long_mileage", "future_guarantee"]

#: BGN per EUR, the rate fixed by law.
BGN_PER_EUR: Final = Decimal("1.95583")
#: Share of the ads that are real bargains: an undamaged car at 67 to 78.5 % of its fair price.
BARGAINS: Final = 0.03
DAMAGED: Final = 0.02
NEGATIONS: Final = 0.08
WITHOUT_PRICE: Final = 0.02
TWICE: Final = 0.01
IN_A_FOREIGN_COUNTRY: Final = 0.04
ODD: Final[dict[Oddity, float]] = {
    "placeholder": 0.004,
    "lease_balance": 0.003,
    "impossible_hp": 0.002,
    "short_mileage": 0.004,
    "long_mileage": 0.003,
    "future_guarantee": 0.02,
}
PROMOTED: Final[dict[Promotion, float]] = {"BEST": 0.015, "TOP": 0.03, "VIP": 0.01}
#: Share of its price that a car keeps per year.
_KEPT: Final = 0.885
#: Spread of the prices of comparable cars: the standard deviation of the logarithm of the price.
_SPREAD: Final = 0.11
_YEARLY_KM: Final = 15_500
_CHEAPEST: Final = 450
_FUEL_FACTOR: Final = {"Дизелов": 1.04, "Газ": 0.92, "Метан": 0.9, "Хибриден": 1.08, "Plug-in хибрид": 1.05}
_NEW_FOR: Final = timedelta(days=3)
_PHOTO_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ad:
    """An ad: the values that its page shows, followed by values that only the stand-in knows.

    `price` is in EUR, or None if the page shows the text `no_price` instead; `price_bgn` is the same price in BGN.
    `mileage_km`, `power_hp` and similar fields are the values shown, None if the ad omits them. `make` and `model` are
    slugs. `photos` holds the letters at the end of each photo's URL. `region` and `place` are empty if the ad says
    nothing about where the car is.
    """

    id: str
    make: str
    model: str
    make_name: str
    model_name: str
    title: str
    posted: datetime
    year: int
    month: int
    mileage_km: int | None
    fuel: str
    gearbox: str
    body: str
    power_hp: int | None
    engine_cc: int | None
    battery_kwh: float | None
    colour: str | None
    euro_class: int | None
    region: str
    place: str
    seller: Seller
    dealer: str | None
    phone: str
    price: Decimal | None
    price_bgn: Decimal | None
    no_price: str | None
    vat: str
    trend: Literal["", "UP", "DOWN"]
    description: str
    equipment: tuple[str, ...]
    photos: tuple[str, ...]
    promotion: Promotion
    is_new: bool
    #: The average price of such a car without damage, in EUR.
    fair_price: Decimal
    is_bargain: bool
    is_damaged: bool
    oddity: Oddity | None
    #: The id of the first ad for the same car, if this ad is a duplicate.
    twin_of: str | None

    @property
    def is_abroad(self) -> bool:
        """Return whether the car is located outside Bulgaria."""
        return self.region == ABROAD

    @property
    def location(self) -> str:
        """Return region and place as a card shows them."""
        return f"{self.region}, {self.place}" if self.region else ""

    @property
    def path(self) -> str:
        """Return the URL path of the ad's page."""
        return f"/obiava-{self.id}-{slugified(self.title)}"

    @property
    def is_no_offer(self) -> bool:
        """Return whether the price shown is not a real offer: a placeholder or the balance of a lease."""
        return self.oddity in ("placeholder", "lease_balance")


def is_new(posted: datetime, now: datetime) -> bool:
    """Return whether an ad posted at that time is marked as new."""
    return now - posted < _NEW_FOR


def priced(ad: Ad, eur: Decimal | None) -> Ad:
    """Return the ad with another price, marked as raised (UP) or lowered (DOWN)."""
    if eur is None:
        return replace(ad, price=None, price_bgn=None, no_price=NO_PRICE[0], trend="")
    trend = ad.trend if ad.price is None or eur == ad.price else "UP" if eur > ad.price else "DOWN"
    return replace(ad, price=eur, price_bgn=_cents(eur * BGN_PER_EUR), no_price=None, trend=trend)


class AdDrawer:
    """Generates ads with unique ids from a seed."""

    def __init__(self, *, seed: int, now: datetime) -> None:
        """Set the seed, and the time from which the ages of the cars are counted."""
        self._seed = seed
        self._now = now
        self._taken: set[str] = set()

    def draw(
        self, make: str, count: int, *, posted_from: datetime, posted_to: datetime, occasion: str = ""
    ) -> list[Ad]:
        """Return `count` ads of a make, posted after `posted_from` and not after `posted_to`.

        The same seed, make, count, times and occasion give the same ads, provided that the same ads were generated
        before.
        """
        dice = random.Random(f"{self._seed}:{make}:{occasion}")
        described = ALL_MAKES[make]
        shares = [model.share for model in described.models]
        ads: list[Ad] = []
        for _ in range(count):
            posted, ad_id = self._posted(dice, posted_from, posted_to)
            if ads and dice.random() < TWICE:
                ads.append(self._twin(dice, dice.choice(ads), ad_id, posted, posted_to))
            else:
                model = dice.choices(described.models, shares)[0]
                ads.append(self._ad(dice, described, model, ad_id, posted, posted_to))
        return ads

    def draw_one(self, key: str, make: Make, model: Model, *, ad_id: str, posted: datetime) -> Ad:
        """Return the ad of a model with that id; the same seed and key give the same ad, whatever was drawn before."""
        return self._ad(random.Random(f"{self._seed}:one:{key}"), make, model, ad_id, posted, posted)

    def _posted(self, dice: random.Random, first: datetime, last: datetime) -> tuple[datetime, str]:
        """Return a random time and the id of an ad posted then: a source digit, milliseconds, three random digits."""
        earliest, latest = _milliseconds(first) + 1, _milliseconds(last)
        while True:
            moment = dice.randint(earliest, latest)
            ad_id = f"{dice.choices((1, 2), (7, 3))[0]}{moment:013d}{dice.randrange(1000):03d}"
            if ad_id not in self._taken:
                self._taken.add(ad_id)
                return datetime.fromtimestamp(moment / 1000, UTC), ad_id

    def _ad(self, dice: random.Random, make: Make, model: Model, ad_id: str, posted: datetime, now: datetime) -> Ad:
        oddity = _one_of(dice, ODD)
        damaged = dice.random() < DAMAGED
        bargain = not damaged and oddity is None and dice.random() < BARGAINS / (1 - DAMAGED - sum(ODD.values()))
        age = self._age(dice, model)
        built = self._now - timedelta(days=365.25 * age)
        engine = dice.choice([engine for engine in model.engines if _fits(engine, built.year)] or model.engines)
        mileage = _mileage(dice, age, engine)
        gearbox = _gearbox(dice, model, engine, built.year)
        fair = _fair_price(model, engine, gearbox, age, mileage)
        asked = _asked(dice, fair, damaged=damaged, bargain=bargain)
        seller: Seller = "dealer" if dice.random() < 0.6 else "private"
        region, place = _place(dice)
        price, price_bgn = _price(dice, asked, oddity)
        unsaid = oddity is None and not bargain and dice.random() < WITHOUT_PRICE
        phone = _phone(dice)
        equipment = _equipment(dice, age, engine, damaged=damaged)
        trim = dice.choice(TRIMS)
        litres = f"{engine.cc / 1000:.1f}" if engine.cc else f"{engine.battery_kwh:.0f} kWh"
        return Ad(
            id=ad_id,
            make=make.slug,
            model=model.slug,
            make_name=make.name,
            model_name=model.name,
            title=" ".join(f"{make.name} {model.name} {litres if dice.random() < 0.6 else ''} {trim}".split()),
            posted=posted,
            year=built.year,
            month=built.month,
            mileage_km=_shown_mileage(dice, mileage, oddity),
            fuel=engine.fuel,
            gearbox=gearbox,
            body="Комби" if model.body == "Седан" and dice.random() < 0.25 else model.body,
            power_hp=1896 if oddity == "impossible_hp" else engine.hp if dice.random() < 0.97 else None,
            engine_cc=engine.cc if dice.random() < 0.75 else None,
            battery_kwh=engine.battery_kwh,
            colour=dice.choices(list(COLOURS), list(COLOURS.values()))[0] if dice.random() < 0.87 else None,
            euro_class=_euro_class(built.year) if dice.random() < 0.7 else None,
            region=region,
            place=place,
            seller=seller,
            dealer=dice.choice(DEALERS) if seller == "dealer" else None,
            phone=phone,
            price=None if unsaid else price,
            price_bgn=None if unsaid else price_bgn,
            no_price=dice.choice(NO_PRICE) if unsaid else None,
            vat=dice.choices(list(VAT_NOTES), list(VAT_NOTES.values()))[0],
            trend=dice.choices(("", "DOWN", "UP"), (84, 14, 2))[0] if not unsaid else "",
            description=_description(dice, phone, oddity, damaged=damaged),
            equipment=equipment,
            photos=_photos(dice),
            promotion=_one_of(dice, PROMOTED) or "",
            is_new=is_new(posted, now),
            fair_price=Decimal(round(fair)),
            is_bargain=bargain,
            is_damaged=damaged,
            oddity=oddity,
            twin_of=None,
        )

    def _twin(self, dice: random.Random, ad: Ad, ad_id: str, posted: datetime, now: datetime) -> Ad:
        """Return a duplicate ad for the same car: another title, other photos, almost the same price and mileage."""
        price = None if ad.price is None else _rounded(float(ad.price) * dice.uniform(0.985, 1.015))
        if ad.is_no_offer:
            price = ad.price
        mileage = ad.mileage_km + dice.randrange(0, 900, 50) if ad.mileage_km and ad.oddity is None else ad.mileage_km
        phone = ad.phone if dice.random() < 0.5 else _phone(dice)
        return replace(
            priced(ad, price) if price is not None else ad,
            id=ad_id,
            title=f"{ad.make_name} {ad.model_name} {dice.choice(TRIMS)}".strip(),
            posted=posted,
            mileage_km=mileage,
            phone=phone,
            trend="",
            description=_description(dice, phone, ad.oddity, damaged=ad.is_damaged),
            photos=_photos(dice),
            promotion="",
            is_new=is_new(posted, now),
            twin_of=ad.twin_of or ad.id,
        )

    def _age(self, dice: random.Random, model: Model) -> float:
        """Return the age of a car in years: mostly 6 to 20, within the years in which the model was built."""
        newest = max(self._now.year - model.last_year, 0) + (0.2 if model.last_year >= self._now.year else 0)
        oldest = max(self._now.year - model.first_year, newest + 1)
        for _ in range(20):
            age = dice.gammavariate(3.6, 3.4)
            if newest <= age <= oldest:
                return age
        return dice.uniform(newest, oldest)


def _one_of(dice: random.Random, shares: dict[T, float]) -> T | None:
    """Return one of the names, each with the probability `shares` gives it, or None."""
    drawn = dice.random()
    for name, share in shares.items():
        drawn -= share
        if drawn < 0:
            return name
    return None


def _fits(engine: Engine, year: int) -> bool:
    """Return whether such an engine was sold in that year."""
    first = {"Електрически": 2011, "Plug-in хибрид": 2014, "Хибриден": 2006}.get(engine.fuel, 0)
    return year >= first


def _mileage(dice: random.Random, age: float, engine: Engine) -> int:
    """Return the mileage in km: more per year in the first twelve years than later, and more for diesel engines."""
    yearly = _YEARLY_KM * (1.15 if engine.fuel == "Дизелов" else 0.85)
    driven = yearly * (age if age < 12 else 12 + (age - 12) * 0.35)
    return max(round(driven * math.exp(dice.gauss(0, 0.3)) / 100) * 100, 1200)


def _shown_mileage(dice: random.Random, mileage: int, oddity: Oddity | None) -> int | None:
    if oddity == "short_mileage":
        return dice.choice((1, 228, 195, 210, 999))
    if oddity == "long_mileage":
        return dice.choice((1_111_111, 1_250_000, 2_180_000))
    return mileage if dice.random() < 0.98 else None


def _gearbox(dice: random.Random, model: Model, engine: Engine, year: int) -> str:
    if engine.fuel in ("Електрически", "Хибриден", "Plug-in хибрид"):
        return AUTOMATIC
    share = min(max(model.new_price / 75_000 + (year - 2012) * 0.02, 0.06), 0.97)
    if dice.random() < 0.004:
        return HALF_AUTOMATIC
    return AUTOMATIC if dice.random() < share else MANUAL


def _fair_price(model: Model, engine: Engine, gearbox: str, age: float, mileage: int) -> float:
    """Return the average asking price of such a car without damage, in EUR."""
    expected = _YEARLY_KM * (age if age < 12 else 12 + (age - 12) * 0.35)
    worn = math.exp(-0.0000018 * min(mileage - expected, 250_000))
    strength = math.pow(engine.hp / (sum(other.hp for other in model.engines) / len(model.engines)), 0.35)
    comfort = 1.05 if gearbox == AUTOMATIC else 0.98
    fuel = _FUEL_FACTOR.get(engine.fuel, 1.0)
    aged = math.pow(_KEPT, age)
    return max(model.new_price * 0.93 * aged * worn * strength * comfort * fuel, _CHEAPEST * 1.6)


def _asked(dice: random.Random, fair: float, *, damaged: bool, bargain: bool) -> float:
    """Return the asking price of one seller, in EUR."""
    if bargain:
        return fair * dice.uniform(0.67, 0.785)
    if damaged:
        return fair * dice.uniform(0.3, 0.6)
    return max(fair * math.exp(dice.gauss(0.01, _SPREAD)), _CHEAPEST)


def _price(dice: random.Random, asked: float, oddity: Oddity | None) -> tuple[Decimal, Decimal]:
    """Return the price in EUR and in BGN: one of them is a round number, the other is converted from it."""
    if oddity == "placeholder":
        return _cents(11 / BGN_PER_EUR), Decimal(11)
    if oddity == "lease_balance":
        asked *= 0.25
    if dice.random() < 0.7:
        eur = _rounded(asked)
        return eur, _cents(eur * BGN_PER_EUR)
    bgn = _rounded(asked * float(BGN_PER_EUR))
    return _cents(bgn / BGN_PER_EUR), bgn


def _rounded(value: float) -> Decimal:
    """Return a round price, as people write it, within about 1 % of the value."""
    step = 10 if value < 1_500 else 50 if value < 5_000 else 100 if value < 20_000 else 250
    price = round(value / step) * step
    return Decimal(price - 1 if price % 1_000 == 0 and price >= 5_000 else price)


def _cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"))


def _euro_class(year: int) -> int:
    return next((norm for norm, since in ((6, 2015), (5, 2010), (4, 2005), (3, 2000), (2, 1996)) if year >= since), 1)


def _place(dice: random.Random) -> tuple[str, str]:
    if dice.random() < IN_A_FOREIGN_COUNTRY:
        return ABROAD, dice.choice(COUNTRIES)
    region = dice.choices(list(REGIONS), [share for share, _ in REGIONS.values()])[0]
    return region, dice.choice(REGIONS[region][1])


def _phone(dice: random.Random) -> str:
    """Return one of a hundred telephone numbers that are evidently invented."""
    return f"08880000{dice.randrange(100):02d}"


def _spelled(dice: random.Random, phone: str) -> str:
    """Return a telephone number in one of the usual notations."""
    parts = (phone[1:4], phone[4:7], phone[7:])
    return dice.choice((phone, f"+359{phone[1:]}", f"0{' '.join(parts)}", f"+359 {' '.join(parts)}",
                        f"0{parts[0]}/{parts[1]}-{parts[2]}"))  # fmt: skip


def _equipment(dice: random.Random, age: float, engine: Engine, *, damaged: bool) -> tuple[str, ...]:
    """Return the ticked equipment in the order of the form.

    Newer cars have more of it. Half of the damaged ones have the entry for an accident ticked.
    """
    share = min(max(0.75 - age * 0.025, 0.12), 0.75) * dice.uniform(0.6, 1.15)
    ticked = [name for name in ORDINARY_EQUIPMENT if dice.random() < share]
    if engine.fuel == "Газ":
        ticked.append("Газова уредба")
    if damaged and dice.random() < 0.5:
        ticked.append(CRASHED)
    return tuple(ticked)


def _description(dice: random.Random, phone: str, oddity: Oddity | None, *, damaged: bool) -> str:
    sentences = dice.sample(PRAISE, dice.randint(0, 5))
    if damaged:
        sentences = [dice.choice(DAMAGE), *sentences[:1]]
    elif dice.random() < NEGATIONS:
        sentences.append(dice.choice(NEGATED))
    if oddity == "lease_balance":
        sentences.append(LEASE_BALANCE)
    if oddity == "future_guarantee":
        sentences.append(FUTURE_GUARANTEE)
    if dice.random() < 0.2:
        spelled = _spelled(dice, phone)
        sentences.append(dice.choice(CONTACTS).format(phone=spelled, name=dice.choice(FIRST_NAMES)))
    return ("<br>" if dice.random() < 0.3 else " ").join(sentences)


def _photos(dice: random.Random) -> tuple[str, ...]:
    """Return the letters that identify each photo; one ad in a hundred has no photos."""
    count = 0 if dice.random() < 0.01 else dice.choice((5, 7, 8, 10, 11, 12, 14, 15, 16, 17, 17))
    return tuple("".join(pair) for pair in zip(*(dice.sample(_PHOTO_LETTERS, count) for _ in range(2)), strict=True))


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
