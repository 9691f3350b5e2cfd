-- What each field of a filter of lots (vinops/lots/filter.py) asks of a row of `lot_board`, or of the quote of a lot.
-- vinops/lots/writer.py joins the conditions: what is behind `where` is used, so each block is a statement of one
-- condition.

-- name: for_sale
-- Lots that are for sale.
select lot_board.lot_id
from lot_board
where not lot_board.is_gone;

-- name: any_lot
-- All lots.
select lot_board.lot_id
from lot_board
where lot_board.lot_id is not null;

-- name: gone
-- Lots that are gone.
select lot_board.lot_id
from lot_board
where lot_board.is_gone;

-- name: make
-- Lots of one of these makes.
select lot_board.lot_id
from lot_board
where lot_board.make = any(%(make)s::text[]);

-- name: family
-- Lots of one of these families.
select lot_board.lot_id
from lot_board
where lot_board.family = any(%(family)s::text[]);

-- name: year_from
-- Lots of this model year or newer.
select lot_board.lot_id
from lot_board
where lot_board.year >= %(year_from)s::integer;

-- name: year_to
-- Lots of this model year or older.
select lot_board.lot_id
from lot_board
where lot_board.year <= %(year_to)s::integer;

-- name: odometer_to
-- Lots with so many miles or fewer.
select lot_board.lot_id
from lot_board
where lot_board.odometer <= %(odometer_to)s::integer;

-- name: fuel
-- Lots with one of these fuels.
select lot_board.lot_id
from lot_board
where lot_board.fuel = any(%(fuel)s::text[]);

-- name: gearbox
-- Lots with one of these gearboxes.
select lot_board.lot_id
from lot_board
where lot_board.gearbox = any(%(gearbox)s::text[]);

-- name: body
-- Lots with one of these bodies.
select lot_board.lot_id
from lot_board
where lot_board.body = any(%(body)s::text[]);

-- name: color
-- Lots of one of these colors.
select lot_board.lot_id
from lot_board
where lot_board.color = any(%(color)s::text[]);

-- name: damage
-- Lots whose main damage is one of these.
select lot_board.lot_id
from lot_board
where lot_board.damage = any(%(damage)s::text[]);

-- name: title_group
-- Lots with one of these kinds of titles.
select lot_board.lot_id
from lot_board
where lot_board.title_group = any(%(title_group)s::text[]);

-- name: runs
-- Lots that drive, start, or of which that is unknown.
select lot_board.lot_id
from lot_board
where coalesce(lot_board.condition, 'unknown') = any(%(runs)s::text[]);

-- name: keys
-- Lots with keys, without, or of which that is unknown.
select lot_board.lot_id
from lot_board
where
    case lot_board.has_keys when true then 'yes' when false then 'no' else 'unknown' end
    = any(%(keys)s::text[]);

-- name: state
-- Lots in one of these states.
select lot_board.lot_id
from lot_board
where lot_board.state = any(%(state)s::text[]);

-- name: yard
-- Lots in one of these yards.
select lot_board.lot_id
from lot_board
where lower(lot_board.yard) = any(%(yard)s::text[]);

-- name: seller
-- Lots of one of these sellers.
select lot_board.lot_id
from lot_board
where lower(lot_board.seller) = any(%(seller)s::text[]);

-- name: sale_from
-- Lots that are sold on this day, of a time zone, or later.
select lot_board.lot_id
from lot_board
where
    coalesce(lot_board.sale_at, '2100-01-01 00:00+00')
    >= (%(sale_from)s::date::timestamp at time zone %(time_zone)s::text)
    and lot_board.sale_at is not null;

-- name: sale_to
-- Lots that are sold on this day, of a time zone, or earlier.
select lot_board.lot_id
from lot_board
where
    coalesce(lot_board.sale_at, '2100-01-01 00:00+00')
    < ((%(sale_to)s::date + 1)::timestamp at time zone %(time_zone)s::text);

-- name: sale_within
-- Lots that are sold within such a time from now.
select lot_board.lot_id
from lot_board
where
    coalesce(lot_board.sale_at, '2100-01-01 00:00+00') >= now()
    and coalesce(lot_board.sale_at, '2100-01-01 00:00+00') < now() + %(sale_within)s::interval;

-- name: bid_to
-- Lots whose bid is so much or less.
select lot_board.lot_id
from lot_board
where
    coalesce(lot_board.high_bid, -1) <= %(bid_to)s::numeric -- as in the index of bids: it is read from there on
    and lot_board.high_bid is not null;

-- name: buy_now
-- Lots with a price to buy at once, or without.
select lot_board.lot_id
from lot_board
where (lot_board.buy_now_price is not null) = %(buy_now)s::boolean;

-- name: landed_to
-- Ranked lots that cost so much landed, in EUR, or less: at the price to count with, or at the most one may bid.
select lot_quotes.lot_id
from lot_quotes
where
    lot_quotes.is_ranked
    and lot_quotes.landed_eur <= %(landed_to)s::numeric;

-- name: profit_from
-- Ranked lots whose careful profit at the price to count with is so much, in EUR, or more.
select lot_quotes.lot_id
from lot_quotes
where
    lot_quotes.is_ranked
    and lot_quotes.bid_usd is not null
    and lot_quotes.profit_eur >= %(profit_from)s::integer;

-- name: most_bid_from
-- Ranked lots for which one may bid so much, in USD, or more.
select lot_quotes.lot_id
from lot_quotes
where
    lot_quotes.is_ranked
    and lot_quotes.most_bid_usd >= %(most_bid_from)s::integer;

-- name: at_bid_to
-- Ranked lots that are quoted at such a bid, in USD, or less: the price to count with, or the most one may bid.
select lot_quotes.lot_id
from lot_quotes
where
    lot_quotes.is_ranked
    and coalesce(lot_quotes.bid_usd, lot_quotes.most_bid_usd) <= %(at_bid_to)s::integer;

-- name: has_photos
-- Lots with photos, or without.
select lot_board.lot_id
from lot_board
where lot_board.has_photos = %(has_photos)s::boolean;

-- name: new_since
-- Lots that were first seen within such a time.
select lot_board.lot_id
from lot_board
where lot_board.first_seen >= now() - %(new_since)s::interval;

-- name: new_since_day
-- Lots that were first seen on this day, of a time zone, or later.
select lot_board.lot_id
from lot_board
where lot_board.first_seen >= (%(new_since_day)s::date::timestamp at time zone %(time_zone)s::text);
