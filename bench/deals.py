"""What the deals cost: ads through all stages by real workers, one ad among few and among many, and the estimates."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from bench.pairs import say
from bench.processes import Finished, run
from bench.server import BenchFailed, Place, Server
from deals.evaluation import folds
from deals.queue import runner
from deals.stages.registry import STAGES
from standin.market.ads import Ad, AdDrawer
from standin.market.real import FOLLOWED
from standin.market.values import MAKES
from vinops.db import database

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

    from vinops.config import Settings

ADS = 7_600
QUICK_ADS = 1_500
SIZES = (10_000, FOLLOWED)
QUICK_SIZES = (1_000, 5_000)
SAMPLE = 1_000  # ads that go through the stages among so many others
ROUNDS = 21  # with seven the same two databases differed by 0.7 to 1.9 times on a busy machine
WORKERS = 2  # processes: as many as the machine has cores
PATIENCE = 300  # seconds
QUEUES = "normalize,price,score,match,upkeep"


@dataclass(frozen=True, kw_only=True)
class Drained:
    """How long workers took from the outbox to the last score."""

    broker: str
    ads: int
    seconds: list[float]

    @property
    def ads_a_second(self) -> float:
        """The median."""
        return self.ads / statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Among:
    """What one ad costs among so many: milliseconds an ad of each stage, median of some rounds; and how many ads a
    second one process takes through all stages when all of them are new."""

    ads: int
    stages: dict[str, float]
    filled_a_second: float

    @property
    def milliseconds(self) -> float:
        """Of all stages."""
        return sum(self.stages.values())


@dataclass(kw_only=True)
class Deals:
    """Everything that was found out about the deals."""

    drained: list[Drained] = field(default_factory=list)
    among: list[Among] = field(default_factory=list)
    training: Finished | None = None  # on the ads of the last of `among`
    estimates: dict[str, Any] = field(default_factory=dict)
    file: str = ""


def measure(server: Server, folder: Path, *, quick: bool, runs: int, file: Path | None) -> Deals:
    """Measure all of it; `file` has real ads to judge the estimates by. Raises BenchFailed."""
    found = Deals()
    for broker in ("embedded", "redis"):
        if broker == "redis" and shutil.which("redis-server") is None:
            say("deals: redis-server is not installed, and is left out")
            continue
        found.drained.append(drained(server, folder, broker, QUICK_ADS if quick else ADS, runs))
        say(f"deals: {broker}: {found.drained[-1].ads_a_second:.0f} ads a second")
    sizes = QUICK_SIZES if quick else SIZES
    found.among = among(server, sizes)
    for each in found.among:
        say(f"deals: {each.milliseconds:.2f} ms an ad among {each.ads:,}")
    place = server.place(_among(sizes[-1]))
    found.training = run([sys.executable, "-m", "ops.cli", "deals", "train", "--json"], place.environ)
    say(f"deals: trained in {found.training.cpu_seconds:.0f} s of processor, {found.training.peak_mb:.0f} MB")
    if file is not None:
        found.estimates = folds.evaluate_file(file)
        found.file = file.name
    return found


def drawn(count: int) -> list[Ad]:
    """Return so many ads of the stand-in."""
    now = datetime.now(UTC)
    drawer = AdDrawer(seed=1, now=now)
    share = sum(make.share for make in MAKES.values())
    return [
        ad
        for slug, make in MAKES.items()
        for ad in drawer.draw(
            slug, round(count * make.share / share), posted_from=now - timedelta(days=60), posted_to=now
        )
    ]


def insert(connection: psycopg.Connection[Any], ads: list[Ad]) -> list[int]:
    """Put ads into the database as a crawl records them, and return their ids."""
    columns = (
        "source, ad_id, make_slug, url, title, make_text, model_text, price, currency, price_eur, vat, year, month,"
        " mileage_km, fuel, gearbox, body, power_hp, engine_cc, colour, euro_class, region, place, seller_kind,"
        " description, equipment, posted_at, list_hash"
    )
    vat = {"Не се начислява ДДС": "exempt", "Цената е с включено ДДС": "included", "Цената е без ДДС": "excluded"}
    with connection.cursor() as cursor, cursor.copy(f"copy listings ({columns}) from stdin".encode()) as copy:
        for number, ad in enumerate(ads):
            price = None if ad.price is None or ad.price < 100 else ad.price
            copy.write_row((
                "mobile.bg", ad.id, ad.make, f"https://www.mobile.bg{ad.path}", ad.title, ad.make_name, ad.model_name,
                price, "EUR" if price else None, price, vat[ad.vat], ad.year, ad.month,
                ad.mileage_km if ad.mileage_km and 1_000 <= ad.mileage_km <= 1_000_000 else None, ad.fuel, ad.gearbox,
                ad.body, ad.power_hp if ad.power_hp and ad.power_hp < 1_500 else None, ad.engine_cc, ad.colour,
                ad.euro_class, ad.region.removeprefix("обл. "), ad.place, ad.seller,
                ad.description.replace("<br>", "\n"), list(ad.equipment), ad.posted, number.to_bytes(16, "big"),
            ))  # fmt: skip
    return [row[0] for row in connection.execute("select id from listings order by id").fetchall()]


def queue(connection: psycopg.Connection[Any], ids: list[int]) -> None:
    """Queue ads as a crawl does."""
    connection.execute("insert into ops.deal_outbox (listing_id, change) select unnest(%s::bigint[]), 'new'", [ids])


def drained(server: Server, folder: Path, broker: str, count: int, runs: int) -> Drained:
    """Have workers take ads from the outbox to their scores, each time in a fresh database. Raises BenchFailed."""
    seconds = []
    for _ in range(runs):
        place = server.make(f"deals_{broker}", "migrated")
        with ExitStack() as cleanup, psycopg.connect(place.url, autocommit=True) as connection:
            url = cleanup.enter_context(redis(folder)) if broker == "redis" else ""
            (first, *ids) = insert(connection, drawn(count))
            connection.execute("vacuum analyze listings")
            cleanup.enter_context(workers(place, url))
            queue(connection, [first])
            wait_until_drained(connection)  # the workers are there, and have loaded what they need
            began = time.monotonic()
            queue(connection, ids)
            wait_until_drained(connection)
            seconds.append(time.monotonic() - began)
            row = connection.execute("select count(*) from scores").fetchone()
            if row is None or row[0] != len(ids) + 1:
                raise BenchFailed(f"{len(ids) + 1} ads were queued, {row and row[0]} have a score")
    return Drained(broker=broker, ads=len(ids), seconds=seconds)


def wait_until_drained(connection: psycopg.Connection[Any], patience: float = PATIENCE) -> None:
    """Wait until nothing is left to do, for so many seconds at most. Raises BenchFailed."""
    deadline = time.monotonic() + patience
    while True:
        row = connection.execute("select count(*), count(dead_at) from ops.deal_outbox").fetchone()
        if row is None or row[1]:
            raise BenchFailed(f"{row and row[1]} ads were given up")
        if not row[0]:
            return
        if time.monotonic() > deadline:
            raise BenchFailed(f"{row[0]} ads still wait after {patience:g} s")
        time.sleep(0.02)


@contextmanager
def workers(
    place: Place, broker_url: str, environ: Mapping[str, str] | None = None, *, queues: str = QUEUES
) -> Iterator[None]:
    """Run a worker with its processes and its schedule until the block ends, with these further settings."""
    environment = {**os.environ, **place.environ, "CELERY_BROKER_URL": broker_url, "C_FORCE_ROOT": "1"}
    environment |= {"VINOPS_LOG_DIR": str(place.data_dir / "logs"), **(environ or {})}
    arguments = ["--beat", "--concurrency", str(WORKERS), "--queues", queues]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "deals", "worker", *arguments],
        env=environment,
        cwd=place.data_dir,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis of its own and yield its URL."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
    try:
        for _ in range(100):
            with closing(socket.socket()) as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def among(server: Server, sizes: Sequence[int]) -> list[Among]:
    """Take some ads through the stages while so many others are in the database, in this process alone. The sizes take
    turns: what slows the machine down falls on all."""
    dice = random.Random(1)
    rounds: dict[int, dict[str, list[float]]] = {size: {stage: [] for stage in STAGES} for size in sizes}
    with ExitStack() as cleanup:
        filled = {size: _filled(server, cleanup, size) for size in sizes}
        for _ in range(ROUNDS):
            for size, (connection, settings, ids, _) in filled.items():
                queue(connection, dice.sample(ids, min(SAMPLE, len(ids))))
                for stage, found in rounds[size].items():
                    began = time.monotonic()
                    runner.drain(connection, settings, stage)
                    found.append(1000 * (time.monotonic() - began) / min(SAMPLE, len(ids)))
    return [
        Among(
            ads=size,
            stages={stage: statistics.median(found) for stage, found in stages.items()},
            filled_a_second=filled[size][-1],
        )
        for size, stages in rounds.items()
    ]


def _among(size: int) -> str:
    return f"deals_among_{size}"


def _filled(
    server: Server, cleanup: ExitStack, size: int
) -> tuple[psycopg.Connection[TupleRow], Settings, list[int], float]:
    """Return a connection to a database in which so many ads have been through all stages, with their ids and how many
    went through in a second."""
    settings = server.make(_among(size), "migrated").settings
    connection = cleanup.enter_context(database.connect(settings, application="bench", autocommit=True))
    ids = insert(connection, drawn(size))
    connection.execute("analyze listings")
    queue(connection, ids)
    began = time.monotonic()
    for stage in STAGES:
        runner.drain(connection, settings, stage)
    a_second = len(ids) / (time.monotonic() - began)
    connection.execute("vacuum analyze")
    connection.execute("checkpoint")
    return connection, settings, ids, a_second
