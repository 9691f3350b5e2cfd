"""The tasks: thin, with ids only. Each may come late, twice, twice at once or never.

A stage's task takes those of its ads that still wait and that nobody has in hand, so a second delivery finds nothing.
What never came, the sweep finds.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import psycopg
from celery import shared_task
from kombu.exceptions import OperationalError

from deals import notify as notifications
from deals import outbox, price_model, runner, scoring, watch
from vinops import config, database
from vinops.database_errors import is_passing
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

log = logging.getLogger("deals")

BATCH: Final = 500  # ads in a message
AT_ONCE: Final = 10_000  # ads that are rung for at once: what is beyond waits for the next sweep
EXPIRY: Final = 60.0  # seconds
CROWD: Final = 1_000

_open: list[Connection[Any]] = []  # the connection of this process, if there is one


def connection() -> Connection[Any]:
    """Return this process's connection, opened anew if it broke. Raises DatabaseError if there is none to be had."""
    if _open and (_open[0].closed or _open[0].broken):
        _open.clear()
    if not _open:
        _open.append(database.connect(config.load(), application="celery deals", autocommit=True))
    return _open[0]


@shared_task(name="deals.normalize", queue="normalize")
def normalize(listing_ids: Sequence[int]) -> None:
    """Normalize these ads, as far as they wait for it."""
    _work("normalize", listing_ids)


@shared_task(name="deals.price", queue="price")
def price(listing_ids: Sequence[int]) -> None:
    """Price these ads, as far as they wait for it."""
    _work("price", listing_ids)


@shared_task(name="deals.score", queue="score")
def score(listing_ids: Sequence[int]) -> None:
    """Score these ads, as far as they wait for it, and have deals told if there are some."""
    _work("score", listing_ids)


@shared_task(name="deals.notify", queue="notify")
def notify() -> None:
    """Post what waits, best first. Of two at once one posts; a message is recorded before it is tried."""
    notifications.post(connection(), config.load())


@shared_task(name="deals.sweep", queue="upkeep")
def sweep() -> None:
    """Ring for all that waits and that no worker was told of lately; give up what no worker survives."""
    runner.bury(connection())
    for stage in runner.STAGES:
        ring(stage)


@shared_task(name="deals.demand", queue="upkeep")
def demand() -> None:
    """Measure how fast cars go, and let ads that are long gone rest. Both replace what stood there."""
    scoring.refresh_demand(connection())
    runner.retire(connection())


@shared_task(name="deals.train", queue="upkeep")
def train() -> None:
    """Train a price model and keep it with its measured error; of two at once one trains."""
    log.info("trained %s", pairs(**price_model.train(connection(), config.load())))


@shared_task(name="deals.rescore", queue="upkeep")
def rescore() -> None:
    """Have all ads priced and scored again: the market moved, and what was new is not any more."""
    log.info("rescore %s", pairs(ads=runner.queue_again(connection())))
    ring("price")


@shared_task(name="deals.watch", queue="upkeep")
def watch_over() -> None:
    """Raise the alarms of this street, or clear them."""
    watch.watch(connection(), config.load())


def _work(stage: str, listing_ids: Sequence[int]) -> None:
    try:
        while runner.run(connection(), config.load(), stage, listing_ids) is not None:
            ring(runner.NEXT[stage] or "notify")
    except (psycopg.Error, database.DatabaseError) as error:
        if not is_passing(error):
            raise
        log.warning("the database went away %s: the sweep finds these ads again", pairs(stage=stage, error=error))


def ring(stage: str) -> None:
    """Tell workers of the ads that wait for a stage, if none was told lately.

    Prices wait while many ads are still to be normalized: those are the comparables. If the broker is away, or the
    process dies before it told anybody, the sweep rings again half a lease later.
    """
    open_connection = connection()
    if stage == "price" and outbox.is_crowded(open_connection, "normalize", count=CROWD):
        return
    try:
        if stage == "notify":
            if notifications.is_due(open_connection):
                notify.apply_async(expires=EXPIRY)
            return
        found = outbox.waiting(open_connection, stage, count=AT_ONCE, unheard=config.load().deals_lease / 2)
        for start in range(0, len(found), BATCH):
            TASKS[stage].apply_async(([*found[start : start + BATCH]],))
    except OperationalError as error:
        log.warning("the broker is away %s: the sweep rings again", pairs(stage=stage, error=type(error).__name__))


TASKS: Final = {"normalize": normalize, "price": price, "score": score}
