"""The Celery application: `celery -A deals worker`, `celery -A deals beat`.

A task is a doorbell: what there is to do stands in PostgreSQL. So nothing is lost with a message, a worker or a whole
broker, and a message that comes twice finds nothing to do (docs/decisions/0015-doorbells.md).
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
from vinops import config, logs

if TYPE_CHECKING:
    from pathlib import Path

    from vinops.config import Settings

LIMIT: Final = 600  # seconds: a task that takes longer is ended, and its ads are free when their lease is over
SWEEP: Final = 2.0  # seconds between sweeps: so long an ad may wait until a worker is told of it
QUEUES: Final = ("normalize", "price", "score", "notify", "upkeep")


def configuration(settings: Settings) -> dict[str, Any]:
    """Return what differs from Celery's defaults, for the broker of CELERY_BROKER_URL or for the embedded one: folders
    of the data folder, which are made here."""
    folder = settings.data_dir / "celery"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)  # kombu locks its files, and whoever may open one could hold it
    sweep = min(SWEEP, settings.deals_lease / 12)
    return {
        "include": ["deals.tasks"],
        "task_ignore_result": True,
        "task_acks_late": True,  # a message is gone when its work is done: a worker that dies gives it back
        "task_reject_on_worker_lost": True,
        "task_time_limit": LIMIT,
        "task_default_queue": "upkeep",
        # A worker that is not told its queues (-Q) serves those alone that stand here.
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.2},  # the sweep rings again
        "worker_concurrency": 4,
        "worker_prefetch_multiplier": 1,  # who has messages in hand that others could work on only delays them
        "worker_max_tasks_per_child": 100,
        "worker_lost_wait": 1.0,  # 10 by default: so long a process that was killed takes its place away from the next
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a broker that is being restarted comes back
        # And one that takes no message for a while: Redis without memory (OOM), without its disk (MISCONF), or as a
        # replica (READONLY). Without this each of them ends the worker.
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 4,
        "timezone": "UTC",
        "beat_schedule": {  # what has a time of its own is the sweep's: deals/schedule.py
            "sweep": {"task": "deals.sweep", "schedule": sweep, "options": {"expires": 5 * sweep}},
            "notify": {"task": "deals.notify", "schedule": 30.0, "options": {"expires": 30.0}},
            "watch": {"task": "deals.watch", "schedule": 300.0, "options": {"expires": 300.0}},
        },
        "beat_schedule_filename": str(folder / "beat-schedule"),
        **_broker(settings, folder),
    }


def _broker(settings: Settings, folder: Path) -> dict[str, Any]:
    if settings.celery_broker_url is not None:
        # A broker gives back what a dead worker had only when this time is over; longer than the longest task.
        return {
            "broker_url": settings.celery_broker_url.reveal(),
            "broker_transport_options": {"visibility_timeout": LIMIT + 60, "unacked_restore_throttle": 1},
        }
    messages, control = folder / "messages", folder / "control"
    for each in (messages, control):
        each.mkdir(parents=True, exist_ok=True)
        broker.tidy(each)
    return {
        "broker_url": f"{broker.SCHEME}://localhost",
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.05,  # seconds; 1 by default, three times for an ad from one end to the other
        },
        "worker_enable_remote_control": False,  # folders cannot send to all
    }


def _loaded() -> dict[str, Any]:
    try:
        return configuration(config.load())
    except config.ConfigError as error:
        sys.exit(f"celery: {error}")


app = Celery("deals")
app.add_defaults(_loaded)  # when it is first used: who imports this module has spoken to nobody, and made no folder
watchdog.install(app)


@setup_logging.connect
def _log_as_the_others(**_: object) -> None:
    """One format, secrets masked, in a log of its own each; Celery sets up nothing of its own then."""
    logs.configure("celery_beat" if "beat" in sys.argv[1:] else "celery_worker", config.load(), console=True)
    for name in ("celery.worker.strategy", "celery.app.trace"):  # two lines for each sweep; the stages say what they do
        logging.getLogger(name).setLevel(logging.WARNING)


@beat_init.connect
def _log_as_beat(**_: object) -> None:
    """One within a worker (`--beat`) has a process and a log of its own, too."""
    logs.configure("celery_beat", config.load(), console=True)


@worker_init.connect
def import_for_all(**_: object) -> None:
    """Import in a worker's first process what models are made of: those that it forks, one after a hundred tasks, would
    each need a second for it and memory of their own."""
    for name in ("sklearn.ensemble", "sklearn.linear_model", "skops.io"):
        import_module(name)
