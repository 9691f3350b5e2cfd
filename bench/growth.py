"""What a delta load and its memory cost as the market grows: both ought to follow the change, not the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import files, loads
from bench.pairs import Series, say
from bench.server import Server


@dataclass(frozen=True, kw_only=True)
class Size:
    """A size of the market: the peak of its first load in MB and the series of its 1 % delta."""

    rows: int
    bytes: int
    first_seconds: float
    first_peak_mb: float
    delta: Series


def measure(server: Server, folder: Path, sizes: Sequence[int], runs: int) -> list[Size]:
    """Return each size with `runs` pairs of its delta; the files are removed again."""
    found = []
    for rows in sizes:
        say(f"growth: {rows:,} lots")
        feeds = files.make(folder, rows)
        first = loads.prepare(server, feeds)
        delta = Series(name="delta1")
        for _ in range(runs):
            loads.add(delta, server, feeds)
        size = feeds["delta1"].bytes
        found.append(Size(rows=rows, bytes=size, first_seconds=first.seconds, first_peak_mb=first.peak_mb, delta=delta))
        for feed in feeds.values():
            feed.path.unlink()
    return found
