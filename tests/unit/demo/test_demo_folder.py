"""The folder of the demo, its lock, and its end by a signal."""

from __future__ import annotations

import os
import re
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from demo import demo, folder as demo_folder, serve as demo_serve, steps, world as demo_world
from demo.steps import Step
from demo.world import DemoFailed, World
from vinops import locks
from vinops.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack
    from pathlib import Path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_lives_below_the_data_folder_that_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(demo_folder.place()) == "var/demo"
    (tmp_path / ".env").write_text("VINOPS_DATA_DIR=mine\nR2_BUCKET_NAME=alone\nVINOPS_FEED_MIN_ROWS=x\n")
    assert str(demo_folder.place()) == "mine/demo", "what else is wrong is of no account"
    monkeypatch.setenv("VINOPS_DATA_DIR", str(tmp_path / "trial"))
    assert demo_folder.place() == tmp_path / "trial" / "demo"


def test_a_data_folder_that_cannot_be_told_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"VINOPS_DATA_DIR=\xff\n")
    with pytest.raises(DemoFailed, match=r"\.env cannot be read"):
        demo_folder.place()


def test_the_demo_and_what_is_served_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VINOPS_DATA_DIR", str(tmp_path / "trial"))
    shown = []

    def show(state: demo.Demo) -> None:
        shown.append(state.folder)
        raise DemoFailed("enough")

    monkeypatch.setattr(demo, "STEPS", (demo.STEPS[0], Step(title="The last one", run=show)))
    monkeypatch.setattr(steps.database, "migrate", lambda _: [])
    assert demo.run(fresh=True) == 1
    assert shown == [tmp_path / "trial" / "demo"]
    assert str(shown[0]) in capsys.readouterr().out.replace("\n", " ")
    assert demo_serve.serve() == 1
    assert f"there is no demo of this version in {tmp_path}/trial/demo" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["trial"]


def test_beginning_anew_empties_no_other_demo(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo").touch()
    with demo_folder.held(tmp_path / "one", Settings(data_dir=tmp_path / "one"), {}):
        assert [each.name for each in (tmp_path / "one").iterdir()] == [demo_folder.LOCK]
    assert (tmp_path / "two" / "photo").exists()


def test_a_second_one_at_the_same_time_is_told_who_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    held = demo_folder.held(folder, Settings(data_dir=folder), {})
    with held:
        (folder / "of_the_first").touch()
        refused = rf"another demo is at work in {re.escape(str(folder))}: process {os.getpid()} \(.*VINOPS_DATA_DIR"
        with pytest.raises(DemoFailed, match=refused), demo_folder.held(folder, Settings(data_dir=folder), {}):
            pass
        with pytest.raises(DemoFailed, match=refused), demo_folder.kept(folder):
            pass
        assert (folder / "of_the_first").exists()
        assert (folder / demo_folder.LOCK).stat().st_mode & 0o7777 == 0o600
    os.close(locks.locked(folder / demo_folder.LOCK, demo_folder.fcntl.LOCK_EX, seconds=0))


def test_what_an_earlier_one_noted_is_found_and_what_it_left_stays(tmp_path: Path) -> None:
    demo_folder.note(tmp_path, {"lots": 3_000, "sha256": "ab"})
    (tmp_path / "photo").touch()
    with demo_folder.held(tmp_path, Settings(data_dir=tmp_path), {"lots": 3_000}) as found:
        assert found == {"lots": 3_000, "sha256": "ab", "served": 0}
        assert {each.name for each in tmp_path.iterdir()} == {"photo", demo_folder.LOCK}, "cut short it is no base"


def test_a_demo_of_before_there_was_serving_was_served_no_time(tmp_path: Path) -> None:
    demo_folder.note(tmp_path, {"lots": 3_000, "migrations": ["0001"]})
    assert demo_folder.noted(tmp_path, {"lots": 3_000})["served"] == 0
    assert demo_folder.noted(tmp_path, {"lots": 4_000}) == {}


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that ends a process, as where nothing is ignored."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.parametrize(("show", "code"), [(demo.run, 130), (demo_serve.serve, 0)])
def test_cut_short_by_a_signal_what_it_started_is_ended(
    show: Callable[[], int], code: int, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    def work(cleanup: ExitStack) -> None:
        cleanup.callback(ended.append, "the stand-in")
        if signal.getsignal(number) is not signal.SIG_DFL:  # else these tests would end
            signal.raise_signal(number)
        raise AssertionError("it goes on")

    monkeypatch.setattr(demo, "_go_through", lambda state: work(state.cleanup))
    monkeypatch.setattr(demo_serve, "_serve", work)
    assert (show(), ended) == (code, ["the stand-in"])
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    with demo_folder.signals():
        signal.raise_signal(number)


def test_while_it_is_served_the_world_moves_on_and_at_the_end_all_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "var" / "demo"
    folder.mkdir(parents=True)
    demo_folder.note(folder, {"lots": 3_000, "migrations": demo_folder.migrations()})
    ran, moved, shown = [], [], []

    def wait(_seconds: float) -> None:
        shown.append((folder / demo_serve.PLACE / ".env").read_text().splitlines())
        if len(shown) == 2:
            raise KeyboardInterrupt

    world = World(settings=dict.fromkeys(("COPART_CSV_URL", "MOBILE_BG_URL"), "http://127.0.0.1:1/"), noted={})
    monkeypatch.setattr(demo_serve.demo_world, "start", lambda *_, **__: world)
    monkeypatch.setattr(demo_serve.database, "migrate", lambda _: [])
    monkeypatch.setattr(demo_serve, "open_site", lambda *_: "http://localhost:1/enter?key=once")
    monkeypatch.setattr(demo_serve, "_run", lambda _environment, _folder, *words: ran.append(words[1:]))
    monkeypatch.setattr(demo_serve.demo_world, "advance", lambda *address_and_how: moved.append(address_and_how))
    monkeypatch.setattr(demo_serve, "time", SimpleNamespace(sleep=wait))
    assert demo_serve.serve() == 0
    assert {"VINOPS_WORKERS_BACKEND=processes", "COPART_CSV_URL=http://127.0.0.1:1/"} <= set(shown[0])
    assert not (folder / demo_serve.PLACE / ".env").exists()
    assert demo_folder.noted(folder, {"lots": 3_000})["served"] == 2
    more = [(world.feed, demo_world.MORE_LOTS), (world.market, demo_world.MORE_ADS)]
    left = [(world.feed,), (world.market,)]
    left += [(world.market, each) for each in (demo_world.NEW_ADS, demo_world.OTHER_PRICES)]
    left.append((world.feed, demo_world.NEW_LOTS))
    assert moved == [*left, *more, *more], "as the demo left it, then on, twice"
    stops = [("ops.cli", "workers", "stop", *demo_serve.WORKERS), ("ops.cli", "celery", "stop")]
    assert ran == [("etl", "run"), ("etl", "run"), *stops]
    assert "http://localhost:1/enter?key=once" in capsys.readouterr().out.splitlines()
