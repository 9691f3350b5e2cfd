"""Messages of a service to systemd (sd_notify(3)): readiness, watchdog, status, stop.

Outside of a unit of Type=notify every call does nothing. A message is one datagram: sending never blocks, and a lost
one is replaced by the next.
"""

from __future__ import annotations

import logging
import socket

from vinops import config

log = logging.getLogger("notify")

# systemd takes hundreds of characters; `systemctl status` shows them on one line.
LONGEST_STATUS = 200


def ready(status: str = "") -> None:
    """Report that the service has started."""
    _send("READY=1", status)


def alive(status: str = "") -> None:
    """Reset the watchdog. Call it where the work has made progress, not merely where the process is running."""
    _send("WATCHDOG=1", status)


def stopping(status: str = "") -> None:
    """Report that the service is about to stop."""
    _send("STOPPING=1", status)


def more_time(seconds: float, status: str = "") -> None:
    """Extend the timeout of the current start or stop to `seconds` from now."""
    _send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", status)


def says(status: str) -> None:
    """Set the status that `systemctl status` shows."""
    _send("", status)


def watchdog_seconds() -> float | None:
    """Return within how many seconds `alive` has to be called, None without a watchdog. Call it three times as
    often."""
    return config.watchdog_seconds()


def _send(message: str, status: str) -> None:
    address = config.notify_socket()
    if address is None:
        return
    status = " ".join(status.split())[:LONGEST_STATUS]
    text = "\n".join(part for part in (message, f"STATUS={status}" if status else "") if part)
    # A name that begins with @ is in the abstract namespace, where the first byte is a NUL.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.setblocking(False)
            line.sendto(text.encode(), target)
    except OSError as error:
        # The work continues: systemd decides what to do with a service that sends nothing.
        log.warning("systemd was not notified (%s): %s", error.strerror or type(error).__name__, message or "status")
