"""The input of the forecast: measured where there is enough data, otherwise assumed, and labelled so."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ops.forecast.arithmetic import HOURS, UNDATED_TURN_HOURS, Inputs, Range, Waiting, exactly
from ops.observe.pace import Pace, not_yet
from ops.observe.reach import ACTIVE_LOTS, LIFE_HOURS, USUAL_PHOTOS, Reach, reach
from ops.observe.snapshot import Photos
from ops.retention import photo_days
from vinops import clock
from vinops.db.database import queries

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

    from vinops.config import Settings

# Assumptions, each used only while there is not enough data to measure it.
RATES: Final = {"careful": Range(low=100, likely=150, high=150), "steady": Range(low=400, likely=550, high=600)}
"""Lots with all photos an hour by VINOPS_PACE: careful is a lot every 24 s; steady is two photos a second, 12 to a
lot."""
PHOTOS_PER_LOT: Final = Range(low=10, likely=USUAL_PHOTOS, high=14)
BYTES_PER_PHOTO: Final = Range(low=150_000, likely=200_000, high=250_000)
DATED_SHARE: Final = 0.5
LEAD_HOURS: Final = 5 * 24.0
ARCHIVE_A_DAY: Final = Range(low=20e6, likely=30e6, high=60e6)  # one whole file of 18 MB and 95 deltas of 0.1 MB
CHANGES_A_DAY: Final = 1.0  # of an active lot: 96 files a day at 1 % each
BYTES_A_ROW: Final = {
    "public.images": 550.0,
    "public.lots": 800.0,
    "public.lot_photos": 150.0,
    "public.vehicles": 350.0,
    "staging.copart_raw": 900.0,
    "audit.lot_events": 150.0,
    "public.listings": 1800.0,
}
SPREAD: Final = 0.2  # of a figure with too few days of data

ENOUGH_LOTS: Final = 100
ENOUGH_ROWS: Final = 1000
ENOUGH_DAYS: Final = 1.0  # lots come mostly at certain hours of the day
LIFE_DAYS: Final = 18.0
"""Days since the first load after which the lives of lots that came later count: before, only short ones are over."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Something that stays when lots leave: its rows and bytes now, and the setting of how many days it is kept (None:
    for ever)."""

    what: str
    rows: float
    bytes: float
    variable: str
    days: float | None


@dataclass(kw_only=True)
class Measures:
    """The inputs, and the source of each figure in `said`. Of the active lots `settled` have the photos that there are;
    `pace` is None if no crawl did a lot in the last week."""

    inputs: Inputs
    said: dict[str, str] = field(default_factory=dict)
    reaches: list[Reach] = field(default_factory=list)
    verdict: str = ""
    active: int = 0
    photographed: int = 0
    settled: int = 0
    pace: Pace | None = None
    history: list[History] = field(default_factory=list)


@dataclass(kw_only=True)
class _Lots:
    """The active lots: by state; those that wait, by hours until their sale (None: not known) and age in hours; those
    with all photos, by their count."""

    states: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[int | None, int, int]] = field(default_factory=list)
    photos: dict[int, int] = field(default_factory=dict)

    @property
    def photographed(self) -> int:
        """Those with all photos."""
        return self.states.get("ok", 0)

    def photos_at(self, share: float) -> float:
        """Return the count of photos below which this share of the lots lies, between two counts where it falls there,
        as percentile_cont does."""
        place = share * (sum(self.photos.values()) - 1)
        low = high = 0
        seen = 0
        for count, lots in sorted(self.photos.items()):
            low = count if seen <= math.floor(place) else low
            high = count if seen <= math.ceil(place) else high
            seen += lots
        return low + (high - low) * (place - math.floor(place))


def measure(connection: Connection[Any], settings: Settings) -> Measures:
    """Measure the database with a dozen read-only queries: a second beside a year of history."""
    said: dict[str, str] = {}
    lots = _lots(connection)
    life_hours = _life(_row(connection, "lives"), said)
    active = sum(lots.states.values())
    pace = Pace.of(_row(connection, "photo_pace", "snapshot"))
    photographed = Photos(counted_at=clock.now(), lots=lots.states, pace=pace)
    rates = _rates(photographed.pace, settings, said)
    arrivals, changes = _arrivals(_row(connection, "arrivals"), active, life_hours, said)
    dated_share, lead_hours = _sales(_row(connection, "sales"), life_hours, said)
    per_lot = _photos_per_lot(lots, said)
    photos = _row(connection, "photos")
    per_photo = _bytes_per_photo(photos, said)
    archive = _row(connection, "archive")
    archive_a_day = _archive(archive, said)
    sizes = connection.execute(queries("forecast")["tables"]).fetchall()
    photos_a_day = min(rates.likely * 24, arrivals.likely) * per_lot.likely
    ads = _row(connection, "ads")
    growth = _growth(sizes, arrivals.likely, changes, photos_a_day, _ads_a_day(ads))
    said["database growth"] = "rows a day by the figures above, bytes a row as the tables have them, or assumed"
    total = connection.execute(queries("forecast")["database_bytes"]).fetchone()
    stored = float(photos["photos"]) * per_photo.likely
    shared = float(photos["object_share"]) if photos["photos"] else 1.0
    return Measures(
        inputs=Inputs(
            waiting=_waiting(lots.waiting, life_hours),
            lots_per_hour=rates,
            first_per_hour=_first_rates(photographed.pace, settings, rates, arrivals.likely),
            are_new=photographed.pace is not None and photographed.pace.lots_a_day is not None,
            remaining=photographed.remaining,
            rechecks_a_day=lots.photographed / settings.photo_recheck_days,
            arrivals_a_day=arrivals,
            dated_share=dated_share,
            lead_hours=lead_hours,
            life_hours=life_hours,
            photos_per_lot=per_lot,
            bytes_per_photo=per_photo,
            new_share=shared,
            stored_bytes=stored * shared,
            archive_bytes=float(archive["kept_bytes"]),
            archive_a_day=archive_a_day,
            archive_days=settings.archive_days,
            database_bytes=float(total[0]) if total else 0.0,
            database_a_day=growth,
            retention_days=None if (kept := photo_days(settings)) is None else kept + life_hours / 24,
        ),
        said=said,
        active=active,
        photographed=lots.photographed,
        settled=photographed.settled,
        pace=photographed.pace,
        history=_history(
            sizes,
            settings,
            active=active,
            photos=float(photos["photos"]),
            of_active=lots.photographed * per_lot.likely,
            stored=stored * shared,
        ),
    )


def _row(connection: Connection[Any], name: str, file: str = "forecast") -> dict[str, Any]:
    cursor = connection.execute(queries(file)[name])
    names = [column.name for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def _lots(connection: Connection[Any]) -> _Lots:
    """Count the active lots in one look at them."""
    found = _Lots()
    for state, is_waiting, photos, sale, age, count in connection.execute(queries("forecast")["active_lots"]):
        found.states[state] = found.states.get(state, 0) + count
        if is_waiting:
            found.waiting.append((sale, age, count))
        if photos:
            found.photos[photos] = found.photos.get(photos, 0) + count
    return found


def _waiting(lots: list[tuple[int | None, int, int]], life_hours: float) -> list[Waiting]:
    """Return the lots that wait. One that is past its sale or its usual time, and still in the feed, leaves within a
    day."""
    found = []
    for sale, age, count in lots:
        expiry = max(24.0, float(sale) if sale is not None else life_hours - float(age))
        turn = float(sale) if sale is not None else UNDATED_TURN_HOURS - float(age)
        found.append(Waiting(lots=float(count), turn_hours=turn, expiry_hours=expiry))
    return found


def _life(lots: dict[str, Any], said: dict[str, str]) -> float:
    if lots["gone"] >= ENOUGH_LOTS and lots["life_hours"] and lots["history_days"] >= LIFE_DAYS:
        said["life of a lot"] = f"measured: {float(lots['life_hours']) / 24:.1f} days, of {lots['gone']:,} that left"
        return float(lots["life_hours"])
    why = "too few have left" if lots["history_days"] is None or lots["history_days"] >= LIFE_DAYS else ""
    why = why or _not_yet(lots["first_load"], LIFE_DAYS)
    said["life of a lot"] = f"assumed: {LIFE_HOURS / 24:.0f} days; {why}"
    return LIFE_HOURS


def _not_yet(since: datetime, days: float) -> str:
    return not_yet(since + timedelta(days=days))


def _rates(pace: Pace | None, settings: Settings, said: dict[str, str]) -> Range:
    """Return lots an hour: those that crawls finish in a day, pauses included, divided by 24."""
    if pace and pace.lots_a_day is not None:
        found = _ordered(
            Range(low=(pace.low or 0) / HOURS, likely=pace.lots_a_day / HOURS, high=(pace.high or 0) / HOURS)
        )
        said["lots an hour"] = (
            f"measured: {found.likely:,.1f}, which is {pace.lots_a_day:,.0f} a day in the last "
            f"{pace.days} days of {pace.runs:,} crawls and the pauses between them"
        )
        return found
    assumed = settings.pace if settings.pace in RATES else "steady"
    text = f"assumed: {RATES[assumed].likely:,.0f}, one crawl at pace {assumed} all day"
    said["lots an hour"] = text if pace is None else f"{text}; {not_yet(pace.enough_from)}"
    return RATES[assumed]


def _first_rates(pace: Pace | None, settings: Settings, rates: Range, arrivals: float) -> Range:
    """Return first passes an hour: as many as crawls do, but no less than lots that they finish."""
    if pace and pace.lots_a_day is not None:
        times = max(1.0, (pace.first_a_day or 0.0) / pace.lots_a_day) if pace.lots_a_day else 1.0
    else:
        assumed = settings.pace if settings.pace in RATES else "steady"
        found = reach(
            assumed,
            settings.photos_first,
            photos=PHOTOS_PER_LOT.likely,
            arrivals=arrivals,
            daily=settings.daily_requests,
        )
        times = found.lots_a_day / HOURS / rates.likely
    return Range(low=rates.low * times, likely=rates.likely * times, high=rates.high * times)


def _arrivals(row: dict[str, Any], active: int, life_hours: float, said: dict[str, str]) -> tuple[Range, float]:
    """Return new lots a day, and changed lots a day."""
    days = float(row["days"] or 0)
    if days >= ENOUGH_DAYS:
        mean = float(row["lots_new"]) / days
        several = row["calendar_days"] > 3 and row["low"] is not None
        low, high = (float(row["low"]), float(row["high"])) if several else (mean * (1 - SPREAD), mean * (1 + SPREAD))
        said["new lots a day"] = f"measured: {mean:,.0f}, of {row['loads']:,} loads in {days:.1f} days"
        return _ordered(Range(low=low, likely=mean, high=high)), float(row["lots_changed"]) / days
    lots = active or ACTIVE_LOTS
    mean = lots / (life_hours / 24)
    what = "the lots that are active" if active else f"{lots:,.0f} lots"
    since = row["since"] or row["first_load"]
    why = f"; {_not_yet(since, ENOUGH_DAYS)}" if since else ""
    said["new lots a day"] = f"assumed: {mean:,.0f}, {what} by the life of a lot{why}"
    return Range(low=mean * (1 - SPREAD), likely=mean, high=mean * (1 + SPREAD)), lots * CHANGES_A_DAY


def _sales(row: dict[str, Any], life_hours: float, said: dict[str, str]) -> tuple[float, float]:
    if row["lots"] >= ENOUGH_LOTS and row["lead_hours"] is not None:
        lead = min(max(1.0, float(row["lead_hours"])), 2 * life_hours)
        said["known sales"] = f"measured: {float(row['dated_share']):.0%} of new lots, {lead / 24:.1f} days ahead"
        return float(row["dated_share"]), lead
    said["known sales"] = f"assumed: {DATED_SHARE:.0%} of new lots, {LEAD_HOURS / 24:.0f} days ahead"
    return DATED_SHARE, LEAD_HOURS


def _photos_per_lot(lots: _Lots, said: dict[str, str]) -> Range:
    count = sum(lots.photos.values())
    if count >= ENOUGH_LOTS:
        mean = sum(photos * each for photos, each in lots.photos.items()) / count
        found = _ordered(Range(low=lots.photos_at(0.25), likely=mean, high=lots.photos_at(0.75)))
        said["photos of a lot"] = f"measured: {found.likely:.1f}, of {count:,} lots"
        return found
    said["photos of a lot"] = f"assumed: {PHOTOS_PER_LOT.likely:.0f}; {count} lots are too few"
    return PHOTOS_PER_LOT


def _bytes_per_photo(row: dict[str, Any], said: dict[str, str]) -> Range:
    if row["photos"] >= ENOUGH_ROWS:
        found = _measured(row)
        said["bytes of a photo"] = f"measured: {found.likely / 1e3:,.0f} kB, of {row['photos']:,} photos"
        return found
    said["bytes of a photo"] = f"assumed: {BYTES_PER_PHOTO.likely / 1e3:.0f} kB; {row['photos']} photos are too few"
    return BYTES_PER_PHOTO


def _archive(row: dict[str, Any], said: dict[str, str]) -> Range:
    if row["days"]:
        found = _measured(row)
        said["raw archive a day"] = f"measured: {found.likely / 1e6:,.1f} MB, of {row['days']} whole days"
        return found
    said["raw archive a day"] = f"assumed: {ARCHIVE_A_DAY.likely / 1e6:.0f} MB; less than a whole day is measured"
    return ARCHIVE_A_DAY


def _ads_a_day(row: dict[str, Any]) -> float:
    days = float(row["days"] or 0)
    # The first walks find all active ads: only later ones are growth.
    return float(row["lately"]) / 7 if days > 8 else 0.0


def _growth(sizes: list[tuple[Any, ...]], arrivals: float, changes: float, photos: float, ads: float) -> Range:
    rows_a_day = {
        "public.images": photos,
        "public.lots": arrivals,
        "public.lot_photos": arrivals,
        "public.vehicles": arrivals,
        "staging.copart_raw": arrivals + changes,
        "audit.lot_events": 2 * arrivals + 1.5 * changes,
        "public.listings": ads,
    }
    measured = {name: float(size) / float(rows) for name, rows, size in sizes if rows >= ENOUGH_ROWS}
    likely = math.fsum(count * measured.get(name, BYTES_A_ROW[name]) for name, count in rows_a_day.items())
    return Range(low=likely * (1 - SPREAD), likely=likely, high=likely * (1 + SPREAD)) if likely else exactly(0)


def _history(
    sizes: list[tuple[Any, ...]], settings: Settings, *, active: float, photos: float, of_active: float, stored: float
) -> list[History]:
    """Return the size of events, gone lots and their photos; the planner's figures, and shares of the tables."""
    tables = {str(name): (float(rows), float(size)) for name, rows, size in sizes}
    lots = tables.get("public.lots", (0.0, 0.0))[0]
    gone, gone_photos = max(lots - active, 0.0), max(photos - of_active, 0.0)
    of_lots = sum(tables.get(name, (0.0, 0.0))[1] for name in ("public.lots", "public.lot_photos"))
    events, of_events = tables.get("audit.lot_events", (0.0, 0.0))
    return [
        History(what="events", rows=events, bytes=of_events, variable="VINOPS_EVENT_DAYS", days=settings.event_days),
        History(
            what="gone lots",
            rows=gone,
            bytes=of_lots * gone / lots if lots else 0.0,
            variable="VINOPS_GONE_LOT_DAYS",
            days=settings.gone_lot_days,
        ),
        History(
            what="their photos",
            rows=gone_photos,
            bytes=stored * gone_photos / photos if photos else 0.0,
            variable="VINOPS_GONE_PHOTO_DAYS",
            days=photo_days(settings),
        ),
    ]


def _ordered(found: Range) -> Range:
    """Return the range widened to include `likely`: a mean may lie outside its quantiles."""
    return Range(low=min(found.low, found.likely), likely=found.likely, high=max(found.high, found.likely))


def _measured(row: dict[str, Any]) -> Range:
    return _ordered(Range(low=float(row["low"]), likely=float(row["mean"]), high=float(row["high"])))
