-- The market over time: what the nightly task computes, and what the site reads of it. docs/decisions/0033-market.md
-- defines each figure.

-- name: claim_figures
-- Take the lock that lets one process compute at a time. It ends with the transaction.
select pg_try_advisory_xact_lock(hashtextextended('market_state', 0));

-- name: open_months
-- The months that have to be computed: those that never were, and those whose figures are not of a week after their
-- end or later; with `is_again` all since the first ad.
with bounds as (
    select
        date_trunc('month', min(first_seen) at time zone 'UTC') as oldest,
        date_trunc('month', %(at)s::timestamptz at time zone 'UTC') as newest
    from listings
)

select months.month::date
from bounds
cross join generate_series(bounds.oldest, bounds.newest, interval '1 month') as months (month)
left join market_months as known on months.month = known.month
where
    %(is_again)s
    or known.month is null
    or known.computed_at < (months.month + interval '1 month' + %(settle)s) at time zone 'UTC'
order by months.month;

-- name: note_month
-- Record that a month is computed.
insert into market_months (month, computed_at)
values (%(month)s, %(at)s)
on conflict (month) do update
    set computed_at = excluded.computed_at;

-- name: forget_month
-- Delete the figures of a month, to be written anew in the same transaction.
delete from market_prices
where month = %(month)s;

-- name: compute_month
-- The figures of a month. An ad counts if it was seen in the month: first seen before its end, last seen not before its
-- begin. A car counts once, by the first of its ads whose price counts. The price is the last one in the month, with
-- tax; it counts where the price model would learn from the ad.
with ads as (
    select
        cars.listing_id,
        cars.make,
        cars.family,
        cars.year,
        coalesce(cars.duplicate_of, cars.listing_id) as car,
        case when listings.vat = 'excluded' then %(tax)s::numeric else 1 end as tax,
        (cars.is_comparable or listings.removed_at is not null)
        and cars.price_eur > 0
        and cars.model is not null
        and cars.year <= extract(year from %(month)s::date) + 1
        and cars.risk <> 'high'
        and not coalesce(
            cars.mileage_km >= %(least_km)s
            and cars.mileage_km < %(few_km)s
            and extract(year from %(month)s::date) - cars.year > %(new_enough)s,
            false
        )
        and not exists (
            select
            from unnest(%(models)s::text[], %(last_built)s::integer[]) as built (model, year)
            where
                built.model = cars.model
                and cars.year > built.year + 1
        ) as is_good
    from listings
    inner join normalized_listings as cars on listings.id = cars.listing_id
    where
        listings.first_seen < %(ends)s
        and (listings.removed_at is null or listings.removed_at >= %(begins)s) -- for the indexes
        and listings.last_seen >= %(begins)s
        and cars.make is not null
),

priced as (
    select
        ads.*,
        case
            when ads.is_good and prices.price_eur between %(least_price)s and %(most_price)s
                then prices.price_eur * ads.tax
        end as price
    from ads
    left join lateral (
        select listing_prices.price_eur
        from listing_prices
        where
            ads.is_good
            and listing_prices.listing_id = ads.listing_id
            and listing_prices.seen_at < %(ends)s
        order by listing_prices.seen_at desc
        limit 1
    ) as prices on true
),

cars as (
    select distinct on (car)
        make,
        family,
        year,
        price
    from priced
    order by
        car asc,
        price is null asc,
        listing_id asc
),

measured as (
    select
        coalesce(make, '') as make,
        coalesce(family, '') as family,
        coalesce(year, 0) as year,
        count(*) as ads,
        count(price) as priced,
        percentile_cont(array[0.25, 0.5, 0.75]) within group (order by price::float8) as quartiles
    from cars
    group by grouping sets ((), (make), (make, family), (make, family, year))
    having
        (grouping(family) = 1 or family is not null)
        and (grouping(year) = 1 or year is not null)
        and count(*) > 0
)

insert into market_prices (month, make, family, year, ads, priced, p25, p50, p75)
select
    %(month)s,
    make,
    family,
    year,
    ads,
    priced,
    quartiles[1],
    quartiles[2],
    quartiles[3]
from measured;

-- name: forget_now
-- Delete what was advertised, to be written anew in the same transaction.
delete from market_now;

-- name: compute_now
-- What is advertised, and for how much: cars as in compute_month, of ads that are not known to be gone, with the prices
-- that they have. `is_comparable` is whether the price model learns from an ad.
with ads as (
    select
        cars.listing_id,
        cars.make,
        cars.family,
        cars.year,
        cars.fuel,
        cars.region,
        coalesce(cars.duplicate_of, cars.listing_id) as car,
        case when cars.is_comparable then cars.price_eur end as price
    from listings
    inner join normalized_listings as cars on listings.id = cars.listing_id
    where
        listings.removed_at is null
        and cars.make is not null
),

cars as (
    select distinct on (car)
        make,
        family,
        year,
        fuel,
        region,
        price
    from ads
    order by
        car asc,
        price is null asc,
        listing_id asc
),

measured as (
    select
        coalesce(make, '') as make,
        coalesce(family, '') as family,
        case
            when grouping(year) = 0 then 'year'
            when grouping(fuel) = 0 then 'fuel'
            when grouping(region) = 0 then 'region'
            else ''
        end as split,
        coalesce(year::text, fuel, region, '') as value, -- noqa: RF04
        count(*) as ads,
        count(price) as priced,
        percentile_cont(array[0.25, 0.5, 0.75]) within group (order by price::float8) as quartiles
    from cars
    group by grouping sets (
        (), (make), (make, family), (make, family, year), (make, family, fuel), (make, family, region)
    )
    having
        (grouping(family) = 1 or family is not null)
        and (grouping(year) = 1 or year is not null)
        and (grouping(fuel) = 1 or fuel is not null)
        and (grouping(region) = 1 or region is not null)
        and count(*) > 0
)

insert into market_now (make, family, split, value, ads, priced, p25, p50, p75)
select
    make,
    family,
    split,
    value,
    ads,
    priced,
    quartiles[1],
    quartiles[2],
    quartiles[3]
from measured;

-- name: forget_stays
-- Delete how long ads stay, to be written anew in the same transaction.
delete from market_stays;

-- name: compute_stays
-- How long cars stay advertised, in days of age (day 1 are the first 24 hours since an ad was posted), from what was
-- seen in the last 90 days until the end of the last complete walk of a make. A car that went counts as gone in the
-- middle between when it was last seen and when it was marked gone; one that is still there is watched until it was
-- last seen. Each car counts for the days for which it was watched, whole or in part: `exposed` are the car-days of an
-- age. A day of age counts where it has enough of them; the curve ends before the first one that has not.
with walks as (
    select
        source,
        make_slug,
        max(finished_at) as until
    from ops.listing_walks
    where
        is_complete
        and finished_at <= %(at)s
    group by source, make_slug
),

ads as (
    select
        cars.make,
        cars.family,
        listings.posted_at,
        listings.first_seen,
        walks.until,
        coalesce(cars.duplicate_of, cars.listing_id) as car,
        listings.removed_at is not null and listings.removed_at <= walks.until as is_gone,
        case
            when listings.removed_at <= walks.until
                then listings.last_seen + (listings.removed_at - listings.last_seen) / 2
            else least(listings.last_seen, walks.until)
        end as left_at
    from listings
    inner join walks on listings.source = walks.source and listings.make_slug = walks.make_slug
    inner join normalized_listings as cars on listings.id = cars.listing_id
    where
        (listings.removed_at is null or listings.removed_at > %(at)s - %(window)s)
        and listings.first_seen <= walks.until
        and cars.make is not null
),

cars as (
    select
        min(make) as make,
        min(family) as family,
        max(until) as until,
        bool_and(is_gone) as is_gone,
        greatest(
            extract(epoch from greatest(min(first_seen), %(at)s - %(window)s) - min(posted_at))::float8 / 86400, 0
        ) as entered,
        greatest(extract(epoch from max(left_at) - min(posted_at))::float8 / 86400, 0) as went
    from ads
    group by car
    having max(left_at) >= %(at)s - %(window)s
),

ends as (
    select
        make,
        family,
        until,
        floor(entered)::integer as day,
        1 as came,
        1 - (entered - floor(entered)) as came_for,
        0 as went,
        0::float8 as went_before,
        0 as gone
    from cars
    where went >= entered
    union all
    select
        make,
        family,
        until,
        floor(went)::integer as day,
        0 as came,
        0::float8 as came_for,
        1 as went,
        1 - (went - floor(went)) as went_before,
        is_gone::integer as gone
    from cars
    where went >= entered
),

by_day as (
    select
        day,
        coalesce(make, '') as make,
        coalesce(family, '') as family,
        sum(came) as came,
        sum(came_for) as came_for,
        sum(went) as went,
        sum(went_before) as went_before,
        sum(gone) as gone,
        max(until) as until
    from ends
    group by grouping sets ((day), (make, day), (make, family, day))
    having grouping(family) = 1 or family is not null
),

exposed as (
    select
        make,
        family,
        day,
        came,
        gone,
        until,
        sum(came - went) over up_to as watched_after,
        sum(came - went) over up_to - (came - went) + came_for - went_before as exposed,
        lead(day) over up_to as next_day,
        row_number() over up_to as place
    from by_day
    window up_to as (partition by make, family order by day)
),

curve as (
    select
        *,
        sum(gone / greatest(exposed, %(least_exposed)s::float8)) over up_to as hazard,
        case
            when place = 1 and day > 0 then 0
            when exposed < %(least_exposed)s then day
            when next_day > day + 1 and watched_after < %(least_exposed)s then day + 1
            when next_day is null then day + 1
        end as ends_at
    from exposed
    window up_to as (partition by make, family order by day)
),

ended as (
    select
        *,
        min(ends_at) over (partition by make, family) as followed
    from curve
)

insert into market_stays (
    make, family, watched, gone, followed_days, median_days, gone_in_30_days, watched_until
)
select
    make,
    family,
    sum(came) as watched,
    sum(gone) as gone,
    max(followed) as followed_days,
    case
        when sum(gone) >= %(least_gone)s
            then min(day + 1) filter (where day < followed and hazard >= ln(2::float8))
    end as median_days,
    case
        when sum(gone) >= %(least_gone)s and max(followed) >= 30
            then 1 - exp(-coalesce(max(hazard) filter (where day < 30), 0))
    end as gone_in_30_days,
    max(until) as watched_until
from ended
group by make, family;

-- name: note_figures
-- Record when all figures were computed.
insert into market_state (computed_at)
values (%(at)s)
on conflict (is_only) do update
    set computed_at = excluded.computed_at;

-- name: figures_state
-- When the figures were computed last, since when ads are seen, and how many months and families there are.
select
    (
        select computed_at
        from market_state
    ) as computed_at,
    (
        select min(first_seen)
        from listings
    ) as since,
    (
        select count(*)
        from market_months
    ) as months,
    (
        select count(*)
        from market_now
        where
            split = ''
            and family <> ''
    ) as families;

-- name: families
-- The families that are advertised, with their medians of earlier months: of a make and with these words in the name,
-- unless these are null.
select
    own.make,
    own.family,
    own.ads,
    own.priced,
    own.p25,
    own.p50,
    own.p75,
    before.p50 as p50_before,
    long_before.p50 as p50_long_before,
    stays.median_days,
    stays.gone,
    stays.followed_days,
    stays.gone_in_30_days
from market_now as own
left join market_prices as before
    on
        before.month = %(before)s
        and before.year = 0
        and own.make = before.make
        and own.family = before.family
        and before.priced >= %(least)s
left join market_prices as long_before
    on
        long_before.month = %(long_before)s
        and long_before.year = 0
        and own.make = long_before.make
        and own.family = long_before.family
        and long_before.priced >= %(least)s
left join market_stays as stays
    on
        own.make = stays.make
        and own.family = stays.family
where
    own.split = ''
    and own.family <> ''
    and (%(make)s::text is null or own.make = %(make)s)
    and (%(words)s::text is null or position(%(words)s in lower(own.family)) > 0)
order by
    own.ads desc,
    own.family asc;

-- name: makes
-- The makes that are advertised.
select
    make,
    ads
from market_now
where
    split = ''
    and family = ''
    and make <> ''
order by
    ads desc,
    make asc;

-- name: months
-- The months of a family, by model year too (0: all), oldest first.
select
    month,
    year,
    ads,
    priced,
    p25,
    p50,
    p75
from market_prices
where family = %(family)s
order by
    month asc,
    year asc;

-- name: splits
-- What of a family is advertised: as a whole, and by model year, fuel and region.
select
    make,
    split,
    value,
    ads,
    priced,
    p25,
    p50,
    p75
from market_now
where family = %(family)s
order by
    split asc,
    case when split = 'year' then value end desc,
    ads desc,
    value asc;

-- name: stays
-- How long the cars of a family stay.
select
    watched,
    gone,
    followed_days,
    median_days,
    gone_in_30_days,
    watched_until
from market_stays
where family = %(family)s;

-- name: points
-- The ads of a family that have a price and a mileage, at most so many, evenly of all; and how many there are.
with ads as (
    select
        board.listing_id,
        board.mileage_km,
        board.price_eur,
        board.year,
        count(*) over () as total,
        row_number() over (order by board.listing_id) as place
    from board
    inner join normalized_listings as cars on board.listing_id = cars.listing_id
    where
        not board.is_gone
        and board.family = %(family)s
        and board.duplicate_of is null
        and board.price_eur > 0
        and board.mileage_km between %(least_km)s and %(most_km)s
        and cars.is_comparable
)

select
    listing_id,
    mileage_km,
    price_eur,
    year,
    total
from ads
where place * %(most)s / total > (place - 1) * %(most)s / total
order by listing_id;
