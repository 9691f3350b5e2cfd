-- What cars are worth: the ads of a batch, cars like them, what comes of it; and the price models.

-- name: read_cars
-- The ads of a batch as pricing sees them, in the order of deals.cars.Row.
select -- noqa: ST06
    normal.listing_id,
    coalesce(normal.duplicate_of, normal.listing_id) as car,
    normal.price_eur::float8 as price_eur,
    normal.year,
    normal.month,
    normal.mileage_km,
    normal.power_hp,
    normal.engine_cc,
    normal.make,
    normal.model,
    normal.family,
    normal.fuel,
    normal.gearbox,
    normal.body,
    normal.colour,
    ads.title
from normalized_listings as normal
inner join listings as ads on normal.listing_id = ads.id
where normal.listing_id = any(%(listing_ids)s::bigint[])
order by normal.listing_id;

-- name: walk_indexes
-- For this transaction: no bitmaps. The planner takes a year of a model for two ads and would read and sort all that
-- there are: 0.45 ms an ad among 100,000 instead of 0.11.
select set_config('enable_bitmapscan', 'off', true);

-- name: near_cars
-- For each ad the cars of its model nearest in year, and within a year nearest in mileage, as columns. Each year is two
-- short walks along the index, and there are few: so an ad costs the same however many ads there are. The limit stops
-- the walks as they come, nearest year first. Which of them say something about the ad, comparables.py decides.
with asked as (
    select
        listing_id,
        model,
        year,
        fuel,
        gearbox,
        body,
        coalesce(mileage_km, %(usual_km)s) as mileage_km
    from normalized_listings
    where
        listing_id = any(%(listing_ids)s::bigint[])
        and model is not null
        and year is not null
)

select
    asked.listing_id,
    array_agg(near.listing_id) as ids,
    array_agg(near.price_eur::float8) as prices,
    array_agg(near.year) as years,
    array_agg(near.month) as months,
    array_agg(near.mileage_km) as mileages,
    array_agg(near.power_hp) as powers,
    array_agg(near.fuel is not distinct from asked.fuel) as same_fuel,
    array_agg(near.gearbox is not distinct from asked.gearbox) as same_gearbox,
    array_agg(near.body is not distinct from asked.body) as same_body
from asked
cross join lateral ( -- noqa: ST05
    select found.*
    from unnest(array[0, -1, 1, -2, 2, -3, 3, -5, 5, -7, 7]::smallint[]) as years (apart)
    cross join lateral (
        (
            select other.*
            from normalized_listings as other
            where
                other.is_comparable
                and other.duplicate_of is null
                and other.model = asked.model
                and other.year = asked.year + years.apart
                and other.mileage_km >= asked.mileage_km
            order by other.mileage_km asc
            limit %(a_side)s
        )
        union all
        (
            select other.*
            from normalized_listings as other
            where
                other.is_comparable
                and other.duplicate_of is null
                and other.model = asked.model
                and other.year = asked.year + years.apart
                and other.mileage_km < asked.mileage_km
            order by other.mileage_km desc
            limit %(a_side)s
        )
    ) as found
    limit %(count)s
) as near
group by asked.listing_id;

-- name: near_families
-- The same among the other models of the family, for ads of whose model there are too few.
with asked as (
    select
        listing_id,
        model,
        family,
        year,
        fuel,
        gearbox,
        body,
        coalesce(mileage_km, %(usual_km)s) as mileage_km
    from normalized_listings
    where
        listing_id = any(%(listing_ids)s::bigint[])
        and family is not null
        and year is not null
)

select
    asked.listing_id,
    array_agg(near.listing_id) as ids,
    array_agg(near.price_eur::float8) as prices,
    array_agg(near.year) as years,
    array_agg(near.month) as months,
    array_agg(near.mileage_km) as mileages,
    array_agg(near.power_hp) as powers,
    array_agg(near.fuel is not distinct from asked.fuel) as same_fuel,
    array_agg(near.gearbox is not distinct from asked.gearbox) as same_gearbox,
    array_agg(near.body is not distinct from asked.body) as same_body
from asked
cross join lateral ( -- noqa: ST05
    select found.*
    from unnest(array[0, -1, 1, -2, 2, -3, 3]::smallint[]) as years (apart)
    cross join lateral (
        (
            select other.*
            from normalized_listings as other
            where
                other.is_comparable
                and other.duplicate_of is null
                and other.family = asked.family
                and other.year = asked.year + years.apart
                and other.mileage_km >= asked.mileage_km
            order by other.mileage_km asc
            limit %(a_side)s
        )
        union all
        (
            select other.*
            from normalized_listings as other
            where
                other.is_comparable
                and other.duplicate_of is null
                and other.family = asked.family
                and other.year = asked.year + years.apart
                and other.mileage_km < asked.mileage_km
            order by other.mileage_km desc
            limit %(a_side)s
        )
    ) as found
    where found.model is distinct from asked.model
    limit %(count)s
) as near
group by asked.listing_id;

-- name: save_valuations
-- What ads are worth; one that is worth what it was is not written again.
insert into valuations as known (
    listing_id, p10, p50, p90, comparables, confidence, method, model_version, details
)
select
    found.listing_id,
    found.p10,
    found.p50,
    found.p90,
    found.comparables,
    found.confidence,
    found.method,
    found.model_version,
    found.details
from
    jsonb_to_recordset(%(valuations)s::jsonb) as found (
        listing_id bigint,
        p10 numeric,
        p50 numeric,
        p90 numeric,
        comparables integer,
        confidence real,
        method text,
        model_version bigint,
        details jsonb
    )
order by found.listing_id
on conflict (listing_id) do update
    set
        p10 = excluded.p10,
        p50 = excluded.p50,
        p90 = excluded.p90,
        comparables = excluded.comparables,
        confidence = excluded.confidence,
        method = excluded.method,
        model_version = excluded.model_version,
        details = excluded.details,
        valued_at = now()
    where
        (
            known.p10, known.p50, known.p90, known.comparables, known.confidence, known.method, known.model_version,
            known.details
        )
        is distinct from
        (
            excluded.p10, excluded.p50, excluded.p90, excluded.comparables, excluded.confidence, excluded.method,
            excluded.model_version, excluded.details
        );

-- name: comparable_cars
-- All ads that say what cars cost, each car once, in the order of deals.cars.Row: what a model is trained on.
select -- noqa: ST06
    normal.listing_id,
    normal.listing_id as car,
    normal.price_eur::float8 as price_eur,
    normal.year,
    normal.month,
    normal.mileage_km,
    normal.power_hp,
    normal.engine_cc,
    normal.make,
    normal.model,
    normal.family,
    normal.fuel,
    normal.gearbox,
    normal.body,
    normal.colour,
    ads.title
from normalized_listings as normal
inner join listings as ads on normal.listing_id = ads.id
where
    normal.is_comparable
    and normal.duplicate_of is null
    and normal.price_eur > 0
    and normal.year is not null
order by normal.listing_id;

-- name: claim_training
-- Train alone, as long as this connection lives or until it is released.
select pg_try_advisory_lock(hashtextextended('ops.price_models', 0));

-- name: release_training
-- Let others train.
select pg_advisory_unlock(hashtextextended('ops.price_models', 0));

-- name: store_model
-- A model that was trained and measured.
insert into ops.price_models (ads, errors, is_used, reason, body)
values (%(ads)s, %(errors)s, %(is_used)s, %(reason)s, %(body)s)
returning version;

-- name: drop_older_bodies
-- Models that a newer one replaced keep their figures only.
update ops.price_models
set body = null
where
    version < %(version)s
    and body is not null;

-- name: newest_model
-- The model that was trained last, its age in days.
select -- noqa: ST06
    version,
    is_used,
    reason,
    extract(epoch from now() - trained_at)::float8 / 86400 as age,
    errors
from ops.price_models
order by version desc
limit 1;

-- name: model_body
-- What the model is.
select body
from ops.price_models
where version = %(version)s;

-- name: recent_errors
-- How far the newest model is off on ads that came after it was trained, beside what was measured.
with newest as (
    select
        version,
        trained_at,
        is_used,
        (errors #>> '{all,mdape}')::float8 as measured
    from ops.price_models
    order by version desc
    limit 1
)

select
    newest.version,
    newest.measured,
    count(*) as ads,
    percentile_cont(0.5) within group (order by abs(worth.p50 / normal.price_eur - 1)::float8) as mdape
from newest
inner join valuations as worth on newest.version = worth.model_version
inner join normalized_listings as normal on worth.listing_id = normal.listing_id
inner join listings as ads on worth.listing_id = ads.id
where
    newest.is_used
    and ads.first_seen > newest.trained_at
    and normal.is_comparable
    and normal.price_eur > 0
    and worth.p50 is not null
group by newest.version, newest.measured;

-- name: put_out_of_use
-- A model is not used any more.
update ops.price_models
set
    is_used = false,
    reason = %(reason)s
where
    version = %(version)s
    and is_used;
