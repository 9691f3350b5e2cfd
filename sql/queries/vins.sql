-- The page of a VIN, and what the search box finds. Each statement reads by an index.

-- name: vehicle
-- The vehicle of a VIN; none for a text that many makes have in the place of a VIN.
select
    vehicles.id as vehicle_id,
    vehicles.vin,
    vehicles.vehicle_type,
    vehicles.year,
    vehicles.make,
    vehicles.model,
    vehicles.trim,
    vehicles.body_style,
    vehicles.color,
    vehicles.engine,
    vehicles.fuel
from vehicles
where
    vehicles.vin = %(vin)s
    and not exists (
        select
        from staging.placeholder_vins as placeholders
        where placeholders.vin = vehicles.vin
    );

-- name: placeholder
-- The text, if many makes have it in the place of a VIN.
select vin
from staging.placeholder_vins
where vin = %(vin)s;

-- name: lots
-- The lots of a vehicle, newest first, each with the make that its line of the feed gave: lots of another make share
-- the VIN by mistake. Photos are in the order of the source, each in its best variant.
with newest as (
    select *
    from lots
    where vehicle_id = %(vehicle_id)s
    order by id desc
    limit %(count)s
)

select -- noqa: ST06
    lots.id as lot_id,
    lots.lot_external_id as lot,
    lots.status,
    lots.first_seen_at,
    lots.gone_at,
    lots.sale_at,
    lots.sale_date,
    lots.sale_status,
    lots.high_bid,
    lots.buy_now_price,
    lots.currency,
    lots.damage,
    lots.secondary_damage,
    lots.title_group,
    lots.condition,
    lots.has_keys,
    odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer,
    odometer_in_km(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer_km,
    lots.odometer_brand,
    lots.yard_name,
    lots.state,
    photos.contents,
    photos.seqs,
    coalesce(shared.make, %(make)s::text) as make
from newest as lots
left join staging.shared_vins as shared
    on lots.lot_external_id = shared.lot_external_id and shared.vin = %(vin)s
cross join lateral ( -- noqa: ST05
    select
        array_agg(content_hash order by seq) as contents,
        array_agg(seq order by seq) as seqs
    from (
        select distinct on (images.seq)
            images.seq,
            images.content_hash
        from images
        where images.lot_id = lots.id
        order by
            images.seq asc,
            array_position(array['hrs', 'ful', 'thb'], images.variant) asc,
            images.id desc
    ) as best
) as photos
order by
    lots.first_seen_at desc,
    lots.id desc;

-- name: events
-- What happened to some lots, newest first.
select
    events.lot_id,
    events.event,
    events.old_value,
    events.new_value,
    events.happened_at as at
from unnest(%(lot_ids)s::bigint[]) as asked (lot_id)
cross join lateral ( -- noqa: ST05
    select
        lot_events.id,
        lot_events.lot_id,
        lot_events.event,
        lot_events.old_value,
        lot_events.new_value,
        lot_events.happened_at
    from audit.lot_events
    where lot_events.lot_id = asked.lot_id
    order by lot_events.id desc
    limit %(count)s
) as events
order by
    events.happened_at desc,
    events.id desc;

-- name: ads
-- The ads that name a VIN, newest first, with all their prices.
select
    ads.id as listing_id,
    ads.title,
    ads.source,
    ads.seller_kind as seller,
    cars.make,
    ads.year,
    ads.mileage_km,
    cars.price_eur,
    ads.posted_at,
    ads.first_seen,
    ads.removed_at as gone_at,
    prices.prices,
    prices.seen
from (
    select known.listing_id
    from listing_vins as known
    where known.vin = %(vin)s
    order by known.listing_id desc
    limit %(count)s
) as named
inner join listings as ads on named.listing_id = ads.id
left join normalized_listings as cars on named.listing_id = cars.listing_id
cross join lateral ( -- noqa: ST05
    select
        array_agg(price_eur order by seen_at) as prices,
        array_agg(seen_at order by seen_at) as seen
    from (
        select
            listing_prices.price_eur,
            listing_prices.seen_at
        from listing_prices
        where listing_prices.listing_id = named.listing_id
        order by listing_prices.seen_at desc
        limit 40
    ) as latest
) as prices
order by
    ads.first_seen desc,
    ads.id desc;

-- name: known
-- A row if a lot or an ad has this VIN.
select vin
from listing_vins
where vin = %(vin)s
union all
select vehicles.vin
from vehicles
inner join lots on vehicles.id = lots.vehicle_id
where
    vehicles.vin = %(vin)s
    and not exists (
        select
        from staging.placeholder_vins as placeholders
        where placeholders.vin = vehicles.vin
    )
limit 1;

-- name: lot_of_number
-- The lot of a number, with its vehicle.
select
    lots.lot_external_id as lot,
    lots.status,
    vehicles.year,
    vehicles.make,
    vehicles.model
from lots
left join vehicles on lots.vehicle_id = vehicles.id
where lots.lot_external_id = %(lot)s;

-- name: ads_of_number
-- The ad that the site of ads gives this number, and the ad that has it here.
select
    ads.id as listing_id,
    ads.title,
    ads.removed_at as gone_at,
    ads.ad_id = %(digits)s as is_theirs
from listings as ads
where
    (ads.source = 'mobile.bg' and ads.ad_id = %(digits)s)
    or ads.id = %(own)s;

-- name: vins_of_ad
-- The VINs that an ad names.
select vin
from listing_vins
where listing_id = %(listing_id)s
order by vin;
