"""A site as a process, for tests that kill it: `python tests/crash/site_of_photos.py SOCKET CAP [BROKEN]`.

SOCKET is the number of a file that listens, CAP the bytes of the cache. BROKEN is a fault that such a test has to
catch: `no_room` removes nothing for what it keeps, `in_place` writes pictures where they are read.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import uvicorn

from tests.support.sites import patient
from vinops import config
from web.photos.cache import Cache
from web.site import Site


def no_room(self: Cache, _most: int) -> None:
    """Remove nothing, and take what is there for nothing."""
    self._total = -(10**9)


def in_place(self: Cache, name: str, content: bytes) -> None:
    """Write a picture bit by bit where it is read."""
    path = self._path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(content), 512):
            file.write(content[at : at + 512])
            time.sleep(0.01)


def main(listener: socket.socket, cap: int, broken: str) -> None:
    """Serve until it is killed."""
    site = Site(config.load(folder=Path(__file__).parent), port=listener.getsockname()[1])
    site._pictures._most = cap
    if broken == "no_room":
        Cache._remove_oldest = no_room  # type: ignore[method-assign]
    if broken == "in_place":
        Cache.write = in_place  # type: ignore[method-assign]
    uvicorn.Server(uvicorn.Config(patient(site), log_config=None, ws="none")).run(sockets=[listener])


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), (*sys.argv, "")[3])
