"""The tables of what the deals cost, and of how good the estimates are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.deals import Deals
from bench.photo_report import Result
from bench.report import table

MOST_SECONDS = 15
MOST_GROWTH = 1.3
LEAST_A_SECOND = 500
MDAPE, WITHIN20, COVERAGE = 13.5, 66.0, (78.0, 82.0)


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
    if found.estimates:
        yield from _judged(found.estimates)


def _percent(shares: dict[str, Any]) -> dict[str, float]:
    return {name: 100 * shares[name] for name in ("mdape", "within20", "coverage_p10_p90")}


def _judged(measured: dict[str, Any]) -> Iterator[Result]:
    ours = _percent(measured["ours"]["covered"])
    others = {name: _percent(measured[name]["covered"]) for name in ("gradient_boosting", "comparables")}
    beside = ", ".join(f"{name.replace('_', ' ')} {each['mdape']:.1f} %" for name, each in others.items())
    yield Result(
        name="median error",
        title="median error of an estimate, ads with 5 comparables",
        target=f"≤ {MDAPE} %, less than both baselines",
        measured=f"{ours['mdape']:.1f} %; {beside}",
        is_reached=ours["mdape"] <= MDAPE and all(ours["mdape"] < each["mdape"] for each in others.values()),
    )
    beside = ", ".join(f"{name.replace('_', ' ')} {each['within20']:.1f} %" for name, each in others.items())
    yield Result(
        name="within 20 %",
        title="estimates within 20 % of the price, ads with 5 comparables",
        target=f"≥ {WITHIN20:.0f} %, more than both baselines",
        measured=f"{ours['within20']:.1f} %; {beside}",
        is_reached=ours["within20"] >= WITHIN20
        and all(ours["within20"] > each["within20"] for each in others.values()),
    )
    for part in ("all", "covered"):
        share = _percent(measured["ours"][part])["coverage_p10_p90"]
        yield Result(
            name=f"p10 to p90, {part}",
            title=f"prices between p10 and p90, {part} ads",
            target=f"{COVERAGE[0]:.0f} to {COVERAGE[1]:.0f} %",
            measured=f"{share:.1f} %",
            is_reached=COVERAGE[0] <= share <= COVERAGE[1],
        )


def estimates(found: Deals) -> str:
    """Return the table of the estimates, whole."""
    columns = ("n", "covered", "mdape", "within20", "coverage_p10_p90")
    rows = [
        (f"{name.replace('_', ' ')}, {part}", *(_number(measured[part].get(column)) for column in columns))
        for name, measured in found.estimates.items()
        if isinstance(measured, dict) and "all" in measured
        for part in ("all", "covered")
    ]
    return table((f"estimates on {found.file}", "ads", "covered", "median error", "within 20 %", "p10 to p90"), rows)


def _number(value: Any) -> str:
    return "" if value is None else f"{100 * value:.1f} %" if isinstance(value, float) else f"{value:,}"
