"""The tasks: thin, with ids only. Each may come late, twice, twice at once or never.

A stage's task takes those of its ads that still wait and that nobody has in hand, so a second delivery finds nothing.
What never came, the sweep finds. A task whose database goes away tries again with a new connection.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from celery import Task, shared_task
from kombu.exceptions import OperationalError

from deals import alarms as watch, schedule
from deals.channel import queue as notifications
from deals.estimate import model as price_model
from deals.queue import outbox, runner
from deals.stages import score as scoring
from vinops import config
from vinops.db import database
from vinops.db.database import queries
from vinops.db.errors import is_passing
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

log = logging.getLogger("deals")

BATCH: Final = 500  # ads in a message
AT_ONCE: Final = 10_000  # ads that are rung for at once: what is beyond waits for the next sweep
EXPIRY: Final = 60.0  # seconds
CROWD: Final = 1_000
PAUSES: Final = (0.0, 1.0, 4.0, 10.0)  # seconds before each try at a database that goes away: it may be restarted

_open: list[Connection[Any]] = []  # the connection of this process, if there is one


def connection() -> Connection[Any]:
    """Return this process's connection, opened anew if it broke. Raises DatabaseError if there is none to be had."""
    if _is_broken():
        _open.clear()
    if not _open:
        _open.append(database.connect(config.load(), application="celery deals", autocommit=True))
    return _open[0]


class DatabaseTask(Task):  # type: ignore[type-arg] # it takes none when it runs
    """A task on this process's connection. It may be done again from its beginning, and is, if the database goes away.

    One that comes to its end is noted: that a worker of this machine works, and that what is done by the clock is done.
    If the database stays away it ends without a word to Celery: what it was about stands there, and is rung for again.
    """

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Do it."""
        name = (self.name or "").removeprefix("deals.")
        for pause in PAUSES:
            time.sleep(pause)
            try:
                super().__call__(*arguments, **named)
                if name in schedule.TIMES:
                    schedule.finish(connection(), name)
                connection().execute(queries("deals")["note_progress"], {"machine": socket.gethostname(), "task": name})
            except (psycopg.Error, database.DatabaseError) as error:
                if not is_passing(error) and not _is_broken():
                    raise
                about = pairs(task=name, error=error)
                log.warning("the database went away %s: the task is tried again", about)
            else:
                return
        log.warning("the database stays away %s: the sweep rings again", pairs(task=name))


def _is_broken() -> bool:
    return bool(_open) and (_open[0].closed or _open[0].broken)


@shared_task(base=DatabaseTask, name="deals.normalize", queue="normalize")
def normalize(listing_ids: Sequence[int]) -> None:
    """Normalize these ads, as far as they wait for it."""
    _work("normalize", listing_ids)


@shared_task(base=DatabaseTask, name="deals.price", queue="price")
def price(listing_ids: Sequence[int]) -> None:
    """Price these ads, as far as they wait for it."""
    _work("price", listing_ids)


@shared_task(base=DatabaseTask, name="deals.score", queue="score")
def score(listing_ids: Sequence[int]) -> None:
    """Score these ads, as far as they wait for it, and have deals told if there are some."""
    _work("score", listing_ids)


@shared_task(base=DatabaseTask, name="deals.notify", queue="notify")
def notify() -> None:
    """Post what waits, best first. Of two at once one posts; a message is recorded before it is tried."""
    from deals.channel.post import (
        post,  # with Telegram's client, which takes 0.4 s: only the worker of this queue needs it
    )

    post(connection(), config.load())


@shared_task(base=DatabaseTask, name="deals.sweep", queue="upkeep")
def sweep() -> None:
    """Ring for all that waits and that no worker was told of lately, and for what is due by the clock; give up what no
    worker survives."""
    runner.bury(connection())
    for stage in runner.STAGES:
        ring(stage)
    for name in schedule.due(connection()):
        _send(BY_THE_CLOCK[name], name)


@shared_task(base=DatabaseTask, name="deals.demand", queue="upkeep")
def demand() -> None:
    """Measure how fast cars go, and let ads that are long gone rest. Both replace what stood there."""
    scoring.refresh_demand(connection())
    runner.retire(connection())


@shared_task(base=DatabaseTask, name="deals.train", queue="upkeep")
def train() -> None:
    """Train a price model and keep it with its measured error; of two at once one trains."""
    log.info("trained %s", pairs(**price_model.train(connection(), config.load())))


@shared_task(base=DatabaseTask, name="deals.rescore", queue="upkeep")
def rescore() -> None:
    """Have all ads priced and scored again: the market moved, and what was new is not any more."""
    log.info("rescore %s", pairs(ads=runner.queue_again(connection())))
    ring("price")


@shared_task(base=DatabaseTask, name="deals.watch", queue="upkeep")
def watch_over() -> None:
    """Raise the alarms of this street, or clear them."""
    watch.watch(connection(), config.load())


def _work(stage: str, listing_ids: Sequence[int]) -> None:
    while runner.run(connection(), config.load(), stage, listing_ids) is not None:
        ring(runner.NEXT[stage] or "notify")


def ring(stage: str) -> None:
    """Tell workers of the ads that wait for a stage, if none was told lately.

    Prices wait while many ads are still to be normalized: those are the comparables. If the broker is away, or the
    process dies before it told anybody, the sweep rings again half a lease later.
    """
    open_connection = connection()
    if stage == "price" and outbox.is_crowded(open_connection, "normalize", count=CROWD):
        return
    if stage == "notify":
        if notifications.is_due(open_connection):
            _send(notify, stage, expires=EXPIRY)
        return
    found = outbox.waiting(open_connection, stage, count=AT_ONCE, unheard=config.load().deals_lease / 2)
    for start in range(0, len(found), BATCH):
        if not _send(TASKS[stage], stage, [*found[start : start + BATCH]]):
            return


def _send(task: Task[Any, Any], name: str, *arguments: Any, **options: Any) -> bool:
    """Tell workers of a task, and return whether the broker took it."""
    try:
        task.apply_async(arguments, **options)
    except OperationalError as error:
        log.warning("the broker is away %s: the sweep rings again", pairs(stage=name, error=type(error).__name__))
        return False
    return True


TASKS: Final = {"normalize": normalize, "price": price, "score": score}
BY_THE_CLOCK: Final = {"demand": demand, "train": train, "rescore": rescore}
