"""Lots that stand in one file more than once: the newest row wins, the others are recorded.

Newest is by Last Updated Time, then by the later row. Rare, so the file is read a second time for just these lots.
"""

from __future__ import annotations

from etl.diff import Difference, Row, rejected, rows_of
from etl.feed import Broken, FeedFile
from etl.merge import Merge
from etl.state import State, StateWriter


def settle_duplicates(
    feed: FeedFile, found: Difference, last: State, merge: Merge, writer: StateWriter, file_id: int
) -> set[int]:
    """Stage the winners alone, reject the others, and return the lots that were looked at.

    Rows that lost and were known already are not looked at again as long as nothing about their lot changes.
    """
    lots = _unsettled(found, last)
    writer.spares.extend(lot for lot in last.spares if lot not in lots)
    if not lots:
        return lots
    rows: dict[int, list[tuple[Row, bytes]]] = {}
    for row, raw in rows_of(feed, file_id, lots):
        rows.setdefault(row.lot, []).append((row, raw))
    staged = []
    for lot, candidates in rows.items():
        candidates.sort(key=lambda candidate: (candidate[0].updated, candidate[0].line_number))
        winner, _ = candidates.pop()
        staged.append(winner.csv)
        for spare, raw in candidates:
            why = Broken(reason="duplicate_lot", detail=f"line {winner.line_number} holds a newer row of lot {lot}")
            found.rejected.append(rejected(raw, spare.line_number, why))
            writer.spares.append(lot)
    merge.replace_staged(sorted(lots), feed, staged)
    return set(rows)


def _unsettled(found: Difference, last: State) -> set[int]:
    """Return the lots with several rows of which one is new or left, or two are the same."""
    missed = set(found.missed)
    twice: set[int] = set()
    if len(missed) < len(found.missed):
        seen: set[int] = set()
        twice = {lot for lot in found.missed if lot in seen or seen.add(lot)}  # type: ignore[func-returns-value]
    vanished = set(found.vanished)
    beside_a_known_row = (missed.intersection(last.lots) | missed.intersection(last.joined.values())) - vanished
    with_spares = set(last.spares).intersection(missed | vanished)
    return twice | beside_a_known_row | with_spares | found.doubled - {0}
