"""The monitor on a screen: its sizes, its keys, and a database that goes away and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.monitor.dialogs import Ask, LogScreen, Sheet
from ops.monitor.screen import Monitor
from ops.observe.observer import Observer
from tests.support import forks, snapshots as given
from tests.support.snapshots import ago
from vinops.config import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from ops.observe.snapshot import Snapshot

VINOPS = [sys.executable, "-m", "ops.cli"]
BAD = given.snapshot(
    workers=(given.worker("1"), given.worker("2", state="dead"), *map(given.worker, ("3", "4", "photos"))),
    feed=given.feed(good_at=ago(hours=9), loaded_at=ago(hours=9)),
)


class Hands:
    """The snapshots and actions of a monitor under test."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.taken = 0
        self.acts: list[tuple[str, str]] = []

    def observe(self) -> Snapshot:
        self.taken += 1
        return self.snapshot

    def act(self, what: str, name: str) -> str:
        self.acts.append((what, name))
        return f"Worker {name}: PID 1"

    def monitor(self, refresh: float = 3600) -> Monitor:
        return Monitor(Settings(), refresh=refresh, observe=self.observe, act=self.act)


def on_screen(app: Monitor) -> list[str]:
    """What stands on the screen, line by line."""
    return ["".join(segment.text for segment in strip).rstrip() for strip in app.screen._compositor.render_strips()]


async def settled(pilot: Pilot[None], is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not is_so():
            await pilot.pause(0.02)
    await pilot.pause()


def play(hands: Hands, size: tuple[int, int], game: Callable[[Monitor, Pilot[None]], Awaitable[None]]) -> None:
    """Run a monitor of that size, and the game once it has drawn something."""

    async def run() -> None:
        app = hands.monitor()
        async with app.run_test(size=size, notifications=True) as pilot:
            await settled(pilot, lambda: "workers run" in on_screen(app)[0])
            await settled(pilot, lambda: len(set(map(str, on_screen(app)))) > 5)
            await game(app, pilot)

    asyncio.run(run())


def test_all_that_matters_stands_on_eighty_by_twenty_four() -> None:
    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await settled(pilot, lambda: any("CRITICAL feed" in line for line in on_screen(app)))
        lines = on_screen(app)
        text = "\n".join(lines)
        assert len(lines) == 24
        assert max(map(len, lines)) <= 80
        assert re.match(r" vinops   4 of 5 workers run, 2 alarms +2026-11-25 02:40:00 UTC \(04:40 EET\)", lines[0])
        assert [line.split()[0] for line in lines[3:7]] == ["2", "3", "4", "photos"]
        for word in ("pages", "items", "/min", "trend", "ETA", "bmw page 37", "dead", "37/117", "1,240", "2:05"):
            assert word in text
        for words in (
            "149,997 rows",
            "changed     1,500",
            "rejected        3",
            "94 % of 150,000",
            "17,712 a day, 0.5 days to go",
        ):
            assert words in text
        for words in (
            "normalize       0 wait",
            "     12 today",
            "shut, 0 refusals",
            "CPU, load 23 %, 0.8",
            "disk    61 %",
        ):
            assert words in text
        for words in (
            "Celery    5, beat",
            "inserts   1,003/min",
            "updates 200/min",
            "of worker photos"[:4],
            "BMW 320 number 0",
            "12,500 EUR",
        ):
            assert words in text
        assert "CRITICAL workers: worker 2 died, 4 run" in text
        assert "→ vinops workers start 2" in text
        assert "→ python -m etl run" in text
        assert " ".join(lines[-1].split()) == "s start x stop l log a alarms p pause ? help q quit"

    play(Hands(BAD), (80, 24), game)


def test_forty_columns_show_every_worker_and_alarm_and_scroll_to_the_rest() -> None:
    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await settled(pilot, lambda: any("CRITICAL feed" in line for line in on_screen(app)))
        lines = on_screen(app)
        assert len(lines) == 24
        assert max(map(len, lines)) <= 40
        assert lines[0].split() == ["4", "of", "5", "workers", "run,", "2", "alarms", "04:40"]
        assert [line.split()[0] for line in lines[3:7]] == ["2", "3", "4", "photos"]
        assert any("CRITICAL workers: " in line for line in lines)
        text = "\n".join(lines)
        for words in ("bmw page 37", "dead", "149,997 rows", "changed     1,500", "normalize       0 wait"):
            assert words in text
        assert lines[-1] == " s start x stop l log a alarms ? q quit"
        await pilot.press("pagedown")
        await settled(pilot, lambda: any("12,500 EUR" in line for line in on_screen(app)))
        text = "\n".join(on_screen(app))
        for words in ("4 of 5 workers run", "94 % of 150,000", "inserts   1,003/min updates 200/min", "q quit"):
            assert words in text

    play(Hands(BAD), (40, 24), game)


def test_five_last_items_stand_on_eighty_by_twenty_four_when_nothing_is_wrong() -> None:
    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        lines = on_screen(app)
        assert sum("1179516432275589" in line for line in lines) == 5
        assert "5 of 5 workers run, no alarm" in lines[0]

    play(Hands(given.snapshot()), (80, 24), game)


def test_two_hundred_by_sixty_uses_its_room(tmp_path: Path) -> None:
    log = tmp_path / "worker_1.log"
    log.write_text("".join(f"2026-11-25T02:00:00Z INFO market: line {number}\n" for number in range(50)))
    snapshot = replace(BAD, workers=(given.worker("1", log=log), *(BAD.workers or ())[1:]))

    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await settled(pilot, lambda: any("INFO market: line 49" in line for line in on_screen(app)))
        lines = on_screen(app)
        text = "\n".join(lines)
        assert len(lines) == 60
        for words in ("PID", "refusals", "last error", "≈1,000,000 images", "www.mobile.bg", "4,012 today"):
            assert words in text
        assert "log of 1: " in text
        assert "8,000 missing" in text

    play(Hands(snapshot), (200, 60), game)


def test_a_screen_that_changes_its_size_is_drawn_anew() -> None:
    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(200, 60)
        await settled(pilot, lambda: any("≈1,000,000 images" in line for line in on_screen(app)))
        await pilot.resize_terminal(80, 24)
        await settled(pilot, lambda: len(on_screen(app)) == 24 and "≈1,000,000" not in "".join(on_screen(app)))
        await settled(pilot, lambda: any("→ python -m etl run" in line for line in on_screen(app)))

    play(Hands(BAD), (80, 24), game)


def test_a_worker_is_stopped_only_when_that_is_confirmed() -> None:
    hands = Hands(BAD)

    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("x")
        assert isinstance(app.screen, Ask)
        assert any("Stop worker 1 (Mercedes-Benz, BMW)?" in line for line in on_screen(app))
        await pilot.press("n")
        await pilot.pause()
        assert not isinstance(app.screen, Ask)
        assert hands.acts == []
        await pilot.press("x", "y")
        await settled(pilot, lambda: hands.acts == [("stop", "1")])
        await settled(pilot, lambda: hands.taken >= 2)

    play(hands, (80, 24), game)


def test_a_worker_that_died_is_started() -> None:
    hands = Hands(BAD)

    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("down", "s", "y")
        await settled(pilot, lambda: hands.acts == [("start", "2")])
        await settled(pilot, lambda: any("Worker 2: PID 1" in line for line in on_screen(app)))

    play(hands, (80, 24), game)


def test_one_that_runs_is_not_started_again_and_nothing_is_asked() -> None:
    hands = Hands(BAD)

    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await settled(pilot, lambda: any("runs already" in line for line in on_screen(app)))
        assert not isinstance(app.screen, Ask)
        assert hands.acts == []

    play(hands, (80, 24), game)


def test_the_log_is_opened_and_followed(tmp_path: Path) -> None:
    log = tmp_path / "worker_1.log"
    log.write_text("2026-11-25T02:00:00Z INFO market: begins\n2026-11-25T02:00:01Z ERROR market: \x1b[2J no_cards\n")

    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("l")
        await settled(pilot, lambda: any("INFO market: begins" in line for line in on_screen(app)))
        assert isinstance(app.screen, LogScreen)
        assert any("\\x1b[2J no_cards" in line for line in on_screen(app)), "nothing of a log moves the cursor"
        with log.open("a") as file:
            file.write("2026-11-25T02:00:02Z INFO market: goes on\n")
        await settled(pilot, lambda: any("goes on" in line for line in on_screen(app)))
        await pilot.press("e")
        await settled(pilot, lambda: not any("goes on" in line for line in on_screen(app)))
        assert any("no_cards" in line for line in on_screen(app))
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, LogScreen), "keys of the main screen do nothing here"
        await pilot.press("q")
        await settled(pilot, lambda: not isinstance(app.screen, LogScreen))
        assert any("workers run" in line for line in on_screen(app)), "q closes the log, not the monitor"

    play(Hands(given.snapshot(workers=(given.worker("1", log=log),))), (80, 24), game)


def test_paused_it_takes_no_snapshot_and_says_so() -> None:
    hands = Hands(BAD)

    async def run() -> None:
        app = hands.monitor(refresh=0.05)
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot, lambda: hands.taken >= 3)
            await pilot.press("p")
            await settled(pilot, lambda: "paused" in on_screen(app)[0])
            await settled(pilot, lambda: not app._is_observing)
            seen = hands.taken
            await pilot.pause(0.5)
            assert hands.taken == seen
            await pilot.press("r")
            await settled(pilot, lambda: hands.taken == seen + 1)
            await pilot.press("p")
            await settled(pilot, lambda: hands.taken > seen + 1 and "paused" not in on_screen(app)[0])

    asyncio.run(run())


def test_what_comes_back_when_it_has_ended_is_let_go() -> None:
    """A snapshot or a timer that is late: an error there would be printed over the shell."""
    app = Hands(BAD).monitor()

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot, lambda: "workers run" in on_screen(app)[0])

    asyncio.run(run())
    assert app.screen_stack == []
    app._seen(given.snapshot())
    app._arrange()
    app._draw_head()
    assert app._snapshot == given.snapshot()


def test_help_alarms_and_quit() -> None:
    async def game(app: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await settled(pilot, lambda: any("select a worker" in line for line in on_screen(app)))
        await pilot.press("escape")
        await pilot.press("a")
        await settled(pilot, lambda: isinstance(app.screen, Sheet))
        assert any("CRITICAL feed: 9 h old" in line for line in on_screen(app))
        await pilot.press("escape")
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running or app._exit

    play(Hands(BAD), (80, 24), game)


def test_a_slow_snapshot_blocks_no_key_and_its_age_is_shown() -> None:
    hands, go_on = Hands(BAD), threading.Event()
    quick = hands.observe

    def slow() -> Snapshot:
        if hands.taken >= 1:
            go_on.wait(30)
        return quick()

    async def run() -> None:
        app = Monitor(Settings(), refresh=0.1, observe=slow, act=hands.act)
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot, lambda: " old " in on_screen(app)[0])
            await pilot.press("question_mark")
            await settled(pilot, lambda: isinstance(app.screen, Sheet))
            go_on.set()
            await pilot.press("escape")
            await settled(pilot, lambda: " old " not in on_screen(app)[0])

    asyncio.run(run())


def test_a_database_that_is_away_is_said_in_red_and_found_when_it_is_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.observe.observer.RETRY", 0.05)
    nowhere = replace(settings, database_url=Secret("postgresql://vinops@127.0.0.1:1/none"))
    observer = Observer(nowhere, application="tests")

    async def run() -> None:
        app = Monitor(nowhere, refresh=0.1, observe=observer.observe)
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot, lambda: any("CRITICAL database" in line for line in on_screen(app)))
            line = next(line for line in on_screen(app) if "CRITICAL database" in line)
            assert line.endswith("→ vinops doctor")
            observer.settings = settings
            await settled(pilot, lambda: not any("CRITICAL database" in line for line in on_screen(app)))
            assert any("no file was ever loaded" in line or "not set up" in line for line in on_screen(app))

    try:
        asyncio.run(run())
    finally:
        observer.close()


def test_once_is_plain_text_of_eighty_columns_and_json_is_data(environment: dict[str, str]) -> None:
    done = forks.vinops(environment, "monitor", "--once")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("vinops 20")
    assert all(len(line) <= 80 or "→ " in line for line in done.stdout.splitlines())
    for title in ("FEED", "PHOTOS", "DEALS", "MACHINE", "LAST ITEMS"):
        assert title in done.stdout
    done = forks.vinops(environment, "monitor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [worker["name"] for worker in found["workers"]] == ["1", "2", "3", "4", "5", "photos"]
    assert found["database"]["error"] is None
    assert found["health"]["level"] in {"OK", "WARNING", "CRITICAL"}


def test_off_a_terminal_the_monitor_prints_once_and_ends(environment: dict[str, str]) -> None:
    done = forks.vinops(environment, "monitor")
    assert done.returncode == 0, done.stderr
    assert "WORKER" in done.stdout.upper()


@pytest.mark.slow
@pytest.mark.parametrize("has_colour", [True, False])
def test_no_color_is_respected_in_a_terminal(environment: dict[str, str], has_colour: bool) -> None:
    shown = _in_a_terminal(
        [*VINOPS, "monitor", "--once"],
        {**environment, "TERM": "xterm-256color", "COLUMNS": "80", **({} if has_colour else {"NO_COLOR": "1"})},
    )
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", shown)) is has_colour, shown[:400]


@pytest.mark.parametrize("has_colour", [True, False])
def test_no_color_is_respected_on_the_live_screen(environment: dict[str, str], has_colour: bool) -> None:
    variables = {**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "80", "LINES": "24"}
    shown = _in_a_terminal(
        [*VINOPS, "monitor"], variables | ({} if has_colour else {"NO_COLOR": "1"}), keys=b"q", after=b"vinops backup"
    )
    colours = {tuple(map(int, each)) for each in re.findall(r"\x1b\[[0-9;]*38;2;(\d+);(\d+);(\d+)", shown)}
    assert colours
    assert any(max(each) - min(each) > 60 for each in colours) is has_colour, colours


def _in_a_terminal(command: list[str], environment: dict[str, str], *, keys: bytes = b"", after: bytes = b"") -> str:
    """Run a command in a terminal and return all that it showed; `keys` are pressed once it has shown `after`."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65_536):
            shown += piece
            if keys and after in shown:
                os.write(master, keys)
                keys = b""
    except OSError:
        pass  # the other end is closed: the process has ended
    finally:
        os.close(master)
    assert process.wait(60) == 0, shown
    return shown.decode("utf-8", "replace")
