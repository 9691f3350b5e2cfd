"""The rows of the stand-in feed: how a realistic lot is generated, changed and relisted.

A lot is kept as the text of its row without the leading `Id`: files are written from that text, and it is the part of
a row that does not change from file to file. A row is only split into fields when the lot changes.

All random numbers come from `random.Random.random()`, the only method whose sequence Python guarantees across versions.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import operator
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeVar

from standin.feed import values
from standin.feed.places import Yard, load_yards, us_summer
from standin.photos.lots import FOLDER, photo_name

#: The root of the Image URLs in the real feed.
PHOTO_BASE: Final = "http://inventoryv2.copart.io"

T = TypeVar("T")
Draw = Callable[[], float]

#: Position of each column in a lot's fields, that is in the row without `Id`.
FIELD: Final = {name: position for position, name in enumerate(values.HEADER_2026[1:])}

WEEKDAYS: Final = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
VIN_LETTERS: Final = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
VIN_VALUES: Final = dict(zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", [*range(10), *range(1, 9), 1, 2, 3, 4, 5, 7, 9,
                                                                  *range(2, 10)], strict=True))  # fmt: skip
VIN_YEARS: Final = "ABCDEFGHJKLMNPRSTVWXY123456789"
VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
#: 1ZZ is not assigned to any manufacturer, so no generated VIN belongs to a real vehicle.
VIN_PREFIX: Final = "1ZZ"

#: Age of a vehicle in years, with weights: most vehicles in the feed are seven to thirteen years old.
AGES: Final = (
    (-1, 1), (0, 19), (1, 39), (2, 36), (3, 38), (4, 41), (5, 46), (6, 51), (7, 65), (8, 69), (9, 77), (10, 73),
    (11, 69), (12, 63), (13, 55), (14, 46), (15, 37), (16, 30), (17, 22), (18, 26), (19, 22), (20, 19), (21, 13),
    (22, 10), (23, 9), (24, 5), (25, 5), (26, 3), (27, 3), (28, 2), (29, 1), (30, 1), (34, 1),
)  # fmt: skip
#: Remaining share of the new price by age in years. Computed by multiplication because the result of the C library's
#: `pow` may differ between machines.
_WORTH: Final = tuple(itertools.accumulate([0.87] * 40, operator.mul, initial=1.0))
WEEKS_AHEAD: Final = ((0, 45), (1, 33), (2, 14), (3, 6), (4, 2))
CONDITIONS: Final = (
    (("D", "Run & Drive Verified"), 655), (("E", "DEFAULT"), 244), (("S", "Vehicle Starts"), 75), (("", ""), 26),
)  # fmt: skip
SALE_STATUSES: Final = (("Pure Sale", 66), ("On Minimum Bid", 26), ("On Approval", 8))
KEYS: Final = (("YES", 92), ("NO", 6), ("EXM", 2))


def weighted(choices: Iterable[tuple[T, int]]) -> list[T]:
    """Return a list that repeats each value as often as its weight, so that a uniform choice is a weighted one."""
    return [value for value, weight in choices for _ in range(weight)]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model, with the values that its rows may have in the vehicle columns."""

    kind: str
    vehicle_type: str
    head: str
    bodies: Sequence[str]
    drives: Sequence[str]
    transmissions: Sequence[str]
    fuels: Sequence[str]
    engines: Sequence[tuple[str, str]]
    trims: Sequence[str]
    price: int
    vin: str
    vin_sum: int


def load_models() -> list[Model]:
    """Return all models, each repeated as often as its weight."""
    models: list[Model] = []
    for position, line in enumerate(values.MODELS.splitlines()):
        make, names, kind, weight, engines, trims, price = line.split("|")
        group, detail = names.split(">")
        vehicle_type, bodies, drives, transmission, fuel = values.KINDS[kind]
        vin = VIN_PREFIX + "".join(VIN_LETTERS[(position * step + shift) % 33] for step, shift in _VIN_STEPS)
        models += [
            Model(
                kind=kind,
                vehicle_type=vehicle_type,
                head=f'{make}","{group[:10]}","{detail}',
                bodies=bodies.split(","),
                drives=[name for code in drives.split(",") for name in weighted(values.DRIVES[code])],
                transmissions=weighted(values.TRANSMISSIONS[transmission]),
                fuels=weighted(values.FUELS[fuel]),
                engines=_engines(engines),
                trims=trims.split(","),
                price=int(price) * 1000,
                vin=vin,
                vin_sum=sum(VIN_VALUES[c] * w for c, w in zip(vin, VIN_WEIGHTS, strict=False)),
            )
        ] * int(weight)
    return models


_VIN_STEPS: Final = ((1, 4), (7, 11), (13, 2), (5, 19), (11, 8))


def _engines(text: str) -> list[tuple[str, str]]:
    """Return pairs of Engine and Cylinders as the feed writes them: a third of the engines with two blanks."""
    if not text:
        return [("", "")] * 9 + [("0.0L 0", "0")]
    pairs = [entry.split("/") for entry in text.split(",")]
    return [
        (f"{litres}L{blank}{cylinders}", cylinders) for blank in (" ", " ", "  ") for litres, cylinders in pairs
    ] * 7 + [("", "")]


def check_digit(vin: str) -> str:
    """Return the check digit, the ninth character, of a 17-character VIN (ISO 3779 as used in North America)."""
    total = sum(VIN_VALUES[character] * weight for character, weight in zip(vin, VIN_WEIGHTS, strict=True))
    return "0123456789X"[total % 11]


def _digit_sums(weights: tuple[int, int, int]) -> list[int]:
    a, b, c = weights
    return [n // 100 * a + n // 10 % 10 * b + n % 10 * c for n in range(1000)]


_HIGH_DIGITS: Final = _digit_sums((7, 6, 5))
_LOW_DIGITS: Final = _digit_sums((4, 3, 2))


class Clock:
    """Dates and times relative to one snapshot, formatted as in the feed. Sales are `sales_ahead` days later than from
    today on."""

    def __init__(self, now: datetime, sales_ahead: int = 0) -> None:
        self.now = now.astimezone(UTC)
        self.summer = us_summer(self.now.date())
        self.seconds = int(self.now.timestamp())
        self._days: dict[int, str] = {}
        self.sales_ahead = sales_ahead
        today = self.now.date() + timedelta(days=sales_ahead)
        self._sales = [
            [
                (day.strftime("%Y%m%d"), WEEKDAYS[weekday])
                for day in (today + timedelta(days=(weekday - today.weekday()) % 7 + 7 * week) for week in range(5))
            ]
            for weekday in range(7)
        ]

    def _day(self, number: int) -> str:
        text = self._days.get(number)
        if text is None:
            text = self._days[number] = (date(1970, 1, 1) + timedelta(days=number)).isoformat()
        return text

    def created(self, seconds_ago: int, micros: int) -> str:
        """Return a Create Date/Time, such as `2025-10-14-08.55.06.000795`."""
        day, second = divmod(self.seconds - seconds_ago, 86400)
        hour, rest = divmod(second, 3600)
        return f"{self._day(day)}-{hour:02}.{rest // 60:02}.{rest % 60:02}.{micros:06}"

    def updated(self, seconds_ago: int) -> str:
        """Return a Last Updated Time, such as `2025-10-14T07:01:00Z`."""
        day, second = divmod(self.seconds - seconds_ago, 86400)
        hour, rest = divmod(second, 3600)
        return f"{self._day(day)}T{hour:02}:{rest // 60:02}:{rest % 60:02}Z"

    def sale(self, weekday: int, week: int) -> tuple[str, str]:
        """Return sale date and day of the week of a `weekday` (0 is Monday), `week` weeks after its next occurrence."""
        return self._sales[weekday][week]


class LotMaker:
    """Generates the lots of one market from a seed. Its VINs are unique for the first million lots."""

    def __init__(
        self, *, seed: int, clock: Clock, photo_base: str = PHOTO_BASE, thumbnail_base: str | None = None
    ) -> None:
        self.clock = clock
        self._photo_base = photo_base.rstrip("/")
        self._thumbnail_base = thumbnail_base and thumbnail_base.rstrip("/")
        self._seed = seed
        self._random = random.Random(seed)
        self._draw: Draw = self._random.random
        self._made = 0
        self.physical, virtual = load_yards()
        self._by_country = {
            country: [yard for yard in self.physical if yard.country == country] for country in ("USA", "CAN")
        }
        self._by_state: dict[str, list[Yard]] = {}
        for yard in self.physical:
            self._by_state.setdefault(yard.state, []).append(yard)
        self._specialty = {yard.number: yard for yard in virtual}
        self.yards = self.physical + [yard for yard in virtual if yard.number not in (832, 833, 835, 836, 837, 841)]
        self._numbered = {yard.number: yard for yard in (*self.physical, *virtual)}
        self._models = load_models()
        self._ages = weighted(AGES)
        self._weeks = weighted(WEEKS_AHEAD)
        self._conditions = weighted(CONDITIONS)
        self._statuses = weighted(SALE_STATUSES)
        self._keys = weighted(KEYS)
        self._colors = weighted(values.COLORS)
        self._damages = weighted(values.DAMAGES)
        self._second_damages = weighted(values.SECOND_DAMAGES)
        self._titles = {state: weighted(codes) for state, codes in values.TITLE_CODES.items()}
        self._titles_elsewhere = weighted(values.TITLE_CODES_ELSEWHERE)

    def clone(self) -> LotMaker:
        """Return an independent copy that generates the same lots as this maker would."""
        twin, dice = copy.copy(self), copy.copy(self._random)
        vars(twin).update(_random=dice, _draw=dice.random)
        return twin

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices, all equally likely."""
        return choices[int(self._draw() * len(choices))]

    def make(self, number: int, *, age: int) -> str:
        """Return the row, without `Id`, of a new lot that entered the inventory `age` seconds ago."""
        draw, clock = self._draw, self.clock
        model = self.pick(self._models)
        yard = self._yard_for(model)
        place = self._place_of(yard)
        years = self.pick(self._ages)
        if model.kind in ("ev", "hybrid"):
            years %= 9
        year = clock.now.year - years
        engine, cylinders = self.pick(model.engines)
        condition, runs = self.pick(self._conditions)
        retail = model.price * _WORTH[max(years, 0)] * (0.6 + 0.7 * draw()) + 150
        odometer, brand = self._odometer(years)
        status = self.pick(self._statuses)
        titled_in = place.state if draw() < 0.82 else self.pick(self.physical).state
        sale_date, weekday, time, item = self._sale(yard)
        light, grade, announcements = self._inspection() if yard.number == 855 and draw() < 0.06 else ("", "", "")
        note, offsite, grid = self._whereabouts(place)
        created_day = clock.created(age, int(draw() * 1000) * 1000)
        updated = clock.updated(int(age * draw() * draw()))
        return (
            f'"{yard.number}","{yard.name}","{sale_date}","{weekday}","{time}",'
            f'"{yard.label(summer=clock.summer, lot=number)}","{item}","{number}","{model.vehicle_type}","{year}",'
            f'"{model.head}","{self.pick(model.bodies) if draw() < 0.18 else ""}","{self.pick(self._colors)}",'
            f'"{self.pick(self._damages)}","{self.pick(self._second_damages)}","{titled_in}",'
            f'"{self.pick(self._titles.get(titled_in, self._titles_elsewhere))}",'
            f'"{"EXM" if model.vehicle_type == "R" else self.pick(self._keys)}","{condition}",'
            f'"{self._vin(model, year)}","{odometer}","{brand}","{self._retail(retail)}","{self._repair(retail)}",'
            f'"{engine}","{self.pick(model.drives)}","{self.pick(model.transmissions)}","{self.pick(model.fuels)}",'
            f'"{cylinders}","{runs}","{status}","{self._bid(retail)}","{note}","{place.city}","{place.state}",'
            f'"{place.zip}","{place.country}","{"CAD" if place.country == "CAN" else "USD"}",'
            f'"{self._thumbnail(number, created_day)}","{created_day}","{grid}",'
            f'"{"Y" if status == "On Minimum Bid" and draw() < 0.4 else "N"}","{self._buy_now(retail)}",'
            f'"{self._image_url(number, place.country, yard.number)}",'
            f'"{self.pick(model.trims) if draw() < 0.96 else ""}",'
            f'"{updated}","{"TRUE" if yard.number == 838 and draw() < 0.5 else "FALSE"}",'
            f'"{"TRUE" if yard.number == 855 else "FALSE"}","{self.pick(values.SELLERS) if draw() < 0.34 else ""}",'
            f'{offsite},"{light}","{grade}","{announcements}"'
        )

    def _yard_for(self, model: Model) -> Yard:
        yard = self.pick(self.yards)
        if model.kind in ("moto", "atv", "snow", "jet") and self._draw() < 0.5:
            return self._specialty[841]
        if model.kind in ("cargo", "medium", "heavy", "rv", "machine") and self._draw() < 0.5:
            return self._specialty[{"heavy": 836, "rv": 833, "machine": 837}.get(model.kind, 835)]
        return yard

    def _place_of(self, yard: Yard) -> Yard:
        """Return the physical yard where a lot is located that this yard or virtual sale auctions."""
        if not yard.virtual:
            return yard
        if yard.number == 295:
            return self.pick(self._by_state["NS"])
        return self.pick(self._by_country[yard.country])

    def _sale(self, yard: Yard) -> tuple[str, str, str, int]:
        """Return sale date, weekday, time and item number; without a sale: date 0, item 0, no weekday and no time."""
        draw = self._draw
        if draw() < 0.28:
            return "0", "", "", 0
        week = self.pick(self._weeks)
        sale_date, weekday = self.clock.sale(self.pick(yard.weekdays), week)
        item = int(draw() * 1400) + 1 if week == 0 and draw() < 0.6 else 0
        return sale_date, weekday, "0" if draw() < 0.0001 else yard.time, item

    def _vin(self, model: Model, year: int) -> str:
        self._made += 1
        if self._draw() < 0.0001:
            return ""
        code = VIN_YEARS[(year - 1980) % 30]
        plant = VIN_LETTERS[10 + self._made % 23]
        high, low = divmod(self._made * 7919 % 1_000_000, 1000)
        total = model.vin_sum + VIN_VALUES[code] * 9 + VIN_VALUES[plant] * 8 + _HIGH_DIGITS[high] + _LOW_DIGITS[low]
        return f"{model.vin}{'0123456789X'[total % 11]}{code}{plant}{high:03}{low:03}"

    def _odometer(self, years: int) -> tuple[str, str]:
        draw = self._draw
        if draw() < 0.12:
            return "0.0", "N" if draw() < 0.6 else "E"
        miles = int((max(years, 0) + 0.4) * 11500 * (0.35 + 1.2 * draw()))
        share = draw()
        return f"{miles}.0", "A" if share < 0.86 else "E" if share < 0.93 else "N" if share < 0.998 else "X"

    def _retail(self, retail: float) -> str:
        return "0.0" if self._draw() < 0.06 else f"{int(retail)}.0"

    def _repair(self, retail: float) -> str:
        share = self._draw()
        if share < 0.28:
            return "0.0"
        if share < 0.281:
            return "9999999.99"
        return repr(round(retail * (0.25 + self._draw()), 2)) if share < 0.98 else "5000.0"

    def _bid(self, retail: float) -> str:
        draw = self._draw
        return "0.0" if draw() < 0.5 else f"{int(retail * 0.4 * draw() / 25) * 25}.0"

    def _buy_now(self, retail: float) -> str:
        return "0.0" if self._draw() < 0.95 else f"{int(retail * 0.5 / 100) * 100 + 100}.0"

    def _whereabouts(self, place: Yard) -> tuple[str, str, str]:
        """Return the special note, the four offsite columns as CSV text, and the position in the yard (Grid/Row)."""
        draw = self._draw
        note = ""
        if draw() < 0.035:
            note = self.pick(values.NON_ASCII_NOTES) if draw() < 0.03 else self.pick(values.NOTES)
        if draw() < 0.014:
            short = place.zip.split(" ")[0]
            return note, f'"{self.pick(values.ADDRESSES)}","{place.state}","{place.city}","{short}"', "*OFF"
        share = draw()
        row = f"{'ABCDEFGHJKLMN'[int(share * 13)]}{int(draw() * 30) * 10:03}"
        return note, '"","","",""', row if share < 0.82 else f"{int(draw() * 4)}{row}" if share < 0.998 else ""

    def _inspection(self) -> tuple[str, str, str]:
        share = self._draw()
        light = "RED LIGHT" if share < 0.75 else "GREEN LIGHT" if share < 0.88 else "YELLOW LIGHT"
        return light, f"{int(self._draw() * 50) / 10:g}", self.pick(values.ANNOUNCEMENTS)

    def _image_url(self, number: int, country: str, yard: int) -> str:
        return image_url(number, country, yard, base=self._photo_base)

    def _thumbnail(self, number: int, created: str) -> str:
        if self._thumbnail_base is not None:
            # The first photo on the stand-in's own CDN. As in the real feed, the URL has no scheme.
            return f"{self._thumbnail_base.rpartition('://')[2]}{FOLDER}/{photo_name(self._seed, number, 1)}_thb.jpg"
        digest = hashlib.md5(f"{self._seed}:{number}:{created}".encode(), usedforsecurity=False).hexdigest()
        return f"cs.copart.com/v1/AUTH_svc.pdoc00001/lpp/{created[5:7]}{created[2:4]}/{digest}_thb.jpg"

    def changed(self, row: str, *, since: int) -> str:
        """Return the row of a lot after a change in the last `since` seconds.

        At least one column besides Last Updated Time differs, and that time is newer than all times in the previous
        file.
        """
        fields = split_row(row)
        for touch, share in (
            (self._touch_sale_date, 0.26),
            (self._touch_item, 0.15),
            (self._touch_status, 0.05),
            (self._touch_buy_now, 0.05),
            (self._touch_repair, 0.03),
            (self._touch_yard, 0.02),
            (self._touch_note, 0.01),
        ):
            if self._draw() < share:
                touch(fields)
        if self._draw() < 0.45 or join_row(fields) == row:
            self._touch_bid(fields)
        fields[FIELD["Last Updated Time"]] = self.clock.updated(int(self._draw() * since))
        return join_row(fields)

    def relisted(self, row: str, number: int, *, since: int) -> str:
        """Return the row of the same vehicle under a new lot number, created in the last `since` seconds."""
        fields = split_row(row)
        age = int(self._draw() * since)
        created = self.clock.created(age, int(self._draw() * 1000) * 1000)
        fields[FIELD["Lot number"]] = str(number)
        fields[FIELD["Create Date/Time"]] = created
        fields[FIELD["Image Thumbnail"]] = self._thumbnail(number, created)
        fields[FIELD["Last Updated Time"]] = self.clock.updated(int(self._draw() * (age + 1)))
        fields[FIELD["High Bid =non-vix,Sealed=Vix"]] = "0.0"
        self._set_sale(fields, ("0", "", "", 0))
        yard = self._yard_in(fields)
        fields[FIELD["Image URL"]] = self._image_url(number, fields[FIELD["Location country"]], yard.number)
        return join_row(fields)

    def relabelled(self, row: str) -> str:
        """Return the row with the time-zone label of the current season: standard or daylight saving time."""
        fields = split_row(row)
        lot = int(fields[FIELD["Lot number"]])
        fields[FIELD["Time Zone"]] = self._yard_in(fields).label(summer=self.clock.summer, lot=lot)
        return join_row(fields)

    def _yard_in(self, fields: Sequence[str]) -> Yard:
        return self._numbered[int(fields[FIELD["Yard number"]])]

    def _set_sale(self, fields: list[str], sale: tuple[str, str, str, int]) -> None:
        for name, value in zip(("Sale Date M/D/CY", "Day of Week", "Sale time (HHMM)", "Item#"), sale, strict=True):
            fields[FIELD[name]] = str(value)

    def _touch_sale_date(self, fields: list[str]) -> None:
        before = fields[FIELD["Sale Date M/D/CY"]]
        for _ in range(20):
            sale = self._sale(self._yard_in(fields))
            if sale[0] != before:
                self._set_sale(fields, sale)
                return

    def _touch_item(self, fields: list[str]) -> None:
        if fields[FIELD["Sale Date M/D/CY"]] != "0":
            fields[FIELD["Item#"]] = str(int(fields[FIELD["Item#"]]) % 1400 + 1 + int(self._draw() * 50))

    def _touch_status(self, fields: list[str]) -> None:
        position = FIELD["Sale Status"]
        fields[position] = self.pick([status for status, _ in SALE_STATUSES if status != fields[position]])
        if fields[position] != "On Minimum Bid":
            fields[FIELD["Make-an-Offer Eligible"]] = "N"

    def _touch_bid(self, fields: list[str]) -> None:
        position = FIELD["High Bid =non-vix,Sealed=Vix"]
        fields[position] = f"{int(float(fields[position])) + 25 * (1 + int(self._draw() * 12))}.0"

    def _touch_buy_now(self, fields: list[str]) -> None:
        position = FIELD["Buy-It-Now Price"]
        bid = int(float(fields[FIELD["High Bid =non-vix,Sealed=Vix"]]))
        fields[position] = f"{bid + 500 + int(self._draw() * 40) * 100}.0" if fields[position] == "0.0" else "0.0"

    def _touch_repair(self, fields: list[str]) -> None:
        fields[FIELD["Repair cost"]] = repr(round(500 + self._draw() * 12000, 2))

    def _touch_note(self, fields: list[str]) -> None:
        fields[FIELD["Special Note"]] = self.pick(values.NOTES)

    def _touch_yard(self, fields: list[str]) -> None:
        """Move the lot to another physical yard of its country, and its sale with it."""
        number = int(fields[FIELD["Yard number"]])
        country = fields[FIELD["Location country"]]
        yard = self.pick([yard for yard in self._by_country[country] if yard.number != number])
        lot = int(fields[FIELD["Lot number"]])
        for name, value in (
            ("Yard number", str(yard.number)),
            ("Yard name", yard.name),
            ("Time Zone", yard.label(summer=self.clock.summer, lot=lot)),
            ("Location city", yard.city),
            ("Location state", yard.state),
            ("Location ZIP", yard.zip),
            ("Image URL", self._image_url(lot, country, yard.number)),
        ):
            fields[FIELD[name]] = value
        if fields[FIELD["Sale Date M/D/CY"]] != "0":
            self._set_sale(fields, self._sale(yard))


def image_url(lot: int, country: str, yard: int, *, base: str = PHOTO_BASE) -> str:
    """Return the Image URL of a lot: the address of its photo list."""
    return f"{base}/v1/lotImages/{lot}?country={'ca' if country == 'CAN' else 'us'}&brand=cprt&yardNumber={yard}"


def split_row(row: str) -> list[str]:
    """Return the 58 fields of a row without `Id`. Generated rows have no quotes inside a field."""
    return row[1:-1].split('","')


def join_row(fields: Sequence[str]) -> str:
    """Return the row of these fields, all of them quoted."""
    return '"' + '","'.join(fields) + '"'
