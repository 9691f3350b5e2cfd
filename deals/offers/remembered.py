"""Quotes by other profiles than the default one, kept by the process that computed them: nothing stores them, and a
page that asks for those of all lots would compute each of them anew.

A quote is computed again when its lot has another value, when the terms are others, and after an hour: a floor depends
on the hours to the sale. For 37,500 lots they take some 25 MB.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from deals.stages import quote as stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from deals.lots.terms import Terms
    from deals.stages.quote import Quoted

KEPT_SECONDS: Final = 3600.0
KEPT_TERMS: Final = 2
BATCH: Final = 5_000
"""Lots that are quoted before they are kept: a page whose time is up loses no more, and the next one goes on."""


class Remembered:
    """The quotes of some lots by the terms that were asked for last. Threads share the work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_basis: dict[str, tuple[float, dict[int, Quoted]]] = {}

    def quotes(self, connection: Connection[Any], lots: Mapping[int, str], by: Terms) -> list[Quoted]:
        """Return the quotes of these lots, given with the time of their value as text; none of one without a value."""
        known = self._of(by.basis)
        wanting = [lot_id for lot_id, valued_at in lots.items() if not _is_of(known.get(lot_id), valued_at)]
        for first in range(0, len(wanting), BATCH):
            with self._lock:  # another thread may have quoted them meanwhile
                left = [each for each in wanting[first : first + BATCH] if not _is_of(known.get(each), lots[each])]
                if left:
                    found = stage.work(stage.read_by(connection, left, by))
                    known |= {each.lot_id: each for each in found}
        return [known[lot_id] for lot_id in lots if lot_id in known]

    def _of(self, basis: str) -> dict[int, Quoted]:
        """Return what is kept by these terms, and forget what is too old or was not asked for of late."""
        now = time.monotonic()
        with self._lock:
            kept = {name: each for name, each in self._by_basis.items() if now - each[0] < KEPT_SECONDS}
            asked = kept.pop(basis, (now, {}))
            self._by_basis = {**dict(list(kept.items())[1 - KEPT_TERMS :]), basis: asked}
            return asked[1]


def _is_of(quoted: Quoted | None, valued_at: str) -> bool:
    """Tell whether a quote is of this value."""
    return quoted is not None and quoted.valued_at == valued_at
