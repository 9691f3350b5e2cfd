"""Charts of /ops as SVG: runs of the feed with the seconds of their steps, and photo coverage over time.

As in web/charts.py: attributes only, colors by classes, and what a shape means is also a text.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from web.charts import Line
from web.requests import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from web.language import Language
    from web.operations.history import Coverage, FeedRun

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 180, 52, 8, 10, 28
OTHERS: Final = "step7"
"""The class in site.css of all steps that have no color of their own; those that have one are .step0 to .step6."""
GAP: Final = timedelta(hours=3)
"""A longer pause between two counts is no line: nobody counted."""
GOOD: Final = frozenset({"loaded", "unchanged"})
LINES: Final = ("with_photo", "past_first", "with_all")


def color(steps: Sequence[str], step: str) -> str:
    """Return the class of a step's color: its own, or that of the others."""
    return f"step{steps.index(step)}" if step in steps else OTHERS


def feed_runs(language: Language, runs: Sequence[FeedRun], steps: Sequence[str]) -> Markup:
    """Return the runs as bars, one beside the other, each of the seconds of its steps; a run that loaded nothing has a
    mark below. Nothing without a run."""
    if not runs:
        return Markup("")
    most = max([each.total or 0.0 for each in runs]) or 1.0
    y = Line(low=0, high=most, begin=HEIGHT - BOTTOM, end=TOP)
    room = (WIDTH - LEFT - RIGHT) / max(len(runs), 12)
    parts = [_level(y, most * share, _seconds(language, most * share)) for share in (0, 0.5, 1)]
    for place, run in enumerate(runs):
        x = round(LEFT + place * room, 1)
        wide = round(max(room - 1, 1), 1)
        below = 0.0
        bars = []
        others = sum(seconds for step, seconds in run.seconds.items() if step not in steps)
        for step, seconds in [*((step, run.seconds.get(step, 0.0)) for step in steps), ("", others)]:
            top, bottom = y.at(below + seconds), y.at(below)
            below += seconds
            if bottom > top:
                bars.append(
                    f'<rect class="{color(steps, step)}" x="{x}" y="{top}" width="{wide}" '
                    f'height="{round(bottom - top, 1)}"/>'
                )
        if run.status not in GOOD:
            bars.append(f'<rect class="bad" x="{x}" y="{HEIGHT - BOTTOM + 1}" width="{wide}" height="6"/>')
        said = f"{language.moment(run.at)}: {shown(run.status, 40)}, {_seconds(language, run.total)}"
        parts.append(f"<g><title>{escape(said)}</title>{''.join(bars)}</g>")
    parts.append(_ends(language, runs[0].at, runs[-1].at))
    return _chart(language.gettext("Runs of the feed, with the seconds of their steps"), parts)


def coverage(language: Language, counts: Sequence[Coverage]) -> Markup:
    """Return the shares of lots with a photo, past the first pass and with all photos over time; nothing for fewer
    than two counts."""
    if len(counts) < 2:
        return Markup("")
    x = Line(low=counts[0].at.timestamp(), high=counts[-1].at.timestamp(), begin=LEFT, end=WIDTH - RIGHT)
    y = Line(low=0, high=1, begin=HEIGHT - BOTTOM, end=TOP)
    parts = [_level(y, share, f"{language.number(100 * share)} %") for share in (0, 0.5, 1)]
    for name in LINES:
        path, before = [], None
        for each in counts:
            if not each.lots:
                continue
            command = "L" if before is not None and each.at - before <= GAP else "M"
            path.append(f"{command}{x.at(each.at.timestamp())} {y.at(getattr(each, name) / each.lots)}")
            before = each.at
        parts.append(f'<path class="line {name}" d="{"".join(path)}"/>')
    parts.append(_ends(language, counts[0].at, counts[-1].at))
    return _chart(language.gettext("Lots with a photo, past the first pass, and with all photos, over time"), parts)


def _seconds(language: Language, value: float | None) -> str:
    return "–" if value is None else f"{language.number(value, 0 if value >= 100 else 1)} s"


def _level(y: Line, value: float, text: str) -> str:
    place = y.at(value)
    return (
        f'<path class="grid" d="M{LEFT} {place}H{WIDTH - RIGHT}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{place + 4}" text-anchor="end">{escape(text)}</text>'
    )


def _ends(language: Language, first: datetime, last: datetime) -> str:
    begin, end = escape(language.moment(first)), escape(language.moment(last))
    return (
        f'<text class="axis" x="{LEFT}" y="{HEIGHT - 4}">{begin}</text>'
        f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{end}</text>'
    )


def _chart(label: str, parts: Sequence[str]) -> Markup:
    return Markup(
        '<svg class="chart wide" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
    ).format(w=WIDTH, h=HEIGHT, label=label) + Markup("".join(parts) + "</svg>")  # noqa: S704 # numbers, and escaped
