"""The operators' queries on the photos, as they are written down, beside what the stand-in has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from standin.photos.server import PhotoServer
from tests.support.photo_crawls import AT_ONCE, Crawls, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

WITH_PHOTOS, NONE_YET, GONE, NOT_REACHED = 3, 1, 1, 2


@pytest.fixture
def crawls(settings: Settings, database: Database) -> Iterator[Crawls]:
    """Seven lots, five of which were looked at: three have photos, one has none yet, one is gone at the source."""
    with PhotoServer(seed=8, empty_every=0, none_every=0) as server:
        crawls = Crawls(settings=settings, database=database, server=server, more=dict(AT_ONCE))
        lots = crawls.add_lots(WITH_PHOTOS + NONE_YET + GONE + NOT_REACHED)
        server.set_lot(lots[3], "none_yet")
        server.set_lot(lots[4], "gone")
        assert crawls.run("-a", "batch=5").exit_code == 0
        yield crawls


def asked(crawls: Crawls, query: str) -> list[tuple[Any, ...]]:
    return crawls.database.execute(query.encode()).fetchall()


def photos_of(crawls: Crawls) -> dict[int, int]:
    """How many photos each lot has by the stand-in, by the lot's id."""
    rows = asked(crawls, "SELECT id, lot_external_id FROM lots ORDER BY id")
    return {number: len(crawls.server.photos(lot)) for number, lot in rows[:WITH_PHOTOS]}


def test_lots_with_photos(crawls: Crawls) -> None:
    assert asked(crawls, "SELECT COUNT(DISTINCT lot_id) FROM images WHERE lot_id IS NOT NULL") == [(WITH_PHOTOS,)]


def test_photos_of_each_lot(crawls: Crawls) -> None:
    assert dict(asked(crawls, "SELECT lot_id, COUNT(*) FROM images GROUP BY lot_id")) == photos_of(crawls)


def test_active_lots_without_photos(crawls: Crawls) -> None:
    query = (
        "SELECT COUNT(*) FROM lots WHERE status='active' AND id NOT IN"
        " (SELECT DISTINCT lot_id FROM images WHERE lot_id IS NOT NULL)"
    )
    assert asked(crawls, query) == [(NONE_YET + GONE + NOT_REACHED,)]


def test_the_newest_photos(crawls: Crawls) -> None:
    rows = asked(crawls, "SELECT vin, lot_id, seq, bytes, created_at FROM images ORDER BY created_at DESC")
    assert len(rows) == sum(photos_of(crawls).values())
    times = [created_at for *_, created_at in rows]
    assert times == sorted(times, reverse=True)
    vins = dict(asked(crawls, "SELECT id, vin FROM lots"))
    assert all(vin == vins[lot_id] for vin, lot_id, *_ in rows)
    sizes = {
        (number, seq): len(crawls.server.photo(url))
        for number, lot in asked(crawls, "SELECT id, lot_external_id FROM lots")[:WITH_PHOTOS]
        for seq, _, url in crawls.server.photos(lot)
    }
    assert {(lot_id, seq): size for _, lot_id, seq, size, _ in rows} == sizes


def test_coverage(crawls: Crawls) -> None:
    rows = asked(crawls, "SELECT state, lots, listed, stored FROM audit.v_photo_coverage")
    photos = sum(photos_of(crawls).values())
    expected = {("ok", WITH_PHOTOS, photos, photos), ("none_yet", NONE_YET, 0, 0), ("gone", GONE, 0, 0)}
    assert set(rows) == expected | {("missing", NOT_REACHED, 0, 0)}
    shares = asked(crawls, "SELECT sum(share) FROM audit.v_photo_coverage")
    assert float(shares[0][0]) == pytest.approx(1, abs=0.001)
