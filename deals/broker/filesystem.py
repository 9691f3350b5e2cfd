"""The embedded broker: kombu's filesystem transport, with messages that are there whole or not at all.

kombu 5.7 writes a message into the file that a worker may be reading: one that reads too early, or a writer that is
killed, leaves it half a message, and it ends with `Unrecoverable error: JSONDecodeError` (seen in the crash tests).
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
LEFT_BEHIND: Final = 3600.0  # seconds: nobody writes or reads a message for so long


class Channel(filesystem.Channel):
    """Puts each message into its file by one rename, and passes over what cannot be read: the sweep rings again."""

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override] # kombu's two bases differ
        name = f"{time.time_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out) / name, dumps(payload))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for path in sorted(Path(self.data_folder_in).glob(f"*.{queue}.msg")):
            taken = path.with_name(path.name + TAKEN)
            try:
                path.rename(taken)  # one reader alone can
                text = taken.read_text(encoding="utf-8")
                taken.unlink()
            except FileNotFoundError:
                continue
            try:
                return loads(text)
            except ValueError:
                log.warning("a message cannot be read and is left out: the sweep rings again")
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        """Return which queues an exchange has; none if that cannot be read, until a worker binds them again."""
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
    """kombu's, with our channel."""

    Channel = Channel


def _write(path: Path, text: str) -> None:
    """Give a file its content at once. If the process dies in it, a draft is left, which `tidy` removes."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4()}{DRAFT}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)  # noqa: PTH105 # Path.replace says the same and is slower


def tidy(folder: Path) -> None:
    """Remove what processes left behind that died over a message."""
    for path in folder.iterdir():
        if path.suffix in (DRAFT, TAKEN):
            try:
                if time.time() - path.stat().st_mtime > LEFT_BEHIND:
                    path.unlink()
            except FileNotFoundError:
                continue


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "deals.broker.redis:Transport"
