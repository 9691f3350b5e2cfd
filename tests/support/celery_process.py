"""A Celery process that does no work, for tests of what starts it: `python celery_process.py worker|beat`.

Like the real one it has children of the same command line, and says when it is ready.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from vinops import config, logs


def main(kind: str) -> int:
    """Live until told to end."""
    settings = config.load()
    log = logs.configure(f"celery_{kind}", settings, console=True)
    if (settings.data_dir / "broken").exists():
        raise RuntimeError("the broker is on fire")
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(0))
    children = []
    for _ in range(4 if kind == "worker" else 0):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(1000)
            os._exit(0)
        children.append(child)
    log.info("celery@here ready." if kind == "worker" else "beat: Starting...")
    while not ended or (settings.data_dir / "deaf").exists():
        time.sleep(0.05)
    if not (settings.data_dir / "careless").exists():
        for child in children:
            os.kill(child, signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
