"""What is said of a unit in the moment in which its process has ended and systemd has not noticed yet."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from ops.workers import units

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

UNIT = "vinops-worker@1.service"


def shown(pid: int, **properties: str) -> dict[str, str]:
    """Return what systemctl shows of a unit that was started."""
    about = {"Id": UNIT, "ActiveState": "active", "MainPID": str(pid), "ExecMainPID": str(pid)}
    return {**about, "ExecMainStartTimestampMonotonic": "1", **properties}


def gone() -> int:
    """Return the id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    return process.pid


def test_how_it_ended_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = gone()
    over = {"ActiveState": "failed", "MainPID": "0", "ExecMainCode": "1", "ExecMainStatus": "3"}
    answers = iter([shown(pid), shown(pid, ActiveState="deactivating"), shown(pid, **over)])
    monkeypatch.setattr(units, "_show", lambda *_: [next(answers)])
    found = units.Units(tmp_path, lambda _: UNIT).standing("worker_1")
    assert (found.state, found.exit_code) == ("failed", 3)


def test_it_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid, asked = gone(), []
    monkeypatch.setattr(units, "_show", lambda *_: asked.append(1) or [shown(pid)])
    monkeypatch.setattr(units, "NOTICE_SECONDS", 0.1)
    assert units.Units(tmp_path, lambda _: UNIT).standing("worker_1").pid is None
    assert len(asked) > 1
