"""`vinops workers`: never two of one, each start confirmed, each failure explained. The contract of both backends is in
test_backends.py."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.workers.processes import AlreadyRunning, Processes, descendants, identify, last_lines
from ops.workers.registry import Program
from standin.market.server import MarketServer
from tests.support.children import child
from tests.support.fleets import ROOT, Database, Fleet, unit, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

pytestmark = pytest.mark.slow

FIRST = "Worker 1 (Mercedes-Benz, BMW)"


@pytest.fixture
def plain(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Fleet]:
    """Workers as plain processes."""
    fleet = Fleet(settings=settings, database=database, folder=tmp_path)
    fleet.prepare()
    yield fleet
    fleet.close()
    if (settings.data_dir / "run" / "celery_worker.json").exists():
        fleet.run("celery", "stop", "--grace", "1")


@pytest.fixture
def units(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Fleet]:
    """Workers as units of systemd."""
    fleet = Fleet(settings=settings, database=database, folder=tmp_path, is_systemd=True)
    fleet.prepare()
    yield fleet
    fleet.close()


def below_of(pid: int) -> list[int]:
    return [each.pid for each in descendants(pid)]


@pytest.mark.quick
def test_each_start_is_confirmed_and_a_second_one_says_they_run(plain: Fleet) -> None:
    first = plain.run("workers", "start")
    assert first.returncode == 0, first.stderr
    lines = dict(line.rsplit(": PID ", 1) for line in first.stdout.splitlines())
    assert list(lines) == [
        FIRST,
        "Worker 2 (Audi, VW, Opel)",
        "Worker 3 (Ford, Toyota, Renault, Peugeot, Citroen)",
        "Worker 4 (Skoda, Seat, Honda, Mazda, Nissan, Hyundai, Kia, Volvo, Fiat, Alfa Romeo)",
    ]
    for number, pid in enumerate(lines.values(), 1):
        assert plain.processes(str(number)) == [int(pid)]
    begun = plain.rows("select pid from ops.crawl_runs where finished_at is null order by worker")
    assert [pid for (pid,) in begun] == [int(pid) for pid in lines.values()], "confirmed means that each has begun"

    second = plain.run("workers", "start", "1", "2")
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.splitlines()[:2] == [
        f"vinops: data folder {plain.settings.data_dir}",
        f"{FIRST} runs already: PID {lines[FIRST]}",
    ]
    assert plain.processes("1") == [int(lines[FIRST])]


def test_status_tells_how_each_is(plain: Fleet) -> None:
    assert {each["state"] for each in plain.status().values()} == {"stopped"}
    pids = plain.start("1", "2")
    plain.database.execute(
        "update ops.crawl_runs set current_item = 'bmw page 7', done = 12, total = 85, items = 240 where worker = '1'"
    )
    shown = plain.run("workers", "status")
    assert shown.returncode == 1, "two of four do not run"
    text = " ".join(shown.stdout.split())
    assert f"1 running, PID {pids['1']}, for " in text
    assert "at bmw page 7; page 12 of 85, 240 items, " in text
    assert re.search(r"last: 20\S+ INFO worker_1: began", text), "the last line of its log"
    assert "3 stopped; Ford, Toyota, Renault" in text
    assert re.search(r"machine CPU \d+ %, load [\d.]+ on .*; memory \d+ %, .* free; disk \d+ %, .* free", text)
    paths = [line for line in shown.stdout.splitlines() if str(plain.settings.log_dir) in line]
    assert len(paths) == 4, "where each log is, whole"
    assert all(len(line) <= 80 for line in shown.stdout.splitlines() if line not in paths)
    assert plain.run("workers", "status", "1", "2").returncode == 0
    found = plain.status()["1"]
    assert (found["state"], found["pid"], found["makes"]) == ("running", pids["1"], ["Mercedes-Benz", "BMW"])
    assert found["log"] == str(plain.settings.log_dir / "worker_1.log")
    assert (found["run"]["current_item"], found["run"]["done"], found["duplicates"]) == ("bmw page 7", 12, [])


@pytest.mark.quick
def test_stop_lets_it_end_and_a_second_stop_finds_nothing(plain: Fleet) -> None:
    (pid,) = plain.start("1").values()
    done = plain.run("workers", "stop")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"{FIRST}: PID {pid} stopped")
    assert done.stdout.splitlines()[1] == "Worker 2 (Audi, VW, Opel) does not run"
    assert plain.rows("select reason from ops.crawl_runs") == [("shutdown",)]
    assert (plain.state("1"), plain.processes("1")) == ("stopped", [])
    assert plain.run("workers", "stop", "1").stdout == f"{FIRST} does not run\n"


def test_restart_is_another_process(plain: Fleet) -> None:
    (pid,) = plain.start("1").values()
    done = plain.run("workers", "restart", "1", "2")
    assert done.returncode == 0, done.stderr
    assert identify(pid) is None
    assert f"{FIRST}: PID {plain.status()['1']['pid']}" in done.stdout
    assert plain.state("2") == "running"


def test_a_start_that_comes_to_nothing_says_why(plain: Fleet) -> None:
    plain.says("1", "crash")
    done = plain.run("workers", "start", "1", "2")
    assert done.returncode == 1
    assert "Worker 2 (Audi, VW, Opel): PID" in done.stdout, "the others are started all the same"
    assert f"{FIRST} ended at once (exit code 1): " in done.stderr
    assert "RuntimeError: the wheel came off" in done.stderr


def test_the_photo_crawl_is_one_of_them_when_asked(plain: Fleet) -> None:
    assert plain.run("workers", "start", "photos").stdout.startswith("Photo crawl: PID ")
    shown = plain.run("workers", "status")
    assert "photos" in shown.stdout
    assert "stopped" in plain.run("workers", "stop", "photos").stdout


def test_what_is_no_worker_is_wrong_usage(plain: Fleet) -> None:
    for verb in ("start", "stop", "restart", "status"):
        done = plain.run("workers", verb, "9")
        assert done.returncode == 2
        assert "9 is not a worker: use 1, 2, 3, 4, 5, photos" in " ".join(done.stderr.replace("│", " ").split())


def test_a_crawl_that_was_started_by_hand_is_not_doubled(plain: Fleet) -> None:
    by_hand = subprocess.Popen(plain.crawl("1"), env=plain.environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: plain.rows("select 1 from ops.crawl_runs"), "it begins")
        done = plain.run("workers", "start", "1")
        assert done.returncode == 1
        assert f"{FIRST} was not started: it runs elsewhere, as PID {by_hand.pid}" in done.stderr
    finally:
        by_hand.kill()
        by_hand.wait()
    assert plain.run("workers", "start", "1").returncode == 0, "it is gone, whatever its heartbeat says"


def test_stop_ends_crawls_that_were_started_by_hand(plain: Fleet) -> None:
    pid = plain.start("2")["2"]
    with child(plain.crawl("4"), env=plain.environment, stderr=subprocess.DEVNULL) as by_hand:
        until(lambda: plain.rows("select 1 from ops.crawl_runs where worker = '4'"), "it begins")
        shown = plain.run("workers", "status").stdout
        assert f"started by hand: PID {by_hand.pid} (`vinops workers stop 4` ends it)" in " ".join(shown.split())
        assert plain.status()["4"]["duplicates"] == [by_hand.pid]
        assert plain.run("workers", "stop", "1").stdout == f"{FIRST} does not run\n", "another is not named"
        assert by_hand.poll() is None
        done = plain.run("workers", "stop")
        assert by_hand.wait(20) == 0, "it gave back what it had"
    lines = done.stdout.splitlines()
    assert lines[1] == f"Worker 2 (Audi, VW, Opel): PID {pid} stopped"
    assert lines[3].endswith(f"Alfa Romeo): PID {by_hand.pid}, started by hand, stopped")
    assert len(lines) == 4
    assert plain.rows("select distinct reason from ops.crawl_runs") == [("shutdown",)]


def test_stop_names_what_runs_elsewhere(plain: Fleet) -> None:
    plain.database.execute(
        "insert into ops.crawl_runs (spider, worker, machine, pid) values ('mobile_bg', '1', 'elsewhere', 1)"
    )
    done = plain.run("workers", "stop", "1")
    assert f"{FIRST} runs elsewhere, as PID 1 on elsewhere: stop it there" in done.stderr


def test_a_stop_whose_reader_leaves_stops_all(plain: Fleet) -> None:
    """`workers stop | head -1`, and a restart whose output nobody reads."""
    plain.start()
    for verb, states in (("stop", {"stopped"}), ("restart", {"running"}), ("stop", {"stopped"})):
        process = plain.begin("workers", verb)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        assert process.wait(60) == 0, verb
        assert {plain.state(name) for name in "1234"} == states


def test_one_command_stops_everything(plain: Fleet) -> None:
    plain.more["VINOPS_SUPERVISE_EVERY"] = "0.2"
    pids = plain.start("1", "photos")
    assert plain.run("celery", "start").returncode == 0
    supervisor = plain.supervise()
    until(lambda: "supervising" in plain.log(), "it supervises")
    with child(plain.crawl("3"), env=plain.environment, stderr=subprocess.DEVNULL) as by_hand:
        until(lambda: plain.rows("select 1 from ops.crawl_runs where worker = '3'"), "it begins")
        done = plain.run("stop")
        assert by_hand.wait(20) == 0
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"Supervisor: PID {supervisor.pid} stopped"
    assert f"{FIRST}: PID {pids['1']} stopped" in lines
    assert f"Photo crawl: PID {pids['photos']} stopped" in lines
    assert sum(line.startswith("Celery") and line.endswith("stopped") for line in lines) == 2
    assert sum(f"PID {by_hand.pid}, started by hand, stopped" in line for line in lines) == 1
    assert supervisor.wait(20) == 0
    assert {each["state"] for each in plain.status().values()} == {"stopped"}
    again = plain.run("stop")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "Supervisor does not run")
    assert plain.run("supervise", "--once").returncode == 0
    assert {each["state"] for each in plain.status().values()} == {"stopped"}, "none of them is wanted"


def test_the_fifth_worker_is_stopped_and_restarted_with_the_others_once_it_was_started(plain: Fleet) -> None:
    plain.start("1")
    assert "Worker 5" not in plain.run("workers", "restart").stdout, "it is off"
    before = plain.start("5")["5"]
    done = plain.run("workers", "restart")
    assert done.returncode == 0, done.stderr
    assert f"PID {before} stopped" in done.stderr
    assert plain.state("5") == "running"
    done = plain.run("workers", "stop")
    assert "Worker 5" in done.stdout
    assert {each["state"] for each in plain.status().values()} == {"stopped"}
    done = plain.run("workers", "start")
    assert (done.returncode, "Worker 5" in done.stdout) == (0, False), "it is off again"


def test_one_command_stops_all_units(units: Fleet) -> None:
    pid = units.start("1")["1"]
    done = units.run("stop")
    assert done.returncode == 0, done.stderr
    assert f"{FIRST}: PID {pid} stopped" in done.stdout.splitlines()
    assert units.state("1") == "stopped"
    assert "timers go on: `systemctl stop 'vinops-*.timer'` stops them too" in done.stderr


def test_the_supervisor_is_stopped_by_a_command_of_its_own(plain: Fleet) -> None:
    plain.start("1")
    supervisor = plain.supervise()
    until(lambda: "supervising" in plain.log(), "it supervises")
    done = plain.run("supervise", "--stop")
    assert (done.returncode, done.stdout) == (0, f"Supervisor: PID {supervisor.pid} stopped\n")
    assert supervisor.wait(20) == 0
    assert plain.state("1") == "running"
    assert plain.run("supervise", "--stop").stdout == "Supervisor does not run\n"


def test_a_worker_of_another_machine_is_not_doubled(plain: Fleet) -> None:
    plain.database.execute(
        "insert into ops.crawl_runs (spider, worker, machine, pid) values ('mobile_bg', '1', 'elsewhere', 1)"
    )
    done = plain.run("workers", "start", "1")
    assert done.returncode == 1
    assert "it runs elsewhere, as PID 1 on elsewhere" in done.stderr


def test_what_an_operator_wants_is_kept(plain: Fleet) -> None:
    plain.start("1", "2")
    plain.run("workers", "stop", "2")
    rows = plain.rows("select machine, worker, desired from ops.workers order by worker")
    assert rows == [(socket.gethostname(), "1", "running"), (socket.gethostname(), "2", "stopped")]


def test_a_unit_whose_main_process_starts_the_crawl_is_confirmed_too(units: Fleet) -> None:
    loop = "trap 'kill $crawl; wait $crawl; exit 0' TERM; \"$@\" & crawl=$!; wait $crawl"
    command = units.folder / "units" / f"{unit('1')}.command"
    command.write_text(json.dumps(["sh", "-c", loop, "sh", *json.loads(command.read_text())]))
    done = units.run("workers", "start", "1")
    assert done.returncode == 0, done.stderr
    ((crawl,),) = units.rows("select pid from ops.crawl_runs")
    main = units.status()["1"]["pid"]
    assert done.stdout == f"{FIRST}: PID {main}\n"
    assert crawl in below_of(main)
    assert "stopped" in units.run("workers", "stop", "1").stdout
    assert units.rows("select reason from ops.crawl_runs") == [("shutdown",)]


def test_units_are_used_where_they_are_installed(units: Fleet) -> None:
    units.more["VINOPS_WORKERS_BACKEND"] = "auto"
    units.start("1")
    assert (units.folder / "units" / f"{unit('1')}.json").exists()
    assert not (units.settings.data_dir / "run" / "worker_1.json").exists()
    for installed in (units.folder / "units").glob("*.command"):
        installed.unlink()
    assert units.run("workers", "start", "2").returncode == 0
    assert (units.settings.data_dir / "run" / "worker_2.json").exists()


def test_a_keeper_whose_folder_is_gone_ends_with_its_worker(plain: Fleet) -> None:
    pid = plain.start("1")["1"]
    keeper = json.loads((plain.settings.data_dir / "run" / "worker_1.json").read_text())["keeper"]["pid"]
    (plain.settings.data_dir / "run").rename(plain.settings.data_dir / "away")
    os.kill(pid, signal.SIGKILL)
    until(lambda: identify(keeper) is None, "no folder is left to record the end in", seconds=20)


def test_a_worker_outlives_its_keeper_and_is_not_doubled(plain: Fleet) -> None:
    (pid,) = plain.start("1").values()
    noted = json.loads((plain.settings.data_dir / "run" / "worker_1.json").read_text())
    os.kill(noted["keeper"]["pid"], signal.SIGKILL)
    until(lambda: identify(noted["keeper"]["pid"]) is None, "the keeper is gone")
    assert plain.run("workers", "start", "1").returncode == 1
    assert plain.state("1") == "running"
    assert plain.run("workers", "stop", "1").stdout == f"{FIRST}: PID {pid} stopped\n"
    assert plain.state("1") == "stopped"
    (pid,) = plain.start("1").values()
    noted = json.loads((plain.settings.data_dir / "run" / "worker_1.json").read_text())
    os.kill(noted["keeper"]["pid"], signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    until(lambda: identify(pid) is None, "the worker is gone")
    assert plain.state("1") == "dead"


def program(tmp_path: Path, *command: str) -> Program:
    return Program(name="one", key="one", title="One", command=command, log=tmp_path / "one.log", unit="one.service")


def test_remains_that_hold_the_lock_are_named(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "run")
    pid = processes.start(program(tmp_path, "sh", "-c", "sleep 1000 & wait")).pid
    assert pid is not None
    until(lambda: below_of(pid), "it has a child")
    (child,) = below_of(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: processes.status_of(program(tmp_path)).state == "dead", "it is gone")
    with pytest.raises(AlreadyRunning, match=rf"remains of an earlier one are still there \(PID {child}\)"):
        processes.start(program(tmp_path, "true"))
    os.kill(child, signal.SIGKILL)
    until(lambda: identify(child) is None, "the child is gone")
    assert processes.start(program(tmp_path, "sleep", "1000")).state == "running"
    assert processes.stop(program(tmp_path), grace=10).pid is not None


def test_what_a_process_says_is_kept_in_bounds(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "run")
    processes.start(program(tmp_path, sys.executable, "-c", "for n in range(400_000): print('line', n)"))
    until(lambda: processes.status_of(program(tmp_path)).state == "finished", "it is done")
    assert last_lines(tmp_path / "one.err", 1) == ["line 399999"]
    assert {path.name for path in tmp_path.glob("one.err*")} == {"one.err", "one.err.1"}
    assert all(path.stat().st_size <= 1_000_000 for path in tmp_path.glob("one.err*"))


def test_a_command_that_is_not_there_fails_and_says_so(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "run")
    processes.start(program(tmp_path, "no-such-command"))
    until(lambda: processes.status_of(program(tmp_path)).state == "failed", "it fails")
    assert processes.status_of(program(tmp_path)).exit_code == 127
    assert last_lines(tmp_path / "one.err") == ["no-such-command: No such file or directory"]


def test_a_process_is_away_from_the_terminal_and_from_its_starter(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "run")
    pid = processes.start(program(tmp_path, "sleep", "1000")).pid
    assert pid is not None
    assert os.getsid(pid) == pid
    assert str(Path(f"/proc/{pid}/fd/0").readlink()) == os.devnull
    processes.stop(program(tmp_path), grace=10)


def test_of_two_who_stop_at_once_one_does(tmp_path: Path) -> None:
    """Scrapy takes a second SIGTERM for an order to drop everything."""
    processes = Processes(tmp_path / "run")
    counting = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True))\n"
        "print('up', flush=True)\n"
        "time.sleep(1)\n" * 3
    )
    processes.start(program(tmp_path, sys.executable, "-c", counting))
    until(lambda: last_lines(tmp_path / "one.err"), "it is up")
    script = (
        "import sys; from pathlib import Path; from types import SimpleNamespace; "
        "from ops.workers.processes import Processes; "
        "print(Processes(Path(sys.argv[1])).stop(SimpleNamespace(key='one'), grace=30).pid)"
    )
    stops = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert sorted(stop.communicate()[0] == b"None\n" for stop in stops) == [False, True]
    assert last_lines(tmp_path / "one.err", 10).count("told") == 1


@pytest.fixture
def market() -> Iterator[MarketServer]:
    """A market in which worker 1 has some twenty pages to read."""
    with MarketServer(seed=4, ads=0, make_ads={"bmw": 210, "mercedes-benz": 190}) as server:
        yield server


def real(fleet: Fleet, market: MarketServer, pace: str) -> Fleet:
    """Have the fleet start real crawls."""
    fleet.program = "vinops"
    fleet.crawl = lambda name: ["-m", "scrapy", "crawl", "mobile_bg", "-a", f"worker={name}"]
    fleet.more |= {"MOBILE_BG_URL": market.url, "VINOPS_PACE": pace}
    return fleet


def test_of_two_operators_at_once_one_starts_the_crawl(plain: Fleet, market: MarketServer) -> None:
    real(plain, market, "steady")
    both = [plain.begin("workers", "start", "1") for _ in range(2)]
    ends = [(*each.communicate(), each.returncode) for each in both]
    ((said, _, _),) = [end for end in ends if end[2] == 0]
    ((_, refused, _),) = [end for end in ends if end[2] == 1]
    (pid,) = plain.processes("1")
    assert said == f"{FIRST}: PID {pid}\n"
    assert refused.splitlines()[1:] == [f"{FIRST} runs already: PID {pid}"]
    assert plain.rows("select pid from ops.crawl_runs") == [(pid,)]
    assert plain.run("workers", "stop", "1").stdout == f"{FIRST}: PID {pid} stopped\n"
    assert plain.rows("select reason from ops.crawl_runs") == [("shutdown",)]


def test_a_crawl_that_is_stopped_under_load_loses_and_doubles_nothing(plain: Fleet, market: MarketServer) -> None:
    real(plain, market, "steady").start("1")
    until(lambda: plain.rows("select 1 from listings offset 20 limit 1"), "it is in the middle of a list")
    done = plain.run("workers", "stop", "1")
    assert "stopped" in done.stdout, done.stderr
    assert plain.rows("select reason, finished_at is not null from ops.crawl_runs") == [("shutdown", True)]
    assert plain.rows("select count(*) from ops.listing_walks where is_complete") == [(0,)]
    assert plain.rows("select count(*) from listings where removed_at is not null") == [(0,)]
    assert plain.rows("select count(*) from ops.listing_walks where claimed_until is not null") == [(0,)]

    real(plain, market, "none")
    plain.run("workers", "start", "1")
    complete = "select count(distinct make_slug) from ops.listing_walks where is_complete"
    until(lambda: plain.rows(complete) == [(2,)], "the next run walks both makes")
    plain.run("workers", "stop", "1")
    expected = {ad_id for ad_id, ad in market.ads().items() if not ad.is_abroad}
    found = plain.rows("select ad_id from listings where removed_at is null")
    assert sorted(ad_id for (ad_id,) in found) == sorted(expected)
    assert "Scraped: bmw page" in plain.log("worker_1")
