"""The board of lots: written with each feed file in its transaction, rebuilt, and compared with what it has to be.

The view lot_board_source says what a row has to be. Photos of lots are followed by a trigger of lot_photos. The words
of the feed are translated here, once for each distinct word, by the vocabulary of both ends of the market.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row

from vinops import vehicles
from vinops.checks import Finding, ok, warning
from vinops.db.database import queries
from vinops.text.figures import amount, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg import Connection

    Word = tuple[str, str]

SAMPLE: Final = 500
"""Lots in the feed, and rows of the board, in a sample."""
REBUILD: Final = "python -m etl board --rebuild"
FLEXIBLE: Final = {"flex fuel": "gasoline"}
"""Fuels of the feed that the vocabulary of the market does not have, by what it would call them."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Lots whose rows on the board were compared with what they have to be: how many rows are missing, wrong or too
    many."""

    lots: int
    missing: int
    wrong: int
    surplus: int


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild changed: rows that were missing or wrong, and rows too many."""

    written: int
    removed: int


def write(connection: Connection[Any], lots: Sequence[int], step: Callable[[str], None]) -> None:
    """Bring the board up to date with a merged file, in its transaction, which the caller commits soon: until then
    photos that are the first of their lot wait.

    `lots` are the numbers of lots that are gone, or were split from a placeholder; those of the file's rows, and of the
    same vehicles, are found in the merge's tables. `step` is called with the name of each statement before it.
    """
    statements = queries("lots")

    def run(name: str) -> Any:
        step(name)
        return connection.execute(statements[name], {"lots": list(lots)})

    ((has_words, has_rows),) = run("is_lot_board_begun")
    if has_words:
        run("find_touched_lots")
        note_words(connection, run("new_words_of_lots"))
    else:
        note_words(connection, run("all_words_of_lots"))
    run("lock_lot_board")
    if has_words:
        run("write_lot_board")
        run("expire_lot_board")
    else:
        run("rebuild_lot_board" if has_rows else "fill_lot_board")


def note_words(connection: Connection[Any], words: Iterable[Word]) -> None:
    """Store what the vocabulary calls some words, given by field, in one statement."""
    found = [(field, said, *read(field, said)) for field, said in words]
    if found:
        fields, said, makes, names = (list(column) for column in zip(*found, strict=True))
        values = {"fields": fields, "said": said, "makes": makes, "names": names}
        connection.execute(queries("lots")["note_words_of_lots"], values)


def read(field: str, said: str) -> tuple[str | None, str | None]:
    """Return the make, for a car, and the value of a word of the feed; None for what the vocabulary does not have.

    A car is given as its make, its model and the group of models: «FORD|F150|F SERIES».
    """
    if field == "car":
        return _car(*(said.split("|", 2)))
    if field == "fuel" and said in FLEXIBLE:
        return None, FLEXIBLE[said]
    look_up = {
        "fuel": vehicles.fuel, "gearbox": vehicles.gearbox, "body": vehicles.body, "color": vehicles.colour,
    }[field]  # fmt: skip
    found = look_up(said)
    return None, found.value if found and found.how != "fuzzy" else None


def _car(make: str, model: str, group: str) -> tuple[str | None, str | None]:
    found = vehicles.make(make)
    if found is None or found.how == "fuzzy":
        return None, None
    for text in (model, group):
        car = vehicles.model(found.value, text) if text else None
        if car is not None and car.how != "fuzzy":
            return car.make, car.family
    return found.value, None


def compare(connection: Connection[Any], count: int | None = SAMPLE) -> Compared:
    """Compare the rows of so many lots in the feed and so many rows of the board, from a random one on; None: all."""
    with connection.cursor(row_factory=class_row(Compared)) as cursor:
        found = cursor.execute(queries("lots")["compare_lot_board"], {"count": count}).fetchone()
    return found or Compared(lots=0, missing=0, wrong=0, surplus=0)


def judge(found: Compared) -> Finding:
    """Judge a comparison."""
    faults = ((found.missing, "missing"), (found.wrong, "wrong"), (found.surplus, "too many"))
    text = ", ".join(f"{amount(count)} {name}" for count, name in faults if count)
    if not text:
        return ok(f"{plural(found.lots, 'lot')} compared, all rows right")
    return warning(f"of {plural(found.lots, 'lot')} compared {text}", "0", fix=REBUILD)


def rebuild(connection: Connection[Any]) -> Rebuilt:
    """Read the words of all vehicles anew, write all rows that are missing or wrong, and remove those too many, in one
    transaction.

    Feed and photos must not write meanwhile: the caller holds the lock of the feed, and photos that are the first of
    their lot wait. If the process dies before the end, the board is as it was.
    """
    statements = queries("lots")
    with connection.transaction():
        connection.execute(statements["lock_lot_board"])
        note_words(connection, connection.execute(statements["all_words_of_lots"]))
        written = connection.execute(statements["rebuild_lot_board"]).rowcount
        removed = connection.execute(statements["remove_from_lot_board"]).rowcount
    return Rebuilt(written=written, removed=removed)
