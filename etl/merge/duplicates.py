"""Lots that a file has more than once: the newest row wins, the others are rejected as `duplicate_lot`.

Newest is by Last Updated Time, then by the later row. Such lots are rare, so the file is read a second time for them.
"""

from __future__ import annotations

from etl.merge.diff import Difference, Row, known_time, rejected, rows_of
from etl.read.file import Broken, FeedFile
from etl.store.state import State, StateWriter

Candidate = tuple[Row, bytes]
"""A row, and its raw bytes."""


def settle_duplicates(
    feed: FeedFile, found: Difference, last: State, writer: StateWriter, file_id: int, latest: str
) -> tuple[set[int], dict[int, bytes]]:
    """Reject the duplicates of a file. Return the lots that have any, and the row to stage of each that is readable.

    A Last Updated Time that is invalid, or after `latest`, is older than any other. Rows that were rejected in the last
    file already are not looked at again as long as nothing about their lot changes.
    """
    lots = _unsettled(found, last)
    writer.spares.extend(lot for lot in last.spares if lot not in lots)
    winners: dict[int, bytes] = {}
    for lot, (*spares, (winner, _)) in _candidates(feed, file_id, latest, lots).items():
        winners[lot] = winner.csv
        for spare, raw in spares:
            why = Broken(reason="duplicate_lot", detail=f"line {winner.line_number} holds a newer row of lot {lot}")
            found.rejected.append(rejected(raw, spare.line_number, why))
            found.duplicates += 1
            writer.spares.append(lot)
    return lots, winners


def newest_rows(feed: FeedFile, file_id: int, latest: str, lots: set[int]) -> list[bytes]:
    """Return the row to stage of each of some lots, also of those that the last file had."""
    return [candidates[-1][0].csv for candidates in _candidates(feed, file_id, latest, lots).values()]


def _candidates(feed: FeedFile, file_id: int, latest: str, lots: set[int]) -> dict[int, list[Candidate]]:
    """Return the rows of some lots, the newest last."""
    rows: dict[int, list[Candidate]] = {}
    for row, raw in rows_of(feed, file_id, lots) if lots else ():
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
