-- Exchange rates: what one euro is worth in another currency, day by day.
-- depends: 0027_people

-- One row a currency and day. A day's rate is never changed; the newest one counts.
create table exchange_rates (
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    day date not null,
    rate numeric(12, 6) not null check (rate > 0),
    source text not null,
    fetched_at timestamptz not null default clock_timestamp(),
    primary key (currency, day)
);

comment on column exchange_rates.rate is 'units of the currency for one euro';
comment on column exchange_rates.source is 'the host that published it';

insert into ops.scheduled_tasks (task)
values ('exchange_rate');
