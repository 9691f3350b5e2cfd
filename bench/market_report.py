"""The table of what the market costs."""

from __future__ import annotations

from collections.abc import Iterator

from bench.market import GAP_SECONDS, NEW, Market
from bench.photo_report import Result
from bench.report import table


def tables(found: Market | None) -> str:
    """Return the table, nothing if nothing was measured."""
    if found is None:
        return ""
    return table(("", "target", "measured", "reached"), [result.row for result in results(found)])


def missed(found: Market | None) -> list[str]:
    """Return the names of what was not reached."""
    return [] if found is None else [result.name for result in results(found) if not result.is_reached]


def results(found: Market) -> Iterator[Result]:
    """Yield what was wanted, as it was found."""
    full, again, fresh = found.full, found.unchanged, found.fresh
    yield Result(
        name="ads a request",
        title=f"a full walk of {full.ads:,} ads",
        target="≥ 19 ads a request",
        measured=f"{full.ads / full.requests:.2f}, {full.requests} requests",
        is_reached=full.ads >= 19 * full.requests,
    )
    yield Result(
        name="minutes of a full walk",
        title=f"at one request in {GAP_SECONDS} s, for one worker",
        target="≤ 20 minutes",
        measured=f"{full.requests * GAP_SECONDS / 60:.1f} minutes",
        is_reached=full.requests * GAP_SECONDS <= 20 * 60,
    )
    yield Result(
        name="requests for fresh ads",
        title=f"{NEW} new ads among them, mode=fresh",
        target="≤ 8 requests",
        measured=f"{fresh.requests} requests, {found.fresh_found} ads found",
        is_reached=fresh.requests <= 8,
    )
    yield Result(
        name="parsing a page",
        title=f"reading {found.parse_page}: processor time",
        target="≤ 15 ms",
        measured=f"{found.parse_ms:.1f} ms, {1000 / found.parse_ms:.0f} pages a second",
        is_reached=found.parse_ms <= 15,
    )
    yield Result(
        name="recording an unchanged page",
        title="recording a page of 20 unchanged ads: one statement, in the database",
        target="≤ 5 ms",
        measured=f"{found.statement_ms:.2f} ms; {found.recording_ms:.2f} ms with its commit, as the crawl sees it",
        is_reached=found.statement_ms <= 5,
    )
    for title, crawl in (("a first full walk", full), ("the next one, nothing new", again)):
        yield Result(
            name=title,
            title=f"{title}, without a pace",
            target="",
            measured=f"{crawl.seconds:.1f} s, {1000 * crawl.cpu_seconds / crawl.requests:.1f} ms of processor a page",
            is_reached=True,
        )
