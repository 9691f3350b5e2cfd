-- Bids that people typed, and lots that are ranked by them or by another profile than the default one.

-- name: keep_bid
-- Keep the bid that somebody typed for a lot; it replaces the one that was there.
insert into lot_bids as kept (lot_id, bid_usd, user_id)
select
    id,
    %(bid)s,
    %(user_id)s
from lots
where lot_external_id = %(lot)s
on conflict (lot_id) do update
    set
        bid_usd = excluded.bid_usd,
        user_id = excluded.user_id,
        noted_at = now()
returning lot_id;

-- name: forget_bid
-- Remove the bid of a lot.
delete from lot_bids
using lots
where
    lot_bids.lot_id = lots.id
    and lots.lot_external_id = %(lot)s
returning lot_bids.lot_id;

-- name: bid_of_lot
-- The bid of a lot, in the order of deals.offers.bids.TypedBid.
select
    kept.lot_id,
    kept.bid_usd,
    lots.high_bid,
    kept.noted_at,
    users.name
from lots
inner join lot_bids as kept on lots.id = kept.lot_id
left join ops.users on kept.user_id = users.id
where lots.lot_external_id = %(lot)s;

-- name: bids_in_force
-- The bids of active lots whose sale is still to come.
select
    kept.lot_id,
    kept.bid_usd,
    lots.high_bid,
    kept.noted_at,
    users.name
from lot_bids as kept
inner join lots on kept.lot_id = lots.id
left join ops.users on kept.user_id = users.id
where
    lots.status = 'active'
    and coalesce(lots.sale_at, lots.sale_date::timestamptz) > %(sale_after)s
order by kept.lot_id;

-- name: candidates
-- The lots that may be ranked, whatever the profile, when they were valued, and the bid: only these if ids are given.
select
    known.lot_id,
    known.valued_at::text as valued_at,
    coalesce(lots.high_bid, 0) as high_bid
from lot_values as known
inner join lots on known.lot_id = lots.id
where
    known.p50 is not null
    and known.blockers = '[]'
    and (%(lot_ids)s::bigint[] is null or known.lot_id = any(%(lot_ids)s::bigint[]))
    and lots.status = 'active'
    and coalesce(lots.sale_at, lots.sale_date::timestamptz) > %(sale_after)s
    and (%(model)s::text is null or known.model = %(model)s or known.family = %(model)s)
    and (%(make)s::text is null or starts_with(known.model, %(make)s || ' '))
    and (%(fuel)s::text is null or known.fuel = %(fuel)s)
    and (%(from_year)s::integer is null or known.year >= %(from_year)s)
    and (%(to_year)s::integer is null or known.year <= %(to_year)s)
    and (%(state)s::text is null or lots.state = %(state)s)
order by known.lot_id;

-- name: ranked_lots
-- Lots as the ranking shows them, but for the figures of their quote.
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
    known.p10,
    known.p20,
    known.p50,
    known.p90,
    known.comparables,
    known.confidence
from lots
inner join lot_values as known on lots.id = known.lot_id
where lots.id = any(%(lot_ids)s::bigint[]);

-- name: passed_bids
-- The bids that others have passed, the next sale first.
select
    lots.lot_external_id as lot,
    known.model,
    known.year,
    lots.high_bid,
    lots.sale_at,
    kept.bid_usd,
    quotes.most_bid_usd,
    users.name
from lot_bids as kept
inner join lots on kept.lot_id = lots.id
left join lot_values as known on kept.lot_id = known.lot_id
left join lot_quotes as quotes on kept.lot_id = quotes.lot_id
left join ops.users on kept.user_id = users.id
where
    lots.status = 'active'
    and lots.high_bid > kept.bid_usd
    and coalesce(lots.sale_at, lots.sale_date::timestamptz) > %(sale_after)s
order by
    coalesce(lots.sale_at, lots.sale_date::timestamptz) asc,
    kept.lot_id asc
limit %(limit)s;
