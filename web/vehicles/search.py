"""What the search box finds: a VIN, a lot, an ad, or words of ads.

A query that names one thing leads there. What it may name is told by its form; whether there is such a thing, by the
database. Words lead to the board, with a make or a model among them as its filter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from psycopg.rows import dict_row

from vinops import vehicles
from vinops.board import reads
from vinops.board.records import Count
from vinops.db.database import queries
from vinops.filters import Filter
from vinops.text import spelling, vins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

LONGEST: Final = 200
MOST_BIGINT: Final = (1 << 63) - 1

_LOT_ADDRESS: Final = re.compile(r"copart\.[a-z.]{2,6}/(?:[a-z]{2,3}/)?lot/([0-9]{5,12})(?![0-9])", re.IGNORECASE)
_AD_ADDRESS: Final = re.compile(r"/obiava-([12][0-9]{16})(?![0-9])")
_NUMBER: Final = re.compile(r"(?:#|№|lot|лот|ad|обява)?[\s:#№-]{0,3}([0-9][0-9 \u00a0\u202f]{0,30})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A thing that was found: `kind` is vin, lot or ad; where it is, and what it is called."""

    kind: str
    where: str
    title: str
    is_gone: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a query names. `board` is the address of the board with its words, None if it has none; `count` how many ads
    are there."""

    hits: Sequence[Hit] = field(default=())
    board: str | None = None
    count: Count = field(default_factory=lambda: Count(number=0, is_capped=False))

    @property
    def only(self) -> str | None:
        """The one page that the query leads to; None if there is none, or more than one."""
        if len(self.hits) == 1:
            return self.hits[0].where
        return self.board if not self.hits and self.count.number else None


def find(connection: Connection[Any], query: str) -> Found:
    """Return what a query names. A few look-ups by index, and for words a count that stops at a thousand."""
    text = " ".join(query[:LONGEST].replace("\0", "").split())
    if not text:
        return Found()
    vin = vins.spelled(text)
    if vins.is_vin(vin):
        is_known = connection.execute(queries("vins")["known"], {"vin": vin}).fetchone() is not None
        return Found(hits=[Hit(kind="vin", where=f"/vin/{vin}", title=vin)] if is_known else ())
    if address := _LOT_ADDRESS.search(text):
        return Found(hits=_lot(connection, int(address[1])))
    if address := _AD_ADDRESS.search(text):
        return Found(hits=_ads(connection, address[1], is_own=False))
    number = _NUMBER.fullmatch(text)
    digits = re.sub(r"\D", "", number[1]) if number else ""
    hits: Sequence[Hit] = ()
    if digits and int(digits) <= MOST_BIGINT:
        hits = [*_lot(connection, int(digits)), *_ads(connection, digits, is_own=True)]
    if hits or "://" in text:
        return Found(hits=hits)
    wanted = filter_of(text)
    if wanted.is_empty:
        return Found()
    return Found(board=f"/?{urlencode(wanted.to_params())}", count=reads.count(connection, wanted))


def filter_of(text: str) -> Filter:
    """Return the filter of words: the model that they name with its make, else the make, and the others as words of the
    ad. «x5 панорама бмв» is a BMW X5 with «панорама»."""
    words = text.split()
    for place in range(len(words)):
        make = vehicles.make_in(" ".join(words[place:]))
        if make is None:
            continue
        before, behind = words[:place], words[place:]
        if found := _family(make.value, behind):
            return _parsed([("family", found[0]), ("words", " ".join([*before, *found[1]]))])
        rest = behind[_length(make.value, behind) :]
        if found := _family(make.value, before):
            return _parsed([("family", found[0]), ("words", " ".join([*found[1], *rest]))])
        return _parsed([("make", make.value), ("words", " ".join([*before, *rest]))])
    return _parsed([("words", text)])


def _family(make: str, words: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    """Return the family that words begin with, with or without the make, and the words behind its name."""
    named = vehicles.model(make, " ".join(words)) if words else None
    if named is None or named.how == "fuzzy":
        return None
    for size in range(1, len(words)):
        part = vehicles.model(make, " ".join(words[:size]))
        if part is not None and part.how != "fuzzy" and part.value == named.value:
            return named.family, words[size:]
    return named.family, ()


def _length(make: str, words: Sequence[str]) -> int:
    """Return how many words the name of a make has at the beginning of words: two in «алфа ромео»."""
    parts = [spelling.sound(spelling.name_key(part)) for part in make.replace("-", " ").split()]
    found = 1
    while found < min(len(parts), len(words)) and spelling.sound(spelling.name_key(words[found])) == parts[found]:
        found += 1
    return found


def _parsed(params: Sequence[tuple[str, str]]) -> Filter:
    wanted, _problems = Filter.parse([(name, value) for name, value in params if value])
    return wanted


def _lot(connection: Connection[Any], number: int) -> list[Hit]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries("vins")["lot_of_number"], {"lot": number}).fetchone()
    if row is None:
        return []
    title = " ".join(str(row[name]) for name in ("year", "make", "model") if row[name])
    return [Hit(kind="lot", where=f"/lots/{row['lot']}", title=title, is_gone=row["status"] == "gone")]


def _ads(connection: Connection[Any], digits: str, *, is_own: bool) -> list[Hit]:
    """Return the ad that the site of ads gave this number and, if that may be, the one that has it here."""
    about = {"digits": digits, "own": int(digits) if is_own else 0}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries("vins")["ads_of_number"], about).fetchall()
    rows.sort(key=lambda row: not row["is_theirs"])
    return [
        Hit(kind="ad", where=f"/ads/{row['listing_id']}", title=row["title"], is_gone=row["gone_at"] is not None)
        for row in rows
    ]
