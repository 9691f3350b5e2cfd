"""The loads of vinops: `python -m etl ingest FILE`, each from a kept state, each checked after the clock stopped."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.files import Feed
from bench.pairs import Series, add_pair, say
from bench.processes import Finished, run
from bench.server import BenchFailed, Place, Server

LOADED = "loaded"
"""The template that holds the first file."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """A load to measure: the state it starts from, the file it reads, and how it must end."""

    template: str
    file: str
    status: str = "loaded"


LOADS: Mapping[str, Load] = {
    "first": Load(template="migrated", file="first"),
    "delta1": Load(template=LOADED, file="delta1"),
    "delta01": Load(template=LOADED, file="delta01"),
    "identical": Load(template=LOADED, file="first", status="unchanged"),
}


def measure(server: Server, feeds: Mapping[str, Feed], names: Sequence[str], runs: int) -> dict[str, Series]:
    """Return a series of `runs` pairs for each named load. Raises BenchFailed if one did not do its work."""
    prepare(server, feeds)
    found = {name: Series(name=name) for name in names}
    for number in range(runs):
        say(f"round {number + 1} of {runs}")
        for series in found.values():
            add(series, server, feeds)
    return found


def prepare(server: Server, feeds: Mapping[str, Feed]) -> Finished:
    """Make the template that the deltas start from; return the first load that it took."""
    place = server.make(LOADED, "migrated")
    finished = _ingest(place, feeds["first"])
    _check(server, place, LOADS["first"], feeds, json.loads(finished.output))
    server.keep(LOADED)
    return finished


def add(series: Series, server: Server, feeds: Mapping[str, Feed]) -> None:
    """Run the unit and the load that the series is named after, on the same file, and check what it left."""
    load = LOADS[series.name]
    feed = feeds[load.file]
    place = server.make("run", load.template)
    is_first = not series.pairs
    add_pair(series, server, feed, lambda: _ingest(place, feed))
    series.facts = json.loads(series.pairs[-1].command.output)
    _check(server, place, load, feeds, series.facts)
    if is_first:
        _check_archive(place, feed)
    server.drop("run")


def _ingest(place: Place, feed: Feed) -> Finished:
    return run([sys.executable, "-m", "etl", "ingest", "--json", str(feed.path)], place.environ)


def _check(server: Server, place: Place, load: Load, feeds: Mapping[str, Feed], said: Mapping[str, Any]) -> None:
    """Compare what the generator wrote with what the loader said and with what is in the tables."""
    feed = feeds[load.file]
    wanted: dict[str, Any] = {"status": load.status, "sha256": feed.sha256}
    if load.status == "loaded":
        counts = {"lots_new": feed.new, "lots_changed": feed.changed, "lots_gone": feed.gone}
        wanted |= {"rows_read": feed.rows, "rows_accepted": feed.rows, **counts}
    wrong = {name: said.get(name) for name, value in wanted.items() if said.get(name) != value}
    statement = "select count(*) filter (where status = 'active'), count(*) filter (where status = 'gone') from lots"
    lots = server.query(place.name, statement)
    if wrong or lots != (feed.rows, feed.gone):
        raise BenchFailed(f"the load of {feed.path.name} is not right: {wrong or lots}, wanted {wanted}")


def _check_archive(place: Place, feed: Feed) -> None:
    """Compare the bytes that the archive gives back with the file."""
    digest = hashlib.sha256()
    command = [sys.executable, "-m", "etl", "cat", "latest"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **place.environ}) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(1 << 20):
            digest.update(piece)
    if digest.hexdigest() != feed.sha256:
        raise BenchFailed(f"the archive does not give back {feed.path.name}")
