"""The tables of what the deals cost, and of how good the estimates are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.deals import Deals
from bench.photo_report import Result
from bench.report import table
from deals.evaluation import figures
from deals.evaluation.folds import METHODS
from deals.evaluation.report import NAMES

MOST_SECONDS = 15
MOST_GROWTH = 1.3
LEAST_A_SECOND = 500
MOST_OFF = {"all": 14.7, "narrow": 12.6, "narrow40": 11.8}  # per cent
WITHIN20, COVERAGE, PLANTED = 69.5, (78.0, 82.0), 0.28
TRAINING_SECONDS, TRAINING_MB = 300, 1_500


def tables(found: Deals | None) -> str:
    """Return the tables, nothing if nothing was measured."""
    if found is None:
        return ""
    parts = [table(("", "target", "measured", "reached"), [result.row for result in results(found)])]
    if found.estimates:
        parts.append(estimates(found))
    return "\n\n".join(parts)


def missed(found: Deals | None) -> list[str]:
    """Return the names of what was not reached."""
    return [] if found is None else [result.name for result in results(found) if not result.is_reached]


def results(found: Deals) -> Iterator[Result]:
    """Yield what was wanted, as it was found."""
    for drained in found.drained:
        limit = MOST_SECONDS * drained.ads / 7_600
        median = drained.ads / drained.ads_a_second
        yield Result(
            name=f"outbox to scores, {drained.broker}",
            title=f"{drained.ads:,} ads from the outbox to their scores, {drained.broker} broker",
            target=f"≤ {limit:.1f} s",
            measured=f"{median:.1f} s ({min(drained.seconds):.1f} to {max(drained.seconds):.1f}), "
            f"{drained.ads_a_second:.0f} ads a second",
            is_reached=median <= limit,
        )
    if len(found.among) > 1:
        few, many = found.among[0], found.among[-1]
        growth = many.milliseconds / few.milliseconds
        yield Result(
            name="first ads",
            title=f"{many.ads:,} new ads through all stages, in one process",
            target=f"≥ {LEAST_A_SECOND} ads/s",
            measured=f"{many.filled_a_second:.0f} ads/s; {few.ads:,} ads: {few.filled_a_second:.0f} ads/s",
            is_reached=many.filled_a_second >= LEAST_A_SECOND,
        )
        stages = ", ".join(f"{stage} {few.stages[stage]:.2f} and {many.stages[stage]:.2f}" for stage in few.stages)
        yield Result(
            name="cost among many",
            title=f"an ad among {many.ads:,} beside one among {few.ads:,}",
            target=f"≤ {MOST_GROWTH}×",
            measured=f"{growth:.2f}×; {few.milliseconds:.2f} and {many.milliseconds:.2f} ms: {stages}",
            is_reached=growth <= MOST_GROWTH,
        )
    if found.training is not None:
        yield Result(
            name="training",
            title=f"training on {found.among[-1].ads:,} ads: two models, and one for the measurement by time",
            target=f"≤ {TRAINING_SECONDS} s of processor, ≤ {TRAINING_MB:,} MB",
            measured=f"{found.training.cpu_seconds:.0f} s, {found.training.peak_mb:,.0f} MB",
            is_reached=found.training.cpu_seconds <= TRAINING_SECONDS and found.training.peak_mb <= TRAINING_MB,
        )
    if found.estimates:
        yield from _judged(found.estimates)


def _judged(measured: dict[str, Any]) -> Iterator[Result]:
    for group, most in MOST_OFF.items():
        off = {method: 100 * measured[method][group]["mdape"] for method in METHODS}
        beside = ", ".join(f"{method.replace('_', ' ')} {off[method]:.1f} %" for method in METHODS[1:])
        yield Result(
            name=f"median error, {group}",
            title=f"median error of an estimate, {NAMES.get(group, group)}",
            target=f"≤ {most} %, less than both baselines",
            measured=f"{off['ours']:.1f} %; {beside}",
            is_reached=off["ours"] <= min(most, *(off[method] for method in METHODS[1:])),
        )
    ours = measured["ours"]
    share = 100 * ours["narrow"]["within20"]
    yield Result(
        name="within 20 %",
        title=f"estimates within 20 % of the price, {NAMES['narrow']}",
        target=f"≥ {WITHIN20} %",
        measured=f"{share:.1f} %",
        is_reached=share >= WITHIN20,
    )
    share = 100 * ours["narrow"]["coverage_p10_p90"]
    yield Result(
        name="p10 to p90",
        title=f"prices between p10 and p90, {NAMES['narrow']}",
        target=f"{COVERAGE[0]:.0f} to {COVERAGE[1]:.0f} %",
        measured=f"{share:.1f} %",
        is_reached=COVERAGE[0] <= share <= COVERAGE[1],
    )
    large = {name: one for name, one in ours["segments"].items() if one["n"] >= figures.FEWEST_IN_SEGMENT}
    off_by = [name for name, one in large.items() if not figures.is_right(one)]
    yield Result(
        name="p10 to p90, segments",
        title=f"the same in each of {len(large)} segments of {figures.FEWEST_IN_SEGMENT} ads or more",
        target="80 % ± the larger of 4 points and two standard errors",
        measured="all" if not off_by else f"not in: {', '.join(off_by)}",
        is_reached=not off_by,
    )
    precision = ours["planted"]["precision"]
    yield Result(
        name="planted",
        title="bargains planted at 30 % below, of the best 20 scores",
        target=f"≥ {PLANTED}",
        measured=f"{precision:.2f}",
        is_reached=precision >= PLANTED,
    )


def estimates(found: Deals) -> str:
    """Return the table of the estimates, whole."""
    columns = ("n", "mdape", "within20", "coverage_p10_p90")
    rows = [
        (f"{method.replace('_', ' ')}, {group}", *(_number(found.estimates[method][group][each]) for each in columns))
        for method in METHODS
        for group in figures.GROUPS
    ]
    return table((f"estimates on {found.file}", "ads", "median error", "within 20 %", "p10 to p90"), rows)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{100 * value:.1f} %"
