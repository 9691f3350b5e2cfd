-- Previews of watches of lots are told from a sample, look quotes up in an index alone, and read only those gone lots
-- of a make or model that came lately.
-- depends: 0042_lots_by_make

-- One lot in thirteen, which is as good as at random, with all that a filter asks but the names of yards and sellers,
-- which can be longer than a row of an index: how many lots a wide filter finds is told by these, without reading the
-- board (vinops/lots/overview.py).
create index lot_board_sample on lot_board (first_seen)
include (
    lot_id, is_gone, sale_at, high_bid, buy_now_price, make, family, year, fuel, gearbox, body, color, damage,
    title_group, condition, has_keys, odometer, state, has_photos
)
where mod(lot_id, 13) = 0;

create index lot_quotes_figures on lot_quotes (lot_id)
include (landed_eur, profit_eur, bid_usd, most_bid_usd)
where is_ranked;

drop index lot_board_make, lot_board_family;
create index lot_board_active_make on lot_board_active (make);
create index lot_board_active_family on lot_board_active (family);
create index lot_board_gone_make on lot_board_gone (make, first_seen);
create index lot_board_gone_family on lot_board_gone (family, first_seen);
