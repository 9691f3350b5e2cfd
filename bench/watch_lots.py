"""What watches of lots cost: `python -m bench.watch_lots`. Ten thousand watches beside 150,000 lots for sale and
960,000 that are gone: a file of which one lot in a hundred changed, a new watch, its preview, the sweep.

Some models are far more frequent than others: the first of 300 is one lot in seventeen. The lots are made by one
statement: which stage wrote a row makes no difference to those that read it.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString

from psycopg.types.json import Jsonb

from bench.pairs import say
from bench.server import running
from bench.watches import Times, make_of, p95, table_of
from deals.watches import lots
from deals.watches.preview import preview_lots
from vinops import vehicles
from vinops.db import database
from vinops.lots.filter import DAMAGES, LotFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

ACTIVE, GONE, WATCHES = 150_000, 960_000, 10_000  # 16,000 lots a day, for 60 days
BATCHES: Final = (1_500, 20)
ROUNDS: Final = 10
PREVIEWS, WIDE = 400, 200
MOST: Final = {"1,500 lots, one file of 1 %": 1.0}  # seconds, median
MOST_P95: Final = {"preview": 0.02}
ZONE: Final = "Europe/Sofia"
LOTS: Final[tuple[LiteralString, ...]] = (
    "set session_replication_role = replica",
    """create temporary table market as
    select drawn.*, hashint8(id * 8 + 1) & 2147483647 as d1, hashint8(id * 8 + 2) & 2147483647 as d2,
        hashint8(id * 8 + 3) & 2147483647 as d3, hashint8(id * 8 + 4) & 2147483647 as d4,
        hashint8(id * 8 + 5) & 2147483647 as d5, hashint8(id * 8 + 6) & 2147483647 as d6,
        case when is_gone then gone_at - (2 + 15 * random()) * interval '1 day'
            else now() - 40 * random() * random() * interval '1 day' end as first_seen,
        f.family, f.make
    from
        (select n::bigint as id, n > %(active)s as is_gone,
            case when n > %(active)s then now() - 60 * random() * interval '1 day' end as gone_at
        from generate_series(1, %(lots)s) as n) as drawn
    inner join jsonb_to_recordset(%(families)s::jsonb) as f (number integer, family text, make text)
        on f.number = floor(%(count)s * power((hashint8(drawn.id) & 2147483647) / 2147483648.0, 2))""",
    """insert into vehicles (id, vin, year, make, model, fuel) overriding system value
    select id, '1FTFW' || lpad(id::text, 12, '0'), 2000 + d1 %% 26, make, family, 'gasoline' from market
    where not is_gone""",
    """insert into lots (id, lot_external_id, vin, vehicle_id, status, first_seen_at, sale_at, high_bid, currency,
        damage, title_group, has_keys, condition, odometer, state, yard_name, row_hash, file_id)
    overriding system value
    select id, 40000000 + id, '1FTFW' || lpad(id::text, 12, '0'), id, 'active', first_seen,
        now() + (d1 %% 300) * interval '1 hour', d2 %% 9000, 'USD',
        (%(damages)s::text[])[1 + d3 %% 24], (array['clean', 'salvage', 'salvage', 'other'])[1 + d4 %% 4],
        d5 %% 10 < 8, (array['run and drive', 'run and drive', 'starts', null])[1 + d6 %% 4], d2 %% 200000,
        (array['TX', 'CA', 'FL', 'OH', 'GA', 'NY', 'NJ', 'PA'])[1 + d3 %% 8], 'YARD ' || d3 %% 200, 'x', 1
    from market where not is_gone""",
    """insert into lot_board (lot_id, is_gone, gone_at, first_seen, sale_at, high_bid, make, family, year, fuel,
        gearbox, body, color, damage, title_group, condition, has_keys, odometer, state, yard, has_photos)
    select id, is_gone, gone_at, first_seen, coalesce(gone_at, now()) + (d1 %% 300) * interval '1 hour', d2 %% 9000,
        make, family, 2000 + d1 %% 26,
        (array['gasoline', 'gasoline', 'diesel', 'hybrid'])[1 + d2 %% 4], 'automatic',
        (array['sedan', 'suv', 'pickup', 'coupe'])[1 + d5 %% 4],
        (array['white', 'black', 'silver', 'blue'])[1 + d6 %% 4], (%(damages)s::text[])[1 + d3 %% 24],
        (array['clean', 'salvage', 'salvage', 'other'])[1 + d4 %% 4],
        (array['run and drive', 'run and drive', 'starts', null])[1 + d6 %% 4], d5 %% 10 < 8, d2 %% 200000,
        (array['TX', 'CA', 'FL', 'OH', 'GA', 'NY', 'NJ', 'PA'])[1 + d3 %% 8], 'YARD ' || d3 %% 200, true
    from market""",
    """insert into lot_quotes (lot_id, basis, valued_at, is_complete, most_bid_usd, bid_usd, bid_kind, landed_eur,
        profit_eur, loss_chance, is_ranked)
    select id, 'x', now(), true, 500 + d1 %% 12000, case when d2 %% 5 = 0 then 3000 end,
        case when d2 %% 5 = 0 then 'floor' end, 4000 + d3 %% 20000, d4 %% 6000 - 2000, 0.2, d5 %% 4 > 0
    from market where id %% 2 = 0 and not is_gone""",
    "set session_replication_role = origin",
    "drop table market",
)


def main() -> int:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="vinops-bench-") as folder, running(Path(folder)) as server:
        place = server.make("watch_lots", "migrated")
        place.data_dir.mkdir(parents=True, exist_ok=True)
        with database.connect(place.settings, application="bench", autocommit=True) as connection:
            dice = random.Random(4)
            families = dice.sample(sorted(vehicles.families()), 300)
            fill(connection, families)
            found = ask(connection, families, dice)
    print("\n".join(table_of(found.items())))
    missed = [name for name, most in MOST.items() if statistics.median(found[name].passed) > most]
    missed += [name for name, most in MOST_P95.items() if p95(found[name].passed) > most]
    print(f"NOT REACHED: {', '.join(missed)}" if missed else "Every target was reached.")
    return 0


def fill(connection: Connection[Any], families: Sequence[str]) -> None:
    """Put lots and watches into a database."""
    about = {
        "active": ACTIVE,
        "lots": ACTIVE + GONE,
        "count": len(families),
        "damages": list(DAMAGES),
        "families": Jsonb([
            {"number": number, "family": family, "make": make_of(family)} for number, family in enumerate(families)
        ]),
    }  # fmt: skip
    for statement in LOTS:
        say(f"watch_lots: {' '.join(statement.split())[:70]}")
        connection.execute(statement, about if "%" in statement else None)
    dice = random.Random(5)
    with connection.transaction():
        connection.execute("insert into watch_people (chat_id) select n from generate_series(1, 100) as n")
        connection.execute(
            "insert into watches (person_id, kind, typed, since) select p.id, 'lot', 'x', now() - interval '1 hour'"
            " from watch_people as p cross join generate_series(1, %s)",
            [WATCHES // 100],
        )
        for (watch_id,) in connection.execute("select id from watches").fetchall():
            lots.save(connection, watch_id, drawn(dice, families))
    connection.execute("vacuum (analyze)")


def drawn(dice: random.Random, families: Sequence[str], *, kind: float | None = None) -> LotFilter:
    """Return the filter of a watch: three of four name models, others a make, and some (of `kind` 1 all) neither."""
    kind = dice.random() if kind is None else kind
    asked = [families[int(len(families) * dice.random() ** 2)] for _ in range(dice.choice((1, 1, 1, 2)))]
    named = tuple(sorted(set(asked))) if kind < 0.75 else ()
    makes = (make_of(asked[0]),) if 0.75 <= kind < 0.95 else ()
    is_wide = not named and not makes
    return LotFilter(
        family=named,
        make=makes,
        year_from=dice.choice((None, 2012, 2016, 2020)),
        fuel=("diesel",) if is_wide and dice.random() < 0.3 else (),
        body=("suv",) if is_wide and dice.random() < 0.3 else (),
        title_group=("clean",) if dice.random() < 0.3 else (),
        damage=("front end", "hail", "side") if dice.random() < 0.3 else (),
        runs=("drives",) if dice.random() < 0.3 else (),
        state=("NJ", "NY") if dice.random() < 0.2 else (),
        landed_to=Decimal(12_000) if dice.random() < (0.6 if is_wide else 0.3) else None,
        profit_from=1_500 if dice.random() < (0.3 if is_wide else 0.1) else None,
        sale_within=timedelta(hours=24) if dice.random() < 0.1 else None,
    )


class _Undone(Exception):  # noqa: N818 # no error: what a round found is taken back
    """Raised to take back what a round recorded."""


def ask(connection: Connection[Any], families: Sequence[str], dice: random.Random) -> dict[str, Times]:
    """Match batches of lots, save and preview watches, and sweep."""
    found: defaultdict[str, Times] = defaultdict(Times)
    hits = 0
    names = dict(zip(BATCHES, ("1,500 lots, one file of 1 %", "20 lots"), strict=True))
    for count, name in names.items():
        for _ in range(ROUNDS):
            batch = dice.sample(range(1, ACTIVE + 1), count)
            with suppress(_Undone), connection.transaction():
                found[name].take(connection, lambda: lots.record(connection, batch))  # noqa: B023
                hits = max(hits, connection.execute("select count(*) from watch_hits").fetchone()[0])  # type: ignore[index]
                found[f"{name}, again"].take(connection, lambda: lots.record(connection, batch))  # noqa: B023
                raise _Undone
    say(f"watch_lots: {hits:,} hits of a file")
    with suppress(_Undone), connection.transaction():
        batch = list(range(1, ACTIVE + 1))[:15_000]
        found["15,000 lots, the largest batch"].take(connection, lambda: lots.record(connection, batch))
        raise _Undone
    ids = [row[0] for row in connection.execute("select id from watches order by id limit 300")]
    for watch_id in ids:
        with suppress(_Undone), connection.transaction():
            found["a watch begins"].take(connection, lambda: lots.begin(connection, watch_id))  # noqa: B023
            raise _Undone
    for name, kind, number in (("preview", None, PREVIEWS), ("preview, neither model nor make", 1.0, WIDE)):
        for _ in range(number):
            wanted = drawn(dice, families, kind=kind)
            found[name].take(connection, lambda: preview_lots(connection, wanted, time_zone=ZONE))  # noqa: B023
    with suppress(_Undone), connection.transaction():
        found["the sweep, first"].take(connection, lambda: lots.queue_due(connection))
        found["the sweep, again"].take(connection, lambda: lots.queue_due(connection))
        raise _Undone
    return found


if __name__ == "__main__":
    sys.exit(main())
