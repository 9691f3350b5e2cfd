"""Whether the site runs on this data folder, and what it answers. `vinops web` holds the lock, and writes its address
and process id there.

The kernel releases the lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import http.client
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from vinops import locks

if TYPE_CHECKING:
    from vinops.config import Settings

LOCK: Final = "web.lock"
SECONDS: Final = 4.0
"""How long an answer may take: a page that says that the database is away takes three seconds."""


@final
@dataclass(frozen=True, kw_only=True)
class Site:
    """The site of this data folder. `address` is host and port, None if it does not run; `answered` is the status of
    its answer, None if there was none, for the reason `error`. `public_url` is that of WEB_PUBLIC_URL."""

    address: str | None = None
    public_url: str | None = None
    answered: int | None = None
    error: str | None = None


def hold(settings: Settings, host: str, port: int) -> int:
    """Take the lock for a site at an address, and return the descriptor that holds it.

    Raises BlockingIOError if another process holds it, and OSError.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / LOCK
    descriptor = locks.opened(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{host} {port} {os.getpid()}\n".encode("ascii"), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read(settings: Settings) -> Site:
    """Return the state of the site. Raises OSError if the lock cannot be read."""
    public = settings.web_public_url
    if (noted := _noted(settings)) is None:
        return Site(public_url=public)
    if len(noted) < 3:
        return Site(public_url=public, address="an address that it has not written yet", error="it is starting")
    return _asked(noted[0], int(noted[1]), public)


def pid(settings: Settings) -> int | None:
    """Return the process of the site, None if none runs. Raises OSError if the lock cannot be read."""
    noted = _noted(settings)
    return int(noted[2]) if noted and len(noted) == 3 else None


def _noted(settings: Settings) -> list[str] | None:
    """Return what a site that runs has noted: host, port and process id, none of these while it starts; None if none
    runs."""
    path = settings.data_dir / LOCK
    if not path.exists():
        return None
    descriptor = locks.opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 300).decode("ascii", "replace")
        return text.split() if text.endswith("\n") else []
    else:
        return None
    finally:
        os.close(descriptor)


def _asked(host: str, port: int, public: str | None) -> Site:
    """Return what the site answers to a request for its state, by way of this machine."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    to = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # where it listens
    connection = http.client.HTTPConnection(to, port, timeout=SECONDS)
    try:
        connection.request("GET", "/health", headers={"Host": f"localhost:{port}"})
        return Site(public_url=public, address=address, answered=connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Site(public_url=public, address=address, error=text)
    finally:
        connection.close()
