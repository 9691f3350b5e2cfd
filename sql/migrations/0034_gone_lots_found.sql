-- Indexes of the fields that few lots share, for lots that are gone: of half a million rows all were read for the few
-- of a yard, a seller or a damage. Lots that are for sale have none: they are 150,000, and each index would cost the
-- first load of a feed.
-- depends: 0033_watches

create index lot_board_gone_yard on lot_board_gone (lower(yard));
create index lot_board_gone_seller on lot_board_gone (lower(seller));
create index lot_board_gone_damage on lot_board_gone (damage);
