"""The guard of the tests: no Python process of theirs reaches another machine, and each attempt is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.outbound import sitecustomize as outbound

TRY = """
import socket, subprocess, sys
def connect():
    with socket.socket() as sock:
        sock.settimeout(5)
        sock.connect(("192.0.2.1", 443))
def send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", ("192.0.2.1", 53))
def local():
    with socket.socket() as server, socket.socket() as sock:
        server.bind(("127.0.0.1", 0))
        server.listen()
        sock.connect(server.getsockname())
        socket.getaddrinfo("localhost", 80)
for do in (eval(sys.argv[1]),):
    try:
        do()
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize(
    ("attempt", "says", "recorded"),
    [
        ("connect", "OSError: [Errno 101] Network is unreachable", "socket.connect 192.0.2.1"),
        ("send", "OSError: [Errno 101] Network is unreachable", "socket.sendto 192.0.2.1"),
        ("lambda: socket.getaddrinfo('www.copart.com', 443)", "gaierror", "socket.getaddrinfo www.copart.com"),
        ("lambda: socket.gethostbyname(b'www.mobile.bg'.decode())", "gaierror", "socket.gethostbyname www.mobile.bg"),
        ("lambda: socket.getaddrinfo('feed.example', 443)", "gaierror", ""),
        ("local", "", ""),
    ],
)
@pytest.mark.parametrize("deep", [False, True], ids=["child", "grandchild"])
def test_what_a_child_process_tries_is_refused_and_recorded(
    tmp_path: Path, attempt: str, says: str, recorded: str, deep: bool
) -> None:
    record = tmp_path / "record"
    command = [sys.executable, "-c", TRY, attempt]
    if deep:
        command = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))", *command]
    done = subprocess.run(
        command, env={**os.environ, outbound.RECORD: str(record)}, capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith(says), done.stderr
    assert bool(done.returncode) == bool(says)
    assert (record.read_text() if record.exists() else "").startswith(recorded)
    assert record.exists() == bool(recorded)
