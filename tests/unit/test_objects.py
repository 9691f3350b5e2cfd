"""The object store in a folder: whole or not at all, whatever happens in the middle."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vinops.config import Secret, Settings
from vinops.storage.folder import LEFTOVER_SECONDS, Folder
from vinops.storage.objects import ObjectMissing, StoreError
from vinops.storage.photos import open_store

if TYPE_CHECKING:
    from vinops.storage.objects import ObjectStore

JPEG = "image/jpeg"
KEY = "photos/81234567/0a1b.jpg"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(Settings(data_dir=tmp_path / "data"))


def files(folder: Path) -> list[str]:
    return sorted(str(found.relative_to(folder)) for found in folder.rglob("*") if found.is_file())


def test_what_is_put_is_there_under_its_key(store: ObjectStore, tmp_path: Path) -> None:
    body = os.urandom(300_000)
    assert not store.exists(KEY)
    store.put(KEY, body, content_type=JPEG)
    assert store.exists(KEY)
    assert store.get(KEY) == body
    assert (tmp_path / "data" / KEY).read_bytes() == body
    assert store.describe() == f"folder {tmp_path / 'data' / 'photos'}"
    store.delete(KEY)
    assert not store.exists(KEY)
    store.delete(KEY)
    with pytest.raises(ObjectMissing):
        store.get(KEY)
    store.close()


def test_a_put_may_be_repeated_and_replaces(store: ObjectStore, tmp_path: Path) -> None:
    for body in (b"one", b"one", b"another, longer"):
        store.put(KEY, body, content_type=JPEG)
        assert store.get(KEY) == body
    assert files(tmp_path) == [f"data/{KEY}"]


def test_keys_come_sorted_as_s3_sorts_them(store: ObjectStore, tmp_path: Path) -> None:
    given = ["photos/12/a.jpg", "photos/1/b.jpg", "photos/1/a.jpg", "photos/1-2/a.jpg", "photos/12/a.png"]
    for key in given:
        store.put(key, b"x", content_type="image/png" if key.endswith("png") else JPEG)
    (tmp_path / "data" / "logs").mkdir()
    (tmp_path / "data" / "logs" / "etl.log").touch()
    assert list(store.keys()) == sorted(given)
    assert list(store.keys("photos/1")) == sorted(given)
    assert list(store.keys("photos/1/")) == ["photos/1/a.jpg", "photos/1/b.jpg"]
    assert list(store.keys("photos/12/a.p")) == ["photos/12/a.png"]
    assert list(store.keys("photos/9/")) == []


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
        "photos/1/" + "a" * 300 + ".jpg",
    ],
)
def test_what_is_no_key_is_refused_by_every_method(store: ObjectStore, tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="no object key"):
        store.put(key, b"x", content_type=JPEG)
    for method in (store.get, store.exists, store.delete):
        with pytest.raises(ValueError, match="no object key"):
            method(key)
    assert files(tmp_path) == []


@pytest.mark.parametrize("prefix", ["", "/", "photos", "photos/../", "raw/", "photos/.unfinished"])
def test_what_no_key_begins_with_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ValueError, match="no object key begins"):
        list(store.keys(prefix))


@pytest.mark.parametrize(("key", "content_type"), [(KEY, "image/png"), (KEY, "text/html"), ("photos/1/a", JPEG)])
def test_a_type_that_the_extension_does_not_tell_is_refused(store: ObjectStore, key: str, content_type: str) -> None:
    with pytest.raises(ValueError, match="cannot be of type"):
        store.put(key, b"x", content_type=content_type)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_object_and_no_leftover(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store.put(KEY, b"old", content_type=JPEG)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError, match=r"No space left.*free space.*VINOPS_DATA_DIR"):
        store.put(KEY, b"new", content_type=JPEG)
    monkeypatch.undo()
    assert store.get(KEY) == b"old"
    assert files(tmp_path) == [f"data/{KEY}"]


RUN_AS_ANOTHER = """
import os, resource, signal, sys
from pathlib import Path
from vinops.storage.objects import (StoreError)
from vinops.storage.folder import Folder

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Careless(Folder):
    def _write(self, path, body):
        with path.open("wb", buffering=0) as file:
            file.write(body[:1000])
            os.fsync(file.fileno())
            file.write(body[1000:])

story, data_dir, key = sys.argv[1:]
store = Folder(Path(data_dir))
if story == "no room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
elif story == "careless":
    store, os.fsync = Careless(Path(data_dir)), kill
else:
    setattr(os, story, kill)
try:
    store.put(key, b"new" * 10_000, content_type="image/jpeg")
except StoreError as error:
    sys.exit(f"refused: {error}")
"""


def put_elsewhere(story: str, data_dir: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Put an object in a process that is stopped in the middle."""
    command = [sys.executable, "-c", RUN_AS_ANOTHER, story, str(data_dir), key]
    return subprocess.run(command, cwd=Path.cwd(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_kill_leaves_the_object_as_it_was(tmp_path: Path, call: str, before: bytes | None) -> None:
    store = Folder(tmp_path)
    store.put("photos/9/b.jpg", b"x", content_type=JPEG)
    if before is not None:
        store.put(KEY, before, content_type=JPEG)
    store._make((tmp_path / KEY).parent)  # so that the first fsync of the other is the file's
    killed = put_elsewhere(call, tmp_path, KEY)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if before is None:
        assert not store.exists(KEY)
        assert list(store.keys()) == ["photos/9/b.jpg"]
    else:
        assert store.get(KEY) == before
        assert list(store.keys()) == [KEY, "photos/9/b.jpg"]
    store.put(KEY, b"again", content_type=JPEG)
    assert store.get(KEY) == b"again"


def test_a_kill_of_a_careless_writer_is_seen(tmp_path: Path) -> None:
    """The control: the same kill over a store that writes in place breaks the object."""
    store = Folder(tmp_path)
    store.put(KEY, b"old", content_type=JPEG)
    assert put_elsewhere("careless", tmp_path, KEY).returncode == -signal.SIGKILL
    assert store.get(KEY) not in (b"old", b"new" * 10_000)


def test_leftovers_of_the_killed_are_swept_when_they_are_old(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    for _ in range(2):
        assert put_elsewhere("replace", tmp_path, KEY).returncode == -signal.SIGKILL
    young, old = (tmp_path / name for name in files(tmp_path))
    long_ago = time.time() - LEFTOVER_SECONDS - 5
    os.utime(old, (long_ago, long_ago))
    store.check()
    assert young.exists()
    assert not old.exists()
    assert list(store.keys()) == []


def test_a_disk_that_ends_in_the_middle_of_a_file_leaves_nothing(tmp_path: Path) -> None:
    refused = put_elsewhere("no room", tmp_path, KEY)
    assert refused.returncode == 1
    assert "File too large" in refused.stderr
    assert "VINOPS_DATA_DIR" in refused.stderr
    assert files(tmp_path) == []


def test_the_file_is_on_disk_before_it_has_its_name_and_the_name_after(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("photos/81234567/other.jpg", b"x", content_type=JPEG)
    happened: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        happened.append("fsync " + ("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file"))
        fsync(descriptor)

    def noted_replace(*paths: str) -> None:
        happened.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    store.put(KEY, b"x", content_type=JPEG)
    assert happened == ["fsync file", "replace", "fsync folder"]


def test_a_new_folder_is_on_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when another process made it a moment ago and may not have forced it to disk yet."""
    (tmp_path / KEY).parent.mkdir(parents=True)
    forced: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        forced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Folder(tmp_path).put(KEY, b"x", content_type=JPEG)
    assert {tmp_path, tmp_path / "photos", (tmp_path / KEY).parent} <= set(forced)


def test_a_folder_that_somebody_removed_is_made_again(store: ObjectStore, tmp_path: Path) -> None:
    store.put(KEY, b"x", content_type=JPEG)
    store.delete(KEY)
    (tmp_path / "data" / KEY).parent.rmdir()
    store.put(KEY, b"y", content_type=JPEG)
    assert store.get(KEY) == b"y"


def test_check_names_the_setting_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, where the folder should be")
    store = Folder(tmp_path / "data")
    with pytest.raises(StoreError, match="VINOPS_DATA_DIR"):
        store.check()
    with pytest.raises(StoreError, match="VINOPS_DATA_DIR"):
        store.put(KEY, b"x", content_type=JPEG)
    (tmp_path / "data").unlink()
    store.check()
    assert files(tmp_path) == []


def test_eight_threads_share_a_store(store: ObjectStore) -> None:
    keys = [f"photos/{number % 7}/{number}.jpg" for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.put(key, key.encode() * 100, content_type=JPEG), keys))
    assert list(store.keys()) == sorted(keys)
    assert all(store.get(key) == key.encode() * 100 for key in keys)


def test_a_command_that_uses_the_folder_does_not_pay_for_boto3() -> None:
    code = (
        "import sys, pathlib; from vinops.config import Settings; from vinops.storage.photos import open_store;"
        "open_store(Settings(data_dir=pathlib.Path('x'))); print([m for m in sys.modules if m[:4] == 'boto'])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"r2_endpoint": "https://account.example/photos"}, "R2_ENDPOINT"),
        ({"r2_bucket_name": "Photos of us"}, "R2_BUCKET_NAME"),
        ({"r2_bucket_name": "photos/1"}, "R2_BUCKET_NAME"),
    ],
)
def test_settings_that_cannot_be_right_are_refused_by_name(changed: dict[str, Any], setting: str) -> None:
    right: dict[str, Any] = {"r2_endpoint": "https://account.example", "r2_bucket_name": "photos"}
    r2 = Settings(r2_access_key_id=Secret("id"), r2_secret_access_key=Secret("secret"), **{**right, **changed})
    with pytest.raises(StoreError, match=setting):
        open_store(r2)
