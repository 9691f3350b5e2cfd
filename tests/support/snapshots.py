"""Snapshots for tests: everything is well, unless told otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from deals.alarms import Backlog
from deals.board import Compared
from deals.landed.book import Checked
from deals.market import State
from etl.merge.board import Compared as ComparedLots
from ops.observe.market import MakeState, Market
from ops.observe.pace import Pace
from ops.observe.site import Site
from ops.observe.snapshot import (
    Alert,
    Audit,
    Backup,
    Celery,
    CrawlRun,
    Database,
    Deal,
    Deals,
    Disk,
    Feed,
    Host,
    LogError,
    Logs,
    Machine,
    Photos,
    PriceModel,
    Secrets,
    Snapshot,
    Supervision,
    Wanted,
    Watching,
    Worker,
)
from ops.photos.places import Stored

NOW = datetime(2026, 11, 25, 2, 40, tzinfo=UTC)
GB = 1_000_000_000
MAKES = {
    "1": ("Mercedes-Benz", "BMW"),
    "2": ("Audi", "VW", "Opel"),
    "3": ("Ford", "Toyota", "Renault", "Peugeot", "Citroen"),
    "4": ("Skoda", "Seat", "Honda", "Mazda", "Nissan", "Hyundai", "Kia", "Volvo", "Fiat", "Alfa Romeo"),
    "photos": (),
}


def ago(**units: float) -> datetime:
    """A moment before NOW."""
    return NOW - timedelta(**units)


def run(name: str, **more: Any) -> CrawlRun:
    """The run of a worker, under way."""
    is_photos = name == "photos"
    values: dict[str, Any] = {
        "id": list(MAKES).index(name) + 1,
        "spider": "lot_photos" if is_photos else "mobile_bg",
        "worker": None if is_photos else name,
        "machine": "here",
        "pid": 4710 + list(MAKES).index(name),
        "started_at": ago(hours=2, minutes=5),
        "heartbeat_at": ago(seconds=2),
        "unit": "lot" if is_photos else "page",
        "done": 37,
        "total": 117,
        "items": 1240,
        "items_per_minute": 41.5,
        "expected_end": NOW + timedelta(hours=1, minutes=10),
        "current_item": "bmw page 37",
        "last_items": tuple(f"1179516432275589{number} Car {number} of worker {name}" for number in range(5)),
    }
    return CrawlRun(**{**values, **more})


def worker(name: str = "1", **more: Any) -> Worker:
    """A worker at work."""
    values: dict[str, Any] = {
        "name": name,
        "makes": MAKES[name],
        "state": "running",
        "pid": 4710 + list(MAKES).index(name),
        "started_at": ago(hours=2, minutes=5),
        "ended_at": None,
        "exit_code": None,
        "log": Path("var/logs") / ("photo-scraper.log" if name == "photos" else f"worker_{name}.log"),
        "run": run(name),
        "rate": 41.5,
        "wanted": "running",
        "is_shared": name == "photos",
        "history": tuple(float(20 + 7 * number % 40) for number in range(30)),
    }
    return Worker(**{**values, **more})


def never_started(name: str) -> Worker:
    """A worker that nobody ever started."""
    return worker(name, state="stopped", pid=None, started_at=None, run=None, rate=None, history=(), wanted=None)


def disk(share: float, size: int = 100 * GB) -> Disk:
    """A disk that is so full."""
    return Disk(path=Path("var"), size=size, used=round(size * share), free=size - round(size * share))


def stage(name: str, **more: Any) -> Backlog:
    """A stage without work."""
    values: dict[str, Any] = {"stage": name, "waiting": 0, "in_hand": 0, "dead": 0, "oldest": None}
    return Backlog(**{**values, **more})


def host(**more: Any) -> Host:
    """A host that answers."""
    values: dict[str, Any] = {
        "host": "www.mobile.bg",
        "requests": 4012,
        "refusals_in_row": 0,
        "last_refusal": None,
        "open_until": None,
        "asked_at": ago(seconds=3),
    }
    return Host(**{**values, **more})


def feed(**more: Any) -> Feed:
    """A feed whose last file is three minutes old."""
    values: dict[str, Any] = {
        "is_configured": True,
        "last_at": ago(minutes=3),
        "status": "loaded",
        "good_at": ago(minutes=3),
        "loaded_at": ago(minutes=3),
        "rows": 149_997,
        "new": 303,
        "changed": 1500,
        "gone": 300,
        "rejected": 3,
    }
    return Feed(**{**values, **more})


def pace(lots_a_day: float | None, **more: Any) -> Pace:
    """What photo crawls did in the last week."""
    days = 0 if lots_a_day is None else 7
    since = ago(hours=2) if lots_a_day is None else ago(days=7)
    return Pace(**{"since": since, "runs": 21, "days": days, "lots_a_day": lots_a_day, **more})


def audit(**more: Any) -> Audit:
    """A feed whose key columns are known, and whose last load was read."""
    unknown = {**dict.fromkeys(("vin", "year", "make", "model", "damage", "image_url"), 0), "fuel": 795}
    return Audit(**{"lots": 150_000, "unknown": unknown, **more})


def photos(**more: Any) -> Photos:
    """Photos of nine lots in ten and more."""
    values: dict[str, Any] = {
        "counted_at": ago(seconds=20),
        "lots": {"ok": 141_000, "missing": 8000, "partial": 700, "none_yet": 300},
        "with_photo": 145_500,
        "with_first": 144_700,
        "lots_before": 149_000,
        "with_first_before": 144_000,
        "lots_left": 16_000,
        "lots_lost": 12,
        "lots_per_minute": 12.3,
        "pace": pace(17_712),
        "last_run_at": ago(seconds=2),
    }
    return Photos(**{**values, **more})


def compared(**more: Any) -> Compared:
    """A sample of the board: all rows are right."""
    return Compared(**{**dict.fromkeys(("missing", "wrong", "surplus", "wordless"), 0), "ads": 500, **more})


def compared_lots(**more: Any) -> ComparedLots:
    """A sample of the board of lots: all rows are right."""
    return ComparedLots(**{**dict.fromkeys(("missing", "wrong", "surplus"), 0), "lots": 900, **more})


def deals(**more: Any) -> Deals:
    """Deals without a backlog."""
    values: dict[str, Any] = {
        "stages": tuple(stage(name) for name in ("normalize", "price", "score")),
        "lots": tuple(stage(name) for name in ("value", "quote", "match_lots")),
        "posted_today": 12,
        "figures": State(computed_at=ago(hours=9), since=ago(days=200), months=7, families=812),
        "waiting_posts": 0,
        "top": tuple(
            Deal(score=9.1 - number / 10, title=f"BMW 320 number {number}", price=12_500 + number, url="https://x/1")
            for number in range(5)
        ),
    }
    return Deals(**{**values, **more})


def model(**more: Any) -> PriceModel:
    """A price model of last night that measured as usual."""
    values: dict[str, Any] = {
        "trained_at": ago(hours=9), "is_used": True, "reason": "measured", "ads": 900, "off": 0.13, "inside": 0.79,
    }  # fmt: skip
    return PriceModel(**{**values, **more})


def database(**more: Any) -> Database:
    """A database that answers."""
    values: dict[str, Any] = {
        "size": 32 * GB // 10,
        "connections": 12,
        "most_connections": 50,
        "rows_written": 123_456,
        "rows_inserted": 100_000,
        "rows_updated": 23_456,
        "writes_per_minute": 1203.0,
        "inserts_per_minute": 1003.0,
        "updates_per_minute": 200.0,
        "clock_offset": 0.001,
        "lots": 150_000,
        "images": 1_000_000,
        "listings": 7600,
    }
    return Database(**{**values, **more})


def machine(**more: Any) -> Machine:
    """A machine with room."""
    values: dict[str, Any] = {
        "cpu": 0.23,
        "cores": 2,
        "load": 0.8,
        "memory": 0.41,
        "memory_size": 8 * GB,
        "memory_free": 5 * GB,
        "data_disk": disk(0.61),
        "log_disk": disk(0.61),
        "data_dir": Path("/var/data/vinops"),
    }
    return Machine(**{**values, **more})


def logs(**more: Any) -> Logs:
    """Logs of a normal size, without errors."""
    values: dict[str, Any] = {
        "folder": Path("var/logs"),
        "bytes": 42_000_000,
        "largest": Path("var/logs/worker_1.log"),
        "largest_bytes": 9_000_000,
        "errors": 0,
        "last_error": None,
        "is_writable": True,
    }
    return Logs(**{**values, **more})


def backup(hours: float | None = 5, *ahead: str) -> Backup:
    """A backup so old, beside some that are dated in the future."""
    folder = Path("var/backups")
    if hours is None:
        return Backup(folder=folder, newest=None, at=None, bytes=None, ahead=ahead)
    return Backup(folder=folder, newest=folder / "x.dump", at=ago(hours=hours), bytes=2 * GB, ahead=ahead)


def wanted(**desired: str) -> tuple[Wanted, ...]:
    """What is wanted here: everything, since two hours ago, with a supervisor that made a pass 20 s ago."""
    names = {**dict.fromkeys((*MAKES, "celery_worker", "celery_beat", "supervisor"), "running"), **desired}
    return tuple(
        Wanted(name=name, machine="here", desired=how, at=ago(seconds=20) if name == "supervisor" else ago(hours=2))
        for name, how in names.items()
        if how
    )


def make(name: str, **more: Any) -> MakeState:
    """A make that was complete three hours ago and is walked again."""
    worker = next((number for number, names in MAKES.items() if name in names), "1")
    values: dict[str, Any] = {
        "slug": name.lower(),
        "name": name,
        "worker": worker,
        "complete_at": ago(hours=3),
        "since": ago(hours=3),
        "pages": 860,
        "pages_read": 120 if name == "BMW" else None,
    }
    return MakeState(**{**values, **more})


def market(**more: Any) -> Market:
    """The scheduled cycle by day: the newest ads were read a few seconds ago."""
    values: dict[str, Any] = {
        "makes": tuple(make(name) for names in MAKES.values() for name in names),
        "newest_at": ago(seconds=42),
        "newest_pages": 1,
        "walk_seconds": 6.5 * 3600,
    }
    return Market(**{**values, **more})


def watching(**more: Any) -> Watching:
    """Three people with watches, for whom nothing waits."""
    return Watching(**{"people": 3, "watches": 12, "waiting": 0, **more})


def error(minutes: float = 12) -> LogError:
    """An error in a log."""
    return LogError(at=ago(minutes=minutes), text="market: the page could not be read: no_cards")


def snapshot(**more: Any) -> Snapshot:
    """Everything is well."""
    values: dict[str, Any] = {
        "at": NOW,
        "seconds": 0.02,
        "workers": tuple(map(worker, MAKES)),
        "database": database(),
        "machine": machine(),
        "logs": logs(),
        "celery": Celery(workers=(5000,), children=4, beats=(5001,)),
        "backup": backup(),
        "secrets": Secrets(count=6),
        "feed": feed(),
        "audit": audit(),
        "photos": photos(),
        "stored": Stored(wanted="folder", photos={"folder": 1_700_000}, about=("folder",)),
        "runs": tuple(map(run, MAKES)),
        "hosts": (host(),),
        "deals": deals(),
        "board": compared(),
        "lot_board": compared_lots(),
        "watching": watching(),
        "alerts": (),
        "wanted": wanted(),
        "market": market(),
        "supervisor": Supervision(pid=4999, every=60),
        "tariffs": Checked(lines=105, oldest=date(2026, 9, 21)),
        "site": Site(address="127.0.0.1:8080", answered=200),
        "clock_synchronized": True,
    }
    return Snapshot(**{**values, **more})


def without_database(**more: Any) -> Snapshot:
    """The database is away, and with it what it knows."""
    away = Database(error="connection refused: no server at 10.0.0.5", fix="vinops doctor")
    parts = ("feed", "audit", "photos", "stored", "runs", "hosts", "deals", "board", "lot_board", "alerts", "wanted")
    parts += ("market", "watching")
    values: dict[str, Any] = dict.fromkeys(parts)
    return replace(
        snapshot(workers=tuple(worker(name, run=None) for name in MAKES)), **{"database": away, **values, **more}
    )


def alert(**more: Any) -> Alert:
    """An open alert."""
    values: dict[str, Any] = {
        "kind": "blocked",
        "subject": "cs.copart.com",
        "message": "cs.copart.com refused 5 requests in a row (429). The run ended; no crawl requests it before 03:10.",
        "raised_at": ago(minutes=20),
        "times": 2,
    }
    return Alert(**{**values, **more})
