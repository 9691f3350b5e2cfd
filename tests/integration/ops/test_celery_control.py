"""`vinops celery`: one worker and one beat, others found and named, what died cleaned up after.

The contract of both backends is in test_backends.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery as CeleryApp

from deals.app import configuration
from deals.broker.state import BrokerState
from ops.workers import backends, celery as celery_processes, registry
from ops.workers.processes import Processes, arguments, descendants, identify, pids
from ops.workers.registry import run_folder
from ops.workers.supervisor import Supervisor
from tests.support import forks, process_cli
from tests.support.deal_ads import insert_ads
from tests.support.fleets import ROOT, install_units, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from vinops.config import Settings

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Celery:
    """`vinops celery` on a data folder."""

    folder: Path
    environment: dict[str, str]
    program: str = str(ROOT / "tests" / "support" / "process_cli.py")

    @property
    def data_dir(self) -> Path:
        """The data folder."""
        return Path(self.environment["VINOPS_DATA_DIR"])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `vinops celery` to its end."""
        return self.vinops("celery", *arguments)

    def vinops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return forks.vinops(self.environment, *arguments, program=self.program, cwd=self.folder)

    @contextmanager
    def by_hand(self, kind: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a process of Celery as an operator would; it is away behind the block, with its children."""
        process = subprocess.Popen(stand_in(kind), cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            for each in (*descendants(process.pid), identify(process.pid)):
                if each is not None:
                    os.kill(each.pid, signal.SIGKILL)
            process.wait()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return how both are."""
        found: list[dict[str, Any]] = json.loads(self.run("status", "--json").stdout)
        return {each["process"]: each for each in found}

    def processes(self) -> list[int]:
        """Return every process of Celery on this data folder."""
        return [pid for pid in pids() if "celery_process.py" in " ".join(arguments(pid)[1:2]) and self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            return os.fsencode(self.data_dir) in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False


def stand_in(kind: str) -> list[str]:
    """Return the command of a process that stands for Celery."""
    return [sys.executable, str(ROOT / "tests" / "support" / "celery_process.py"), kind]


@pytest.fixture
def plain(settings: Settings, environment: dict[str, str], tmp_path: Path) -> Iterator[Celery]:
    """A stand-in of Celery as plain processes, which is away at the end."""
    settings.data_dir.mkdir()
    about = {"PYTHONPATH": str(ROOT), "VINOPS_WORKERS_BACKEND": "processes"}
    celery = Celery(folder=tmp_path, environment={**environment, **about})
    yield celery
    while left := celery.processes():  # one that is still starting goes on to make children
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def units(plain: Celery, settings: Settings) -> Celery:
    """The same as units of systemd, whose systemctl is the first on PATH."""
    install_units(plain.folder, {each.unit: list(each.command) for each in process_cli.celery(settings)})
    path = f"{plain.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return replace(plain, environment={**plain.environment, "PATH": path, "VINOPS_WORKERS_BACKEND": "systemd"})


@pytest.fixture
def celery(request: pytest.FixtureRequest) -> Celery:
    """Celery as plain processes, or on the backend that a test names."""
    found: Celery = request.getfixturevalue(getattr(request, "param", "plain"))
    return found


on_both = pytest.mark.parametrize("celery", ["plain", "units"], indirect=True)


@on_both
@pytest.mark.quick
def test_start_stop_and_what_is_said(celery: Celery) -> None:
    first = celery.run("start")
    assert first.returncode == 0, first.stderr
    worker, beat = (int(line.rsplit(" ", 1)[1]) for line in first.stdout.splitlines())
    assert first.stdout == f"Celery worker: PID {worker}\nCelery beat: PID {beat}\n"
    again = celery.run("start")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.splitlines() == [
        f"vinops: data folder {celery.data_dir}",
        f"Celery worker runs already: PID {worker}",
        f"Celery beat runs already: PID {beat}",
    ]
    found = celery.status()
    assert {kind: (each["state"], each["pid"], each["duplicates"]) for kind, each in found.items()} == {
        "worker": ("running", worker, []),
        "beat": ("running", beat, []),
    }, "the four processes of the worker are no duplicates"
    assert celery.run("status").returncode == 0
    stopped = celery.run("stop")
    assert (stopped.returncode, stopped.stdout.splitlines()) == (
        0,
        [f"Celery beat: PID {beat} stopped", f"Celery worker: PID {worker} stopped"],
    )
    until(lambda: celery.processes() == [], "all are gone")
    assert celery.run("status").returncode == 1
    assert celery.run("stop").stdout == "Celery beat does not run\nCelery worker does not run\n"


def test_restart_is_another_pair(celery: Celery) -> None:
    celery.run("start")
    before = celery.status()
    assert celery.run("restart").returncode == 0
    after = celery.status()
    assert {each["state"] for each in after.values()} == {"running"}
    assert {each["pid"] for each in after.values()}.isdisjoint(each["pid"] for each in before.values())


def test_what_does_not_end_is_killed_and_that_is_said(celery: Celery) -> None:
    celery.run("start")
    found = celery.status()
    (celery.data_dir / "deaf").touch()
    done = celery.run("stop", "--grace", "0.5")
    assert done.returncode == 0
    killed = [f"Celery {kind}: PID {found[kind]['pid']} killed: it did not end in time" for kind in ("beat", "worker")]
    assert done.stdout.splitlines() == [killed[0], f"{killed[1]}; 4 processes that it left were killed"]
    until(lambda: celery.processes() == [], "all are gone")
    assert {each["state"] for each in celery.status().values()} == {"stopped"}


@pytest.mark.quick
def test_one_that_was_killed_is_dead_and_started_again(celery: Celery) -> None:
    celery.run("start")
    found = celery.status()
    os.kill(found["worker"]["pid"], signal.SIGKILL)
    until(lambda: celery.status()["worker"]["state"] == "dead", "it is known as dead")
    assert celery.status()["worker"]["exit_code"] == -9
    for child in celery.processes():  # as the kernel does not
        if child != found["beat"]["pid"]:
            os.kill(child, signal.SIGKILL)
    until(lambda: celery.processes() == [found["beat"]["pid"]], "its children are gone")
    done = celery.run("start", "--json")
    assert done.returncode == 0, "what did not run runs now"
    assert done.stderr == f"Celery beat runs already: PID {found['beat']['pid']}\n"
    rows = {each["process"]: each for each in json.loads(done.stdout)}
    assert rows["worker"] == {"process": "worker", "pid": celery.status()["worker"]["pid"], "problem": None}
    assert rows["beat"]["problem"] == f"Celery beat runs already: PID {found['beat']['pid']}"


def test_a_start_that_comes_to_nothing_says_why(plain: Celery) -> None:
    (plain.data_dir / "broken").touch()
    done = plain.run("start")
    assert done.returncode == 1
    assert "Celery worker ended at once (exit code 1):" in done.stderr
    assert "RuntimeError: the broker is on fire" in done.stderr


def test_a_unit_that_comes_to_nothing_says_where_to_look(units: Celery) -> None:
    (units.data_dir / "broken").touch()
    done = units.run("start")
    assert done.returncode == 1
    assert "Celery worker ended at once (exit code 1): look at `journalctl -u vinops-celery.service" in done.stderr
    assert "Celery beat ended at once (exit code 1): look at `journalctl -u vinops-celery-beat.service" in done.stderr


def test_what_systemctl_refuses_is_said_and_the_other_is_started(units: Celery) -> None:
    (units.folder / "units" / "vinops-celery-beat.service.command").unlink()
    done = units.run("start")
    assert done.returncode == 1
    assert done.stdout.startswith("Celery worker: PID ")
    assert "systemctl start failed: Failed to start vinops-celery-beat.service: Unit vinops-celery-beat" in done.stderr


def test_without_systemctl_each_command_says_so_in_a_line(units: Celery) -> None:
    away = replace(units, environment={**units.environment, "PATH": str(units.folder)})
    for verb in ("start", "stop", "restart", "status", "clean"):
        done = away.run(verb)
        assert (done.returncode, done.stdout) == (1, ""), verb
        assert done.stderr.splitlines()[1:] == ["vinops: systemctl cannot be run (No such file or directory)"]


def test_units_are_used_where_they_are_installed(units: Celery) -> None:
    here = replace(units, environment={**units.environment, "VINOPS_WORKERS_BACKEND": "auto"})
    assert here.run("start").returncode == 0
    assert (here.folder / "units" / "vinops-celery.service.json").exists()
    assert not (here.data_dir / "run" / "celery_worker.json").exists()
    here.run("stop")
    for installed in (here.folder / "units").glob("*.command"):
        installed.unlink()
    assert here.run("start").returncode == 0
    assert (here.data_dir / "run" / "celery_worker.json").exists()


def test_health_monitor_and_metrics_see_it(celery: Celery) -> None:
    assert celery.run("start").returncode == 0
    found = celery.status()
    worker, beat = found["worker"]["pid"], found["beat"]["pid"]
    lines = {line["name"]: line for line in json.loads(celery.vinops("health", "--json").stdout)["lines"]}
    assert (lines["celery"]["level"], lines["celery"]["figure"]) == ("OK", f"worker {worker} with 4 processes, beat")
    shown = json.loads(celery.vinops("monitor", "--once", "--json").stdout)["celery"]
    assert shown.pop("since") is not None
    assert shown == {"workers": [worker], "children": 4, "beats": [beat]}
    assert 'vinops_celery_processes{state="child"} 4.0' in celery.vinops("metrics", "--once").stdout
    with celery.by_hand("beat") as other:
        until(lambda: celery.status()["beat"]["duplicates"] == [other.pid], "it is found")
        lines = {line["name"]: line for line in json.loads(celery.vinops("health", "--json").stdout)["lines"]}
        assert lines["celery"]["figure"] == f"more than one of the beats: PIDs {beat}, {other.pid}"
        assert lines["celery"]["fix"] == "vinops celery restart"


def test_one_that_was_started_by_hand_is_found_named_and_not_doubled(celery: Celery) -> None:
    with celery.by_hand("worker") as other:
        until(lambda: len(descendants(other.pid)) == 4, "it is up")
        assert celery.status()["worker"]["duplicates"] == [other.pid]
        shown = celery.run("status")
        assert shown.returncode == 1
        assert f"another Celery worker was started by hand, PID {other.pid}: `vinops celery restart`" in shown.stderr
        done = celery.run("start")
        assert done.returncode == 1
        assert f"one that was started by hand runs: PID {other.pid}" in done.stderr
        assert "Celery beat: PID" in done.stdout
    assert celery.run("start").returncode == 0, "beat runs already, and the worker came up"
    assert celery.run("status").returncode == 0


def test_clean_removes_what_dead_processes_left_and_says_so(plain: Celery) -> None:
    celery = plain
    celery.run("start")
    found = celery.status()
    noted = json.loads((celery.data_dir / "run" / "celery_worker.json").read_text())
    os.kill(noted["keeper"]["pid"], signal.SIGKILL)
    until(lambda: identify(noted["keeper"]["pid"]) is None, "the keeper is gone")
    for each in [*descendants(found["worker"]["pid"]), identify(found["worker"]["pid"])]:
        assert each is not None
        os.kill(each.pid, signal.SIGKILL)
    until(lambda: identify(found["worker"]["pid"]) is None, "the worker is gone")
    assert celery.status()["worker"]["state"] == "dead"
    messages = celery.data_dir / "celery" / "messages"
    messages.mkdir(parents=True)
    (messages / "1_a.price.msg").write_text('{"body": "[]", "headers": {}}')
    (messages / "2_b.price.msg").write_text('{"body": "[')

    done = celery.run("clean")
    assert done.returncode == 0
    aside = celery.data_dir / "celery" / "unreadable"
    assert [line for line in done.stdout.splitlines() if not line.startswith("rotated ")] == [
        f"Celery beat: PID {found['beat']['pid']} stopped",
        "removed the stale celery_worker.json of Celery worker",
        f"moved the message 2_b.price.msg, which cannot be read, to {aside}: the sweep sends a new one",
        "kept 1 messages: the next worker reads them",
    ]
    assert [path.name for path in messages.iterdir()] == ["1_a.price.msg"]
    assert [path.name for path in aside.iterdir()] == ["2_b.price.msg"]
    assert celery.run("clean").stdout == "kept 1 messages: the next worker reads them\n"


def test_clean_ends_everything_of_celery_and_rotates_logs(celery: Celery, settings: Settings) -> None:
    celery.run("start")
    found = celery.status()
    large, small = settings.log_dir / "worker_1.log", settings.log_dir / "worker_2.log"
    large.write_bytes(b"2026-11-23T07:10:00Z INFO market: Scraped: bmw page 1\n" * 20_000)
    small.write_text("2026-11-23T07:10:00Z INFO market: began\n")
    with celery.by_hand("worker") as other:
        until(lambda: len(descendants(other.pid)) == 4, "it is up")
        done = celery.run("clean")
        assert other.wait(20) == 0, "it was asked to end"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        f"Celery beat: PID {found['beat']['pid']} stopped",
        f"Celery worker: PID {found['worker']['pid']} stopped",
        f"Celery worker: PID {other.pid}, started by hand, stopped",
    ]
    assert celery.processes() == []
    assert "rotated worker_1.log, 1.1 MB" in done.stdout
    rotated = {path.name for path in settings.log_dir.glob("*.log.1")}
    assert rotated == {"celery_beat.log.1", "celery_worker.log.1", "worker_1.log.1"}
    assert large.read_bytes() == b""
    assert small.read_text() != ""


@on_both
@pytest.mark.quick
def test_restart_leaves_one_of_each_whatever_was_started_by_hand(celery: Celery) -> None:
    celery.run("start")
    before = celery.status()
    with celery.by_hand("worker") as other:
        until(lambda: celery.status()["worker"]["duplicates"] == [other.pid], "it is found")
        done = celery.run("restart")
        assert done.returncode == 0, done.stderr
        assert f"Celery worker: PID {other.pid}, started by hand, stopped" in done.stderr
        assert other.wait(20) == 0
    after = celery.status()
    assert {each["state"] for each in after.values()} == {"running"}
    assert all(each["duplicates"] == [] for each in after.values())
    assert {each["pid"] for each in after.values()}.isdisjoint(each["pid"] for each in before.values())
    assert celery.run("status").returncode == 0


def test_stop_ends_what_was_started_by_hand_too(plain: Celery) -> None:
    with plain.by_hand("beat") as other:
        until(lambda: plain.status()["beat"]["duplicates"] == [other.pid], "it is found")
        done = plain.run("stop")
        assert other.wait(20) == 0
    assert done.stdout.splitlines() == [
        f"Celery beat: PID {other.pid}, started by hand, stopped",
        "Celery worker does not run",
    ]
    assert plain.processes() == []


def test_another_data_folder_is_left_alone(plain: Celery, tmp_path: Path) -> None:
    away = {**plain.environment, "VINOPS_DATA_DIR": str(tmp_path / "other"), "VINOPS_LOG_DIR": str(tmp_path / "other")}
    (tmp_path / "other").mkdir()
    with replace(plain, environment=away).by_hand("worker") as other:
        until(lambda: len(descendants(other.pid)) == 4, "it is up")
        assert "does not run" in plain.run("stop").stdout
        assert plain.run("clean").returncode == 0
        assert other.poll() is None


def test_there_is_nothing_to_clean_at_first(celery: Celery) -> None:
    assert celery.run("clean").stdout == "nothing to clean\n"


@pytest.mark.quick
def test_the_real_celery_comes_up_works_and_ends(
    settings: Settings, database: Connection[Any], environment: dict[str, str], tmp_path: Path
) -> None:
    settings.data_dir.mkdir()
    about = {**environment, "VINOPS_WORKERS_BACKEND": "processes"}
    celery = Celery(folder=tmp_path, environment=about, program="vinops")
    try:
        first = celery.run("start")
        assert first.returncode == 0, first.stderr
        worker = celery.status()["worker"]["pid"]
        assert len(descendants(worker)) >= 4, "one worker with four processes"
        assert celery.run("start").returncode == 1
        assert not (tmp_path / "celerybeat.pid").exists()
        ads = len(insert_ads(database, 30))
        scored = "select count(distinct listing_id) from scores"
        until(lambda: database.execute(scored).fetchone() == (ads,), "every ad is scored")
        begins = {
            kind: (settings.log_dir / f"celery_{kind}.log").read_text().splitlines()[0] for kind in ("worker", "beat")
        }
        assert begins["beat"].endswith("beat: Starting...")
        assert "beat" not in begins["worker"], "each writes its own log: a start waits for what stands there"
    finally:
        stopped = celery.run("stop", "--grace", "60")
    assert "killed" not in stopped.stdout
    assert identify(worker) is None


# The supervisor.


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """Celery that was started, and a supervisor here. `pass_once` makes a pass and waits for what it ends."""

    celery: Celery
    supervisor: Supervisor
    database: Connection[Any]

    def pass_once(self) -> dict[str, tuple[str, str | None]]:
        """Return what was done about each, and what was wrong with it."""
        found = {each.name: (each.action, each.trouble) for each in self.supervisor.once()}
        return {name: found[name] for name in sorted(found) if name.startswith("celery_")}

    def done(self, seconds: float) -> None:
        """A worker of this machine last did a task so many seconds ago."""
        self.database.execute(
            "insert into ops.task_progress values (%s, clock_timestamp() - make_interval(secs => %s), 'sweep')"
            " on conflict (machine) do update set done_at = excluded.done_at",
            [socket.gethostname(), seconds],
        )

    def troubles(self) -> set[str]:
        """Return the alarms that are open."""
        return {kind for (kind,) in self.database.execute("select kind from ops.alerts where cleared_at is null")}


@pytest.fixture
def supervised(
    celery: Celery, settings: Settings, database: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Supervised]:
    """Celery at work on either backend, and a supervisor that may restart as often as it likes."""
    assert celery.run("start").returncode == 0
    for name, value in celery.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(registry, "celery", process_cli.celery)
    backend = celery.environment["VINOPS_WORKERS_BACKEND"]
    quick = replace(settings, workers_backend=backend, worker_silence=0.5, restart_cooldown=0.0, stop_grace=20.0)
    of_celery = backends.backend(quick, registry.celery(quick))
    with closing(Supervisor(quick, Processes(run_folder(quick)), of_celery)) as supervisor:
        found = Supervised(celery=celery, supervisor=supervisor, database=database)
        until(lambda: celery.status()["worker"]["seconds"] >= 1, "it has been up for longer than it may be silent")
        yield found


@on_both
@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_one_that_was_killed_is_restarted_by_the_supervisor(supervised: Supervised, kind: str) -> None:
    supervised.done(-3600)  # of a clock that is ahead: it is well for as long as this test takes
    assert supervised.pass_once() == {"celery_beat": ("leave", None), "celery_worker": ("leave", None)}
    before = supervised.celery.status()[kind]["pid"]
    for each in (*descendants(before), identify(before)):
        assert each is not None
        os.kill(each.pid, signal.SIGKILL)
    until(lambda: supervised.celery.status()[kind]["state"] == "dead", "it is dead")
    is_ours = supervised.celery.environment["VINOPS_WORKERS_BACKEND"] == "processes"
    assert supervised.pass_once()[f"celery_{kind}"] == (("restart" if is_ours else "leave"), "dead")
    assert supervised.troubles() == {"worker_dead"}
    after = supervised.celery.status()[kind]
    assert (after["state"] == "running" and after["pid"] != before) is is_ours, "a unit is systemd's to restart"


@pytest.mark.parametrize(
    ("waits", "hung"), [(True, {"celery_worker"}), (False, {"celery_worker", "celery_beat"})], ids=["waits", "nothing"]
)
def test_one_that_does_nothing_is_ended_and_restarted(
    supervised: Supervised, settings: Settings, waits: bool, hung: set[str]
) -> None:
    before = supervised.celery.status()
    if waits:
        app = CeleryApp("sender", set_as_current=False)
        app.conf.update({**configuration(settings), "include": []})
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            channel._put("upkeep", {"body": ""})
    supervised.done(600)
    found = supervised.pass_once()
    assert {name for name, (_, trouble) in found.items() if trouble == "hung"} == hung
    assert supervised.troubles() == {"worker_hung"}
    after = supervised.celery.status()
    assert {each["state"] for each in after.values()} == {"running"}
    restarted = {f"celery_{kind}" for kind in after if after[kind]["pid"] != before[kind]["pid"]}
    is_ours = supervised.celery.environment["VINOPS_WORKERS_BACKEND"] == "processes"
    assert restarted == (hung if is_ours else set())


def test_what_an_operator_stopped_stays_so(supervised: Supervised) -> None:
    supervised.celery.run("stop")
    assert supervised.pass_once() == {"celery_beat": ("leave", None), "celery_worker": ("leave", None)}
    assert {each["state"] for each in supervised.celery.status().values()} == {"stopped"}


def test_a_broker_that_is_away_is_waited_for_and_the_owner_is_told(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = BrokerState(trouble="Connection refused")
    monkeypatch.setattr(celery_processes, "broker_state", lambda _: away)
    before = {each["pid"] for each in supervised.celery.status().values()}
    supervised.done(600)
    found = supervised.pass_once()
    assert {action for action, _ in found.values()} <= {"wait", "leave"}
    assert {each["pid"] for each in supervised.celery.status().values()} == before
    assert supervised.troubles() == {"broker_away"}


def test_without_a_database_it_is_started_and_stopped_all_the_same(plain: Celery) -> None:
    away = replace(plain, environment={**plain.environment, "DATABASE_URL": "postgresql://vinops@127.0.0.1:1/none"})
    done = away.run("start")
    assert done.returncode == 0
    assert "a supervisor does not watch them" in done.stderr
    done = away.run("stop")
    assert done.returncode == 0
    assert "a supervisor that runs may start them again" in done.stderr
    assert done.stdout.count("stopped") == 2
