-- The market over time, as the nightly task computes it (docs/decisions/0033-market.md): medians by month, what is
-- advertised now, and how long ads stay. The site reads these tables only.
-- depends: 0028_lot_board

create table market_months (
    month date primary key check (extract(day from month) = 1),
    computed_at timestamptz not null
);

comment on table market_months is 'months of UTC; one that was computed a week after its end is not computed again';

create table market_prices (
    month date not null references market_months (month) on delete cascade,
    make text not null,
    family text not null,
    year smallint not null,
    ads integer not null,
    priced integer not null check (priced <= ads),
    p25 numeric(12, 2),
    p50 numeric(12, 2),
    p75 numeric(12, 2),
    primary key (month, year, make, family),
    check ((priced = 0) = (p50 is null))
);

create index market_prices_family on market_prices (family, month);

comment on table market_prices is 'cars that were advertised in a month, each once; quartiles of their prices in EUR';
comment on column market_prices.make is 'empty: all makes';
comment on column market_prices.family is 'empty: all families of the make';
comment on column market_prices.year is 'model year; 0: all';
comment on column market_prices.ads is 'cars that were seen advertised in the month';
comment on column market_prices.priced is 'those of them whose price counts';

create table market_now (
    make text not null,
    family text not null,
    split text not null check (split in ('', 'year', 'fuel', 'region')),
    value text not null,
    ads integer not null,
    priced integer not null check (priced <= ads),
    p25 numeric(12, 2),
    p50 numeric(12, 2),
    p75 numeric(12, 2),
    primary key (family, split, value, make),
    check ((split = '') = (value = '')),
    check ((priced = 0) = (p50 is null))
);

create index market_now_whole on market_now (make, family) where split = '';

comment on table market_now is 'cars that are advertised at the time of market_state; otherwise as market_prices';
comment on column market_now.split is 'which cars of the family: of this model year, fuel or region; empty: all';

create table market_stays (
    make text not null,
    family text not null,
    watched integer not null,
    gone integer not null,
    followed_days integer not null,
    median_days integer,
    gone_in_30_days numeric(5, 4) check (gone_in_30_days between 0 and 1),
    watched_until timestamptz not null,
    primary key (family, make)
);

comment on table market_stays is 'how long ads stay, from complete walks';
comment on column market_stays.watched is 'cars that were watched in the last 90 days, also those still advertised';
comment on column market_stays.gone is 'those of them that went meanwhile';
comment on column market_stays.followed_days is 'up to which age enough cars were watched';
comment on column market_stays.median_days is 'within so many days half of the cars are gone; null: not known';
comment on column market_stays.watched_until is 'end of the last complete walk of its makes';

-- One row.
create table market_state (
    is_only boolean primary key default true check (is_only),
    computed_at timestamptz not null
);

comment on table market_state is 'when all figures of the market were computed last';

insert into ops.scheduled_tasks (task)
values ('market');
