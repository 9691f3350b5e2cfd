"""The Celery application: `celery -A deals worker`, `celery -A deals beat`.

A task is only a wake-up message: the work itself is rows in PostgreSQL. Losing a message, a worker or the broker
therefore loses no work, and a message that arrives twice finds nothing to do (docs/decisions/0015-wake-up-messages.md).
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init
from kombu import Exchange, Queue

from deals import watchdog
from deals.broker import filesystem as broker
from deals.stages.registry import ALL_STAGES
from vinops import config, logs

if TYPE_CHECKING:
    from pathlib import Path

    from vinops.config import Settings

LIMIT: Final = 600  # seconds: a task that takes longer is killed, and its ads are free when their lease expires
SWEEP: Final = 2.0  # seconds between sweeps, and the longest wait of an ad until it is announced to workers
QUEUES: Final = (*ALL_STAGES, "notify", "upkeep")


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the settings that differ from Celery's defaults, for the broker of CELERY_BROKER_URL or for the embedded
    one, whose folders are created in the data folder."""
    folder = settings.data_dir / "celery"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)  # kombu locks its files, and any account that may open one could keep it locked
    sweep = min(SWEEP, settings.deals_lease / 12)
    return {
        "include": ["deals.tasks"],
        "task_ignore_result": True,
        "task_acks_late": True,  # a message is deleted when its work is done: a worker that dies gives it back
        "task_reject_on_worker_lost": True,
        "task_time_limit": LIMIT,
        "task_default_queue": "upkeep",
        # A worker without -Q serves only the queues of this list.
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.2},  # the sweep sends it again
        "worker_concurrency": 4,
        "worker_prefetch_multiplier": 1,  # messages that a busy worker holds back are delayed
        "worker_max_tasks_per_child": 100,
        "worker_lost_wait": 1.0,  # 10 by default: seconds before a killed process is replaced
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a broker that is being restarted comes back
        # Redis without memory (OOM), without its disk (MISCONF), or as a replica (READONLY) takes no message for a
        # while. Without this setting each of them ends the worker.
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 4,
        "timezone": "UTC",
        "beat_schedule": {  # scheduled tasks are sent by the sweep: deals/schedule.py
            "sweep": {"task": "deals.sweep", "schedule": sweep, "options": {"expires": 5 * sweep}},
            "notify": {"task": "deals.notify", "schedule": 30.0, "options": {"expires": 30.0}},
            "watch": {"task": "deals.watch", "schedule": 300.0, "options": {"expires": 300.0}},
            "lots": {"task": "deals.lots", "schedule": 60.0, "options": {"expires": 60.0}},
        },
        "beat_schedule_filename": str(folder / "beat-schedule"),
        **_broker(settings, folder),
    }


def _broker(settings: Settings, folder: Path) -> dict[str, Any]:
    if settings.celery_broker_url is not None:
        # Redis gives a dead worker's messages back only after this time; it is longer than the longest task.
        return {
            "broker_url": settings.celery_broker_url.reveal(),
            "broker_transport_options": {"visibility_timeout": LIMIT + 60, "unacked_restore_throttle": 1},
        }
    messages, control = folder / "messages", folder / "control"
    for each in (messages, control):
        each.mkdir(parents=True, exist_ok=True)
        broker.remove_leftovers(each)
    return {
        "broker_url": f"{broker.SCHEME}://localhost",
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.05,  # seconds; 1 by default, and an ad waits for three polls on its way
        },
        "worker_enable_remote_control": False,  # folders cannot send to all
    }


def _loaded() -> dict[str, Any]:
    try:
        return configuration(config.load())
    except config.ConfigError as error:
        sys.exit(f"celery: {error}")


app = Celery("deals")
app.add_defaults(_loaded)  # on first use: importing this module reads no settings and creates no folder
watchdog.install(app)


@setup_logging.connect
def _log_to_files(**_: object) -> None:
    """Set up logging as other processes do: secrets masked, a file each for worker and beat. Celery sets up none."""
    logs.configure("celery_beat" if "beat" in sys.argv[1:] else "celery_worker", config.load(), console=True)
    for name in (
        "celery.worker.strategy",
        "celery.app.trace",
    ):  # two lines for each sweep; the stages log for themselves
        logging.getLogger(name).setLevel(logging.WARNING)


@beat_init.connect
def _log_beat(**_: object) -> None:
    """Give the beat of a worker (`--beat`), which is a process of its own, a log of its own."""
    logs.configure("celery_beat", config.load(), console=True)


@worker_init.connect
def import_for_all(**_: object) -> None:
    """Import the models' libraries in a worker's parent process: each process that it forks, one for a hundred tasks,
    would need a second for it and memory of its own."""
    for name in ("sklearn.ensemble", "sklearn.linear_model", "skops.io"):
        import_module(name)
