"""A store in a folder: objects are whole or not there, whatever happens in the middle of a write."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vinops.config import Secret, Settings
from vinops.storage.folder import LEFTOVER_SECONDS, Folder
from vinops.storage.opening import open_photos
from vinops.storage.store import BACKUPS, PHOTOS, StoreError

if TYPE_CHECKING:
    from vinops.storage.store import Store

JPEG = "image/jpeg"
KEY = "photos/81234567/0a1b.jpg"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_photos(Settings(data_dir=tmp_path / "data"))


def test_an_object_is_a_file_of_its_key_below_the_data_folder(store: Store, tmp_path: Path) -> None:
    store.put(KEY, b"x", content_type=JPEG)
    (tmp_path / "data" / "photos" / ".hidden").touch()
    (tmp_path / "data" / "photos" / "Thumbs.db").touch()
    assert (tmp_path / "data" / KEY).read_bytes() == b"x"
    assert list(store.sizes()) == [(KEY, 1)]
    assert store.describe() == f"folder {tmp_path / 'data' / 'photos'}"
    assert store.describe(KEY) == f"{tmp_path / 'data' / KEY}"


def files(folder: Path) -> list[str]:
    return sorted(str(found.relative_to(folder)) for found in folder.rglob("*") if found.is_file())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_object_and_no_leftover(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
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
from vinops.storage.store import PHOTOS, StoreError
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
store = Folder(Path(data_dir) / "photos", PHOTOS)
if story == "no room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
elif story == "careless":
    store, os.fsync = Careless(Path(data_dir) / "photos", PHOTOS), kill
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
    store = Folder(tmp_path / "photos", PHOTOS)
    store.put("photos/9/b.jpg", b"x", content_type=JPEG)
    if before is not None:
        store.put(KEY, before, content_type=JPEG)
    store._make((tmp_path / KEY).parent)  # so that the first fsync of the other is the file's
    killed = put_elsewhere(call, tmp_path, KEY)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if before is None:
        assert not store.exists(KEY)
        assert [key for key, _ in store.sizes()] == ["photos/9/b.jpg"]
    else:
        assert store.get(KEY) == before
        assert [key for key, _ in store.sizes()] == [KEY, "photos/9/b.jpg"]
    store.put(KEY, b"again", content_type=JPEG)
    assert store.get(KEY) == b"again"


def test_a_kill_of_a_careless_writer_is_seen(tmp_path: Path) -> None:
    """The control: the same kill over a store that writes in place breaks the object."""
    store = Folder(tmp_path / "photos", PHOTOS)
    store.put(KEY, b"old", content_type=JPEG)
    assert put_elsewhere("careless", tmp_path, KEY).returncode == -signal.SIGKILL
    assert store.get(KEY) not in (b"old", b"new" * 10_000)


def test_leftovers_of_the_killed_are_swept_when_they_are_old(tmp_path: Path) -> None:
    store = Folder(tmp_path / "photos", PHOTOS)
    for _ in range(2):
        assert put_elsewhere("replace", tmp_path, KEY).returncode == -signal.SIGKILL
    young, old = (tmp_path / name for name in files(tmp_path))
    long_ago = time.time() - LEFTOVER_SECONDS - 5
    os.utime(old, (long_ago, long_ago))
    store.check()
    assert young.exists()
    assert not old.exists()
    assert [key for key, _ in store.sizes()] == []


def test_a_disk_that_ends_in_the_middle_of_a_file_leaves_nothing(tmp_path: Path) -> None:
    refused = put_elsewhere("no room", tmp_path, KEY)
    assert refused.returncode == 1
    assert "File too large" in refused.stderr
    assert "VINOPS_DATA_DIR" in refused.stderr
    assert files(tmp_path) == []


def test_the_file_is_on_disk_before_it_has_its_name_and_the_name_after(
    store: Store, monkeypatch: pytest.MonkeyPatch
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
    Folder(tmp_path / "photos", PHOTOS).put(KEY, b"x", content_type=JPEG)
    assert {tmp_path, tmp_path / "photos", (tmp_path / KEY).parent} <= set(forced)


def test_a_file_is_moved_with_its_folder_synced_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent of a folder that was named with --to may be closed to this account."""
    (folder := tmp_path / "backups").mkdir()
    (part := folder / "a.part").write_bytes(b"{}")
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    Folder(folder, BACKUPS).put_file("backups/a.json", part)
    assert synced == [part, folder]
    assert files(folder) == ["a.json"]


def test_a_folder_that_somebody_removed_is_made_again(store: Store, tmp_path: Path) -> None:
    store.put(KEY, b"x", content_type=JPEG)
    store.delete(KEY)
    (tmp_path / "data" / KEY).parent.rmdir()
    store.put(KEY, b"y", content_type=JPEG)
    assert store.get(KEY) == b"y"


def test_check_names_the_setting_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, where the folder should be")
    store = Folder(tmp_path / "data" / "photos", PHOTOS)
    with pytest.raises(StoreError, match="VINOPS_DATA_DIR"):
        store.check()
    with pytest.raises(StoreError, match="VINOPS_DATA_DIR"):
        store.put(KEY, b"x", content_type=JPEG)
    (tmp_path / "data").unlink()
    store.check()
    assert files(tmp_path) == []


def test_a_command_that_uses_the_folder_does_not_pay_for_boto3() -> None:
    code = (
        "import sys, pathlib; from vinops.config import Settings; from vinops.storage.opening import open_photos;"
        "open_photos(Settings(data_dir=pathlib.Path('x'))); print([m for m in sys.modules if m[:4] == 'boto'])"
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
        open_photos(r2)
