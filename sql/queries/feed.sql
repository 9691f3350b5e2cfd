-- Every statement that moves a feed file into vehicles, lots and events, in the order in which merge.py runs them.

-- name: plan_for_many
-- The planner has no statistics for rows that were staged a moment ago: it would read all of a first load in one
-- process, and sort it on disk.
select
    set_config('parallel_setup_cost', '0', true),
    set_config('parallel_tuple_cost', '0', true),
    set_config('min_parallel_table_scan_size', '0', true),
    set_config('min_parallel_index_scan_size', '0', true),
    set_config('work_mem', '128MB', true);

-- name: read_rows
-- The staged rows of a file with their values read, and the columns flagged whose value could not be read or is not
-- in staging.codes; a Last Updated Time after `latest` is one that could not. day_of_week, runs_drives and ordinal are
-- ignored: the sale date, the condition code and the position in the file say the same. "offset 0" has each value
-- computed once: without it the planner repeats its expression in every flag, which takes four times as long.
create temporary table incoming on commit drop as
select
    line_number,
    lot_external_id,
    vin,
    case when last_updated_at <= %(latest)s::timestamptz then last_updated_at end as last_updated_at,
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
    case when length(vin) = 17 and vin !~ '[IOQ]' then vin end as vehicle_vin,
    (sale_date + sale_time) at time zone sale_time_zone as sale_at,
    array_remove(array[
        case when vin is null and raw_vin is not null then 'vin' end,
        case
            when (last_updated_at <= %(latest)s::timestamptz) is not true and raw_last_updated_at is not null
                then 'last_updated_at'
        end,
        case when unknown_vehicle_type then 'vehicle_type' end,
        case when year is null and raw_year <> '0' then 'year' end,
        case when unknown_color then 'color' end,
        case when cylinders is null and translate(raw_cylinders, '0.', '') <> '' then 'cylinders' end,
        case when unknown_drive then 'drive' end,
        case when unknown_transmission then 'transmission' end,
        case when unknown_fuel then 'fuel' end,
        case when created_at is null and raw_created_at is not null then 'created_at' end,
        case when yard_number is null and raw_yard_number <> '0' then 'yard_number' end,
        case when item_number is null and raw_item_number <> '0' then 'item_number' end,
        case when sale_date is null and raw_sale_date <> '0' then 'sale_date' end,
        case when sale_time is null and raw_sale_time is not null then 'sale_time' end,
        case when sale_time_zone is null and raw_sale_time_zone is not null then 'time_zone' end,
        case when unknown_sale_status then 'sale_status' end,
        case when high_bid is null and translate(raw_high_bid, '0.', '') <> '' then 'high_bid' end,
        case when buy_now_price is null and translate(raw_buy_now_price, '0.', '') <> '' then 'buy_now_price' end,
        case when unknown_make_an_offer then 'make_an_offer' end,
        case when unknown_currency then 'currency' end,
        case when unknown_damage then 'damage' end,
        case when unknown_secondary_damage then 'secondary_damage' end,
        case when title_group = 'other' then 'title_type' end,
        case when unknown_has_keys then 'has_keys' end,
        case when unknown_condition then 'condition_code' end,
        case when odometer is null and translate(raw_odometer, '0.', '') <> '' then 'odometer' end,
        case when unknown_odometer_brand then 'odometer_brand' end,
        case when retail_value is null and translate(raw_retail_value, '0.', '') <> '' then 'retail_value' end,
        case when repair_cost is null and translate(raw_repair_cost, '0.', '') <> '' then 'repair_cost' end,
        case when unknown_country then 'country' end,
        case when unknown_rental then 'rentals' end,
        case when unknown_copart_select then 'copart_select' end,
        case when unknown_sale_light then 'sale_light' end,
        case when autograde is null and translate(raw_autograde, '0.', '') <> '' then 'autograde' end
    ], null) as flags
from (
    select
        r.line_number,
        r.lot_number::bigint as lot_external_id,
        staging.to_vin(r.vin) as vin,
        r.vin as raw_vin,
        staging.to_instant(r.last_updated_at) as last_updated_at,
        r.last_updated_at as raw_last_updated_at,
        (select staging.code_map('vehicle_type')) ->> upper(r.vehicle_type) as vehicle_type,
        not (select staging.code_map('vehicle_type')) ? upper(r.vehicle_type) as unknown_vehicle_type,
        staging.to_year(r.year) as year,
        r.year as raw_year,
        r.make,
        r.model_group,
        r.model_detail as model,
        r.trim,
        r.body_style,
        (select staging.code_map('color')) ->> upper(r.color) as color,
        not (select staging.code_map('color')) ? upper(r.color) as unknown_color,
        r.engine,
        staging.to_count(r.cylinders) as cylinders,
        r.cylinders as raw_cylinders,
        (select staging.code_map('drive')) ->> upper(r.drive) as drive,
        not (select staging.code_map('drive')) ? upper(r.drive) as unknown_drive,
        (select staging.code_map('transmission')) ->> upper(r.transmission) as transmission,
        not (select staging.code_map('transmission')) ? upper(r.transmission) as unknown_transmission,
        (select staging.code_map('fuel')) ->> upper(r.fuel) as fuel,
        not (select staging.code_map('fuel')) ? upper(r.fuel) as unknown_fuel,
        staging.to_wall_clock(r.created_at) as created_at,
        r.created_at as raw_created_at,
        staging.to_number(r.yard_number) as yard_number,
        r.yard_number as raw_yard_number,
        r.yard_name,
        staging.to_number(r.item_number) as item_number,
        r.item_number as raw_item_number,
        staging.to_date(r.sale_date) as sale_date,
        r.sale_date as raw_sale_date,
        staging.to_time(r.sale_time) as sale_time,
        r.sale_time as raw_sale_time,
        coalesce(of_yard.zone, of_country.zone, anywhere.zone) as sale_time_zone,
        r.time_zone as raw_sale_time_zone,
        (select staging.code_map('sale_status')) ->> upper(r.sale_status) as sale_status,
        not (select staging.code_map('sale_status')) ? upper(r.sale_status) as unknown_sale_status,
        staging.to_amount(r.high_bid) as high_bid,
        r.high_bid as raw_high_bid,
        staging.to_amount(r.buy_now_price) as buy_now_price,
        r.buy_now_price as raw_buy_now_price,
        ((select staging.code_map('yes_no')) ->> upper(r.make_an_offer))::boolean as make_an_offer,
        not (select staging.code_map('yes_no')) ? upper(r.make_an_offer) as unknown_make_an_offer,
        (select staging.code_map('currency')) ->> upper(r.currency) as currency,
        not (select staging.code_map('currency')) ? upper(r.currency) as unknown_currency,
        (select staging.code_map('damage')) ->> upper(r.damage) as damage,
        not (select staging.code_map('damage')) ? upper(r.damage) as unknown_damage,
        (select staging.code_map('damage')) ->> upper(r.secondary_damage) as secondary_damage,
        not (select staging.code_map('damage')) ? upper(r.secondary_damage) as unknown_secondary_damage,
        r.title_state,
        r.title_type,
        case
            when r.title_type is not null
                then coalesce((select staging.code_map('title')) ->> (r.title_state || ' ' || r.title_type), 'other')
        end as title_group,
        ((select staging.code_map('has_keys')) ->> upper(r.has_keys))::boolean as has_keys,
        not (select staging.code_map('has_keys')) ? upper(r.has_keys) as unknown_has_keys,
        (select staging.code_map('condition')) ->> upper(r.condition_code) as condition,
        not (select staging.code_map('condition')) ? upper(r.condition_code) as unknown_condition,
        staging.to_count(r.odometer) as odometer,
        r.odometer as raw_odometer,
        (select staging.code_map('odometer_brand')) ->> upper(r.odometer_brand) as odometer_brand,
        not (select staging.code_map('odometer_brand')) ? upper(r.odometer_brand) as unknown_odometer_brand,
        staging.to_amount(r.retail_value) as retail_value,
        r.retail_value as raw_retail_value,
        staging.to_amount(r.repair_cost) as repair_cost,
        r.repair_cost as raw_repair_cost,
        nullif(btrim(r.special_note), '') as special_note,
        r.city,
        r.state,
        r.zip,
        (select staging.code_map('country')) ->> upper(r.country) as country,
        not (select staging.code_map('country')) ? upper(r.country) as unknown_country,
        r.grid_row,
        r.thumbnail_url,
        r.image_url,
        ((select staging.code_map('yes_no')) ->> upper(r.rentals))::boolean as rental,
        not (select staging.code_map('yes_no')) ? upper(r.rentals) as unknown_rental,
        ((select staging.code_map('yes_no')) ->> upper(r.copart_select))::boolean as copart_select,
        not (select staging.code_map('yes_no')) ? upper(r.copart_select) as unknown_copart_select,
        r.seller_name,
        r.offsite_address,
        r.offsite_state,
        r.offsite_city,
        r.offsite_zip,
        (select staging.code_map('sale_light')) ->> upper(r.sale_light) as sale_light,
        not (select staging.code_map('sale_light')) ? upper(r.sale_light) as unknown_sale_light,
        case when staging.to_amount(r.autograde) < 100 then staging.to_amount(r.autograde) end as autograde,
        r.autograde as raw_autograde,
        r.announcements,
        r.extra,
        r.row_hash,
        r.file_id
    from staging.copart_raw as r
    left join staging.sale_zones as of_yard
        on
            r.time_zone = of_yard.label
            and substr(r.yard_name, 3, 3) = ' - '
            and left(r.yard_name, 2) = of_yard.region
    left join staging.sale_zones as of_country on r.time_zone = of_country.label and r.country = of_country.region
    left join staging.sale_zones as anywhere on r.time_zone = anywhere.label and anywhere.region = ''
    -- A file that comes back keeps its number and what was staged before: now() is when this transaction began. In a
    -- case, as the planner would take two equalities for one row and not come to an end (25,762 rows: 1.7 s so).
    where r.file_id = %(file_id)s and case when r.ingested_at = now() then true end
    offset 0
) as reading;

-- name: analyze_rows
-- Tell the planner how many rows there are; it would plan a first load for a third of them.
analyze incoming (lot_external_id, vehicle_vin);

-- name: drop_placeholders
-- What is known to be no VIN joins nothing: the lot has a vehicle of its own.
update incoming
set
    vin = null,
    vehicle_vin = null,
    flags = array_append(flags, 'vin')
where vin in (select placeholders.vin from staging.placeholder_vins as placeholders);

-- name: forget_shared_vins
-- What was known of the lots whose rows come now.
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
-- VINs under which more makes stand at once than one vehicle can have: in lots that stay or come.
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
-- A vehicle for each lot that a placeholder joined to others. Of one that is gone no more than its make is known. The
-- joint vehicle stays without lots: nothing deletes vehicles (docs/decisions/0005-no-foreign-key-to-vehicles.md).
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
-- Give those lots their own vehicles, and have their rows read again: no row has such a digest.
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
-- Whoever takes a placeholder for a VIN after all begins anew.
delete from staging.shared_vins
where vin = any(%(vins)s);

-- name: drop_incoming
-- The rows are read once more, now with those of the lots that were joined.
drop table incoming;

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
-- A lot that had left the feed and is in it again is active at once, even when its row is older than what is known.
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
-- Rows that are older than what is known of their lot, and therefore change nothing.
select count(*)
from incoming
inner join lots on incoming.lot_external_id = lots.lot_external_id
where incoming.last_updated_at < lots.last_updated_at;

-- name: record_changes
-- What a newer row changes in a known lot, one event a field; run before upsert_lots overwrites the old values.
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

-- name: upsert_lots
-- The merge itself: new lots appear, known ones take a row that differs and is not older. Counts both.
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
    left join lateral (
        -- "+ 0" keeps the planner from looking for the maximum backwards through all lots.
        select max(earlier.id + 0) as id
        from lots as earlier
        where earlier.vehicle_id = of_vin.id and earlier.lot_external_id <> incoming.lot_external_id
    ) as previous on true
    on conflict (lot_external_id) do update set
        vehicle_id = excluded.vehicle_id,
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
-- Take back what was staged for lots that stand in the file more than once.
delete from staging.copart_raw
where file_id = %(file_id)s and ingested_at = now() and lot_number::bigint = any(%(lots)s);

-- name: reject_row
-- A rejected row is kept once for each reason, under the file that first brought it.
insert into audit.rejected_rows (file_id, line_number, reason, detail, raw_text, row_hash)
values (%(file_id)s, %(line_number)s, %(reason)s, %(detail)s, %(raw_text)s, %(row_hash)s)
on conflict (row_hash, reason) do nothing;

-- name: count_unread
-- Values of this file that could not be read or are not in staging.codes, by column.
select
    flag,
    count(*)
from incoming
cross join unnest(flags) as flag
group by flag
order by flag;

-- name: mark_old_files
-- Whole chains whose newest file is older than the limit; the chain of the last load is never one of them.
with recursive chains as (
    select
        id as first_id,
        id,
        fetched_at
    from raw.csv_files
    where base_id is null and removed_at is null
    union all
    select
        chains.first_id,
        files.id,
        files.fetched_at
    from chains
    inner join raw.csv_files as files on chains.id = files.base_id
    where files.removed_at is null
),

old_chains as (
    select chains.first_id
    from chains
    group by chains.first_id
    having
        max(chains.fetched_at) < %(older_than)s
        and not bool_or(
            chains.id = (
                select runs.file_id
                from audit.etl_runs as runs
                where runs.status = 'loaded'
                order by runs.id desc
                limit 1
            )
        )
)

update raw.csv_files as files
set removed_at = now()
from chains
inner join old_chains on chains.first_id = old_chains.first_id
where files.id = chains.id
returning files.path;

-- name: newest_file
-- When the newest file of the archive was fetched; not one that is dated in the future.
select max(fetched_at) as fetched_at
from raw.csv_files
where
    removed_at is null
    and fetched_at <= %(latest)s;

-- name: run_days
-- The database's clock, and for each day with runs of the feed when the last one ended.
select
    0 as place,
    clock_timestamp() as at
union all
select
    1 as place,
    max(finished_at) as at
from audit.etl_runs
group by date_trunc('day', finished_at)
order by
    place asc,
    at desc;

-- name: removed_files
-- Files that retention marked lately: gone from the disk, or to be removed from it.
select path
from raw.csv_files
where removed_at > now() - interval '7 days'
order by id;

-- name: last_load
-- The file whose rows the tables hold: the last one that was loaded.
select
    runs.file_id,
    runs.sha256,
    runs.rows_accepted,
    runs.newest_update
from audit.etl_runs as runs
where runs.status = 'loaded'
order by runs.id desc
limit 1;

-- name: active_rows
-- What the tables know of the lots in the last file, to rebuild its state.
select
    row_hash,
    lot_external_id,
    coalesce(last_updated_at = %(newest)s, false) as is_newest
from lots
where status = 'active'
order by id;

-- name: file_by_sha256
-- The id of the file of these bytes, and whether retention has removed it from the archive.
select
    id,
    removed_at is not null as is_missing
from raw.csv_files
where sha256 = %(sha256)s;

-- name: file_by_archive
-- The file that was archived as these bytes, if it is recorded.
select
    id,
    sha256,
    path,
    bytes,
    archive_bytes,
    archive_sha256
from raw.csv_files
where archive_sha256 = %(sha256)s and removed_at is null
order by id desc
limit 1;

-- name: is_path_taken
-- Whether the archive has, or had, a file of that path.
select count(*) > 0 from raw.csv_files
where path = %(path)s;

-- name: clock
-- The time by the database's clock.
select clock_timestamp();

-- name: next_file_id
-- The id of the next file; its rows are staged before its own row can be written.
select nextval(pg_get_serial_sequence('raw.csv_files', 'id'));

-- name: add_file
-- Record an archived file; one that retention removed comes back under its old id.
insert into raw.csv_files (
    id, sha256, fetched_at, path, base_id, bytes, archive_bytes, archive_sha256
)
overriding system value
values (
    %(id)s, %(sha256)s, %(fetched_at)s, %(path)s, %(base_id)s, %(bytes)s, %(archive_bytes)s, %(archive_sha256)s
)
on conflict (sha256) do update set
    fetched_at = excluded.fetched_at,
    path = excluded.path,
    base_id = excluded.base_id,
    archive_bytes = excluded.archive_bytes,
    archive_sha256 = excluded.archive_sha256,
    removed_at = null;

-- name: chain
-- The archived files that a file is built on, the whole one first, itself last.
with recursive links as (
    select
        files.*,
        0 as depth
    from raw.csv_files as files
    where files.id = %(id)s
    union all
    select
        base.*,
        links.depth + 1 as depth
    from links
    inner join raw.csv_files as base on links.base_id = base.id
)

select
    id,
    sha256,
    path,
    bytes,
    archive_bytes,
    archive_sha256
from links
order by depth desc;

-- name: record_run
-- What came of a run.
insert into audit.etl_runs (
    started_at, status, reason, message, file_id, sha256, bytes, newest_update,
    rows_read, rows_accepted, rows_rejected, rows_repaired,
    lots_new, lots_changed, lots_unchanged, lots_gone, lots_returned, lots_relisted, conflicts,
    seconds, drift
)
values (
    %(started_at)s, %(status)s, %(reason)s, %(message)s, %(file_id)s, %(sha256)s, %(bytes)s, %(newest_update)s,
    %(rows_read)s, %(rows_accepted)s, %(rows_rejected)s, %(rows_repaired)s,
    %(lots_new)s, %(lots_changed)s, %(lots_unchanged)s, %(lots_gone)s, %(lots_returned)s, %(lots_relisted)s,
    %(conflicts)s, %(seconds)s, %(drift)s
)
returning id;

-- name: find_file
-- An archived file by what an operator may call it.
select
    id,
    removed_at,
    path
from raw.csv_files
where
    path = %(stamp)s
    or (%(stamp)s = 'latest' and removed_at is null)
    or (fetched_at >= %(from_time)s and fetched_at < %(to_time)s)
    or (%(stamp)s ~ '^[0-9a-f]{6,64}$' and starts_with(sha256, %(stamp)s))
order by
    removed_at is not null asc,
    case when %(stamp)s = 'latest' then -id else id end asc
limit 1;

-- name: status_runs
-- The last runs.
select
    started_at,
    status,
    reason,
    rows_read,
    lots_new,
    lots_changed,
    lots_gone,
    lots_returned,
    rows_rejected,
    seconds -> 'total' as seconds
from audit.etl_runs
order by id desc
limit 10;

-- name: status_lots
-- Lots by their state.
select
    status,
    count(*) as lots,
    max(last_updated_at) as newest_update
from lots
group by status
order by status;

-- name: status_files
-- The files that were archived last.
select
    fetched_at,
    path,
    bytes,
    archive_bytes,
    case when base_id is null then 'whole' else 'delta' end as kind,
    round(100.0 * archive_bytes / bytes, 2) as percent
from raw.csv_files
where removed_at is null
order by id desc
limit 5;

-- name: status_archive
-- What the archive holds and costs.
select
    count(*) as files,
    count(*) filter (where base_id is null) as whole,
    sum(bytes) as bytes,
    sum(archive_bytes) as archive_bytes,
    round(100.0 * sum(archive_bytes) / nullif(sum(bytes), 0), 2) as percent
from raw.csv_files
where removed_at is null;

-- name: status_unknown
-- The columns that are known least.
select
    column_name,
    unknown,
    unknown_rate
from audit.v_unknown_rate
limit 8;

-- name: status_errors
-- What could not be read, most frequent first.
select
    kind,
    name,
    errors,
    last_seen,
    example
from audit.v_parse_errors
limit 12;
