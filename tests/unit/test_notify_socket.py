"""What is said to systemd, word by word, and that saying it never hurts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.notify_listener import Systemd
from vinops import systemd as notify_socket


def test_outside_of_a_unit_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_socket.ready()
    notify_socket.alive("x")
    assert notify_socket.watchdog_seconds() is None


def test_the_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notify_socket.ready("up")
    notify_socket.alive("two\nlines\tand more")
    notify_socket.more_time(1.5)
    notify_socket.says("x" * 999)
    notify_socket.stopping()
    assert systemd.hear() == [
        "READY=1\nSTATUS=up",
        "WATCHDOG=1\nSTATUS=two lines and more",
        "EXTEND_TIMEOUT_USEC=1500000",
        f"STATUS={'x' * 200}",
        "STOPPING=1",
    ]
    systemd.close()


def test_a_status_cannot_forge_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notify_socket.says("fine\nMAINPID=1")
    assert systemd.hear() == ["STATUS=fine MAINPID=1"]
    systemd.close()


def test_nobody_who_listens_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with caplog.at_level(logging.WARNING):
        notify_socket.alive()
    assert "systemd was not notified" in caplog.text


def test_a_full_queue_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    for _ in range(1000):
        notify_socket.alive()
    assert systemd.count("WATCHDOG=1") < 1000
    systemd.close()


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
    assert notify_socket.watchdog_seconds() == seconds
