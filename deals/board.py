"""Upkeep of the board: its rebuild, its comparison with what it has to be, and the end of ads that went long ago.

The stage `score` writes the board (deals/stages/score.py); vinops/board reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row

from vinops.checks import Finding, ok, warning
from vinops.db.database import queries
from vinops.text.figures import amount, plural

if TYPE_CHECKING:
    from psycopg import Connection

SAMPLE: Final = 500
"""Ads in a sample: 20 ms among a million."""
REBUILD: Final = "vinops deals board --rebuild"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Ads whose rows on the board were compared with what they have to be: how many rows are missing, wrong or too
    many, and how many ads that are advertised have no words to be found by."""

    ads: int
    missing: int
    wrong: int
    surplus: int
    wordless: int


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild changed: rows that were missing or wrong, rows too many, and ads queued for the stage `normalize`
    to read their words."""

    written: int
    removed: int
    queued: int


def compare(connection: Connection[Any], count: int | None = SAMPLE) -> Compared:
    """Compare the rows of so many ads, from a random one on; None: of all, which takes seconds."""
    with connection.cursor(row_factory=class_row(Compared)) as cursor:
        found = cursor.execute(queries("board")["compare_board"], {"count": count}).fetchone()
    return found or Compared(ads=0, missing=0, wrong=0, surplus=0, wordless=0)


def judge(found: Compared) -> Finding:
    """Judge a comparison."""
    faults = (
        (found.missing, "missing"),
        (found.wrong, "wrong"),
        (found.surplus, "too many"),
        (found.wordless, "without words"),
    )
    text = ", ".join(f"{amount(count)} {name}" for count, name in faults if count)
    if not text:
        return ok(f"{plural(found.ads, 'ad')} compared, all rows right")
    return warning(f"of {plural(found.ads, 'ad')} compared {text}", "0", fix=REBUILD)


def rebuild(connection: Connection[Any]) -> Rebuilt:
    """Write all rows anew that are missing or wrong, and remove those too many, in one transaction.

    The stage `score` waits meanwhile, some ten seconds among a million ads; readers do not. If the process dies before
    the end, the board is as it was.
    """
    statements = queries("board")
    with connection.transaction():
        connection.execute(statements["lock_board"])
        written = connection.execute(statements["rebuild_board"]).rowcount
        removed = connection.execute(statements["remove_from_board"]).rowcount
        queued = connection.execute(statements["queue_wordless"]).rowcount
    return Rebuilt(written=written, removed=removed, queued=queued)


def expire(connection: Connection[Any]) -> int:
    """Remove ads that went 60 days ago from the board, with their words, in one statement; return how many."""
    return connection.execute(queries("board")["expire_board"]).rowcount
