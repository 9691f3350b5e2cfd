-- Normalized ads, and links between those that show the same car.

-- name: read_listings
-- The ads of a batch as they were crawled.
select
    id as listing_id,
    title,
    make_text,
    model_text,
    price_eur,
    vat,
    year,
    month,
    mileage_km,
    fuel,
    gearbox,
    body,
    power_hp,
    engine_cc,
    colour,
    region,
    description,
    equipment
from listings
where id = any(%(listing_ids)s::bigint[])
order by id;

-- name: take_turn
-- Batches are written one after the other: of two that are written at once, neither would see the cars of the other,
-- and a car in both would not be linked.
select pg_advisory_xact_lock(hashtextextended('normalized_listings', 0));

-- name: save_normalized
-- Store the normalized ads of a batch; one that is unchanged is not written again. Links to other ads are kept.
with batch as (
    select ad.*
    from
        jsonb_to_recordset(%(ads)s::jsonb) as ad (
            listing_id bigint,
            make text,
            model text,
            family text,
            fuel text,
            gearbox text,
            body text,
            colour text,
            region text,
            year smallint,
            month smallint,
            mileage_km integer,
            power_hp integer,
            engine_cc integer,
            price_eur numeric,
            price_problem text,
            risk text,
            risks jsonb,
            guesses jsonb,
            unknowns jsonb,
            is_comparable boolean
        )
)

insert into normalized_listings as normal (
    listing_id, make, model, family, fuel, gearbox, body, colour, region, year, month, mileage_km, power_hp, engine_cc,
    price_eur, price_problem, risk, risks, guesses, unknowns, is_comparable
)
select -- noqa: LT09
    listing_id, make, model, family, fuel, gearbox, body, colour, region, year, month, mileage_km, power_hp, engine_cc,
    price_eur, price_problem, risk, risks, guesses, unknowns, is_comparable
from batch
order by listing_id
on conflict (listing_id) do update
    set
        make = excluded.make,
        model = excluded.model,
        family = excluded.family,
        fuel = excluded.fuel,
        gearbox = excluded.gearbox,
        body = excluded.body,
        colour = excluded.colour,
        region = excluded.region,
        year = excluded.year,
        month = excluded.month,
        mileage_km = excluded.mileage_km,
        power_hp = excluded.power_hp,
        engine_cc = excluded.engine_cc,
        price_eur = excluded.price_eur,
        price_problem = excluded.price_problem,
        risk = excluded.risk,
        risks = excluded.risks,
        guesses = excluded.guesses,
        unknowns = excluded.unknowns,
        is_comparable = excluded.is_comparable,
        normalized_at = now()
    where
        (
            normal.make, normal.model, normal.family, normal.fuel, normal.gearbox, normal.body, normal.colour,
            normal.region, normal.year, normal.month, normal.mileage_km, normal.power_hp, normal.engine_cc,
            normal.price_eur, normal.price_problem, normal.risk, normal.risks, normal.guesses, normal.unknowns,
            normal.is_comparable
        )
        is distinct from
        (
            excluded.make, excluded.model, excluded.family, excluded.fuel, excluded.gearbox, excluded.body,
            excluded.colour, excluded.region, excluded.year, excluded.month, excluded.mileage_km, excluded.power_hp,
            excluded.engine_cc, excluded.price_eur, excluded.price_problem, excluded.risk, excluded.risks,
            excluded.guesses, excluded.unknowns, excluded.is_comparable
        );

-- name: save_words
-- Store the words of the ads of a batch that are on the board, or will be; those that are unchanged are not written.
insert into listing_words as known (listing_id, words)
select
    ad.listing_id,
    array_to_tsvector(ad.words)
from jsonb_to_recordset(%(ads)s::jsonb) as ad (listing_id bigint, words text[])
inner join listings on ad.listing_id = listings.id
where
    listings.removed_at is null
    or listings.removed_at > now() - interval '60 days'
order by ad.listing_id
on conflict (listing_id) do update
    set words = excluded.words
    where known.words <> excluded.words;

-- name: save_vins
-- Store the VINs that the ads of a batch name, and remove those that they name no more.
with named as (
    select
        ad.listing_id,
        vins.vin
    from jsonb_to_recordset(%(ads)s::jsonb) as ad (listing_id bigint, vins text[])
    inner join listings on ad.listing_id = listings.id
    cross join unnest(ad.vins) as vins (vin)
),

removed as (
    delete from listing_vins as known
    where
        known.listing_id in (
            select ad.listing_id
            from jsonb_to_recordset(%(ads)s::jsonb) as ad (listing_id bigint)
        )
        and not exists (
            select
            from named
            where
                named.listing_id = known.listing_id
                and named.vin = known.vin
        )
)

insert into listing_vins (listing_id, vin)
select
    named.listing_id,
    named.vin
from named
order by
    named.listing_id asc,
    named.vin asc
on conflict (listing_id, vin) do nothing;

-- name: unlink_unknown
-- Remove the links of ads whose model or month is not known.
update normalized_listings
set duplicate_of = null
where
    listing_id = any(%(listing_ids)s::bigint[])
    and duplicate_of is not null
    and (model is null or year is null or month is null);

-- name: cars_beside
-- The cars that differ only in price and mileage from those of a batch, or from those that are linked to one of them;
-- `alike` numbers the groups. By index, and then one by one (offset 0): for a join the planner would read all ads.
with touched as (
    select
        model,
        year,
        month,
        fuel,
        gearbox,
        body,
        power_hp,
        colour,
        region
    from normalized_listings
    where listing_id = any(%(listing_ids)s::bigint[])
    union
    select
        model,
        year,
        month,
        fuel,
        gearbox,
        body,
        power_hp,
        colour,
        region
    from normalized_listings
    where duplicate_of = any(%(listing_ids)s::bigint[])
),

kinds as (
    select
        *,
        row_number() over () as alike
    from touched
)

select
    kinds.alike,
    cars.listing_id,
    cars.duplicate_of,
    cars.mileage_km,
    cars.price_eur,
    ads.posted_at,
    ads.is_there
from kinds
cross join lateral (
    select
        normal.listing_id,
        normal.duplicate_of,
        normal.mileage_km,
        normal.price_eur
    from normalized_listings as normal
    where
        normal.model = kinds.model
        and normal.year = kinds.year
        and normal.month = kinds.month
        and normal.fuel is not distinct from kinds.fuel
        and normal.gearbox is not distinct from kinds.gearbox
        and normal.body is not distinct from kinds.body
        and normal.power_hp is not distinct from kinds.power_hp
        and normal.colour is not distinct from kinds.colour
        and normal.region is not distinct from kinds.region
    offset 0
) as cars
cross join lateral (
    select
        listings.posted_at,
        listings.removed_at is null as is_there
    from listings
    where listings.id = cars.listing_id
    offset 0
) as ads;

-- name: link_duplicates
-- Link ads to the first ad of the same car, or remove their links.
update normalized_listings as normal
set duplicate_of = links.duplicate_of
from unnest(%(listing_ids)s::bigint[], %(duplicates_of)s::bigint[]) as links (listing_id, duplicate_of)
where normal.listing_id = links.listing_id;

-- name: queue_linked
-- Queue ads whose link changed for scoring, except those that will get there by themselves.
insert into ops.deal_outbox (listing_id, stage, change)
select
    linked.listing_id,
    'score' as stage,
    'changed' as change
from unnest(%(listing_ids)s::bigint[]) as linked (listing_id)
where not exists (
    select
    from ops.deal_outbox as work
    where
        work.listing_id = linked.listing_id
        and work.stage in ('normalize', 'price')
        and work.dead_at is null
)
order by linked.listing_id
on conflict (listing_id, stage) do update
    set queued_at = clock_timestamp();

-- name: unknown_words
-- The words of active ads that are not in the vocabulary, most frequent first, each with an example.
select
    unknowns.field,
    unknowns.text,
    count(*) as ads,
    min(normal.listing_id) as example
from listings as ads
cross join lateral (
    select
        normalized_listings.listing_id,
        normalized_listings.unknowns
    from normalized_listings
    where
        normalized_listings.listing_id = ads.id
        and normalized_listings.unknowns <> '[]'
    limit 1 -- looked up for each active ad: a join would read those of all ads that ever were
) as normal
cross join jsonb_to_recordset(normal.unknowns) as unknowns (field text, text text)
where ads.removed_at is null
group by unknowns.field, unknowns.text
order by
    ads desc,
    unknowns.field asc,
    unknowns.text asc
limit %(count)s;

-- name: unknown_rate
-- How many ads are active, and of how many of them the model is not known.
select
    count(*) as ads,
    count(*) filter (where normal.model is null) as unknown,
    coalesce(avg((normal.model is null)::integer), 0)::float8 as rate
from listings as ads
cross join lateral (
    select normalized_listings.model
    from normalized_listings
    where normalized_listings.listing_id = ads.id
    limit 1 -- looked up for each active ad: a join would read those of all ads that ever were
) as normal
where ads.removed_at is null;
