"""The tariffs: all lines of the files, with those of the owner's folder in place of ours, and those of one day."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, partial
from importlib.resources import files
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, Final

from deals.landed.lines import KINDS, TariffError, TariffLine
from deals.landed.reading import read_line
from vinops.checks import Finding, ok, warning
from vinops.text.figures import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from importlib.resources.abc import Traversable
    from pathlib import Path

HERE: Final = files("deals.landed") / "tariffs"
STALE_DAYS: Final = 180
"""Days after which a line must be checked again: fees are expected to change once a year."""
ZONES_APART: Final = 1  # days by which the day of who checked may be ahead
MOST_BYTES: Final = 1_000_000  # of a file: ours have some thousand


@dataclass(frozen=True)
class Tariffs:
    """The lines in force on a day."""

    day: date
    lines: tuple[TariffLine, ...]
    _by_kind: dict[str, list[TariffLine]] = field(default_factory=dict, repr=False, compare=False)
    _found: dict[tuple[str, ...], TariffLine | None] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Order the lines of each kind: those with the more important selectors first."""
        for line in self.lines:
            self._by_kind.setdefault(line.kind, []).append(line)
        for kind, lines in self._by_kind.items():
            lines.sort(key=partial(_unnamed, KINDS[kind].selectors))

    def find(self, kind: str, **facts: str | None) -> TariffLine | None:
        """Return the line of a kind for a lot, None if none names it. A fact that is None fits only lines that do not
        ask for it."""
        names = KINDS[kind].selectors
        key = (kind, *(facts.get(name) or "" for name in names))
        if key not in self._found:
            values = dict(zip(names, key[1:], strict=True))
            fitting = (
                line
                for line in self._by_kind.get(kind, ())
                if all(values[name] in words for name, words in line.chosen_by.items())
            )
            self._found[key] = next(fitting, None)
        return self._found[key]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The lines in force: how many, the day of the oldest check, and those whose check is too old, oldest first."""

    lines: int
    oldest: date | None
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Book:
    """All lines, of all days."""

    lines: tuple[TariffLine, ...]

    def on(self, day: date) -> Tariffs:
        """Return the lines in force on a day."""
        return Tariffs(day, tuple(line for line in self.lines if line.applies(day)))

    def by_check(self) -> list[TariffLine]:
        """Return the lines, the one whose check is the oldest first."""
        return sorted(self.lines, key=lambda line: (line.checked, line.kind, line.name, line.starts))

    def checked(self, day: date) -> Checked:
        """Return how long ago the lines in force on a day were checked."""
        lines = [line for line in self.by_check() if line.applies(day)]
        stale = tuple(
            f"{line.kind} “{line.name}” ({line.checked}{', which is still to come' if line.checked > day else ''})"
            for line in self.stale(day)
        )
        return Checked(lines=len(lines), oldest=lines[0].checked if lines else None, stale=stale)

    def stale(self, day: date) -> list[TariffLine]:
        """Return the lines in force on a day that were last checked more than STALE_DAYS before it, oldest first; and
        those whose check is still to come, a typing error by which they would never be asked for again."""
        ages = ((line, (day - line.checked).days) for line in self.by_check() if line.applies(day))
        return [line for line, days in ages if not -ZONES_APART <= days <= STALE_DAYS]


def _unnamed(selectors: Sequence[str], line: TariffLine) -> list[bool]:
    return [name not in line.chosen_by for name in selectors]


def judge(found: Checked) -> Finding:
    """Check whether each line in force was checked lately; for `vinops health` and `vinops doctor`."""
    if not found.stale:
        return ok(f"{plural(found.lines, 'line')}, the oldest check of {found.oldest}")
    more = f" and {len(found.stale) - 1} more" if len(found.stale) > 1 else ""
    text = f"checked more than {STALE_DAYS} days ago: {found.stale[0]}{more}"
    return warning(text, f"{STALE_DAYS} days", fix="vinops landed tariffs; docs/landed.md, Checking a tariff")


def load(folder: Path | None = None) -> Book:
    """Return our tariffs, with the lines of the owner's folder in place of ours of the same kind and name.

    Raises TariffError for a file that cannot be read, and for one that says something that is not understood.
    """
    ours = _ours()
    theirs: list[TariffLine] = []
    if folder is not None:
        if not folder.is_dir():
            raise TariffError(f"VINOPS_TARIFFS_DIR: {folder} is not a folder: make it, or leave the setting empty")
        theirs = list(_lines(folder))
    replaced = {(line.kind, line.name) for line in theirs}
    kept = [line for line in ours if (line.kind, line.name) not in replaced]
    if theirs:
        _check([*kept, *theirs])
    return Book((*kept, *theirs))


@cache
def _ours() -> tuple[TariffLine, ...]:
    """Return the lines that come with vinops."""
    found = tuple(_lines(HERE))
    _check(found)
    return found


def read_toml(file: Traversable, name: str) -> dict[str, Any]:
    """Return what a TOML file says, its numbers as decimals. Raises TariffError."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise TariffError(f"{name} has more than {MOST_BYTES:,} bytes, which is the most that is read: divide it")
        return tomllib.loads(text.decode("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise TariffError(f"{name} cannot be read ({error.strerror}): see who may read it") from None
    except (ValueError, ArithmeticError, RecursionError) as error:  # also a number of 5,000 digits, and nested lists
        raise TariffError(f"{name} is no TOML ({error}): correct it") from None


def toml_files(folder: Traversable) -> Iterator[Traversable]:
    """Yield the TOML files of a folder, by name."""
    yield from sorted((each for each in folder.iterdir() if each.name.endswith(".toml")), key=lambda each: each.name)


def _lines(folder: Traversable) -> Iterator[TariffLine]:
    for file in toml_files(folder):
        name = str(file) if folder is not HERE else file.name
        found = read_toml(file, name)
        if unknown := sorted(set(found) - {"defaults", "lines"}):
            raise TariffError(f"{name}: the key {unknown[0]} is unknown: a file has [defaults] and [[lines]]")
        defaults, lines = found.get("defaults", {}), found.get("lines", [])
        if not isinstance(defaults, dict) or not isinstance(lines, list) or not all(isinstance(i, dict) for i in lines):
            raise TariffError(f"{name}: lines are not written as [[lines]], or defaults not as [defaults]: correct it")
        for line in lines:
            yield read_line(name, _with_defaults(defaults, line))


def _with_defaults(defaults: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, Any]:
    return {**defaults, **line}


def _check(lines: Iterable[TariffLine]) -> None:
    """Check that no two lines name the same lot at the same time, and that no period of a line is missing."""
    kinds: dict[str, list[TariffLine]] = {}
    for line in lines:
        kinds.setdefault(line.kind, []).append(line)
    for found in kinds.values():
        for one, other in _rivals(found):
            if _overlap(one, other):
                raise TariffError(
                    f"{other.where}: it overlaps with {one.where}: end one where the other begins, or give the line of "
                    "your folder the name of the one that it replaces"
                )
        names: dict[str, list[TariffLine]] = {}
        for line in found:
            names.setdefault(line.name, []).append(line)
        for periods in names.values():
            for before, behind in pairwise(sorted(periods, key=lambda line: line.starts)):
                days = (behind.starts - before.ends).days - 1 if before.ends else 0
                if days > 0:
                    text = f"there is a gap of {plural(days, 'day')} before {behind.starts}"
                    raise TariffError(f"{behind.where}: {text}: let one period begin the day after the other ends")


def _rivals(lines: Iterable[TariffLine]) -> Iterator[tuple[TariffLine, TariffLine]]:
    """Yield the pairs of lines of a kind that may be for the same lot: those of a name, and those that have a word of
    their first selector in common. Each with each would be minutes for a price list by yard."""
    names: dict[str, list[TariffLine]] = {}
    words: dict[tuple[str, ...], list[TariffLine]] = {}
    for line in lines:
        names.setdefault(line.name, []).append(line)
        for word in next(iter(line.chosen_by.values()), ("",)):
            words.setdefault((*line.chosen_by, word), []).append(line)
    for group in (*names.values(), *words.values()):
        yield from combinations(group, 2)


def _overlap(one: TariffLine, other: TariffLine) -> bool:
    if one.chosen_by.keys() != other.chosen_by.keys() and one.name != other.name:
        return False
    is_at_once = (one.ends is None or other.starts <= one.ends) and (other.ends is None or one.starts <= other.ends)
    if one.name == other.name:
        return is_at_once
    return is_at_once and all(set(words) & set(other.chosen_by[name]) for name, words in one.chosen_by.items())
