"""Lots for the import deals, planted in place of the first ones: a bargain, a dear one, and some that one must not buy.

All are the same car, a BMW 330i of 2019 with its front bumper scratched, and differ in what their names say. Their sale
is on a given day, since the market of the stand-in lives in the summer of 2026 and a sale that is over is no deal.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from standin.feed.lots import FIELD, WEEKDAYS, join_row, split_row

BIDS: Final = "High Bid =non-vix,Sealed=Vix"
CAR: Final = {
    "Yard number": "70",
    "Yard name": "NJ - TRENTON",
    "Sale time (HHMM)": "1000",
    "Time Zone": "EST",
    "Item#": "0",
    "Vehicle Type": "V",
    "Year": "2019",
    "Make": "BMW",
    "Model Group": "3 SERIES",
    "Model Detail": "330I",
    "Body Style": "SEDAN 4DR",
    "Color": "BLACK",
    "Damage Description": "MINOR DENT/SCRATCHES",
    "Secondary Damage": "",
    "Sale Title State": "NJ",
    "Sale Title Type": "ST",
    "Has Keys-Yes or No": "YES",
    "Lot Cond. Code": "D",
    "Odometer": "41000.0",
    "Odometer Brand": "A",
    "Est. Retail Value": "24000.0",
    "Repair cost": "2400.0",
    "Engine": "2.0L  4",
    "Drive": "Rear-wheel Drive",
    "Transmission": "AUTOMATIC",
    "Fuel Type": "GAS",
    "Cylinders": "4",
    "Runs/Drives": "Run & Drive Verified",
    "Sale Status": "Pure Sale",
    BIDS: "0.0",
    "Special Note": "",
    "Location city": "WINDSOR",
    "Location state": "NJ",
    "Location ZIP": "08561",
    "Location country": "USA",
    "Currency Code": "USD",
    "Buy-It-Now Price": "0.0",
}
"""What all of them have; the VIN, the number and the photos stay those of the lot."""

BARGAIN_VIN: Final = "1ZZ5R1C5XKA930117"
"""Of no manufacturer, as all VINs of the feed; the market names it in an ad, so that its page shows both ends."""
BID: Final = 600
RAISE: Final = 150
LAST_BID: Final = 2400
"""Bids on the bargain in USD: the first one, how much more each later file has, and where they end, below buy-now."""

PLANTED: Final[dict[str, dict[str, str]]] = {
    "bargain": {"VIN": BARGAIN_VIN, "Buy-It-Now Price": "2500.0", BIDS: f"{BID}.0"},
    "dear": {"Buy-It-Now Price": "25000.0"},
    "flood": {"Secondary Damage": "WATER/FLOOD", "Buy-It-Now Price": "500.0"},
    "parts_only": {"Sale Title Type": "PO", "Buy-It-Now Price": "500.0"},
    "canadian": {
        "Odometer": "65983.0",  # 41,000 miles
        "Yard number": "270",
        "Yard name": "TORONTO",
        "Sale Title State": "ON",
        "Sale Title Type": "ST",
        "Location city": "TORONTO",
        "Location state": "ON",
        "Location ZIP": "M1B 2K9",
        "Location country": "CAN",
        "Currency Code": "CAD",
    },
    "masked": {"VIN": "WBA5R1C5*********"},
}
"""Each lot by its name, and what it has instead."""


def planted(row: str, name: str, sale: date) -> str:
    """Return a lot's row as the planted lot of this name, with its sale on this day."""
    fields = split_row(row)
    day = {"Sale Date M/D/CY": f"{sale:%Y%m%d}", "Day of Week": WEEKDAYS[sale.weekday()]}
    for column, value in (CAR | day | PLANTED[name]).items():
        fields[FIELD[column]] = value
    return join_row(fields)


def with_raised_bid(row: str) -> str:
    """Return the row of the bargain as the next file has it, with a higher bid."""
    fields = split_row(row)
    bid = float(fields[FIELD[BIDS]])
    fields[FIELD[BIDS]] = f"{min(bid + RAISE, LAST_BID):.1f}"
    return join_row(fields)
