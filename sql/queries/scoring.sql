-- Scores of ads: the facts they are scored by, the results, and what the command line shows.

-- name: read_facts
-- The facts by which these ads are scored, one row each, whether they are normalized and priced or not. `dropped_by` is
-- the last change of the price, if it was lowered.
with asked as (
    select id as listing_id
    from unnest(%(listing_ids)s::bigint[]) as asked (id)
),

prices as (
    select
        listing_id,
        price_eur,
        seen_at,
        lag(price_eur) over earlier_first as price_before,
        row_number() over (partition by listing_id order by seen_at desc) as from_last
    from listing_prices
    where listing_id = any(%(listing_ids)s::bigint[])
    window earlier_first as (partition by listing_id order by seen_at)
)

select
    asked.listing_id,
    ads.posted_at,
    ads.title,
    cars.model,
    cars.year,
    cars.mileage_km,
    cars.power_hp,
    cars.price_eur,
    cars.price_problem,
    cars.risk,
    cars.risks,
    firsts.id as first_ad,
    worth.p10,
    worth.p50,
    worth.p90,
    demand.gone as models_gone,
    demand.median_days,
    prices.seen_at as priced_at,
    ads.removed_at is not null as is_gone,
    coalesce(worth.comparables, 0) as comparables,
    coalesce(worth.confidence, 0) as confidence,
    case when prices.price_eur < prices.price_before then 1 - prices.price_eur / prices.price_before end as dropped_by
from asked
inner join listings as ads on asked.listing_id = ads.id
left join normalized_listings as cars on asked.listing_id = cars.listing_id
left join listings as firsts on cars.duplicate_of = firsts.id and firsts.removed_at is null
left join valuations as worth on asked.listing_id = worth.listing_id
left join model_demand as demand on cars.model = demand.model
left join prices on asked.listing_id = prices.listing_id and prices.from_last = 1;

-- name: write_scores
-- Store scores in the order of the ads, so that two processes at once cannot deadlock. A score that is unchanged is not
-- written, and keeps its scored_at.
insert into scores (listing_id, score, parts, reasons, is_approved)
select
    scored.listing_id,
    scored.score,
    scored.parts,
    scored.reasons,
    scored.is_approved
from jsonb_to_recordset(%(scores)s::jsonb) as scored (
    listing_id bigint, score numeric(3, 1), parts jsonb, reasons text[], is_approved boolean
)
order by scored.listing_id
on conflict (listing_id) do update set
    score = excluded.score,
    parts = excluded.parts,
    reasons = excluded.reasons,
    is_approved = excluded.is_approved,
    scored_at = now()
where
    (scores.score, scores.parts, scores.reasons, scores.is_approved)
    is distinct from (excluded.score, excluded.parts, excluded.reasons, excluded.is_approved);

-- name: refresh_demand
-- How many cars of each model are advertised, how many ads ended in the last 30 days, and after how many days half of
-- those. A car that is advertised twice counts once, by its first ad. An ad that ended need not be a car that was sold.
with measured as (
    select
        cars.model,
        count(*) filter (where ads.removed_at is null) as active,
        count(*) filter (where ads.removed_at > now() - interval '30 days') as gone,
        percentile_cont(0.5) within group (
            order by extract(epoch from ads.removed_at - ads.posted_at) / 86400
        ) filter (where ads.removed_at > now() - interval '30 days') as median_days
    from normalized_listings as cars
    inner join listings as ads on cars.listing_id = ads.id
    where
        cars.model is not null
        and cars.duplicate_of is null
        and (ads.removed_at is null or ads.removed_at > now() - interval '30 days')
    group by cars.model
),

forgotten as (
    delete from model_demand
    where model not in (select measured.model from measured)
)

insert into model_demand (model, active, gone, median_days)
select
    model,
    active,
    gone,
    greatest(median_days, 0)
from measured
order by model
on conflict (model) do update set
    active = excluded.active,
    gone = excluded.gone,
    median_days = excluded.median_days,
    measured_at = now();

-- name: top_deals
-- The best active ads: those worth a message first, then the others, each by its score; only those of a make, a family
-- (or a model, with or without its make in front), a price and years, unless these are null. `difference` is that of
-- the price to the estimate, in per cent of the estimate.
with wanted as (
    select
        %(max_price)s::numeric as max_price,
        %(from_year)s::integer as from_year,
        %(to_year)s::integer as to_year,
        lower(%(make)s::text) as make,
        lower(%(family)s::text) as family
)

select
    scores.listing_id,
    ads.title,
    ads.year,
    cars.price_eur,
    worth.p50,
    worth.confidence,
    scores.score,
    scores.is_approved,
    scores.reasons,
    ads.url,
    round(100 * (cars.price_eur / worth.p50 - 1), 1) as difference,
    coalesce(worth.comparables, 0) as comparables
from scores
cross join wanted
inner join listings as ads on scores.listing_id = ads.id
left join normalized_listings as cars on scores.listing_id = cars.listing_id
left join valuations as worth on scores.listing_id = worth.listing_id
where
    ads.removed_at is null
    and (wanted.make is null or lower(cars.make) = wanted.make)
    and (
        wanted.family is null
        or lower(cars.family) in (wanted.family, lower(cars.make) || ' ' || wanted.family)
        or lower(cars.model) in (wanted.family, lower(cars.make) || ' ' || wanted.family)
    )
    and (wanted.max_price is null or cars.price_eur <= wanted.max_price)
    and (wanted.from_year is null or ads.year >= wanted.from_year)
    and (wanted.to_year is null or ads.year <= wanted.to_year)
order by
    scores.is_approved desc,
    scores.score desc,
    scores.listing_id desc
limit %(limit)s;

-- name: deal
-- An ad with everything that is stored about it, by its id here or on its site.
select
    ads.id as listing_id,
    ads.title,
    ads.url,
    scores.score,
    scores.is_approved,
    scores.reasons,
    scores.parts,
    scores.scored_at,
    to_jsonb(ads) - 'list_hash' as listing,
    to_jsonb(cars) - 'listing_id' as normalized,
    to_jsonb(worth) - 'listing_id' as valuation,
    (
        select jsonb_agg(to_jsonb(prices) - 'listing_id' order by prices.seen_at)
        from listing_prices as prices
        where prices.listing_id = ads.id
    ) as prices,
    (
        select jsonb_agg(to_jsonb(messages) - 'listing_id' order by messages.id)
        from notifications as messages
        where messages.listing_id = ads.id
    ) as notifications,
    (
        select jsonb_agg(others.listing_id order by others.listing_id)
        from normalized_listings as others
        where others.duplicate_of = ads.id
    ) as duplicates
from listings as ads
left join normalized_listings as cars on ads.id = cars.listing_id
left join valuations as worth on ads.id = worth.listing_id
left join scores on ads.id = scores.listing_id
where
    ads.id = case when length(%(id)s::text) < 19 then %(id)s::text::bigint end
    or ads.ad_id = %(id)s::text
order by ads.ad_id = %(id)s::text;

-- name: comparables
-- Ads that an estimate rests on, in the order of their ids in it: the one with the most weight first.
select
    ads.id as listing_id,
    ads.title,
    ads.year,
    ads.mileage_km,
    cars.price_eur,
    ads.url,
    ads.removed_at
from unnest(%(listing_ids)s::bigint[]) with ordinality as asked (id, place)
inner join listings as ads on asked.id = ads.id
left join normalized_listings as cars on ads.id = cars.listing_id
order by asked.place;
