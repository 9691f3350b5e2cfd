"""The object store of a machine without R2: files below the data folder, named by their keys.

An object is written to `photos/.unfinished`, forced to disk, and only then moved to its name: on one file system that
is one step. All unfinished files lie in that one folder, so that leftovers are found without walking a million others.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from vinops import disk
from vinops.storage.objects import PREFIX, ObjectMissing, StoreError, checked_key, checked_prefix, checked_type

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNFINISHED = ".unfinished"
LEFTOVER_SECONDS = 3600  # an upload takes seconds: what is older has nobody who writes it
_MOST_REMEMBERED = 50_000  # folders of lots, some 10 MB

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Folder:
    """Keeps objects as files; see ObjectStore for what the methods promise."""

    def __init__(self, data_dir: Path) -> None:
        """Keep objects in `photos` in the data folder, which is made when it is needed."""
        self._data_dir = data_dir
        self._photos = data_dir / PREFIX.rstrip("/")
        self._unfinished = self._photos / UNFINISHED
        self._made: set[Path] = set()  # folders whose own entry this process knows to be on disk

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object. If the process dies in it, the old or the whole new object is there, and perhaps an
        unfinished file, which `keys` does not see and a later `check` removes. If it fails, none is left."""
        path = self._data_dir / checked_key(key)
        checked_type(key, content_type)
        with self._explained(f"{key} was not stored in"):
            try:
                self._write(path, body)
            except FileNotFoundError:  # somebody removed a folder that we had made
                self._made.clear()
                self._write(path, body)

    def get(self, key: str) -> bytes:
        """Return the bytes of an object. Raises ObjectMissing."""
        with self._explained(f"{key} was not read from"):
            try:
                return (self._data_dir / checked_key(key)).read_bytes()
            except _ABSENT:
                raise ObjectMissing(key) from None

    def exists(self, key: str) -> bool:
        """Tell whether there is such an object."""
        with self._explained(f"{key} was not looked up in"):
            return (self._data_dir / checked_key(key)).is_file()

    def delete(self, key: str) -> None:
        """Remove an object. The folder of its lot stays, as another process may be about to write there."""
        path = self._data_dir / checked_key(key)
        with self._explained(f"{key} was not removed from"), suppress(*_ABSENT):
            path.unlink()
            _force(path.parent)

    def keys(self, prefix: str = PREFIX) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in the order in which S3 lists them."""
        start = checked_prefix(prefix).rpartition("/")[0] + "/"
        with self._explained("the objects were not listed in"):
            for key in self._below(start):
                if key.startswith(prefix):
                    yield key

    def check(self) -> None:
        """Write a file, remove it, and remove what killed processes left. If the process dies in it, one more such
        file is left."""
        with self._explained("a trial file was not written in"):
            self._make(self._unfinished)
            trial = self._unfinished / uuid4().hex
            _write(trial, b"")
            trial.unlink()
            with os.scandir(self._unfinished) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # its owner was quicker
                        if time.time() - entry.stat().st_mtime > LEFTOVER_SECONDS:
                            os.unlink(entry.path)  # noqa: PTH108 # a path that is a string already

    def describe(self) -> str:
        """Return the folder's path."""
        return f"folder {self._photos}"

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _write(self, path: Path, body: bytes) -> None:
        self._make(path.parent)
        self._make(self._unfinished)
        part = self._unfinished / uuid4().hex
        try:
            _write(part, body)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        _force(path.parent)

    def _make(self, folder: Path) -> None:
        """Make a folder whose entry survives a loss of power, also if another process made it a moment ago."""
        if folder in self._made:
            return
        if folder != self._data_dir:
            self._make(folder.parent)
        folder.mkdir(exist_ok=True, parents=folder == self._data_dir)
        _force(folder.parent)
        if len(self._made) >= _MOST_REMEMBERED:
            self._made.clear()
        self._made.add(folder)

    def _below(self, start: str) -> Iterator[str]:
        try:
            with os.scandir(self._data_dir / start) as found:
                entries = [(f"{each.name}/" if each.is_dir() else each.name) for each in found]
        except _ABSENT:
            return
        for name in sorted(each for each in entries if not each.startswith(".")):
            if name.endswith("/"):
                yield from self._below(start + name)
            else:
                yield start + name

    @contextmanager
    def _explained(self, failed: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            mend = f"free space on its disk ({disk.GO})" if disk.is_full(error) else "set it to a folder of yours"
            raise StoreError(
                f"{failed} {self._photos} ({error.strerror}): {mend}, or let VINOPS_DATA_DIR name another"
            ) from error


def _write(path: Path, body: bytes) -> None:
    with path.open("xb", buffering=0) as file:
        left = memoryview(body)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def _force(folder: Path) -> None:
    """Force the entries of a folder to disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
