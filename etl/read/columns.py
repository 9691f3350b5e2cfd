"""The columns of the feed: their headers, and their names in staging.copart_raw.

Source: member feeds of 2025 and 2026, 59 columns. Older files lack `Id` and the last ones; headers that changed over
time are aliases. A column is mapped, ignored by name, or reported as drift. The values are text up to staging;
sql/queries/feed_parse.sql parses them (`sale_at`, the sale time of a lot, too).
"""

from __future__ import annotations

from dataclasses import dataclass

from etl.errors import FeedRefused
from vinops.text.printable import without_controls


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its headers, the current one first, and its name in staging.copart_raw."""

    name: str
    headers: tuple[str, ...]
    mandatory: bool = False
    ignored: str = ""
    """Why the merge leaves the value in staging; empty for a column that lots or vehicles take."""


def _column(name: str, *headers: str, mandatory: bool = False, ignored: str = "") -> Column:
    return Column(name=name, headers=headers, mandatory=mandatory, ignored=ignored)


COLUMNS = (
    _column("ordinal", "Id", ignored="the row's position in one file"),
    _column("yard_number", "Yard number"),
    _column("yard_name", "Yard name"),
    _column("sale_date", "Sale Date M/D/CY", mandatory=True),
    _column("day_of_week", "Day of Week", ignored="follows from the sale date"),
    _column("sale_time", "Sale time (HHMM)"),
    _column("time_zone", "Time Zone"),
    _column("item_number", "Item#"),
    _column("lot_number", "Lot number", mandatory=True),
    _column("vehicle_type", "Vehicle Type"),
    _column("year", "Year", mandatory=True),
    _column("make", "Make", mandatory=True),
    _column("model_group", "Model Group"),
    _column("model_detail", "Model Detail"),
    _column("body_style", "Body Style"),
    _column("color", "Color"),
    _column("damage", "Damage Description"),
    _column("secondary_damage", "Secondary Damage"),
    _column("title_state", "Sale Title State"),
    _column("title_type", "Sale Title Type"),
    _column("has_keys", "Has Keys-Yes or No"),
    _column("condition_code", "Lot Cond. Code"),
    _column("vin", "VIN", mandatory=True),
    _column("odometer", "Odometer"),
    _column("odometer_brand", "Odometer Brand"),
    _column("retail_value", "Est. Retail Value", "Lot ACV"),
    _column("repair_cost", "Repair cost"),
    _column("engine", "Engine"),
    _column("drive", "Drive"),
    _column("transmission", "Transmission"),
    _column("fuel", "Fuel Type"),
    _column("cylinders", "Cylinders"),
    _column("runs_drives", "Runs/Drives", ignored="goes 1:1 with the condition code"),
    _column("sale_status", "Sale Status"),
    _column("high_bid", "High Bid =non-vix,Sealed=Vix"),
    _column("special_note", "Special Note"),
    _column("city", "Location city"),
    _column("state", "Location state"),
    _column("zip", "Location ZIP"),
    _column("country", "Location country"),
    _column("currency", "Currency Code"),
    _column("thumbnail_url", "Image Thumbnail"),
    _column("created_at", "Create Date/Time"),
    _column("grid_row", "Grid/Row"),
    _column("make_an_offer", "Make-an-Offer Eligible"),
    _column("buy_now_price", "Buy-It-Now Price"),
    _column("image_url", "Image URL"),
    _column("trim", "Trim"),
    _column("last_updated_at", "Last Updated Time", mandatory=True),
    _column("rentals", "Rentals"),
    _column("copart_select", "Copart Select", "Wholesale"),
    _column("seller_name", "Seller Name"),
    _column("offsite_address", "Offsite Address1"),
    _column("offsite_state", "Offsite State"),
    _column("offsite_city", "Offsite City"),
    _column("offsite_zip", "Offsite Zip"),
    _column("sale_light", "Sale Light"),
    _column("autograde", "AutoGrade"),
    _column("announcements", "Announcements"),
)

LONGEST_TITLE = 100
"""Characters of a column's title that are kept; those of the feed have 29 at the most."""

_BY_HEADER = {header.casefold(): column for column in COLUMNS for header in column.headers}

# The site's own "Export" of a search: another file with other columns.
_SITE_EXPORT = {"lot url", "lot #"}


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of one file: the staging column of each field in order, None where vinops knows none."""

    titles: tuple[str, ...]
    names: tuple[str | None, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Titles of unknown columns; their values are kept in staging.copart_raw.extra."""
        return tuple(title for title, name in zip(self.titles, self.names, strict=True) if name is None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Titles of known columns that this file does not have."""
        return tuple(column.headers[0] for column in COLUMNS if column.name not in self.names)

    @property
    def layout(self) -> str:
        """What the meaning of a row depends on besides its bytes."""
        return "\n".join(name or f"+{title}" for name, title in zip(self.names, self.titles, strict=True))

    @property
    def has_ordinal(self) -> bool:
        """Whether each row begins with its position in the file."""
        return self.names[0] == "ordinal"

    def index(self, name: str) -> int:
        """Return the position of a staging column in a row of this file."""
        return self.names.index(name)


def read_header(titles: list[str]) -> Header:
    """Map a header. Raises FeedRefused for another export, a column that is named twice, or a missing mandatory one.

    The titles of unknown columns go into every row, logs and messages: long ones are cut, control characters dropped.
    """
    titles = [without_controls(title) for title in titles]
    folded = [title.strip().casefold() for title in titles]
    if _SITE_EXPORT.issubset(folded):
        raise FeedRefused(
            "wrong_export",
            "this is the site's Export of a search (it has `Lot URL`), not salesdata.csv: set COPART_CSV_URL to the "
            "member feed",
        )
    columns = [_BY_HEADER.get(title) for title in folded]
    names = tuple(column.name if column else None for column in columns)
    known = [name for name in names if name]
    if len(known) < len(COLUMNS) // 3:
        raise FeedRefused(
            "wrong_export",
            f"the header has {len(titles)} columns and only {len(known)} of the feed's {len(COLUMNS)}: this is another "
            "file; set COPART_CSV_URL to the member feed",
        )
    if len(set(known)) < len(known) or len(set(folded)) < len(folded):
        twice = sorted({title[:LONGEST_TITLE] for title in folded if folded.count(title) > 1} or set(known))
        raise FeedRefused("header", f"the header names a column twice ({', '.join(twice[:3])}): the file is damaged")
    absent = [column.headers[0] for column in COLUMNS if column.mandatory and column.name not in known]
    if absent:
        raise FeedRefused(
            "missing_column",
            f"the header lacks {', '.join(absent)}, without which no row can be read: if the feed renamed it, add "
            "the new name to etl/read/columns.py",
        )
    return Header(titles=tuple(_cut(title.strip(), place) for place, title in enumerate(titles, 1)), names=names)


def _cut(title: str, place: int) -> str:
    """Return a title, or the beginning of a long one with the column's place, which no other column has."""
    return title if len(title) <= LONGEST_TITLE else f"{title[:LONGEST_TITLE]}… (column {place})"
