"""What watches cost: a batch of new ads against ten thousand watches, the preview of a filter, the parsing of a text;
among 129,000 ads that are advertised and those of 60 days that are gone.

The ads are made by one statement: which stage wrote a row makes no difference to those that read it. Beside the time
that passes the processor time of the server is shown: other work on the machine makes it longer, but not twice.
"""

from __future__ import annotations

import random
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

from psycopg.types.json import Jsonb

from bench.machine import processor_seconds
from bench.pairs import say
from deals.watches import matching
from deals.watches.columns import to_columns
from deals.watches.preview import preview
from standin.market.real import FOLLOWED
from vinops import vehicles
from vinops.db import database
from vinops.filter_text import parse
from vinops.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg import Connection

    from bench.server import Place, Server

MOST_500: Final = 0.5  # seconds
MOST_20: Final = 0.05
MOST_PREVIEW_P95: Final = 0.02
MOST_PARSE: Final = 0.005
BATCHES: Final = (500, 20)
ROUNDS: Final = 20
PREVIEWS: Final = 300
WIDE: Final = 100
LARGE: Final = ("listings", "normalized_listings", "listing_words", "listing_prices", "watch_hits", "board_gone")
"""Tables that no statement reads as a whole. Of `board_active` a filter without models that few cars meet reads all."""
TEXTS: Final = (
    "BMW X5 дизел до 25000, 2016+, без удар", "Октавия комби до 15 хил лв", "golf 7 automatic under 12k, not from USA",
    "джип дизел автоматик 2014-2018 София или Пловдив частно лице", "тойта корола хибрид до 150 хил км 15% под пазара",
)  # fmt: skip

MARKET: Final[tuple[LiteralString, ...]] = (
    "select setseed(0.5)",
    "set session_replication_role = replica",
    """create temporary table market as
    select n as id, n > %(active)s as is_gone, f.family, f.make,
        case when n > %(active)s then now() - 60 * random() * interval '1 day' end as gone_at,
        case when n > %(active)s then now() - (60 + 40 * random()) * interval '1 day'
            else now() - 40 * random() * random() * interval '1 day' end as first_seen,
        (500 + 30000 * random() * random())::numeric(12, 2) as price,
        (1998 + 28 * random())::integer as year, (300000 * random())::integer as km,
        (60 + 240 * random())::integer as power,
        (array['diesel', 'diesel', 'gasoline', 'gasoline', 'hybrid', 'electric', 'lpg'])[1 + (6 * random())::integer]
            as fuel,
        (array['manual', 'automatic'])[1 + random()::integer] as gearbox,
        (array['sedan', 'estate', 'suv', 'hatchback', 'van'])[1 + (4 * random())::integer] as body,
        (array['black', 'white', 'grey', 'red', 'blue'])[1 + (4 * random())::integer] as color,
        (array['София', 'Пловдив', 'Варна', 'Бургас', 'Русе'])[1 + (4 * random())::integer] as region,
        (array['private', 'dealer'])[1 + random()::integer] as seller
    from generate_series(1, %(ads)s) as n
    inner join jsonb_to_recordset(%(families)s::jsonb) as f (number integer, family text, make text)
        on f.number = mod(n::bigint * 7919, %(count)s)""",
    "update market set first_seen = gone_at - 40 * random() * random() * interval '1 day' where is_gone",
    """insert into listings (id, source, ad_id, make_slug, url, title, price_eur, posted_at, first_seen, removed_at,
        seller_kind, list_hash)
    overriding system value
    select id, 'market', id::text, 'vw', 'https://m/' || id, family, price, first_seen, first_seen, gone_at, seller, ''
    from market""",
    """insert into listing_prices select id, price, first_seen from market""",
    """insert into normalized_listings (listing_id, make, model, family, fuel, gearbox, body, colour, region, year,
        month, mileage_km, power_hp, price_eur, risk, is_comparable)
    select id, make, family, family, fuel, gearbox, body, color, region, year, 1 + mod(id, 12), km, power, price, 'low',
        true from market""",
    """insert into scores (listing_id, score, parts, reasons, is_approved)
    select id, 1 + 9 * random() * random(), '{}', '{}', false from market""",
    """insert into listing_words select id, array_to_tsvector(array['klimatik', 'navi', case when mod(id, 5) = 0
        then 'udari' else 'servizna' end, 'w' || mod(id, 3000)]) from market""",
    """insert into board select id, is_gone, gone_at, null, scores.score, first_seen, price,
        round((60 * random() - 30)::numeric, 1), year, km, power, make, family, fuel, gearbox, body, color, region,
        seller from market inner join scores on market.id = scores.listing_id""",
    "set session_replication_role = origin",
    "drop table market",
)
HISTORY: Final[tuple[LiteralString, ...]] = (
    "set session_replication_role = replica",
    """insert into watch_hits (watch_id, car, listing_id, version, price_eur, score, state, found_at)
    select watches.id, 'earlier ' || n, 1 + mod(watches.id * 30 + n, 1000), 1, 5000, 5, 'told',
        now() - n * interval '1 day'
    from watches cross join generate_series(1, 30) as n""",
    "set session_replication_role = origin",
    "vacuum (analyze) watch_hits",
)
"""What watches found in the month before, one car a day."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many ads are advertised and gone, and how many watches there are."""

    active: int
    gone: int
    watches: int


FULL: Final = Size(active=FOLLOWED, gone=210_000, watches=10_000)
QUICK: Final = Size(active=5_000, gone=5_000, watches=1_000)


Result = TypeVar("Result")


@dataclass(kw_only=True)
class Times:
    """Seconds that passed, and seconds of processor that the server took."""

    passed: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    def take(self, connection: Connection[Any], what: Callable[[], Result]) -> Result:
        """Measure something that asks on a connection, and return its result."""
        pid = connection.info.backend_pid
        before = processor_seconds(pid)
        began = time.perf_counter()
        result = what()
        self.passed.append(time.perf_counter() - began)
        self.server.append(processor_seconds(pid) - before)
        return result


@dataclass(frozen=True, kw_only=True)
class Watches:
    """What was measured: batches by their number of ads, and again when nothing is new; previews, and those of filters
    that name neither model nor make; texts, in seconds; `scans` are the LARGE tables that were read as a whole."""

    size: Size
    batches: dict[int, Times]
    again: dict[int, Times]
    hits: int
    """Of the largest batch."""
    previews: Times
    wide: Times
    texts: Sequence[float]
    scans: Sequence[str]


def measure(server: Server, size: Size) -> Watches:
    """Fill a database and ask it. Raises BenchFailed."""
    place = server.make("watches", "migrated")
    try:
        dice = random.Random(4)
        families = sorted(vehicles.families())
        common = dice.sample(families, 300)
        fill(place, size, common)
        return ask(place, size, common, dice)
    finally:
        server.drop(place.name)


def fill(place: Place, size: Size, families: Sequence[str]) -> None:
    """Put ads and watches into a database."""
    place.data_dir.mkdir(parents=True, exist_ok=True)
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        fill_on(connection, size, families)


def fill_on(connection: Connection[Any], size: Size, families: Sequence[str]) -> None:
    """Do so on a connection in autocommit."""
    dice = random.Random(5)
    about = {
        "active": size.active,
        "ads": size.active + size.gone,
        "count": len(families),
        "families": Jsonb([
            {"number": number, "family": family, "make": make_of(family)} for number, family in enumerate(families)
        ]),
    }  # fmt: skip
    for statement in MARKET:
        say(f"watches: {' '.join(statement.split())[:70]}")
        connection.execute(statement, about if "%(" in statement else None)
    people = connection.execute(
        "insert into watch_people (chat_id) select n from generate_series(1, 100) as n returning id"
    ).fetchall()
    columns = [{**to_columns(drawn(dice, families)), "person": people[n % 100][0]} for n in range(size.watches)]
    names = [name for name in columns[0] if name != "person"]
    statement = (
        f"insert into watches (person_id, typed, since, {', '.join(names)})"
        f" values (%(person)s, 'x', now() - interval '1 hour', {', '.join(f'%({name})s' for name in names)})"
    )
    with connection.cursor() as cursor, connection.transaction():
        cursor.executemany(statement.encode(), columns)
    connection.execute("vacuum (analyze)")


def make_of(family: str) -> str:
    """Return the make of a family."""
    return max((make for make in set(vehicles.makes().values()) if family.startswith(f"{make} ")), key=len)


def drawn(dice: random.Random, families: Sequence[str], *, kind: float | None = None) -> Filter:
    """Return the filter of a watch: three of four name models, others a make, and some (of `kind` 1 all) neither."""
    kind = dice.random() if kind is None else kind
    named = tuple(sorted(dice.sample(list(families), dice.choice((1, 1, 1, 2))))) if kind < 0.75 else ()
    makes = (make_of(dice.choice(families)),) if 0.75 <= kind < 0.95 else ()
    is_wide = not named and not makes
    return Filter(
        family=named,
        make=makes,
        year_from=dice.choice((None, 2008, 2014)) if not is_wide else 2016,
        price_to=dice.choice((None, Decimal(5000), Decimal(15000))) if not is_wide else Decimal(6000),
        km_to=dice.choice((None, None, 150_000)),
        fuel=("diesel",) if dice.random() < 0.4 or is_wide else (),
        gearbox=("automatic",) if dice.random() < 0.2 else (),
        region=(dice.choice(("София", "Варна")),) if dice.random() < 0.2 else (),
        below_market=Decimal(15) if dice.random() < 0.2 or is_wide else None,
        words_not=("удар",) if dice.random() < 0.3 else (),
    )


class _Undone(Exception):  # noqa: N818 # no error: what a round found is taken back
    """Raised to take back what a round recorded."""


def ask(place: Place, size: Size, families: Sequence[str], dice: random.Random) -> Watches:
    """Preview filters, match batches of new ads, and parse texts."""
    batches = {count: Times() for count in BATCHES}
    again = {count: Times() for count in BATCHES}
    previews, wide = Times(), Times()
    hits = 0
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        for statement in HISTORY:
            connection.execute(statement)
        before = scans(connection)
        for _ in range(PREVIEWS):
            wanted = drawn(dice, families)
            previews.take(connection, lambda: preview(connection, wanted))  # noqa: B023
        for _ in range(WIDE):
            wanted = drawn(dice, families, kind=1)
            wide.take(connection, lambda: preview(connection, wanted))  # noqa: B023
        connection.execute("update board_active set first_seen = now() where mod(listing_id, 3) = 0")
        connection.execute("vacuum (analyze) board_active")
        ids = [row[0] for row in connection.execute("select listing_id from board_active where mod(listing_id, 3) = 0")]
        for count in BATCHES:
            for _ in range(ROUNDS):
                batch = dice.sample(ids, count)
                with suppress(_Undone), connection.transaction():
                    hits = max(hits, batches[count].take(connection, lambda: matching.record(connection, batch)))  # noqa: B023
                    again[count].take(connection, lambda: matching.record(connection, batch))  # noqa: B023
                    raise _Undone
        read = scans(connection)
    for text in TEXTS:
        parse(text)
    return Watches(
        size=size,
        batches=batches,
        again=again,
        hits=hits,
        previews=previews,
        wide=wide,
        texts=[timed(lambda: parse(text)) for text in TEXTS for _ in range(ROUNDS)],  # noqa: B023
        scans=[name for name in LARGE if read[name] > before[name]],
    )


def scans(connection: Connection[Any]) -> dict[str, int]:
    """Return how often each table was read as a whole."""
    connection.execute("select pg_stat_force_next_flush()")
    connection.execute("select pg_stat_clear_snapshot()")
    return dict(connection.execute("select relname, seq_scan from pg_stat_user_tables").fetchall())


def timed(what: Callable[[], object]) -> float:
    """Return the seconds that something took."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def p95(seconds: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def table(measured: Watches | None) -> str:
    """Return a Markdown table, nothing if nothing was measured."""
    if measured is None:
        return ""
    size = measured.size
    rows = [
        *((f"{count} new ads", measured.batches[count]) for count in BATCHES),
        *((f"{count} ads again, nothing new", measured.again[count]) for count in BATCHES),
        ("preview of a watch", measured.previews),
        ("preview of one that names neither model nor make", measured.wide),
    ]
    return "\n".join([
        f"{size.watches:,} watches, {size.active:,} ads, {size.gone:,} that are gone; {measured.hits:,} hits a batch:",
        "",
        *table_of(rows),
        (f"| a text parsed | {_ms(statistics.median(measured.texts))} | {_ms(p95(measured.texts))}"
        f" | {_ms(max(measured.texts))} | | |"),
        "",
        f"Read as a whole: {', '.join(measured.scans) or 'no large table'}.",
    ])  # fmt: skip


def table_of(rows: Iterable[tuple[str, Times]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [
        "| what | p50 | p95 | worst | processor p50 | p95 |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {_ms(statistics.median(each.passed))} | {_ms(p95(each.passed))} | {_ms(max(each.passed))}"
            f" | {_ms(statistics.median(each.server))} | {_ms(p95(each.server))} |"
            for name, each in rows
        ),
    ]


def missed(measured: Watches | None) -> list[str]:
    """Return the goals that were missed."""
    if measured is None:
        return []
    figures = [
        ("watches, 500 ads", statistics.median(measured.batches[500].passed), MOST_500),
        ("watches, 20 ads", statistics.median(measured.batches[20].passed), MOST_20),
        ("watches, preview, p95", p95(measured.previews.passed), MOST_PREVIEW_P95),
        ("watches, a text", statistics.median(measured.texts), MOST_PARSE),
    ]
    large = measured.scans if measured.size == FULL else ()  # all of a few rows is what a plan should read
    return [
        *(f"{name}: {value:.3f} s, not {most:g} s" for name, value, most in figures if value > most),
        *(f"watches, {name} is read as a whole" for name in large),
    ]
