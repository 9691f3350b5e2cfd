-- Previews of watches of lots are told from a sample, as those of ads are; of both only that of a make is read, if a
-- watch names one. Figures of quotes are read from an index alone, and only those gone lots of a make or model that
-- came lately.
-- depends: 0042_lots_by_make

-- One row in thirteen, which is as good as at random, with all that a filter asks: how many cars a wide filter finds is
-- told by these, without reading the board (vinops/board/overview.py). The names of yards and sellers are left out, as
-- they may be long.
create index lot_board_active_sample_make on lot_board_active (make)
include (
    lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, family, year, fuel, gearbox, body, color, damage,
    title_group, condition, has_keys, odometer, state, has_photos
)
where mod(lot_id, 13) = 0;
create index lot_board_active_sample_family on lot_board_active (family)
include (
    lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, make, year, fuel, gearbox, body, color, damage,
    title_group, condition, has_keys, odometer, state, has_photos
)
where mod(lot_id, 13) = 0;

-- Of those that are gone only those that came lately are asked for.
create index lot_board_gone_sample on lot_board_gone (first_seen)
include (
    lot_id, is_gone, sale_at, high_bid, buy_now_price, make, family, year, fuel, gearbox, body, color, damage,
    title_group, condition, has_keys, odometer, state, has_photos
)
where mod(lot_id, 13) = 0;

drop index board_sample;
create index board_active_sample_make on board_active (make)
include (
    listing_id, is_gone, duplicate_of, first_seen, score, price_eur, below_market, year, mileage_km, power_hp, family,
    fuel, gearbox, body, color, region, seller
)
where mod(listing_id, 13) = 0;
create index board_active_sample_family on board_active (family)
include (
    listing_id, is_gone, duplicate_of, first_seen, score, price_eur, below_market, year, mileage_km, power_hp, make,
    fuel, gearbox, body, color, region, seller
)
where mod(listing_id, 13) = 0;
create index board_gone_sample on board_gone (first_seen)
include (
    listing_id, is_gone, duplicate_of, score, price_eur, below_market, year, mileage_km, power_hp, make, family, fuel,
    gearbox, body, color, region, seller
)
where mod(listing_id, 13) = 0;

create index lot_quotes_figures on lot_quotes (lot_id)
include (landed_eur, profit_eur, bid_usd, most_bid_usd)
where is_ranked;

drop index lot_board_make, lot_board_family;
create index lot_board_active_make on lot_board_active (make);
create index lot_board_active_family on lot_board_active (family);
create index lot_board_gone_make on lot_board_gone (make, first_seen);
create index lot_board_gone_family on lot_board_gone (family, first_seen);
