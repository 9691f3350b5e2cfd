"""Lots that stand in one file more than once: the newest row wins, the others are recorded.

Newest is by Last Updated Time, then by the later row. Rare, so the file is read a second time for just these lots.
"""

from __future__ import annotations

from etl.merge.diff import Difference, Row, known_time, rejected, rows_of
from etl.merge.upsert import Merge
from etl.read.file import Broken, FeedFile
from etl.store.state import State, StateWriter


def settle_duplicates(
    feed: FeedFile, found: Difference, last: State, merge: Merge, writer: StateWriter, file_id: int, latest: str
) -> set[int]:
    """Stage the winners alone, reject the others, and return the lots that were looked at. A Last Updated Time that is
    none, or after `latest`, is older than any other.

    Rows that lost and were known already are not looked at again as long as nothing about their lot changes.
    """
    lots = _unsettled(found, last)
    writer.spares.extend(lot for lot in last.spares if lot not in lots)
    if not lots:
        return lots
    staged = []
    rows = _rows(feed, file_id, latest, lots)
    for lot, (*spares, (winner, _)) in rows.items():
        staged.append(winner.csv)
        for spare, raw in spares:
            why = Broken(reason="duplicate_lot", detail=f"line {winner.line_number} holds a newer row of lot {lot}")
            found.rejected.append(rejected(raw, spare.line_number, why))
            writer.spares.append(lot)
    merge.replace_staged(sorted(lots), feed, staged)
    return set(rows)


def stage_again(feed: FeedFile, merge: Merge, file_id: int, latest: str, lots: set[int]) -> None:
    """Stage the rows of some lots, also those that are known."""
    staged = [candidates[-1][0].csv for candidates in _rows(feed, file_id, latest, lots).values()]
    merge.replace_staged(sorted(lots), feed, staged)


def _rows(feed: FeedFile, file_id: int, latest: str, lots: set[int]) -> dict[int, list[tuple[Row, bytes]]]:
    """Return the rows of some lots with their raw bytes, the one that counts last."""
    rows: dict[int, list[tuple[Row, bytes]]] = {}
    for row, raw in rows_of(feed, file_id, lots):
        rows.setdefault(row.lot, []).append((row, raw))
    for candidates in rows.values():
        candidates.sort(key=lambda candidate: (known_time(candidate[0].updated, latest), candidate[0].line_number))
    return rows


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
