"""Messages to systemd, word by word, and that sending them never fails or blocks."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.support.notify_listener import Systemd
from vinops import systemd


def test_outside_of_a_unit_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.ready()
    systemd.alive("x")
    assert systemd.watchdog_seconds() is None


def test_the_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    systemd.ready("up")
    systemd.alive("two\nlines\tand more")
    systemd.more_time(1.5)
    systemd.says("x" * 999)
    systemd.stopping()
    assert listener.hear() == [
        "READY=1\nSTATUS=up",
        "WATCHDOG=1\nSTATUS=two lines and more",
        "EXTEND_TIMEOUT_USEC=1500000",
        f"STATUS={'x' * 200}",
        "STOPPING=1",
    ]
    listener.close()


def test_a_status_cannot_forge_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    systemd.says("fine\nMAINPID=1")
    assert listener.hear() == ["STATUS=fine MAINPID=1"]
    listener.close()


def test_nobody_who_listens_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with caplog.at_level(logging.WARNING):
        systemd.alive()
    assert "systemd was not notified" in caplog.text


def test_a_full_queue_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    for _ in range(1000):
        systemd.alive()
    assert listener.count("WATCHDOG=1") < 1000
    listener.close()


@pytest.mark.parametrize(
    ("wanted", "process", "seconds"),
    [
        ("600000000", "", 600.0),
        ("600000000", "this one", 600.0),
        ("600000000", "1", None),
        ("0", "", None),
        ("x", "", None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(
    monkeypatch: pytest.MonkeyPatch, wanted: str, process: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", wanted)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if process == "this one" else process)
    assert systemd.watchdog_seconds() == seconds
