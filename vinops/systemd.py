"""What a service tells systemd (sd_notify(3)): that it is ready, that it moves, what it does, that it ends.

Outside of a unit of Type=notify nobody listens, and every call here does nothing. A message is one datagram: it never
waits, and one that is lost is made good by the next.
"""

from __future__ import annotations

import logging
import socket

from vinops import config

log = logging.getLogger("notify")

# systemd takes hundreds of characters; `systemctl status` shows them on one line.
LONGEST_STATUS = 200


def ready(status: str = "") -> None:
    """Say that the service is up: its start counts as done from here on."""
    _send("READY=1", status)


def alive(status: str = "") -> None:
    """Feed the watchdog. Call it where the work has moved, not where the process is merely there."""
    _send("WATCHDOG=1", status)


def stopping(status: str = "") -> None:
    """Say that the service is about to end."""
    _send("STOPPING=1", status)


def more_time(seconds: float, status: str = "") -> None:
    """Ask for so much time from now on for the start or the stop that is in work."""
    _send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", status)


def says(status: str) -> None:
    """Say what the service does, for `systemctl status`, and nothing else."""
    _send("", status)


def watchdog_seconds() -> float | None:
    """Return within how many seconds `alive` has to be called, None if no watchdog waits. A third of it is a good
    pace."""
    return config.watchdog_seconds()


def _send(what: str, status: str) -> None:
    address = config.notify_socket()
    if address is None:
        return
    said = " ".join(status.split())[:LONGEST_STATUS]
    message = "\n".join(part for part in (what, f"STATUS={said}" if said else "") if part)
    # A name that begins with @ stands in the abstract namespace, where the first byte is a NUL.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.setblocking(False)
            line.sendto(message.encode(), target)
    except OSError as error:
        # The work goes on: systemd itself decides what a service is that it does not hear of.
        log.warning("systemd was not told (%s): %s", error.strerror or type(error).__name__, what or "status")
