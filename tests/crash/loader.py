"""Runs loads, each in a process of its own that may be killed: `python tests/crash/loader.py`.

One job a line of standard input as JSON; one line of output with the id of the job's process, and one with its exit
status when it has ended, -9 if it was killed; an empty line then lets go of it. Forked from this process, which has
everything imported, a load starts in milliseconds. What a job did is in its trace: its events as they came, `killed …`,
and `ended STATUS` if it got there.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

import fault_injection  # beside this file

from etl import run
from vinops import config


def work(job: dict[str, Any]) -> int:
    """Do a job and return its exit code: that of the command, or 1 for an exception."""
    settings = config.load(job["environment"], folder=Path("/nonexistent"))
    injector = fault_injection.FaultInjector(Path(job["trace"]), job["plan"], job["victim"], settings.data_dir)
    fault_injection.use_small_blocks()
    if job["broken"]:
        fault_injection.BROKEN[job["broken"]]()
    injector.install()
    if job["file"] is None:
        outcome = run.run(settings)
    else:
        outcome = run.ingest(settings, Path(job["file"]), fetched_at=datetime.fromisoformat(job["fetched_at"]))
    injector.write(f"ended {outcome.status} {outcome.reason or ''}".rstrip())
    return outcome.exit_code


def main() -> None:
    """Take jobs until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            with Path(job["trace"]).with_suffix(".err").open("a", encoding="utf-8") as errors:
                logging.basicConfig(stream=errors, level=logging.WARNING)
                try:
                    code = work(job)
                except BaseException:  # noqa: BLE001 # the process ends here, and must not go on as its parent
                    traceback.print_exc(file=errors)
            os._exit(code)
        print(pid, flush=True)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)
        sys.stdin.readline()  # until then the id belongs to nobody else: whoever kills late kills a dead process
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
