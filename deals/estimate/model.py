"""The stored price model: trained by a scheduled task, measured, stored in ops.price_models, and used while it is
recent and as accurate as it was measured.

The newest row decides: if it is not used, no model is, and estimates are made from comparables only.
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
from deals.estimate.calibrate import Calibration
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
FEWEST_RECENT: Final = 100  # recent ads below which drift is not judged
DRIFT: Final = 1.3  # times the measured error
DRIFTED: Final = "it drifted"  # the beginning of the reason why a model that drifted is not used
FORMAT: Final = 2

TRUSTED: Final = frozenset(
    {
        "functools.partial",  # of types on this list
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.utils.validation.check_array",
    }
)
"""The types of a stored model beside those that skops trusts. No other type is ever loaded."""


class ModelError(Exception):
    """A stored model cannot be used. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Current:
    """The model to estimate with; None, and the reason, if there is none.

    `used_for`: for each of learned.KINDS, whether it measured better than comparables. `is_lost`: there is a model that
    did, and it can no longer be used.
    """

    model: Learned | None = None
    version: int | None
    used_for: tuple[bool, bool] = (False, False)
    reason: str
    is_lost: bool = False


def dumps(model: Learned) -> bytes:
    """Serialize a model to bytes; loading them runs no code."""
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
        "boosting": list(model.boosting),
        "widths": list(model.widths),
        "factors": model.calibration.factors,
    }
    return bytes(skops.io.dumps(content, compresslevel=6, compression=8))  # 8: deflate


def loads(body: bytes) -> Learned:
    """Return the model that `dumps` wrote. Raises ModelError for anything else."""
    import skops.io
    from sklearn import __version__ as version

    try:
        unknown = set(skops.io.get_untrusted_types(data=body)) - TRUSTED
        if unknown:
            raise ModelError(f"the model contains types that are not trusted: {', '.join(sorted(unknown))}")
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
            widths=content["widths"],
            calibration=Calibration(factors=content["factors"]),
        )
    except ModelError:
        raise
    except Exception as error:  # a damaged file fails anywhere in zip, JSON, NumPy
        raise ModelError(f"the model cannot be read: {type(error).__name__}: {error}") from error


def train(connection: Connection[Any], settings: Settings) -> dict[str, Any]:
    """Train a model on all comparable ads, measure it, and store it; return the result.

    Of two processes at once only one trains. One transaction stores the model and deletes the bodies of older models:
    if the process dies, both are done or neither, and the next run trains again. With fewer than FEWEST_ADS ads nothing
    is stored: the newest model is used until it is too old.
    """
    del settings
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
    """Return the errors of the model and of the comparables on held-out prices, for all ads and for each kind.

    The model is measured on all, and beside the comparables (`beside`) where those have an estimate.
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
    """Return for which of KINDS the model is used, and the reasons in words."""
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
    """Return the model to estimate with, or why there is none. Each process loads a model once.

    Logs a warning if a model that should be used is too old or damaged.
    """
    row = connection.execute(queries("pricing")["newest_model"]).fetchone()
    if row is None:
        return Current(version=None, reason="no model has been trained yet")
    version, is_used, reason, age, errors = row
    if not is_used:
        is_lost = reason.startswith(DRIFTED)
        return Current(version=version, reason=reason, is_lost=is_lost)
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
    return Current(version=version, reason=reason, is_lost=True)


def check_drift(connection: Connection[Any]) -> dict[str, Any]:
    """Compare the error of the newest model on ads since its training with the measured one, and stop using it if it is
    DRIFT times as large. Returns `version`, `ads`, `mdape`, `measured` and `is_drifted`.

    One statement writes; if the process dies before it, the next check does the same. A second time changes nothing.
    """
    statements = queries("pricing")
    row = connection.execute(statements["recent_errors"]).fetchone()
    if row is None:
        return {"version": None, "ads": 0, "mdape": None, "measured": None, "is_drifted": False}
    version, measured, ads, mdape = row
    drifted = ads >= FEWEST_RECENT and mdape > DRIFT * measured
    if drifted:
        reason = f"{DRIFTED}: {100 * mdape:.1f} % error on {ads} later ads, {100 * measured:.1f} % when it was trained"
        connection.execute(statements["put_out_of_use"], {"version": version, "reason": reason})
        log.warning("the price model is disabled %s: %s", pairs(version=version), reason)
    return {"version": version, "ads": ads, "mdape": mdape, "measured": measured, "is_drifted": drifted}
