"""What the photos cost: the crawl beside Scrapy's own pipelines, its requests, its gaps and its memory.

Source, database and store are processes of their own on loopback, so what they use of the machine falls on both sides.
The bucket is the stand-in's, lean, for both: moto's server would be most of what is measured (bench/README.md).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from bench import photo_passes
from bench.pairs import Pair, say
from bench.processes import Finished, ProcessFailed, run
from bench.server import BenchFailed, Place, Server
from vinops import config
from vinops.politeness import Pace, pace

BUCKET = "bucket-of-the-bench"
KEY_ID = "key-id-of-the-bench"
SECRET = "secret-key-of-the-bench"
FIRST_LOT = 45_000_001
SEED = 1
SPEED = 10.0
"""How much faster than the real one the clock of the paced crawls runs."""
LONG_START = 100
"""After so many lots the memory of the long crawl is to be flat."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of it: lots of a race, of a paced crawl and of the long one, photos of each step alone, and the days of
    the passes."""

    lots: int
    paced_lots: int
    long_lots: int
    steps: int
    passes: photo_passes.Size


FULL = Size(lots=500, paced_lots=50, long_lots=500, steps=1000, passes=photo_passes.FULL)
QUICK = Size(lots=40, paced_lots=10, long_lots=200, steps=100, passes=photo_passes.QUICK)


@dataclass(kw_only=True)
class Race:
    """The crawl beside one of Scrapy's pipelines: `unit` of each pair is the stock one. `photos` are those of a run."""

    name: str
    photos: int
    pairs: list[Pair] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """How many times the images per second of the stock pipeline, pair by pair."""
        return [1 / pair.ratio for pair in self.pairs]

    @property
    def ratio(self) -> float:
        """The median of them."""
        return statistics.median(self.ratios)

    @property
    def rates(self) -> tuple[float, float]:
        """The median images per second of the stock pipeline and of the crawl."""
        stock = statistics.median(pair.unit.seconds for pair in self.pairs)
        ours = statistics.median(pair.command.seconds for pair in self.pairs)
        return self.photos / stock, self.photos / ours

    @property
    def cpu_ms(self) -> tuple[float, float]:
        """The median milliseconds of processor time per photo of both."""
        stock = statistics.median(pair.unit.cpu_seconds for pair in self.pairs)
        ours = statistics.median(pair.command.cpu_seconds for pair in self.pairs)
        return 1000 * stock / self.photos, 1000 * ours / self.photos


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What runs over the same lots asked of the source and of the store."""

    lots: int
    photos: int
    first_lists: int
    first_photos: int
    first_puts: int
    second_lists: int
    second_photos: int
    second_puts: int
    due_again_lists: int
    due_again_photos: int
    due_again_puts: int


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """The gaps between requests of one kind, in seconds of the fast clock, beside the one that is to be kept."""

    name: str
    processes: int
    target: float
    count: int
    smallest: float
    mean: float


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The resident memory of a long crawl in MB, beside the lots that were done by then, of `lots`."""

    lots: int
    samples: list[tuple[int, float]]
    seconds: float

    def after(self, lots: int) -> list[float]:
        """Return the samples taken after so many lots, without those of the end of the process. Raises BenchFailed
        if there is none."""
        found = [mb for done, mb in self.samples if lots <= done < self.lots]
        if not found:
            raise BenchFailed(f"the memory was not seen between lot {lots} and {self.lots}")
        return found


@dataclass(kw_only=True)
class Photos:
    """Everything that was found out about photos."""

    races: dict[str, Race] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    asked: Asked | None = None
    gaps: list[Gaps] = field(default_factory=list)
    memory: Memory | None = None
    passes: photo_passes.Passes | None = None


class StandIn:
    """A stand-in as a process."""

    def __init__(self, root: str) -> None:
        """Take the address of its control side."""
        self._root = root

    def requests(self) -> list[dict[str, Any]]:
        """Return what was asked since it was last forgotten."""
        found: list[dict[str, Any]] = self._control("requests")
        return found

    def forget(self) -> None:
        """Forget what was asked."""
        self._control("requests", method="DELETE")

    def _control(self, name: str, *, method: str = "GET") -> Any:
        with urllib.request.urlopen(urllib.request.Request(f"{self._root}/control/{name}", method=method)) as answer:
            return json.load(answer)


class Source(StandIn):
    """The stand-in's photo side."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        """Take the addresses that it printed."""
        super().__init__(addresses["api_url"])
        self.addresses = addresses

    def list_url(self, lot: int) -> str:
        """Return what the feed's Image URL holds."""
        return f"{self.addresses['api_url']}/v1/lotImages/{lot}?country=us&brand=cprt&yardNumber=1"


class Bucket(StandIn):
    """The stand-in's bucket, which keeps objects in memory."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        """Take the address that it printed."""
        super().__init__(addresses["endpoint"])
        self.endpoint = addresses["endpoint"]

    def count(self) -> int:
        """Return how many objects it holds."""
        return int(self._control("objects")["objects"])

    def empty(self) -> None:
        """Forget all objects and requests."""
        self._control("objects", method="DELETE")
        self.forget()

    def puts(self) -> int:
        """Return how many objects were put since it was last emptied."""
        return sum(request["method"] == "PUT" and request["status"] == 200 for request in self.requests())


@contextmanager
def source(*options: str) -> Iterator[Source]:
    """Run the stand-in's photo side until the block ends."""
    with stand_in("photos", "--seed", str(SEED), "--empty-every", "0", "--none-every", "0", *options) as addresses:
        yield Source(addresses)


@contextmanager
def bucket() -> Iterator[Bucket]:
    """Run the stand-in's bucket until the block ends."""
    with stand_in("bucket", "--bucket", BUCKET) as addresses:
        yield Bucket(addresses)


@contextmanager
def stand_in(name: str, *options: str) -> Iterator[Mapping[str, str]]:
    """Run a stand-in until the block ends; yield the addresses that it printed."""
    command = [sys.executable, "-m", f"standin.{name}", "serve", *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchFailed(f"the stand-in {name} did not start")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait()


class Crawls:
    """Crawls of this version against one source, each on a copy of the same database."""

    def __init__(self, server: Server, source: Source, bucket: Bucket) -> None:
        """Take what runs already."""
        self.server = server
        self.source = source
        self.bucket = bucket
        self._prepared: set[int] = set()

    @property
    def command(self) -> list[str]:
        """The command line of a crawl of all lots."""
        return command()

    def prepare(self, lots: int) -> str:
        """Make a database with so many active lots, once, and return its name; it is the template of the runs."""
        name = f"lots{lots}"
        if lots in self._prepared:
            return name
        place = self.server.make(name, "migrated")
        rows = [
            (number, f"1VN{number:014d}", number - FIRST_LOT + 1, self.source.list_url(number))
            for number in range(FIRST_LOT, FIRST_LOT + lots)
        ]
        with psycopg.connect(place.url) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "with vehicle as (insert into vehicles (vin) values (%(vin)s) returning id) insert into lots"
                " (lot_external_id, vin, vehicle_id, first_seen_at, sale_at, image_url, row_hash, file_id) select"
                " %(number)s, %(vin)s, id, now(), now() + make_interval(days => 1, secs => %(place)s), %(url)s, '', 0"
                " from vehicle",
                [{"number": row[0], "vin": row[1], "place": row[2], "url": row[3]} for row in rows],
            )
        self.server.keep(name)
        self._prepared.add(lots)
        return name

    def place(self, template: str) -> Place:
        """Return a fresh place; what the run before left on the way to the disk is there when this returns."""
        place = self.server.make("photos", template)
        os.sync()
        return place

    def environ(self, place: Place, *, to_bucket: bool = False, pace: str = "none") -> dict[str, str]:
        """Return the environment of a crawl: what is not said here is as it comes, whatever the machine's settings."""
        addresses = self.source.addresses
        bucket = {
            "R2_ENDPOINT": self.bucket.endpoint,
            "R2_ACCESS_KEY_ID": KEY_ID,
            "R2_SECRET_ACCESS_KEY": SECRET,
            "R2_BUCKET_NAME": BUCKET,
        }
        return {
            **dict.fromkeys((*config.variables(), "CREDENTIALS_DIRECTORY"), ""),
            **place.environ,
            "VINOPS_LOG_DIR": str(place.data_dir / "logs"),
            "COPART_IMAGE_HOSTS": addresses["image_hosts"],
            "COPART_SITE_URL": addresses["site_url"],
            "VINOPS_PACE": pace,
            "VINOPS_SESSION_PAUSE": "0",
            "VINOPS_DAILY_REQUESTS": "1000000",
            **(bucket if to_bucket else {}),
        }

    def crawl(self, place: Place, *arguments: str, to_bucket: bool = False) -> Finished:
        """Run a crawl without a pace to its end. Raises ProcessFailed."""
        return run(command(*arguments), self.environ(place, to_bucket=to_bucket))

    def stock(self, kind: str, lists: Path, store: str) -> Finished:
        """Run one of Scrapy's pipelines to its end. Raises ProcessFailed."""
        environ = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION_NAME": "us-east-1"}
        environ["AWS_ENDPOINT_URL"] = self.bucket.endpoint
        environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)  # nobody's own settings
        return run([sys.executable, "-m", "bench.photo_spiders", kind, str(lists), store], environ)


def command(*arguments: str) -> list[str]:
    """Return the command line of the crawl."""
    return [sys.executable, "-m", "scrapy", "crawl", "lot_photos", "-a", "batch=100000", *arguments]


def measure(server: Server, folder: Path, size: Size, runs: int, parts: Sequence[str]) -> Photos:
    """Measure these PARTS. Raises BenchFailed, ProcessFailed."""
    found = Photos()
    with source() as photos, bucket() as store:
        crawls = Crawls(server, photos, store)
        names = [name for name, (part, *_) in RACES.items() if part in parts]
        found.races = races(crawls, folder, size, runs, names)
        if set(RACES) == set(names):
            found.steps = steps(crawls, folder, size, found.races)
        if "asked" in parts:
            found.asked = asked(crawls, size)
        if "gaps" in parts:
            found.gaps = [*gaps(crawls, size, processes=1), *gaps(crawls, size, processes=2)]
        if "memory" in parts:
            found.memory = memory(crawls, size)
    if "passes" in parts:
        with source("--tiny") as photos, bucket() as store:
            found.passes = photo_passes.measure(Crawls(server, photos, store), size.passes, first_lot=FIRST_LOT)
    return found


def races(crawls: Crawls, folder: Path, size: Size, runs: int, names: Sequence[str]) -> dict[str, Race]:
    """Run the crawl beside these stock pipelines, in alternation, and count what each stored."""
    template = crawls.prepare(size.lots)
    lists = lists_of(crawls, folder, size.lots)
    photos = photos_of(size.lots)
    found = {name: Race(name=name, photos=photos) for name in names}
    for _ in range(runs):
        for name in names:
            _, kind, to_bucket = RACES[name]
            unit = stock_run(crawls, folder, lists, kind, photos, to_bucket=to_bucket)
            place = crawls.place(template)
            ours = crawls.crawl(place, to_bucket=to_bucket)
            stored = crawls.bucket.count() if to_bucket else counted_files(place.data_dir / "photos")
            check(f"the crawl beside {name}", stored, photos)
            check_rows(crawls, size.lots)
            crawls.bucket.empty()
            pair = Pair(unit=unit, command=ours)
            found[name].pairs.append(pair)
            say(
                f"photos beside {name}: {1 / pair.ratio:.2f}x, {photos / ours.seconds:.0f} of "
                f"{photos / unit.seconds:.0f} images a second, {1000 * ours.cpu_seconds / photos:.2f} of "
                f"{1000 * unit.cpu_seconds / photos:.2f} ms, {ours.peak_mb:.0f} of {unit.peak_mb:.0f} MB"
            )
    return found


RACES: Mapping[str, tuple[str, str, bool]] = {
    "ImagesPipeline": ("photos_images", "images", False),
    "FilesPipeline s3://": ("photos_bucket", "files", True),
    "FilesPipeline": ("photos_files", "files", False),
}
"""The stock pipelines by name: its part, its kind in bench.photo_spiders, and whether it stores in the bucket."""
PARTS = (*(part for part, _, _ in RACES.values()), "asked", "gaps", "memory", "passes")
"""What --only knows of the photos. The steps go with all three races."""


def stock_run(crawls: Crawls, folder: Path, lists: Path, kind: str, photos: int, *, to_bucket: bool) -> Finished:
    """Run a stock pipeline on an empty store and count what it stored."""
    store = folder / "stock"
    store.mkdir()
    os.sync()
    finished = crawls.stock(kind, lists, f"s3://{BUCKET}/" if to_bucket else str(store))
    check(f"Scrapy's {kind}", crawls.bucket.count() if to_bucket else counted_files(store), photos)
    shutil.rmtree(store)
    crawls.bucket.empty()
    crawls.source.forget()
    return finished


def lists_of(crawls: Crawls, folder: Path, lots: int) -> Path:
    """Write the addresses of the lists for the stock pipelines."""
    path = folder / "lists.txt"
    path.write_text("\n".join(crawls.source.list_url(FIRST_LOT + place) for place in range(lots)), encoding="utf-8")
    return path


def photos_of(lots: int) -> int:
    """Return how many photos so many lots have, as the lists say."""
    from standin.photos.lots import PhotoLots

    drawn = PhotoLots(seed=SEED, empty_every=0, none_every=0)
    return sum(len(drawn.pictures(FIRST_LOT + place)) for place in range(lots))


def counted_files(folder: Path) -> int:
    """Return how many photos a folder holds."""
    return sum(1 for path in folder.rglob("*.jpg") if path.is_file())


def check(name: str, found: int, wanted: int) -> None:
    """Raise BenchFailed for a count that is not as it should be."""
    if found != wanted:
        raise BenchFailed(f"{name} has {found} photos of {wanted}")


def check_rows(crawls: Crawls, lots: int) -> None:
    """Raise BenchFailed if a crawl did not settle all lots as complete, or did not record all of their photos."""
    photos, complete = crawls.server.query(
        "photos", "select (select count(*) from images), (select count(*) from lot_photos where state = 'ok')"
    )
    check("the table images", photos, photos_of(lots))
    if complete != lots:
        raise BenchFailed(f"{complete} of {lots} lots are complete")


def steps(crawls: Crawls, folder: Path, size: Size, races: Mapping[str, Race]) -> dict[str, float]:
    """Return the milliseconds of processor time of each step of a photo alone, and of the whole crawl."""
    template = crawls.prepare(size.lots)
    lists = lists_of(crawls, folder, size.lots)
    photos = photos_of(size.lots)
    lists.with_suffix(".none").write_text("", encoding="utf-8")
    idle = crawls.stock("requests", lists.with_suffix(".none"), "").cpu_seconds
    asking = crawls.stock("requests", lists, "").cpu_seconds
    start = crawls.crawl(crawls.place("migrated")).cpu_seconds
    place = crawls.place(template)
    environ = crawls.environ(place, to_bucket=True)
    alone = json.loads(run([sys.executable, "-m", "bench.photo_steps", str(size.steps)], environ).output)
    crawls.bucket.empty()
    return {
        "request": 1000 * (asking - idle) / photos,
        **alone,
        "start": 1000 * start / photos,
        "whole crawl, folder": races["ImagesPipeline"].cpu_ms[1],
        "whole crawl, bucket": races["FilesPipeline s3://"].cpu_ms[1],
    }


def asked(crawls: Crawls, size: Size) -> Asked:
    """Count what three runs over the same lots ask: the first, one when nothing is due, one when all are due again."""
    place = crawls.place(crawls.prepare(size.lots))
    counts: list[tuple[int, int, int]] = []
    for turn in range(3):
        if turn == 2:
            with psycopg.connect(place.url) as connection:
                connection.execute("update lot_photos set due_at = now()")
        crawls.source.forget()
        before = crawls.bucket.puts()
        crawls.crawl(place, to_bucket=True)
        kinds = [request["kind"] for request in crawls.source.requests()]
        check_rows(crawls, size.lots)
        counts.append((kinds.count("list"), len(kinds) - kinds.count("list"), crawls.bucket.puts() - before))
    crawls.bucket.empty()
    first, second, again = counts
    return Asked(
        lots=size.lots,
        photos=photos_of(size.lots),
        first_lists=first[0],
        first_photos=first[1],
        first_puts=first[2],
        second_lists=second[0],
        second_photos=second[1],
        second_puts=second[2],
        due_again_lists=again[0],
        due_again_photos=again[1],
        due_again_puts=again[2],
    )


def gaps(crawls: Crawls, size: Size, *, processes: int) -> list[Gaps]:
    """Crawl in the careful pace on a fast clock, and return the gaps that the hosts saw."""
    place = crawls.place(crawls.prepare(size.paced_lots))
    crawls.source.forget()
    environ = {**os.environ, **crawls.environ(place, pace="careful")}
    began = time.monotonic()
    running = [
        subprocess.Popen(
            command("-s", f"VINOPS_CLOCK_SPEED={SPEED:g}"),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(processes)
    ]
    if failed := [process.returncode for process in running if process.wait()]:
        raise ProcessFailed(f"a crawl in the careful pace ended with {failed[0]}")
    requests = crawls.source.requests()
    say(f"pace: {size.paced_lots} lots, {processes} at once, {time.monotonic() - began:.0f} s")
    asked = sum(request["kind"] == "photo" for request in requests)
    check("the paced crawl", asked, photos_of(size.paced_lots))
    check_rows(crawls, size.paced_lots)
    (took_part,) = crawls.server.query("photos", "select count(*) from ops.crawl_runs where done > 0")
    if took_part != processes:
        raise BenchFailed(f"{took_part} of {processes} crawls did the work")
    return gaps_of(requests, pace("careful", speed=SPEED), processes)


def gaps_of(requests: Sequence[Mapping[str, Any]], wanted: Pace, processes: int) -> list[Gaps]:
    """Return the gaps between lists, and those between photos; the mean of the latter is of photos of one lot."""
    lists = sorted(request["at"] for request in requests if request["kind"] == "list")
    photos = sorted((request["at"], request["lot"]) for request in requests if request["kind"] == "photo")
    between = [(later[0] - earlier[0], later[1] == earlier[1]) for earlier, later in pairwise(photos)]
    lot_gaps = [later - earlier for earlier, later in pairwise(lists)]
    in_lot = [gap for gap, is_same in between if is_same]
    return [
        Gaps(
            name="lists",
            processes=processes,
            target=wanted.lot_gap,
            count=len(lot_gaps),
            smallest=min(lot_gaps),
            mean=statistics.mean(lot_gaps),
        ),
        Gaps(
            name="photos",
            processes=processes,
            target=wanted.image_gap,
            count=len(in_lot),
            smallest=min(gap for gap, _ in between),
            mean=statistics.mean(in_lot),
        ),
    ]


def memory(crawls: Crawls, size: Size) -> Memory:
    """Crawl many lots and look at the process all the while."""
    place = crawls.place(crawls.prepare(size.long_lots))
    environ = {**os.environ, **crawls.environ(place)}
    samples: list[tuple[int, float]] = []
    began = time.monotonic()
    with psycopg.connect(place.url, autocommit=True) as connection, (place.data_dir / "said").open("wb") as said:
        process = subprocess.Popen(command(), env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        while process.poll() is None:
            row = connection.execute("select count(*) from lot_photos where state = 'ok'").fetchone()
            if (mb := resident_mb(process.pid)) is not None and row is not None:
                samples.append((row[0], mb))
            time.sleep(0.25)
    if process.returncode:
        raise ProcessFailed(f"the crawl of {size.long_lots} lots ended with {process.returncode}")
    check_rows(crawls, size.long_lots)
    found = Memory(lots=size.long_lots, samples=samples, seconds=time.monotonic() - began)
    after = found.after(LONG_START)
    say(f"memory: {min(after):.0f} to {max(after):.0f} MB after the first {LONG_START} lots, {found.seconds:.0f} s")
    return found


def resident_mb(pid: int) -> float | None:
    """Return the resident memory of a process in MB, None if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return sizes[0] / 1024 if sizes else None
