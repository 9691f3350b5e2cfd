"""Listens where a unit of Type=notify speaks, in place of systemd."""

from __future__ import annotations

import socket
from pathlib import Path


class Systemd:
    """Keeps what it was told, in order. Its queue holds ten messages, as any: read it often."""

    def __init__(self, path: Path) -> None:
        """Listen at `path`, which goes into NOTIFY_SOCKET."""
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(path))
        self._line.setblocking(False)
        self._messages: list[str] = []

    def hear(self) -> list[str]:
        """Return all that was said so far."""
        while True:
            try:
                self._messages.append(self._line.recv(4096).decode())
            except BlockingIOError:
                return self._messages

    def count(self, word: str) -> int:
        """Return in how many messages a word is."""
        return sum(word in message for message in self.hear())

    def forget(self) -> None:
        """Begin anew."""
        self.hear()
        self._messages.clear()

    def close(self) -> None:
        """Hang up."""
        self._line.close()
