"""Twins: cars that have another name in Europe than in America, and cars that share only the name (twins.toml)."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE: Final = files("vinops") / "twins.toml"


@dataclass(frozen=True, kw_only=True)
class Twin:
    """What the market of Europe calls a model of America in these model years; `model` is None where the car is not
    sold in Europe, though its name may be. If `is_always`, ads under its own name are of another car."""

    model: str | None
    years: tuple[int, int]
    why: str
    is_always: bool = False


def twin(model: str, year: int | None) -> Twin | None:
    """Return the twin of a model of that model year; None where it has none, or the year is unknown."""
    if year is None:
        return None
    return next((each for each in _twins().get(model, ()) if each.years[0] <= year <= each.years[1]), None)


def models() -> frozenset[str]:
    """Return all models that the file names, in America and in Europe."""
    return frozenset(_twins()) | {each.model for found in _twins().values() for each in found if each.model}


@cache
def _twins() -> Mapping[str, Sequence[Twin]]:
    found: defaultdict[str, list[Twin]] = defaultdict(list)
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))
    for entry in (*entries["twin"], *entries["apart"]):
        first, last = entry["years"]
        found[entry["model"]].append(
            Twin(
                model=entry.get("is"),
                years=(first, last),
                why=entry["why"],
                is_always=entry.get("always", "is" not in entry),
            )
        )
    return dict(found)
