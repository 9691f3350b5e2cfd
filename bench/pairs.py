"""A command beside the unit, in alternation: the noise of a shared machine falls on both and leaves the ratio."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.files import Feed
from bench.processes import Finished, run
from bench.server import BenchFailed, Server


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One run of the unit and the run of the command that followed it."""

    unit: Finished
    command: Finished

    @property
    def ratio(self) -> float:
        """What the command costs in units."""
        return self.command.seconds / self.unit.seconds


@dataclass(kw_only=True)
class Series:
    """The pairs of one command. `facts` are what the command said of its last run, as far as it says something."""

    name: str
    pairs: list[Pair] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    missing: str = ""
    """Why the command could not be measured, if it could not."""

    @property
    def ratio(self) -> float:
        """The median of the ratios of the pairs."""
        return statistics.median(pair.ratio for pair in self.pairs)

    @property
    def seconds(self) -> float:
        """The median of the command's seconds."""
        return statistics.median(pair.command.seconds for pair in self.pairs)

    @property
    def peak_mb(self) -> float:
        """The highest peak of memory in MB."""
        return max(pair.command.peak_mb for pair in self.pairs)


def say(text: str) -> None:
    """Show progress on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run_unit(server: Server, feed: Feed) -> Finished:
    """Run the unit in a new database and return it; its output is the seconds of the COPY alone. Raises BenchFailed."""
    place = server.make("unit", "empty")
    finished = run([sys.executable, "-m", "bench.unit", place.url, str(feed.path)])
    (rows,) = server.query("unit", "select count(*) from unit")
    if rows != feed.rows:
        raise BenchFailed(f"the unit copied {rows} of {feed.rows} rows")
    server.drop("unit")
    return finished


def add_pair(series: Series, server: Server, feed: Feed, command: Callable[[], Finished]) -> None:
    """Run the unit on a file, then the command, and add the two to the series."""
    unit = run_unit(server, feed)
    finished = command()
    pair = Pair(unit=unit, command=finished)
    series.pairs.append(pair)
    times = f"{finished.seconds:.2f} s, {pair.ratio:.2f}x of {unit.seconds:.2f} s"
    say(f"{series.name}: {times}, {finished.peak_mb:.0f} MB")
