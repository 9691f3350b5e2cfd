"""The table of a day of the market at its real size."""

from __future__ import annotations

from collections.abc import Iterator

from bench.day import Day
from bench.day_facts import share_below
from bench.photo_report import EARLY_SECONDS, Result
from bench.report import table

GAP = 3.0
MOST_A_DAY = 28_800
P50, P95, TOLD = 45.0, 120.0, 180.0
WALK_HOURS = 8.0
GROWTH = 1.1


def tables(found: Day | None) -> str:
    """Return the table, nothing if nothing was measured."""
    if found is None:
        return ""
    return table(("", "target", "measured", "reached"), [result.row for result in results(found)])


def missed(found: Day | None) -> list[str]:
    """Return the names of what was not reached."""
    return [] if found is None else [result.name for result in results(found) if not result.is_reached]


def results(found: Day) -> Iterator[Result]:
    """Yield what was wanted, as it was found. All hours and seconds are those of the market's clock."""
    facts, size = found.facts, found.size
    p50, p95 = share_below(facts.seen, 0.5), share_below(facts.seen, 0.95)
    yield Result(
        name="from appearing to the row",
        title=f"from an ad's appearing to its row in `listings`: {len(facts.seen):,} new ads in {size.hours:g} hours,"
        f" beside full walks of {found.filled:,} ads, clock {size.speed:g}×",
        target=f"p50 ≤ {P50:g} s, p95 ≤ {P95:g} s",
        measured=f"p50 {p50:.0f} s, p95 {p95:.0f} s, longest {max(facts.seen, default=0):.0f} s; {facts.unseen} not"
        f" seen, {facts.brief} gone within minutes",
        is_reached=p50 <= P50 and p95 <= P95 and not facts.unseen,
    )
    told, work = share_below(facts.told, 0.95), share_below(facts.work, 0.95)
    yield Result(
        name="from appearing to the message",
        title="… to its message at the stand-in's Telegram, without a cap for the hour",
        target=f"p95 ≤ {TOLD:g} s",
        measured=f"p95 {told:.0f} s, {len(facts.told)} messages; of that from row to message {work:.1f} s of real time"
        if facts.told
        else "no message",
        is_reached=told <= TOLD,
    )
    yield Result(
        name="full walk",
        title=f"full walk of {found.filled:,} ads beside it",
        target=f"≤ {WALK_HOURS:g} hours, all {facts.makes} makes complete, gone ads exact",
        measured=f"{facts.longest_walk:.1f} hours, {len(facts.walk_hours)} makes; of {facts.gone:,} gone ads"
        f" {facts.falsely_gone} falsely, {facts.not_gone} not marked; {facts.lost} ads lost, {facts.unlisted} in no"
        " list",
        is_reached=facts.longest_walk <= WALK_HOURS and not (facts.falsely_gone or facts.not_gone or facts.lost),
    )
    total = sum(found.requests.values())
    kinds = ", ".join(
        f"{kind} {number:,}" for kind, number in sorted(found.requests.items(), key=lambda each: -each[1])
    )
    smallest = found.real_gaps["smallest"]
    early = max(GAP - smallest, 0.0)
    yield Result(
        name="requests a day",
        title="requests a day, all kinds together",
        target=f"≤ {MOST_A_DAY:,}, no gap below {GAP:g} s",
        measured=f"{total * 24 / size.hours:,.0f} ({kinds}); mean gap {found.gaps['mean']:.2f} s; in real time"
        f" for {size.real_seconds:g} s the smallest gap at arrival {smallest:.3f} s, on the fast clock"
        f" {found.gaps['smallest']:.2f} s: {(GAP - found.gaps['smallest']) / size.speed * 1000:.0f} ms early",
        is_reached=total * 24 / size.hours <= MOST_A_DAY and early <= EARLY_SECONDS,
    )
    grown = max((last / early for early, last in found.memory.values() if early), default=0.0)
    yield Result(
        name="memory of a worker",
        title="memory of a market worker, after a quarter of the time and at its end",
        target=f"flat (≤ {GROWTH}×)",
        measured=", ".join(f"{early:.0f} and {last:.0f} MB" for early, last in found.memory.values()),
        is_reached=0 < grown <= GROWTH and not found.exits,
    )
    yield Result(
        name="first reading",
        title=f"the first reading of {found.filled:,} ads without a pace; their way through the deals",
        target="≥ 500 ads/s through the deals",
        measured=f"{found.fill_seconds:.0f} s; {found.deals_a_second:.0f} ads/s",
        is_reached=found.deals_a_second >= 500,
    )
