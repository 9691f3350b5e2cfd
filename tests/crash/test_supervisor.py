"""`vinops supervise` as a process: what died, hangs or has finished is started again, and a killed supervisor forgets
nothing. Clocks are shortened by settings; workers are stand-ins with a real heartbeat."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ops.workers import registry
from ops.workers.processes import Processes, identify
from ops.workers.registry import run_folder
from ops.workers.supervisor import Supervisor
from tests.support import process_cli
from tests.support.fleets import Database, Fleet, unit, until
from vinops.db.database import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vinops.config import Settings

pytestmark = [pytest.mark.crash, pytest.mark.slow]

QUICK = {
    "VINOPS_SUPERVISE_EVERY": "0.2",
    "VINOPS_SUPERVISE_REPORT": "1",
    "VINOPS_WORKER_SILENCE": "3",
    "VINOPS_RESTART_COOLDOWN": "1.5",
    "VINOPS_RESTART_LIMIT": "3",
    "VINOPS_CYCLE_PAUSE": "0.3",
    "VINOPS_STOP_GRACE": "20",
}
MACHINE = socket.gethostname()


@pytest.fixture
def fleet(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Fleet]:
    """Workers as plain processes, and a supervisor in a hurry."""
    fleet = Fleet(settings=settings, database=database, folder=tmp_path, more=dict(QUICK))
    fleet.prepare()
    yield fleet
    fleet.close()


def alive(fleet: Fleet, name: str, *, but: int) -> int | None:
    """Return the process of a worker if it is another one, and its run has begun."""
    found = [pid for pid in fleet.processes(name) if pid != but]
    if len(found) != 1 or not fleet.rows("select 1 from ops.crawl_runs where pid = %s", found[0]):
        return None
    return found[0]


def next_of(fleet: Fleet, name: str, pid: int) -> int:
    """Wait for the next process of a worker, and return it."""
    found: list[int | None] = []

    def is_there() -> bool:
        found[:] = [alive(fleet, name, but=pid)]
        return found[0] is not None

    until(is_there, "it is started again")
    return found[0] or 0


def restarts(fleet: Fleet, name: str) -> list[str]:
    return [
        reason for (reason,) in fleet.rows("select reason from ops.worker_restarts where worker = %s order by id", name)
    ]


def open_alerts(fleet: Fleet) -> set[str]:
    return {kind for (kind,) in fleet.rows("select kind from ops.alerts where cleared_at is null")}


@pytest.mark.quick
def test_a_killed_worker_is_restarted_and_the_owner_is_told_twice(fleet: Fleet) -> None:
    (pid,) = fleet.start("1").values()
    fleet.supervise()
    until(lambda: "supervising" in fleet.log(), "it supervises")
    os.kill(pid, signal.SIGKILL)
    until(lambda: alive(fleet, "1", but=pid), "it is restarted")
    assert restarts(fleet, "1") == ["dead"]
    assert "worker restarted worker=1 reason=dead" in fleet.log()
    until(lambda: fleet.rows("select 1 from ops.alerts where kind = 'recovered'"), "the owner hears that it has passed")
    ((message,),) = fleet.rows("select message from ops.alerts where kind = 'worker_dead'")
    assert "Worker 1 (Mercedes-Benz, BMW): it is dead (exit code -9)" in message
    until(lambda: not open_alerts(fleet), "no alarm is left")
    assert len(fleet.processes("1")) == 1


def test_the_second_restart_waits_for_the_cooldown(fleet: Fleet) -> None:
    (pid,) = fleet.start("1").values()
    fleet.supervise()
    for _ in range(2):
        os.kill(pid, signal.SIGKILL)
        pid = next_of(fleet, "1", pid)
    ((seconds,),) = fleet.rows(
        "select extract(epoch from max(restarted_at) - min(restarted_at))::float8 from ops.worker_restarts"
    )
    assert seconds >= float(QUICK["VINOPS_RESTART_COOLDOWN"])


def test_a_worker_that_hangs_is_ended_and_restarted(fleet: Fleet) -> None:
    (pid,) = fleet.start("1").values()
    fleet.supervise()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: alive(fleet, "1", but=pid), "it is restarted")
    assert identify(pid) is None
    assert restarts(fleet, "1") == ["hung"]
    assert f"worker hangs worker=1 pid={pid}" in fleet.log()
    assert fleet.rows("select count(*) from ops.alerts where kind = 'worker_hung'") == [(1,)]


def test_the_cap_is_reached_and_it_gives_up_loudly_until_an_operator_starts_it(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.supervise()
    fleet.says("1", "1 incomplete")
    until(lambda: "worker is given up worker=1" in fleet.log(), "it gives up")
    assert restarts(fleet, "1") == ["failed"] * 3
    until(lambda: "worker_gave_up" in open_alerts(fleet), "the owner is told")
    ((message,),) = fleet.rows("select message from ops.alerts where kind = 'worker_gave_up' and cleared_at is null")
    assert "restarted 3 times lately" in message
    reports = fleet.log().count("report worker=1 state=failed")
    until(lambda: fleet.log().count("report worker=1 state=failed") > reports + 2, "passes go on")
    assert fleet.processes("1") == []
    assert len(fleet.processes("2")) == 1
    assert restarts(fleet, "1") == ["failed"] * 3

    fleet.forget("1")
    (pid,) = fleet.start("1").values()
    os.kill(pid, signal.SIGKILL)
    until(lambda: alive(fleet, "1", but=pid), "it is looked after again")
    until(lambda: not open_alerts(fleet), "and the alarm is over")


def test_a_killed_supervisor_leaves_workers_running_and_the_next_one_remembers(fleet: Fleet) -> None:
    fleet.start("1", "2", "3")
    fleet.run("workers", "stop", "3")
    fleet.says("1", "1 incomplete")
    first = fleet.supervise()
    until(lambda: len(restarts(fleet, "1")) == 2, "it restarts twice")
    until(lambda: fleet.rows("select log_offset from ops.workers where worker = '2' and log_offset is not null"), "")
    first.kill()
    first.wait()
    (survivor,) = fleet.processes("2")
    with (fleet.settings.log_dir / "worker_2.log").open("a") as log:
        log.write("Traceback (most recent call last):\n" * 3)

    fleet.supervise()
    until(lambda: "worker is given up worker=1" in fleet.log(), "the third restart is the last")
    assert len(restarts(fleet, "1")) == 3
    assert fleet.processes("2") == [survivor]
    assert fleet.processes("3") == [], "who was stopped stays stopped"
    assert fleet.rows("select message from ops.alerts where kind = 'worker_tracebacks'") == [
        ("the log has tracebacks: Worker 2 (Audi, VW, Opel): 3 lines",)
    ], "what was written without a supervisor is read, once"


def test_supervisors_killed_in_the_middle_of_it_leave_one_of_each(fleet: Fleet) -> None:
    """Ten supervisors are killed, each a little later in its work, while workers die under them."""
    fleet.more |= {"VINOPS_RESTART_LIMIT": "1000", "VINOPS_RESTART_COOLDOWN": "0", "VINOPS_SUPERVISE_EVERY": "0.05"}
    fleet.start("1", "2")
    for number in range(10):
        supervisor = fleet.supervise()
        until(lambda number=number: fleet.log().count("supervising") > number, "it supervises")  # type: ignore[misc]
        for pid in (*fleet.processes("1"), *fleet.processes("2")):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(subprocess.TimeoutExpired):  # the kill lands on a supervisor that lives
            supervisor.wait(timeout=0.02 * number)
        supervisor.kill()
        supervisor.wait()
        assert max(len(fleet.processes("1")), len(fleet.processes("2"))) <= 1, "never two of one"
    fleet.supervise()
    until(lambda: len(fleet.processes("1")) == len(fleet.processes("2")) == 1, "both run in the end")
    assert restarts(fleet, "1")


def test_a_worker_that_has_finished_begins_its_next_cycle_uncounted(fleet: Fleet) -> None:
    (pid,) = fleet.start("1").values()
    fleet.supervise()
    fleet.says("1", "0 finished")
    until(lambda: len(fleet.rows("select 1 from ops.crawl_runs where reason = 'finished'")) >= 5, "it goes round")
    fleet.forget("1")
    next_of(fleet, "1", pid)
    assert restarts(fleet, "1") == []
    assert open_alerts(fleet) == set()


def test_a_worker_that_an_operator_stopped_stays_stopped(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.supervise()
    fleet.run("workers", "stop", "1")
    reports = fleet.log().count("report worker=1 state=stopped")
    until(lambda: fleet.log().count("report worker=1 state=stopped") > reports + 2, "passes go on")
    assert fleet.processes("1") == []
    assert open_alerts(fleet) == set()


def test_an_open_breaker_is_waited_for(fleet: Fleet) -> None:
    (pid,) = fleet.start("1").values()
    fleet.database.execute(
        "insert into ops.host_budgets (host, open_until) values ('127.0.0.1:9', now() + interval '1 hour')"
    )
    fleet.supervise()
    fleet.says("1", "1 blocked")
    until(lambda: identify(pid) is None, "it ends")
    fleet.forget("1")
    until(lambda: "the breaker is open until" in fleet.log(), "the supervisor says why it waits")
    assert fleet.processes("1") == []
    assert open_alerts(fleet) == set(), "the crawl itself has told that it is blocked"
    fleet.database.execute("update ops.host_budgets set open_until = now()")
    until(lambda: alive(fleet, "1", but=pid), "it is restarted when the breaker has closed")


def test_workers_with_the_same_trouble_are_one_message(fleet: Fleet) -> None:
    pids = fleet.start("1", "2", "4")
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    done = fleet.run("supervise", "--once")
    assert done.returncode == 0, done.stderr
    ((message,),) = fleet.rows("select message from ops.alerts where kind = 'worker_dead'")
    assert [f"Worker {name} (" in message for name in "1234"] == [True, True, False, True]


def test_once_says_what_it_did(fleet: Fleet) -> None:
    pids = fleet.start("1", "2")
    os.kill(pids["1"], signal.SIGKILL)
    os.kill(pids["2"], signal.SIGSTOP)
    silent = "select extract(epoch from now() - heartbeat_at) > 3 from ops.crawl_runs where pid = %s"
    until(lambda: fleet.rows(silent, pids["2"]) == [(True,)], "it is silent")
    done = fleet.run("supervise", "--once", "--json")
    assert done.returncode == 0, done.stderr
    found = [(each["name"], each["action"], each["trouble"]) for each in json.loads(done.stdout)]
    assert found[0] == ("2", "terminate", "hung")
    assert ("2", "restart", "hung") in found
    assert restarts(fleet, "1") == ["dead"]
    until(lambda: alive(fleet, "1", but=pids["1"]) and alive(fleet, "2", but=pids["2"]), "both run again")


def test_there_is_one_supervisor_and_it_ends_when_told_while_workers_go_on(fleet: Fleet) -> None:
    (pid,) = fleet.start("1").values()
    supervisor = fleet.supervise()
    until(lambda: "supervising" in fleet.log(), "it supervises")
    second = fleet.run("supervise")
    assert second.returncode == 1
    assert f"a supervisor runs already: PID {supervisor.pid}" in second.stderr
    assert fleet.run("supervise", "--once").returncode == 1
    supervisor.terminate()
    assert supervisor.wait(timeout=30) == 0
    assert fleet.processes("1") == [pid]
    assert "supervisor ends: workers go on" in fleet.log()


def test_it_ends_when_told_also_while_it_ends_a_worker(fleet: Fleet) -> None:
    (fleet.settings.data_dir / "1.deaf").touch()
    fleet.more["VINOPS_STOP_GRACE"] = "3600"
    (pid,) = fleet.start("1").values()
    supervisor = fleet.supervise()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: "worker hangs" in fleet.log(), "it ends the worker")
    supervisor.terminate()
    assert supervisor.wait(timeout=30) == 0


def test_under_systemd_it_watches_and_alerts_only(settings: Settings, database: Database, tmp_path: Path) -> None:
    fleet = Fleet(settings=settings, database=database, folder=tmp_path, is_systemd=True, more=dict(QUICK))
    fleet.prepare()
    try:
        subprocess.run(["systemctl", "start", unit("1")], env=fleet.environment, check=True)  # as at the boot
        fleet.supervise()
        until(lambda: "report worker=1 state=running" in fleet.log(), "it makes a pass")
        (pid,) = fleet.processes("1")
        os.kill(pid, signal.SIGKILL)
        until(lambda: "worker_dead" in open_alerts(fleet), "the owner is told")
        reports = fleet.log().count("report worker=1 state=dead")
        until(lambda: fleet.log().count("report worker=1 state=dead") > reports + 2, "passes go on")
        assert fleet.processes("1") == []
        assert restarts(fleet, "1") == []
        assert "systemd restarts it" in fleet.log()
        fleet.start("2")
        fleet.run("workers", "stop", "2")
        reports = fleet.log().count("report worker=2 state=stopped")
        until(lambda: fleet.log().count("report worker=2 state=stopped") > reports + 1, "passes go on")
        assert open_alerts(fleet) == {"worker_dead"}, "what an operator stops is no trouble"
        assert fleet.rows("select desired from ops.workers where worker = '2'") == [("stopped",)]
    finally:
        fleet.close()


def test_a_database_that_is_away_is_waited_for_and_nobody_takes_its_silence_for_a_hang(
    fleet: Fleet, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = fleet.start("1").values()
    os.kill(pid, signal.SIGSTOP)
    for name, value in fleet.environment.items():
        monkeypatch.setenv(name, value)  # what the supervisor of this process starts inherits it
    monkeypatch.setattr(registry, "workers", process_cli.workers)
    backend = Processes(run_folder(settings))

    def away(*_: object, **__: object) -> None:
        raise DatabaseError("it is away")

    with closing(Supervisor(settings, backend)) as supervisor:
        assert supervisor.check() is not None
        database.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where application_name = 'vinops supervise' and datname = current_database()"
        )
        with monkeypatch.context() as patched:
            patched.setattr("vinops.db.database.connect", away)
            assert supervisor.check() is None
            assert supervisor.check() is None
        database.execute("update ops.crawl_runs set heartbeat_at = now() - interval '1 hour'")
        decisions = supervisor.check()
        assert decisions is not None
        assert {each.action for each in decisions} == {"leave"}, "no worker has had time to beat since it is back"
    with closing(Supervisor(settings, backend)) as fresh:
        assert "terminate" in {each.action for each in fresh.once()}
