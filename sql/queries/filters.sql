-- What each field of a filter (vinops/filters.py) asks of a row of `board`. vinops/board/writer.py joins the
-- conditions: what is behind `where` is used, so each block is a statement of one condition. Those of names that end
-- with `_by_index` ask the same as the others, by the expressions that the orders of the board have indexes of: for
-- statements that read all ads of a filter.

-- name: advertised
-- Ads that are still advertised.
select board.listing_id
from board
where not board.is_gone;

-- name: gone
-- Ads that are gone.
select board.listing_id
from board
where board.is_gone;

-- name: first_ads
-- One ad of each car.
select board.listing_id
from board
where board.duplicate_of is null;

-- name: make
-- Cars of one of these makes.
select board.listing_id
from board
where board.make = any(%(make)s::text[]);

-- name: family
-- Cars of one of these families.
select board.listing_id
from board
where board.family = any(%(family)s::text[]);

-- name: year_from
-- Cars of this year or newer.
select board.listing_id
from board
where board.year >= %(year_from)s::integer;

-- name: year_to
-- Cars of this year or older.
select board.listing_id
from board
where board.year <= %(year_to)s::integer;

-- name: price_from
-- Cars for so much or more.
select board.listing_id
from board
where board.price_eur >= %(price_from)s::numeric;

-- name: price_to
-- Cars for so much or less.
select board.listing_id
from board
where board.price_eur <= %(price_to)s::numeric;

-- name: km_from
-- Cars with so many km or more.
select board.listing_id
from board
where board.mileage_km >= %(km_from)s::integer;

-- name: km_to
-- Cars with so many km or fewer.
select board.listing_id
from board
where board.mileage_km <= %(km_to)s::integer;

-- name: power_from
-- Cars of so many hp or more.
select board.listing_id
from board
where board.power_hp >= %(power_from)s::integer;

-- name: power_to
-- Cars of so many hp or less.
select board.listing_id
from board
where board.power_hp <= %(power_to)s::integer;

-- name: fuel
-- Cars with one of these fuels.
select board.listing_id
from board
where board.fuel = any(%(fuel)s::text[]);

-- name: gearbox
-- Cars with one of these gearboxes.
select board.listing_id
from board
where board.gearbox = any(%(gearbox)s::text[]);

-- name: body
-- Cars with one of these bodies.
select board.listing_id
from board
where board.body = any(%(body)s::text[]);

-- name: color
-- Cars of one of these colors.
select board.listing_id
from board
where board.color = any(%(color)s::text[]);

-- name: region
-- Cars in one of these regions.
select board.listing_id
from board
where board.region = any(%(region)s::text[]);

-- name: seller
-- Cars of one of these kinds of sellers.
select board.listing_id
from board
where board.seller = any(%(seller)s::text[]);

-- name: min_score
-- Ads with this score or a better one.
select board.listing_id
from board
where board.score >= %(min_score)s::numeric;

-- name: below_market
-- Ads whose price is so many per cent of the estimate, or more, below it.
select board.listing_id
from board
where board.below_market >= %(below_market)s::numeric;

-- name: new_since
-- Ads that were first seen within such a time.
select board.listing_id
from board
where board.first_seen >= now() - %(new_since)s::interval;

-- name: new_since_day
-- Ads that were first seen on this day, of a time zone, or later.
select board.listing_id
from board
where board.first_seen >= (%(new_since_day)s::date::timestamp at time zone %(time_zone)s::text);

-- name: words
-- Ads that say all of these words.
select board.listing_id
from board
where
    board.listing_id in (
        select listing_words.listing_id
        from listing_words
        where listing_words.words @@ %(words)s::tsquery -- noqa: RF02
    );

-- name: words_not
-- Ads that say none of these words.
select board.listing_id
from board
where
    not exists (
        select
        from listing_words
        where
            listing_words.listing_id = board.listing_id
            and listing_words.words @@ %(words_not)s::tsquery -- noqa: RF02
        -- Asked for each ad that fits otherwise: as a join the planner would read the words of all ads.
        offset 0
    );

-- name: year_from_by_index
-- Cars of this year or newer.
select board.listing_id
from board
where coalesce(board.year, 0) >= %(year_from)s::integer;

-- name: price_from_by_index
-- Cars for so much or more.
select board.listing_id
from board
where coalesce(board.price_eur, -1) >= %(price_from)s::numeric;

-- name: price_to_by_index
-- Cars for so much or less.
select board.listing_id
from board
where coalesce(board.price_eur, 'Infinity') <= %(price_to)s::numeric;

-- name: km_to_by_index
-- Cars with so many km or fewer.
select board.listing_id
from board
where coalesce(board.mileage_km, 2147483647) <= %(km_to)s::integer;

-- name: below_market_by_index
-- Ads whose price is so many per cent of the estimate, or more, below it.
select board.listing_id
from board
where coalesce(board.below_market, '-Infinity') >= %(below_market)s::numeric;
