"""A lot as it was read, and its car in the words of the vocabulary: what a Bulgarian ad of it would say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deals.estimate.cars import Row
from vinops import vehicles

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal

    from vinops.vehicles import ModelMatch

KM_A_MILE: Final = 1.609344
FUELS: Final = {"flex fuel": "gasoline", "bi-fuel": "lpg", "gas and oil mix": None}
"""The feed's fuels that the market calls otherwise."""
_KILOMETERS: Final = re.compile(r"\bKILOM|\bODOMETER IS IN KM\b|\bIN KMS?\b", re.IGNORECASE)
_LITRES: Final = re.compile(r"(?<![\d.])(\d{1,2}\.\d)\s*L\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lot:
    """A lot with its vehicle, as sql/queries/lots.sql reads it. The odometer is in the unit of its country."""

    lot_id: int
    lot_hash: bytes
    status: str
    vin: str | None
    vehicle_type: str | None
    year: int | None
    make: str | None
    model_group: str | None
    model_detail: str | None
    body_style: str | None
    color: str | None
    engine: str | None
    transmission: str | None
    fuel: str | None
    odometer: int | None
    odometer_brand: str | None
    damage: str | None
    secondary_damage: str | None
    title_state: str | None
    title_type: str | None
    title_group: str | None
    has_keys: bool | None
    condition: str | None
    sale_date: date | None
    sale_at: datetime | None
    country: str | None
    currency: str | None
    special_note: str | None
    yard_name: str | None
    state: str | None
    high_bid: Decimal | None
    buy_now_price: Decimal | None
    repair_cost: Decimal | None

    @property
    def mileage_km(self) -> int | None:
        """The mileage in km: Canada counts kilometres, and so do lots whose note says so."""
        if self.odometer is None:
            return None
        in_km = self.country == "CAN" or self.currency == "CAD" or _KILOMETERS.search(self.special_note or "")
        return self.odometer if in_km else round(self.odometer * KM_A_MILE)


def model_of(lot: Lot) -> ModelMatch | None:
    """Return the model of a lot: what group and detail name, the longer where one contains the other.

    «RX350» and «RX» are an RX 350, «CHEROKEE» and «GRAND CHEROKEE» a Grand Cherokee, «ROGUE» and «ROGUE SPORT» the
    latter; where they disagree, as «COROLLA» and «COROLLA MATRIX», it is the detail.
    """
    make = vehicles.make(lot.make) if lot.make else None
    if make is None or make.how == "fuzzy":
        return None
    group, detail = (
        found if (found := vehicles.model(make.value, text) if text else None) and found.how != "fuzzy" else None
        for text in (lot.model_group, lot.model_detail)
    )
    if group is None or detail is None:
        return detail or group
    return group if detail.value.removeprefix(f"{detail.make} ") in group.value else detail


def fuel_of(lot: Lot) -> str | None:
    """Return the fuel in the words of the market."""
    return FUELS.get(lot.fuel, lot.fuel) if lot.fuel else None


def row_of(lot: Lot, model: ModelMatch) -> Row:
    """Return the car as an ad without a price would describe it. Its id is negative: no ad has it."""
    litres = _LITRES.search(lot.engine or "")
    body = vehicles.body(lot.body_style) if lot.body_style else None
    colour = vehicles.colour(lot.color) if lot.color else None
    return Row(
        listing_id=-lot.lot_id,
        car=-lot.lot_id,
        price_eur=None,
        year=lot.year,
        month=None,
        mileage_km=lot.mileage_km,
        power_hp=None,
        engine_cc=round(float(litres[1]) * 1000) if litres else None,
        make=model.make,
        model=model.value,
        family=model.family,
        fuel=fuel_of(lot),
        gearbox=lot.transmission if lot.transmission in {"automatic", "manual"} else None,
        body=body.value if body else None,
        colour=colour.value if colour else None,
        title="",
    )
