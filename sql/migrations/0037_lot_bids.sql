-- Import deals: the bids that people typed, by which lots are ranked.
-- depends: 0036_lot_notifications

-- One row a lot: the bid that counts, for everybody.
create table lot_bids (
    lot_id bigint primary key references lots (id) on delete cascade,
    bid_usd integer not null check (bid_usd > 0),
    user_id bigint references ops.users (id),
    noted_at timestamptz not null default now()
);

comment on column lot_bids.user_id is 'who typed it; null: the command line';

-- The lots that may be ranked by any profile: nothing speaks against them, and they have a value.
create index lot_values_unblocked on lot_values (lot_id) where p50 is not null and blockers = '[]';

-- After the restore of a backup: messages about lots that the restored database does not know yet, by their number at
-- the auction. Once the feed has brought the lot, its message is that of the lot again. A restore creates it, too.
create table if not exists ops.told_lots (
    lot_external_id bigint primary key,
    told jsonb not null
);
