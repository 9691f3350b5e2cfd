"""A reader that leaves early, as `head`, ends a command without a word, and with exit code 0; one that does something
does all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
