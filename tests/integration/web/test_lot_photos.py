"""Photos of lots on the site: thumbnails of what is recorded and nothing else, originals, and all of a lot as a ZIP."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from standin.photos.pictures import disguised, encoded, jpeg, png_bomb, scan_bomb, single_colour, webp_bomb
from tests.support.lot_photos import LOT, add_lot, add_photo, record
from tests.support.s3_server import BUCKET, s3_server
from tests.support.sites import ads_on_board, running, signed_in
from vinops.board import reads
from vinops.storage import opening
from vinops.storage.folder import Folder
from vinops.storage.store import PHOTOS
from web import csv_lines
from web.photos import download, maker, originals, records
from web.photos.cache import FOLDER
from web.photos.errors import PhotoError
from web.photos.records import Original

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg
    from psycopg.rows import TupleRow
    from starlette.testclient import TestClient

    from vinops.config import Settings
    from web.site import Site

    Database = psycopg.Connection[TupleRow]

PAGE = {"Sec-Fetch-Dest": "document", "Accept-Language": "en"}


@pytest.fixture
def world(database: Database, settings: Settings) -> Iterator[tuple[Site, TestClient]]:
    add_lot(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        yield site, client


def address(content_hash: str, side: object = 320, lot: object = LOT) -> str:
    return f"/thumbs/{lot}/{content_hash}/{side}.webp"


def kept(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.data_dir / FOLDER).rglob("*") if path.is_file())


def test_a_thumbnail_is_made_once_and_kept_by_its_content(
    database: Database, settings: Settings, world: tuple[Site, TestClient]
) -> None:
    _, client = world
    add_lot(database, LOT + 1)
    content_hash = add_photo(database, settings)
    small, large = client.get(address(content_hash)), client.get(address(content_hash, 640))
    assert [each.status_code for each in (small, large)] == [200, 200]
    assert small.headers["content-type"] == "image/webp"
    assert small.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert [Image.open(io.BytesIO(each.content)).size for each in (small, large)] == [(320, 240), (640, 480)]
    again = client.get(address(content_hash), headers={"If-None-Match": small.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    opening.open_photos(settings).delete(f"photos/{LOT}/{content_hash}.jpg")
    assert client.get(address(content_hash)).content == small.content, "it was read again"
    assert kept(settings) == [f"{content_hash}-320", f"{content_hash}-640"]


def test_a_thumbnail_says_nothing_of_where_and_how_the_photo_was_taken(
    database: Database, settings: Settings, world: tuple[Site, TestClient]
) -> None:
    turned = Image.new("RGB", (600, 400), "red")
    exif = turned.getexif()
    exif[0x0112], exif[0x010F] = 6, "CameraOfTheYard"
    out = io.BytesIO()
    turned.save(out, "JPEG", exif=exif)
    answer = world[1].get(address(add_photo(database, settings, out.getvalue())))
    assert Image.open(io.BytesIO(answer.content)).size == (213, 320), "it lies on its side"
    assert b"CameraOfTheYard" not in answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/thumbs/{lot}/{hash}/321.webp", "/thumbs/{lot}/{hash}/320.jpg", "/thumbs/{lot}/{HASH}/320.webp",
        "/thumbs/{lot}/" + "0" * 64 + "/320.webp", "/thumbs/{lot}/..%2f..%2fetc%2fpasswd/320.webp",
        "/thumbs/{lot}/%2e%2e/320.webp", "/thumbs/{lot}/../../../../etc/passwd", "/thumbs/{lot}/{hash}%00/320.webp",
        "/thumbs/{lot}/{hash}%0a/320.webp", "/thumbs/99999999999999999999/{hash}/320.webp", "/thumbs/7/{hash}/320.webp",
        "/thumbs/{lot}/{hash}/99999999999999999999.webp", "/lots/{lot}/photos/2", "/lots/{lot}/photos/0",
        "/lots/7/photos/1", "/lots/{lot}/photos/99999999999999999999", "/lots/99999999999999999999/photos/1",
        "/lots/{lot}/photos/..%2f..%2f1", "/lots/{lot}/photos/-1", "/lots/7/photos.zip",
        "/lots/99999999999999999999/photos.zip",
    ],
)  # fmt: skip
def test_nothing_else_has_an_address(
    database: Database, settings: Settings, world: tuple[Site, TestClient], path: str
) -> None:
    """Text from an address never becomes a path: it has to be the hash of a recorded photo of that lot."""
    content_hash = add_photo(database, settings)
    path = path.replace("{lot}", str(LOT)).replace("{hash}", content_hash).replace("{HASH}", content_hash.upper())
    page = world[1].get(path, headers=PAGE)
    assert page.status_code == 404
    assert "There is no such p" in page.text, "page or photo"
    assert world[1].get(path).status_code == 404
    assert kept(settings) == []


def test_the_largest_photo_of_a_number_is_shown(
    database: Database, settings: Settings, world: tuple[Site, TestClient]
) -> None:
    for variant in ("thb", "ful", "hrs"):
        add_photo(database, settings, variant=variant, seq=2)
    add_photo(database, settings, disguised("webp", "a" * 32), kind="webp", seq=3)
    first, second = world[1].get(f"/lots/{LOT}/photos/2"), world[1].get(f"/lots/{LOT}/photos/3")
    assert first.content == jpeg(f"{LOT * 100 + 2:032x}", "hrs")
    assert [each.headers["content-type"] for each in (first, second)] == ["image/jpeg", "image/webp"]
    again = world[1].get(f"/lots/{LOT}/photos/2", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert first.headers["cache-control"] == "private, no-cache", "another photo may get the number"


GOOD = jpeg("0" * 32, "hrs")
NO_PHOTOS = {
    "a PNG of 900 megapixels": png_bomb(30_000, 30_000),
    "a WebP of 256 megapixels": webp_bomb(16_000, 16_000),
    "a JPEG of 200 scans": scan_bomb(2000, 1500, 200),
    "cut off": GOOD[: len(GOOD) // 2],
    "a page": b"<html><script>alert(1)</script>",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "nothing": b"",
    "a GIF": encoded(Image.new("P", (640, 480), 3), "GIF"),
    "tiny": single_colour(8, 8),
}


@pytest.mark.parametrize("what", NO_PHOTOS)
def test_what_is_no_photo_ends_as_a_message(
    database: Database, settings: Settings, world: tuple[Site, TestClient], what: str
) -> None:
    site, client = world
    before = site.maker.pid
    content_hash = add_photo(database, settings, NO_PHOTOS[what])
    page = client.get(address(content_hash), headers=PAGE)
    picture = client.get(address(content_hash), headers={"Sec-Fetch-Dest": "image"})
    assert (page.status_code, picture.status_code) == (502, 502)
    assert "The photo is damaged" in page.text
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.headers["cache-control"] == "no-store"
    assert site.maker.pid == before, "it costs the process"
    assert client.get(address(add_photo(database, settings, seq=2))).status_code == 200


def test_a_photo_that_is_gone_from_the_store_is_told(
    database: Database, settings: Settings, world: tuple[Site, TestClient]
) -> None:
    content_hash, _ = record(database, settings, b"gone")
    for path in (address(content_hash), f"/lots/{LOT}/photos/1"):
        page = world[1].get(path, headers=PAGE)
        assert page.status_code == 404
        assert "The photo is missing" in page.text
        assert "vinops photos check" in page.text
        assert world[1].get(path).headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("what", ["cut off", "exchanged", "too long"])
def test_a_photo_whose_bytes_changed_in_the_store_is_not_shown(
    database: Database, settings: Settings, world: tuple[Site, TestClient], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content_hash = add_photo(database, settings)
    path = settings.data_dir / "photos" / str(LOT) / f"{content_hash}.jpg"
    if what == "too long":
        monkeypatch.setattr(originals, "MOST_BYTES", 1000)
    else:
        path.write_bytes(GOOD if what == "exchanged" else path.read_bytes()[:1000])
    for each in (address(content_hash), f"/lots/{LOT}/photos/1"):
        page = world[1].get(each, headers=PAGE)
        assert (page.status_code, "The photo is damaged" in page.text) == (502, True)
    with zipfile.ZipFile(io.BytesIO(world[1].get(f"/lots/{LOT}/photos.zip").content)) as archive:
        assert archive.namelist() == ["MISSING.txt"]


def test_a_photo_that_is_recorded_as_something_else_is_not_sent_as_that(
    database: Database, settings: Settings, world: tuple[Site, TestClient]
) -> None:
    add_photo(database, settings)
    database.execute("update images set content_type = 'text/html'")
    assert world[1].get(f"/lots/{LOT}/photos/1").status_code == 502


def test_a_place_that_the_settings_do_not_reach_is_told_and_comes_back(
    database: Database, settings: Settings, world: tuple[Site, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    content_hash = add_photo(database, settings)
    monkeypatch.setattr(originals, "AWAY_SECONDS", 0.0)
    database.execute("update photo_stores set name = 'bucket other at r2.example'")
    for path in (address(content_hash), f"/lots/{LOT}/photos/1", f"/lots/{LOT}/photos.zip"):
        page = world[1].get(path, headers=PAGE)
        assert (page.status_code, page.headers["retry-after"]) == (503, "10")
        assert "The photo cannot be fetched now" in page.text
        assert "r2.example" not in page.text
    database.execute("update photo_stores set name = 'folder'")
    assert world[1].get(address(content_hash)).status_code == 200, "a store that was away is asked again"


def test_all_photos_of_a_lot_come_as_a_zip_and_missing_ones_are_named(
    database: Database, settings: Settings, world: tuple[Site, TestClient]
) -> None:
    for seq in (1, 2, 12):
        add_photo(database, settings, seq=seq)
    add_photo(database, settings, variant="thb", seq=1)
    record(database, settings, b"gone", seq=3)
    record(database, settings, b"page", seq=4, kind="html")
    answer = world[1].get(f"/lots/{LOT}/photos.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="lot-{LOT}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == [f"{LOT}-01.jpg", f"{LOT}-02.jpg", f"{LOT}-12.jpg", "MISSING.txt"]
        assert archive.read(names[1]) == jpeg(f"{LOT * 100 + 2:032x}", "hrs")
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("MISSING.txt").decode().splitlines()[0].startswith(f"{LOT}-03.jpg: it is recorded, and no")


def test_more_photos_than_can_wait_are_refused_for_now(
    database: Database, settings: Settings, world: tuple[Site, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, client = world
    hashes = [add_photo(database, settings, seq=seq) for seq in range(1, 6)]
    monkeypatch.setattr(site.thumbnails._making, "_most", 0)
    answer = client.get(address(hashes[0]))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.headers["content-type"] == "image/svg+xml"
    monkeypatch.setattr(site.thumbnails._making, "_most", 100)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(client.get, [address(each) for each in hashes * 4]))
    assert {each.status_code for each in answers} == {200}
    assert len(kept(settings)) == 5


def test_a_picture_that_takes_too_long_ends_the_process_and_the_next_one_is_made(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker.Maker.__init__, "__kwdefaults__", {"memory": maker.MEMORY, "cpu_seconds": 0.15,
                                                                 "wall_seconds": 30.0})  # fmt: skip
    add_lot(database)
    slow = encoded(Image.effect_noise((4400, 4400), 90).convert("RGB"), "JPEG", progressive=True)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        bad, good = add_photo(database, settings, slow), add_photo(database, settings, seq=2, variant="thb")
        assert client.get(address(bad)).status_code == 502
        assert client.get(address(bad)).status_code == 502, "it costs another process"
        assert client.get(address(good)).status_code == 200


def test_a_picture_that_takes_too_much_memory_is_refused(database: Database, settings: Settings) -> None:
    async def make(memory: int) -> Any:
        made = maker.Maker(memory=memory)
        async with made.running():
            return await made.make(encoded(Image.new("RGB", (4400, 4400)), "WEBP", lossless=True), [320])

    assert len(asyncio.run(make(maker.MEMORY))) == 1, "the largest that is accepted"
    with pytest.raises(PhotoError) as refused:
        asyncio.run(make(256 << 20))
    assert refused.value.kind == "damaged"


def test_photos_in_a_bucket_are_shown_and_a_bucket_that_is_away_is_told(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_lot(database)
    with s3_server() as server:
        server.make_bucket()
        ours = server.settings(data_dir=settings.data_dir, database_url=settings.database_url)
        in_folder, in_bucket = add_photo(database, settings), add_photo(database, ours, seq=2)
        gone, _ = record(database, ours, b"gone", seq=3)
        monkeypatch.setattr(originals, "AWAY_SECONDS", 0.0)
        with running(ours) as (site, client):
            signed_in(site, client, database, "viewer")
            assert [client.get(address(each)).status_code for each in (in_folder, in_bucket, gone)] == [200, 200, 404]
            assert client.get(f"/lots/{LOT}/photos/2").content == jpeg(f"{LOT * 100 + 2:032x}", "hrs")
            client_of_bucket = server.client()
            client_of_bucket.delete_object(Bucket=BUCKET, Key=f"photos/{LOT}/{in_bucket}.jpg")
            client_of_bucket.delete_bucket(Bucket=BUCKET)
            client_of_bucket.close()
            page = client.get(f"/lots/{LOT}/photos/2", headers=PAGE)
            assert (page.status_code, "The photo cannot be fetched now" in page.text) == (503, True)
            assert client.get(f"/lots/{LOT}/photos.zip").status_code == 200, "the first photo is in the folder"
            assert client.get(address(in_bucket)).status_code == 200, "it is kept"


class SlowPlace(Folder):
    """A folder whose objects come block by block, after a sign."""

    def __init__(self, folder: Path, *, is_open: bool) -> None:
        super().__init__(folder, PHOTOS)
        self.asked: list[str] = []
        self.may_send = threading.Event()
        if is_open:
            self.may_send.set()

    def blocks(self, key: str) -> Iterator[bytes]:
        self.asked.append(key)
        assert self.may_send.wait(30)
        for block in super().blocks(key):
            yield from (block[at : at + 1000] for at in range(0, len(block), 1000))


def test_a_place_that_sends_too_slowly_is_away_and_holds_no_thread(
    database: Database, settings: Settings, world: tuple[Site, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, client = world
    hashes = [add_photo(database, settings, seq=seq) for seq in (1, 2)]
    place = SlowPlace(settings.data_dir / "photos", is_open=True)
    site.originals._places = {"folder": place}
    monkeypatch.setattr(originals, "READ_SECONDS", -1.0)  # each block of it comes too late
    with site.read() as connection:
        found = records.original(connection, LOT, hashes[0])
    assert found is not None
    with pytest.raises(PhotoError, match="did not send a photo within"):
        site.originals.read(found)
    monkeypatch.setattr(originals, "READ_SECONDS", 30.0)
    assert client.get(address(hashes[1]), headers=PAGE).status_code == 503
    assert len(place.asked) == 1, "it is not asked again for a while"


def test_a_place_that_does_not_answer_is_away_for_the_next_ones_too(
    database: Database, settings: Settings, world: tuple[Site, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, client = world
    hashes = [add_photo(database, settings, seq=seq) for seq in (1, 2)]
    place = SlowPlace(settings.data_dir / "photos", is_open=False)
    site.originals._places = {"folder": place}
    monkeypatch.setattr(originals, "READ_SECONDS", 0.2)
    monkeypatch.setattr(originals, "AWAY_SECONDS", 600.0)
    assert [client.get(address(each)).status_code for each in hashes] == [503, 503]
    place.may_send.set()
    assert len(place.asked) == 1


def test_zips_from_a_slow_place_leave_readers_to_the_pages(
    database: Database, settings: Settings, world: tuple[Site, TestClient]
) -> None:
    site, client = world
    for lot in range(LOT, LOT + 6):
        if lot > LOT:
            add_lot(database, lot)
        add_photo(database, settings, lot=lot)
    other = add_photo(database, settings, seq=2)
    slow = SlowPlace(settings.data_dir / "photos", is_open=False)
    folder = Folder(settings.data_dir / "photos", PHOTOS)
    site.originals._places = {"folder": slow, "other": folder}
    database.execute("insert into photo_stores (name) values ('other')")
    database.execute("update images set store_id = (select id from photo_stores where name = 'other') where seq = 2")
    with ThreadPoolExecutor(6) as threads:
        zips = [threads.submit(client.get, f"/lots/{lot}/photos.zip") for lot in range(LOT, LOT + 6)]
        assert client.get(address(other)).status_code == 200
        assert len(slow.asked) <= originals.READ_FOR_ZIPS < originals.READERS
        slow.may_send.set()
        answers = [each.result() for each in zips]
    assert {each.status_code for each in answers} == {200}
    assert all(zipfile.ZipFile(io.BytesIO(each.content)).testzip() is None for each in answers)


def test_who_asks_for_the_headers_of_a_download_reads_no_photo_and_no_row(
    database: Database, settings: Settings, world: tuple[Site, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_photo(database, settings)
    monkeypatch.setattr(originals.Originals, "read", None)
    answer = world[1].head(f"/lots/{LOT}/photos.zip")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/zip"
    assert "content-length" not in answer.headers, "it is not known"
    assert answer.headers["content-disposition"] == f'attachment; filename="lot-{LOT}.zip"'
    assert world[1].head(f"/lots/{LOT + 9}/photos.zip").status_code == 404
    monkeypatch.setattr(csv_lines, "BUFFER", 1)
    made: list[object] = []
    monkeypatch.setattr(csv_lines, "text", lambda value: made.append(value) or "")
    ads_on_board(database, 3)
    answer = world[1].head("/deals.csv")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert len(made) == len(reads.COLUMNS), "the row that an error would show in"


def test_an_empty_file_that_a_loss_of_power_left_is_not_shown_and_is_made_again(
    database: Database, settings: Settings, world: tuple[Site, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    content_hash = add_photo(database, settings)
    synced: list[int] = []
    sync = os.fdatasync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_size)
        assert kept(settings)[0].endswith(".part"), "the name comes after the content"

    monkeypatch.setattr(os, "fdatasync", noted)
    whole = world[1].get(address(content_hash)).content
    assert synced == [len(whole)]
    (path,) = (settings.data_dir / FOLDER).rglob(f"{content_hash}-320")
    path.write_bytes(b"")
    monkeypatch.setattr(os, "fdatasync", sync)
    assert world[1].get(address(content_hash)).content == whole
    assert path.read_bytes() == whole


def test_a_zip_of_many_large_photos_takes_little_memory() -> None:
    body = bytes(4_000_000)
    photos = [
        Original(
            lot=LOT, seq=seq, content_hash="", content_type="image/jpeg", bytes=len(body), storage_key="", store=None,
            created_at=datetime(2026, 11, 30, tzinfo=UTC),
        )
        for seq in range(1, 41)
    ]  # fmt: skip

    async def read(_photo: Original) -> bytes:
        return bytes(bytearray(body))

    async def sizes() -> int:
        return sum([len(block) async for block in download.zipped(photos, read)])

    tracemalloc.start()
    sent = asyncio.run(sizes())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent > 40 * len(body)
    assert most < 64_000_000
