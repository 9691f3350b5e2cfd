-- Valuations: the ads of a batch, candidates for comparables, the results; and the price models.

-- name: read_cars
-- The ads of a batch, in the order of deals.estimate.cars.Row.
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
    ads.title,
    null::float8 as seen,
    ads.seller_kind as seller,
    ads.equipment,
    ads.description
from normalized_listings as normal
inner join listings as ads on normal.listing_id = ads.id
where normal.listing_id = any(%(listing_ids)s::bigint[])
order by normal.listing_id;

-- name: walk_indexes
-- For this transaction: no bitmap scans. The planner estimates two ads for a year of a model, and would read and sort
-- all of them: 0.45 ms an ad among 100,000 instead of 0.11.
select set_config('enable_bitmapscan', 'off', true);

-- name: near_cars
-- For each car the ads of its model nearest in year, and within a year nearest in mileage, as columns. Each year is two
-- short index scans, and there are few years: so an ad costs the same however many ads there are. The limit stops the
-- scans, nearest year first. comparables.py decides which of the candidates are comparable.
with asked as (
    select cars.*
    from unnest(
        %(ids)s::bigint[],
        %(models)s::text[],
        %(years)s::integer[],
        %(fuels)s::text[],
        %(gearboxes)s::text[],
        %(bodies)s::text[],
        %(mileages)s::integer[]
    ) as cars (listing_id, model, year, fuel, gearbox, body, mileage_km)
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
-- The same among the other models of the family, for cars with too few ads of their model.
with asked as (
    select cars.*
    from unnest(
        %(ids)s::bigint[],
        %(models)s::text[],
        %(families)s::text[],
        %(years)s::integer[],
        %(fuels)s::text[],
        %(gearboxes)s::text[],
        %(bodies)s::text[],
        %(mileages)s::integer[]
    ) as cars (listing_id, model, family, year, fuel, gearbox, body, mileage_km)
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
-- Store valuations; one that is unchanged is not written again.
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

-- name: training_cars
-- The training data of a model, in the order of deals.estimate.cars.Row: ads with a price, each car once, those that
-- are gone with the price that they had, the newest `most` of the last `days`. With `before` it is what was known then:
-- ads that were there, and of which nothing has changed since: no price, title or description of later.
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
    ads.title,
    1970 + extract(epoch from least(ads.last_seen, coalesce(%(before)s, now())))::float8 / 31557600 as seen,
    ads.seller_kind as seller,
    ads.equipment,
    ads.description
from normalized_listings as normal
inner join listings as ads on normal.listing_id = ads.id
where
    (normal.is_comparable or ads.removed_at is not null)
    and normal.duplicate_of is null
    and normal.price_eur > 0
    and normal.model is not null
    and normal.year is not null
    and normal.risk <> 'high'
    and ads.last_seen > coalesce(%(before)s, now()) - make_interval(days => %(days)s)
    and (
        %(before)s::timestamptz is null
        or (
            ads.first_seen < %(before)s
            and greatest(ads.changed_at, ads.detailed_at) < %(before)s
        )
    )
order by ads.last_seen desc, normal.listing_id desc
limit %(most)s;

-- name: later_cars
-- Ads that were first seen from a time on, with their prices, in the order of deals.estimate.cars.Row: what a model of
-- the ads before is measured on.
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
    ads.title,
    null::float8 as seen,
    ads.seller_kind as seller,
    ads.equipment,
    ads.description
from normalized_listings as normal
inner join listings as ads on normal.listing_id = ads.id
where
    normal.is_comparable
    and normal.duplicate_of is null
    and normal.price_eur > 0
    and normal.year is not null
    and ads.first_seen >= %(before)s
order by ads.first_seen asc, normal.listing_id asc
limit %(most)s;

-- name: claim_training
-- Take the lock that lets one process train at a time. It belongs to the session, and ends with it.
select pg_try_advisory_lock(hashtextextended('ops.price_models', 0));

-- name: release_training
-- Release the lock.
select pg_advisory_unlock(hashtextextended('ops.price_models', 0));

-- name: store_model
-- Store a trained model and its measured errors.
insert into ops.price_models (asked_for_as, ads, errors, is_used, reason, body)
values (%(asked_for_as)s, %(ads)s, %(errors)s, %(is_used)s, %(reason)s, %(body)s)
returning version;

-- name: drop_older_bodies
-- Delete the bodies of older models; their figures are kept.
update ops.price_models
set body = null
where
    version < %(version)s
    and asked_for_as = %(asked_for_as)s
    and body is not null;

-- name: newest_model
-- The newest model for cars that are asked for as an ad, or as a lot, and its age in days.
select -- noqa: ST06
    version,
    is_used,
    reason,
    extract(epoch from now() - trained_at)::float8 / 86400 as age,
    errors
from ops.price_models
where asked_for_as = %(asked_for_as)s
order by version desc
limit 1;

-- name: note_by_time
-- Note with the newest model how far a model of a week ago is off on the ads of the week.
update ops.price_models
set errors = errors || jsonb_build_object('by_time', %(by_time)s::jsonb)
where
    version = (
        select max(models.version)
        from ops.price_models as models
        where models.asked_for_as = 'ad'
    );

-- name: measured_model
-- The newest model, and the last errors on later ads (deals.estimate.model.by_time) of the last three days: those of
-- the night before, until the night's are measured.
with measured as (
    select errors -> 'by_time' as by_time
    from ops.price_models
    where
        errors -> 'by_time' is not null
        and trained_at > now() - interval '3 days'
    order by version desc
    limit 1
)

select -- noqa: ST06
    models.trained_at,
    models.is_used,
    models.reason,
    nullif((measured.by_time ->> 'ads')::integer, 0) as ads,
    (measured.by_time ->> 'mdape')::float8 as off,
    (measured.by_time ->> 'coverage_p10_p90')::float8 as inside
from ops.price_models as models
left join measured on true
where models.asked_for_as = 'ad'
order by models.version desc
limit 1;

-- name: model_body
-- The body of a model.
select body
from ops.price_models
where version = %(version)s;

-- name: recent_errors
-- The error of the newest model on ads since its training, beside the measured one.
with newest as (
    select
        version,
        trained_at,
        is_used,
        (errors #>> '{all,mdape}')::float8 as measured
    from ops.price_models
    where asked_for_as = 'ad'
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
-- Stop using a model.
update ops.price_models
set
    is_used = false,
    reason = %(reason)s
where
    version = %(version)s
    and is_used;
