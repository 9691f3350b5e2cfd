"""Supervision passes in this process, on a backend that reports what a test says; the death of the supervisor as a
process is in tests/crash/test_supervisor.py."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import typer

from ops.commands import supervise
from ops.workers import registry, runs, supervisor
from ops.workers.processes import Identity, ProcessStatus, Stopped, held
from ops.workers.supervisor import Supervisor
from vinops.db.database import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from ops.workers.processes import State
    from ops.workers.registry import Program
    from vinops.config import Settings

    Database = Connection[tuple[Any, ...]]

HANGS = 30.0  # seconds
PID = 4_000_000  # of no process
LONG_AGO = timedelta(hours=1)


@dataclass(kw_only=True)
class Said:
    """A backend whose worker 1 is as is said; the others were never started."""

    settings: Settings
    state: State = "dead"
    owns_restarts: bool = False
    name: str = "said"
    starts: int = 0
    stops: int = 0
    may_end: threading.Event = field(default_factory=threading.Event)

    def status(self, programs: Sequence[Program]) -> list[ProcessStatus]:
        """Say how all are."""
        return [self.first(each) if each.name == "1" else status_of(each) for each in programs]

    def first(self, program: Program) -> ProcessStatus:
        """Say how worker 1 is."""
        ended_at = None if self.state == "running" else datetime.now(UTC) - LONG_AGO / 2
        return ProcessStatus(
            program=program,
            state=self.state,
            identity=Identity(pid=PID, ticks=1, boot=""),
            started_at=datetime.now(UTC) - LONG_AGO,
            ended_at=ended_at,
        )

    def start(self, program: Program) -> ProcessStatus:
        """Count it."""
        self.starts += 1
        return self.first(program)

    def stop(self, program: Program, *, grace: float) -> Stopped:
        """Take as long as the test wants; the worker is dead then."""
        assert (program.name, grace) == ("1", self.settings.stop_grace)
        self.stops += 1
        assert self.may_end.wait(HANGS)
        self.state = "dead"
        return Stopped(pid=PID)

    def why(self, status: ProcessStatus) -> str:
        """Say nothing."""
        return f"{status.program.log} says why"


def status_of(program: Program) -> ProcessStatus:
    """A program that was never started."""
    return ProcessStatus(program=program, state="stopped")


def first(settings: Settings) -> Program:
    """Worker 1."""
    return registry.workers(settings)[0]


@pytest.fixture
def said(settings: Settings, database: Database) -> Said:
    """Worker 1 is dead, and an operator wants it to run."""
    runs.want(database, [first(settings)], "running")
    return Said(settings=replace(settings, restart_cooldown=0.0, restart_limit=3))


def pass_by_new(said: Said) -> tuple[str, str | None]:
    """Have a new supervisor make a pass; return what it does about worker 1, and why."""
    with closing(Supervisor(said.settings, said)) as fresh:
        return about_first(fresh)


def about_first(one: Supervisor) -> tuple[str, str | None]:
    """Make a pass; return what is done about worker 1, and why."""
    decisions = one.check()
    assert decisions is not None
    return next((each.action, each.trouble) for each in decisions if each.name == "1")


def begun(database: Database, *, silent: timedelta) -> None:
    """Note the run of worker 1, of which nothing was heard for so long."""
    database.execute(
        "insert into ops.crawl_runs (spider, worker, machine, pid, heartbeat_at)"
        " values ('mobile_bg', '1', %s, %s, now() - %s)",
        [supervisor.socket.gethostname(), PID, silent],
    )


def test_restarts_are_counted_over_all_supervisors_and_the_last_is_the_last(said: Said, database: Database) -> None:
    assert [pass_by_new(said) for _ in range(5)] == [("restart", "dead")] * 3 + [("give_up", "dead"), ("leave", None)]
    assert said.starts == 3
    assert database.execute("select worker, reason from ops.worker_restarts").fetchall() == [("1", "dead")] * 3
    kinds = database.execute("select kind from ops.alerts where cleared_at is null").fetchall()
    assert ("worker_gave_up",) in kinds


def test_a_restart_counts_before_it_is_made(said: Said, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_: Program) -> ProcessStatus:
        raise SystemExit

    monkeypatch.setattr(said, "start", die)
    with pytest.raises(SystemExit):
        pass_by_new(said)
    assert database.execute("select worker from ops.worker_restarts").fetchall() == [("1",)]


def test_what_an_operator_stops_at_that_moment_is_not_started(
    said: Said, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    see = Supervisor._see

    def late(self: Supervisor, connection: Any) -> Any:
        found = see(self, connection)
        runs.want(database, [first(said.settings)], "stopped")
        return found

    monkeypatch.setattr(Supervisor, "_see", late)
    assert pass_by_new(said) == ("restart", "dead")
    assert said.starts == 0
    assert pass_by_new(said) == ("leave", None)


def test_an_open_breaker_is_waited_for(said: Said, database: Database) -> None:
    (host,) = first(said.settings).hosts
    database.execute("insert into ops.host_budgets (host, open_until) values (%s, now() + interval '1 hour')", [host])
    assert pass_by_new(said) == ("wait", "dead")
    assert said.starts == 0
    database.execute("update ops.host_budgets set open_until = now()")
    assert pass_by_new(said) == ("restart", "dead")


def test_a_backend_that_restarts_by_itself_is_only_watched(said: Said, database: Database) -> None:
    said.owns_restarts = True
    assert pass_by_new(said) == ("leave", "dead")
    assert said.starts == 0
    assert database.execute("select kind from ops.alerts where cleared_at is null").fetchall() == [("worker_dead",)]


def test_one_that_hangs_is_ended_once_and_then_restarted(said: Said, database: Database) -> None:
    said.state = "running"
    begun(database, silent=LONG_AGO / 2)
    with closing(Supervisor(said.settings, said)) as one:
        assert about_first(one) == ("terminate", "hung")
        ending = one._ending["1"]
        assert about_first(one) == ("wait", "hung")
        assert (said.stops, said.starts) == (1, 0)
        said.may_end.set()
        ending.join(HANGS)
        assert about_first(one) == ("restart", "dead")
    assert (said.stops, said.starts) == (1, 1)


def test_the_silence_of_a_database_that_was_away_is_no_hang(
    said: Said, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said.state = "running"
    said.may_end.set()
    begun(database, silent=timedelta())

    def away(*_: object, **__: object) -> None:
        raise DatabaseError("it is away")

    with closing(Supervisor(said.settings, said)) as one:
        assert about_first(one) == ("leave", None)
        one.close()
        with monkeypatch.context() as patched:
            patched.setattr("vinops.db.database.connect", away)
            assert one.check() is None
        database.execute("update ops.crawl_runs set heartbeat_at = now() - %s", [LONG_AGO / 2])
        assert about_first(one) == ("leave", None), "no worker has had time to beat since it is back"
    assert pass_by_new(said) == ("terminate", "hung")


def test_there_is_one_supervisor_of_a_data_folder(
    settings: Settings, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(supervise.logs, "configure", lambda *_, **__: None)
    folder = registry.run_folder(settings)
    folder.mkdir(parents=True)
    with held(folder / "supervisor.lock", wait=False), pytest.raises(typer.Exit) as raised:
        supervise.command(once=True, every=None, as_json=False)
    assert raised.value.exit_code == 1
    assert "a supervisor runs already" in capsys.readouterr().err


def test_the_silence_of_celery_and_what_it_waits_for_reach_the_pass(
    said: Said, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, beat = registry.celery(said.settings)
    runs.want(database, [worker, beat], "running")
    told = {worker.name: 12_345.0}, {beat.name: "a hold"}
    monkeypatch.setattr(supervisor.celery, "silences", lambda *_, **__: told)
    at_work = replace(said, state="running")
    monkeypatch.setattr(at_work, "status", lambda programs: [at_work.first(each) for each in programs])
    with closing(Supervisor(said.settings, said, at_work)) as one:
        seen = {each.name: each for each in one._see(database)}
    assert seen[worker.name].silent == 12_345.0
    assert seen[beat.name].hold == "a hold"
