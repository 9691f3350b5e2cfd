"""What both stores promise, a folder and a bucket (S3 over real HTTP), for photos and for backups."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.s3_server import SECRET, S3Server, s3_server
from vinops.storage.folder import Folder
from vinops.storage.opening import open_bucket
from vinops.storage.store import BACKUPS, PHOTOS, Namespace, ObjectMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vinops.storage.store import Store

    Opened = Callable[[Namespace], Store]

JPEG = "image/jpeg"
KEY = "photos/81234567/0a1b.jpg"
PART = 5 << 20  # the smallest part that S3 takes


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server(strict=True) as running:
        running.make_bucket()
        yield running


@pytest.fixture(params=["folder", "bucket"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Opens the store of a namespace; what is in it goes at the end."""
    stores: list[Store] = []

    def opened(namespace: Namespace) -> Store:
        if request.param == "folder":
            store: Store = Folder(tmp_path / namespace.prefix.rstrip("/"), namespace)
        else:
            settings = request.getfixturevalue("server").settings()
            store = open_bucket(settings, namespace, threads=8, part_bytes=PART)
        stores.append(store)
        return store

    yield opened
    for store in stores:
        for key in keys(store):
            store.delete(key)
        store.close()


@pytest.fixture
def store(opened: Opened) -> Store:
    return opened(PHOTOS)


def keys(store: Store, prefix: str | None = None) -> list[str]:
    return [key for key, _ in store.sizes(prefix)]


def test_what_is_put_is_there_under_its_key(store: Store) -> None:
    body = os.urandom(300_000)
    assert not store.exists(KEY)
    store.put(KEY, body, content_type=JPEG)
    assert store.exists(KEY)
    assert store.get(KEY) == b"".join(store.blocks(KEY)) == body
    assert list(store.sizes()) == [(KEY, 300_000)]
    for _ in range(2):
        store.delete(KEY)
        assert not store.exists(KEY)
    for read in (store.get, lambda key: list(store.blocks(key))):
        with pytest.raises(ObjectMissing):
            read(KEY)


def test_a_put_may_be_repeated_and_replaces(store: Store) -> None:
    for body in (b"one", b"one", b"another, longer"):
        store.put(KEY, body, content_type=JPEG)
        assert store.get(KEY) == body
    assert list(store.sizes()) == [(KEY, 15)]


def test_keys_come_sorted_and_by_their_prefix(store: Store) -> None:
    given = ["photos/12/a.jpg", "photos/1/b.jpg", "photos/1/a.jpg", "photos/1-2/a.jpg", "photos/12/a.png"]
    for key in given:
        store.put(key, b"x", content_type="image/png" if key.endswith("png") else JPEG)
    assert keys(store) == sorted(given)
    assert keys(store, "photos/1") == sorted(given)
    assert keys(store, "photos/1/") == ["photos/1/a.jpg", "photos/1/b.jpg"]
    assert keys(store, "photos/12/a.p") == ["photos/12/a.png"]
    assert keys(store, "photos/9/") == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "photos",
        "photos/",
        "photos//a.jpg",
        "/photos/1/a.jpg",
        "../photos/1/a.jpg",
        "photos/../raw/a.jpg",
        "photos/1/../../../a.jpg",
        "photos/./a.jpg",
        "photos/.unfinished/a.jpg",
        "photos/1/A.jpg",
        "photos/1/a b.jpg",
        "photos/1/a.jpg\n",
        "photos/1/a\x00.jpg",
        "photos/1/ä.jpg",
        "photos\\1\\a.jpg",
        "postgres/a.jpg",
        "backups/a.json",
        "check/trial",
        "photos/1/" + "a" * 300 + ".jpg",
    ],
)
def test_what_is_no_key_is_refused_by_every_method(store: Store, tmp_path: Path, key: str) -> None:
    (file := tmp_path / "file").write_bytes(b"x")
    calls: list[Callable[[], object]] = [
        lambda: store.put(key, b"x", content_type=JPEG),
        lambda: store.put_file(key, file),
        lambda: store.get(key),
        lambda: list(store.blocks(key)),
        lambda: store.exists(key),
        lambda: store.delete(key),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="is not an object key"):
            call()
    assert keys(store) == []
    assert file.exists()


@pytest.mark.parametrize("prefix", ["", "/", "photos", "photos/../", "raw/", "backups/", "photos/.unfinished"])
def test_what_no_key_begins_with_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(ValueError, match="no object key begins"):
        list(store.sizes(prefix))


@pytest.mark.parametrize(("key", "content_type"), [(KEY, "image/png"), (KEY, "text/html"), ("photos/1/a", JPEG)])
def test_a_type_that_the_extension_does_not_stand_for_is_refused(store: Store, key: str, content_type: str) -> None:
    with pytest.raises(ValueError, match="cannot be of type"):
        store.put(key, b"x", content_type=content_type)
    assert keys(store) == []


@pytest.mark.parametrize("size", [0, 7, PART, 2 * PART + 1])
def test_a_file_is_stored_whole_whatever_its_size(opened: Opened, tmp_path: Path, size: int) -> None:
    store = opened(BACKUPS)
    body, file, done = os.urandom(size), tmp_path / "file", list[int]()
    file.write_bytes(body)
    store.put_file("backups/vinops-20260101T000000Z.dump", file, done.append)
    assert done[-1] == size
    assert dict(store.sizes()) == {"backups/vinops-20260101T000000Z.dump": size}
    assert b"".join(store.blocks("backups/vinops-20260101T000000Z.dump")) == body


def test_a_file_replaces_and_one_that_is_not_there_is_no_fault_of_the_store(opened: Opened, tmp_path: Path) -> None:
    store, file = opened(BACKUPS), tmp_path / "file"
    for body in (b"one", b"two, longer"):
        file.write_bytes(body)
        store.put_file("backups/a.json", file)
        assert store.get("backups/a.json") == body
    with pytest.raises(FileNotFoundError):
        store.put_file("backups/a.json", tmp_path / "missing")
    assert store.get("backups/a.json") == b"two, longer"


def test_photos_and_backups_do_not_see_each_other(opened: Opened) -> None:
    photos, backups = opened(PHOTOS), opened(BACKUPS)
    photos.put(KEY, b"x", content_type=JPEG)
    backups.put("backups/a.json", b"{}", content_type="application/json")
    assert keys(photos) == [KEY]
    assert keys(backups) == ["backups/a.json"]
    with pytest.raises(ValueError, match="is not an object key"):
        photos.get("backups/a.json")
    with pytest.raises(ValueError, match="is not an object key"):
        backups.get(KEY)


def test_check_and_sweep_leave_what_is_stored_and_nothing_else(store: Store, tmp_path: Path) -> None:
    store.put(KEY, b"x", content_type=JPEG)
    store.check()
    assert store.sweep() == 0
    assert keys(store) == [KEY]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], ["0a1b.jpg"])


def test_a_store_describes_itself_without_a_secret(store: Store) -> None:
    assert store.describe(KEY).endswith("81234567/0a1b.jpg")
    assert store.describe() != store.describe(KEY)
    assert SECRET not in store.describe(KEY) + store.describe()


def test_eight_threads_share_a_store(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    given = [f"photos/{number % 7}/{number}.jpg" for number in range(80)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.put(key, key.encode() * 100, content_type=JPEG), given))
    assert keys(store) == sorted(given)
    assert all(store.get(key) == key.encode() * 100 for key in given[::20])
    assert "pool is full" not in caplog.text
