"""`vinops status`: the snapshot in a few lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ops.checks import health
from ops.observe.observer import PARTS, observe_once
from ops.show import screen
from vinops import config
from vinops.output import name_data_folder
from vinops.redaction import remember
from vinops.text.figures import age, amount, plural, rate, wrapped
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.observe.snapshot import Snapshot, Worker


def command(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print workers, market, feed, photos, deals and health in a few lines. Exits with 0 whatever it finds."""
    settings = config.load()
    remember(settings)
    if not as_json:
        name_data_folder(settings)
    parts = PARTS if as_json else health.PARTS
    snapshot = observe_once(settings, application="vinops status", parts=parts, first=as_json)
    if as_json:
        typer.echo(health.as_json(snapshot))
    else:
        sys.stdout.writelines(f"{printable(each)}\n" for each in lines(snapshot, screen.width()))


def lines(snapshot: Snapshot, width: int = screen.WIDTH) -> Iterator[str]:
    """Yield the lines, each with its subject in front."""
    said = {
        "workers": "; ".join(_worker(worker) for worker in snapshot.workers or ()) or "unknown",
        "market": _market(snapshot),
        "feed": _feed(snapshot),
        "photos": _photos(snapshot),
        "deals": _deals(snapshot),
        "health": health.judge(snapshot).summary,
    }
    for name, text in said.items():
        yield from wrapped(text, width, f"{name:<8}  ")


def _worker(worker: Worker) -> str:
    if worker.state != "running":
        return f"{worker.name} {worker.state}" + (f" ({worker.end})" if worker.started_at else "")
    if worker.run is None:
        return f"{worker.name} running"
    of = f" of {worker.run.total}" if worker.run.total else ""
    return f"{worker.name} {worker.run.unit} {worker.run.done}{of}, {rate(worker.rate)}/min"


def _market(snapshot: Snapshot) -> str:
    market = snapshot.market
    if market is None:
        return "unknown"
    complete = sorted((make for make in market.makes if make.complete_at), key=lambda make: str(make.complete_at))
    said = [market.newest_said(snapshot.at), f"{len(complete)} of {plural(len(market.makes), 'make')} complete"]
    if complete:
        said.append(f"the oldest: {complete[0].said(snapshot.at)}")
    return "; ".join(filter(None, [*said, market.walk_said]))


def _feed(snapshot: Snapshot) -> str:
    feed = snapshot.feed
    if feed is None:
        return "unknown"
    if feed.loaded_at is None:
        return "no file was ever loaded"
    counts = f"{amount(feed.new or 0)} new, {amount(feed.changed or 0)} changed, {amount(feed.gone or 0)} gone"
    return f"{age((snapshot.at - feed.loaded_at).total_seconds())} old: {counts}"


def _photos(snapshot: Snapshot) -> str:
    photos = snapshot.photos
    if photos is None or photos.share is None:
        return "unknown" if photos is None else "no active lot"
    return ", ".join(filter(None, (photos.coverage, photos.time_left)))


def _deals(snapshot: Snapshot) -> str:
    deals = snapshot.deals
    if deals is None:
        return "unknown"
    return f"{amount(sum(stage.waiting for stage in deals.stages))} wait, {amount(deals.posted_today)} posted today"
