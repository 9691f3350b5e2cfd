"""The status of a unit whose process has ended before systemd has noticed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from ops.workers import systemd
from ops.workers.registry import Program

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

UNIT = "vinops-worker@1.service"


def program(folder: Path) -> Program:
    """The program of the unit."""
    return Program(name="1", key="worker_1", title="Worker 1", command=(), log=folder / "log", unit=UNIT)


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
    monkeypatch.setattr(systemd, "_show", lambda *_: [next(answers)])
    (found,) = systemd.Units(tmp_path).status([program(tmp_path)])
    assert (found.state, found.exit_code) == ("failed", 3)


def test_it_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid, asked = gone(), []
    monkeypatch.setattr(systemd, "_show", lambda *_: asked.append(1) or [shown(pid)])
    monkeypatch.setattr(systemd, "NOTICE_SECONDS", 0.1)
    assert [each.pid for each in systemd.Units(tmp_path).status([program(tmp_path)])] == [None]
    assert len(asked) > 1
