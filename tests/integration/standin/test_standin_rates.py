"""The stand-in for the ECB's rates: its file, its faults, and its command."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from http.client import BadStatusLine

import pytest

from standin.rates.server import FAULTS, RatesServer
from tests.support.children import child


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except BadStatusLine as error:
        return 0, str(error)


def test_it_serves_the_file_and_notes_who_asked() -> None:
    with RatesServer(usd="1.0999") as server:
        status, text = get(server.url)
        assert get(server.url.rpartition("/")[0])[0] == 404
        assert (status, "currency='USD' rate='1.0999'" in text, "gesmes:Envelope" in text) == (200, True, True)
        assert [each.status for each in server.requests] == [200, 404]


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("drip", "reset", "redirect")])
def test_a_fault_replaces_the_next_answer_only(name: str) -> None:
    with RatesServer() as server:
        right = get(server.url)
        server.fault(name, times=1)
        assert get(server.url) != right
        assert get(server.url) == right


def test_it_serves_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="serves on loopback only"):
        RatesServer(host="192.0.2.1")


@pytest.mark.slow
def test_the_command_prints_the_address() -> None:
    command = [sys.executable, "-m", "standin.rates", "serve", "--usd", "1.2", "--day", "2026-11-27"]
    with child(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        status, text = get(json.loads(process.stdout.readline())["url"])
        process.terminate()
        assert process.wait(30) == 0
    assert status == 200
    assert "time='2026-11-27'" in text
