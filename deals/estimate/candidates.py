"""Candidates for comparables among cars in memory, to train and to measure; pricing.sql finds those in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from deals.estimate.comparables import Pairs

if TYPE_CHECKING:
    from deals.estimate.cars import Cars, Floats, Ints, Texts

NEAREST: Final = 32  # candidates of the same model
FAMILY: Final = 16  # candidates of the same family and other models
CHUNK: Final = 500  # cars at once: what bounds the memory


def find(cars: Cars, market: Cars) -> Pairs:
    """Return for each car the candidates nearest in year and mileage: of its model, and of other models of its family.

    The car itself and ads of the same car may be among them; comparables.others removes them.
    """
    priced = np.flatnonzero(np.isfinite(market.log_price) & np.isfinite(market.born))
    own = _nearest(cars, market, priced, cars.model, market.model, NEAREST)
    family = _nearest(cars, market, priced, cars.family, market.family, FAMILY, but=(cars.model, market.model))
    ad = np.concatenate([own[0], family[0]])
    other = np.concatenate([own[1], family[1]])
    order = np.argsort(ad, kind="stable")
    return pairs(cars, market, ad[order], other[order])


def pairs(cars: Cars, market: Cars, ad: Ints, other: Ints) -> Pairs:
    """Return the pairs of these indices."""
    return Pairs(
        ad=ad,
        ids=market.ids[other],
        car=market.car[other],
        log_price=market.log_price[other],
        born=market.born[other],
        km=market.km[other],
        power=market.power[other],
        same_model=(cars.model[ad] == market.model[other]).astype(bool),
        same_fuel=(cars.fuel[ad] == market.fuel[other]).astype(bool),
        same_gearbox=(cars.gearbox[ad] == market.gearbox[other]).astype(bool),
        same_body=(cars.body[ad] == market.body[other]).astype(bool),
    )


def _nearest(
    cars: Cars,
    market: Cars,
    priced: Ints,
    names: Texts,
    market_names: Texts,
    most: int,
    *,
    but: tuple[Texts, Texts] | None = None,
) -> tuple[Ints, Ints]:
    """Return the indices of cars and of their nearest candidates with the same name, pair by pair."""
    members = _groups(market_names[priced])
    found: list[tuple[Ints, Ints]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for name, places in _groups(names).items():
        group = priced[members.get(name, np.zeros(0, np.int64))] if name else np.zeros(0, np.int64)
        if not len(group):
            continue
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            far = _distance(cars, market, chunk, group)
            if but is not None:
                far[but[0][chunk][:, None] == but[1][group][None, :]] = np.inf
            if len(group) > most:
                picked = np.argpartition(far, most, axis=1)[:, :most]
                far = np.take_along_axis(far, picked, axis=1)
            else:
                picked = np.broadcast_to(np.arange(len(group)), far.shape)
            row, column = np.nonzero(np.isfinite(far))
            found.append((chunk[row], group[picked[row, column]]))
    return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])


def _groups(names: Texts) -> dict[str, Ints]:
    """Return the indices of each name."""
    values, inverse = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return dict(zip(values.tolist(), np.split(order, np.cumsum(np.bincount(inverse))[:-1]), strict=False))


def _distance(cars: Cars, market: Cars, chunk: Ints, group: Ints) -> Floats:
    years = np.abs(cars.born[chunk][:, None] - market.born[group][None, :])
    km = np.abs(np.log((cars.km[chunk] + 20_000)[:, None] / (market.km[group] + 20_000)[None, :]))
    return np.nan_to_num(years, nan=4.0) / 1.7 + np.nan_to_num(km, nan=0.5) / 0.45
