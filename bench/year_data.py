"""A year of history for `python -m bench --year`: made by the server with generate_series, in the shape that a year of
8,219 new lots a day leaves.

Sizes of a whole year: 3.0 M lots of which 150,000 are active, 9 M events, 3 M photos, 400,000 ads of which 129,000
are active, 600,000 staged rows. The newest half, which is measured first, takes 4 GB of disk; a copy of it with the
other half takes 8 GB, and 1 GB of log while it is made.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg

from bench.pairs import say
from vinops.db.database import queries, sql_folder
from vinops_scrapy.mobile_bg.makes import read_makes

PHOTOS_A_LOT: Final = 12
EVENTS_A_LOT: Final = 3
MAKES: Final = tuple(make.slug for make in read_makes(None).all)
BYTES_A_LOT: Final = 5_000
LIFE_DAYS: Final = 18.25  # 150,000 active lots at 8,219 new ones a day


@dataclass(frozen=True, kw_only=True)
class Year:
    """How many rows a whole year has, of which the newest `active` lots and `active_ads` ads are there."""

    lots: int
    active: int
    photos: int
    ads: int
    active_ads: int
    staged: int
    files: int = 35_040
    runs: int = 8_640  # of the feed, in the 90 days that are kept
    walks: int = 21_900

    @property
    def every(self) -> int:
        """One lot of so many has photos."""
        return self.lots * PHOTOS_A_LOT // self.photos

    @property
    def disk_bytes(self) -> int:
        """What both databases, the log and the files of sorts take at most."""
        return BYTES_A_LOT * self.lots


FULL: Final = Year(lots=3_000_000, active=150_000, photos=3_000_000, ads=400_000, active_ads=129_000, staged=600_000)
QUICK: Final = Year(lots=60_000, active=3_000, photos=60_000, ads=8_000, active_ads=2_580, staged=12_000)

# What both halves have: the days that retention keeps, and the state of the pipelines. No trigger runs and no foreign
# key is checked; what is measured only reads, or is rolled back.
ALWAYS: Final[tuple[LiteralString, ...]] = (
    """insert into audit.etl_runs (
        started_at, finished_at, status, file_id, rows_read, rows_accepted, rows_rejected, lots_new, lots_changed,
        lots_gone, lots_returned, newest_update
    )
    select at, at, 'loaded', %(files)s - n, 150000, 150000, 1, 86, 94, 86, 0, at
    from (select n, now() - interval '15 minutes' * n as at from generate_series(0, %(runs)s - 1) as n) as runs
    order by n desc""",
    """insert into ops.crawl_runs (
        spider, worker, machine, pid, started_at, heartbeat_at, finished_at, reason, done, items, stats
    )
    select case when n %% 5 = 0 then 'lot_photos' else 'mobile_bg' end,
        case when n %% 5 > 0 then (n %% 5)::text end, 'here', n, at, at + interval '1 hour', at + interval '1 hour',
        'finished', 150, 1800, '{"lot/failed": 3}'
    from (select n, now() - interval '86 minutes' * (1501 - n) as at from generate_series(1, 1500) as n) as r""",
    """insert into ops.listing_walks (source, make_slug, started_at, finished_at, is_complete, pages, total, ads)
    select 'mobile.bg', (%(makes)s::text[])[1 + n %% cardinality(%(makes)s::text[])], at, at + interval '20 minutes',
        true, 40, 800, 800
    from (select n, now() - interval '365 days' * (1 - n / %(walks)s::float8) as at
        from generate_series(1, %(walks)s) as n) as walks""",
    """insert into ops.deal_outbox (listing_id, stage, change)
    select id, case when id %% 2 = 0 then 'normalize' else 'price' end, 'new' from listings
    order by id desc limit 5000""",
    """insert into notifications (listing_id, kind, state, score, settled_at, attempts)
    select id, 'deal', 'sent', 8, now() - interval '20 minutes' * row_number() over (order by id desc), 1
    from listings order by id desc limit 20000""",
    """insert into ops.rechecks (listing_id, checked_at, outcome)
    select id, now() - interval '1 minute' * row_number() over (order by id desc), 'same'
    from listings
    where id %% 10 = 0 and removed_at is null""",
    """insert into ops.market_cycles (source, number, began_at, pages, finished_at, complete_from)
    values ('mobile.bg', 1, now(), 1, now(), now())""",
    "insert into ops.host_budgets (host) select 'host-' || n from generate_series(1, 5) as n",
    """insert into staging.codes (field, code, value)
    select 'fuel', 'BENCH ' || n, 'gas' from generate_series(1, 3) as n on conflict do nothing""",
)

# Half a year: lots, ads and files with numbers from `low` on and below `high`, of %(lots)s and %(ads)s.
HALF: Final[dict[str, LiteralString]] = {
    "files": """insert into raw.csv_files (id, sha256, fetched_at, path, base_id, bytes, archive_bytes, archive_sha256,
            removed_at)
        overriding system value
        select n, encode(sha256(n::text::bytea), 'hex'), at, 'raw/copart/' || n || '.csv.zst', null, 72000000, 300000,
            encode(sha256(n::text::bytea), 'hex'), case when at < now() - interval '30 days' then now() end
        from (
            select n, now() - interval '365 days' * (%(files)s - n) / %(files)s as at
            from generate_series(
                1 + %(files)s::bigint * (%(low)s - 1) / %(lots)s, %(files)s::bigint * (%(high)s - 1) / %(lots)s
            ) as n
        ) as files""",
    "vehicles": """insert into vehicles (
            id, vin, vehicle_type, year, make, model_group, model, "trim", body_style, color, engine, cylinders, drive,
            transmission, fuel, last_updated_at
        )
        overriding system value
        select n, '1FTFW' || lpad(n::text, 12, '0'), 'AUTOMOBILE', 2000 + n %% 25, 'MAKE ' || n %% 60,
            'GROUP ' || n %% 400, 'MODEL ' || n %% 900, case when n %% 3 = 0 then 'SE' end, 'SEDAN 4D', 'SILVER',
            '2.0L  4', 4, 'Front-wheel Drive', 'AUTOMATIC', case when n %% 50 > 0 then 'GAS' end, now()
        from generate_series(%(low)s, %(high)s - 1) as n""",
    "lots": """insert into lots (
            id, lot_external_id, vin, vehicle_id, previous_lot_id, status, first_seen_at, gone_at, last_updated_at,
            created_at, yard_number, yard_name, item_number, sale_date, sale_time, sale_time_zone, sale_at, sale_status,
            high_bid, make_an_offer, currency, damage, secondary_damage, title_state, title_type, title_group, has_keys,
            condition, odometer, odometer_brand, retail_value, repair_cost, special_note, city, state, zip, country,
            grid_row, thumbnail_url, image_url, rental, copart_select, seller_name, flags, row_hash, file_id
        )
        overriding system value
        select n, 40000000 + n, '1FTFW' || lpad(n::text, 12, '0'), n, null,
            case when is_gone then 'gone' else 'active' end, at, case when is_gone then sale end, at, at,
            n %% 200, 'CA - SACRAMENTO', n %% 900, sale::date, '10:00', 'PST', sale, 'Pure Sale',
            n %% 9000, false, 'USD', 'FRONT END', case when n %% 2 = 0 then 'MINOR DENT/SCRATCHES' end, 'CA',
            'CERT OF TITLE-SALVAGE', 'salvage', true, 'runs', n %% 250000, 'actual', 15000, 4000,
            repeat('n', (n %% 60)::integer), 'SACRAMENTO', 'CA', '95828', 'USA', 'A' || n %% 99,
            'https://cs.copart.com/v1/AUTH_svc.pdoc00001/lpp/0926/' || md5(n::text) || '_thb.jpg',
            'https://inventoryv2.copart.io/v1/lotImages/' || n || '?country=us&brand=cprt&yardNumber=' || n %% 200,
            false, false, 'STATE FARM INSURANCE', case when n %% 40 = 0 then '{title_type}' else '{}' end::text[],
            sha256(n::text::bytea), ceil(n * %(files)s::numeric / %(lots)s)::bigint
        from (
            select n, at, at + %(life)s::interval as sale, n <= %(lots)s - %(active)s as is_gone
            from generate_series(%(low)s, %(high)s - 1) as n,
                lateral (select now() - interval '365 days' * (1 - n / %(lots)s::float8) as at) as seen
        ) as lots""",
    "events": """insert into audit.lot_events (lot_id, file_id, event, old_value, new_value, happened_at)
        select lots.id, file_id, (array['appeared', 'high_bid', 'gone'])[k],
            case when k = 2 then '100' end, case when k = 2 then '150' end,
            first_seen_at + (k - 1) * %(life)s::interval / 2
        from lots, generate_series(1, 3) as k
        where lots.id >= %(low)s and lots.id < %(high)s
        order by lots.id + (k - 1) * %(active)s / 2""",
    "lot_photos": """insert into lot_photos (lot_id, turn_at, first_at, state, listed, stored, due_at, settled_at)
        select n, case when n > %(lots)s - %(active)s then now() end, case when has then now() end,
            case when has then 'ok' else 'missing' end, case when has then 12 end,
            case when has then 12 else 0 end,
            case when has then now() + interval '1 second' * (n %% 86400) else '-infinity' end,
            case when has then now() end
        from (
            select n, n %% %(every)s = 0 as has from generate_series(%(low)s, %(high)s - 1 - %(unlisted)s) as n
        ) as l""",
    "images": """insert into images (
            lot_id, vin, seq, variant, source_url, storage_key, content_hash, content_type, width, height, bytes,
            created_at
        )
        select id, vin, k, 'hrs', 'https://cs.copart.com/v1/AUTH_svc.pdoc00001/lpp/0926/' || md5(id || '/' || k)
                || '_hrs.jpg',
            'photos/' || lot_external_id || '/' || hash || '.jpg', hash, 'image/jpeg', 1600, 1200,
            180000 + (id * k) %% 60000, first_seen_at + interval '1 day'
        from (
            select lots.id, vin, lot_external_id, first_seen_at, k,
                encode(sha256((lots.id || '/' || k)::bytea), 'hex') as hash
            from lots, generate_series(1, 12) as k
            where lots.id >= %(low)s and lots.id < %(high)s and lots.id %% %(every)s = 0
            order by lots.id, k
        ) as photos""",
    "ads": """insert into listings (
            id, source, ad_id, make_slug, url, title, make_text, model_text, price, currency, price_eur, year,
            mileage_km, fuel, gearbox, body, power_hp, region, place, seller_kind, description, photo_count, posted_at,
            first_seen, last_seen, changed_at, removed_at, list_hash
        )
        overriding system value
        select n, 'mobile.bg', n::text, (%(makes)s::text[])[1 + n %% cardinality(%(makes)s::text[])],
            'https://www.mobile.bg/obiava-' || n, 'BMW 320 d ' || n,
            'BMW', '320', 10000 + n %% 20000, 'EUR', 10000 + n %% 20000, 2005 + n %% 20, n %% 300000, 'diesel',
            'manual', 'sedan', 163, 'Sofia', 'Sofia', 'dealer', repeat('описание ', (10 + n %% 60)::integer), 12, at,
            at, case when gone then at + interval '15 days' else now() end, at,
            case when gone then at + interval '15 days' end, sha256(n::text::bytea)
        from (
            select n, now() - interval '365 days' * (1 - n / %(ads)s::float8) as at,
                n <= %(ads)s - %(active_ads)s as gone
            from generate_series(%(low_ad)s, %(high_ad)s - 1) as n
        ) as ads""",
    "prices": """insert into listing_prices (listing_id, price_eur, seen_at)
        select id, price_eur, first_seen from listings where id >= %(low_ad)s and id < %(high_ad)s""",
    "normalized ads": """insert into normalized_listings (
            listing_id, make, model, family, fuel, gearbox, body, region, year, mileage_km, price_eur, risk,
            unknowns, is_comparable
        )
        select id, 'bmw', 'bmw/' || id %% 300, 'bmw/' || id %% 80, fuel, gearbox, body, region, year, mileage_km,
            price_eur, 'low',
            case when id %% 50 = 0 then jsonb_build_array(jsonb_build_object('field', 'fuel', 'text', id %% 900))
                else '[]' end,
            removed_at is null or removed_at > now() - interval '90 days'
        from listings where id >= %(low_ad)s and id < %(high_ad)s""",
    "values": """insert into valuations (listing_id, p10, p50, p90, comparables, confidence, method)
        select id, price_eur * 0.9, price_eur * 1.1, price_eur * 1.3, 20, 0.8, 'comparables'
        from listings where id >= %(low_ad)s and id < %(high_ad)s""",
    "scores": """insert into scores (listing_id, score, parts, reasons, is_approved)
        select id, round(1 + 9 * power(id %% 1000 / 1000.0, 5), 1), '{}', '{low mileage}',
            removed_at is null and id %% 1000 >= 980
        from listings where id >= %(low_ad)s and id < %(high_ad)s""",
}
STAGED: Final[tuple[LiteralString, ...]] = (
    """insert into staging.copart_raw (
        file_id, line_number, row_hash, ingested_at, yard_name, sale_date, lot_number, vehicle_type, year, make,
        model_group, model_detail, damage, title_type, vin, odometer, engine, special_note, city, thumbnail_url,
        image_url, seller_name, last_updated_at
    )
    select file_id, n, sha256(id::text::bytea), first_seen_at, yard_name, '20261129', lot_external_id::text,
        'AUTOMOBILE', '2015', 'FORD', 'F150', 'F150 SUPERCREW', damage, title_type, vin, odometer::text, '2.0L  4',
        repeat('x', 200), city, thumbnail_url, image_url, seller_name, '2026-11-29T10:00:00Z'
    from (
        select lots.*, row_number() over (order by id) as n from lots where id > %(lots)s - %(staged)s
    ) as newest""",
    """insert into audit.rejected_rows (file_id, line_number, reason, raw_text, row_hash)
    select n, n, 'row_columns', repeat('x', 500), sha256(n::text::bytea) from generate_series(1, 500) as n""",
)


STEPS: Final[tuple[tuple[tuple[str, ...], ...], ...]] = (
    (("lots",), ("files", "vehicles", "lot_photos", "ads", "prices", "normalized ads", "values", "scores")),
    (("events",), ("images",)),
)
"""The parts of HALF that two connections fill at the same time, step by step: events and images read the lots."""

LOADING: Final = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "1GB"}
"""Settings of the server while it makes the rows: a machine that fails then leaves nothing that is used."""


def fill_newest(url: str, year: Year) -> None:
    """Fill an empty database with the newest half of a year."""
    parameters = about(year, half=2)
    _fill(url, parameters)
    with _connected(url) as connection:
        say("year: what both halves have")
        for statement in (*ALWAYS, *STAGED):
            connection.execute(statement, parameters if "%(" in statement or "%%" in statement else None)
        connection.execute(queries("photos")["queue_lots"])
    settle(url)


def add_oldest(url: str, year: Year) -> None:
    """Add the older half: everything of it is gone."""
    _fill(url, about(year, half=1))
    settle(url)


def fingerprint(year: Year) -> str:
    """Return what changes with the rows of a year and with the tables that they are in."""
    migrations = sorted(sql_folder("migrations").iterdir(), key=lambda file: file.name)
    parts = [repr((year, ALWAYS, HALF, STAGED, LIFE_DAYS)), *[file.read_text(encoding="utf-8") for file in migrations]]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def about(year: Year, *, half: int) -> dict[str, object]:
    """Return the parameters of the statements of HALF, for the older half (1) or the newer one (2)."""
    low, high = (1, year.lots // 2 + 1) if half == 1 else (year.lots // 2 + 1, year.lots + 1)
    low_ad, high_ad = (1, year.ads // 2 + 1) if half == 1 else (year.ads // 2 + 1, year.ads + 1)
    return {
        "low": low,
        "high": high,
        "low_ad": low_ad,
        "high_ad": high_ad,
        "lots": year.lots,
        "active": year.active,
        "ads": year.ads,
        "active_ads": year.active_ads,
        "every": year.every,
        "files": year.files,
        "runs": year.runs,
        "walks": year.walks,
        "makes": list(MAKES),
        "staged": min(year.staged, year.lots // 2),
        "life": f"{LIFE_DAYS} days",
        "unlisted": year.active // 500 if half == 2 else 0,  # that the feed brought since the last crawl
    }


def _connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("set session_replication_role = replica")
    return connection


def _fill(url: str, about: dict[str, object]) -> None:
    """Execute the statements of HALF. What fails or is interrupted in one connection is cancelled in the other."""
    with _connected(url) as one, _connected(url) as other, ThreadPoolExecutor(2) as threads:
        try:
            for step in STEPS:
                filling = [threads.submit(_execute, *each, about) for each in zip((one, other), step, strict=True)]
                for each in as_completed(filling):
                    each.result()
        except BaseException:
            for connection in (one, other):
                connection.cancel_safe()
            raise


def _execute(
    connection: psycopg.Connection[tuple[object, ...]], names: tuple[str, ...], about: dict[str, object]
) -> None:
    for name in names:
        began = time.monotonic()
        connection.execute(HALF[name], about)
        say(f"year: {name}, {time.monotonic() - began:.0f} s")


def settle(url: str) -> None:
    """Leave the database as autovacuum leaves it."""
    say("year: vacuum and analyze")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")
