"""Places and times of auctions: yards and virtual sales, with their time zones and weekdays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from standin.feed import values


def us_summer(day: date) -> bool:
    """Return whether North America has daylight saving time on that day.

    It begins on the second Sunday of March and ends on the first Sunday of November.
    """
    march, november = date(day.year, 3, 8), date(day.year, 11, 1)
    start = march + timedelta(days=(6 - march.weekday()) % 7)
    end = november + timedelta(days=(6 - november.weekday()) % 7)
    return start <= day < end


@dataclass(frozen=True, kw_only=True)
class Yard:
    """A physical yard or a virtual sale, with the values of the columns that say where and when a lot is auctioned."""

    number: int
    name: str
    city: str
    state: str
    zip: str
    country: str
    zone: str
    weekdays: tuple[int, int]
    time: str
    virtual: bool

    def label(self, *, summer: bool, lot: int) -> str:
        """Return the time-zone label in a file of that season. In summer, Anchorage's differs from lot to lot."""
        if self.zone == "A" and summer and lot % 5 < len(values.ANCHORAGE_ODDITIES):
            return values.ANCHORAGE_ODDITIES[lot % 5]
        return values.TIME_ZONE_LABELS[self.zone][summer]


def _sale_time(number: int, zone: str) -> str:
    """Return the local start time of the yard's auctions, HHMM without a leading zero."""
    evenings = {880: "2100", 881: "2000", 882: "1900", 883: "1800", 292: "1300"}
    if number in evenings:
        return evenings[number]
    if 832 <= number <= 837:
        return "1100"
    if zone == "N":
        return "700"
    return "1000" if zone == "E" and number not in (838, 855) else "1200"


def _weekdays(number: int) -> tuple[int, int]:
    return number % 5, (number // 5 + number + 2) % 5


def load_yards() -> tuple[list[Yard], list[Yard]]:
    """Return the physical yards and the virtual sales, each repeated as often as its weight."""
    physical: list[Yard] = []
    virtual: list[Yard] = []
    for line in values.YARDS.splitlines():
        number, name, city, state, zip_code, zone, weight = line.split("|")
        code = int(number)
        canadian = state in values.PROVINCES
        # Half of the real ZIP codes have their four-digit extension, after a blank.
        full = zip_code if canadian or code % 2 else f"{zip_code} {1000 + code * 37 % 9000}"
        physical += [
            Yard(
                number=code,
                name=name,
                city=city,
                state=state,
                zip=full,
                country="CAN" if canadian else "USA",
                zone=zone,
                weekdays=_weekdays(code),
                time=_sale_time(code, zone),
                virtual=False,
            )
        ] * int(weight)
    for line in values.VIRTUAL_YARDS.splitlines():
        number, name, country, zone, weight = line.split("|")
        code = int(number)
        virtual += [
            Yard(
                number=code,
                name=name,
                city="",
                state="",
                zip="",
                country=country,
                zone=zone,
                weekdays=_weekdays(code),
                time=_sale_time(code, zone),
                virtual=True,
            )
        ] * int(weight)
    return physical, virtual
