"""Two loads at once: one works, the other says so, and nothing is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.crash.world import PATIENCE, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.crash.world import Loader, SharedServer, Uninterrupted, World

pytestmark = pytest.mark.slow

RACES = 12


@pytest.fixture(scope="session")
def fetched(tell: Callable[..., Uninterrupted]) -> Uninterrupted:
    return tell("fetched")


@pytest.fixture
def world(fetched: Uninterrupted, shared: SharedServer) -> Iterator[World]:
    world = shared.clone(fetched.template, fetched.story.settings)
    yield world
    shared.drop(world)


def command(world: World, told: Uninterrupted, *words: str) -> subprocess.Popen[str]:
    assert told.story.killed.url is not None
    return subprocess.Popen(
        [sys.executable, "-m", "etl", *words],
        env={**os.environ, **world.environment, "COPART_CSV_URL": told.story.killed.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_loaded_once(world: World, told: Uninterrupted) -> None:
    without = told.story.without
    faults = difference(world.tables(without=told.story.without_midway), told.after)
    faults += difference(world.files(without=without), told.after_files)
    faults += world.archive_faults(told.story.contents())
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("point", ["fetch", "diff", "upsert_lots", "commit", "place"])
def test_a_run_beside_one_at_work_says_so_and_exits_0(
    point: str, world: World, fetched: Uninterrupted, loader: Loader
) -> None:
    first = loader.start(world.environment, fetched.story.killed, plan=f"point {point} 1 before", victim="stop")
    first.stopped_at()
    tables, files = world.tables(), world.files()
    second = command(world, fetched, "run", "--json")
    out, errors = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, errors
    assert json.loads(out)["status"] == "busy"
    assert "another run" in json.loads(out)["message"]
    assert not difference(world.tables(), tables)
    assert not difference(world.files(), files)
    first.go_on()
    ended = first.wait()
    assert (ended.code, ended.status) == (0, "loaded"), ended
    assert_loaded_once(world, fetched)


def test_an_ingest_beside_a_run_at_work_says_so_and_loads_nothing(
    world: World, fetched: Uninterrupted, loader: Loader, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("file") / "same.csv"
    file.write_bytes(fetched.story.killed.content)
    first = loader.start(world.environment, fetched.story.killed, plan="point merge 1 before", victim="stop")
    first.stopped_at()
    second = command(world, fetched, "ingest", str(file))
    _, errors = second.communicate(timeout=PATIENCE)
    assert second.returncode == 1  # the operator asked for this file, and it was not loaded
    assert "another run" in errors
    first.go_on()
    assert first.wait().status == "loaded"
    assert_loaded_once(world, fetched)


@pytest.mark.quick
def test_two_commands_started_together_load_the_file_once(world: World, fetched: Uninterrupted) -> None:
    both = [command(world, fetched, "run", "--json") for _ in range(2)]
    ends = []
    for process in both:
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        ends.append(json.loads(out)["status"])
    assert set(ends) in ({"loaded", "busy"}, {"loaded", "unchanged"})  # unchanged: it came when the first was done
    # The command reads in larger blocks than the loads of these tests: the archive holds the same in other bytes.
    without = fetched.story.without_midway | {"archive_bytes", "archive_sha256"}
    wanted = {name: _without(rows, *without) for name, rows in fetched.after.items()}
    assert not difference({name: _without(rows, *without) for name, rows in world.tables().items()}, wanted)
    assert not world.archive_faults(fetched.story.contents())


def _without(rows: list[str], *names: str) -> list[str]:
    return sorted(json.dumps({k: v for k, v in json.loads(row).items() if k not in names}) for row in rows)


def test_of_two_loads_that_race_many_times_one_works_and_nothing_is_doubled(
    fetched: Uninterrupted, shared: SharedServer, loader: Loader, second_loader: Loader
) -> None:
    ends: Counter[str] = Counter()
    for _ in range(RACES):
        world = shared.clone(fetched.template, fetched.story.settings)
        jobs = [each.start(world.environment, fetched.story.killed) for each in (loader, second_loader)]
        statuses = []
        for job in jobs:
            ended = job.wait()
            assert ended.code == 0, ended
            statuses.append(ended.status)
        assert statuses.count("loaded") == 1, statuses
        ends.update(statuses)
        assert_loaded_once(world, fetched)
        shared.drop(world)
    assert ends["loaded"] == RACES
    assert ends["busy"] + ends["unchanged"] == RACES
    assert ends["busy"], "they never met"
