"""A store in a folder: each object is a file, named by its key without the prefix.

An object is written to `.unfinished`, synced to disk, and only then moved to its name, which on one file system is one
step. All unfinished files lie in that one folder, so that leftovers are found without walking a million others.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from vinops import disk
from vinops.storage.store import BLOCK, ObjectMissing, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vinops.storage.store import Namespace

UNFINISHED: Final = ".unfinished"
LEFTOVER_SECONDS: Final = 3600  # an object is written in seconds: an older file no longer has a writer
_MOST_REMEMBERED: Final = 50_000  # folders of lots, some 10 MB

_ABSENT: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Folder:
    """Keeps the objects of a namespace as files; see Store for what the methods promise."""

    def __init__(self, folder: Path, namespace: Namespace) -> None:
        """Keep objects in this folder, which is made when it is needed."""
        self._folder = folder
        self._namespace = namespace
        self._unfinished = folder / UNFINISHED
        self._made: set[Path] = set()  # folders whose own entry is known to be on disk

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object. If the process dies in it, the old or the whole new object is there, and perhaps an
        unfinished file, which `sizes` does not list and a later `check` removes. If it fails, none is left."""
        path = self._path(key)
        self._namespace.checked_type(key, content_type)
        with self._explained(f"{key} was not stored in"):
            try:
                self._write(path, body)
            except FileNotFoundError:  # a folder in self._made was removed
                self._made.clear()
                self._write(path, body)

    def put_file(self, key: str, path: Path, progress: Callable[[int], None] = lambda _bytes: None) -> None:
        """Move a file to its key's name. If the process dies in it, the file is at the one name or the other, whole."""
        target = self._path(key)
        with path.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        with self._explained(f"{key} was not stored in"):
            if not target.parent.is_dir():  # its parent may be closed to this account, as that of --to
                self._make(target.parent)
            path.replace(target)
            disk.sync_folder(target.parent)
        progress(size)

    def get(self, key: str) -> bytes:
        return b"".join(self.blocks(key))

    def blocks(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        with self._explained(f"{key} was not read from"):
            try:
                file = path.open("rb")
            except _ABSENT:
                raise ObjectMissing(key) from None
            with file:
                while block := file.read(BLOCK):
                    yield block

    def exists(self, key: str) -> bool:
        with self._explained(f"{key} was not looked up in"):
            return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """Remove an object. Its folder stays, as another process may be about to write there."""
        path = self._path(key)
        with self._explained(f"{key} was not removed from"), suppress(*_ABSENT):
            path.unlink()
            disk.sync_folder(path.parent)

    def sizes(self, prefix: str | None = None) -> Iterator[tuple[str, int]]:
        """Yield keys and bytes, in the order in which S3 lists them."""
        prefix = self._namespace.checked_prefix(prefix)
        with self._explained("the objects were not listed in"):
            for key in self._below(prefix.rpartition("/")[0] + "/"):
                if key.startswith(prefix) and self._namespace.is_key(key):
                    with suppress(FileNotFoundError):  # removed since it was listed
                        yield key, self._path(key).stat().st_size

    def outside(self) -> list[str]:
        """Return nothing: each namespace has a folder of its own."""
        return []

    def check(self) -> None:
        """Write a file, remove it, and sweep. If the process dies in it, one more unfinished file is left."""
        with self._explained("a trial file was not written in"):
            self._make(self._unfinished)
            trial = self._unfinished / uuid4().hex
            _write(trial, b"")
            trial.unlink()
        self.sweep()

    def sweep(self) -> int:
        """Remove unfinished files that are older than LEFTOVER_SECONDS, and return how many."""
        removed = 0
        with self._explained("unfinished files were not removed from"), suppress(*_ABSENT):
            for path in self._unfinished.iterdir():
                with suppress(FileNotFoundError):  # another process removed it first
                    if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                        path.unlink()
                        removed += 1
        return removed

    def describe(self, key: str | None = None) -> str:
        return f"folder {self._folder}" if key is None else str(self._path(key))

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _path(self, key: str) -> Path:
        return self._folder / self._namespace.checked(key).removeprefix(self._namespace.prefix)

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
        disk.sync_folder(path.parent)

    def _make(self, folder: Path) -> None:
        """Make a folder whose entry survives a loss of power, also if another process made it a moment ago."""
        if folder in self._made:
            return
        is_root = folder == self._folder.parent
        if not is_root:
            self._make(folder.parent)
        folder.mkdir(exist_ok=True, parents=is_root)
        disk.sync_folder(folder.parent)
        if len(self._made) >= _MOST_REMEMBERED:
            self._made.clear()
        self._made.add(folder)

    def _below(self, start: str) -> Iterator[str]:
        """Yield the keys of all files below a prefix that ends in a slash, as deep as keys go."""
        try:
            with os.scandir(self._folder / start.removeprefix(self._namespace.prefix)) as found:
                entries = [f"{each.name}/" if each.is_dir() else each.name for each in found]
        except _ABSENT:
            return
        for name in sorted(each for each in entries if not each.startswith(".")):
            if not name.endswith("/"):
                yield start + name
            elif start.count("/") < self._namespace.depth:
                yield from self._below(start + name)

    @contextmanager
    def _explained(self, failed: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fix = f"free space on its disk ({disk.GO})" if disk.is_full(error) else "make it writable for this account"
            raise StoreError(f"{failed} {self._folder} ({error.strerror}): {fix}, or {self._namespace.fix}") from error


def _write(path: Path, body: bytes) -> None:
    with path.open("xb", buffering=0) as file:
        left = memoryview(body)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
