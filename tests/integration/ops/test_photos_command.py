"""`vinops photos`: photos are copied between folder and bucket, recorded where they are, and compared with `images`."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ops.checks.pipelines import judge_stored
from ops.photos import compare as comparing, places, sync as syncing
from standin.photos.server import PhotoServer
from tests.support import forks
from tests.support.photo_crawls import FIRST_LOT, Crawls
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, S3Server, s3_server
from vinops.checks import Level
from vinops.storage.opening import FOLDER, photo_places, photos_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

    from vinops.config import Settings
    from vinops.storage.store import Store

    Database = Connection[tuple[Any, ...]]
    Run = Callable[..., subprocess.CompletedProcess[str]]

JPEG = "image/jpeg"
R2 = ("r2_endpoint", "r2_access_key_id", "r2_secret_access_key", "r2_bucket_name")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket()
        yield running


@pytest.fixture
def ours(settings: Settings, s3: S3Server) -> Iterator[Settings]:
    """Settings with a bucket, which is empty."""
    given = s3.settings()
    ours = replace(settings, **{name: getattr(given, name) for name in R2})
    yield ours
    client = s3.client()
    while found := client.list_objects_v2(Bucket=BUCKET).get("Contents"):
        for each in found:  # by one: the XML of a request for several holds no control characters
            client.delete_object(Bucket=BUCKET, Key=each["Key"])
    client.close()


@pytest.fixture
def stores(ours: Settings) -> Iterator[dict[str, Store]]:
    found = photo_places(ours)
    yield found
    for store in found.values():
        store.close()


@pytest.fixture
def bucket(ours: Settings) -> str:
    """The name of the bucket as a place."""
    return photos_place(ours)


def with_bucket(environment: dict[str, str], s3: S3Server) -> dict[str, str]:
    return {
        **environment,
        "R2_ENDPOINT": s3.endpoint,
        "R2_ACCESS_KEY_ID": KEY_ID,
        "R2_SECRET_ACCESS_KEY": SECRET,
        "R2_BUCKET_NAME": BUCKET,
    }


@pytest.fixture
def vinops(environment: dict[str, str], s3: S3Server) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.vinops(with_bucket(environment, s3), "photos", *arguments)

    return run


def add_lot(database: Database, number: int) -> None:
    database.execute(
        """insert into lots (lot_external_id, vehicle_id, first_seen_at, image_url, row_hash, file_id)
        values (%s, 1, now(), 'https://x', '', 1)""",
        [number],
    )
    database.execute("insert into lot_photos (lot_id, state, due_at) select max(id), 'ok', 'infinity' from lots")


def add_photos(
    database: Database, store: Store | None, place: str | None, count: int, *, lot: int = 7, body: str = "photo"
) -> list[str]:
    """Record photos of a new lot, and store them unless the store is None; return their keys."""
    add_lot(database, lot)
    if place is not None:
        database.execute("insert into photo_stores (name) values (%s) on conflict do nothing", [place])
    keys = []
    for number in range(count):
        content = f"{body} {number} of {lot}".encode()
        digest = hashlib.sha256(content).hexdigest()
        keys.append(f"photos/{lot}/{digest}.jpg")
        if store is not None:
            store.put(keys[-1], content, content_type=JPEG)
        database.execute(
            """insert into images (lot_id, seq, variant, source_url, storage_key, content_hash, content_type, width,
                height, bytes, store_id)
            select lots.id, %s, 'hrs', %s, %s, %s, 'image/jpeg', 1, 1, %s,
                (select id from photo_stores where name = %s)
            from lots where lot_external_id = %s""",
            [number, f"https://x/{lot}/{number}", keys[-1], digest, len(content), place, lot],
        )
    return keys


def recorded(database: Database) -> dict[str | None, int]:
    rows = database.execute(
        "select name, count(*) from images left join photo_stores on photo_stores.id = store_id group by 1"
    ).fetchall()
    return dict(rows)


def test_what_lies_in_the_folder_is_copied_to_the_bucket_and_recorded_there(
    vinops: Run, database: Database, stores: dict[str, Store], bucket: str
) -> None:
    keys = add_photos(database, stores[FOLDER], FOLDER, 7)
    add_photos(database, stores[bucket], bucket, 2, lot=8)
    assert "7 photos in the folder, 2 photos in bucket" in vinops("status").stdout
    dry = vinops("sync", "--dry-run", "--json")
    size = sum(size for _, size in stores[FOLDER].sizes())
    assert json.loads(dry.stdout) == {"to": bucket, "waiting": [{"place": FOLDER, "photos": 7, "bytes": size}]}
    assert "7 photos in the folder" in vinops("sync", "--dry-run").stdout
    assert recorded(database) == {FOLDER: 7, bucket: 2}
    done = vinops("sync")
    assert done.returncode == 0, done.stderr
    assert "7 photos copied" in done.stdout
    assert recorded(database) == {bucket: 9}
    for key in keys:
        assert stores[bucket].get(key) == stores[FOLDER].get(key)
    again = json.loads(vinops("sync", "--json").stdout)
    assert (again["copied"], again["there"], again["failed"]) == (0, 0, {})
    assert vinops("check").returncode == 0


def test_and_back_into_the_folder(vinops: Run, database: Database, stores: dict[str, Store], bucket: str) -> None:
    keys = add_photos(database, stores[bucket], bucket, 5)
    done = vinops("sync", "--to", "folder", "--move")
    assert done.returncode == 0, done.stderr
    assert "5 photos copied" in done.stdout
    assert "5 photos removed where they were" in done.stdout
    assert recorded(database) == {FOLDER: 5}
    assert sorted(key for key, _ in stores[FOLDER].sizes()) == sorted(keys)
    assert list(stores[bucket].sizes()) == []


def test_a_copy_that_is_killed_carries_on(
    database: Database, stores: dict[str, Store], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a batch, after its photos were stored and before they are recorded, and between two batches."""
    keys = add_photos(database, stores[FOLDER], FOLDER, 20)
    monkeypatch.setattr(syncing, "BATCH", 5)
    monkeypatch.setattr(syncing, "THREADS", 1)
    put, stored = stores[bucket].put, []

    class Killed(BaseException):
        """As kill -9: nothing catches it."""

    def counted(key: str, body: bytes, *, content_type: str) -> None:
        if len(stored) == 8:
            raise Killed
        put(key, body, content_type=content_type)
        stored.append(key)

    monkeypatch.setattr(stores[bucket], "put", counted)
    with pytest.raises(Killed):
        syncing.sync(database, stores, bucket)
    assert recorded(database) == {FOLDER: 15, bucket: 5}
    assert len(list(stores[bucket].sizes())) == 8
    monkeypatch.setattr(stores[bucket], "put", put)
    result = syncing.sync(database, stores, bucket)
    assert (result.copied, result.failed, result.error) == (15, {}, None)
    assert recorded(database) == {bucket: 20}
    assert sorted(key for key, _ in stores[bucket].sizes()) == sorted(keys)


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_copy(
    environment: dict[str, str],
    s3: S3Server,
    database: Database,
    stores: dict[str, Store],
    bucket: str,
) -> None:
    keys = add_photos(database, stores[FOLDER], FOLDER, 1200)
    command = [sys.executable, "-m", "ops.cli", "photos", "sync"]
    process = subprocess.Popen(command, env=with_bucket(environment, s3), stdout=subprocess.PIPE, text=True)
    while recorded(database).get(bucket, 0) < 500:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = recorded(database)
    assert 500 <= done[bucket] < 1200, "the kill landed in the middle"
    there = {key for key, _ in stores[bucket].sizes()}
    rows = database.execute(
        "select storage_key from images join photo_stores on store_id = photo_stores.id where name = %s", [bucket]
    )
    assert {key for (key,) in rows} <= there, "nothing is recorded that is not stored"
    forks.vinops(with_bucket(environment, s3), "photos", "sync")
    assert recorded(database) == {bucket: 1200}
    assert {key for key, _ in stores[bucket].sizes()} == set(keys)


def test_what_is_missing_or_damaged_is_named_and_the_rest_is_copied(
    vinops: Run, database: Database, stores: dict[str, Store], bucket: str
) -> None:
    keys = add_photos(database, stores[FOLDER], FOLDER, 4)
    stores[FOLDER].delete(keys[0])
    stores[FOLDER].put(keys[1], b"something else", content_type=JPEG)
    add_photos(database, None, "bucket of-old at h", 1, lot=9)
    done = vinops("sync")
    assert done.returncode == 1
    assert recorded(database) == {FOLDER: 2, bucket: 2, "bucket of-old at h": 1}
    for word, key in (("missing", keys[0]), ("damaged", keys[1]), ("out_of_reach", "photos/9/")):
        assert f"1 photo {word}: " in done.stderr
        assert f"{word} {key}" in done.stderr
    assert json.loads(vinops("sync", "--json").stdout)["failed"] == {"missing": 1, "damaged": 1, "out_of_reach": 1}


def test_photos_of_an_earlier_version_are_found_by_a_list_not_one_by_one(
    vinops: Run, s3: S3Server, database: Database, stores: dict[str, Store], bucket: str
) -> None:
    """A list is a request for a thousand of them."""
    add_photos(database, stores[bucket], None, 30)
    add_photos(database, stores[FOLDER], None, 3, lot=8)
    before = len(s3.requests())
    done = vinops("sync")
    assert done.returncode == 0, done.stderr
    assert "3 photos copied" in done.stdout
    assert "30 there already" in done.stdout
    assert recorded(database) == {bucket: 33}
    sent = [request.split()[0] for request in s3.requests()[before:]]
    assert sent.count("PUT") == 3
    assert len(sent) <= 6


def test_a_store_that_fails_ends_the_copy_with_what_is_done_recorded(
    database: Database, stores: dict[str, Store], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vinops.storage.store import StoreError

    add_photos(database, stores[FOLDER], FOLDER, 12)
    monkeypatch.setattr(syncing, "BATCH", 4)
    put, stored = stores[bucket].put, []

    def failing(key: str, body: bytes, *, content_type: str) -> None:
        stored.append(key)
        if len(stored) >= 7:
            raise StoreError("the bucket is full: buy more")
        put(key, body, content_type=content_type)

    monkeypatch.setattr(stores[bucket], "put", failing)
    result = syncing.sync(database, stores, bucket)
    assert result.error == "the bucket is full: buy more"
    assert recorded(database) == {FOLDER: 6, bucket: 6}


def test_check_names_what_is_missing_and_what_nobody_recorded(
    vinops: Run, s3: S3Server, database: Database, stores: dict[str, Store], bucket: str
) -> None:
    keys = add_photos(database, stores[bucket], bucket, 3)
    clean = vinops("check")
    assert clean.returncode == 0, clean.stdout
    assert "nothing is missing" in clean.stdout
    stores[bucket].delete(keys[0])
    stores[bucket].put(keys[1], b"other", content_type=JPEG)
    digest = "0" * 64
    stores[bucket].put(f"photos/7/{digest}.jpg", b"left by a killed crawl", content_type=JPEG)
    stores[bucket].put(f"photos/6/{digest}.jpg", b"of no lot", content_type=JPEG)
    add_lot(database, 5)
    database.execute(
        """update lot_photos set lease_owner = 'a crawl', lease_expires_at = now() + interval '1 minute'
        where lot_id = (select id from lots where lot_external_id = 5)"""
    )
    stores[bucket].put(f"photos/5/{digest}.jpg", b"in work", content_type=JPEG)
    client = s3.client()
    client.put_object(Bucket=BUCKET, Key="photos/\x1b]0;owned.php", Body=b"x")
    client.put_object(Bucket=BUCKET, Key="exfiltrated/lots.csv", Body=b"x")
    client.close()
    done = vinops("check")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    for words in (
        f"missing: recorded here, and there is no such object\n{'':11}{keys[0]}",
        f"size: recorded here, and the object has another size\n{'':11}{keys[1]}",
        "2 foreign: ",
        f"photos/6/{digest}.jpg",
        "owned.php",
        "1 leftover: ",
        "outside of photos/ and backups/: exfiltrated/",
    ):
        assert words in done.stdout
    assert f"photos/5/{digest}" not in done.stdout
    said = json.loads(vinops("check", "--json").stdout)
    assert said["counts"] == {"missing": 1, "size": 1, "foreign": 2, "leftover": 1}
    assert said["outside"] == ["exfiltrated/"]


def test_what_is_recorded_while_it_is_compared_is_no_stranger(
    database: Database, stores: dict[str, Store], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = stores[bucket].sizes

    def meanwhile() -> Iterator[tuple[str, int]]:
        add_photos(database, stores[bucket], bucket, 2)
        yield from sizes()

    monkeypatch.setattr(stores[bucket], "sizes", meanwhile)
    result = comparing.compare(database, stores[bucket], bucket)
    assert result.objects == 2
    assert result.counts == {}


def test_missing_photos_can_be_fetched_again(
    vinops: Run, database: Database, stores: dict[str, Store], bucket: str
) -> None:
    keys = add_photos(database, stores[bucket], bucket, 3)
    stores[bucket].delete(keys[0])
    done = vinops("check", "--forget")
    assert "1 photo removed from the database, to be fetched" in done.stdout
    assert recorded(database) == {bucket: 2}
    assert database.execute("select state, due_at < now() from lot_photos").fetchone() == ("partial", True)
    # A bucket without anything is more likely the wrong one.
    stores[bucket].delete(keys[1])
    stores[bucket].delete(keys[2])
    refused = vinops("check", "--forget")
    assert refused.returncode == 1
    assert "is this the right machine" in refused.stderr
    assert recorded(database) == {bucket: 2}


def test_copies_made_by_other_means_are_recorded(
    vinops: Run, database: Database, stores: dict[str, Store], bucket: str
) -> None:
    keys = add_photos(database, stores[FOLDER], FOLDER, 3)
    for key in keys[:2]:
        stores[bucket].put(key, stores[FOLDER].get(key), content_type=JPEG)
    assert "2 copy: " in vinops("check").stdout
    assert "2 photos recorded as here now" in vinops("check", "--record").stdout
    assert recorded(database) == {FOLDER: 1, bucket: 2}


def test_a_photo_is_removed_wherever_it_is(database: Database, stores: dict[str, Store], bucket: str) -> None:
    """What removes photos for good, as a retention, removes the copies too: `photo_places` names all places."""
    keys = add_photos(database, stores[FOLDER], FOLDER, 1)
    syncing.sync(database, stores, bucket)
    for store in stores.values():
        store.delete(keys[0])
    assert [list(store.sizes()) for store in stores.values()] == [[], []]


@pytest.mark.slow
def test_a_crawl_after_r2_was_set_leaves_no_hole_that_nobody_sees(
    settings: Settings, ours: Settings, environment: dict[str, str], s3: S3Server, database: Database, bucket: str
) -> None:
    """Lots of one vehicle: the second shares photos with the first, which were stored before there was a bucket."""
    with PhotoServer(seed=3, empty_every=0, none_every=0, alias={FIRST_LOT + 1: FIRST_LOT}) as photos:
        crawls = Crawls(settings=settings, database=database, server=photos)
        crawls.add_lot(FIRST_LOT, vin="1VN00000000000001")
        assert crawls.run().exit_code == 0
        (first,) = recorded(database).values()
        assert recorded(database) == {FOLDER: first}
        crawls.more.update(with_bucket({}, s3))
        crawls.add_lot(FIRST_LOT + 1, vin="1VN00000000000001")
        crawls.add_lot(FIRST_LOT + 2)
        assert crawls.run().exit_code == 0
    found = recorded(database)
    assert found[FOLDER] == first
    assert photos_in_bucket(ours, bucket) == {
        key
        for (key,) in database.execute(
            "select storage_key from images join photo_stores on store_id = photo_stores.id where name = %s", [bucket]
        )
    }
    finding = judge_stored(places.read(database, ours))
    assert finding.level is Level.WARNING
    assert f"{first} photos in the folder; new ones go to bucket" in finding.text
    # A service without the settings of R2 takes the place of the newest photo.
    assert judge_stored(places.read(database, settings)).level is Level.WARNING
    done = forks.vinops(with_bucket(environment, s3), "doctor")
    assert f"{first} photos in the folder; new ones go to bucket" in done.stdout
    assert "vinops photos sync" in done.stdout
    assert forks.vinops(with_bucket(environment, s3), "photos", "sync").returncode == 0
    assert judge_stored(places.read(database, ours)).level is Level.OK
    assert recorded(database) == {bucket: sum(found.values())}


def photos_in_bucket(ours: Settings, bucket: str) -> set[str]:
    store = photo_places(ours)[bucket]
    try:
        return {key for key, _ in store.sizes()}
    finally:
        store.close()


@pytest.mark.slow
def test_many_photos_are_counted_to_a_limit(database: Database, ours: Settings, bucket: str) -> None:
    add_photos(database, None, bucket, 30)
    add_photos(database, None, FOLDER, 2, lot=8)
    database.execute("analyze images")
    found = places.read(database, ours, most=10)
    assert found.photos == {bucket: 30, FOLDER: 2}
    assert found.about == (bucket,)
    assert found.text.startswith("about 30 photos in bucket")
