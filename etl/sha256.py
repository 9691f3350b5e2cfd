"""The sha256 of a file, computed in a thread while the database is being connected to."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path


class Sha256:
    """Computes the sha256 of a file from now on."""

    def __init__(self, path: Path) -> None:
        """Start. If the file cannot be read, `result` raises the error."""
        self._path = path
        self._digest = hashlib.sha256()
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            # In large pieces: between two of them the thread waits until the imports of the other one release the GIL.
            piece = memoryview(bytearray(8 << 20))
            with self._path.open("rb", buffering=0) as file:
                while count := file.readinto(piece):
                    self._digest.update(piece[:count])
        except OSError as error:
            self._failed = error

    def result(self) -> str:
        """Wait for the digest and return it in hexadecimal. Raises OSError."""
        self._thread.join()
        if self._failed:
            raise self._failed
        return self._digest.hexdigest()
