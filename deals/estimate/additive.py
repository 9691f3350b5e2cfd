"""The additive part of the price model: what make, family, model, age, mileage, power and words add to the price (ln).

Each fact has a slot, each name in a slot a few weights: how much it adds, and how that changes with age, mileage or
power. All are regularized to zero, so that a rare model stays near its family, and a family near its make.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scipy import sparse

    from deals.estimate.cars import Bools, Cars, Floats, Ints, Texts

AGES: Final = np.array([0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40], dtype=float)  # years
MONTHS: Final = np.array([0, 2, 4, 6, 9, 12, 18, 24], dtype=float)  # since an ad was last seen
FEW_AGES: Final = np.array([0, 3, 7, 12, 18, 26, 40], dtype=float)
KM: Final = np.linspace(np.log(15_000), np.log(450_000), 8)  # ln (km + 15,000)
POWERS: Final = np.log([40.0, 60, 80, 100, 120, 150, 190, 240, 320, 450, 700])
USUAL_KM, USUAL_KM_MOST, USUAL_POWER = 15_000.0, 240_000.0, 130.0  # where an ad does not say: km a year, km at most, hp

WORD: Final = re.compile(r"[^\W_]+(?:\.\d)?")
LETTERS: Final = re.compile(r"[^\W\d_]{3,}")
AMOUNT: Final = re.compile(
    r"(?<![\w.])(?:\d{1,3}(?:[ .,'’]\d{3})+|\d{3,})(?:\s?(?:лв|лева|bgn|€|eur|евро))|(?<![\w.])\d{4,}(?!\w)"
)
"""What may be the price that the advertiser asks: no estimate may see it."""

STRENGTH: Final = 0.6  # of the regularization
ROUNDS: Final = 3  # of reweighting
TOLERANCE: Final = 1e-3  # of the solver: a smaller one changes estimates by half a per cent, and errors not at all
FREEDOM: Final = 3.0  # of Student's t: with fewer, more prices count as outliers

# Slot: the facts of its names, and the curves of each name with the scale of their weights. Chosen by the error of
# held-out ads among 4,861 real ones.
SLOTS: Final[Mapping[str, Mapping[str, float]]] = {
    "": {"ages": 1.0, "km": 1.0, "powers": 1.0, "line": 1.0, "months": 0.3},
    "make": {"one": 3.0, "line": 0.15, "few_ages": 0.1},
    "family": {"one": 0.5, "line": 0.25, "few_ages": 0.07, "powers": 0.05},
    "model": {"one": 0.1, "line": 0.1, "few_ages": 0.12},
    "fuel": {"one": 0.1, "few_ages": 0.5, "powers": 0.2},
    "gearbox": {"one": 0.1, "few_ages": 0.5},
    "body": {"one": 0.1, "few_ages": 0.5},
    "colour": {"one": 0.12},
    "family fuel": {"one": 0.2},
    "family gearbox": {"one": 0.2},
    "family body": {"one": 0.2},
    "model fuel": {"one": 0.2},
    "model gearbox": {"one": 0.2},
    "model body": {"one": 0.2},
    "word": {"one": 0.14, "age": 0.19},
    "seller": {"one": 0.3},
    "equipment": {"one": 0.14},
    "description": {"one": 0.08},
}
"""Facts that a source does not have, as a file has no descriptions, have no names, and cost nothing."""
RARE: Final = {"word": 4, "equipment": 20, "description": 30}  # ads that must contain a name of these slots
LONGEST: Final = 40  # different words of a description that are read


def words(title: str) -> list[str]:
    """Return the words of a lower-case title, each once: «2.0tdi» has 2.0 and tdi. A price is no word."""
    return sorted(set(WORD.findall(AMOUNT.sub(" ", title))))


def words_of(description: str) -> list[str]:
    """Return the first LONGEST different words of a lower-case description: letters only, so that no price is one."""
    return list(dict.fromkeys(LETTERS.findall(description)))[:LONGEST]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """The fitted weights: for each slot its sorted names and a row of weights for each; the last row is zero."""

    reference: float  # the year, with its fraction, at which age is measured
    newest: float  # when the newest ad was last seen; 0 where none says
    mean: float
    names: Mapping[str, Texts]
    weights: Mapping[str, Floats]

    def predict(self, cars: Cars) -> Floats:
        """Return ln EUR for each car."""
        curves = _curves(cars, self.reference, self.newest)
        found = np.full(len(cars), self.mean)
        for slot, scales in SLOTS.items():
            owner, names = _members(slot, cars)
            basis = _basis(curves, scales)
            added = (basis[owner] * self.weights[slot][_codes(names, self.names[slot])]).sum(axis=1)
            found += np.bincount(owner, added, len(cars))
        return found


@dataclass(frozen=True, kw_only=True)
class Design:
    """Cars as the input of a fit: a sparse row for each car (`turned`: a column), and what its columns stand for."""

    rows: sparse.csr_matrix
    turned: sparse.csr_matrix
    reference: float
    newest: float
    names: Mapping[str, Texts]
    shapes: Mapping[str, tuple[int, int]]

    def linear(self, mean: float, coefficients: Floats) -> Linear:
        """Return the weights of fitted coefficients, a number for each column."""
        weights, start = {}, 0
        for slot, (count, width) in self.shapes.items():
            part = coefficients[start : start + count * width].reshape(count, width)
            weights[slot] = np.vstack([part, np.zeros((1, width))])
            start += count * width
        return Linear(reference=self.reference, newest=self.newest, mean=mean, names=self.names, weights=weights)


def design(cars: Cars) -> Design:
    """Return these cars as the input of `solve`. No price is used."""
    from scipy import sparse

    reference = float(cars.born.max())
    newest = float(np.nanmax(cars.seen)) if np.isfinite(cars.seen).any() else 0.0
    curves = _curves(cars, reference, newest)
    names, blocks, shapes = {}, [], {}
    for slot, scales in SLOTS.items():
        owner, members = _members(slot, cars)
        names[slot] = _known(slot, members)
        basis = _basis(curves, scales)
        blocks.append(_block(owner, _codes(members, names[slot]), basis, len(cars), len(names[slot])))
        shapes[slot] = (len(names[slot]), basis.shape[1])
    rows = sparse.hstack(blocks, format="csr")
    del blocks  # as large as the rows, which are turned now: the most memory of a training
    return Design(rows=rows, turned=rows.T.tocsr(), reference=reference, newest=newest, names=names, shapes=shapes)


def fit(cars: Cars, log_price: Floats) -> Linear:
    """Return the weights that fit these prices; outliers count less."""
    asked = design(cars)
    return asked.linear(*solve(asked, log_price, np.ones(len(cars), dtype=bool)))


def solve(asked: Design, log_price: Floats, used: Bools) -> tuple[float, Floats]:
    """Return the mean and the coefficients of a robust ridge regression of the prices (ln EUR) of the used cars.

    Conjugate gradients, scaled by the diagonal, each round from the result of the one before: a quarter of the time of
    scikit-learn's, which begins anew. Cars that are not used have no weight: copies without them would be as large as
    all other memory of a training.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import LinearOperator, cg

    rows, turned = asked.rows, asked.turned
    squares = csr_matrix((turned.data**2, turned.indices, turned.indptr), shape=turned.shape)
    mean = float(np.median(log_price[used]))
    wanted = np.where(used, log_price - mean, 0.0)
    trust = used.astype(np.float64)
    found = np.zeros(rows.shape[1])
    shape = (len(found), len(found))
    for _ in range(ROUNDS):
        diagonal = squares @ trust + STRENGTH
        normal = LinearOperator(shape, matvec=lambda v, trust=trust: turned @ (trust * (rows @ v)) + STRENGTH * v)
        scaled = LinearOperator(shape, matvec=lambda v, diagonal=diagonal: v / diagonal)
        found, _ = cg(normal, turned @ (trust * wanted), x0=found, rtol=TOLERANCE, M=scaled)
        off = wanted - rows @ found
        scale = 1.4826 * np.median(np.abs(off[used])) + 1e-6
        trust = used * (FREEDOM + 1) / (FREEDOM + off**2 / scale**2)
    return mean, found


def _curves(cars: Cars, reference: float, newest: float) -> dict[str, Floats]:
    age = np.clip(reference - cars.born, 0.0, AGES[-1])
    km = np.where(np.isfinite(cars.km), cars.km, np.minimum(USUAL_KM * age, USUAL_KM_MOST) + 2_000)
    km = np.log(km + 15_000)
    power = np.log(np.where(np.isfinite(cars.power), cars.power, USUAL_POWER))
    old, far, strong = np.log(age + 3) - 2.6, km - 12.1, power - 5.0
    unknown = (~np.isfinite(cars.power)).astype(float)
    return {
        "one": np.ones((len(cars), 1)),
        "age": old[:, None],
        "line": np.column_stack([old, far, strong, old * strong, old * far, unknown]),
        "ages": _hats(age, AGES),
        "few_ages": _hats(age, FEW_AGES),
        "km": _hats(km, KM),
        "powers": _hats(power, POWERS),
        "months": _hats(np.nan_to_num(12 * (newest - cars.seen)), MONTHS)[:, 1:],  # none now
    }


def _hats(values: Floats, knots: Floats) -> Floats:
    """Return how near each value is to the two knots around it: the basis of a piecewise linear curve."""
    values = np.clip(values, knots[0], knots[-1])
    left = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
    part = (values - knots[left]) / (knots[left + 1] - knots[left])
    hats = np.zeros((len(values), len(knots)))
    rows = np.arange(len(values))
    hats[rows, left] = 1 - part
    hats[rows, left + 1] = part
    return hats


def _basis(curves: Mapping[str, Floats], scales: Mapping[str, float]) -> Floats:
    return np.hstack([scale * curves[curve] for curve, scale in scales.items()])


def _members(slot: str, cars: Cars) -> tuple[Ints, Texts]:
    """Return the names of the cars in a slot, and the car of each."""
    if slot in RARE:
        once: dict[str, str] = {}  # a word that ten thousand descriptions contain is in memory once
        lists = [[once.setdefault(word, word) for word in _read(slot, cars, place)] for place in range(len(cars))]
        owner = np.repeat(np.arange(len(cars)), [len(each) for each in lists])
        return owner, np.array([word for each in lists for word in each], dtype=object)
    names = np.full(len(cars), "", dtype=object)
    for part in slot.split():
        names = names + "|" + getattr(cars, part)
    return np.arange(len(cars)), names


def _read(slot: str, cars: Cars, place: int) -> Sequence[str]:
    if slot == "equipment":
        return sorted(set(cars.equipment[place]))
    if slot == "word":
        return words(cars.title[place])
    return words_of(cars.description[place])


def _known(slot: str, names: Texts) -> Texts:
    counts = Counter(names.tolist())
    if slot == "seller":
        del counts["|"]  # not known: it says nothing
    least = RARE.get(slot, 1)
    return np.array(sorted(name for name, count in counts.items() if count >= least), dtype=object)


def _codes(names: Texts, known: Texts) -> Ints:
    """Return the index of each name in the sorted known names; their count for a name that is not known."""
    place = {name: number for number, name in enumerate(known)}
    return np.fromiter((place.get(name, len(known)) for name in names), np.int64, len(names))


def _block(owner: Ints, codes: Ints, basis: Floats, size: int, count: int) -> sparse.csr_matrix:
    from scipy import sparse

    known = codes < count
    owner, codes = owner[known], codes[known]
    width = basis.shape[1]
    rows = np.repeat(owner, width)
    places = (codes[:, None] * width + np.arange(width)).ravel()
    block = sparse.csr_matrix((basis[owner].ravel(), (rows, places)), shape=(size, count * width))
    block.eliminate_zeros()  # half of a curve's values: they cost the solver half of its time
    return block
