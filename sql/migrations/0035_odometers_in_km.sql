-- Odometers that count kilometres: on the board of lots they are miles, like all others.
-- depends: 0034_gone_lots_found

-- Whether the odometer of a lot counts kilometres: those of Canada, and those whose note says so. As
-- deals/lots/facts.py has it.
create function counts_kilometers(country text, currency text, note text) returns boolean
language sql immutable parallel safe
return
    coalesce(country = 'CAN', false)
    or coalesce(currency = 'CAD', false)
    or coalesce(note ~* '\mKILOM|\mODOMETER IS IN KM\M|\mIN KMS?\M', false);

create function odometer_in_miles(odometer integer, country text, currency text, note text) returns integer
language sql immutable parallel safe
return
    case
        when odometer is null then null
        when counts_kilometers(country, currency, note) then round(odometer / 1.609344)::integer
        else odometer
    end;

create function odometer_in_km(odometer integer, country text, currency text, note text) returns integer
language sql immutable parallel safe
return
    case
        when odometer is null then null
        when counts_kilometers(country, currency, note) then odometer
        else round(least(odometer * 1.609344, 2147483647))::integer
    end;

create or replace view lot_board_source as
select -- noqa: ST06
    lots.id as lot_id,
    lots.status = 'gone' as is_gone,
    lots.gone_at,
    lots.first_seen_at as first_seen,
    coalesce(lots.sale_at, (lots.sale_date + time '12:00') at time zone 'UTC') as sale_at,
    lots.high_bid,
    lots.buy_now_price,
    (select lot_vocabulary('car')) -> cars.said ->> 0 as make,
    (select lot_vocabulary('car')) -> cars.said ->> 1 as family,
    cars.year,
    (select lot_vocabulary('fuel')) ->> cars.fuel as fuel,
    (select lot_vocabulary('gearbox')) ->> cars.transmission as gearbox,
    (select lot_vocabulary('body')) ->> cars.body_style as body,
    (select lot_vocabulary('color')) ->> cars.color as color,
    lots.damage,
    lots.title_group,
    lots.condition,
    lots.has_keys,
    odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer,
    lots.state,
    lots.yard_name as yard,
    lots.seller_name as seller,
    coalesce(
        (
            select lot_photos.stored > 0
            from lot_photos
            where lot_photos.lot_id = lots.id
        ),
        false
    ) as has_photos
from lots
left join lateral (
    select
        vehicles.year,
        vehicles.fuel,
        vehicles.transmission,
        vehicles.body_style,
        vehicles.color,
        concat(vehicles.make, '|', vehicles.model, '|', vehicles.model_group) as said
    from vehicles
    where vehicles.id = lots.vehicle_id
    limit 1
) as cars on true
where
    lots.status = 'active'
    or lots.gone_at > now() - interval '60 days';

update lot_board
set odometer = odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note)
from lots
where
    lot_board.lot_id = lots.id
    and lots.odometer > 0
    and counts_kilometers(lots.country, lots.currency, lots.special_note);
