-- Lots in watches: which watches lots are found for, set-wise for a batch of lots; what is queued and told of them.

-- name: match_lots
-- Record the hits of some lots (null: of all for sale), of some watches only (null: of all), in a state. A lot is a hit
-- of a watch if it fits and is new to it: it came after the watch was saved (or shortly before, while it still waited
-- for its quote). A watch that asks for what changes, as the cost or the sale, has known since it was saved which lots
-- fitted then: each other one is new. A vehicle that is listed again is the same car, and only gets its new lot. Cars
-- are put in the order of their key, so that two batches at once cannot deadlock. The score is the careful profit at
-- the price to count with, in thousands of EUR: the best first.
with fits as materialized (
    select watch_lot_fits.*
    from watch_lot_fits
    where
        (%(lot_ids)s::bigint[] is null or watch_lot_fits.lot_id = any(%(lot_ids)s::bigint[])) -- noqa: RF02
        and (%(watch_ids)s::bigint[] is null or watch_lot_fits.watch_id = any(%(watch_ids)s::bigint[])) -- noqa: RF02
),

found as materialized (
    select
        fits.*,
        coalesce('VIN ' || cars.vin, 'lot ' || lots.lot_external_id) as car
    from fits
    inner join lots on fits.lot_id = lots.id
    inner join vehicles as cars on lots.vehicle_id = cars.id
)

insert into watch_hits as known (watch_id, car, lot_id, version, price_eur, score, state)
select distinct on (found.watch_id, found.car)
    found.watch_id,
    found.car,
    found.lot_id,
    found.version,
    found.landed_eur as price_eur,
    least(greatest(found.profit_eur / 1000.0, 0), 99) as score,
    %(state)s as state
from found
where
    found.is_moving
    or found.first_seen > found.since - interval '1 hour'
    or exists (
        select
        from watch_hits as already
        where
            already.watch_id = found.watch_id
            and already.car = found.car
    )
order by
    found.watch_id asc,
    found.car asc,
    found.lot_id desc
on conflict (watch_id, car) do update
    set lot_id = excluded.lot_id
    where known.lot_id < excluded.lot_id;

-- name: is_moving
-- Whether a watch asks for what changes while a lot is for sale. No row of a watch of ads alone.
select is_moving
from watch_lots
where watch_id = %(watch_id)s::bigint;

-- name: lately_seen_lots
-- Lots for sale that were first seen within the last hour: their stage may still come by.
select lot_id
from lot_board
where
    not is_gone
    and first_seen > now() - interval '1 hour';

-- name: still_fit_lots
-- Which of some watches which of some lots fit as they are now.
select
    watch_id,
    lot_id
from watch_lot_fits
where
    watch_id = any(%(watch_ids)s::bigint[])
    and lot_id = any(%(lot_ids)s::bigint[]);

-- name: queue_near_sales
-- Queue the lots whose sale has come near enough for a watch within the last six hours, and that it has not found yet.
-- Others were found then, or change; each night all lots are matched.
with soon as materialized (
    select
        board.lot_id,
        coalesce('VIN ' || cars.vin, 'lot ' || lots.lot_external_id) as car
    from lot_board as board
    inner join lots on board.lot_id = lots.id
    inner join vehicles as cars on lots.vehicle_id = cars.id
    where
        not board.is_gone
        and coalesce(board.sale_at, '2100-01-01 00:00+00') > now()
        and coalesce(board.sale_at, '2100-01-01 00:00+00') < now() + (
            select max(asked.sale_within)
            from watch_lots as asked
            where asked.sale_within is not null
        )
)

insert into ops.lot_outbox (lot_id, stage)
select distinct
    soon.lot_id,
    'match_lots' as stage
from soon
inner join watch_lot_fits as fits on soon.lot_id = fits.lot_id
where
    fits.sale_within is not null
    and fits.sale_at > now() + fits.sale_within - interval '6 hours'
    and not exists (
        select
        from watch_hits as already
        where
            already.watch_id = fits.watch_id
            and already.car = soon.car
    )
order by soon.lot_id
on conflict (lot_id, stage) do nothing;

-- name: queue_requoted
-- Queue lots that were quoted by other terms: those that people were told of, and all if a watch asks for what lots
-- cost or leave.
insert into ops.lot_outbox (lot_id, stage)
select
    quoted.lot_id,
    'match_lots' as stage
from unnest(%(lot_ids)s::bigint[]) as quoted (lot_id)
where
    exists (
        select
        from watch_lots
        where num_nonnulls(landed_to, profit_from, most_bid_from, at_bid_to) > 0
    )
    or exists (
        select
        from watch_messages as told
        where
            told.lot_id = quoted.lot_id
            and told.kind = 'hit'
            and told.state = 'sent'
            and not starts_with(told.shown, 'gone')
    )
order by quoted.lot_id
on conflict (lot_id, stage) do nothing;

-- name: queue_told_gone
-- Queue the lots that are gone, and whose messages do not say so yet; not those that say nothing more: of people who
-- have paused everything, and those whose edit was refused in the end. They would be queued anew each minute.
insert into ops.lot_outbox (lot_id, stage)
select distinct
    told.lot_id,
    'match_lots' as stage
from watch_messages as told
inner join lots on told.lot_id = lots.id
inner join watch_people as people on told.person_id = people.id
where
    told.kind = 'hit'
    and told.state = 'sent'
    and told.lot_id is not null
    and not starts_with(told.shown, 'gone')
    and told.message_id is not null
    and told.muted_at is null
    and lots.status <> 'active'
    and people.paused_at is null
    and not exists (
        select
        from watch_messages as edits
        where
            edits.about_id = told.id
            and edits.kind = 'gone'
            and edits.state = 'failed'
    )
order by told.lot_id
on conflict (lot_id, stage) do nothing;

-- name: follow_relisted
-- Let messages about vehicles that are listed again be about their new lots.
update watch_messages as told
set lot_id = relisted.id
from lots as relisted
inner join lots as before on relisted.vehicle_id = before.vehicle_id and relisted.id > before.id
inner join vehicles as cars on relisted.vehicle_id = cars.id
where
    relisted.id = any(%(lot_ids)s::bigint[])
    and relisted.status = 'active'
    and before.status <> 'active'
    and told.kind = 'hit'
    and told.lot_id = before.id
    and told.car = 'VIN ' || cars.vin;

-- name: queue_lot_changes
-- Queue silent edits of messages about these lots that show another state: the bid has passed the limit, the sale has
-- moved, the lot is gone or back.
insert into watch_messages (person_id, kind, rank, score, about_id)
select
    told.person_id,
    'gone' as kind,
    4 as rank,
    told.score,
    told.id as about_id
from watch_messages as told
inner join watch_people as people on told.person_id = people.id
inner join lot_message_states as states on told.lot_id = states.lot_id
where
    told.lot_id = any(%(lot_ids)s::bigint[])
    and states.lot_id = any(%(lot_ids)s::bigint[])
    and told.kind = 'hit'
    and told.state = 'sent'
    and told.message_id is not null
    and told.muted_at is null
    and people.paused_at is null
    and told.shown is distinct from states.shown
order by told.id
on conflict (about_id, kind) where state in ('waiting', 'trying') do nothing;

-- name: told_by_vin
-- Of some hits those whose car has a VIN that a lot or an ad has as well, as the car of a lot is called; and whether
-- the person was told of it as that, by a message or in a digest.
select
    hits.id,
    'VIN ' || vins.vin as car,
    bool_or(
        exists (
            select
            from watch_messages as told
            where
                told.person_id = watches.person_id
                and told.kind = 'hit'
                and told.car <> hits.car
                and (told.car = 'VIN ' || vins.vin or told.listing_id = vins.listing_id)
        )
        or exists (
            select
            from watch_hits as others
            inner join watches as theirs on others.watch_id = theirs.id
            where
                theirs.person_id = watches.person_id
                and others.state in ('held', 'digested')
                and others.car <> hits.car
                and (others.car = 'VIN ' || vins.vin or others.listing_id = vins.listing_id)
        )
    ) as is_known
from watch_hits as hits
inner join watches on hits.watch_id = watches.id
inner join listing_vins as vins on
    (hits.listing_id is not null and hits.listing_id = vins.listing_id)
    or (hits.lot_id is not null and substr(hits.car, length('VIN ') + 1) = vins.vin)
where hits.id = any(%(ids)s::bigint[])
group by
    hits.id,
    vins.vin;

-- name: lot_facts
-- A lot with its quote at this moment. The value, the costs and the profit are those of a ranked lot; `against` is why
-- another one is not bought.
select -- noqa: ST06
    lots.id as lot_id,
    lots.lot_external_id,
    lots.damage,
    lots.title_group,
    lots.condition,
    lots.high_bid,
    lots.currency,
    coalesce(lots.sale_at, lots.sale_date::timestamptz) as sale_at,
    lots.sale_at is not null as has_time,
    lots.yard_name,
    lots.state,
    odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer,
    odometer_in_km(lots.odometer, lots.country, lots.currency, lots.special_note) as odometer_km,
    cars.year,
    cars.fuel,
    concat_ws(' ', cars.year, cars.make, cars.model) as title,
    nullif(lots.thumbnail_url, '') as photo_url,
    states.shown,
    lots.status <> 'active' as is_gone,
    coalesce(lots.sale_at, lots.sale_date::timestamptz + interval '1 day') <= now() as is_sold,
    quotes.most_bid_usd,
    quotes.bid_usd,
    quotes.bid_kind,
    quotes.landed_eur,
    quotes.profit_eur,
    quotes.loss_chance,
    case when quotes.lot_id is not null then known.p10 end as p10,
    case when quotes.lot_id is not null then known.p50 end as p50,
    case when quotes.lot_id is not null then known.p90 end as p90,
    known.blockers -> 0 ->> 'name' as against
from lots
inner join vehicles as cars on lots.vehicle_id = cars.id
inner join lot_message_states as states on lots.id = states.lot_id
left join lot_values as known on lots.id = known.lot_id
left join lot_quotes as quotes on lots.id = quotes.lot_id and quotes.is_ranked
where lots.id = %(lot_id)s::bigint;

-- name: save_watch_lots
-- Set what a watch asks of lots, and by what it is found.
with keys as (
    insert into watch_lot_keys (key, watch_id)
    select distinct
        unnest(
            case
                when cardinality(%(family)s::text[]) > 0 then %(family)s::text[]
                when cardinality(%(make)s::text[]) > 0 then %(make)s::text[]
                else array['']
            end
        ) as key,
        %(watch_id)s::bigint as watch_id
)

insert into watch_lots (
    watch_id, make, family, year_from, year_to, odometer_to, fuel, gearbox, body, color, damage, title_group, runs,
    keys, state, yard, seller, sale_from, sale_to, sale_within, bid_to, buy_now, landed_to, profit_from, most_bid_from,
    at_bid_to
)
values (
    %(watch_id)s::bigint, %(make)s::text[], %(family)s::text[], %(year_from)s, %(year_to)s, %(odometer_to)s,
    %(fuel)s::text[], %(gearbox)s::text[], %(body)s::text[], %(color)s::text[], %(damage)s::text[],
    %(title_group)s::text[], %(runs)s::text[], %(keys)s::text[], %(state)s::text[], %(yard)s::text[],
    %(seller)s::text[], %(sale_from)s::date, %(sale_to)s::date, %(sale_within)s::interval, %(bid_to)s, %(buy_now)s,
    %(landed_to)s, %(profit_from)s, %(most_bid_from)s, %(at_bid_to)s
);

-- name: drop_watch_lots
-- A watch asks for lots no more, or for others.
delete from watch_lots
where watch_id = %(watch_id)s::bigint;

-- name: watch_lots_of
-- What some watches ask of lots.
select
    watch_id,
    make,
    family,
    year_from,
    year_to,
    odometer_to,
    fuel,
    gearbox,
    body,
    color,
    damage,
    title_group,
    runs,
    keys,
    state,
    yard,
    seller,
    sale_from,
    sale_to,
    sale_within,
    bid_to,
    buy_now,
    landed_to,
    profit_from,
    most_bid_from,
    at_bid_to
from watch_lots
where watch_id = any(%(watch_ids)s::bigint[]);

-- name: lot_cards_of_preview
-- The lots of a preview, in the order of their ids given.
select
    lots.id as lot_id,
    lots.lot_external_id,
    lots.damage,
    lots.high_bid,
    lots.currency,
    quotes.landed_eur,
    quotes.most_bid_usd,
    coalesce(lots.sale_at, lots.sale_date::timestamptz) as sale_at,
    lots.sale_at is not null as has_time,
    concat_ws(' ', cars.year, cars.make, cars.model) as title,
    case when quotes.bid_usd is not null then quotes.profit_eur end as profit_eur
from unnest(%(lot_ids)s::bigint[]) with ordinality as wanted (id, place)
inner join lots on wanted.id = lots.id
inner join vehicles as cars on lots.vehicle_id = cars.id
left join lot_quotes as quotes on lots.id = quotes.lot_id and quotes.is_ranked
order by wanted.place;
