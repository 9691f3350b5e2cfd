"""Compares the objects of a store with the rows of `images`: two lists in one order, read side by side.

Neither list is ever whole in memory: the store lists a thousand objects at a time, the database keeps the sorted rows
and hands out a few thousand.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from psycopg import Connection

    from vinops.storage.store import Store

BATCH: Final = 1000
FETCH: Final = 5000
CURSOR: Final = "photos_by_key"
KEY: Final = re.compile(r"photos/(\d{1,18})/[0-9a-f]{64}\.(?:jpg|png|webp)")

BAD: Final = ("missing", "size", "foreign")
"""Kinds of differences that an operator has to check."""
KINDS: Final = {
    "missing": "recorded here, and there is no such object",
    "size": "recorded here, and the object has another size",
    "foreign": "objects that no crawl stores: of no lot, or under another kind of name",
    "leftover": "objects of known lots without a row: of killed crawls, superseded by a larger size, or to be removed",
    "copy": "recorded in another place, and there is an object here, too",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A photo as it is recorded; `store` is the name of its place, None if that is not known."""

    id: int
    storage_key: str
    bytes: int
    store: str | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An object or a photo that is not on both lists; `ids` are the rows, `bytes` those of the object, else of the
    row."""

    kind: str
    key: str
    bytes: int
    ids: tuple[int, ...] = ()


@dataclass(kw_only=True)
class Comparison:
    """The result: objects in the store, photos that are recorded there, differences by kind and the first of each, and
    how many rows were corrected."""

    place: str
    objects: int = 0
    object_bytes: int = 0
    recorded: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Difference]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    found: int = 0
    forgotten: int = 0

    @property
    def is_clean(self) -> bool:
        """Tell whether there is nothing for an operator to check."""
        return not self.outside and not any(self.counts[kind] for kind in BAD)


def differences(
    rows: Iterable[Row], objects: Iterable[tuple[str, int]], place: str, comparison: Comparison | None = None
) -> Iterator[Difference]:
    """Yield what differs between the rows and the objects of a place, both sorted by key, bytewise. An object without
    a row is `unrecorded`. Counts both in `comparison`."""
    counted = comparison or Comparison(place=place)
    groups = groupby(rows, lambda row: row.storage_key)
    key, size = next(iterator := iter(objects), (None, 0))
    for wanted, group in groups:
        same = tuple(group)
        while key is not None and key < wanted:
            counted.objects += 1
            counted.object_bytes += size
            yield Difference(kind="unrecorded", key=key, bytes=size)
            key, size = next(iterator, (None, 0))
        here = tuple(row.id for row in same if row.store == place)
        others = tuple(row.id for row in same if row.store != place)
        counted.recorded += len(here)
        if key != wanted:
            if here:
                yield Difference(kind="missing", key=wanted, bytes=same[0].bytes, ids=here)
            continue
        counted.objects += 1
        counted.object_bytes += size
        if size != same[0].bytes and here:
            yield Difference(kind="size", key=wanted, bytes=size, ids=here)
        elif size == same[0].bytes and others:
            yield Difference(kind="copy", key=wanted, bytes=size, ids=others)
        key, size = next(iterator, (None, 0))
    while key is not None:
        counted.objects += 1
        counted.object_bytes += size
        yield Difference(kind="unrecorded", key=key, bytes=size)
        key, size = next(iterator, (None, 0))


def compare(
    connection: Connection[Any],
    store: Store,
    place: str,
    *,
    record: bool = False,
    forget: bool = False,
    examples: int = 20,
    progress: Callable[[int, int], None] = lambda _done, _whole: None,
) -> Comparison:
    """Compare a place with the rows. `record` notes that copies are here, `forget` removes the rows of missing photos,
    so that crawls fetch them again. The connection commits each statement.

    If the process dies in it, what was corrected so far is right; the next call continues. Photos that crawls store
    meanwhile count as recorded. Raises StoreError.
    """
    result = Comparison(place=place)
    if record:
        connection.execute(queries("photo_stores")["add_store"], {"store": place})
    batch: list[Difference] = []
    for each in differences(_rows(connection), store.sizes(), place, result):
        batch.append(each)
        if len(batch) >= BATCH:
            _take(connection, batch, result, record=record, forget=forget, examples=examples)
            batch.clear()
            progress(result.objects, 0)
    _take(connection, batch, result, record=record, forget=forget, examples=examples)
    result.outside = tuple(store.outside())
    return result


def _rows(connection: Connection[Any]) -> Iterator[Row]:
    # With hold: sorted once, kept in a file of the server, and no transaction stays open for the hour that it takes.
    with connection.cursor(CURSOR, withhold=True) as cursor:
        cursor.itersize = FETCH
        cursor.execute(queries("photo_stores")["all_by_key"])
        for row in cursor:
            yield Row(id=row[0], storage_key=row[1], bytes=row[2], store=row[3])


def _take(
    connection: Connection[Any],
    batch: list[Difference],
    result: Comparison,
    *,
    record: bool,
    forget: bool,
    examples: int,
) -> None:
    if copies := [number for each in batch if each.kind == "copy" for number in each.ids]:
        if record:
            connection.execute(queries("photo_stores")["record"], {"store": result.place, "ids": copies})
            result.found += len(copies)
        else:
            result.counts["copy"] += len(copies)
    for each in (*_missing(connection, batch), *_unrecorded(connection, batch)):
        if each.kind == "missing" and forget:
            connection.execute(queries("photo_stores")["forget"], {"ids": list(each.ids)})
            result.forgotten += len(each.ids)
            continue
        result.counts[each.kind] += max(1, len(each.ids))
        shown = result.examples.setdefault(each.kind, [])
        if len(shown) < examples:
            shown.append(each)


def _missing(connection: Connection[Any], batch: list[Difference]) -> Iterator[Difference]:
    """Yield the photos that are still recorded unchanged: others were removed since the rows were read."""
    found = [each for each in batch if each.kind in {"missing", "size"}]
    if not found:
        return
    ids = [number for each in found for number in each.ids]
    left = {number for (number,) in connection.execute(queries("photo_stores")["still_recorded"], {"ids": ids})}
    yield from (each for each in found if left.intersection(each.ids))


def _unrecorded(connection: Connection[Any], batch: list[Difference]) -> Iterator[Difference]:
    """Yield the objects that are still unrecorded and belong to no lot being crawled, as leftovers or as foreign."""
    found = {each.key: each for each in batch if each.kind == "unrecorded"}
    lots = {key: int(match[1]) for key in found if (match := KEY.fullmatch(key))}
    rows = (
        connection.execute(
            queries("photo_stores")["explain_objects"], {"storage_keys": list(lots), "lots": list(lots.values())}
        ).fetchall()
        if lots
        else []
    )
    known = {key for key, has_lot, _, _ in rows if has_lot}
    explained = {key for key, _, is_recorded, is_leased in rows if is_recorded or is_leased}
    for key, each in found.items():
        if key not in explained:
            yield Difference(kind="leftover" if key in known else "foreign", key=key, bytes=each.bytes)
