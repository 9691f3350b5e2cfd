"""A reader that leaves early, as `head`, ends a command without a word, and with exit code 0; one that does something
does all of it. Progress on a terminal."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vinops import logs, output
from vinops.config import Settings
from vinops.output import data_folder, for_reader

ROOT = Path(__file__).resolve().parents[3]
PIPE_BYTES = 1 << 16
"""What Linux takes of a pipe that nobody reads."""


def streams(code: str) -> subprocess.CompletedProcess[str]:
    """Run code whose standard output has no reader any more."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [
                sys.executable,
                "-E",
                "-c",  # not unbuffered
                f"import sys\nfrom vinops.output import for_reader\n{code}",
            ],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize("much", [10, 10 * PIPE_BYTES], ids=["in the buffer", "more than the buffer"])
@pytest.mark.parametrize("stream", ["sys.stdout", "sys.stdout.buffer"])
def test_a_command_whose_reader_left_ends_quietly(stream: str, much: int) -> None:
    text = "'x'" if stream == "sys.stdout" else "b'x'"
    done = streams(f"sys.exit(for_reader(lambda: {stream}.write({text} * {much}) and 0, enough=0))")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_exit_code_that_the_command_asks_for_stands() -> None:
    done = streams("for_reader(lambda: (print('two faults'), sys.exit(2)), enough=0)")
    assert (done.returncode, done.stderr) == (2, "")


def test_another_pipe_that_breaks_is_no_reader_that_left() -> None:
    def broken() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        for_reader(broken, enough=0)


def test_what_a_command_returns_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert for_reader(lambda: (print("done"), 3), enough=None) == (None, 3)
    assert capsys.readouterr().out == "done\n"


SCRIPT = """
import sys
from vinops.output import for_reader, say

def work():
    sys.stdin.readline()
    for number in range(3):
        say(f"line {number}")
        say(f"line {number}", err=True)
    open(sys.argv[1], "w").write("done")
    return 0

sys.exit(for_reader(work, enough=7))
"""


def test_what_does_something_goes_on_when_its_reader_leaves(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(done)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stderr.close()
        process.stdin.write(b"go\n")
        process.stdin.close()
        assert process.wait(30) == 0
    assert done.read_text() == "done"


def test_a_data_folder_is_named_whole_and_whether_it_is_there(tmp_path: Path) -> None:
    assert data_folder(Settings(data_dir=tmp_path)) == str(tmp_path)
    assert data_folder(Settings(data_dir=tmp_path / "var")) == f"{tmp_path}/var (not there yet)"


class Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 30
        while text not in self.getvalue():
            assert time.monotonic() < until, self.getvalue()
            time.sleep(0.001)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error is a terminal, and nothing waits for a second."""
    found = Terminal()
    for module in (output, logs):  # pytest replaces the streams of sys between a fixture and its test
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=found))
    monkeypatch.setattr(output, "FIRST", 0.0)
    monkeypatch.setattr(output, "EVERY", 0.001)
    return found


def test_work_is_shown_on_a_terminal_and_its_line_goes_again(terminal: Terminal) -> None:
    with output.at_work("loading") as work:
        terminal.wait_for("loading, 0 s")
        work(45, 90, "MB")
        terminal.wait_for("loading [##########..........] 50% 45 MB, 0 s")
        with output.at_work("starting the embedded database"):
            terminal.wait_for("starting the embedded database, 0 s")
        work(7, unit="ads", text="counting")
        terminal.wait_for("counting 7 ads, 0 s")
    assert terminal.getvalue().endswith(output.CLEAR)
    before = terminal.getvalue()
    with output.at_work("again"):
        terminal.wait_for("again, 0 s")
    assert terminal.getvalue().startswith(before)


def test_work_that_is_over_soon_shows_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "FIRST", 60.0)
    with output.at_work("loading"):
        pass
    assert terminal.getvalue() == ""


def test_work_off_a_terminal_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "sys", SimpleNamespace(stderr=(found := io.StringIO())))
    before = set(threading.enumerate())  # those of other tests may still end
    with output.at_work("loading") as work:
        work(1, 2)
        begun = set(threading.enumerate()) - before
    assert found.getvalue() == ""
    assert begun == set()


def test_a_log_goes_above_the_line_and_an_error_ends_it(terminal: Terminal) -> None:
    console = logs.Console()
    with pytest.raises(ValueError, match="over"), output.at_work("loading"):  # noqa: PT012
        terminal.wait_for("loading, 0 s")
        console.emit(logging.LogRecord("etl", logging.INFO, "", 0, "an event", (), None))
        raise ValueError("over")
    assert re.search(r"loading, 0 s\r\x1b\[K\S+Z INFO etl: an event\n", terminal.getvalue())
    assert output.CLEAR in terminal.getvalue().rpartition("\n")[2] or terminal.getvalue().endswith("\n")


def test_a_terminal_that_is_closed_ends_no_work(terminal: Terminal) -> None:
    with output.at_work("loading"):
        terminal.wait_for("loading, 0 s")
        terminal.close()
    with output.at_work("again"):
        pass


def test_progress_fits_a_narrow_terminal(terminal: Terminal) -> None:
    with output.at_work("x" * 200):
        terminal.wait_for("x" * 79)
    assert "x" * 80 not in terminal.getvalue()


@pytest.mark.parametrize("print_it", ["print('x')", "sys.stdout.writelines(['x'])", "sys.stdout.buffer.write(b'x')"])
def test_a_verdict_is_reached_though_nobody_reads(print_it: str) -> None:
    code = f"from vinops.output import to_its_end\ndef judge():\n    for _ in range(9999): {print_it}\n    sys.exit(2)"
    done = streams(f"{code}\nfor_reader(lambda: to_its_end(judge), enough=0)")
    assert (done.returncode, done.stderr) == (2, "")
