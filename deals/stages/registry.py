"""The stages of an ad and of a lot, in order: workers, tasks, queues, the command line and the monitor read them here.

A stage is a module `deals.stages.NAME`, a Celery task `deals.NAME` and a queue NAME. CONTRIBUTING lists what a new one
needs. Modules are imported when a stage runs: naming the stages costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.config import Settings


class StageModule(Protocol):
    """The functions of a stage's module. Each may run twice, or twice at once: what is written depends on the ad alone
    and replaces what was there."""

    def read(self, connection: Connection[Any], listing_ids: Sequence[int], settings: Settings) -> Any:
        """Return everything that `work` needs, with statements over the whole batch."""

    def work(self, batch: Any) -> Sequence[Any]:
        """Return a result for each ad, with its `listing_id`, or a lot's `lot_id`. A pure function of what was read."""

    def write(self, connection: Connection[Any], results: Sequence[Any]) -> None:
        """Store the results, in the transaction that also ends the stage's work on these ads."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of ads, or `of_lots`. No wake-up message is sent for it while many wait for the stage `waits_for`."""

    name: str
    waits_for: str | None = None
    of_lots: bool = False
    batch: int = 500  # ads in a lease, and in a wake-up message

    @property
    def module(self) -> StageModule:
        """The stage's functions."""
        return cast("StageModule", import_module(f"deals.stages.{self.name}"))


STAGES: Final = {
    stage.name: stage
    for stage in (
        Stage(name="normalize"),
        Stage(name="price", waits_for="normalize"),  # ads that are not normalized yet are missing comparables
        Stage(name="score"),
        Stage(name="match"),
    )
}
"""All stages by name, in order. What passes the last one is queued for the channel."""


LOT_STAGES: Final = {
    stage.name: stage
    for stage in (
        Stage(name="value", of_lots=True, batch=2_000),
        Stage(name="quote", of_lots=True, batch=15_000),
        Stage(name="match_lots", of_lots=True, batch=15_000),
    )
}
"""The stages of a lot: what its car is worth here, what one may bid for it, and who watches for it."""

ALL_STAGES: Final = {**STAGES, **LOT_STAGES}


def next_stage(name: str) -> str | None:
    """Return the stage after this one; None after the last."""
    return (dict(pairwise(STAGES)) | dict(pairwise(LOT_STAGES))).get(name)
