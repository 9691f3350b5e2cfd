-- The audit views answer for what is new, and health for what is wanted. Key columns are those that every lot has; a row
-- or a value that could not be read is an error of the load that brought it, not for ever.
-- depends: 0014_celery_progress

-- sale_date is empty until a sale is scheduled, and odometer where there is none, as for trailers: neither is a key
-- column any more.
create or replace view audit.v_column_coverage as
select
    known_values.column_name,
    count(*) as lots,
    count(known_values.value) as known,
    round(count(known_values.value)::numeric / nullif(count(*), 0), 4) as coverage,
    bool_or(known_values.is_key) as is_key
from lots
inner join vehicles on lots.vehicle_id = vehicles.id
cross join lateral (
    values
    ('vin', lots.vin, true),
    ('vehicle_type', vehicles.vehicle_type, false),
    ('year', vehicles.year::text, true),
    ('make', vehicles.make, true),
    ('model', vehicles.model, true),
    ('trim', vehicles.trim, false),
    ('body_style', vehicles.body_style, false),
    ('color', vehicles.color, false),
    ('engine', vehicles.engine, false),
    ('cylinders', vehicles.cylinders::text, false),
    ('drive', vehicles.drive, false),
    ('transmission', vehicles.transmission, false),
    ('fuel', vehicles.fuel, true),
    ('sale_date', lots.sale_date::text, false),
    ('sale_at', lots.sale_at::text, false),
    ('sale_status', lots.sale_status, false),
    ('high_bid', lots.high_bid::text, false),
    ('buy_now_price', lots.buy_now_price::text, false),
    ('damage', lots.damage, true),
    ('secondary_damage', lots.secondary_damage, false),
    ('title_type', lots.title_type, false),
    ('has_keys', lots.has_keys::text, false),
    ('condition', lots.condition, false),
    ('odometer', lots.odometer::text, false),
    ('odometer_brand', lots.odometer_brand, false),
    ('retail_value', lots.retail_value::text, false),
    ('repair_cost', lots.repair_cost::text, false),
    ('image_url', lots.image_url, true),
    ('seller_name', lots.seller_name, false),
    ('special_note', lots.special_note, false),
    ('sale_light', lots.sale_light, false),
    ('autograde', lots.autograde::text, false),
    ('announcements', lots.announcements, false)
) as known_values (column_name, value, is_key)
where lots.status = 'active'
group by known_values.column_name;

-- Everything that could not be read, of all loads: rejected rows, and flagged values of active lots.
create view audit.v_all_parse_errors as
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
    flag,
    count(distinct lots.id),
    max(raw_row.ingested_at),
    (
        array_agg(
            lots.lot_external_id::text || ': ' || coalesce(to_jsonb(raw_row) ->> flag, '?')
            order by lots.id desc
        )
    )[1]
from lots
cross join unnest(lots.flags) as flag
left join staging.copart_raw as raw_row
    on lots.file_id = raw_row.file_id and lots.row_hash = raw_row.row_hash
where lots.status = 'active'
group by flag
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
