"""The embedded broker: kombu's filesystem transport, with messages written atomically.

kombu 5.7 writes a message into the file that a worker may be reading: a worker that reads too early, or whose writer
was killed, gets half a message and ends with `Unrecoverable error: JSONDecodeError` (seen in the crash tests).
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

from vinops import locks

log = logging.getLogger("deals")

SCHEME: Final = "folder"
DRAFT: Final = ".draft"
TAKEN: Final = ".taken"
LEFTOVER_AGE: Final = 3600.0  # seconds: longer than any process takes to write or read a message


class Channel(filesystem.Channel):
    """Renames each message into place, and skips those that cannot be read: the sweep sends them again."""

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override] # kombu's two bases differ
        name = f"{time.time_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out) / name, dumps(payload))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for path in sorted(Path(self.data_folder_in).glob(f"*.{queue}.msg")):
            taken = path.with_name(path.name + TAKEN)
            try:
                path.rename(taken)  # only one reader can
                text = taken.read_text(encoding="utf-8")
                taken.unlink()
            except FileNotFoundError:
                continue
            try:
                return loads(text)
            except ValueError:
                log.warning("a message cannot be read and is skipped: the sweep sends it again")
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        """Return the queues of an exchange; none if the file cannot be read, until a worker binds them again."""
        try:
            return list(super().get_table(exchange))
        except ValueError:
            return []

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str) -> None:
        folder = Path(self.control_folder)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        lock = locks.locked(folder / "bind.lock", fcntl.LOCK_EX)
        try:
            bound = self.get_table(exchange)
            if wanted not in bound:
                _write(folder / f"{exchange}.exchange", dumps([wanted, *bound]))
        finally:
            os.close(lock)


class Transport(filesystem.Transport):
    """kombu's transport with our channel."""

    Channel = Channel


def _write(path: Path, text: str) -> None:
    """Write a file atomically. If the process dies in it, a draft is left, which `remove_leftovers` deletes."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4()}{DRAFT}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)  # noqa: PTH105 # Path.replace says the same and is slower


def remove_leftovers(folder: Path) -> None:
    """Delete the files of processes that died while they wrote or read a message."""
    for path in folder.iterdir():
        if path.suffix in (DRAFT, TAKEN):
            try:
                if time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                    path.unlink()
            except FileNotFoundError:
                continue


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "deals.broker.redis:Transport"
