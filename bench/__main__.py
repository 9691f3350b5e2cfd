"""Measure the feed against `COPY` of the same file and the photos against Scrapy's own pipelines: `python -m bench`.

Tables go to standard output, progress to standard error.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from subprocess import CalledProcessError

from bench import (
    alerts,
    board,
    day,
    day_report,
    deals,
    deals_report,
    files,
    growth,
    loads,
    lots,
    machine,
    market,
    market_report,
    monitor,
    others,
    photo_report,
    photos,
    prices,
    report,
    watches,
    year,
)
from bench.pairs import Series, say
from bench.processes import ProcessFailed
from bench.server import BenchFailed, Server, running
from vinops import config
from vinops.config import ConfigError
from vinops.db.database import DatabaseError
from vinops.db.embedded import ServerError

ROWS = 154_000
SIZES = (150_000, 300_000, 600_000)
QUICK_ROWS = 20_000
FEW_RUNS = 3
LOADS = tuple(loads.LOADS)
OTHERS = tuple(others.TITLES)
NAMES = (*LOADS, *OTHERS, *photos.PARTS)


@dataclass(kw_only=True)
class Measured:
    """Everything that a bench found out."""

    about: dict[str, str]
    feeds: dict[str, files.Feed]
    loads: dict[str, Series] = field(default_factory=dict)
    others: dict[str, Series] = field(default_factory=dict)
    growth: list[growth.Size] = field(default_factory=list)
    market: market.Market | None = None
    day: day.Day | None = None
    photos: photos.Photos = field(default_factory=photos.Photos)
    deals: deals.Deals | None = None
    monitor: monitor.Monitor | None = None
    board: board.Board | None = None
    prices: prices.Prices | None = None
    lots: lots.Lots | None = None
    watches: watches.Watches | None = None
    alerts: alerts.Alerts | None = None
    year: year.YearCosts | None = None


def count(raw: str) -> int:
    """Read a count of at least 1. Raises ValueError."""
    value = int(raw)
    if value < 1:
        raise ValueError(f"{raw} is less than 1")
    return value


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    top = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the feed in units of COPY of the same file, and the photos beside Scrapy's own pipelines. "
        "Without a part named, all parts but --year are measured.",
    )
    top.add_argument("--loads", action="store_true", help="part: the loads and their targets")
    top.add_argument("--growth", action="store_true", help="part: a delta at 150,000, 300,000 and 600,000 lots")
    top.add_argument("--others", action="store_true", help="part: other writers on the same file")
    top.add_argument("--photos", action="store_true", help="part: the photo crawl, its requests, gaps and memory")
    top.add_argument("--market", action="store_true", help="part: the market crawl, its requests and statements")
    top.add_argument(
        "--day", action="store_true", help="part: a day of the market at its real size, on a fast clock, half an hour"
    )
    top.add_argument("--hours", type=float, metavar="H", help=f"of the day: hours of its clock ({day.FULL.hours:g})")
    top.add_argument("--speed", type=float, metavar="X", help=f"of the day: speed of its clock ({day.FULL.speed:g})")
    top.add_argument("--deals", action="store_true", help="part: ads through all stages, and the estimates")
    top.add_argument("--monitor", action="store_true", help="part: what the monitor costs, beside a million ads")
    top.add_argument(
        "--board",
        action="store_true",
        help="part: filters, ads and CSV of the board among a million ads; 10 GB of disk",
    )
    top.add_argument("--watches", action="store_true", help="part: ads against ten thousand watches, previews, texts")
    top.add_argument(
        "--alerts",
        action="store_true",
        help="part: from the page of an ad to its message, beside a crawl; quarter of an hour",
    )
    top.add_argument(
        "--prices",
        action="store_true",
        help="part: the market over time, beside a million ads with a year of prices; 10 GB of disk",
    )
    top.add_argument(
        "--lots", action="store_true", help="part: filters and pages of lots among three million; 12 GB of disk"
    )
    top.add_argument(
        "--year",
        action="store_true",
        help="part: what operators ask beside a year of history and half of it; only if named: 15 GB of disk",
    )
    top.add_argument(
        "--keep",
        action="store_true",
        help=f"of the year: leave its rows for the next bench with --keep; none older than {year.MOST_HOURS} h is used",
    )
    top.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="NAME", default=[], help=f"of a part only: {', '.join(NAMES)}"
    )
    top.add_argument("--rows", type=count, metavar="N", help=f"lots in the first file ({ROWS:,})")
    top.add_argument("--runs", type=count, metavar="N", help="pairs of unit and command (5; of the other parts 3)")
    top.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROWS:,} lots (photos of {photos.QUICK.lots}) and 2 pairs"
    )
    top.add_argument("--page", type=Path, metavar="FILE", help="of the market: a page of a list, saved as it came")
    top.add_argument("--ads", type=Path, metavar="FILE", help="of the deals: a CSV of real ads to judge estimates by")
    top.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured as JSON")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if everything was measured, reached or not, 1 if something failed, 2 for wrong usage."""
    options = parser().parse_args(arguments)
    try:
        folder = config.load().data_dir.resolve() / "bench"
        with running(folder, keep=options.keep) as server:
            measured = measure(options, server, folder)
    except (BenchFailed, ProcessFailed, ConfigError, ServerError, DatabaseError, CalledProcessError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted: the server is stopped, nothing is printed")
        return 1
    measured.about["command"] = command(sys.argv[1:] if arguments is None else arguments)
    print(text(measured))
    if options.json:
        options.json.write_text(json.dumps(asdict(measured), indent=1, default=str), encoding="utf-8")
    return 0


def command(typed: Sequence[str]) -> str:
    """Return what was typed without the place of the JSON, which says something about one machine only."""
    words = list(typed)
    if "--json" in words:
        where = words.index("--json")
        del words[where : where + 2]
    return f"python -m bench {shlex.join(words)}".strip()


def measure(options: argparse.Namespace, server: Server, folder: Path) -> Measured:
    """Measure the parts that were asked for. Raises BenchFailed, ProcessFailed."""
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    runs = options.runs or (2 if options.quick else 5)
    parts = parts_of(options)
    measured = Measured(about=machine.described(server), feeds={})
    if "loads" in parts or "others" in parts:
        measured.feeds = feeds = files.make(folder / "files", rows)
        measured.about["file"] = f"{rows:,} rows, {feeds['first'].bytes / 1e6:.1f} MB"
    if "loads" in parts:
        measured.loads = loads.measure(server, measured.feeds, parts["loads"], runs)
    if "others" in parts:
        measured.others = others.measure(server, folder, measured.feeds["first"], parts["others"], min(runs, FEW_RUNS))
    if "growth" in parts:
        sizes = [size // 10 if options.quick else size for size in SIZES]
        measured.growth = growth.measure(server, folder / "files", sizes, min(runs, FEW_RUNS))
    shutil.rmtree(folder / "files", ignore_errors=True)
    measure_market(options, server, parts, measured)
    if "deals" in parts:
        pairs = options.runs or (1 if options.quick else FEW_RUNS)
        measured.deals = deals.measure(server, folder, quick=options.quick, runs=pairs, file=options.ads)
    measure_reading(options, server, folder, parts, measured)
    if "year" in parts:
        asked = options.runs or (1 if options.quick else FEW_RUNS)
        measured.year = year.measure(server, quick=options.quick, runs=asked)
    if "photos" in parts:  # last: it needs boto3 here, and the peak of this process counts into those of its children
        crawl = photos.QUICK if options.quick else photos.FULL
        pairs = options.runs or (2 if options.quick else FEW_RUNS)
        measured.photos = photos.measure(server, folder, crawl, pairs, parts["photos"])
        measured.about["photos"] = f"{crawl.lots} lots, {photos.photos_of(crawl.lots):,} photos"
    return measured


def measure_reading(
    options: argparse.Namespace, server: Server, folder: Path, parts: dict[str, list[str]], measured: Measured
) -> None:
    """Measure the parts that only read. Raises BenchFailed, ProcessFailed."""
    if "monitor" in parts:
        measured.monitor = monitor.measure(server, monitor.QUICK if options.quick else monitor.FULL)
    size = board.QUICK if options.quick else board.FULL
    if "board" in parts:
        measured.board = board.measure(server, size, folder / "files")
    if "prices" in parts:
        measured.prices = prices.measure(server, size)
    if "lots" in parts:
        measured.lots = lots.measure(server, lots_of(options))


def measure_market(
    options: argparse.Namespace, server: Server, parts: dict[str, list[str]], measured: Measured
) -> None:
    """Measure the parts about the market. Raises BenchFailed, ProcessFailed."""
    if "market" in parts:
        ads = market.QUICK_ADS if options.quick else market.ADS
        measured.market = market.measure(server, ads, options.page)
        measured.about["market"] = f"{measured.market.full.ads:,} ads"
    if "day" in parts:
        measured.day = day.measure(server, day_of(options))
    if "watches" in parts:
        measured.watches = watches.measure(server, watches.QUICK if options.quick else watches.FULL)
    if "alerts" in parts:
        measured.alerts = alerts.measure(server, alerts.QUICK if options.quick else alerts.FULL)


def lots_of(options: argparse.Namespace) -> lots.Size:
    """Return the lots that were asked for: --rows is how many there are, of which 150,000 at most are in the feed."""
    size = lots.QUICK if options.quick else lots.FULL
    if not options.rows:
        return size
    active = min(size.year.active, options.rows)
    return replace(size, year=replace(size.year, lots=options.rows, active=active, photos=options.rows * 2 // 3))


def day_of(options: argparse.Namespace) -> day.Size:
    """Return the day of the market that was asked for."""
    size = day.QUICK if options.quick else day.FULL
    return replace(size, hours=options.hours or size.hours, speed=options.speed or size.speed)


def parts_of(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the names to measure of each part that was asked for, all parts if none was."""
    known: dict[str, Sequence[str]] = {
        "loads": LOADS,
        "growth": (),
        "others": OTHERS,
        "market": (),
        "day": (),
        "deals": (),
        "monitor": (),
        "board": (),
        "prices": (),
        "lots": (),
        "watches": (),
        "alerts": (),
        "year": (),
        "photos": photos.PARTS,
    }
    named = {part: [name for name in names if name in options.only] for part, names in known.items()}
    asked = [part for part in known if getattr(options, part) or named[part]] or [
        each for each in known if each != "year"
    ]
    return {part: named[part] or list(known[part]) for part in asked}


def text(measured: Measured) -> str:
    """Return what is printed: the machine, the tables, and what was not reached."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in measured.about.items())]
    if measured.loads or measured.others:
        parts.append(report.costs(measured.feeds, measured.loads, measured.others))
    if measured.growth:
        parts.append(report.growth(measured.growth))
    tables = (
        photo_report.tables(measured.photos),
        market_report.tables(measured.market),
        day_report.tables(measured.day),
        deals_report.tables(measured.deals),
        monitor.table(measured.monitor),
        board.table(measured.board),
        prices.table(measured.prices),
        lots.table(measured.lots),
        watches.table(measured.watches),
        alerts.table(measured.alerts),
        year.tables(measured.year),
    )
    parts += [table for table in tables if table]
    if measured.loads or any(tables):
        missed = [
            *report.missed(measured.loads),
            *photo_report.missed(measured.photos),
            *market_report.missed(measured.market),
            *day_report.missed(measured.day),
            *deals_report.missed(measured.deals),
            *monitor.missed(measured.monitor),
            *board.missed(measured.board),
            *prices.missed(measured.prices),
            *lots.missed(measured.lots),
            *watches.missed(measured.watches),
            *alerts.missed(measured.alerts),
            *year.missed(measured.year),
        ]
        parts.append(f"NOT REACHED: {', '.join(missed)}" if missed else "Every target was reached.")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
