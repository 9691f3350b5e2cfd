-- What operators ask costs what is active, not what there ever was: a year leaves twenty gone lots beside each active
-- one. The indexes of lots contain no column that an update of an active lot changes, so that such updates stay cheap
-- (heap-only tuples). While the migration runs, nothing else writes to lots, photos, ads, staged rows and events.
-- depends: 0014_celery_progress

create index lots_active on lots (id) where status = 'active';
create index lots_gone on lots (gone_at, first_seen_at) where status = 'gone';

-- For the foreign key, when a lot is deleted.
create index lots_previous on lots (previous_lot_id) where previous_lot_id is not null;

-- Narrow: operators count photos by lot.
create index images_lot on images (lot_id);

-- Whether another photo refers to an object: the forecast, and retention before it removes one.
create index images_object on images using hash (storage_key);

-- Objects of the store whose photos retention has removed, until they are removed too.
create table ops.photo_removals (
    storage_key text primary key,
    queued_at timestamptz not null default clock_timestamp()
);

-- Events are only appended, and are deleted by age.
create index lot_events_happened on audit.lot_events using brin (happened_at);

-- Ads came and went: the market of a day.
create index listings_first_seen on listings (first_seen);
create index listings_removed on listings (removed_at) where removed_at is not null;

-- Operators ask for the number of staged rows and for the time of the newest.
create index copart_raw_ingested on staging.copart_raw (file_id, ingested_at);
drop index staging.copart_raw_file;

-- The rows of a table as the planner estimates them, from its size and the density of its pages when it was last
-- analyzed; 0 if it never was. Counting all rows of a year's history takes half a second and more.
create function ops.estimated_rows(of_table regclass) returns bigint
language sql stable
return (
    select
        coalesce(
            greatest(reltuples, 0) / nullif(relpages, 0)
            * (pg_relation_size(oid) / current_setting('block_size')::integer),
            0
        )::bigint
    from pg_class
    where oid = of_table
);

-- "limit" in the views keeps the planner from reading all vehicles, photos and staged rows for those of active lots.
create or replace view audit.v_column_coverage as
with counted as (
    select
        count(*) as lots,
        count(lots.vin) as vin,
        count(vehicle.vehicle_type) as vehicle_type,
        count(vehicle.year) as year,
        count(vehicle.make) as make,
        count(vehicle.model) as model,
        count(vehicle.trim) as trim,
        count(vehicle.body_style) as body_style,
        count(vehicle.color) as color,
        count(vehicle.engine) as engine,
        count(vehicle.cylinders) as cylinders,
        count(vehicle.drive) as drive,
        count(vehicle.transmission) as transmission,
        count(vehicle.fuel) as fuel,
        count(lots.sale_date) as sale_date,
        count(lots.sale_at) as sale_at,
        count(lots.sale_status) as sale_status,
        count(lots.high_bid) as high_bid,
        count(lots.buy_now_price) as buy_now_price,
        count(lots.damage) as damage,
        count(lots.secondary_damage) as secondary_damage,
        count(lots.title_type) as title_type,
        count(lots.has_keys) as has_keys,
        count(lots.condition) as condition,
        count(lots.odometer) as odometer,
        count(lots.odometer_brand) as odometer_brand,
        count(lots.retail_value) as retail_value,
        count(lots.repair_cost) as repair_cost,
        count(lots.image_url) as image_url,
        count(lots.seller_name) as seller_name,
        count(lots.special_note) as special_note,
        count(lots.sale_light) as sale_light,
        count(lots.autograde) as autograde,
        count(lots.announcements) as announcements
    from lots
    cross join lateral (
        select vehicles.*
        from vehicles
        where vehicles.id = lots.vehicle_id
        limit 1
    ) as vehicle
    where lots.status = 'active'
)

select -- noqa: ST06
    known_values.column_name,
    counted.lots,
    known_values.known,
    round(known_values.known::numeric / nullif(counted.lots, 0), 4) as coverage,
    known_values.is_key
from counted
cross join lateral (
    values
    ('vin', counted.vin, true),
    ('vehicle_type', counted.vehicle_type, false),
    ('year', counted.year, true),
    ('make', counted.make, true),
    ('model', counted.model, true),
    ('trim', counted.trim, false),
    ('body_style', counted.body_style, false),
    ('color', counted.color, false),
    ('engine', counted.engine, false),
    ('cylinders', counted.cylinders, false),
    ('drive', counted.drive, false),
    ('transmission', counted.transmission, false),
    ('fuel', counted.fuel, true),
    ('sale_date', counted.sale_date, true),
    ('sale_at', counted.sale_at, false),
    ('sale_status', counted.sale_status, false),
    ('high_bid', counted.high_bid, false),
    ('buy_now_price', counted.buy_now_price, false),
    ('damage', counted.damage, true),
    ('secondary_damage', counted.secondary_damage, false),
    ('title_type', counted.title_type, false),
    ('has_keys', counted.has_keys, false),
    ('condition', counted.condition, false),
    ('odometer', counted.odometer, true),
    ('odometer_brand', counted.odometer_brand, false),
    ('retail_value', counted.retail_value, false),
    ('repair_cost', counted.repair_cost, false),
    ('image_url', counted.image_url, true),
    ('seller_name', counted.seller_name, false),
    ('special_note', counted.special_note, false),
    ('sale_light', counted.sale_light, false),
    ('autograde', counted.autograde, false),
    ('announcements', counted.announcements, false)
) as known_values (column_name, known, is_key)
where counted.lots > 0;

create or replace view audit.v_unknown_rate as
with coverage as materialized (
    select *
    from audit.v_column_coverage
)

select
    column_name,
    lots,
    lots - known as unknown,
    1 - coverage as unknown_rate
from coverage
union all
select
    '(key columns)',
    max(lots),
    sum(lots - known)::bigint,
    round(sum(lots - known) / nullif(sum(lots), 0), 4)
from coverage
where is_key
order by unknown_rate desc nulls last, column_name asc;

-- Rows that were rejected, by reason, and values that could not be read or are no known code, by column. The example of
-- a value is that of the newest lot which has one.
create or replace view audit.v_parse_errors as
with flagged as (
    select
        flags.flag,
        count(distinct lots.id) as errors,
        max(lots.id) as newest_id,
        max(lots.file_id) as newest_file_id
    from lots
    cross join unnest(lots.flags) as flags (flag)
    where lots.status = 'active'
    group by flags.flag
)

select
    'row' as kind,
    reason as name,
    count(*) as errors,
    max(rejected_at) as last_seen,
    (array_agg(raw_text order by id desc))[1] as example
from audit.rejected_rows
group by reason
union all
select
    'value',
    flagged.flag,
    flagged.errors,
    (
        select max(staged.ingested_at)
        from staging.copart_raw as staged
        where staged.file_id = flagged.newest_file_id
    ),
    lots.lot_external_id::text || ': ' || coalesce(to_jsonb(raw_row) ->> flagged.flag, '?')
from flagged
inner join lots on flagged.newest_id = lots.id
left join lateral (
    select staged.*
    from staging.copart_raw as staged
    where staged.file_id = lots.file_id and staged.row_hash = lots.row_hash
    limit 1
) as raw_row on true
order by errors desc;

create or replace view audit.v_photo_coverage as
select
    coalesce(photos.state, 'missing') as state,
    count(*) as lots,
    round(count(*)::numeric / nullif(sum(count(*)) over (), 0), 4) as share,
    coalesce(sum(photos.listed), 0) as listed,
    coalesce(sum(photos.stored), 0) as stored,
    min(photos.due_at) filter (where photos.due_at > '-infinity') as next_due_at
from lots
left join lateral (
    select lot_photos.*
    from lot_photos
    where lot_photos.lot_id = lots.id
    limit 1
) as photos on true
where lots.status = 'active'
group by coalesce(photos.state, 'missing')
order by lots desc;

-- Makes with ads that are active, or came or went in the last day.
create or replace view audit.v_market as
with walks as (
    select
        source,
        make_slug,
        max(finished_at) as finished_at
    from ops.listing_walks
    where is_complete
    group by source, make_slug
)

select
    ads.source,
    ads.make_slug,
    count(*) filter (where ads.removed_at is null) as active,
    count(*) filter (where ads.removed_at is null and ads.price_eur is null) as without_price,
    round(avg(ads.price_eur) filter (where ads.removed_at is null)) as mean_eur,
    count(*) filter (where ads.first_seen > now() - interval '1 day') as new_in_a_day,
    count(*) filter (where ads.removed_at > now() - interval '1 day') as gone_in_a_day,
    max(walks.finished_at) as last_walk
from listings as ads
left join walks on ads.source = walks.source and ads.make_slug = walks.make_slug
where
    ads.removed_at is null
    or ads.removed_at > now() - interval '1 day'
group by ads.source, ads.make_slug
order by active desc, ads.source asc, ads.make_slug asc;
