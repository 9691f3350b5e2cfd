"""The pictures that the site keeps on disk: of ads by the hash of their address, of lots by that of their content."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = "web-photos"
KEPT: Final = 0.9  # of the cap, after files were removed: all are listed only each time a tenth of it is new
PART: Final = ".part"
USE_SECONDS: Final = 3600
"""A use is noted this long after the last one that was: a page of photos is not a page of writes."""

log = logging.getLogger("web.photos")


class Cache:
    """Files on disk that never hold more than a cap, unfinished ones included: those unused for longest go first.

    A file is written beside its place, one at a time, after room was made for it, and renamed: if the process dies,
    the folder is within the cap, and what it left unfinished is removed at the next start. One process owns the folder.
    """

    def __init__(self, folder: Path, most: int) -> None:
        """Use a folder for at most `most` bytes."""
        self._folder = folder
        self._most = most
        self._is_scanned = False
        self._total = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Remove what a killed process left unfinished, and what exceeds the cap since it was lowered."""
        with self._lock:
            self._started()

    def read(self, name: str) -> bytes | None:
        """Return a file, and note its use; None if there is none, or an empty one, as a loss of power leaves them."""
        path = self._path(name)
        try:
            content = path.read_bytes()
            if time.time() - path.stat().st_mtime > USE_SECONDS:
                os.utime(path)
        except OSError:
            return None
        return content or None

    def write(self, name: str, content: bytes) -> None:
        """Keep a file, after removing others for it; not if the disk is full. If the process dies in it, the file is
        there whole or as before, and perhaps an unfinished one, for which there is room within the cap."""
        with self._lock:
            if not self._started():
                return
            if self._total + len(content) > self._most:
                self._remove_oldest(int(self._most * KEPT) - len(content))
            if self._total + len(content) > self._most:
                return
            part = None
            try:
                path = self._path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                before = path.stat().st_size if path.exists() else 0
                with tempfile.NamedTemporaryFile(dir=self._folder, suffix=PART, delete=False) as file:
                    part = Path(file.name)
                    file.write(content)
                    file.flush()
                    os.fdatasync(file.fileno())  # else the name may be on disk before the content: an empty picture
                part.replace(path)
                self._total += len(content) - before
            except OSError as error:
                log.warning("a photo was not kept %s", pairs(reason=error.strerror))
                if part is not None:
                    with suppress(OSError):
                        part.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _started(self) -> bool:
        """Remove unfinished files and add up the others, the first time. Return False if that cannot be done."""
        if self._is_scanned:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for part in self._folder.glob(f"*{PART}"):
                part.unlink(missing_ok=True)
            self._total = sum(each.st_size for _, each in self._files())
        except OSError as error:
            log.warning("a photo was not kept %s", pairs(reason=error.strerror))
            return False
        self._is_scanned = True
        if self._total > self._most:
            self._remove_oldest(self._most)
        return True

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the finished files. Half a million take two seconds."""
        with os.scandir(self._folder) as found:
            folders = [each.path for each in found if len(each.name) == 2]
        for folder in folders:
            with suppress(OSError), os.scandir(folder) as found:
                for each in found:
                    with suppress(FileNotFoundError):
                        yield each.path, each.stat()

    def _remove_oldest(self, most: int) -> None:
        """Remove the files that were unused for longest, until at most so many bytes are left."""
        files = sorted((each.st_mtime, each.st_size, path) for path, each in self._files())
        self._total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._total <= most:
                break
            try:
                Path(path).unlink(missing_ok=True)
            except OSError as error:
                log.warning("a photo was not removed %s", pairs(reason=error.strerror))
            else:
                self._total -= size
