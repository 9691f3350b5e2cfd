"""Connections that are kept between two uses: one that the server ended meanwhile is replaced before it is used."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from deals import tasks
from ops.observe.observer import Observer
from ops.observe.snapshot import Celery
from ops.workers import registry
from ops.workers.loop import WorkerLoop
from ops.workers.processes import Processes
from ops.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import Connection

    from vinops.config import Settings

OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = %s"


def end_sessions(database: Connection[Any]) -> None:
    """End the sessions of the others, as idle_session_timeout or a restart does."""
    ended = database.execute(f"select pg_terminate_backend(pid, 5000) {OTHERS}".encode(), ["client backend"]).fetchall()
    assert ended == [(True,)]


def test_the_supervisor_loses_no_pass(
    settings: Settings, database: Connection[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Supervisor(settings, Processes(tmp_path / "run"))) as supervisor:
        for _ in range(2):
            assert supervisor.check() is not None
            end_sessions(database)
        assert supervisor.check() is not None
    assert "away" not in caplog.text


def test_a_worker_loop_asks_again(settings: Settings, database: Connection[Any]) -> None:
    (program, *_) = registry.workers(settings)
    loop = WorkerLoop(settings, program)
    assert loop._obstacle() is None
    end_sessions(database)
    assert loop._obstacle() is None
    assert loop._connection is not None
    loop._connection.close()


def test_a_snapshot_shows_the_database(settings: Settings, database: Connection[Any]) -> None:
    none = Celery(workers=(), children=0, beats=())
    with closing(Observer(settings, application="tests", workers=list, celery=lambda: none)) as observer:
        observer.observe()
        end_sessions(database)
        found = observer.observe().database
        assert found is not None
        assert found.error is None


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_a_task_is_not_tried_twice(
    database: Connection[Any],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tasks.connection()
    end_sessions(database)
    with caplog.at_level(logging.WARNING):
        tasks.watch_over()
    tasks._open.pop().close()
    assert "was lost" not in caplog.text
