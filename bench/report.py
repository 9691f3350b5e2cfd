"""The tables: what was measured beside what was wanted, as Markdown that a terminal shows well too."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.files import Feed
from bench.growth import Size
from bench.others import TITLES
from bench.pairs import Pair, Series


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What a load is to cost at most, in units, and what the system cost that vinops replaces."""

    title: str
    most: float
    replaced: str


PROMISES: Mapping[str, Promise] = {
    "first": Promise(title="first load, one transaction, archive included", most=8.5, replaced="258×"),
    "delta1": Promise(title="1 % changed, 0.2 % new, 0.2 % gone, archive included", most=1.25, replaced="244×"),
    "delta01": Promise(title="0.1 % changed, 0.02 % new, 0.02 % gone, archive included", most=1.0, replaced="244×"),
    "identical": Promise(title="identical file", most=0.3, replaced="0.57×"),
}
MOST_MB = 120
MOST_PERCENT = 0.5
REPLACED_MB = "1,250 MB"
REPLACED_PERCENT = "100 %"

Row = tuple[str, ...]


def table(header: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table with columns of even width."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def costs(feeds: Mapping[str, Feed], loads: Mapping[str, Series], others: Mapping[str, Series]) -> str:
    """Return the table of all costs: the unit, the loads of vinops, then the other writers."""
    header = ("", "target", "measured (lowest to highest)", "pairs", "seconds", "peak", "reached", "system replaced")
    pairs = [pair for series in (*loads.values(), *others.values()) for pair in series.pairs]
    rows = [_unit(pairs)] if pairs else []
    rows += [_load(PROMISES[name], series) for name, series in loads.items()]
    rows += _memory(loads)
    rows += _archive(feeds, loads)
    rows += [_other(TITLES[name], series) for name, series in others.items()]
    return table(header, rows)


def growth(sizes: Sequence[Size]) -> str:
    """Return the table of market sizes. The ratio is to the unit on a file of the same size."""
    header = ("lots", "file", "unit", "1 % delta", "seconds", "peak, delta", "first load", "peak, first load")
    rows = [
        (
            f"{size.rows:,}",
            f"{size.bytes / 1e6:.0f} MB",
            f"{statistics.median(pair.unit.seconds for pair in size.delta.pairs):.2f} s",
            _ratios(size.delta),
            f"{size.delta.seconds:.2f} s",
            f"{size.delta.peak_mb:.0f} MB",
            f"{size.first_seconds:.1f} s",
            f"{size.first_peak_mb:.0f} MB",
        )
        for size in sizes
    ]
    return table(header, rows)


def missed(loads: Mapping[str, Series]) -> list[str]:
    """Return the names of the loads whose target was not reached, memory and archive included."""
    found = [name for name, series in loads.items() if series.ratio > PROMISES[name].most]
    found += [f"memory of {name}" for name in ("first", "delta1") if name in loads and loads[name].peak_mb > MOST_MB]
    if "delta1" in loads and _percent(loads["delta1"]) > MOST_PERCENT:
        found.append("archive")
    return found


def _unit(pairs: Sequence[Pair]) -> Row:
    seconds = [pair.unit.seconds for pair in pairs]
    alone = statistics.median(float(pair.unit.output) for pair in pairs)
    peak = max(pair.unit.peak_mb for pair in pairs)
    times = f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
    return (
        f"unit: COPY of the file, whole process (the COPY alone: {alone:.2f} s)",
        "",
        f"1× = {times}",
        str(len(pairs)),
        f"{statistics.median(seconds):.2f}",
        f"{peak:.0f} MB",
        "",
        "",
    )


def _load(promise: Promise, series: Series) -> Row:
    return (
        promise.title,
        f"≤ {promise.most:g}×",
        _ratios(series),
        str(len(series.pairs)),
        f"{series.seconds:.2f}",
        f"{series.peak_mb:.0f} MB",
        reached(series.ratio <= promise.most),
        promise.replaced,
    )


def _memory(loads: Mapping[str, Series]) -> list[Row]:
    return [
        (
            f"peak memory of the loader, {title}",
            f"≤ {MOST_MB} MB",
            f"{loads[name].peak_mb:.0f} MB",
            str(len(loads[name].pairs)),
            "",
            "",
            reached(loads[name].peak_mb <= MOST_MB),
            REPLACED_MB,
        )
        for name, title in (("first", "first load"), ("delta1", "1 % delta"))
        if name in loads
    ]


def _archive(feeds: Mapping[str, Feed], loads: Mapping[str, Series]) -> list[Row]:
    rows: list[Row] = []
    if "delta1" in loads:
        percent = _percent(loads["delta1"])
        title = "archive of a successor at 1 % churn, of its raw bytes"
        measured = f"{percent:.2f} %"
        rows.append(
            (title, f"≤ {MOST_PERCENT} %", measured, "", "", "", reached(percent <= MOST_PERCENT), REPLACED_PERCENT)
        )
    if "first" in loads:
        percent = 100 * loads["first"].facts["archive_bytes"] / feeds["first"].bytes
        rows.append(("the same with zstd alone, as the first file is kept", "", f"{percent:.1f} %", "", "", "", "", ""))
    return rows


def _other(title: str, series: Series) -> Row:
    if series.missing:
        return (title, "", f"not measured: {series.missing}", "", "", "", "", "")
    seconds, peak = f"{series.seconds:.2f}", f"{series.peak_mb:.0f} MB"
    return (title, "", _ratios(series), str(len(series.pairs)), seconds, peak, "", "")


def _percent(delta: Series) -> float:
    return 100 * float(delta.facts["archive_bytes"]) / float(delta.facts["bytes"])


def _ratios(series: Series) -> str:
    ratios = [pair.ratio for pair in series.pairs]
    return f"{series.ratio:.2f}× ({min(ratios):.2f} to {max(ratios):.2f})"


def reached(yes: bool) -> str:
    """Return the word for a target that was reached, or was not."""
    return "yes" if yes else "NO"
