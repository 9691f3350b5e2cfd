-- What watches and their previews read: fewer candidates an ad, and a sample of the board.
-- depends: 0037_lot_bids

-- A watch that names neither model nor make was a candidate for every ad. It is looked up by what else it names.
-- PostgreSQL 15 and 16 cannot change the expression of a column: it is made anew, with what reads it.
drop view watch_fits;

alter table watches drop column keys;

alter table watches
add column keys text[] not null generated always as (
    case
        when cardinality(family) > 0 then family
        when cardinality(make) > 0 then make
        when cardinality(region) > 0 then region
        when cardinality(color) > 0 then color
        when cardinality(body) > 0 then body
        when cardinality(fuel) > 0 then fuel
        when cardinality(gearbox) > 0 then gearbox
        when cardinality(seller) > 0 then seller
        else array['']
    end
) stored;

create index watches_keys on watches using gin (keys) with (fastupdate = off) where paused_at is null;

comment on column watches.keys is
'what a car is looked up by: its family, its make, or the rarest of what else is named; an empty text: any car';

-- As it was, but that an ad is looked up by all that a key may be.
create view watch_fits as
select
    board.listing_id,
    watches.id as watch_id,
    watches.version,
    watches.since,
    watches.price_to,
    watches.below_market as least_below,
    watches.min_score,
    board.price_eur,
    board.below_market,
    board.score,
    board.first_seen
from board
inner join watches
    on
        array_remove(
            array[
                board.family, board.make, board.region, board.color, board.body, board.fuel, board.gearbox,
                board.seller, ''
            ],
            null
        ) && watches.keys
inner join watch_people as people on watches.person_id = people.id
left join listing_words as said on board.listing_id = said.listing_id
where
    not board.is_gone
    and board.duplicate_of is null
    and watches.paused_at is null
    and people.paused_at is null
    and watches.kind in ('ad', 'both')
    and (watches.make = '{}' or board.make = any(watches.make))
    and (watches.family = '{}' or board.family = any(watches.family))
    and (watches.year_from is null or board.year >= watches.year_from)
    and (watches.year_to is null or board.year <= watches.year_to)
    and (watches.price_from is null or board.price_eur >= watches.price_from)
    and (watches.price_to is null or board.price_eur <= watches.price_to)
    and (watches.km_from is null or board.mileage_km >= watches.km_from)
    and (watches.km_to is null or board.mileage_km <= watches.km_to)
    and (watches.power_from is null or board.power_hp >= watches.power_from)
    and (watches.power_to is null or board.power_hp <= watches.power_to)
    and (watches.fuel = '{}' or board.fuel = any(watches.fuel))
    and (watches.gearbox = '{}' or board.gearbox = any(watches.gearbox))
    and (watches.body = '{}' or board.body = any(watches.body))
    and (watches.color = '{}' or board.color = any(watches.color))
    and (watches.region = '{}' or board.region = any(watches.region))
    and (watches.seller = '{}' or board.seller = any(watches.seller))
    and (watches.min_score is null or board.score >= watches.min_score)
    and (watches.below_market is null or board.below_market >= watches.below_market)
    and (watches.words_query is null or said.words @@ watches.words_query)
    and (watches.words_not_query is null or (said.words @@ watches.words_not_query) is not true);

comment on view watch_fits is 'whether an ad is new to a watch is not asked; a paused watch finds nothing';

-- One ad in thirteen, which is as good as at random, with all that a filter asks: how many cars a wide filter finds is
-- told by these, without reading the board (vinops/board/overview.py).
create index board_sample on board (first_seen)
include (
    listing_id, is_gone, duplicate_of, score, price_eur, below_market, year, mileage_km, power_hp, make, family, fuel,
    gearbox, body, color, region, seller
)
where mod(listing_id, 13) = 0;
