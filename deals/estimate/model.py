"""The price model as it is kept: trained by a scheduled task, measured, stored in ops.price_models, and used while it
is young and as good as it was measured.

The newest row decides: if it is not to be used, none is, and prices come from comparables alone.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from deals.estimate import learned
from deals.estimate.additive import Linear
from deals.estimate.cars import Row, of_rows
from deals.estimate.learned import KINDS, Learned
from vinops.db.database import queries
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from deals.estimate.cars import Bools, Cars
    from deals.estimate.learned import Fitted
    from vinops.config import Settings

log = logging.getLogger("deals")

FEWEST_ADS: Final = 1_000
OLDEST_DAYS: Final = 14
FEWEST_RECENT: Final = 100  # recent ads below which nothing is said about drift
DRIFT: Final = 1.3  # times the error that was measured
DRIFTED: Final = "it drifted"  # how the reason of a model begins that was put out of use for that
FORMAT: Final = 1

TRUSTED: Final = frozenset(
    {
        "functools.partial",  # of what is on this list, or of nothing
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.utils.validation.check_array",
    }
)
"""What a stored model is made of, beside what skops knows to be harmless. Nothing else is ever made from bytes."""


class ModelError(Exception):
    """What is stored is no model that can be used. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Current:
    """The model that prices are to be made with, if there is one, and otherwise why there is none.

    `used_for` says for each of learned.KINDS whether it measured better than comparables; `is_lost` that there is one
    that did, and that something is wrong with it since.
    """

    model: Learned | None
    version: int | None
    used_for: tuple[bool, bool]
    reason: str
    is_lost: bool = False


def dumps(model: Learned) -> bytes:
    """Return a model as bytes, which run no code when they are read."""
    import skops.io
    from sklearn import __version__ as version

    slots = model.linear.names
    content = {
        "format": FORMAT,
        "scikit-learn": version,
        "texts": json.dumps(
            {
                "names": {name: list(values) for name, values in model.names.items()},
                "slots": {slot: [str(name) for name in names] for slot, names in slots.items()},
            }
        ),
        "reference": model.linear.reference,
        "mean": model.linear.mean,
        "weights": [model.linear.weights[slot] for slot in slots],
        "boosting": model.boosting,
        "spread": model.spread,
        "bounds": model.bounds,
    }
    return bytes(skops.io.dumps(content, compresslevel=6, compression=8))  # 8: deflate


def loads(body: bytes) -> Learned:
    """Return the model that `dumps` wrote. Raises ModelError for anything else."""
    import skops.io
    from sklearn import __version__ as version

    try:
        unknown = set(skops.io.get_untrusted_types(data=body)) - TRUSTED
        if unknown:
            raise ModelError(f"the model holds what none of ours does: {', '.join(sorted(unknown))}")
        content = skops.io.loads(body, trusted=sorted(TRUSTED))
        if content["format"] != FORMAT or content["scikit-learn"] != version:
            raise ModelError(f"the model is of scikit-learn {content['scikit-learn']}, format {content['format']}")
        texts = json.loads(content["texts"])
        slots = texts["slots"]
        return Learned(
            linear=Linear(
                reference=float(content["reference"]),
                mean=float(content["mean"]),
                names={slot: np.array(names, dtype=object) for slot, names in slots.items()},
                weights=dict(zip(slots, content["weights"], strict=True)),
            ),
            names=texts["names"],
            boosting=content["boosting"],
            spread=content["spread"],
            bounds=content["bounds"],
        )
    except ModelError:
        raise
    except Exception as error:  # a file that is damaged fails anywhere in zip, JSON, NumPy
        raise ModelError(f"the model cannot be read: {type(error).__name__}: {error}") from error


def train(connection: Connection[Any], settings: Settings) -> dict[str, Any]:
    """Train a model on all ads that say what cars cost, measure it, and store it; return what became of it.

    Of two at once one trains and the other says so. One transaction stores the model and takes the bodies of the
    models before it away: if the process dies, either is true or neither, and the next run trains again. Nothing is
    stored when there are fewer than FEWEST_ADS ads: the newest model goes on until it is too old.
    """
    del settings  # every training is as the other
    statements = queries("pricing")
    row = connection.execute(statements["claim_training"]).fetchone()
    if not (row and row[0]):
        return {"trained": False, "reason": "another process is training"}
    try:
        with connection.transaction():
            rows = connection.execute(statements["comparable_cars"]).fetchall()
        if len(rows) < FEWEST_ADS:
            return {"trained": False, "ads": len(rows), "reason": f"fewer than {FEWEST_ADS} ads with a price"}
        cars = of_rows([Row(*each) for each in rows])
        with learned.one_thread():
            fitted = learned.fit(cars)
        errors = measure(cars, fitted)
        used_for, reason = _verdict(errors)
        body = dumps(fitted.model) if any(used_for) else None
        about = {
            "ads": len(cars),
            "errors": Jsonb(errors),
            "is_used": any(used_for),
            "reason": reason,
            "body": body,
        }
        with connection.transaction():
            stored = connection.execute(statements["store_model"], about).fetchone()
            version = stored[0] if stored else None
            connection.execute(statements["drop_older_bodies"], {"version": version})
        return {"trained": True, "version": version, "ads": len(cars), "is_used": any(used_for), "reason": reason}
    finally:
        connection.execute(statements["release_training"])


def measure(cars: Cars, fitted: Fitted) -> dict[str, Any]:
    """Return what the model and the comparables erred on prices that neither had seen, for all and for each kind.

    Where comparables have no estimate they are not measured; the model is, on all, and once more beside them.
    """
    kind = learned.kinds(fitted.estimates)
    groups = {"all": np.ones(len(cars), dtype=bool), KINDS[0]: kind == 0, KINDS[1]: kind == 1}
    errors: dict[str, Any] = {}
    for name, members in groups.items():
        both = members & np.isfinite(fitted.estimates.p50)
        inside = (fitted.unseen[:, 0] <= cars.log_price) & (cars.log_price <= fitted.unseen[:, 2])
        errors[name] = {
            "ads": int(members.sum()),
            "mdape": _mdape(fitted.unseen[:, 1], cars, members),
            "coverage_p10_p90": round(float(np.mean(inside[members])), 4) if members.any() else None,
            "beside": {
                "ads": int(both.sum()),
                "model": _mdape(fitted.unseen[:, 1], cars, both),
                "comparables": _mdape(fitted.estimates.p50, cars, both),
            },
        }
    return errors


def _mdape(found: Any, cars: Cars, members: Bools) -> float | None:
    if not members.any():
        return None
    return round(float(np.median(np.abs(np.exp((found - cars.log_price)[members]) - 1))), 4)


def _verdict(errors: Mapping[str, Any]) -> tuple[tuple[bool, bool], str]:
    """Return for which of KINDS the model is used, and why, in words."""
    used, words = [], []
    for kind, said in zip(KINDS, ("few comparables", "five comparables or more"), strict=True):
        beside = errors[kind]["beside"]
        model, others = beside["model"], beside["comparables"]
        if model is None or others is None:
            used.append(errors[kind]["mdape"] is not None)
            words.append(f"{said}: no ad to compare on")
            continue
        used.append(model < others)
        than = "less than" if model < others else "not less than"
        words.append(f"{said}: {100 * model:.1f} % off, {than} {100 * others:.1f} % of comparables alone")
    return (used[0], used[1]), "; ".join(words)


_loaded: dict[int, Learned | ModelError] = {}  # of this process, by version; one at most


def current(connection: Connection[Any]) -> Current:
    """Return the model to price with, or why there is none. A model is read once by each process.

    Whatever is wrong with one that should be used (too old, drifted, damaged) is a warning in the log.
    """
    row = connection.execute(queries("pricing")["newest_model"]).fetchone()
    if row is None:
        return Current(model=None, version=None, used_for=(False, False), reason="no model has been trained yet")
    version, is_used, reason, age, errors = row
    if not is_used:
        is_lost = reason.startswith(DRIFTED)
        return Current(model=None, version=version, used_for=(False, False), reason=reason, is_lost=is_lost)
    if age > OLDEST_DAYS:
        return _fallback(version, f"it was trained {age:.0f} days ago, more than {OLDEST_DAYS}")
    if version not in _loaded:
        _loaded.clear()
        stored = connection.execute(queries("pricing")["model_body"], {"version": version}).fetchone()
        try:
            _loaded[version] = loads(bytes(stored[0]) if stored and stored[0] is not None else b"")
        except ModelError as error:
            _loaded[version] = error
    model = _loaded[version]
    if isinstance(model, ModelError):
        return _fallback(version, str(model))
    return Current(model=model, version=version, used_for=_verdict(errors)[0], reason=reason)


def _fallback(version: int, reason: str) -> Current:
    log.warning("the price model is not used, comparables are %s: %s", pairs(version=version), reason)
    return Current(model=None, version=version, used_for=(False, False), reason=reason, is_lost=True)


def check_drift(connection: Connection[Any]) -> dict[str, Any]:
    """Compare what the newest model errs on ads that came after its training with what was measured, and put it out
    of use if that is DRIFT times as much. Returns `ads`, `mdape`, `measured` and `is_drifted`.

    One statement writes; if the process dies before it, the next check does the same. Twice changes nothing.
    """
    statements = queries("pricing")
    row = connection.execute(statements["recent_errors"]).fetchone()
    if row is None:
        return {"version": None, "ads": 0, "mdape": None, "measured": None, "is_drifted": False}
    version, measured, ads, mdape = row
    drifted = ads >= FEWEST_RECENT and mdape > DRIFT * measured
    if drifted:
        reason = (
            f"{DRIFTED}: {100 * mdape:.1f} % off on {ads} ads that came later, measured were {100 * measured:.1f} %"
        )
        connection.execute(statements["put_out_of_use"], {"version": version, "reason": reason})
        log.warning("the price model is put out of use %s: %s", pairs(version=version), reason)
    return {"version": version, "ads": ads, "mdape": mdape, "measured": measured, "is_drifted": drifted}
