"""A feed file against a file of ads, in a database of its own: how many lots are left at each step, and which are best.

The same code as in production runs: the feed's loader, the stages of the ads, the price model of lots, the stages of
the lots. The database goes with its folder.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from psycopg.types.json import Jsonb

from deals.estimate import model as price_model
from deals.evaluation import ads as files
from deals.landed import rates
from deals.offers import passes
from deals.queue import runner
from etl.run import ingest
from vinops.config import Settings
from vinops.db import database, embedded
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

    from psycopg import Connection

AT_ONCE: Final = 10_000  # ads in a statement


class FunnelError(Exception):
    """The files cannot be used. The message says why."""


@contextmanager
def loaded(
    feed: Path, ads: Path, settings: Settings, *, rate: Decimal, told: Callable[[str], object] = lambda _: None
) -> Iterator[Connection[Any]]:
    """Yield a connection to a database of its own with both files loaded and all lots valued and quoted, at this rate
    of dollars for one euro. Raises FunnelError, EvaluateError and the errors of the feed."""
    lines = files.read_lines(ads)
    with tempfile.TemporaryDirectory(prefix="vinops-funnel-") as folder:
        here = replace(settings, data_dir=Path(folder), database_url=None, feed_min_rows=1)
        try:
            database.migrate(here)
            with database.connect(here, application="landed funnel", autocommit=True) as connection:
                told("loading the lots")
                outcome = ingest(here, feed, fetched_at=datetime.now(UTC), allow_shrink=True)
                if outcome.exit_code:
                    raise FunnelError(f"{feed}: {outcome.summary}")
                told("loading the ads")
                _insert(connection, lines)
                runner.drain(connection, here, "normalize")
                connection.execute("analyze")
                day = datetime.now(UTC).date()
                about = {"currency": rates.CURRENCY, "day": day, "rate": rate, "source": "given by hand"}
                connection.execute(queries("rates")["store_rate"], about)
                told("training")
                price_model.train(connection, here, "lot")
                told("valuing")
                passes.queue_changed(connection, here)
                for stage in ("value", "quote"):
                    runner.drain(connection, here, stage)
                yield connection
        finally:
            embedded.release(Path(folder))


def _insert(connection: Connection[Any], lines: list[dict[str, str | None]]) -> None:
    found = [files.ad_of(number, line) for number, line in enumerate(lines, 1)]
    rows = [
        {name: getattr(ad, name) for name in ad.__slots__ if name not in {"listing_id", "price_eur"}}
        | {"ad_id": str(ad.listing_id), "price_eur": None if ad.price_eur is None else str(ad.price_eur)}
        for ad in found
    ]
    for start in range(0, len(rows), AT_ONCE):
        connection.execute(queries("imports")["insert_file_ads"], {"ads": Jsonb(rows[start : start + AT_ONCE])})
