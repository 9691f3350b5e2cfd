-- The audit views answer for what is new, and health for what is wanted. Key columns are those that every lot has; a
-- row or a value that could not be read is an error of the load that brought it, not for ever.
-- depends: 0015_history

-- sale_date is empty until a sale is scheduled, and odometer where there is none, as for trailers: neither is a key
-- column any more.
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
    ('sale_date', counted.sale_date, false),
    ('sale_at', counted.sale_at, false),
    ('sale_status', counted.sale_status, false),
    ('high_bid', counted.high_bid, false),
    ('buy_now_price', counted.buy_now_price, false),
    ('damage', counted.damage, true),
    ('secondary_damage', counted.secondary_damage, false),
    ('title_type', counted.title_type, false),
    ('has_keys', counted.has_keys, false),
    ('condition', counted.condition, false),
    ('odometer', counted.odometer, false),
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

-- Everything that could not be read, of all loads: rejected rows, and flagged values of active lots.
create view audit.v_all_parse_errors as
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

-- What of the last load could not be read: rows that were rejected for the first time, and values of new or changed
-- lots. A title without a group is no error, it is `other`.
create or replace view audit.v_parse_errors as
with newest as (
    select file_id
    from audit.etl_runs
    where status = 'loaded'
    order by id desc
    limit 1
)

select
    'row' as kind,
    rejected.reason as name,
    count(*) as errors,
    max(rejected.rejected_at) as last_seen,
    (array_agg(rejected.raw_text order by rejected.id desc))[1] as example
from newest
inner join audit.rejected_rows as rejected on newest.file_id = rejected.file_id
group by rejected.reason
union all
select
    'value',
    flag,
    count(distinct lots.id),
    max(raw_row.ingested_at),
    (
        array_agg(
            lots.lot_external_id::text || ': ' || coalesce(to_jsonb(raw_row) ->> flag, '?')
            order by lots.id desc
        )
    )[1]
from newest
inner join staging.copart_raw as raw_row on newest.file_id = raw_row.file_id
inner join lots
    on raw_row.lot_number::bigint = lots.lot_external_id and raw_row.row_hash = lots.row_hash
cross join unnest(lots.flags) as flag
where lots.status = 'active' and flag <> 'title_type'
group by flag
order by errors desc;

create index rejected_rows_file on audit.rejected_rows (file_id);

-- What is not to run on a machine any more is not missed there.
alter table ops.workers drop constraint workers_desired_check;
alter table ops.workers add constraint workers_desired_check check (desired in ('running', 'stopped', 'retired'));

comment on column ops.workers.worker is '1 to 4, or photos; celery_worker, celery_beat; supervisor';
comment on column ops.workers.desired_at is
'when the operator said so; of a supervisor that is to run, its last pass';
