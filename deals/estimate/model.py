"""The stored price model: trained by a scheduled task, measured, stored in ops.price_models, and used while it is
recent and as accurate as it was measured.

The newest row decides: if it is not used, no model is, and estimates are made from comparables only.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from psycopg.types.json import Jsonb

from deals.estimate import confidence, learned
from deals.estimate.additive import Linear
from deals.estimate.calibrate import Calibration
from deals.estimate.cars import Row, as_lots, of_rows, same_cars
from deals.estimate.doubts import doubts
from deals.estimate.learned import KINDS, Learned
from vinops.db.database import queries
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg import Connection

    from deals.estimate.cars import Bools, Cars, Floats
    from deals.estimate.learned import Fitted
    from vinops.config import Settings

log = logging.getLogger("deals")

Asked = Literal["ad", "lot"]  # which facts of a car are known: those of an ad, or of a lot
ASKED: Final[tuple[Asked, ...]] = ("ad", "lot")

FEWEST_ADS: Final = 1_000
MOST_ADS: Final = 150_000  # the market has 129,000 at a time; more make the night's training longer than five minutes
WINDOW_DAYS: Final = 365  # in which an ad must have been seen to be trained on
TEST_DAYS: Final = 7  # the ads of which are asked for in the evaluation by time
MOST_TESTED: Final = 10_000
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
        "newest": model.linear.newest,
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
                newest=float(content["newest"]),
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


def train(connection: Connection[Any], settings: Settings, asked_for_as: Asked = "ad") -> dict[str, Any]:
    """Train a model on the ads of a year, measure it on held-out prices, and store it; return the result.

    A model of cars that are asked for as lots learns from ads without what `cars.as_lots` takes away.

    Of two processes at once only one trains. One transaction stores the model and deletes the bodies of older models:
    if the process dies, both are done or neither, and the next run trains again. With fewer than FEWEST_ADS ads nothing
    is stored: the newest model is used until it is too old.
    """
    del settings
    with _alone(connection) as is_alone:
        if not is_alone:
            return {"trained": False, "reason": "another process is training"}
        cars, left_out = training_cars(connection)
        if len(cars) < FEWEST_ADS:
            return {"trained": False, "ads": len(cars), "reason": f"fewer than {FEWEST_ADS} ads with a price"}
        known = as_lots(cars) if asked_for_as == "lot" else cars
        return _trained(connection, known, asked_for_as, {"left_out": left_out})


def measure_by_time(connection: Connection[Any], settings: Settings) -> dict[str, Any]:
    """Measure a model of what was known TEST_DAYS ago on the ads that came since, note the result with the newest model
    (`by_time` among its errors), and return it; see `by_time`.

    It takes as long as `train`, and one of both runs at a time. One statement writes: if the process dies before it,
    the next run measures again.
    """
    del settings
    with _alone(connection) as is_alone:
        if not is_alone:
            return {"measured": False, "reason": "another process is training"}
        found = by_time(connection)
        connection.execute(queries("pricing")["note_by_time"], {"by_time": Jsonb(found)})
    return {"measured": found["ads"] > 0} | {name: value for name, value in found.items() if name != "narrow"}


@contextmanager
def _alone(connection: Connection[Any]) -> Iterator[bool]:
    """Hold the lock of training, unless another process does; yield whether it is held."""
    statements = queries("pricing")
    row = connection.execute(statements["claim_training"]).fetchone()
    is_alone = bool(row and row[0])
    try:
        yield is_alone
    finally:
        if is_alone:
            connection.execute(statements["release_training"])


def _trained(connection: Connection[Any], cars: Cars, asked_for_as: Asked, errors: dict[str, Any]) -> dict[str, Any]:
    """Train a model on these facts, and store it with its errors and these."""
    statements = queries("pricing")
    with learned.one_thread():
        fitted = learned.fit(cars)
    errors = measure(cars, fitted) | errors
    used_for, reason = _verdict(errors)
    about = {
        "asked_for_as": asked_for_as,
        "ads": len(cars),
        "errors": Jsonb(errors),
        "is_used": any(used_for),
        "reason": reason,
        "body": dumps(fitted.model) if any(used_for) else None,
    }
    with connection.transaction():
        stored = connection.execute(statements["store_model"], about).fetchone()
        version = stored[0] if stored else None
        connection.execute(statements["drop_older_bodies"], {"version": version, "asked_for_as": asked_for_as})
    return {"trained": True, "version": version, "ads": len(cars), "is_used": any(used_for), "reason": reason}


def training_cars(connection: Connection[Any], *, before: datetime | None = None) -> tuple[Cars, dict[str, int]]:
    """Return the ads to train on, each car once and the newest ad of it, and how many were left out, by the reason.

    Ads that went are among them. With `before` nothing later is used: neither ads nor what changed in an ad.
    """
    about = {"before": before, "days": WINDOW_DAYS, "most": MOST_ADS}
    rows = [Row(*each) for each in connection.execute(queries("pricing")["training_cars"], about)]
    left_out: Counter[str] = Counter()
    kept = []
    this_year = (before or datetime.now(UTC)).year
    for row in rows:
        doubtful = doubts(model=row.model, year=row.year, mileage_km=row.mileage_km, this_year=this_year)
        if doubtful:
            left_out[doubtful[0]] += 1
        else:
            kept.append(row)
    cars = of_rows(kept)
    _, newest = np.unique(same_cars(cars), return_index=True)  # the rows are newest first
    left_out["same car"] += len(cars) - len(newest)
    return cars.take(np.sort(newest)[::-1]), {name: count for name, count in left_out.items() if count}


def by_time(connection: Connection[Any]) -> dict[str, Any]:
    """Return the errors of a model of what was known TEST_DAYS ago on the ads that came since: `ads`, `mdape`,
    `within20` and `coverage_p10_p90`, of all, and of those whose estimate is narrow (`narrow`: a confidence of one half
    or more); or no `ads`, and the `reason`.

    No car of the later ads is among the earlier ones. It writes nothing.
    """
    before = datetime.now(UTC) - timedelta(days=TEST_DAYS)
    known, _ = training_cars(connection, before=before)
    rows = connection.execute(queries("pricing")["later_cars"], {"before": before, "most": MOST_TESTED}).fetchall()
    if len(known) < FEWEST_ADS or len(rows) < FEWEST_RECENT:
        return {"ads": 0, "reason": f"{len(known)} ads before and {len(rows)} since are too few"}
    known, asked = apart(known, of_rows([Row(*each) for each in rows]))
    prices = asked.log_price
    asked = replace(asked, log_price=np.full(len(asked), np.nan))
    with learned.one_thread():
        found = learned.fit(known).model.predict(asked, learned.by_comparables(asked, known))
    narrow = found[:, 2] - found[:, 0] <= confidence.USUAL
    return _errors_of(found, prices) | {"narrow": _errors_of(found[narrow], prices[narrow])}


def apart(known: Cars, asked: Cars) -> tuple[Cars, Cars]:
    """Return both, the known ones without the cars that are asked for: no car is on both sides."""
    both = same_cars(known.joined(asked))
    is_asked = np.isin(both[: len(known)], both[len(known) :])
    return known.take(~is_asked), asked


def _errors_of(found: Floats, prices: Floats) -> dict[str, Any]:
    if not len(prices):
        return {"ads": 0}
    off = np.abs(np.exp(found[:, 1] - prices) - 1)
    inside = (found[:, 0] <= prices) & (prices <= found[:, 2])
    return {
        "ads": len(prices),
        "mdape": round(float(np.median(off)), 4),
        "within20": round(float(np.mean(off <= 0.2)), 4),
        "coverage_p10_p90": round(float(np.mean(inside)), 4),
    }


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


_loaded: dict[Asked, tuple[int, Learned | ModelError]] = {}  # of this process: the version, and the model


def current(connection: Connection[Any], asked_for_as: Asked = "ad") -> Current:
    """Return the model to estimate with, or why there is none. Each process loads a model once.

    Cars that are asked for as lots have to be without what `cars.as_lots` takes away.

    Logs a warning if a model that should be used is too old or damaged.
    """
    row = connection.execute(queries("pricing")["newest_model"], {"asked_for_as": asked_for_as}).fetchone()
    if row is None:
        return Current(version=None, reason="no model has been trained yet")
    version, is_used, reason, age, errors = row
    if not is_used:
        is_lost = reason.startswith(DRIFTED)
        return Current(version=version, reason=reason, is_lost=is_lost)
    if age > OLDEST_DAYS:
        return _fallback(version, f"it was trained {age:.0f} days ago, more than {OLDEST_DAYS}")
    if _loaded.get(asked_for_as, (None,))[0] != version:
        stored = connection.execute(queries("pricing")["model_body"], {"version": version}).fetchone()
        try:
            _loaded[asked_for_as] = version, loads(bytes(stored[0]) if stored and stored[0] is not None else b"")
        except ModelError as error:
            _loaded[asked_for_as] = version, error
    _, model = _loaded[asked_for_as]
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
