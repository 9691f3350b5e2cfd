-- What the operators ask every day.

-- One row a feed file that was loaded: when, and what it brought.
create view audit.v_ingest_count as
select
    files.path,
    max(runs.finished_at) as last_ingest,
    count(*) as loads,
    max(runs.rows_read) as rows_read,
    max(runs.rows_accepted) as rows_accepted,
    max(runs.rows_rejected) as rows_rejected,
    sum(runs.lots_new) as lots_new,
    sum(runs.lots_changed) as lots_changed,
    sum(runs.lots_gone) as lots_gone,
    sum(runs.lots_returned) as lots_returned
from audit.etl_runs as runs
inner join raw.csv_files as files on runs.file_id = files.id
where runs.status = 'loaded'
group by files.id, files.path;

-- How much of each column is known, over the active lots; key columns are those that pricing cannot do without.
create view audit.v_column_coverage as
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
    ('sale_date', lots.sale_date::text, true),
    ('sale_at', lots.sale_at::text, false),
    ('sale_status', lots.sale_status, false),
    ('high_bid', lots.high_bid::text, false),
    ('buy_now_price', lots.buy_now_price::text, false),
    ('damage', lots.damage, true),
    ('secondary_damage', lots.secondary_damage, false),
    ('title_type', lots.title_type, false),
    ('has_keys', lots.has_keys::text, false),
    ('condition', lots.condition, false),
    ('odometer', lots.odometer::text, true),
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

-- The same the other way round, worst first, with one row over all key columns.
create view audit.v_unknown_rate as
select
    column_name,
    lots,
    lots - known as unknown,
    1 - coverage as unknown_rate
from audit.v_column_coverage
union all
select
    '(key columns)',
    max(lots),
    sum(lots - known)::bigint,
    round(sum(lots - known) / nullif(sum(lots), 0), 4)
from audit.v_column_coverage
where is_key
order by unknown_rate desc nulls last, column_name asc;

-- Rows that were rejected, by reason, and values that could not be read or are no known code, by column.
create view audit.v_parse_errors as
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
