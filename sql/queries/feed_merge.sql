-- The parsed rows of a feed file merged into vehicles, lots and events. etl/merge/upsert.py runs them in its order.

-- name: plan_for_many
-- The planner has no statistics for rows that were just staged: it would read a first load in one process, and sort it
-- on disk.
select
    set_config('parallel_setup_cost', '0', true),
    set_config('parallel_tuple_cost', '0', true),
    set_config('min_parallel_table_scan_size', '0', true),
    set_config('min_parallel_index_scan_size', '0', true),
    set_config('work_mem', '128MB', true);

-- name: drop_placeholders
-- A known placeholder is no VIN and joins nothing: the lot has a vehicle of its own.
update incoming
set
    vin = null,
    vehicle_vin = null,
    flags = array_append(flags, 'vin')
where vin in (select placeholders.vin from staging.placeholder_vins as placeholders);

-- name: forget_shared_vins
-- Remove the notes on the lots of this file; note_shared_vins makes them again.
delete from staging.shared_vins as shared using incoming
where shared.lot_external_id = incoming.lot_external_id;

-- name: note_shared_vins
-- The makes of lots whose VIN another lot of this file has, or another make in the tables: few. A lot that is not noted
-- is of the make of its vehicle.
with in_file as (
    select vehicle_vin as vin
    from incoming
    where vehicle_vin is not null
    group by vehicle_vin
    having count(*) > 1
),

in_tables as (
    select distinct
        vehicles.id,
        vehicles.vin,
        vehicles.make
    from incoming
    cross join lateral (
        -- "limit" keeps the planner from reading all vehicles for the few rows of a delta.
        select
            known.id,
            known.vin,
            known.make
        from vehicles as known
        where known.vin = incoming.vehicle_vin
        limit 1
    ) as vehicles
    where
        -- Once, before all: a first load has nothing to look up.
        (select count(*) > 0 from (select from vehicles limit 1) as one)
        and incoming.make is distinct from vehicles.make
)

insert into staging.shared_vins (lot_external_id, vin, make)
select
    lot_external_id,
    vehicle_vin,
    make
from incoming
where
    make is not null
    and vehicle_vin in (
        select in_file.vin from in_file
        union all
        select in_tables.vin from in_tables
    )
union all
select
    lots.lot_external_id,
    in_tables.vin,
    in_tables.make
from in_tables
inner join lots on in_tables.id = lots.vehicle_id
where
    in_tables.make is not null
    and not exists (
        select from incoming
        where incoming.lot_external_id = lots.lot_external_id
    )
on conflict (lot_external_id) do nothing;

-- name: find_placeholders
-- VINs that more makes share at once than one vehicle can have, among the lots of this file and the active ones.
insert into staging.placeholder_vins (vin)
select shared.vin
from staging.shared_vins as shared
where
    shared.vin in (select incoming.vehicle_vin from incoming)
    and (
        shared.lot_external_id in (select incoming.lot_external_id from incoming)
        or shared.lot_external_id in (
            select lots.lot_external_id from lots
            where lots.status = 'active' and lots.lot_external_id <> all(%(lots)s)
        )
    )
group by shared.vin
having count(distinct shared.make) > %(most_makes)s
on conflict (vin) do nothing
returning vin;

-- name: add_own_vehicles
-- A vehicle for each lot that a placeholder joined to others. Of a gone lot only the make is known. The joint vehicle
-- stays, without lots: nothing deletes vehicles (docs/decisions/0005-no-foreign-key-to-vehicles.md).
insert into vehicles (lot_external_id, make)
select
    lots.lot_external_id,
    shared.make
from vehicles as joint
inner join lots on joint.id = lots.vehicle_id
left join staging.shared_vins as shared on lots.lot_external_id = shared.lot_external_id and joint.vin = shared.vin
where joint.vin = any(%(vins)s)
on conflict (lot_external_id) do nothing;

-- name: split_lots
-- Give those lots their own vehicles, and a digest that no row has, so that their rows are merged again.
update lots
set
    vehicle_id = own.id,
    previous_lot_id = null,
    vin = null,
    flags = array_append(array_remove(lots.flags, 'vin'), 'vin'),
    row_hash = decode(md5(lots.row_hash), 'hex')
from vehicles as joint, vehicles as own
where
    joint.vin = any(%(vins)s)
    and lots.vehicle_id = joint.id
    and lots.lot_external_id = own.lot_external_id
returning lots.lot_external_id;

-- name: drop_shared_vins
-- Remove the notes on placeholders: if one is removed from placeholder_vins, its notes begin anew.
delete from staging.shared_vins
where vin = any(%(vins)s);

-- name: upsert_vehicles_by_vin
-- One vehicle a VIN, described by its newest row: the same VIN may stand in one file under two lots.
insert into vehicles (
    vin,
    vehicle_type,
    year,
    make,
    model_group,
    model,
    trim,
    body_style,
    color,
    engine,
    cylinders,
    drive,
    transmission,
    fuel,
    last_updated_at
)
select distinct on (vehicle_vin)
    vehicle_vin,
    vehicle_type,
    year,
    make,
    model_group,
    model,
    trim,
    body_style,
    color,
    engine,
    cylinders,
    drive,
    transmission,
    fuel,
    last_updated_at
from incoming
where vehicle_vin is not null
order by vehicle_vin asc, last_updated_at desc nulls last, line_number desc
on conflict (vin) do update set
    vehicle_type = excluded.vehicle_type,
    year = excluded.year,
    make = excluded.make,
    model_group = excluded.model_group,
    model = excluded.model,
    trim = excluded.trim,
    body_style = excluded.body_style,
    color = excluded.color,
    engine = excluded.engine,
    cylinders = excluded.cylinders,
    drive = excluded.drive,
    transmission = excluded.transmission,
    fuel = excluded.fuel,
    last_updated_at = excluded.last_updated_at
where
    (excluded.last_updated_at < vehicles.last_updated_at) is not true
    and (
        vehicles.vehicle_type,
        vehicles.year,
        vehicles.make,
        vehicles.model_group,
        vehicles.model,
        vehicles.trim,
        vehicles.body_style,
        vehicles.color,
        vehicles.engine,
        vehicles.cylinders,
        vehicles.drive,
        vehicles.transmission,
        vehicles.fuel,
        vehicles.last_updated_at
    ) is distinct from (
        excluded.vehicle_type,
        excluded.year,
        excluded.make,
        excluded.model_group,
        excluded.model,
        excluded.trim,
        excluded.body_style,
        excluded.color,
        excluded.engine,
        excluded.cylinders,
        excluded.drive,
        excluded.transmission,
        excluded.fuel,
        excluded.last_updated_at
    );

-- name: upsert_vehicles_without_vin
-- A lot without a usable VIN has a vehicle of its own.
insert into vehicles (
    lot_external_id,
    vehicle_type,
    year,
    make,
    model_group,
    model,
    trim,
    body_style,
    color,
    engine,
    cylinders,
    drive,
    transmission,
    fuel,
    last_updated_at
)
select
    lot_external_id,
    vehicle_type,
    year,
    make,
    model_group,
    model,
    trim,
    body_style,
    color,
    engine,
    cylinders,
    drive,
    transmission,
    fuel,
    last_updated_at
from incoming
where vehicle_vin is null
on conflict (lot_external_id) do update set
    vehicle_type = excluded.vehicle_type,
    year = excluded.year,
    make = excluded.make,
    model_group = excluded.model_group,
    model = excluded.model,
    trim = excluded.trim,
    body_style = excluded.body_style,
    color = excluded.color,
    engine = excluded.engine,
    cylinders = excluded.cylinders,
    drive = excluded.drive,
    transmission = excluded.transmission,
    fuel = excluded.fuel,
    last_updated_at = excluded.last_updated_at
where (excluded.last_updated_at < vehicles.last_updated_at) is not true;

-- name: record_returns
-- A lot that is in the feed again becomes active, even when its row is older than what the tables have.
with returned as (
    update lots
    set
        status = 'active',
        gone_at = null
    from incoming
    where incoming.lot_external_id = lots.lot_external_id and lots.status = 'gone'
    returning lots.id
)

insert into audit.lot_events (lot_id, file_id, event, happened_at)
select
    id,
    %(file_id)s,
    'returned',
    %(happened_at)s
from returned;

-- name: count_conflicts
-- How many rows are older than their lot in the tables, and therefore change nothing.
select count(*)
from incoming
inner join lots on incoming.lot_external_id = lots.lot_external_id
where incoming.last_updated_at < lots.last_updated_at;

-- name: record_changes
-- The changes of a newer row to its lot, one event a field; must run before upsert_lots overwrites the old values.
insert into audit.lot_events (lot_id, file_id, event, old_value, new_value, happened_at)
select
    lots.id,
    %(file_id)s,
    change.event,
    change.old_value,
    change.new_value,
    %(happened_at)s
from incoming
inner join lots on incoming.lot_external_id = lots.lot_external_id
cross join lateral (
    values
    ('sale_date', lots.sale_date::text, incoming.sale_date::text),
    ('sale_status', lots.sale_status, incoming.sale_status),
    ('high_bid', lots.high_bid::text, incoming.high_bid::numeric(12, 2)::text),
    ('buy_now_price', lots.buy_now_price::text, incoming.buy_now_price::numeric(12, 2)::text),
    ('yard', lots.yard_number::text, incoming.yard_number::text)
) as change (event, old_value, new_value)
where
    (incoming.last_updated_at < lots.last_updated_at) is not true
    and change.old_value is distinct from change.new_value
order by incoming.line_number, change.event;

-- name: find_earlier_lots
-- The last other lot of the vehicle of each row that has one. Not part of upsert_lots, which would read the lots that
-- it has just inserted, all of them for each row where the planner knows the table as empty or small: 40,000 lots took
-- minutes after a vacuum of the empty tables.
create temporary table earlier_lots on commit drop as
select
    incoming.lot_external_id,
    earlier.id
from incoming
cross join lateral (
    -- "limit" keeps the planner from reading all vehicles for the few rows of a delta.
    select known.id
    from vehicles as known
    where known.vin = incoming.vehicle_vin
    limit 1
) as of_vin
cross join lateral (
    -- "+ 0" keeps the planner from looking for the maximum backwards through all lots.
    select max(lots.id + 0) as id
    from lots
    where lots.vehicle_id = of_vin.id and lots.lot_external_id <> incoming.lot_external_id
) as earlier
where
    -- Once, before all: a first load has nothing to look up.
    (select count(*) > 0 from (select from lots limit 1) as one)
    and earlier.id is not null;

-- name: upsert_lots
-- Insert new lots, and update those whose row differs and is not older. Counts both.
with upserted as (
    insert into lots (
        lot_external_id,
        vehicle_id,
        previous_lot_id,
        first_seen_at,
        vin,
        last_updated_at,
        created_at,
        yard_number,
        yard_name,
        item_number,
        sale_date,
        sale_time,
        sale_time_zone,
        sale_status,
        high_bid,
        buy_now_price,
        make_an_offer,
        currency,
        damage,
        secondary_damage,
        title_state,
        title_type,
        title_group,
        has_keys,
        condition,
        odometer,
        odometer_brand,
        retail_value,
        repair_cost,
        special_note,
        city,
        state,
        zip,
        country,
        grid_row,
        thumbnail_url,
        image_url,
        rental,
        copart_select,
        seller_name,
        offsite_address,
        offsite_state,
        offsite_city,
        offsite_zip,
        sale_light,
        autograde,
        announcements,
        extra,
        row_hash,
        file_id,
        sale_at,
        flags
    )
    select
        incoming.lot_external_id,
        coalesce(of_vin.id, of_lot.id),
        previous.id,
        %(happened_at)s,
        incoming.vin,
        incoming.last_updated_at,
        incoming.created_at,
        incoming.yard_number,
        incoming.yard_name,
        incoming.item_number,
        incoming.sale_date,
        incoming.sale_time,
        incoming.sale_time_zone,
        incoming.sale_status,
        incoming.high_bid,
        incoming.buy_now_price,
        incoming.make_an_offer,
        incoming.currency,
        incoming.damage,
        incoming.secondary_damage,
        incoming.title_state,
        incoming.title_type,
        incoming.title_group,
        incoming.has_keys,
        incoming.condition,
        incoming.odometer,
        incoming.odometer_brand,
        incoming.retail_value,
        incoming.repair_cost,
        incoming.special_note,
        incoming.city,
        incoming.state,
        incoming.zip,
        incoming.country,
        incoming.grid_row,
        incoming.thumbnail_url,
        incoming.image_url,
        incoming.rental,
        incoming.copart_select,
        incoming.seller_name,
        incoming.offsite_address,
        incoming.offsite_state,
        incoming.offsite_city,
        incoming.offsite_zip,
        incoming.sale_light,
        incoming.autograde,
        incoming.announcements,
        incoming.extra,
        incoming.row_hash,
        incoming.file_id,
        incoming.sale_at,
        incoming.flags
    from incoming
    left join vehicles as of_vin on incoming.vehicle_vin = of_vin.vin
    left join vehicles as of_lot on incoming.lot_external_id = of_lot.lot_external_id and incoming.vehicle_vin is null
    left join earlier_lots as previous on incoming.lot_external_id = previous.lot_external_id
    on conflict (lot_external_id) do update set
        vehicle_id = excluded.vehicle_id,
        previous_lot_id = case
            when lots.vehicle_id = excluded.vehicle_id then lots.previous_lot_id
            -- Its VIN was corrected: the lot before it is one of its own vehicle.
            when excluded.previous_lot_id < lots.id then excluded.previous_lot_id
        end,
        vin = excluded.vin,
        last_updated_at = excluded.last_updated_at,
        created_at = excluded.created_at,
        yard_number = excluded.yard_number,
        yard_name = excluded.yard_name,
        item_number = excluded.item_number,
        sale_date = excluded.sale_date,
        sale_time = excluded.sale_time,
        sale_time_zone = excluded.sale_time_zone,
        sale_status = excluded.sale_status,
        high_bid = excluded.high_bid,
        buy_now_price = excluded.buy_now_price,
        make_an_offer = excluded.make_an_offer,
        currency = excluded.currency,
        damage = excluded.damage,
        secondary_damage = excluded.secondary_damage,
        title_state = excluded.title_state,
        title_type = excluded.title_type,
        title_group = excluded.title_group,
        has_keys = excluded.has_keys,
        condition = excluded.condition,
        odometer = excluded.odometer,
        odometer_brand = excluded.odometer_brand,
        retail_value = excluded.retail_value,
        repair_cost = excluded.repair_cost,
        special_note = excluded.special_note,
        city = excluded.city,
        state = excluded.state,
        zip = excluded.zip,
        country = excluded.country,
        grid_row = excluded.grid_row,
        thumbnail_url = excluded.thumbnail_url,
        image_url = excluded.image_url,
        rental = excluded.rental,
        copart_select = excluded.copart_select,
        seller_name = excluded.seller_name,
        offsite_address = excluded.offsite_address,
        offsite_state = excluded.offsite_state,
        offsite_city = excluded.offsite_city,
        offsite_zip = excluded.offsite_zip,
        sale_light = excluded.sale_light,
        autograde = excluded.autograde,
        announcements = excluded.announcements,
        extra = excluded.extra,
        row_hash = excluded.row_hash,
        file_id = excluded.file_id,
        sale_at = excluded.sale_at,
        flags = excluded.flags
    where
        lots.row_hash is distinct from excluded.row_hash
        and (excluded.last_updated_at < lots.last_updated_at) is not true
    returning
        id,
        previous_lot_id,
        xmax = 0 as is_new
),

events as (
    insert into audit.lot_events (lot_id, file_id, event, old_value, happened_at)
    select
        id,
        %(file_id)s,
        case when previous_lot_id is null then 'appeared' else 'relisted' end,
        previous_lot_id::text,
        %(happened_at)s
    from upserted
    where is_new
)

select
    count(*) filter (where is_new) as lots_new,
    count(*) filter (where not is_new) as lots_changed,
    count(*) filter (where is_new and previous_lot_id is not null) as lots_relisted
from upserted;

-- name: record_gone
-- Lots of the last file of which this one has no line: gone, which is not "sold".
with gone as (
    update lots
    set
        status = 'gone',
        gone_at = %(happened_at)s
    where lot_external_id = any(%(lots)s) and status = 'active'
    returning id
)

insert into audit.lot_events (lot_id, file_id, event, happened_at)
select
    id,
    %(file_id)s,
    'gone',
    %(happened_at)s
from gone;

-- name: unstage
-- Delete what was staged for lots that are in the file more than once.
delete from staging.copart_raw
where file_id = %(file_id)s and ingested_at = now() and lot_number::bigint = any(%(lots)s);

-- name: reject_row
-- Keep a rejected row, once for each reason, under the first file that has it.
insert into audit.rejected_rows (file_id, line_number, reason, detail, raw_text, row_hash)
values (%(file_id)s, %(line_number)s, %(reason)s, %(detail)s, %(raw_text)s, %(row_hash)s)
on conflict (row_hash, reason) do nothing;
