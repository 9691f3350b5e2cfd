"""Candidates for comparables in the database: the ads nearest to each car of a batch, be it of an ad or of a lot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deals.estimate import candidates, comparables
from deals.estimate.cars import born, log_prices, plausible_km, plausible_power
from deals.estimate.comparables import Pairs
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.estimate.cars import Cars, Row

A_SIDE: Final = 4  # cars of one year with more kilometres, and as many with fewer
USUAL_KM: Final = 180_000  # the mileage at which to look for comparables where none is known


def find(connection: Connection[Any], rows: Sequence[Row], cars: Cars) -> Pairs:
    """Return for each car the ads nearest in year and mileage: of its model, and of other models of its family where
    those are few. `cars` are the same rows as columns.

    Two statements for any number of cars. The car's own ad may be among them; comparables.others removes it.
    """
    statements = queries("pricing")
    with connection.transaction():
        connection.execute(statements["walk_indexes"])
        own = asked([row for row in rows if row.model]) | {"count": candidates.NEAREST}
        near = connection.execute(statements["near_cars"], own, binary=True).fetchall()
        has_enough = {row[0] for row in near if len(row[1]) >= comparables.ENOUGH * 2}
        others = asked([row for row in rows if row.family and row.listing_id not in has_enough])
        others |= {"count": candidates.FAMILY}
        family = connection.execute(statements["near_families"], others, binary=True).fetchall()
    return _pairs(cars, near, family)


def asked(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the statements ask for these cars: columns of those whose year is known."""
    known = [row for row in rows if row.year is not None]
    return {
        "ids": [row.listing_id for row in known],
        "models": [row.model for row in known],
        "families": [row.family for row in known],
        "years": [row.year for row in known],
        "fuels": [row.fuel for row in known],
        "gearboxes": [row.gearbox for row in known],
        "bodies": [row.body for row in known],
        "mileages": [USUAL_KM if row.mileage_km is None else row.mileage_km for row in known],
        "a_side": A_SIDE,
    }


def _pairs(cars: Cars, near: Sequence[Sequence[Any]], family: Sequence[Sequence[Any]]) -> Pairs:
    place = {car: number for number, car in enumerate(cars.ids.tolist())}
    rows = (*near, *family)
    lengths = [len(row[1]) for row in rows]
    columns: list[list[Any]] = [[value for row in rows for value in row[number]] for number in range(1, 10)]
    ids, prices, years, months, mileages, powers, same_fuel, same_gearbox, same_body = columns
    own = sum(len(row[1]) for row in near)
    found = Pairs(
        ad=np.repeat(np.array([place[row[0]] for row in rows], dtype=np.int64), lengths),
        ids=np.array(ids, dtype=np.int64),
        car=np.array(ids, dtype=np.int64),  # none of them is a duplicate
        log_price=log_prices(prices),
        born=born(years, months),
        km=plausible_km(mileages),
        power=plausible_power(powers),
        same_model=np.arange(len(ids)) < own,
        same_fuel=np.array(same_fuel, dtype=bool),
        same_gearbox=np.array(same_gearbox, dtype=bool),
        same_body=np.array(same_body, dtype=bool),
    )
    return found.take(np.argsort(found.ad, kind="stable"))
