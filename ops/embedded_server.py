"""`python -m ops.embedded_server`: keeps the embedded PostgreSQL up, in the foreground, as its unit runs it.

Without it the first service that needs the server starts it, and systemd ends it with that service.
"""

from __future__ import annotations

import signal
import sys
import threading

import psycopg

from vinops import config, logs, systemd as notify_socket
from vinops.db import database, embedded

LOOK_SECONDS = 10.0


def main() -> int:
    """Run until told to end; then stop the server in order. Returns the exit code.

    If this process is killed, systemd ends the server with it, which recovers with the next start: nothing committed
    is lost.
    """
    settings = config.load()
    log = logs.configure("database", settings, console=True)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    look = min(LOOK_SECONDS, (notify_socket.watchdog_seconds() or 3 * LOOK_SECONDS) / 3)
    try:
        database.migrate(settings)
        log.info("the embedded server runs")
        while not stopping.is_set():
            with psycopg.connect(database.address(settings, "vinops database")) as connection:
                connection.execute("select 1")
            notify_socket.ready()
            notify_socket.alive("it answers")
            stopping.wait(look)
    except (database.DatabaseError, psycopg.Error) as error:
        log.error("the embedded server does not answer: %s", " ".join(str(error).split()))
        return 1
    finally:
        notify_socket.stopping()
        embedded.stop(embedded.folder(settings.data_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
