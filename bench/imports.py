"""What import deals cost: `python -m bench.imports FEED ADS`, a feed file and a CSV of ads, both copied to real size.

The lots are copied until there are 150,000 active ones, the ads until there are 129,000. Measured are the values of all
candidates, all quotes from their values after another rate, and a file in which one lot in a hundred has changed. On a
machine with other work the processor time tells more than the time that passes.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.pairs import say
from bench.processes import used_by_all
from deals.offers import passes, requote
from deals.queue import runner
from ops.funnel import loaded
from vinops import config

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

LOTS, ADS = 150_000, 129_000


def main() -> int:
    """Measure, and print a line for each figure."""
    feed, ads = map(Path, sys.argv[1:3])
    with loaded(feed, ads, config.load(), rate=Decimal("1.16")) as connection:
        settings = config.load()
        measured = Clock(psutil.Process(psutil.Process(connection.info.backend_pid).ppid())).measured
        copy_ads(connection)
        copy_lots(connection)
        connection.execute("delete from lot_values")
        connection.execute("vacuum analyze")

        def drained(stage: str) -> Callable[[], int]:
            return lambda: sum(len(each.done) for each in runner.drain(connection, settings, stage))

        def changed() -> int:
            return sum(passes.queue_changed(connection, settings).values())

        def at_another_rate() -> int:
            connection.execute("update exchange_rates set rate = rate + 0.01")
            return requote.run(connection, settings)

        measured("queue what changed", changed)
        measured("values of all lots", drained("value"))
        (candidates,) = connection.execute(
            "select count(*) from lot_values where blockers = '[]' or blockers @> '[{\"name\": \"no market\"}]'"
        ).fetchone() or (0,)
        say(f"lots: {candidates:,} candidates")
        fill_values(connection)
        connection.execute("delete from lot_quotes")
        passes.queue_changed(connection, settings)
        connection.execute("vacuum analyze lot_values, lot_quotes")
        measured("first quotes of all lots, through the outbox", drained("quote"))
        connection.execute("vacuum analyze lot_quotes")
        for _ in range(3):
            measured("another rate: all quoted from their values", at_another_rate)
        connection.execute("update lots set row_hash = decode(md5('x' || id), 'hex') where mod(id, 100) = 7")

        def successor() -> int:
            requote.run(connection, settings)
            changed()
            drained("value")()
            return drained("quote")()

        measured("a file in which one lot in a hundred changed", successor)
        measured("nothing changed", lambda: requote.run(connection, settings) + changed())
    return 0


@dataclass(frozen=True)
class Clock:
    """Prints what work takes: the time that passes, and the processor time of this process and of the server. The
    first depends on what else the machine does."""

    server: psutil.Process

    def measured(self, what: str, work: Callable[[], int]) -> None:
        """Do the work, and print how long it took and how many lots it was."""
        began, client, server = time.monotonic(), time.process_time(), used_by_all(self.server)
        count = work()
        took = time.monotonic() - began
        client, server = time.process_time() - client, used_by_all(self.server) - server
        say(f"lots: {what}: {count:,} in {took:.2f} s; processor {client:.2f} s here, {server:.2f} s in the server")


def copy_ads(connection: Connection[Any]) -> None:
    """Copy the ads until there are ADS, each copy with some more kilometres and another price."""
    (have,) = connection.execute("select count(*) from normalized_listings").fetchone() or (0,)
    copies = ADS // have
    connection.execute(
        "insert into listings (id, source, ad_id, make_slug, url, title, price_eur, posted_at, list_hash)"
        " overriding system value select t.id + n * 1000000, 'copy', n || '-' || t.id, make_slug, url, title,"
        " price_eur, posted_at, list_hash from listings as t cross join generate_series(1, %s) as copy (n)",
        [copies],
    )
    connection.execute(
        "insert into normalized_listings (listing_id, make, model, family, fuel, gearbox, body, colour, year, month,"
        " mileage_km, power_hp, engine_cc, price_eur, risk, is_comparable)"
        " select t.listing_id + n * 1000000, make, model, family, fuel, gearbox, body, colour, year, month,"
        " mileage_km + n * 997, power_hp, engine_cc, round(price_eur * (0.9 + n * 0.007), 2), risk, is_comparable"
        " from normalized_listings as t cross join generate_series(1, %s) as copy (n)",
        [copies],
    )


def copy_lots(connection: Connection[Any]) -> None:
    """Copy the lots until there are LOTS active ones; copies share their vehicle."""
    (have,) = connection.execute("select count(*) from lots where status = 'active'").fetchone() or (0,)
    columns = [
        name
        for (name,) in connection.execute(
            "select column_name from information_schema.columns where table_schema = 'public' and table_name = 'lots'"
            " and column_name not in ('id', 'lot_external_id')"
        ).fetchall()
    ]
    listed = ", ".join(columns)
    statement = (
        f"insert into lots (lot_external_id, {listed}) select lot_external_id + n * 1000000000::bigint, {listed}"
        " from lots cross join generate_series(1, %s) as copy (n)"
    )
    connection.execute(statement.encode(), [LOTS // have])


def fill_values(connection: Connection[Any]) -> None:
    """Give all lots without a value that of one that has some, so that all are quoted."""
    connection.execute(
        "update lot_values set p10 = 9000, p20 = 10000, p50 = 12000, p90 = 16000, method = 'model' where p50 is null"
    )


if __name__ == "__main__":
    sys.exit(main())
