"""The CSV that the site exports for a search, which is not a feed file."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from standin.feed.values import HEADER_2026

if TYPE_CHECKING:
    from standin.feed.market import Market

EXPORT_HEADER: Final = (
    "Lot URL", "Lot #", "Year", "Make", "Model", "Damage", "Title Code", "Odometer", "Odometer Description",
    "Est. Retail Value", "Location", "Sale Date", "Current Bid", "Buy It Now", "VIN",
)  # fmt: skip


def site_export(market: Market, rows: int = 2000) -> bytes:
    """Return the CSV of the site's Export button: other columns than the feed, other quoting, up to `rows` rows."""
    names = ("Lot number", "Year", "Make", "Model Detail", "Damage Description", "Sale Title Type", "Odometer",
             "Odometer Brand", "Est. Retail Value", "Yard name", "Sale Date M/D/CY", "High Bid =non-vix,Sealed=Vix",
             "Buy-It-Now Price", "VIN")  # fmt: skip
    positions = [HEADER_2026.index(name) for name in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(EXPORT_HEADER)
    for record in market.records(rows):
        values = [record[position] for position in positions]
        writer.writerow([f"https://www.copart.com/lot/{values[0]}", *values])
    return text.getvalue().encode()
