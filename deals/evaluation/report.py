"""The figures of an evaluation as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from deals.evaluation import figures
from deals.evaluation.folds import METHODS
from vinops.text import grid

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLES: Final = ("", "ads", "median off", "within 20 %", "in p10-p90")
NAMES: Final = {"narrow": "narrowest 61 %", "narrow40": "narrowest 40 %"}  # of groups


def report(measured: Mapping[str, Any], width: int | None = None) -> list[str]:
    """Return the figures as lines of two tables, in at most `width` columns if one is given."""
    lines = [f"{measured['n']:,} ads in {measured['folds']} folds, {measured['covered']:,} of them covered"]
    if left_out := measured.get("left_out"):
        lines.append("left out: " + ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())))
    rows = [
        _row(f"{method.replace('_', ' ')}, {NAMES.get(group, group)}", measured[method][group])
        for group in figures.GROUPS
        for method in METHODS
    ]
    found = [*_folded(lines, width), "", *_table(TITLES, rows, width)]
    if segments := measured["ours"].get("segments"):
        parts = [
            (*_row(name, one), "" if figures.is_right(one) else "off")
            for name, one in segments.items()
            if one["n"] >= figures.FEWEST_IN_SEGMENT
        ]
        found += ["", *_table((*TITLES, ""), parts, width)]
    if planted := measured["ours"].get("planted"):
        said = (
            f"bargains planted at 30 % below: {planted['precision']:.2f} of the best 20 scores, "
            f"{planted['of_approved']:.2f} of the approved ads; {planted['approved']:,} ads are approved without them"
        )
        found += ["", *_folded([said], width)]
    return found


def _row(name: str, one: Mapping[str, float]) -> tuple[str, ...]:
    return (name, f"{one['n']:,}", *(f"{one[share]:.1%}" for share in ("mdape", "within20", "coverage_p10_p90")))


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]], width: int | None) -> list[str]:
    return list(grid.lines(titles, rows, width=width, right=[False, *[True] * (len(titles) - 1)]))


def _folded(lines: list[str], width: int | None) -> list[str]:
    return [part for line in lines for part in grid.fold(line, width)]
