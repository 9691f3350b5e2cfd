"""The Celery tasks: thin, with ids only. Each may come late, twice, twice at once or never.

A stage's task leases those of its ads that still wait, so a second delivery finds nothing. The sweep finds what was
never delivered. A task whose database becomes unavailable tries again with a new connection.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from celery import Task, shared_task
from kombu.exceptions import OperationalError

from deals import alarms, board, market as figures, schedule
from deals.channel import lots as channel_of_lots, queue as channel
from deals.estimate import model as price_model
from deals.landed import rates
from deals.offers import passes, requote
from deals.queue import outbox, runner
from deals.stages import score as scoring
from deals.stages.registry import ALL_STAGES, LOT_STAGES, next_stage
from vinops import config
from vinops.db import database
from vinops.db.database import queries
from vinops.db.errors import explain, explanation, fix_of, is_passing
from vinops.logs import pairs
from vinops.redaction import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.stages.registry import Stage

log = logging.getLogger("deals")

ANNOUNCED: Final = 10_000  # ads that are announced at once; the next sweep announces more
CROWD: Final = 1_000  # ads that wait for a stage, more than which hold up a stage that waits for it
EXPIRY: Final = 60.0  # seconds
PAUSES: Final = (0.0, 1.0, 4.0, 10.0)  # seconds before each try at an unavailable database: it may be restarting

_open: list[Connection[Any]] = []  # the connection of this process, if there is one


def connection() -> Connection[Any]:
    """Return this process's connection, opened again if it broke. Raises DatabaseError if it cannot be opened."""
    if _is_broken():
        _open.clear()
    if not _open:
        _open.append(database.connect(config.load(), application="celery deals", autocommit=True))
    return _open[0]


def _is_broken() -> bool:
    return bool(_open) and (_open[0].closed or _open[0].broken)


class DatabaseTask(Task):  # type: ignore[type-arg] # it takes none when it runs
    """A task on this process's connection. It may run again from its beginning, and does if the connection is lost.

    A completed task is recorded: as progress of this machine's worker, and as the last run of a scheduled task. If the
    database stays unavailable the task ends without an error to Celery: its work is in the database, and is sent again.
    """

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Run the task."""
        name = (self.name or "").removeprefix("deals.")
        for pause in PAUSES:
            time.sleep(pause)
            try:
                if _open and not database.is_alive(_open[0]):
                    _open.clear()
                super().__call__(*arguments, **named)
                if name in schedule.TIMES:
                    schedule.finish(connection(), name)
                connection().execute(queries("deals")["note_progress"], {"machine": socket.gethostname(), "task": name})
            except (psycopg.Error, database.DatabaseError) as error:
                if not is_passing(error) and not _is_broken():
                    if fix_of(error) is None:
                        raise
                    log.error("a task failed %s: %s", pairs(task=name), one_line(explanation(error)))
                    return
                log.warning(
                    "the connection to the database was lost %s: the task is tried again",
                    pairs(task=name, error=explain(error, config.load())),
                )
            else:
                return
        log.warning("the database is still unavailable %s: the sweep sends it again", pairs(task=name))


def _stage_task(stage: Stage) -> Task[Any, Any]:
    @shared_task(base=DatabaseTask, name=f"deals.{stage.name}", queue=stage.name)
    def run_stage(listing_ids: Sequence[int]) -> None:
        """Take those of these ads, or lots, that wait for the stage through it."""
        while runner.run(connection(), config.load(), stage.name, listing_ids) is not None:
            wake(next_stage(stage.name) or "notify")

    return run_stage


STAGE_TASKS: Final = {stage.name: _stage_task(stage) for stage in ALL_STAGES.values()}


@shared_task(base=DatabaseTask, name="deals.notify", queue="notify")
def notify() -> None:
    """Post the queued messages, best first. Of two at once one posts; a message is recorded before it is tried."""
    # With Telegram's client 0.4 s, which only the worker of this queue needs.
    from deals.channel.post import post
    from deals.imports.post import post as post_lots

    post(connection(), config.load())
    post_lots(connection(), config.load())


@shared_task(base=DatabaseTask, name="deals.sweep", queue="upkeep")
def sweep() -> None:
    """Give up ads that repeatedly crashed workers; send wake-up messages for all other ads and for scheduled tasks."""
    runner.give_up(connection())
    for stage in ALL_STAGES:
        wake(stage)
    for name in schedule.due(connection()):
        _send(SCHEDULED_TASKS[name], name)


@shared_task(base=DatabaseTask, name="deals.demand", queue="upkeep")
def demand() -> None:
    """Measure how fast cars of each model sell, and retire old comparables and ads that went long ago. Each replaces
    what was there."""
    scoring.refresh_demand(connection())
    runner.retire_comparables(connection())
    board.expire(connection())


@shared_task(base=DatabaseTask, name="deals.market", queue="upkeep")
def market() -> None:
    """Compute the figures of the market that may have changed; of two at once one computes, the other does nothing."""
    done = figures.refresh(connection())
    log.info("market %s", pairs(months=len(done.months), rows=done.rows, is_busy=done.is_busy))


@shared_task(base=DatabaseTask, name="deals.train", queue="upkeep")
def train() -> None:
    """Train a price model and store it with its measured error; of two at once one trains."""
    log.info("trained %s", pairs(**price_model.train(connection(), config.load())))


@shared_task(base=DatabaseTask, name="deals.measure", queue="upkeep")
def measure() -> None:
    """Measure how far the price model is off on later ads; of two at once, or beside a training, one runs."""
    log.info("measured %s", pairs(**price_model.measure_by_time(connection(), config.load())))


@shared_task(base=DatabaseTask, name="deals.train_lots", queue="upkeep")
def train_lots() -> None:
    """Train a price model for cars that are asked for as lots; of two trainings at once one runs."""
    log.info("trained %s", pairs(asked_for_as="lot", **price_model.train(connection(), config.load(), "lot")))


@shared_task(base=DatabaseTask, name="deals.rescore", queue="upkeep")
def rescore() -> None:
    """Requeue all active ads for pricing: the market has moved, and new ads have aged."""
    log.info("rescore %s", pairs(ads=runner.requeue_all(connection())))
    wake("price")


@shared_task(base=DatabaseTask, name="deals.lots", queue="upkeep")
def lots() -> None:
    """Quote lots anew by another tariff, rate or profile, and queue those that a file or a model changed."""
    if requote.run(connection(), config.load()):
        wake("notify")
    if any(passes.queue_changed(connection(), config.load()).values()):
        for stage in LOT_STAGES:
            wake(stage)


@shared_task(base=DatabaseTask, name="deals.value_lots", queue="upkeep")
def value_lots() -> None:
    """Measure the discount of imported cars and the growth of bids, and queue all lots: the market has moved."""
    log.info("lots %s", pairs(lots=passes.renew(connection())))
    wake("value")


@shared_task(base=DatabaseTask, name="deals.exchange_rate", queue="upkeep")
def exchange_rate() -> None:
    """Fetch the exchange rate. One that cannot be had is logged, and tried for again at the next time; what is kept
    stays."""
    try:
        log.info("exchange rate %s", rates.refresh(connection(), config.load()))
    except rates.RateError as error:
        log.warning("no new exchange rate: %s", one_line(str(error)))


@shared_task(base=DatabaseTask, name="deals.watch", queue="upkeep")
def watch_over() -> None:
    """Raise the alerts of the deals pipeline, or clear them."""
    alarms.watch(connection(), config.load())


SCHEDULED_TASKS: Final = {
    "demand": demand,
    "market": market,
    "train": train,
    "rescore": rescore,
    "measure": measure,
    "train_lots": train_lots,
    "value_lots": value_lots,
    "exchange_rate": exchange_rate,
}


def wake(name: str) -> None:
    """Send wake-up messages for the ads that wait for a stage, or for `notify`, unless they were announced lately.

    If the broker is unavailable, or the process dies before it sends, the sweep sends them half a lease later.
    """
    if name == "notify":
        if channel.is_due(connection()) or channel_of_lots.is_due(connection(), config.load()):
            _send(notify, name, expires=EXPIRY)
        return
    stage = ALL_STAGES[name]
    if stage.waits_for and outbox.is_crowded(connection(), stage.waits_for, count=CROWD):
        return
    found = outbox.announce(connection(), name, count=ANNOUNCED, seconds=config.load().deals_lease / 2)
    for start in range(0, len(found), stage.batch):
        if not _send(STAGE_TASKS[name], name, found[start : start + stage.batch]):
            return


def _send(task: Task[Any, Any], name: str, *arguments: Any, **options: Any) -> bool:
    """Send a task to the workers, and return whether the broker took it."""
    try:
        task.apply_async(arguments, **options)
    except OperationalError as error:
        log.warning(
            "the broker is unavailable %s: the sweep sends it again", pairs(stage=name, error=type(error).__name__)
        )
        return False
    return True
