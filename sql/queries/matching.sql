-- Matching: which watches a car is found for, set-wise for a batch of ads.

-- name: match
-- Record the hits of some ads, of some watches only (null: of all), in a state. A car is a hit of a watch if it fits,
-- and is new to it: its ad came after the watch was saved (or shortly before, while it still waited for its score), or
-- its price was lowered since then, to one that fits, from one that did not. A car that is a hit already only gets its
-- lower price; one that stays as it is is left out, as an insert that meets its row would lock it. Ads and hits are
-- looked up one by one: for hundreds of ids the planner else walks a whole index of the board, or reads all hits. Cars
-- are put in the order of their key, so that two batches at once cannot deadlock.
with fresh as materialized (
    select
        board.listing_id,
        listings.price_eur as listed_eur,
        cars.model,
        cars.year,
        cars.month,
        cars.fuel,
        cars.gearbox,
        cars.body,
        cars.power_hp,
        cars.colour,
        cars.region,
        cars.mileage_km
    from unnest(%(listing_ids)s::bigint[]) as asked (listing_id)
    inner join board on asked.listing_id = board.listing_id
    inner join listings on asked.listing_id = listings.id
    inner join normalized_listings as cars on asked.listing_id = cars.listing_id
    where
        not board.is_gone
        and board.duplicate_of is null
),

-- A car that was advertised before, in an ad that is gone, is the same car.
cars as materialized (
    select
        fresh.listing_id,
        fresh.listed_eur,
        least(fresh.listing_id, earlier.listing_id)::text as car
    from fresh
    left join lateral ( -- noqa: ST05
        select min(same.listing_id) as listing_id
        from normalized_listings as same
        inner join listings as gone on same.listing_id = gone.id
        where
            same.model = fresh.model
            and same.year = fresh.year
            and same.month = fresh.month
            and same.mileage_km between fresh.mileage_km - 1000 and fresh.mileage_km + 1000
            and fresh.mileage_km > 1000
            and same.listing_id < fresh.listing_id
            and same.fuel is not distinct from fresh.fuel
            and same.gearbox is not distinct from fresh.gearbox
            and same.body is not distinct from fresh.body
            and same.power_hp is not distinct from fresh.power_hp
            and same.colour is not distinct from fresh.colour
            and same.region is not distinct from fresh.region
            and gone.removed_at > now() - interval '180 days'
    ) as earlier on true
),

fits as materialized (
    select
        watch_fits.*,
        cars.car,
        cars.listed_eur
    from cars
    inner join watch_fits on cars.listing_id = watch_fits.listing_id
    where %(watch_ids)s::bigint[] is null or watch_fits.watch_id = any(%(watch_ids)s::bigint[]) -- noqa: RF02
),

found as (
    select distinct on (fits.watch_id, fits.car)
        fits.watch_id,
        fits.car,
        fits.listing_id,
        fits.version,
        fits.price_eur,
        fits.score,
        already.is_known,
        already.listing_id as known_id,
        already.price_eur as known_eur
    from fits
    left join lateral ( -- noqa: ST05
        select
            true as is_known,
            watch_hits.listing_id,
            watch_hits.price_eur
        from watch_hits
        where
            watch_hits.watch_id = fits.watch_id
            and watch_hits.car = fits.car
        limit 1
    ) as already on true
    where
        already.is_known
        or fits.first_seen > fits.since - interval '1 hour'
        or exists (
            select
            from ( -- noqa: ST05
                select fits.price_eur * listing_prices.price_eur / nullif(fits.listed_eur, 0) as was_eur
                from listing_prices
                where
                    listing_prices.listing_id = fits.listing_id
                    and listing_prices.seen_at <= fits.since
                order by listing_prices.seen_at desc
                limit 1
            ) as saved
            where
                fits.price_eur < coalesce(saved.was_eur, 'Infinity')
                and (
                    coalesce(saved.was_eur, 'Infinity') > fits.price_to
                    or 100 - (100 - fits.below_market) * saved.was_eur / nullif(fits.price_eur, 0) < fits.least_below
                    or (fits.min_score is not null and fits.price_eur <= 0.97 * saved.was_eur)
                )
        )
    order by
        fits.watch_id asc,
        fits.car asc,
        fits.listing_id desc
)

insert into watch_hits as known (watch_id, car, listing_id, version, price_eur, score, state)
select
    found.watch_id,
    found.car,
    found.listing_id,
    found.version,
    found.price_eur,
    found.score,
    %(state)s as state
from found
where
    found.is_known is null
    or found.known_id is distinct from found.listing_id
    or found.price_eur < coalesce(found.known_eur, 'Infinity')
order by
    found.watch_id asc,
    found.car asc
on conflict (watch_id, car) do update
    set
        listing_id = excluded.listing_id,
        price_eur = least(known.price_eur, excluded.price_eur),
        dropped_at = case
            when excluded.price_eur < known.price_eur then clock_timestamp()
            else known.dropped_at
        end
    where
        known.listing_id is distinct from excluded.listing_id
        or excluded.price_eur < coalesce(known.price_eur, 'Infinity');

-- name: begin_watch
-- From now on the watch finds what comes.
update watches
set since = clock_timestamp()
where id = %(watch_id)s;

-- name: lately_seen
-- Ads on the board that were first seen within the last hour: their stage may still come by.
select listing_id
from board
where
    not is_gone
    and first_seen > now() - interval '1 hour';

-- name: still_fit
-- Which of some watches which of some ads fit as they are now.
select
    watch_id,
    listing_id
from watch_fits
where
    watch_id = any(%(watch_ids)s::bigint[])
    and listing_id = any(%(listing_ids)s::bigint[]);
