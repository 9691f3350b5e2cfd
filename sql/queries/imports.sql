-- Import deals: the lots of a batch, their values, what is queued anew, and what is measured.

-- name: read_lots
-- The lots of a batch with their vehicles, in the order of deals.lots.facts.Lot.
select -- noqa: ST06
    lots.id as lot_id,
    lots.row_hash as lot_hash,
    lots.status,
    lots.vin,
    vehicles.vehicle_type,
    vehicles.year,
    vehicles.make,
    vehicles.model_group,
    vehicles.model as model_detail,
    vehicles.body_style,
    vehicles.color,
    vehicles.engine,
    vehicles.transmission,
    vehicles.fuel,
    lots.odometer,
    lots.odometer_brand,
    lots.damage,
    lots.secondary_damage,
    lots.title_state,
    lots.title_type,
    lots.title_group,
    lots.has_keys,
    lots.condition,
    lots.sale_date,
    lots.sale_at,
    lots.country,
    lots.currency,
    lots.special_note,
    lots.yard_name,
    lots.state,
    lots.high_bid,
    lots.buy_now_price,
    lots.repair_cost
from lots
inner join vehicles on lots.vehicle_id = vehicles.id
where lots.id = any(%(lot_ids)s::bigint[])
order by lots.id;

-- name: powers
-- The usual power of these models, by fuel and litres, where at least three ads give it.
select
    model,
    fuel,
    round(engine_cc / 1000.0, 1)::float8 as litres,
    percentile_cont(0.5) within group (order by power_hp) as power_hp
from normalized_listings
where
    model = any(%(models)s::text[])
    and power_hp is not null
    and engine_cc is not null
group by
    model,
    fuel,
    round(engine_cc / 1000.0, 1)
having count(*) >= 3;

-- name: save_values
-- Store the values of lots; one that is the same is not written again.
insert into lot_values as known (
    lot_id, lot_hash, basis, model, family, fuel, year, mileage_km, twin, p10, p20, p50, p90, comparables, confidence,
    method, blockers, details
)
select
    found.lot_id,
    decode(found.lot_hash, 'hex'),
    found.basis,
    found.model,
    found.family,
    found.fuel,
    found.year,
    found.mileage_km,
    found.twin,
    found.p10,
    found.p20,
    found.p50,
    found.p90,
    found.comparables,
    found.confidence,
    found.method,
    found.blockers,
    found.details
from
    jsonb_to_recordset(%(values)s::jsonb) as found (
        lot_id bigint,
        lot_hash text,
        basis text,
        model text,
        family text,
        fuel text,
        year smallint,
        mileage_km integer,
        twin text,
        p10 integer,
        p20 integer,
        p50 integer,
        p90 integer,
        comparables integer,
        confidence real,
        method text,
        blockers jsonb,
        details jsonb
    )
order by found.lot_id
on conflict (lot_id) do update
    set
        lot_hash = excluded.lot_hash,
        basis = excluded.basis,
        model = excluded.model,
        family = excluded.family,
        fuel = excluded.fuel,
        year = excluded.year,
        mileage_km = excluded.mileage_km,
        twin = excluded.twin,
        p10 = excluded.p10,
        p20 = excluded.p20,
        p50 = excluded.p50,
        p90 = excluded.p90,
        comparables = excluded.comparables,
        confidence = excluded.confidence,
        method = excluded.method,
        blockers = excluded.blockers,
        details = excluded.details,
        valued_at = now()
    where
        (
            known.lot_hash, known.basis, known.model, known.family, known.fuel, known.year, known.mileage_km,
            known.twin, known.p10, known.p20, known.p50, known.p90, known.comparables, known.confidence, known.method,
            known.blockers, known.details
        )
        is distinct from
        (
            excluded.lot_hash, excluded.basis, excluded.model, excluded.family, excluded.fuel, excluded.year,
            excluded.mileage_km, excluded.twin, excluded.p10, excluded.p20, excluded.p50, excluded.p90,
            excluded.comparables, excluded.confidence, excluded.method, excluded.blockers, excluded.details
        );

-- name: queue_changed_lots
-- Queue the active lots that changed since they were valued, or were valued on another basis or never; and lots that
-- left the feed while they were ranked, whose quote has to leave the ranking.
with changed as (
    select lots.id as lot_id
    from lots
    left join lot_values as known on lots.id = known.lot_id
    where
        lots.status = 'active'
        and (known.lot_hash, known.basis) is distinct from (lots.row_hash, %(basis)s)
),

gone as (
    select ranked.lot_id
    from lot_quotes as ranked
    inner join lots on ranked.lot_id = lots.id
    where
        ranked.is_ranked
        and lots.status <> 'active'
),

stale as (
    select
        changed.lot_id,
        'value' as stage
    from changed
    union all
    select
        gone.lot_id,
        'quote' as stage
    from gone
)

insert into ops.lot_outbox (lot_id, stage)
select
    lot_id,
    stage
from stale
order by
    lot_id asc,
    stage asc
on conflict (lot_id, stage) do nothing;

-- name: queue_stale_quotes
-- Queue the active lots whose quote was made with other tariffs, another profile, rate or value, or is missing.
insert into ops.lot_outbox (lot_id, stage)
select
    known.lot_id,
    'quote' as stage
from lot_values as known
inner join lots on known.lot_id = lots.id
left join lot_quotes as quotes on known.lot_id = quotes.lot_id
where
    lots.status = 'active'
    and known.p50 is not null
    and (quotes.basis, quotes.valued_at) is distinct from (%(basis)s, known.valued_at)
order by known.lot_id
on conflict (lot_id, stage) do nothing;

-- name: claim_quotes
-- Lock the next quotes of active lots that were made by other terms, but for those of lots that wait for the stage and
-- those that another process has locked. Both indexes are read from `after` on, not only that of lots.
select quotes.lot_id
from lots
inner join lot_quotes as quotes on lots.id = quotes.lot_id
where
    lots.status = 'active'
    and lots.id > %(after)s
    and quotes.lot_id > %(after)s
    and quotes.basis <> %(basis)s
    and not exists (
        select
        from ops.lot_outbox as work
        where
            work.lot_id = lots.id
            and work.stage = 'quote'
    )
order by lots.id
limit %(count)s
for update of quotes skip locked;

-- name: requeue_all_lots
-- Queue all active lots for the first stage: the market has moved.
insert into ops.lot_outbox (lot_id, stage)
select
    id,
    'value' as stage
from lots
where status = 'active'
order by id
on conflict (lot_id, stage) do nothing;

-- name: newest_discount
-- The discount of cars from America, as it was last measured, and on how many ads.
select
    discount::float8 as discount,
    ads
from import_discounts
order by id desc
limit 1;

-- name: measure_discount
-- How much less is asked for cars from America than for others, beside their comparables: the medians of both, and how
-- many ads the first is of. Comparables know nothing of the words of an ad.
with asked as (
    select
        ln(normal.price_eur / (worth.details #>> '{p50,comparables}')::numeric)::float8 as off,
        normal.risks @> '[{"flag": "from_america"}]' as is_from_america
    from normalized_listings as normal
    inner join valuations as worth on normal.listing_id = worth.listing_id
    where
        normal.is_comparable
        and normal.duplicate_of is null
        and normal.price_eur > 0
        and worth.comparables >= 5
        and (worth.details #>> '{p50,comparables}')::numeric > 0
)

select
    count(*) filter (where is_from_america) as ads,
    percentile_cont(0.5) within group (order by off) filter (where is_from_america) as from_america,
    percentile_cont(0.5) within group (order by off) filter (where not is_from_america) as others
from asked;

-- name: store_discount
-- Store a measured discount, unless the newest is nearly the same: values are made anew with another one.
insert into import_discounts (ads, discount)
select
    %(ads)s,
    %(discount)s
where
    not exists (
        select
        from (
            select discount
            from import_discounts
            order by id desc
            limit 1
        ) as newest
        where abs(newest.discount - %(discount)s) < 0.005
    );

-- name: funnel
-- How many active lots are left after each blocker, in the order in which people ask.
with looked_at as (
    select
        lots.country,
        known.p50,
        known.twin,
        quotes.is_complete,
        quotes.most_bid_usd,
        quotes.is_ranked,
        array(select each.item ->> 'name' from jsonb_array_elements(known.blockers) as each (item)) as blockers
    from lots
    left join lot_values as known on lots.id = known.lot_id
    left join lot_quotes as quotes on lots.id = quotes.lot_id
    where lots.status = 'active'
),

steps as (
    select
        looked_at.*,
        '{not a car, heavy vehicle}'::text[] as not_cars,
        looked_at.country = 'USA' and not 'title unknown' = any(looked_at.blockers) as is_candidate
    from looked_at
)

select
    count(*) as lots,
    count(*) filter (where not blockers && not_cars) as cars,
    count(*) filter (where not blockers && not_cars and country = 'USA') as in_usa,
    count(*) filter (where not blockers && (not_cars || '{too old}') and country = 'USA') as young,
    count(*) filter (where not blockers && (not_cars || '{too old, damage}') and country = 'USA') as repairable,
    count(*) filter (
        where not blockers && (not_cars || '{too old, damage, title unknown, title not exportable}') and country = 'USA'
    ) as titled,
    count(*) filter (
        where
        not blockers
        && (not_cars || '{too old, damage, title unknown, title not exportable, does not start}')
        and country = 'USA'
    ) as starting,
    count(*) filter (
        where
        not blockers
        && (not_cars || '{too old, damage, title unknown, title not exportable, does not start, no keys, odometer}')
        and country = 'USA'
    ) as candidates,
    count(*) filter (where not blockers && not_cars and (p50 is not null or blockers <> '{}')) as explained,
    count(*) filter (where p50 is not null and is_candidate) as valued,
    count(*) filter (where p50 is not null and is_candidate and twin is not null) as by_twin,
    count(*) filter (where is_complete and is_candidate) as complete,
    count(*) filter (where is_ranked and most_bid_usd > 0) as ranked,
    count(*) filter (where is_ranked and 'title unknown' = any(blockers)) as ranked_unknown
from steps;

-- name: blocker_counts
-- How many active lots each blocker keeps out, most first; a lot may have several.
select
    each.item ->> 'name' as blocker,
    count(*) as lots
from lots
inner join lot_values as known on lots.id = known.lot_id
cross join lateral jsonb_array_elements(known.blockers) as each (item)
where lots.status = 'active'
group by each.item ->> 'name'
order by
    lots desc,
    blocker asc;

-- name: missing_parts
-- Which parts of the cost are not known of active lots that nothing else keeps out, by the state of the yard, and of
-- how many lots; those of most lots first. A lot may lack several.
select
    split_part(lacks.part, ':', 1) as part,
    coalesce(lots.state, lots.country) as state,
    count(*) as lots
from lot_quotes as quotes
inner join lots on quotes.lot_id = lots.id
inner join lot_values as known on quotes.lot_id = known.lot_id
cross join unnest(quotes.missing) as lacks (part)
where
    not quotes.is_complete
    and lots.status = 'active'
    and known.blockers = '[]'
group by
    split_part(lacks.part, ':', 1),
    coalesce(lots.state, lots.country)
order by
    lots desc,
    part asc,
    state asc;

-- name: incomplete_lots
-- How many active lots that nothing else keeps out are not ranked, because a part of their cost is not known.
select count(*) as lots
from lot_quotes as quotes
inner join lots on quotes.lot_id = lots.id
inner join lot_values as known on quotes.lot_id = known.lot_id
where
    not quotes.is_complete
    and lots.status = 'active'
    and known.blockers = '[]';

-- name: wanting_models
-- Models of unblocked lots that have no market here, those with the most lots first.
select
    each.item ->> 'reason' as reason,
    count(*) as lots
from lots
inner join lot_values as known on lots.id = known.lot_id
cross join lateral jsonb_array_elements(known.blockers) as each (item)
where
    lots.status = 'active'
    and each.item ->> 'name' = 'no market'
group by each.item ->> 'reason'
order by
    lots desc,
    reason asc
limit %(limit)s;

-- name: insert_file_ads
-- Ads of a file, for a measurement in a database of its own, and their work.
with added as (
    insert into listings (
        source, ad_id, make_slug, url, title, make_text, model_text, price, currency, price_eur, vat, year, month,
        mileage_km, fuel, gearbox, body, power_hp, colour, photo_urls, posted_at, list_hash
    )
    select
        'file',
        ads.ad_id,
        'file',
        'https://ads.example/' || ads.ad_id,
        ads.title,
        ads.make_text,
        ads.model_text,
        ads.price_eur as price,
        'EUR',
        ads.price_eur,
        ads.vat,
        ads.year,
        ads.month,
        ads.mileage_km,
        ads.fuel,
        ads.gearbox,
        ads.body,
        ads.power_hp,
        ads.colour,
        '{}',
        now(),
        decode(md5(ads.ad_id), 'hex')
    from
        jsonb_to_recordset(%(ads)s::jsonb) as ads (
            ad_id text,
            title text,
            make_text text,
            model_text text,
            price_eur numeric,
            vat text,
            year smallint,
            month smallint,
            mileage_km integer,
            fuel text,
            gearbox text,
            body text,
            power_hp integer,
            colour text
        )
    on conflict (source, ad_id) do nothing
    returning id
)

insert into ops.deal_outbox (listing_id, change)
select
    id,
    'new' as change
from added;

-- name: read_valued
-- The lots of a batch with their values, in the order of deals.stages.quote.Valued.
select -- noqa: ST06
    lots.id as lot_id,
    lots.status = 'active' as is_active,
    lots.vin,
    vehicles.year,
    vehicles.fuel,
    vehicles.body_style,
    lots.damage,
    lots.title_state,
    lots.title_group,
    lots.yard_name,
    lots.state,
    lots.currency,
    lots.sale_at,
    lots.high_bid,
    lots.buy_now_price,
    lots.repair_cost,
    known.p10,
    known.p20,
    known.p50,
    known.p90,
    known.blockers <> '[]' as is_blocked,
    known.valued_at::text as valued_at
from lots
inner join vehicles on lots.vehicle_id = vehicles.id
inner join lot_values as known on lots.id = known.lot_id
where lots.id = any(%(lot_ids)s::bigint[])
order by lots.id;

-- name: learned_floors
-- By how much a bid grows in the last hours before a sale, where enough lots tell, fewest hours first.
select
    hours,
    growth::float8 as growth
from lot_floors
where lots >= %(fewest)s
order by hours;

-- name: drop_quotes
-- Remove the quotes of lots without a value.
delete from lot_quotes
where lot_id = any(%(lot_ids)s::bigint[]);

-- name: save_quotes
-- Store quotes; one that is the same is not written again. `missing` are texts, joined by U+001F.
insert into lot_quotes as known (
    lot_id, basis, valued_at, is_complete, missing, most_bid_usd, bid_usd, bid_kind, landed_eur, profit_eur, profit_low,
    profit_high, loss_chance, is_ranked
)
select
    found.lot_id,
    found.basis,
    found.valued_at::timestamptz,
    found.is_complete,
    string_to_array(found.missing, chr(31)) as missing,
    found.most_bid_usd,
    found.bid_usd,
    found.bid_kind,
    found.landed_eur,
    found.profit_eur,
    found.profit_low,
    found.profit_high,
    found.loss_chance,
    found.is_ranked
from
    unnest(
        %(lot_id)s::bigint[],
        %(basis)s::text[],
        %(valued_at)s::text[],
        %(is_complete)s::boolean[],
        %(missing)s::text[],
        %(most_bid_usd)s::integer[],
        %(bid_usd)s::integer[],
        %(bid_kind)s::text[],
        %(landed_eur)s::numeric[],
        %(profit_eur)s::integer[],
        %(profit_low)s::integer[],
        %(profit_high)s::integer[],
        %(loss_chance)s::real[],
        %(is_ranked)s::boolean[]
    ) as found (
        lot_id, basis, valued_at, is_complete, missing, most_bid_usd, bid_usd, bid_kind, landed_eur, profit_eur,
        profit_low, profit_high, loss_chance, is_ranked
    )
order by found.lot_id
on conflict (lot_id) do update
    set
        basis = excluded.basis,
        valued_at = excluded.valued_at,
        is_complete = excluded.is_complete,
        missing = excluded.missing,
        most_bid_usd = excluded.most_bid_usd,
        bid_usd = excluded.bid_usd,
        bid_kind = excluded.bid_kind,
        landed_eur = excluded.landed_eur,
        profit_eur = excluded.profit_eur,
        profit_low = excluded.profit_low,
        profit_high = excluded.profit_high,
        loss_chance = excluded.loss_chance,
        is_ranked = excluded.is_ranked,
        quoted_at = now()
    where
        (
            known.basis, known.valued_at, known.is_complete, known.missing, known.most_bid_usd, known.bid_usd,
            known.bid_kind, known.landed_eur, known.profit_eur, known.profit_low, known.profit_high,
            known.loss_chance, known.is_ranked
        )
        is distinct from
        (
            excluded.basis, excluded.valued_at, excluded.is_complete, excluded.missing, excluded.most_bid_usd,
            excluded.bid_usd, excluded.bid_kind, excluded.landed_eur, excluded.profit_eur, excluded.profit_low,
            excluded.profit_high, excluded.loss_chance, excluded.is_ranked
        );

-- name: measure_floors
-- By how much the last bid before a sale exceeds the bid some hours before it: the median of the newest lots that left
-- the feed with a bid, for each number of hours. It replaces what was there.
with sold as materialized (
    select
        id,
        sale_at,
        high_bid
    from lots
    where
        status = 'gone'
        and gone_at > now() - interval '60 days'
        and high_bid > 0
        and sale_at is not null
    order by gone_at desc
    limit %(most)s
),

bids as (
    select
        hours.before,
        sold.high_bid / earlier.bid as growth
    from sold
    cross join unnest(array[2, 6, 12, 24, 48]) as hours (before)
    cross join lateral (
        select events.new_value::numeric as bid
        from audit.lot_events as events
        where
            events.lot_id = sold.id
            and events.event = 'high_bid'
            and events.new_value is not null
            and events.happened_at <= sold.sale_at - make_interval(hours => hours.before)
        order by events.id desc
        limit 1
    ) as earlier
    where earlier.bid > 0
)

insert into lot_floors as known (hours, lots, growth)
select
    before,
    count(*),
    percentile_cont(0.5) within group (order by growth)
from bids
group by before
on conflict (hours) do update
    set
        lots = excluded.lots,
        growth = excluded.growth,
        measured_at = now()
    where (known.lots, known.growth) is distinct from (excluded.lots, excluded.growth);

-- name: top_by_profit
-- The best lots that have a price to count with, by the careful profit at it: those behind a place, without some.
select -- noqa: ST06
    lots.id as lot_id,
    lots.lot_external_id as lot,
    known.model,
    known.year,
    known.mileage_km,
    known.fuel,
    known.twin,
    lots.damage,
    lots.title_state || ' ' || lots.title_type as title,
    lots.yard_name as yard,
    lots.sale_at,
    lots.high_bid,
    quotes.most_bid_usd,
    quotes.bid_usd,
    quotes.bid_kind,
    quotes.landed_eur,
    known.p10,
    known.p20,
    known.p50,
    known.p90,
    quotes.profit_eur,
    quotes.profit_low,
    quotes.profit_high,
    quotes.loss_chance,
    known.comparables,
    known.confidence
from lot_quotes as quotes
inner join lots on quotes.lot_id = lots.id
inner join lot_values as known on quotes.lot_id = known.lot_id
where
    quotes.is_ranked
    and quotes.bid_usd is not null
    and quotes.profit_eur > 0
    and lots.status = 'active'
    and coalesce(lots.sale_at, lots.sale_date::timestamptz) > %(sale_after)s
    and (%(model)s::text is null or known.model = %(model)s or known.family = %(model)s)
    and (%(make)s::text is null or starts_with(known.model, %(make)s || ' '))
    and (%(fuel)s::text is null or known.fuel = %(fuel)s)
    and (%(from_year)s::integer is null or known.year >= %(from_year)s)
    and (%(to_year)s::integer is null or known.year <= %(to_year)s)
    and (%(max_bid)s::integer is null or quotes.bid_usd <= %(max_bid)s)
    and (%(state)s::text is null or lots.state = %(state)s)
    and quotes.profit_eur <= coalesce(%(after)s, 2147483647)
    and (quotes.profit_eur < %(after)s or quotes.lot_id > %(after_id)s or %(after)s::integer is null)
    and quotes.lot_id <> all(%(without)s::bigint[])
order by
    quotes.profit_eur desc,
    quotes.lot_id asc
limit %(limit)s;

-- name: top_by_bid
-- The lots without a price to count with, by the most one may bid; none whose bid has passed it. Those behind a
-- place, without some.
select -- noqa: ST06
    lots.id as lot_id,
    lots.lot_external_id as lot,
    known.model,
    known.year,
    known.mileage_km,
    known.fuel,
    known.twin,
    lots.damage,
    lots.title_state || ' ' || lots.title_type as title,
    lots.yard_name as yard,
    lots.sale_at,
    lots.high_bid,
    quotes.most_bid_usd,
    quotes.bid_usd,
    quotes.bid_kind,
    quotes.landed_eur,
    known.p10,
    known.p20,
    known.p50,
    known.p90,
    quotes.profit_eur,
    quotes.profit_low,
    quotes.profit_high,
    quotes.loss_chance,
    known.comparables,
    known.confidence
from lot_quotes as quotes
inner join lots on quotes.lot_id = lots.id
inner join lot_values as known on quotes.lot_id = known.lot_id
where
    quotes.is_ranked
    and quotes.bid_usd is null
    and quotes.most_bid_usd > coalesce(lots.high_bid, 0)
    and lots.status = 'active'
    and coalesce(lots.sale_at, lots.sale_date::timestamptz) > %(sale_after)s
    and (%(model)s::text is null or known.model = %(model)s or known.family = %(model)s)
    and (%(make)s::text is null or starts_with(known.model, %(make)s || ' '))
    and (%(fuel)s::text is null or known.fuel = %(fuel)s)
    and (%(from_year)s::integer is null or known.year >= %(from_year)s)
    and (%(to_year)s::integer is null or known.year <= %(to_year)s)
    and (%(max_bid)s::integer is null or quotes.most_bid_usd <= %(max_bid)s)
    and (%(state)s::text is null or lots.state = %(state)s)
    and quotes.most_bid_usd <= coalesce(%(after)s, 2147483647)
    and (quotes.most_bid_usd < %(after)s or quotes.lot_id > %(after_id)s or %(after)s::integer is null)
    and quotes.lot_id <> all(%(without)s::bigint[])
order by
    quotes.most_bid_usd desc,
    quotes.lot_id asc
limit %(limit)s;

-- name: blocked_lots
-- The newest active lots that something speaks against, with the reasons.
select -- noqa: ST06
    lots.lot_external_id as lot,
    known.model,
    vehicles.make,
    vehicles.year,
    known.blockers
from lot_values as known
inner join lots on known.lot_id = lots.id
inner join vehicles on lots.vehicle_id = vehicles.id
where
    known.blockers <> '[]'
    and lots.status = 'active'
    and (%(model)s::text is null or known.model = %(model)s or known.family = %(model)s)
    and (%(make)s::text is null or starts_with(known.model, %(make)s || ' '))
    and (%(fuel)s::text is null or known.fuel = %(fuel)s)
    and (%(from_year)s::integer is null or vehicles.year >= %(from_year)s)
    and (%(to_year)s::integer is null or vehicles.year <= %(to_year)s)
    and (%(state)s::text is null or lots.state = %(state)s)
order by known.lot_id desc
limit %(limit)s;

-- name: lot_sheet
-- A lot with its value, by the number of the auction.
select -- noqa: ST06
    lots.id as lot_id,
    lots.lot_external_id as lot,
    lots.status,
    vehicles.year,
    vehicles.make,
    coalesce(vehicles.model, vehicles.model_group) as model_text,
    known.model,
    known.family,
    known.fuel,
    known.mileage_km,
    known.twin,
    lots.vin,
    lots.damage,
    lots.secondary_damage,
    lots.title_state || ' ' || lots.title_type as title,
    lots.yard_name as yard,
    lots.sale_date,
    lots.sale_at,
    lots.sale_status,
    lots.high_bid,
    lots.buy_now_price,
    lots.currency,
    lots.repair_cost,
    known.p10,
    known.p20,
    known.p50,
    known.p90,
    known.comparables,
    known.confidence,
    known.method,
    coalesce(known.blockers, '[]') as blockers,
    known.details,
    known.valued_at::text as valued_at
from lots
inner join vehicles on lots.vehicle_id = vehicles.id
left join lot_values as known on lots.id = known.lot_id
where lots.lot_external_id = %(lot)s;

-- name: shown_ads
-- Ads by id, to be linked as comparables.
select
    ads.id,
    ads.title,
    ads.url,
    normal.year,
    normal.mileage_km,
    normal.price_eur,
    ads.removed_at is not null as is_gone
from unnest(%(listing_ids)s::bigint[]) with ordinality as shown (id, place)
inner join listings as ads on shown.id = ads.id
left join normalized_listings as normal on ads.id = normal.listing_id
order by shown.place;

-- name: store_result
-- Note what a lot went for.
insert into lot_results (lot_id, price, is_won, user_id)
select
    id,
    %(price)s,
    %(is_won)s,
    %(user_id)s
from lots
where lot_external_id = %(lot)s
returning lot_id;

-- name: result_of_lot
-- What was last noted that a lot went for.
select
    lot_results.price,
    lot_results.is_won,
    lot_results.noted_at,
    users.name
from lots
inner join lot_results on lots.id = lot_results.lot_id
left join ops.users on lot_results.user_id = users.id
where lots.lot_external_id = %(lot)s
order by lot_results.id desc
limit 1;

-- name: results
-- What lots went for beside what was estimated: the newest result of each, the most one might have bid and the price
-- that was counted with.
with newest as (
    select distinct on (lot_id)
        lot_id,
        price,
        is_won
    from lot_results
    order by
        lot_id asc,
        id desc
)

select -- noqa: ST06
    lots.lot_external_id as lot,
    newest.price,
    newest.is_won,
    quotes.most_bid_usd,
    quotes.bid_usd,
    quotes.bid_kind,
    lots.high_bid
from newest
inner join lots on newest.lot_id = lots.id
left join lot_quotes as quotes on newest.lot_id = quotes.lot_id
where lots.currency = 'USD'
order by newest.lot_id;

-- name: relisted
-- Lots that were listed again: not sold at their last bid, which is below what the seller accepts. How many there are,
-- how many of them had been quoted, and how many of these would have been offered more than the last bid.
select
    count(*) as lots,
    count(quotes.most_bid_usd) as quoted,
    count(*) filter (where quotes.most_bid_usd > earlier.high_bid) as above_last_bid
from lots
inner join lots as earlier on lots.previous_lot_id = earlier.id
left join lot_quotes as quotes on earlier.id = quotes.lot_id
where
    lots.previous_lot_id is not null
    and earlier.high_bid > 0;

-- name: dead_lots
-- The lots that were given up, newest first, and why.
select
    lots.lot_external_id as lot,
    work.stage,
    work.attempts,
    work.dead_at,
    work.error
from ops.lot_outbox as work
inner join lots on work.lot_id = lots.id
where work.dead_at is not null
order by work.dead_at desc
limit %(limit)s;
