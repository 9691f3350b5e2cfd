"""`vinops demo` as a newcomer meets it: one command in an empty folder, twice, and cut short."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.conftest import remove_folder
from tests.support.children import child
from vinops.config import Settings
from vinops.db import database, embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LOTS = "3000"
COMMAND = [sys.executable, "-m", "ops.cli", "demo", "--lots", LOTS]
SERVE = [*COMMAND[:4], "--serve"]
CANARY = "canary-7f3a91"
RUNBOOK = Path(__file__).resolve().parents[3] / "docs" / "runbook.md"


def _environment() -> dict[str, str]:
    """A user's environment whose database and feed are not there: the demo must not even look at them."""
    return {
        **os.environ,
        "DATABASE_URL": f"postgresql://nobody:{CANARY}@127.0.0.1:1/nothing",
        "COPART_CSV_URL": f"https://feed.invalid/salesdata.csv?authKey={CANARY}",
        "VINOPS_FEED_MIN_ROWS": "999999999",
    }


def _processes_in(folder: Path) -> list[str]:
    """The processes that work in a folder or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            cwd = str((process / "cwd").readlink())
        except OSError:
            continue
        if int(process.name) != os.getpid() and (str(folder) in command or cwd.startswith(str(folder))):
            found.append(command)
    return found


def _all_gone(folder: Path) -> bool:
    """Wait for the server and its keeper, which stop by themselves a moment after their last user."""
    deadline = time.monotonic() + 20
    while _processes_in(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def folder(open_folder: Path) -> Path:
    """A folder as a user has it."""
    _a_users(open_folder)
    return open_folder


def _a_users(folder: Path) -> None:
    """Put a `.env` of the user's into a folder, and data of the user's beside the demo's."""
    (folder / ".env").write_text(f"DATABASE_URL=postgresql://nobody:{CANARY}@127.0.0.1:1/dotenv\n")
    (folder / "var").mkdir()
    (folder / "var").chmod(0o711)
    (folder / "var" / "mine").write_text("untouched")


def _demo(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [*COMMAND, *options], cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def _expected(shown: str) -> None:
    """A first demo: everything is new."""
    assert re.search(r"^INSERT 2997 UPDATE 0 .* rejected 3$", shown, re.MULTILINE)
    assert re.search(r"^INSERT 9 UPDATE \d+ unchanged \d+ gone 6 ", shown, re.MULTILINE)
    assert re.search(r"^unchanged: the source", shown, re.MULTILINE)
    assert "session 2 begins" in shown
    assert re.search(r"^24 lots, [2-9]\d\d photos fetched\.$", shown, re.MULTILINE)
    assert re.search(r"^lot_photos +24 +24 +\d+ +\d+ +0  finished$", shown, re.MULTILINE)
    assert re.search(r"^INFO market: walked make=bmw complete=yes ads=(\d+) total=\1 gone=0$", shown, re.MULTILINE)
    assert re.search(r"^new +\d+$", shown, re.MULTILINE)
    told = re.search(r"^notify: ([1-9]\d*) sent, 0 edited, 0 dropped, 0 failed,", shown, re.MULTILINE)
    assert told
    judged = re.search(
        r"The\s+channel\s+has\s+(\d+)\s+messages\..*\s(\d+)\s+of\s+these\s+messages\s+are\s+for\s+bargains,\s+0\s+for\s+traps",
        shown,
        re.DOTALL,
    )
    assert judged
    assert judged[1] == told[1]
    assert int(judged[2]) >= 1
    assert re.search(r"^ 1 +[789]\.\d  .*\(id\s\d+\)$", shown, re.MULTILINE)
    assert re.search(r"^Hours later, of all twenty makes: 40 new, 60 changed, 50 gone\.$", shown, re.MULTILINE)
    assert re.search(r"^INFO market: walked make=bmw complete=yes ads=(\d+) total=\1 gone=[1-9]", shown, re.MULTILINE)
    _expected_of_any(shown)


def _expected_of_the_next(shown: str) -> None:
    """A demo that finds what an earlier one left: nothing is loaded or fetched twice."""
    assert not re.search(r"^INSERT", shown, re.MULTILINE)
    assert re.search(r"^unchanged: ", shown, re.MULTILINE)
    assert re.search(r"^24 lots, 0 photos fetched\. All were here already", shown, re.MULTILINE)
    assert re.search(r"^lot_photos +24 +24 +0 +0 +0  finished$", shown, re.MULTILINE)
    # other makes may be new: the market moved after the first demo read them, for its alerts
    assert re.search(r"^INFO market: walked make=bmw complete=yes ads=(\d+) total=\1 gone=0$", shown, re.MULTILINE)
    assert re.search(r"^notify: 0 sent, \d+ edited,", shown, re.MULTILINE)
    assert "none is posted twice" in shown
    _expected_of_any(shown)


def _expected_of_any(shown: str) -> None:
    sections = [int(number) for number in re.findall(r"^(\d+)\. ", shown, re.MULTILINE)]
    assert sections == list(range(1, len(sections) + 1))
    assert re.search(r"^bmw +\d+ +\d+ +\d+ +\d+ +[1-9]", shown, re.MULTILINE)
    complete = re.search(r"^ok +(\d+) +0\.\d+ +(\d+) +\2$", shown, re.MULTILINE)
    assert complete
    # which lots are sold first depends on the day, and a yard may have taken no photos of one of them yet
    none_yet = re.search(r"^none_yet +(\d+) +0\.\d+ +0 +0$", shown, re.MULTILINE)
    assert int(complete[1]) + (int(none_yet[1]) if none_yet else 0) == 24
    assert re.search(r"^rows_accepted +2997$", shown, re.MULTILINE)
    # the step of the alerts brings another 90 lots, which a later demo finds
    assert re.search(r"^autograde +30[09]0 +\d+ +0\.\d+$", shown, re.MULTILINE)
    assert re.search(r"^row +field_count +3 ", shown, re.MULTILINE)
    assert re.search(r"^\d{8}  appeared$", shown, re.MULTILINE)
    assert "The very bytes that the stand-in served" in shown
    assert "env -u DATABASE_URL" in shown  # else the commands shown would ask the user's database
    assert CANARY not in shown
    assert "stand-in-key" not in shown


def _lots_without_a_vehicle(data: Path) -> int:
    """Count what a foreign key would refuse: see docs/decisions/0005."""
    statement = "select count(*) from lots where not exists (select from vehicles where id = vehicle_id)"
    with database.connect(Settings(data_dir=data, embedded_linger=0), application="tests") as connection:
        row = connection.execute(statement).fetchone()
    embedded.release(data)
    assert row
    return int(row[0])


@pytest.fixture(scope="module")
def done() -> Iterator[tuple[Path, str]]:
    """A demo that has been shown: its folder, and what it said."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-test-"))
    folder.chmod(0o711)
    _a_users(folder)
    (folder / "var" / "demo").mkdir()
    (folder / "var" / "demo" / "of_an_earlier_one").touch()
    yield folder, _demo(folder, "--fresh")
    remove_folder(folder)


@pytest.mark.quick
def test_it_shows_the_feed_end_to_end(done: tuple[Path, str]) -> None:
    folder, said = done
    _expected(said)
    assert max(map(len, said.splitlines())) <= 80
    assert _all_gone(folder)
    assert not (folder / "var" / "demo" / "of_an_earlier_one").exists()
    assert json.loads((folder / "var" / "demo" / "telegram.json").read_text()), "a later one finds the messages"


def test_a_command_that_it_shows_works(done: tuple[Path, str]) -> None:
    folder, said = done
    shown = said.split("Look further:\n")[1].replace("\n    ", " ")
    command = next(line.removeprefix("$ ") for line in shown.splitlines() if " sql " in line)
    asked = subprocess.run(
        command, shell=True, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert re.search(r"^active +3090$", asked.stdout, re.MULTILINE)


def test_the_runbook_brings_back_a_file_without_a_database(done: tuple[Path, str]) -> None:
    folder, shown = done
    served = re.search(r"^[0-9a-f]{64}$", shown, re.MULTILINE)
    assert served
    data = folder / "var" / "demo"
    script = re.search(r"```python\n(.+?)```", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL)
    assert script
    files = sorted(path.relative_to(data) for path in data.glob("raw/copart/**/*.csv.zst"))
    assert len(files) >= 2, "more after another demo in this folder"
    sums = {}
    for path in files:
        brought = subprocess.run(
            [sys.executable, "-c", script[1], str(data), str(path)], capture_output=True, check=True
        )
        sums[path.name] = hashlib.sha256(brought.stdout).hexdigest()
    assert served[0] in sums.values()
    assert len(set(sums.values())) == len(files)
    whole = next(path for path in files if sums[path.name] == served[0])
    stock = subprocess.run(["zstd", "-dc", str(data / whole)], capture_output=True, check=True)
    assert hashlib.sha256(stock.stdout).hexdigest() == served[0]


def test_shown_again_nothing_is_fetched_twice(done: tuple[Path, str]) -> None:
    folder, _ = done
    _expected_of_the_next(_demo(folder))
    assert _lots_without_a_vehicle(folder / "var" / "demo") == 0
    assert _all_gone(folder)
    assert sorted(path.name for path in (folder / "var").iterdir()) == ["demo", "mine"]
    assert (folder / "var" / "mine").read_text() == "untouched"


def test_served_it_is_a_world_to_work_in(done: tuple[Path, str]) -> None:
    """As it tells: from the folder it names, with the commands it shows."""
    folder, _ = done
    options = {"env": _environment(), "text": True, "cwd": folder}
    with child(SERVE, **options, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        shown = []
        for line in process.stdout:
            shown.append(line)
            if "/enter?key=" in line:
                break
        with urlopen(shown[-1].strip()) as page:
            assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert shown[0].startswith("Starting the stand-ins of the demo in "), "silent while they start"
        commands = [line.removeprefix("$ ").strip() for line in "".join(shown).replace("\n    ", " ").splitlines()]
        place = folder / next(line.removeprefix("cd ") for line in commands if line.startswith("cd "))
        start = next(line for line in commands if "workers start" in line)

        def vinops(*arguments: str, code: tuple[int, ...] = (0,)) -> str:
            command = start.replace("workers start 1 2 3 4 photos", " ".join(arguments))
            asked = subprocess.run(
                command, shell=True, cwd=place, env=_environment(), capture_output=True, text=True, check=False
            )
            assert asked.returncode in code, asked.stdout + asked.stderr
            return asked.stdout

        def items() -> dict[str, int]:
            workers = json.loads(vinops("monitor", "--once", "--json"))["workers"]
            return {row["name"]: row["run"]["items"] if row["run"] else 0 for row in workers}

        vinops("workers", "start", "1", "photos")
        deadline = time.monotonic() + 240
        first = items()
        while not all(items()[worker] > first[worker] for worker in ("1", "photos")):
            assert time.monotonic() < deadline, "the figures do not move"
        assert re.search(r"^OK +feed ", vinops("health", code=(0, 1, 2)), re.MULTILINE)
        assert CANARY not in (place / ".env").read_text()
        again = subprocess.run(SERVE, **options, capture_output=True, check=False)  # type: ignore[call-overload]
        assert "another demo is at work" in again.stderr
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "the stand-ins have ended" in said
    assert not (place / ".env").exists()
    assert _all_gone(folder)


@pytest.mark.quick
def test_without_a_demo_there_is_nothing_to_serve(folder: Path) -> None:
    refused = subprocess.run(SERVE, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "run `vinops demo` first" in refused.stderr
    assert not (folder / "var" / "demo").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cut_short_it_leaves_no_process_and_runs_again(folder: Path, number: signal.Signals) -> None:
    with child(
        COMMAND, cwd=folder, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("http://"):  # the database and the stand-in are up
                break
        assert any("standin.feed" in command for command in _processes_in(folder))
        assert any("postgres" in command for command in _processes_in(folder))
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert _all_gone(folder)


def test_a_second_one_at_the_same_time_says_so(folder: Path) -> None:
    with child(COMMAND, cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("http://"):
                break
        second = subprocess.run(COMMAND, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
        process.terminate()
        process.communicate(timeout=60)
    assert second.returncode == 1
    assert re.search(rf"another demo is at work in var/demo: process {process.pid} \(", second.stderr)
    assert process.returncode == 130, "the first one was at work until then"
    assert _all_gone(folder)


@pytest.mark.quick
def test_too_few_lots_are_wrong_usage_and_start_nothing(folder: Path) -> None:
    command = [*COMMAND[:-1], "3"]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert not (folder / "var" / "demo").exists()
