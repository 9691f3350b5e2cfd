"""`vinops forecast`: the forecast and the figures behind it, in at most 80 columns."""

from __future__ import annotations

import json
import sys
import textwrap
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.forecast.arithmetic import MONTHS, WHICH, Case, Range, cases, storage_cost, what_if
from ops.forecast.measures import Measures, measure
from ops.observe.pace import not_yet, to_go
from ops.observe.reach import FIRST, reaches, verdict
from ops.options import finite
from vinops import config
from vinops.db import database
from vinops.output import at_work, name_data_folder, terminal_width
from vinops.redaction import remember
from vinops.text import grid
from vinops.text.figures import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTH = 80
MOST = 1_000_000  # of any input: more is a slip of the pen
TITLES = ("", *WHICH)
REACH = ("pace", "first photos", "lots a day", "leave without", "get all")
ASKED = "asked: "
SIZES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def command(
    *,
    lots_per_hour: Annotated[
        float | None,
        typer.Option(
            min=0, max=MOST, callback=finite, help="What if the photo crawls requested this many lots an hour?"
        ),
    ] = None,
    photos_per_lot: Annotated[
        float | None, typer.Option(min=0, max=MOST, callback=finite, help="What if a lot had this many photos?")
    ] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(
            min=1, max=MOST, callback=finite, help="What if photos were kept for this many days? By default for ever."
        ),
    ] = None,
    reads_per_photo: Annotated[
        float | None,
        typer.Option(min=0, max=MOST, callback=finite, help="What if each stored photo were read this often a month?"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how long the backfill takes, how many lots are lost before that, and what the storage costs.

    Low, likely and high come from the spread of the measured figures; figures without enough data are assumed.
    R2: $0.015 a GB and month, $4.50 a million writes, $0.36 a million reads; 10 GB, 1 and 10 million are free.
    """
    settings = config.load()
    remember(settings)
    if not as_json:
        name_data_folder(settings)
    with (
        at_work("measuring"),
        closing(database.connect(settings, application="vinops forecast", autocommit=True)) as connection,
    ):
        measures = measure(connection, settings)
    measures.inputs = what_if(
        measures.inputs,
        lots_per_hour=lots_per_hour,
        photos_per_lot=photos_per_lot,
        retention_days=retention_days,
        reads_per_photo=reads_per_photo,
    )
    for name, value in (("lots an hour", lots_per_hour), ("photos of a lot", photos_per_lot)):
        if value is not None:
            measures.said[name] = f"{ASKED}{value:,g}"
    likely = measures.inputs
    found = reaches(
        {*FIRST, settings.photos_first, round(likely.photos_per_lot.likely)},
        photos=likely.photos_per_lot.likely,
        arrivals=likely.arrivals_a_day.likely,
        daily=settings.daily_requests,
    )
    measures.reaches, measures.verdict = (
        found,
        verdict(found, pace=settings.pace, first=settings.photos_first, arrivals=likely.arrivals_a_day.likely),
    )
    if as_json:
        typer.echo(json.dumps(_data(measures, cases(measures.inputs)), default=str))
    else:
        sys.stdout.writelines(f"{each}\n" for each in lines(measures))


def _data(measures: Measures, found: Mapping[str, Case]) -> dict[str, Any]:
    inputs = {
        name: asdict(value) if isinstance(value, Range) else value
        for name, value in vars(measures.inputs).items()
        if name != "waiting"
    }
    return {
        "days_to_go": found["likely"].days_to_go if _is_known(measures) else None,
        "not_enough_data_until": _not_before(measures),
        "lots": {
            "active": measures.active,
            "photographed": measures.photographed,
            "settled": measures.settled,
            "remaining": measures.inputs.remaining,
            "waiting": sum(each.lots for each in measures.inputs.waiting),
        },
        "history": {
            each.what: {"rows": each.rows, "bytes": each.bytes, "days": each.days} for each in measures.history
        },
        "reach": {"says": measures.verdict, "paces": [asdict(each) for each in measures.reaches]},
        "inputs": inputs,
        "basis": measures.said,
        "cases": {
            which: {
                "lots_a_day": case.lots_a_day,
                "first_a_day": case.first_a_day,
                "days_to_go": case.days_to_go,
                "backfill": asdict(case.backfill),
                "months": [
                    {
                        "month": each.month,
                        "stored_bytes": each.stored_bytes,
                        "photos": each.photos,
                        "cost_usd": {
                            "storage": float(each.cost.storage),
                            "class_a": float(each.cost.class_a),
                            "class_b": float(each.cost.class_b),
                            "total": float(each.cost.total),
                        },
                        "database_bytes": case.database_bytes[place],
                    }
                    for place, each in enumerate(case.months)
                ],
                "archive_bytes": case.archive_bytes,
            }
            for which, case in found.items()
        },
    }


def lines(measures: Measures) -> Iterator[str]:
    """Yield the forecast as people read it, in 80 columns."""
    inputs, found = measures.inputs, cases(measures.inputs)
    yield from textwrap.wrap(_progress(measures, found["likely"]), WIDTH)
    yield ""
    three = [found[which] for which in WHICH]
    rows: list[tuple[str, ...]] = [
        ("lots that get a photo a day", *(f"{case.first_a_day:,.0f}" for case in three)),
        ("lots that get all a day", *(f"{case.lots_a_day:,.0f}" for case in three)),
        ("lost of those that wait", *(f"{case.backfill.lost_waiting:,.0f}" for case in three)),
        ("lost of those that come", *(f"{case.backfill.lost_arriving:,.0f}" for case in three)),
        ("lost a day after that", *(f"{case.backfill.lost_a_day:,.0f}" for case in three)),
    ]
    for place, number in enumerate(MONTHS):
        rows.append((f"month {number}: photos stored", *(f"{case.months[place].photos:,.0f}" for case in three)))
        rows.append((f"month {number}: R2 holds", *(_size(case.months[place].stored_bytes) for case in three)))
        rows.append((f"month {number}: R2 costs", *(f"${case.months[place].cost.total:,.2f}" for case in three)))
    rows.append((f"raw archive, {inputs.archive_days} days", *(_size(case.archive_bytes) for case in three)))
    # It is kept on this machine's disk, in deltas; a bucket is what it is compared with.
    rows.append(("the same in R2, a month", *(f"${storage_cost(case.archive_bytes):,.2f}" for case in three)))
    for place, number in enumerate(MONTHS):
        rows.append((f"database after month {number}", *(_size(case.database_bytes[place]) for case in three)))
    width = terminal_width()
    right = [False, *[True] * len(WHICH)]
    yield from grid.lines(TITLES, rows, width=width, right=right)
    room = min(width or WIDTH, WIDTH)
    yield ""
    yield from textwrap.wrap(measures.verdict, room)
    yield from grid.lines(REACH, _reaches(measures), width=width, right=[False, *[True] * (len(REACH) - 1)])
    now = f"now: raw archive {_size(inputs.archive_bytes)}, database {_size(inputs.database_bytes)}, "
    yield ""
    yield from textwrap.wrap(f"{now}photos {_size(inputs.stored_bytes)}", room)
    yield ""
    for each in measures.history:
        period = "for ever" if each.days is None else f"for {each.days:g} days"
        period += " after they left" if each.days is not None and each.what != "events" else ""
        text = f"{each.rows:,.0f}, {_size(each.bytes)}, kept {period} ({each.variable})"
        yield from textwrap.wrap(f"{each.what:<18}{text}", room, subsequent_indent=" " * 18)
    for name, text in measures.said.items():
        yield from textwrap.wrap(f"{name:<18}{text}", room, subsequent_indent=" " * 18)


def _reaches(measures: Measures) -> list[tuple[str, ...]]:
    """Return what each pace reaches with each number of first photos, one line where the number changes nothing."""
    rows: dict[tuple[str, ...], list[int]] = {}
    for each in measures.reaches:
        lost = percent(each.lost_share) if each.lost_share > 0 else "none"
        figures = (each.pace, f"{each.lots_a_day:,.0f}", lost, percent(each.all_share))
        rows.setdefault(figures, []).append(each.first)
    return [(pace, ", ".join(map(str, first)), *rest) for (pace, *rest), first in rows.items()]


def _progress(measures: Measures, likely: Case) -> str:
    """Return how many lots are done, how many remain, and how long those take: in the words of health and status."""
    inputs = measures.inputs
    text = f"{measures.settled:,} of {measures.active:,} active lots are done, {inputs.remaining:,} remain"
    if _is_known(measures):
        return f"{text}: {to_go(inputs.remaining, likely.lots_a_day)}"
    if measures.pace is None:
        return f"{text}; no photo crawl ran in the last week (what if: --lots-per-hour)"
    return f"{text}: {not_yet(measures.pace.enough_from)} (what if: --lots-per-hour)"


def _is_known(measures: Measures) -> bool:
    """Tell whether the number of lots finished a day is measured, or given by an option."""
    is_measured = measures.pace is not None and measures.pace.lots_a_day is not None
    return is_measured or measures.said["lots an hour"].startswith(ASKED)


def _not_before(measures: Measures) -> str | None:
    return None if measures.pace is None or _is_known(measures) else measures.pace.enough_from.isoformat()


def _size(value: float) -> str:
    return next((f"{value / size:,.1f} {name}" for name, size in SIZES if value >= size), f"{value:.0f} B")
