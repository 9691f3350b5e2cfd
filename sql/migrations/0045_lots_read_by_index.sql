-- The preview of a watch of lots that names a make or model reads one index, and not the board behind it.
-- depends: 0044_lot_board_joined

-- A popular model has thousands of lots, nearly each on a page of its own. With all that a filter asks, as the samples
-- have it (0043_samples), 19 of 20 previews took up to 16 ms instead of 25.
drop index lot_board_active_make, lot_board_active_family;
create index lot_board_active_make on lot_board_active (make)
include (
    lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, family, year, fuel, gearbox, body, color, damage,
    title_group, condition, has_keys, odometer, state, has_photos
);
create index lot_board_active_family on lot_board_active (family)
include (
    lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, make, year, fuel, gearbox, body, color, damage,
    title_group, condition, has_keys, odometer, state, has_photos
);

-- Only pages that no row was written to since the last vacuum are left unread. By default a fifth of the rows has to
-- change before a vacuum, and of the gone ones, which are only inserted, a fifth has to come: twelve days. A vacuum of
-- the lots for sale takes 0.15 s.
alter table lot_board_active set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table lot_quotes set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table board_active set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table lot_board_gone set (
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 5000
);
alter table board_gone set (
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 5000
);
