"""A worker that does nothing but live, for tests of what starts and watches it: `python worker_process.py NAME`.

It has a run in ops.crawl_runs whose heart beats ten times a second. Files in the data folder say how it goes:
`NAME.exit` holds the exit code and the reason with which it ends, or `crash`, which it does before it begins;
`NAME.deaf` has it ignore SIGTERM, and leave a child.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import psycopg

from vinops import config, logs
from vinops.db.database import queries


def main(name: str) -> int:
    """Live until told to end."""
    settings = config.load()
    log = logs.configure("photo-scraper" if name == "photos" else f"worker_{name}", settings, console=True)
    file = settings.data_dir / f"{name}.exit"
    if file.exists() and file.read_text() == "crash":
        raise RuntimeError("the wheel came off")
    ended: list[int] = []
    is_deaf = (settings.data_dir / f"{name}.deaf").exists()
    signal.signal(signal.SIGTERM, lambda *_: None if is_deaf else ended.append(0))
    if is_deaf:
        subprocess.Popen(["sleep", "1000"])
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.reveal(), autocommit=True) as connection:
        row = connection.execute(
            queries("crawls")["begin_run"],
            {
                "spider": "lot_photos" if name == "photos" else "mobile_bg",
                "worker": None if name == "photos" else name,
                "machine": socket.gethostname(),
                "pid": os.getpid(),
                "arguments": "{}",
                "unit": "page",
            },
        ).fetchone()
        assert row is not None
        log.info("began")
        reason = "shutdown"
        beat = "update ops.crawl_runs set heartbeat_at = clock_timestamp() where id = %s"
        while not ended:
            connection.execute(beat, row)
            with suppress(FileNotFoundError):
                code, _, reason = file.read_text().partition(" ")
                ended.append(int(code))
            time.sleep(0.1)
        connection.execute(
            "update ops.crawl_runs set heartbeat_at = clock_timestamp(), finished_at = clock_timestamp(), reason = %s"
            " where id = %s",
            [reason, row[0]],
        )
    return ended[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
