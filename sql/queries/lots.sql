-- Lots: how their board is written, rebuilt and checked, and what the site reads of them.

-- name: lock_lot_board
-- Keep photos from changing rows of the board until the transaction ends; those that are doing it are waited for. The
-- statements after this one see what they wrote. Without it a lot that is gone would move while a photo waits for it.
select pg_advisory_xact_lock(hashtextextended('lot_board', 0));

-- name: is_lot_board_begun
-- Whether there are words of lots, and whether there are rows on the board: neither before the first file.
select
    exists(select from lot_words) as has_words,
    exists(select from lot_board) as has_rows;

-- name: find_touched_lots
-- The lots that a feed file may have changed on the board: of its rows, those of the same vehicles, and those that are
-- gone or were split from a placeholder. "limit" keeps the planner from reading all lots for the few rows of a delta.
create temporary table touched_lots on commit drop as
select
    touched.id,
    touched.vehicle_id
from incoming
cross join lateral (
    select
        lots.id,
        lots.vehicle_id
    from lots
    where lots.lot_external_id = incoming.lot_external_id
    limit 1
) as touched
union
select
    lots.id,
    lots.vehicle_id
from earlier_lots
cross join lateral (
    select earlier.vehicle_id
    from lots as earlier
    where earlier.id = earlier_lots.id
    limit 1
) as shared
inner join lots on shared.vehicle_id = lots.vehicle_id
union
select
    lots.id,
    lots.vehicle_id
from lots
where lots.lot_external_id = any(%(lots)s::bigint[]);

-- name: new_words_of_lots
-- The words of the vehicles of touched lots that lot_words does not have.
with cars as materialized (
    select known.*
    from touched_lots
    cross join lateral (
        select -- noqa: ST06
            concat(vehicles.make, '|', vehicles.model, '|', vehicles.model_group) as said,
            vehicles.fuel,
            vehicles.transmission,
            vehicles.body_style,
            vehicles.color
        from vehicles
        where vehicles.id = touched_lots.vehicle_id
        limit 1
    ) as known
),

words as (
    select
        'car' as field,
        cars.said
    from cars
    union
    select
        'fuel' as field,
        cars.fuel as said
    from cars
    union
    select
        'gearbox' as field,
        cars.transmission as said
    from cars
    union
    select
        'body' as field,
        cars.body_style as said
    from cars
    union
    select
        'color' as field,
        cars.color as said
    from cars
)

select
    words.field,
    words.said
from words
left join lot_words as known on words.field = known.field and words.said = known.said
where
    words.said is not null
    and known.said is null;

-- name: all_words_of_lots
-- The words of all vehicles.
with words as (
    select distinct
        'car' as field,
        concat(vehicles.make, '|', vehicles.model, '|', vehicles.model_group) as said
    from vehicles
    union all
    select distinct
        'fuel' as field,
        vehicles.fuel as said
    from vehicles
    union all
    select distinct
        'gearbox' as field,
        vehicles.transmission as said
    from vehicles
    union all
    select distinct
        'body' as field,
        vehicles.body_style as said
    from vehicles
    union all
    select distinct
        'color' as field,
        vehicles.color as said
    from vehicles
)

select
    words.field,
    words.said
from words
where words.said is not null;

-- name: note_words_of_lots
-- Store what the vocabulary calls some words.
insert into lot_words (field, said, make, value)
select
    read_words.field,
    read_words.said,
    read_words.make,
    read_words.value
from unnest(%(fields)s::text[], %(said)s::text[], %(makes)s::text[], %(names)s::text[])
    as read_words (field, said, make, value)
on conflict (field, said) do update
    set
        make = excluded.make,
        value = excluded.value
    where (lot_words.make, lot_words.value) is distinct from (excluded.make, excluded.value);

-- name: write_lot_board
-- Bring the rows of touched lots up to date. A row that is right is not written. "offset 0" has each row computed once:
-- without it that is done to compare it, and again to write it.
merge into lot_board as board
using (
    select * -- noqa: AM04
    from lot_board_source
    where lot_id = any(array(select touched_lots.id from touched_lots))
    offset 0
) as source
    on board.lot_id = source.lot_id
when not matched then
    insert values (
        source.lot_id, source.is_gone, source.gone_at, source.first_seen, source.sale_at, source.high_bid,
        source.buy_now_price, source.make, source.family, source.year, source.fuel, source.gearbox, source.body,
        source.color, source.damage, source.title_group, source.condition, source.has_keys, source.odometer,
        source.state, source.yard, source.seller, source.has_photos
    )
when matched and (board.*) is distinct from (source.*) then
    update set
        is_gone = source.is_gone,
        gone_at = source.gone_at,
        first_seen = source.first_seen,
        sale_at = source.sale_at,
        high_bid = source.high_bid,
        buy_now_price = source.buy_now_price,
        make = source.make,
        family = source.family,
        year = source.year,
        fuel = source.fuel,
        gearbox = source.gearbox,
        body = source.body,
        color = source.color,
        damage = source.damage,
        title_group = source.title_group,
        condition = source.condition,
        has_keys = source.has_keys,
        odometer = source.odometer,
        state = source.state,
        yard = source.yard,
        seller = source.seller,
        has_photos = source.has_photos;

-- name: fill_lot_board
-- Write all rows of a board that has none.
insert into lot_board
select * -- noqa: AM04
from lot_board_source;

-- name: rebuild_lot_board
-- Bring all rows up to date. A row that is right is not written.
merge into lot_board as board
using (
    select * -- noqa: AM04
    from lot_board_source
    offset 0
) as source
    on board.lot_id = source.lot_id
when not matched then
    insert values (
        source.lot_id, source.is_gone, source.gone_at, source.first_seen, source.sale_at, source.high_bid,
        source.buy_now_price, source.make, source.family, source.year, source.fuel, source.gearbox, source.body,
        source.color, source.damage, source.title_group, source.condition, source.has_keys, source.odometer,
        source.state, source.yard, source.seller, source.has_photos
    )
when matched and (board.*) is distinct from (source.*) then
    update set
        is_gone = source.is_gone,
        gone_at = source.gone_at,
        first_seen = source.first_seen,
        sale_at = source.sale_at,
        high_bid = source.high_bid,
        buy_now_price = source.buy_now_price,
        make = source.make,
        family = source.family,
        year = source.year,
        fuel = source.fuel,
        gearbox = source.gearbox,
        body = source.body,
        color = source.color,
        damage = source.damage,
        title_group = source.title_group,
        condition = source.condition,
        has_keys = source.has_keys,
        odometer = source.odometer,
        state = source.state,
        yard = source.yard,
        seller = source.seller,
        has_photos = source.has_photos;

-- name: remove_from_lot_board
-- Remove the rows of lots that do not belong on the board.
delete from lot_board
where not exists (
    select
    from lot_board_source as source
    where source.lot_id = lot_board.lot_id
);

-- name: expire_lot_board
-- Remove lots from the board that went long ago.
delete from lot_board
where
    is_gone
    and gone_at <= now() - interval '60 days';

-- name: compare_lot_board
-- Compare the board with what it has to be, for so many lots in the feed and so many rows of the board behind a random
-- one (null: for all): how many lots were compared, and how many rows are missing, wrong or too many. Rows of lots that
-- went 60 days ago are removed with the next file.
with first as materialized (
    select floor(random() * max(id))::bigint as id
    from lots
    where %(count)s::bigint is not null
),

active as (
    select lots.id
    from lots
    where
        lots.status = 'active'
        and lots.id > coalesce((select first.id from first), 0)
    order by lots.id
    limit %(count)s::bigint
),

rows_there as (
    select lot_board.lot_id as id
    from lot_board
    where lot_board.lot_id > coalesce((select first.id from first), 0)
    order by lot_board.lot_id
    limit %(count)s::bigint
),

picked as materialized (
    select active.id from active
    union
    select rows_there.id from rows_there
),

compared as (
    select
        board.lot_id is not null as is_there,
        source.lot_id is not null as is_due,
        coalesce(board <> source, false) as is_wrong, -- noqa: RF02,RF03
        board.lot_id is not null
        and source.lot_id is null
        and coalesce(board.gone_at > now() - interval '60 days', true) as is_surplus
    from picked
    left join lot_board_source as source on picked.id = source.lot_id
    left join lot_board as board on picked.id = board.lot_id
)

select
    count(*) as lots,
    count(*) filter (where is_due and not is_there) as missing,
    count(*) filter (where is_wrong) as wrong,
    count(*) filter (where is_surplus) as surplus
from compared;

-- name: lot_cards
-- What the cards of some lots show, in the order of their ids, with the first three photos in their best size.
select -- noqa: ST06
    board.lot_id,
    lots.lot_external_id,
    cars.vin,
    coalesce(board.year, cars.year) as year,
    cars.make as make_said,
    cars.model as model_said,
    board.make,
    board.family,
    board.fuel,
    board.gearbox,
    board.damage,
    board.title_group,
    board.condition,
    board.has_keys,
    board.odometer,
    odometer_in_km(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer_km,
    lots.odometer_brand,
    board.seller,
    board.state,
    board.yard,
    lots.sale_at,
    lots.sale_date,
    lots.sale_status,
    board.high_bid,
    board.buy_now_price,
    lots.currency,
    board.first_seen,
    board.gone_at,
    photos.photos
from unnest(%(lot_ids)s::bigint[]) with ordinality as asked (lot_id, place)
inner join lot_board as board on asked.lot_id = board.lot_id
inner join lots on asked.lot_id = lots.id
left join vehicles as cars on lots.vehicle_id = cars.id
cross join lateral ( -- noqa: ST05
    select
        array_agg(
            jsonb_build_object('seq', best.seq, 'hash', best.content_hash, 'width', best.width, 'height', best.height)
            order by best.seq
        ) as photos
    from (
        select distinct on (images.seq)
            images.seq,
            images.content_hash,
            images.width,
            images.height
        from images
        where images.lot_id = asked.lot_id
        order by images.seq asc, array_position(array['hrs', 'ful', 'thb'], images.variant) asc, images.id asc
        limit 3
    ) as best
) as photos
order by asked.place;

-- name: lot
-- A lot with everything that is one row of it.
select -- noqa: ST06
    lots.id as lot_id,
    lots.lot_external_id,
    cars.vin,
    lots.vehicle_id,
    lots.status,
    lots.first_seen_at as first_seen,
    lots.gone_at,
    lots.last_updated_at,
    lots.yard_name as yard,
    lots.sale_at,
    lots.sale_date,
    lots.sale_time,
    lots.sale_time_zone,
    lots.sale_status,
    lots.item_number,
    lots.high_bid,
    lots.buy_now_price,
    lots.make_an_offer,
    lots.currency,
    lots.damage,
    lots.secondary_damage,
    lots.title_state,
    lots.title_type,
    lots.title_group,
    lots.has_keys,
    lots.condition,
    odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer,
    odometer_in_km(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer_km,
    lots.odometer_brand,
    lots.retail_value,
    lots.repair_cost,
    lots.special_note,
    lots.announcements,
    lots.city,
    lots.state,
    lots.country,
    lots.grid_row,
    lots.seller_name as seller,
    cars.vehicle_type,
    cars.year,
    cars.make as make_said,
    cars.model_group as group_said,
    cars.model as model_said,
    cars.trim,
    cars.body_style,
    cars.color,
    cars.engine,
    cars.cylinders,
    cars.drive,
    cars.transmission,
    cars.fuel,
    coalesce(photos.stored, 0) as photos_stored,
    photos.listed as photos_listed
from lots
left join vehicles as cars on lots.vehicle_id = cars.id
left join lot_photos as photos on lots.id = photos.lot_id
where lots.lot_external_id = %(lot_number)s::bigint;

-- name: lot_covers
-- The first photo of each of some lots that have one, in its best size.
select distinct on (lots.id)
    lots.lot_external_id,
    images.content_hash
from lots
inner join images on lots.id = images.lot_id
where lots.lot_external_id = any(%(lot_numbers)s::bigint[])
order by lots.id asc, images.seq asc, array_position(array['hrs', 'ful', 'thb'], images.variant) asc, images.id asc;

-- name: lot_gallery
-- The photos of a lot, each in its best size.
select distinct on (images.seq)
    images.seq,
    images.content_hash as hash,
    images.width,
    images.height
from images
where images.lot_id = %(lot_id)s::bigint
order by images.seq asc, array_position(array['hrs', 'ful', 'thb'], images.variant) asc, images.id asc;

-- name: lot_events
-- The events of a lot, the first one first.
select
    events.event,
    events.old_value,
    events.new_value,
    events.happened_at
from audit.lot_events as events
where events.lot_id = %(lot_id)s::bigint
order by events.id
limit 1000;

-- name: lots_of_vehicle
-- The other lots of a vehicle, the newest first.
select -- noqa: ST06
    lots.id as lot_id,
    lots.lot_external_id,
    lots.status,
    lots.first_seen_at as first_seen,
    lots.gone_at,
    lots.sale_at,
    lots.sale_date,
    lots.high_bid,
    lots.currency,
    lots.damage,
    odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer,
    odometer_in_km(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer_km,
    lots.yard_name as yard,
    lots.id < %(lot_id)s::bigint as is_earlier
from lots
where
    lots.vehicle_id = %(vehicle_id)s::bigint
    and lots.id <> %(lot_id)s::bigint
order by lots.id desc
limit 50;

-- name: lot_facets
-- How many lots for sale there are of each make, family and so on.
select -- noqa: ST06
    case
        when grouping(make, family) = 0 then 'family'
        when grouping(make) = 0 then 'make'
        when grouping(fuel) = 0 then 'fuel'
        when grouping(gearbox) = 0 then 'gearbox'
        when grouping(body) = 0 then 'body'
        when grouping(color) = 0 then 'color'
        when grouping(damage) = 0 then 'damage'
        when grouping(title_group) = 0 then 'title_group'
        when grouping(state) = 0 then 'state'
        when grouping(yard) = 0 then 'yard'
        else 'seller'
    end as field,
    coalesce(
        family,
        case
            when grouping(family) = 1
                then coalesce(make, fuel, gearbox, body, color, damage, title_group, state, yard, seller)
        end
    ) as value,
    count(*) as ads,
    case when grouping(make, family) = 0 then make end as make
from lot_board
where not is_gone
group by grouping sets (
    (make, family), (make), (fuel), (gearbox), (body), (color), (damage), (title_group), (state), (yard), (seller)
)
order by
    ads desc,
    value asc;

-- name: lot_export_rows
-- Rows of the CSV for some lots, in the order of their ids.
select -- noqa: ST06
    lots.lot_external_id,
    cars.vin,
    cars.year,
    cars.make,
    cars.model,
    board.family,
    cars.trim,
    board.body,
    board.color,
    cars.engine,
    board.fuel,
    board.gearbox,
    cars.drive,
    lots.damage,
    lots.secondary_damage,
    lots.title_state,
    lots.title_type,
    lots.title_group,
    lots.condition,
    lots.has_keys,
    odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer_mi,
    odometer_in_km(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer_km,
    lots.odometer_brand,
    lots.retail_value,
    lots.repair_cost,
    lots.currency,
    lots.yard_name,
    lots.state,
    lots.seller_name,
    lots.sale_at,
    lots.sale_date,
    lots.sale_status,
    lots.high_bid,
    lots.buy_now_price,
    board.has_photos,
    lots.first_seen_at,
    lots.gone_at
from unnest(%(lot_ids)s::bigint[]) with ordinality as asked (lot_id, place)
inner join lot_board as board on asked.lot_id = board.lot_id
inner join lots on asked.lot_id = lots.id
left join vehicles as cars on lots.vehicle_id = cars.id
order by asked.place;

-- name: lot_id
-- The id of a lot by its number in the feed.
select lots.id
from lots
where lots.lot_external_id = %(lot_number)s::bigint;
