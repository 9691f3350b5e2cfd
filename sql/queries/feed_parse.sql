-- The staged text of a feed file parsed into typed values, and what could not be parsed. etl/merge/upsert.py runs them.

-- name: read_rows
-- The staged rows of a file with their values parsed: sale_at, the sale time of the lot, is its date and time in the
-- zone of its yard. `flags` has the columns whose value cannot be parsed or is not in staging.codes, and
-- last_updated_at also for a time after `latest`. What lots are searched by is not read if it has more than 200
-- characters: it would not fit into a row of an index, and no lot of the file could be loaded. day_of_week, runs_drives
-- and ordinal are ignored: the sale date, the condition code and the position in the file say the same. "offset 0" has
-- each value computed once: without it the planner repeats its expression in every flag, which takes four times as
-- long.
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
        case when long_make then 'make' end,
        case when long_model_group then 'model_group' end,
        case when long_model then 'model' end,
        case when long_body_style then 'body_style' end,
        case when unknown_color then 'color' end,
        case when cylinders is null and translate(raw_cylinders, '0.', '') <> '' then 'cylinders' end,
        case when unknown_drive then 'drive' end,
        case when unknown_transmission then 'transmission' end,
        case when unknown_fuel then 'fuel' end,
        case when created_at is null and raw_created_at is not null then 'created_at' end,
        case when yard_number is null and raw_yard_number <> '0' then 'yard_number' end,
        case when long_yard_name then 'yard_name' end,
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
        case when long_state then 'state' end,
        case when unknown_country then 'country' end,
        case when unknown_rental then 'rentals' end,
        case when unknown_copart_select then 'copart_select' end,
        case when long_seller_name then 'seller_name' end,
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
        case when length(r.make) <= 200 then r.make end as make,
        length(r.make) > 200 as long_make,
        case when length(r.model_group) <= 200 then r.model_group end as model_group,
        length(r.model_group) > 200 as long_model_group,
        case when length(r.model_detail) <= 200 then r.model_detail end as model,
        length(r.model_detail) > 200 as long_model,
        r.trim,
        case when length(r.body_style) <= 200 then r.body_style end as body_style,
        length(r.body_style) > 200 as long_body_style,
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
        case when length(r.yard_name) <= 200 then r.yard_name end as yard_name,
        length(r.yard_name) > 200 as long_yard_name,
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
        case when length(r.state) <= 200 then r.state end as state,
        length(r.state) > 200 as long_state,
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
        case when length(r.seller_name) <= 200 then r.seller_name end as seller_name,
        length(r.seller_name) > 200 as long_seller_name,
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
    -- A file that is loaded again keeps its id and what was staged before: now() is when this transaction began. In a
    -- case, as the planner would estimate one row for two equalities, and its plan never ends (25,762 rows: 1.7 s so).
    where r.file_id = %(file_id)s and case when r.ingested_at = now() then true end
    offset 0
) as reading;

-- name: analyze_rows
-- Give the planner the number of rows; for a first load it would assume a third of them.
analyze incoming (lot_external_id, vehicle_vin);

-- name: drop_incoming
-- Drop the parsed rows; read_rows parses them again with those of the lots that a placeholder joined.
drop table incoming;

-- name: count_unread
-- How many values of this file cannot be parsed or are not in staging.codes, by column.
select
    flag,
    count(*)
from incoming
cross join unnest(flags) as flag
group by flag
order by flag;
