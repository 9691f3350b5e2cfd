"""Small feed files for the tests: rows by the names of staging.copart_raw, and what loads them one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection

from etl.outcome import Outcome
from etl.read.columns import COLUMNS
from etl.run import ingest
from standin.feed.values import HEADER_2026
from vinops.config import Settings

Database = Connection[tuple[Any, ...]]
Row = dict[str, str]

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
TITLE = {c.name: next((title for title in c.headers if title in HEADER_2026), c.headers[0]) for c in COLUMNS}
"""The title of each column, as in the header of 2026."""

TABLES = (
    "raw.csv_files",
    "audit.etl_runs",
    "audit.rejected_rows",
    "audit.lot_events",
    "staging.copart_raw",
    "staging.placeholder_vins",
    "staging.shared_vins",
    "vehicles",
    "lots",
)

NOON = "2026-07-01T12:00:00Z"
LATER = "2026-07-01T12:15:00Z"
EARLIER = "2026-07-01T11:45:00Z"

_VALUES = {
    "yard_number": "88",
    "yard_name": "OH - COLUMBUS",
    "sale_date": "20260709",
    "day_of_week": "THURSDAY",
    "sale_time": "1000",
    "time_zone": "EDT",
    "item_number": "17",
    "vehicle_type": "V",
    "year": "2019",
    "make": "FORD",
    "model_group": "ESCAPE",
    "model_detail": "ESCAPE SE",
    "color": "BLUE",
    "damage": "FRONT END",
    "title_state": "OH",
    "title_type": "CT",
    "has_keys": "YES",
    "condition_code": "D",
    "odometer": "61234.0",
    "odometer_brand": "A",
    "retail_value": "11500.0",
    "repair_cost": "4200.5",
    "engine": "1.5L  3",
    "drive": "Front-wheel Drive",
    "transmission": "AUTOMATIC",
    "fuel": "GAS",
    "cylinders": "3",
    "runs_drives": "Run & Drive Verified",
    "sale_status": "Pure Sale",
    "high_bid": "0.0",
    "city": "COLUMBUS",
    "state": "OH",
    "zip": "43207",
    "country": "USA",
    "currency": "USD",
    "created_at": "2026-06-20-09.15.30.000120",
    "grid_row": "C12",
    "make_an_offer": "N",
    "buy_now_price": "0.0",
    "last_updated_at": NOON,
    "rentals": "FALSE",
    "copart_select": "FALSE",
}


def vin_of(lot: int) -> str:
    """Return the VIN that `row` gives a lot."""
    return f"1VNPS{lot:012d}"


def row(lot: int | str, **values: str) -> Row:
    """Return a row with believable values; those given win."""
    own = {"lot_number": str(lot), "image_url": f"http://photos.example/{lot}"}
    if isinstance(lot, int):
        own["vin"] = vin_of(lot)
    unknown = set(values) - set(NAMES)
    assert not unknown, unknown
    return {**dict.fromkeys(NAMES, ""), **_VALUES, **own, **values}


def quoted(values: Iterable[str]) -> bytes:
    """Return one line as the feed writes it: every field in quotes, nothing escaped."""
    return ('"' + '","'.join(values) + '"').encode()


def line(values: Row, number: int, names: Sequence[str] = NAMES) -> bytes:
    """Return a row as a line of the feed; `number` is its `Id`."""
    return quoted(str(number) if name == "ordinal" else values.get(name, "") for name in names)


def feed_bytes(
    rows: Iterable[Row | bytes],
    *,
    names: Sequence[str] = NAMES,
    titles: Mapping[str, str] = TITLE,
    newline: bytes = b"\n",
) -> bytes:
    """Return a feed file. A row given as bytes stands as it is; a column that vinops does not know is its own title."""
    lines = [quoted(titles.get(name, name) for name in names)]
    for number, each in enumerate(rows, 1):
        lines.append(each if isinstance(each, bytes) else line(each, number, names))
    return newline.join([*lines, b""])


@dataclass(kw_only=True)
class Loader:
    """Loads files one after the other, a quarter of an hour apart."""

    settings: Settings
    database: Database
    folder: Path
    now: datetime = datetime(2026, 7, 1, 13, 0, tzinfo=UTC)
    outcomes: list[Outcome] = field(default_factory=list)

    def load(
        self, rows: Iterable[Row | bytes] | bytes, *, allow_shrink: bool = False, minutes: int = 15, **options: Any
    ) -> Outcome:
        """Load a file and return what came of it."""
        data = rows if isinstance(rows, bytes) else feed_bytes(rows, **options)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "sales.csv"
        path.write_bytes(data)
        self.now += timedelta(minutes=minutes)
        outcome = ingest(self.settings, path, fetched_at=self.now, allow_shrink=allow_shrink)
        self.outcomes.append(outcome)
        return outcome

    def loaded(self, rows: Iterable[Row | bytes] | bytes, **options: Any) -> Outcome:
        """Load a file that must be taken, and check what holds for every one."""
        outcome = self.load(rows, **options)
        assert outcome.status == "loaded", (outcome.reason, outcome.message)
        assert outcome.rows_read == (outcome.rows_accepted or 0) + (outcome.rows_rejected or 0)
        assert outcome.rows_accepted == self.one("select count(*) from lots where status = 'active'")
        return outcome

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.database.execute(query, values or None).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """Return the only value of a query."""
        ((value,),) = self.all(query, *values)
        return value

    def lot(self, lot: int, *columns: str) -> Any:
        """Return columns of one lot: a value for one column, else a tuple."""
        (found,) = self.all(f"select {', '.join(columns)} from lots where lot_external_id = %s", lot)
        return found[0] if len(columns) == 1 else found

    def events(self, lot: int) -> list[tuple[str, str | None, str | None]]:
        """Return the events of one lot in order: what, from, to."""
        return self.all(
            "select event, old_value, new_value from audit.lot_events join lots on lots.id = lot_id"
            " where lot_external_id = %s order by lot_events.id",
            lot,
        )

    def active(self) -> set[int]:
        """Return the lots that are active."""
        return {lot for (lot,) in self.all("select lot_external_id from lots where status = 'active'")}
