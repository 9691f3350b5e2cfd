"""Days of a feed of its real size at the steady pace: how many lots have a photo before they leave, and how many all.

A fortieth of the lots with gaps forty times as long: what a crawl reaches of them is the same share. Photos are as
small as thumbnails, and a day of the feed takes minutes: lots arrive, get their sale and leave by that clock, and the
gaps follow it. At the start there is no lot, so there is no backlog. A tenth of the lots in days of 150 s, 115 photos a
second, is more than two busy cores do: then the processor is measured, and no longer the pace.
"""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from bench.pairs import say
from bench.processes import ProcessFailed
from bench.server import BenchFailed
from vinops.politeness import DAY, pace

if TYPE_CHECKING:
    from bench.photos import Crawls, StandIn
    from bench.server import Place

ARRIVALS: Final = 16_000  # lots a day
LIFE_DAYS: Final = 9.0  # the median
HOUR: Final = DAY / 24
TICKS: Final = 96  # files a day
SESSION_PAUSE: Final = 5.0  # seconds, as VINOPS_SESSION_PAUSE
RECHECK_DAYS: Final = 3.0
KINDS: Final = (("car", 0.95), ("motorcycle", 0.02), ("medium truck", 0.02), ("boat", 0.01))
TITLES: Final = (("salvage", 0.5), ("clean", 0.3), ("other", 0.15), ("destruction", 0.05))
DAMAGES: Final = (("front end", 0.4), ("rear end", 0.2), ("minor dent/scratches", 0.2), ("burn", 0.1), (None, 0.1))
DATED: Final = 0.72

ADD: Final = """with vehicle as (
    insert into vehicles (vin, vehicle_type, year) values (%(vin)s, %(kind)s, %(year)s) returning id
)
insert into lots (
    lot_external_id, vin, vehicle_id, first_seen_at, sale_at, title_group, damage, image_url, row_hash, file_id
)
select %(number)s, %(vin)s, id, now(), now() + make_interval(secs => %(sale)s), %(title)s, %(damage)s, %(url)s, '', 0
from vehicle"""
FOUND: Final = """select
    count(*) filter (where lots.first_seen_at > now() - make_interval(secs => %(since)s)) as lots,
    count(*) filter (
        where lots.first_seen_at > now() - make_interval(secs => %(since)s) and lot_photos.stored > 0
    ) as with_photo,
    count(*) filter (where lots.gone_at > now() - make_interval(secs => %(last)s)) as lately,
    count(*) filter (
        where lots.gone_at > now() - make_interval(secs => %(last)s) and lot_photos.stored >= lot_photos.listed
    ) as with_all
from lots
left join lot_photos on lots.id = lot_photos.lot_id
where lots.status = 'gone' and lots.gone_at - lots.first_seen_at > make_interval(secs => %(hour)s)"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """One lot of `share` arrives; a day takes `day` seconds, and `days` of them are played. Lots that came after the
    first `warm` days are judged by whether they have a photo, those that left in the `last` ones by all photos.

    At first a crawl ends when nothing is due, and the next one begins: that takes a second or two, half an hour of the
    feed, and a minute of a real one. Once a crawl does not get through all second passes it does not end any more.
    """

    share: int
    day: float
    days: int
    last: int
    warm: float

    @property
    def speed(self) -> float:
        """How much faster than the real one the clock of the gaps is: the feed's, with gaps `share` times as long."""
        return DAY / self.day / self.share

    def seconds(self, real: float) -> float:
        """Return how long something takes that takes so many seconds of the feed."""
        return real * self.day / DAY


FULL: Final = Size(share=40, day=200, days=12, last=3, warm=2)
QUICK: Final = Size(share=40, day=120, days=2, last=1, warm=0.5)


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What was found: of the lots that left and lived longer than an hour those with a photo; of those that left lately
    those with all photos; and the requests a day of the feed at its real size."""

    size: Size
    arrived: int
    left: int
    with_photo: int
    lately: int
    with_all: int
    lists_a_day: float
    photos_a_day: float

    @property
    def photo_share(self) -> float:
        """The share with a photo at least."""
        return self.with_photo / self.left if self.left else 0.0

    @property
    def all_share(self) -> float:
        """The share with all photos."""
        return self.with_all / self.lately if self.lately else 0.0


def measure(crawls: Crawls, size: Size, *, first_lot: int) -> Passes:
    """Play the days, with a crawl that runs all the time. Raises BenchFailed, ProcessFailed."""
    place = crawls.place("migrated")
    asked: Counter[str] = Counter()
    crawls.source.forget()
    with psycopg.connect(place.url, autocommit=True) as connection:
        _shorten(connection, size)
        feed = Feed(connection, crawls, size, first_lot)
        with _crawling(crawls, place, size) as running:
            for tick in range(size.days * TICKS):
                feed.tick(tick)
                running()
                if tick % TICKS == TICKS - 1:
                    asked += _asked(crawls.source)
                    say(f"passes: day {tick // TICKS + 1} of {size.days}, {feed.arrived} lots")
        found = feed.found()
    return Passes(
        size=size,
        arrived=feed.arrived,
        **found,
        lists_a_day=asked["list"] * size.share / size.days,
        photos_a_day=asked["photo"] * size.share / size.days,
    )


class Feed:
    """Lots that arrive, more of them by day, and leave."""

    def __init__(
        self, connection: psycopg.Connection[tuple[Any, ...]], crawls: Crawls, size: Size, first_lot: int
    ) -> None:
        """Begin without any lot."""
        self._connection = connection
        self._crawls = crawls
        self._size = size
        self._dice = random.Random(1)
        self._first = first_lot
        self._began = time.monotonic()
        self._leaving: list[tuple[float, int]] = []
        self._due = 0.0
        self.arrived = 0

    def tick(self, number: int) -> None:
        """Wait for the next file, and bring what it brings."""
        size = self._size
        time.sleep(max(self._began + number * size.day / TICKS - time.monotonic(), 0))
        hour = 24 * (number % TICKS) / TICKS
        self._due += ARRIVALS / size.share / TICKS * (1 + 0.8 * math.sin((hour - 9) / 24 * 2 * math.pi))
        now = time.monotonic() - self._began
        gone = [lot for leaves, lot in self._leaving if leaves <= now]
        self._leaving = [each for each in self._leaving if each[0] > now]
        new = [self._lot(now) for _ in range(int(self._due))]
        self._due -= len(new)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(ADD.encode(), new)
            cursor.execute("update lots set status = 'gone', gone_at = now() where lot_external_id = any(%s)", [gone])

    def found(self) -> dict[str, int]:
        """Return what became of the lots that left."""
        size = self._size
        row = self._connection.execute(
            FOUND.encode(),
            {
                "hour": size.seconds(HOUR),
                "last": size.last * size.day,
                "since": time.monotonic() - self._began - size.warm * size.day,
            },
        ).fetchone()
        if row is None:
            raise BenchFailed("no answer about the lots that left")
        return dict(zip(("left", "with_photo", "lately", "with_all"), map(int, row), strict=True))

    def _lot(self, now: float) -> dict[str, object]:
        number = self._first + self.arrived
        self.arrived += 1
        days = min(max(LIFE_DAYS * math.exp(self._dice.gauss(0, 0.5)), 0.5), 30.0)
        if self._dice.random() < 0.01:
            days = self._dice.uniform(0.5, 6) / 24
        self._leaving.append((now + days * self._size.day, number))
        sale = days + self._dice.random()
        return {
            "number": number,
            "vin": f"1VN{number:014d}",
            "kind": self._draw(KINDS),
            "year": 2026 - min(int(self._dice.expovariate(1 / 8)), 40),
            "title": self._draw(TITLES),
            "damage": self._draw(DAMAGES),
            "sale": sale * self._size.day if self._dice.random() < DATED else None,
            "url": self._crawls.source.list_url(number),
        }

    def _draw(self, weights: tuple[tuple[Any, float], ...]) -> Any:
        return self._dice.choices([each for each, _ in weights], [weight for _, weight in weights])[0]


def _shorten(connection: psycopg.Connection[tuple[Any, ...]], size: Size) -> None:
    """Have the days in the order of lots last as long as those of the feed."""
    row = connection.execute("select pg_get_viewdef('photo_turns')").fetchone()
    text = str(row[0]) if row else ""
    for days in (4, 7, 9):
        if (known := f"'{days} days'::interval") not in text:
            raise BenchFailed(f"photo_turns has no {known}")
        text = text.replace(known, f"make_interval(secs => {days * size.day})")
    connection.execute(f"create or replace view photo_turns as {text}".encode())


@contextmanager
def _crawling(crawls: Crawls, place: Place, size: Size) -> Iterator[Any]:
    """Run a crawl; yield what begins the next one if it has ended. Raises ProcessFailed."""
    environ = {
        **os.environ,
        **crawls.environ(place, pace="steady"),
        "VINOPS_SESSION_PAUSE": str(SESSION_PAUSE / size.speed),
        "VINOPS_PHOTO_RECHECK_DAYS": str(max(size.seconds(RECHECK_DAYS * DAY) / DAY, 0.01)),
    }
    command = [*crawls.command, "-s", f"VINOPS_CLOCK_SPEED={size.speed}"]
    with (place.data_dir / "said").open("wb") as said:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

        process = start()

        def running() -> None:
            nonlocal process
            if (code := process.poll()) is not None:
                if code:
                    raise ProcessFailed(f"a crawl ended with {code}: see {place.data_dir / 'said'}")
                process = start()

        try:
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _asked(source: StandIn) -> Counter[str]:
    requests = source.requests()
    source.forget()
    return Counter(request["kind"] for request in requests)


def most_a_day() -> tuple[float, float]:
    """Return how many lists and photos the gaps of the steady pace leave room for on a day."""
    steady = pace("steady")
    return DAY / steady.page_gap, DAY / steady.image_gap
