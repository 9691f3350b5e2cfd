"""Lots for the import deals, planted in place of the first ones: a bargain, a dear one, and some that one must not buy.

All are the same car, a BMW 330i of 2019 with its front bumper scratched, and differ in what their names say. Their sale
is on a given day, since the market of the stand-in lives in the summer of 2026 and a sale that is over is no deal.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from standin.feed.lots import FIELD, WEEKDAYS, join_row, split_row

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
    "High Bid =non-vix,Sealed=Vix": "0.0",
    "Special Note": "",
    "Location city": "WINDSOR",
    "Location state": "NJ",
    "Location ZIP": "08561",
    "Location country": "USA",
    "Currency Code": "USD",
    "Buy-It-Now Price": "0.0",
}
"""What all of them have; the VIN, the number and the photos stay those of the lot."""

PLANTED: Final[dict[str, dict[str, str]]] = {
    "bargain": {"Buy-It-Now Price": "2500.0"},
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
