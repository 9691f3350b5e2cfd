-- The board: how it is written, rebuilt and checked, and what the site reads besides its lists.

-- name: write_board
-- Bring the rows of some ads up to date. A row that is right is not written.
merge into board
using (
    select * -- noqa: AM04
    from board_source
    where listing_id = any(%(listing_ids)s::bigint[])
) as source
    on board.listing_id = source.listing_id
when not matched then
    insert values (
        source.listing_id, source.is_gone, source.gone_at, source.duplicate_of, source.score, source.first_seen,
        source.price_eur, source.below_market, source.year, source.mileage_km, source.power_hp, source.make,
        source.family, source.fuel, source.gearbox, source.body, source.color, source.region, source.seller
    )
when matched and (board.*) is distinct from (source.*) then
    update set
        is_gone = source.is_gone,
        gone_at = source.gone_at,
        duplicate_of = source.duplicate_of,
        score = source.score,
        first_seen = source.first_seen,
        price_eur = source.price_eur,
        below_market = source.below_market,
        year = source.year,
        mileage_km = source.mileage_km,
        power_hp = source.power_hp,
        make = source.make,
        family = source.family,
        fuel = source.fuel,
        gearbox = source.gearbox,
        body = source.body,
        color = source.color,
        region = source.region,
        seller = source.seller;

-- name: lock_board
-- Keep the stage `score` from writing the board until the transaction ends; reading goes on.
lock table board in share row exclusive mode;

-- name: rebuild_board
-- Bring all rows up to date. A row that is right is not written.
merge into board
using board_source as source
    on board.listing_id = source.listing_id
when not matched then
    insert values (
        source.listing_id, source.is_gone, source.gone_at, source.duplicate_of, source.score, source.first_seen,
        source.price_eur, source.below_market, source.year, source.mileage_km, source.power_hp, source.make,
        source.family, source.fuel, source.gearbox, source.body, source.color, source.region, source.seller
    )
when matched and (board.*) is distinct from (source.*) then
    update set
        is_gone = source.is_gone,
        gone_at = source.gone_at,
        duplicate_of = source.duplicate_of,
        score = source.score,
        first_seen = source.first_seen,
        price_eur = source.price_eur,
        below_market = source.below_market,
        year = source.year,
        mileage_km = source.mileage_km,
        power_hp = source.power_hp,
        make = source.make,
        family = source.family,
        fuel = source.fuel,
        gearbox = source.gearbox,
        body = source.body,
        color = source.color,
        region = source.region,
        seller = source.seller;

-- name: remove_from_board
-- Remove the rows of ads that do not belong on the board.
delete from board
where not exists (
    select
    from board_source as source
    where source.listing_id = board.listing_id
);

-- name: expire_board
-- Remove ads from the board that went long ago, and their words.
with expired as (
    delete from board
    where
        board.is_gone
        and board.gone_at <= now() - interval '60 days'
    returning board.listing_id
)

delete from listing_words
using expired
where listing_words.listing_id = expired.listing_id;

-- name: queue_wordless
-- Queue advertised ads without words for the stage that writes these.
insert into ops.deal_outbox (listing_id, stage, change)
select
    board.listing_id,
    'normalize' as stage,
    'changed' as change
from board
left join listing_words as words on board.listing_id = words.listing_id
where
    not board.is_gone
    and words.listing_id is null
order by board.listing_id
on conflict (listing_id, stage) do nothing;

-- name: compare_board
-- Compare the board with what it has to be, for so many ads behind a random one (null: for all): how many were
-- compared, how many rows are missing, wrong or too many, and how many advertised ads have no words. Ads that wait for
-- a stage are left out; those that went 60 days ago are removed within the hour.
with first as materialized (
    select floor(random() * max(id))::bigint as id
    from listings
    where %(count)s::bigint is not null
),

picked as materialized (
    select ads.id
    from listings as ads
    where
        ads.id > coalesce((select first.id from first), 0)
        and not exists (
            select
            from ops.deal_outbox as work
            where work.listing_id = ads.id
        )
    order by ads.id
    limit %(count)s::bigint
),

compared as (
    select
        picked.id,
        board.listing_id is not null as is_there,
        source.listing_id is not null as is_due,
        coalesce(board <> source, false) as is_wrong, -- noqa: RF02,RF03
        board.listing_id is not null
        and source.listing_id is null
        and coalesce(
            board.gone_at not between now() - interval '61 days' and now() - interval '60 days', true
        ) as is_surplus,
        source.listing_id is not null and not source.is_gone and words.listing_id is null as is_wordless
    from picked
    left join board_source as source on picked.id = source.listing_id
    left join board on picked.id = board.listing_id
    left join listing_words as words on picked.id = words.listing_id
)

select
    count(*) as ads,
    count(*) filter (where is_due and not is_there) as missing,
    count(*) filter (where is_wrong) as wrong,
    count(*) filter (where is_surplus) as surplus,
    count(*) filter (where is_wordless) as wordless
from compared;

-- name: cards
-- What the cards of some ads on the board show, in the order of their ids. `prices` are the last twelve.
select
    board.listing_id,
    ads.title,
    ads.url,
    board.make,
    board.family,
    board.year,
    cars.month,
    board.mileage_km,
    board.power_hp,
    board.fuel,
    board.gearbox,
    board.body,
    board.color,
    board.region,
    ads.place,
    board.seller,
    board.price_eur,
    worth.p10,
    worth.p50,
    worth.p90,
    board.below_market,
    board.score,
    scores.is_approved,
    scores.reasons,
    cars.risk,
    cars.risks,
    prices.prices,
    prices.seen,
    ads.posted_at,
    board.first_seen,
    board.gone_at,
    coalesce(worth.comparables, 0) as comparables,
    coalesce(worth.confidence, 0) as confidence,
    cardinality(ads.photo_urls) as photos
from unnest(%(listing_ids)s::bigint[]) with ordinality as asked (listing_id, place)
inner join board on asked.listing_id = board.listing_id
inner join listings as ads on asked.listing_id = ads.id
inner join normalized_listings as cars on asked.listing_id = cars.listing_id
inner join scores on asked.listing_id = scores.listing_id
left join valuations as worth on asked.listing_id = worth.listing_id
cross join lateral ( -- noqa: ST05
    select
        array_agg(price_eur order by seen_at) as prices,
        array_agg(seen_at order by seen_at) as seen
    from (
        select
            listing_prices.price_eur,
            listing_prices.seen_at
        from listing_prices
        where listing_prices.listing_id = asked.listing_id
        order by listing_prices.seen_at desc
        limit 12
    ) as latest
) as prices
order by asked.place;

-- name: ad
-- An ad with everything that is one row of it.
select
    ads.id as listing_id,
    ads.source,
    ads.ad_id,
    ads.title,
    ads.url,
    ads.description,
    ads.equipment,
    ads.photo_urls,
    cars.make,
    cars.model,
    cars.family,
    ads.year,
    ads.month,
    ads.mileage_km,
    ads.power_hp,
    ads.engine_cc,
    ads.euro_class,
    cars.fuel,
    cars.gearbox,
    cars.body,
    cars.colour as color,
    cars.region,
    ads.place,
    ads.seller_kind as seller,
    ads.vat,
    cars.price_eur,
    cars.price_problem,
    ads.posted_at,
    ads.first_seen,
    ads.last_seen,
    ads.changed_at,
    ads.removed_at as gone_at,
    cars.duplicate_of,
    cars.risk,
    cars.risks,
    scores.score,
    scores.is_approved,
    scores.parts,
    scores.reasons,
    scores.scored_at,
    worth.p10,
    worth.p50,
    worth.p90,
    worth.comparables as cars_compared,
    worth.confidence,
    worth.method,
    worth.details,
    worth.valued_at
from listings as ads
left join normalized_listings as cars on ads.id = cars.listing_id
left join valuations as worth on ads.id = worth.listing_id
left join scores on ads.id = scores.listing_id
where ads.id = %(listing_id)s::bigint;

-- name: ad_prices
-- The prices of an ad, the first one first.
select
    price_eur,
    seen_at
from listing_prices
where listing_id = %(listing_id)s::bigint
order by seen_at;

-- name: ad_comparables
-- The cars that an estimate rests on, with their prices carried over to the ad: the one with the most weight first.
select
    ads.id as listing_id,
    ads.title,
    ads.url,
    cars.year,
    cars.mileage_km,
    cars.power_hp,
    cars.fuel,
    cars.gearbox,
    cars.price_eur,
    asked.carried_eur,
    ads.removed_at as gone_at
from
    unnest(%(listing_ids)s::bigint[], %(carried)s::numeric[])
    with ordinality as asked (listing_id, carried_eur, place)
inner join listings as ads on asked.listing_id = ads.id
inner join normalized_listings as cars on asked.listing_id = cars.listing_id
order by asked.place;

-- name: ad_duplicates
-- The other ads of the car whose first ad is `first_id`.
select
    ads.id as listing_id,
    ads.title,
    ads.url,
    cars.price_eur,
    ads.seller_kind as seller,
    ads.posted_at,
    ads.removed_at as gone_at,
    ads.id = %(first_id)s::bigint as is_first
from normalized_listings as cars
inner join listings as ads on cars.listing_id = ads.id
where
    (cars.listing_id = %(first_id)s::bigint or cars.duplicate_of = %(first_id)s::bigint)
    and cars.listing_id <> %(listing_id)s::bigint
order by
    is_first desc,
    ads.posted_at asc,
    ads.id asc;

-- name: photo_urls
-- The addresses of an ad's photos.
select photo_urls
from listings
where id = %(listing_id)s::bigint;

-- name: facets
-- How many cars of each make, family and so on are advertised.
select -- noqa: ST06
    case
        when grouping(make, family) = 0 then 'family'
        when grouping(make) = 0 then 'make'
        when grouping(fuel) = 0 then 'fuel'
        when grouping(gearbox) = 0 then 'gearbox'
        when grouping(body) = 0 then 'body'
        when grouping(color) = 0 then 'color'
        when grouping(region) = 0 then 'region'
        else 'seller'
    end as field,
    coalesce(family, case when grouping(family) = 1 then coalesce(make, fuel, gearbox, body, color, region, seller) end)
        as value,
    count(*) as ads,
    case when grouping(make, family) = 0 then make end as make
from board
where
    not is_gone
    and duplicate_of is null
group by grouping sets ((make, family), (make), (fuel), (gearbox), (body), (color), (region), (seller))
order by
    ads desc,
    value asc;

-- name: export_rows
-- Rows of the CSV for some ads, in the order of their ids.
select -- noqa: ST06
    ads.id as listing_id,
    ads.title,
    cars.make,
    cars.model,
    cars.family,
    cars.year,
    cars.month,
    cars.mileage_km,
    cars.power_hp,
    cars.fuel,
    cars.gearbox,
    cars.body,
    cars.colour as color,
    cars.region,
    ads.place,
    ads.seller_kind as seller,
    cars.price_eur,
    worth.p10,
    worth.p50,
    worth.p90,
    board.below_market,
    worth.comparables,
    worth.confidence,
    board.score,
    array_to_string(scores.reasons, '; ') as reasons,
    cars.risk,
    ads.posted_at,
    ads.first_seen,
    ads.removed_at as gone_at,
    ads.url
from unnest(%(listing_ids)s::bigint[]) with ordinality as asked (listing_id, place)
inner join board on asked.listing_id = board.listing_id
inner join listings as ads on asked.listing_id = ads.id
inner join normalized_listings as cars on asked.listing_id = cars.listing_id
inner join scores on asked.listing_id = scores.listing_id
left join valuations as worth on asked.listing_id = worth.listing_id
order by asked.place;
