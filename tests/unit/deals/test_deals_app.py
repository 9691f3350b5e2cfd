"""The Celery application: a worker that is told nothing does everything."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from deals.app import QUEUES, configuration
from vinops.config import Settings

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from deals import tasks  # noqa: F401
from deals.app import app
app.loader.import_default_modules()
print(*sorted(app.amqp.queues.consume_from))
print(*sorted({task.queue for name, task in app.tasks.items() if name.startswith("deals.")}))
print(*sorted({(queue.exchange.name, queue.exchange.type, queue.routing_key) == (queue.name, "direct", queue.name)
               for queue in app.amqp.queues.values()}))
"""


def run(program: str, data_dir: Path) -> str:
    """Run a program in a process of its own, and return what it prints."""
    environment = {"VINOPS_DATA_DIR": str(data_dir), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_a_worker_without_arguments_serves_the_queue_of_every_task(tmp_path: Path) -> None:
    said = run(PROGRAM, tmp_path)
    served, used, straight = said.splitlines()
    assert served.split() == sorted(QUEUES)
    assert set(used.split()) == set(QUEUES)
    assert straight == "True", "a message goes to its own queue alone"


def test_the_queues_are_as_those_that_messages_wait_in_already(tmp_path: Path) -> None:
    queues = configuration(Settings(data_dir=tmp_path))["task_queues"]
    assert [queue.name for queue in queues] == list(QUEUES)


IMPORTED = """
import sys
from deals import tasks  # noqa: F401
from deals.app import app
print("sklearn" in sys.modules)
from celery.signals import worker_init
worker_init.send(None)
print("sklearn" in sys.modules)
"""


def test_what_models_are_made_of_is_imported_once_for_all_processes_of_a_worker_and_by_nobody_else(
    tmp_path: Path,
) -> None:
    said = run(IMPORTED, tmp_path)
    assert said.split() == ["False", "True"]


def test_a_message_is_deleted_after_its_work(tmp_path: Path) -> None:
    """What a worker that died had in hand comes back with the broker's visibility timeout, not with the next sweep."""
    made = configuration(Settings(data_dir=tmp_path))
    assert made["task_acks_late"]
    assert made["task_reject_on_worker_lost"]
