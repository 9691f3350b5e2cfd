"""The columns of a watch: its filters of ads and of lots, each field under its name, and the words as the index of
words is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vinops.board.writer import text_query
from vinops.filters import FIELDS, Filter
from vinops.lots.filter import FIELDS as LOT_FIELDS, LotFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES: Final = tuple(name for name in FIELDS if name not in ("new_since", "gone"))
"""The fields that a watch has: it finds what is new and advertised anyway."""
LOT_NAMES: Final = tuple(name for name in LOT_FIELDS if name not in ("has_photos", "new_since", "gone"))
"""Those of a watch of lots. It finds a lot before it has photos."""


def to_columns(wanted: Filter) -> dict[str, Any]:
    """Return the columns of `watches` that a filter is stored in."""
    columns = {name: _stored(getattr(wanted, name)) for name in NAMES}
    return columns | {
        "words_query": text_query(wanted.words, has_all=True) if wanted.words else None,
        "words_not_query": text_query(wanted.words_not, has_all=False) if wanted.words_not else None,
    }


def to_filter(row: Mapping[str, Any]) -> Filter:
    """Return the filter of a row of `watches`."""
    found: dict[str, Any] = {name: tuple(row[name]) if FIELDS[name].many else row[name] for name in NAMES}
    return Filter(**found)


def to_lot_columns(wanted: LotFilter) -> dict[str, Any]:
    """Return the columns of `watch_lots` that a filter of lots is stored in."""
    return {name: _stored(getattr(wanted, name)) for name in LOT_NAMES}


def to_lot_filter(row: Mapping[str, Any]) -> LotFilter:
    """Return the filter of a row of `watch_lots`."""
    found: dict[str, Any] = {name: tuple(row[name]) if LOT_FIELDS[name].many else row[name] for name in LOT_NAMES}
    return LotFilter(**found)


def watched(wanted: LotFilter) -> LotFilter:
    """Return what of a filter of lots a watch can ask."""
    return LotFilter(**{name: getattr(wanted, name) for name in LOT_NAMES})


def _stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
