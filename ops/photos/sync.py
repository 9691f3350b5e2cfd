"""Copies photos to one place from all others that can be reached: read, checked, stored, and only then recorded."""

from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ops.photos import compare
from vinops.db.database import queries
from vinops.storage.store import ObjectMissing, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg import Connection

    from vinops.storage.store import Store

BATCH: Final = 500  # photos that are recorded with one statement
THREADS: Final = 8
SHOWN: Final = 20


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo that is recorded in another place; `store` is the name of that, None if it is not known."""

    id: int
    storage_key: str
    content_hash: str
    content_type: str
    bytes: int
    store: str | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Photos that are recorded in another place: how many, and their bytes."""

    place: str | None
    photos: int
    bytes: int


@dataclass(kw_only=True)
class Synced:
    """The result: photos that were copied with their bytes, that were there already, and those that could not be
    copied by reason, the first of them by key."""

    place: str
    copied: int = 0
    bytes: int = 0
    there: int = 0
    removed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, str]] = field(default_factory=list)
    error: str | None = None


def waiting(connection: Connection[Any], place: str) -> list[Waiting]:
    """Return what is recorded in other places than this, by place."""
    rows = connection.execute(queries("photo_stores")["elsewhere"], {"store": place}).fetchall()
    return [Waiting(place=name, photos=int(photos), bytes=int(size)) for name, photos, size in rows]


def sync(
    connection: Connection[Any],
    places: Mapping[str, Store],
    place: str,
    *,
    move: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _whole: None,
) -> Synced:
    """Copy to `place`, one of `places`, all photos that are recorded elsewhere, and record them there. With `move` an
    object is removed where it was once its copy is recorded. The connection commits each statement.

    If the process dies in it, photos are stored that are not recorded yet: the next call stores the same bytes under
    the same keys again. A photo that has gone from its place, or is damaged, is counted and left as it is. A store that
    fails ends it: `error` says why.
    """
    result = Synced(place=place)
    connection.execute(queries("photo_stores")["add_store"], {"store": place})
    left = waiting(connection, place)
    total = sum(each.photos for each in left)
    try:
        if any(each.place is None for each in left):
            # Recorded before places were: what is here already needs no copy, and a list is a request for a thousand.
            result.there = compare.compare(connection, places[place], place, record=True, progress=progress).found
        _copy(connection, places, result, total, move=move, progress=progress)
    except StoreError as error:
        result.error = str(error)
    return result


def _copy(
    connection: Connection[Any],
    places: Mapping[str, Store],
    result: Synced,
    total: int,
    *,
    move: bool,
    progress: Callable[[int, int], None],
) -> None:
    statements = queries("photo_stores")
    after = 0
    errors: list[StoreError] = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="photos") as threads:
        while not errors:
            values = {"store": result.place, "after": after, "count": BATCH}
            rows = connection.execute(statements["next_elsewhere"], values).fetchall()
            if not rows:
                return
            photos = [
                Photo(
                    id=row[0], storage_key=row[1], content_hash=row[2], content_type=row[3], bytes=row[4], store=row[5]
                )
                for row in rows
            ]
            after = photos[-1].id
            by_key = {photo.storage_key: photo for photo in photos}
            outcomes = dict(
                zip(
                    by_key,
                    threads.map(lambda photo: _carried(photo, places, result.place), by_key.values()),
                    strict=True,
                )
            )
            here = [photo for photo in photos if outcomes[photo.storage_key] in {"copied", "there"}]
            connection.execute(statements["record"], {"store": result.place, "ids": [photo.id for photo in here]})
            if move:
                result.removed += sum(threads.map(lambda photo: _removed(photo, places, result.place), here))
            errors = [outcome for outcome in outcomes.values() if isinstance(outcome, StoreError)]
            _count(result, photos, outcomes)
            progress(result.copied + result.there, total)
    raise errors[0]


def _count(result: Synced, photos: list[Photo], outcomes: Mapping[str, str | StoreError]) -> None:
    counted = set()
    for photo in photos:
        outcome = outcomes[photo.storage_key]
        if isinstance(outcome, StoreError):
            continue
        if outcome == "there":
            result.there += 1
        elif outcome == "copied":
            result.copied += 1
            result.bytes += 0 if photo.storage_key in counted else photo.bytes
            counted.add(photo.storage_key)
        else:
            result.failed[outcome] += 1
            if len(result.examples) < SHOWN:
                result.examples.append((outcome, photo.storage_key))


def _carried(photo: Photo, places: Mapping[str, Store], place: str) -> str | StoreError:
    """Return `copied`, `there` (already), `missing`, `damaged`, or `out_of_reach` where the settings do not lead; a
    StoreError as a value, so that what other threads stored is recorded first."""
    if photo.store is not None and photo.store not in places:
        return _there(photo, places, place) or "out_of_reach"
    sources = [photo.store] if photo.store is not None else [name for name in places if name != place]
    try:
        for name in sources:
            try:
                body = places[name].get(photo.storage_key)
            except ObjectMissing:
                continue
            if hashlib.sha256(body).hexdigest() != photo.content_hash:
                return "damaged"
            # A bucket takes only what matches its MD5, a folder syncs it to disk: what `put` returns from is there.
            places[place].put(photo.storage_key, body, content_type=photo.content_type)
            return "copied"
        return _there(photo, places, place) or "missing"
    except StoreError as error:
        return error
    except ValueError:
        return "no_key"


def _there(photo: Photo, places: Mapping[str, Store], place: str) -> str | None:
    """Return `there` if the whole photo is in its new place: copied by other means, or before its row was written."""
    try:
        body = places[place].get(photo.storage_key)
    except ObjectMissing:
        return None
    return "there" if hashlib.sha256(body).hexdigest() == photo.content_hash else None


def _removed(photo: Photo, places: Mapping[str, Store], place: str) -> bool:
    """Remove a photo where it was before. One that cannot be removed stays as a copy."""
    if photo.store is None or photo.store == place or photo.store not in places:
        return False
    try:
        places[photo.store].delete(photo.storage_key)
    except StoreError:
        return False
    return True
