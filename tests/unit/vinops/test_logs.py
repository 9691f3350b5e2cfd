"""Logs: one event a line, rotated whole, and no secret in any of it."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from vinops import locks, logs, redaction
from vinops.config import ConfigError, Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "c4nary/+ =Zq"
URL = f"https://feeds.example.com/sales.csv?authKey={quote(CANARY, safe='')}&type=csv"


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove handlers, hooks and remembered secrets."""
    import threading

    monkeypatch.setattr(redaction, "_known", frozenset())
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [each for each in root.handlers if isinstance(each, (logs.LogFile, logs.Console))]:
        root.removeHandler(handler)
        handler.close()


@pytest.fixture
def secretive(tmp_path: Path) -> Settings:
    return Settings(
        log_dir=tmp_path,
        copart_csv_url=Secret(URL),
        database_url=Secret(f"postgresql://me:{quote(CANARY, safe='')}@db.example.com/vinops"),
        copart_csv_headers={"X-Api": Secret(f"Bearer {CANARY}")},
    )


SPELLINGS = [
    CANARY,
    quote(CANARY),
    quote(CANARY, safe=""),
    quote(CANARY, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    quote_plus(CANARY),
    quote(quote(CANARY, safe=""), safe=""),
    URL,
    repr({"url": URL, "raw": CANARY}),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_known_secret_is_masked_in_every_spelling(spelling: str, secretive: Settings) -> None:
    shown = logs.redact(f"before {spelling} after", secretive)
    assert shown.startswith("before ")
    assert not [each for each in SPELLINGS[:6] if each in shown]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:Sec@RetWord@xyz@127.0.0.1:1/d",
        "redis://:Sec@RetWord@xyz@127.0.0.1:1/0",
        "http://me:Sec@RetWord@xyz@h:1",
    ],
)
@pytest.mark.parametrize(
    "shown",
    [
        "resolve 'RetWord@xyz@127.0.0.1'",
        "at RetWord alone",
        "to xyz@127.0.0.1",
        "from %40RetWord%40xyz%40",
        "as Sec@RetWord",
    ],
)
def test_every_piece_of_a_password_with_at_signs_is_masked(address: str, shown: str) -> None:
    masked = logs.redact(shown, Settings(database_url=Secret(address)))
    assert not [piece for piece in ("RetWord", "xyz", "Sec@") if piece in masked], masked


def test_what_is_not_secret_stays_readable(secretive: Settings) -> None:
    assert (
        logs.redact(f"CSV_URL {URL}", secretive) == "CSV_URL https://feeds.example.com/sales.csv?authKey=***&type=csv"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /a?authKey=abc&x=1", "GET /a?authKey=***&x=1"),
        ("GET /a?x=1&api_key=abc", "GET /a?x=1&api_key=***"),
        ("next=%2Fa%3FauthKey%3Dabc%26x%3D1", "next=%2Fa%3FauthKey%3D***%26x%3D1"),
        ("X-Amz-Signature=abc", "X-Amz-Signature=***"),
        ("host=h password=p4ss dbname=d", "host=h password=*** dbname=d"),
        ("host=h password='p4 \\' ss' dbname=d", "host=h password=*** dbname=d"),
        ("https://u:p@ss@h/x", "https://u:***@h/x"),
        ("https://u@x:p@ss@h/x", "https://u@x:***@h/x"),
        ("failed to resolve host 'ss@127.0.0.1': no", "failed to resolve host '***@127.0.0.1': no"),
        ('could not translate host name "ss@h" to address', 'could not translate host name "***@h" to address'),
        ("Cannot connect to host ss@h:443", "Cannot connect to host ***@h:443"),
        ("redis://:p4ss@h:1/0", "redis://:***@h:1/0"),
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("{'Authorization': 'Basic abc', 'b': 1}", "{'Authorization': '***', 'b': 1}"),
        ('{"token": "abc", "b": 1}', '{"token": "***", "b": 1}'),
        ("Set-Cookie: a=b; c=d", "Set-Cookie: ***"),
        ("POST /bot123456789:AAE-abcdefghijklmnopqrstuvwxyz_12345/send", "POST /bot***/send"),
        ("lots=5 keys=3 at 10:00:00", "lots=5 keys=3 at 10:00:00"),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
    ],
)
def test_what_looks_like_a_secret_is_masked_by_its_place(text: str, shown: str) -> None:
    assert logs.redact(text) == shown


def _fail(url: str) -> None:
    raise ValueError(f"cannot read {url}")


def test_no_secret_reaches_the_file_or_the_console(
    secretive: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = logs.configure("etl", secretive, console=True)
    log.info("fetching %s", URL)
    log.info("in a dict %(a)s", {"a": CANARY})
    logging.getLogger("some.library").warning(f"from elsewhere {CANARY}")  # noqa: G004 # as libraries do
    try:
        _fail(URL)
    except ValueError:
        log.exception("failed", stack_info=True)
    log.info("reached the end")
    shown = capsys.readouterr().err
    written = (tmp_path / "etl.log").read_text(encoding="utf-8")
    for text in (shown, written):
        assert "reached the end" in text
        assert "ValueError: cannot read https://feeds.example.com/sales.csv?authKey=***" in text
        assert not [each for each in SPELLINGS[:6] if each in text]


@pytest.mark.parametrize("console", [True, False])
def test_an_uncaught_exception_is_logged_and_shown_without_the_secret(tmp_path: Path, console: bool) -> None:
    code = f"""
import logging
from pathlib import Path
from vinops import logs
from vinops.config import Secret, Settings
logs.configure("etl", Settings(log_dir=Path({str(tmp_path)!r}), copart_csv_url=Secret({URL!r})), console={console})
logging.getLogger("etl").info("%d is no number", {CANARY!r})  # a mistake of ours must not show its argument either
raise ValueError("cannot read " + {URL!r} + " " + {CANARY!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    written = (tmp_path / "etl.log").read_text(encoding="utf-8")
    assert done.returncode == 1
    assert "was lost: TypeError" in done.stderr
    for text in (done.stderr, written):
        assert "ValueError: cannot read" in text
        assert not [each for each in SPELLINGS[:6] if each in text]


def test_a_line_has_the_format_that_the_operators_grep(secretive: Settings, tmp_path: Path) -> None:
    log = logs.configure("etl", secretive, console=False)
    log.info("merged %s", logs.pairs(new=3, file="a b", note=""))
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO etl: merged new=3 file="a b" note=""\n',
        (tmp_path / "etl.log").read_text(encoding="utf-8"),
    )


def test_a_message_cannot_forge_an_event(secretive: Settings, tmp_path: Path) -> None:
    log = logs.configure("etl", secretive, console=False)
    log.info("row %s", "x\n2026-01-01T00:00:00Z ERROR etl: forged\x1b[2J")
    assert len((tmp_path / "etl.log").read_text(encoding="utf-8").splitlines()) == 1


def test_processes_that_rotate_one_file_at_once_lose_no_line(tmp_path: Path) -> None:
    code = f"""
import logging, sys
from pathlib import Path
from vinops.logs import LogFile
log = logging.getLogger("t")
log.addHandler(LogFile(Path({str(tmp_path)!r}) / "t.log", most=30_000))
log.setLevel("INFO")
for n in range(400):
    log.info("%s-%s %s", sys.argv[1], n, "x" * 20)
"""
    running = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    files = sorted(tmp_path.glob("t.log*"))
    assert len(files) > 1
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert {line.split()[3] for line in lines} == {f"{number}-{n}" for number in range(3) for n in range(400)}
    assert all(len(line.split()) == 5 for line in lines)


def test_a_rotation_that_hangs_holds_up_nobody_and_loses_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOCK_SECONDS", 0.05)
    held = locks.locked(tmp_path / logs.LOCK, fcntl.LOCK_EX)
    log = logging.getLogger("t")
    file = logs.LogFile(tmp_path / "t.log", most=200)
    log.addHandler(file)
    try:
        for number in range(20):
            log.warning("line %s", number)
        assert [path.name for path in tmp_path.glob("t.log*")] == ["t.log"]
        os.close(held)
        file._postponed = 0
        log.warning("line 20")
    finally:
        log.removeHandler(file)
        file.close()
    texts = [(tmp_path / name).read_text(encoding="utf-8") for name in ("t.log.1", "t.log")]
    assert [line.split()[-1] for line in "".join(texts).splitlines()] == [str(number) for number in range(21)]


def written(path: Path, age_days: float, text: str) -> None:
    """Write a log as it was so many days ago."""
    moment = time.time() - age_days * 86_400
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    path.write_text(f"{when} INFO etl: {text}\n", encoding="utf-8")
    os.utime(path, (moment, moment))


def test_a_file_is_rotated_by_age_and_old_ones_go(secretive: Settings, tmp_path: Path) -> None:
    written(tmp_path / "etl.log", 15, "first")
    written(tmp_path / "etl.log.1", 13, "kept")
    written(tmp_path / "etl.log.2", 15, "gone")
    written(tmp_path / "other.log.1", 15, "not ours")
    logs.configure("etl", secretive, console=False).info("new")
    texts = {path.name: path.read_text(encoding="utf-8").rsplit(": ", 1)[1] for path in tmp_path.glob("*.log*")}
    # What was first is rotated, and as its last event is as old as its first, it goes too.
    assert texts == {"etl.log": "new\n", "etl.log.2": "kept\n", "other.log.1": "not ours\n"}


def test_a_file_that_grows_old_in_use_is_rotated_and_no_line_is_lost(tmp_path: Path) -> None:
    written(tmp_path / "t.log", 1, "begun")
    log = logging.getLogger("t")
    first, second = (logs.LogFile(tmp_path / "t.log", days=1 + 1 / 86_400) for _ in range(2))
    try:
        for handler in (first, second):
            handler.emit(log.makeRecord("t", logging.INFO, "f", 1, "in time", (), None))
        time.sleep(2.1)  # seconds until its first event is older than a day and a second
        for handler in (first, second):
            handler.emit(log.makeRecord("t", logging.INFO, "f", 1, "later", (), None))
    finally:
        first.close()
        second.close()
    assert (tmp_path / "t.log").read_text(encoding="utf-8").count("later") == 2
    old = (tmp_path / "t.log.1").read_text(encoding="utf-8")
    assert (old.count("begun"), old.count("in time")) == (1, 2)
    assert not (tmp_path / "t.log.2").exists()


def test_a_file_that_somebody_moved_is_made_anew(secretive: Settings, tmp_path: Path) -> None:
    log = logs.configure("etl", secretive, console=False)
    log.info("one")
    (tmp_path / "etl.log").rename(tmp_path / "moved")
    log.info("two")
    assert (tmp_path / "etl.log").read_text(encoding="utf-8").endswith("two\n")


def test_a_log_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="VINOPS_LOG_DIR"):
        logs.configure("etl", Settings(log_dir=tmp_path / "file"), console=False)
