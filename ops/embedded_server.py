"""`python -m ops.embedded_server`: runs the embedded PostgreSQL in the foreground, for its systemd unit.

Without it the first service that needs the server would start it, and systemd would stop it with that service.
"""

from __future__ import annotations

import signal
import sys
import threading

import psycopg

from vinops import config, logs, systemd
from vinops.db import database, embedded

CHECK_SECONDS = 10.0


def main() -> int:
    """Run until SIGTERM or SIGINT, then shut the server down. Returns the exit code.

    If this process is killed, systemd kills the server with it. It recovers at the next start: nothing committed is
    lost.
    """
    settings = config.load()
    log = logs.configure("database", settings, console=True)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    pause = min(CHECK_SECONDS, (systemd.watchdog_seconds() or 3 * CHECK_SECONDS) / 3)
    try:
        database.migrate(settings)
        log.info("the embedded server runs")
        while not stopping.is_set():
            with psycopg.connect(database.address(settings, "vinops database")) as connection:
                connection.execute("select 1")
            systemd.ready()
            systemd.alive("it answers")
            stopping.wait(pause)
    except (database.DatabaseError, psycopg.Error) as error:
        log.error("the embedded server does not answer: %s", " ".join(str(error).split()))
        return 1
    finally:
        systemd.stopping()
        embedded.stop(embedded.folder(settings.data_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
