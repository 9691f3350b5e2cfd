-- Import deals: what the car of a lot is worth in Bulgaria, what one may bid for it, and what lots went for.
-- depends: 0031_exchange_rates

-- One row a lot that was looked at: why it is not bought, or what its car is asked for here, undamaged and imported.
create table lot_values (
    lot_id bigint primary key references lots (id) on delete cascade,
    lot_hash bytea not null,
    basis text not null,
    model text,
    family text,
    fuel text,
    year smallint,
    mileage_km integer,
    twin text,
    p10 integer,
    p20 integer,
    p50 integer,
    p90 integer,
    comparables integer not null default 0,
    confidence real not null default 0 check (confidence between 0 and 1),
    method text not null check (method in ('none', 'comparables', 'model', 'blend')),
    blockers jsonb not null default '[]',
    details jsonb not null default '{}',
    valued_at timestamptz not null default now(),
    check ((method = 'none') = (p50 is null)),
    check (p10 <= p20 and p20 <= p50 and p50 <= p90)
)
with (fillfactor = 90);

comment on column lot_values.lot_hash is 'row_hash of the lot as it was looked at';
comment on column lot_values.basis is 'model, discount, twins and rules it was made with; another one makes it anew';
comment on column lot_values.model is 'as in vinops/vehicles.toml: «Ford Escape»';
comment on column lot_values.twin is 'the model whose ads were asked instead: «Ford Kuga»';
comment on column lot_values.p50 is 'EUR with tax, the discount of imported cars taken off';
comment on column lot_values.blockers is 'why it is not bought: [{"name", "reason"}]; empty: nothing speaks against it';
comment on column lot_values.details is 'comparables, the discount and its n, the reason where there is no value';

-- One row a lot with a value: what it costs landed, by the default profile, and how it ranks.
create table lot_quotes (
    lot_id bigint primary key references lots (id) on delete cascade,
    basis text not null,
    valued_at timestamptz not null,
    is_complete boolean not null,
    missing text[] not null default '{}',
    most_bid_usd integer,
    bid_usd integer,
    bid_kind text check (bid_kind in ('buy now', 'floor')),
    landed_eur numeric(12, 2),
    profit_eur integer,
    profit_low integer,
    profit_high integer,
    loss_chance real check (loss_chance between 0 and 1),
    is_ranked boolean not null,
    quoted_at timestamptz not null default now(),
    check ((bid_usd is null) = (bid_kind is null))
)
with (fillfactor = 90);

create index lot_quotes_profit on lot_quotes (profit_eur desc, lot_id) where is_ranked and bid_usd is not null;
create index lot_quotes_most_bid on lot_quotes (most_bid_usd desc, lot_id) where is_ranked;

comment on column lot_quotes.basis is 'tariffs, profile and rate it was made with; another one makes it anew';
comment on column lot_quotes.valued_at is 'when the value that was quoted was made; another one is quoted anew';
comment on column lot_quotes.missing is 'the unknown lines; such a quote is incomplete and has no total';
comment on column lot_quotes.most_bid_usd is 'the most one may bid for the profile''s margin, at p20 and a dear repair';
comment on column lot_quotes.bid_usd is 'the price there is to count with; null: a bid before the sale is no price';
comment on column lot_quotes.landed_eur is 'at bid_usd, or at most_bid_usd where there is no price';
comment on column lot_quotes.profit_eur is 'at the same bid, with the value p20 and the repair p75';
comment on column lot_quotes.is_ranked is 'complete, unblocked, and of an active lot';

-- What lots went for, as people typed it. The newest of a lot counts.
create table lot_results (
    id bigint generated always as identity primary key,
    lot_id bigint not null references lots (id) on delete cascade,
    price integer not null check (price > 0),
    is_won boolean not null,
    user_id bigint references ops.users (id),
    noted_at timestamptz not null default now()
);

create index lot_results_lot on lot_results (lot_id, id desc);

comment on column lot_results.price is 'whole units of the lot''s currency';
comment on column lot_results.user_id is 'null: noted by the command line';

-- What cars that came from America are asked for beside others, measured on our own ads. The newest row is used.
create table import_discounts (
    id bigint generated always as identity primary key,
    ads integer not null,
    discount real not null,
    measured_at timestamptz not null default now()
);

comment on column import_discounts.discount is 'share of the price of others: 0.12 is 12 % less';

-- By how much the last bid before a sale exceeds the bid some hours before it, from lots that left the feed.
create table lot_floors (
    hours integer primary key,
    lots integer not null,
    growth real not null,
    measured_at timestamptz not null default now()
);

comment on column lot_floors.hours is 'to the sale, at most';

-- The queue of the lots, as ops.deal_outbox is that of the ads. No foreign key: a row lives for seconds, a whole market
-- is queued at once, and one of a lot that is gone is simply done.
create table ops.lot_outbox (
    lot_id bigint not null,
    stage text not null check (stage in ('value', 'quote')),
    change text not null default 'changed',
    queued_at timestamptz not null default clock_timestamp(),
    attempts smallint not null default 0,
    token bigint,
    leased_until timestamptz,
    rung_at timestamptz,
    retry_at timestamptz,
    error text,
    dead_at timestamptz,
    primary key (lot_id, stage)
);

create index lot_outbox_stage on ops.lot_outbox (stage, attempts, queued_at) where dead_at is null;

create trigger lot_queued_again before update of queued_at on ops.lot_outbox
for each row when (new.queued_at <> old.queued_at) execute function renew_deal_work();

insert into ops.scheduled_tasks (task)
values ('value_lots');
