-- What every crawl shares: its runs, the budget of each host, and the alerts to the owner.
-- depends: 0005_photos

-- One row a run of a spider, written while it works and at its end, whatever the end.
create table ops.crawl_runs (
    id bigint generated always as identity primary key,
    spider text not null,
    worker text,
    machine text not null,
    pid integer not null,
    arguments jsonb not null default '{}',
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    reason text,
    unit text not null default 'item',
    done integer not null default 0,
    total integer,
    items integer not null default 0,
    bytes bigint not null default 0,
    refusals integer not null default 0,
    items_per_minute real,
    expected_end timestamptz,
    current_item text,
    last_items jsonb not null default '[]',
    stats jsonb not null default '{}'
)
with (fillfactor = 50);

create index crawl_runs_spider on ops.crawl_runs (spider, started_at desc);

comment on column ops.crawl_runs.reason is 'finished, blocked, login_failed …; null while it runs and after a kill';
comment on column ops.crawl_runs.unit is 'what done and total count: lot, page';

-- The budget and the breaker of a host, shared by all processes on all machines.
create table ops.host_budgets (
    host text primary key,
    next_at timestamptz not null default '-infinity',
    day date not null default current_date,
    requests integer not null default 0,
    refusals_in_row integer not null default 0,
    last_refusal text,
    times_opened integer not null default 0,
    open_until timestamptz,
    updated_at timestamptz not null default clock_timestamp()
)
with (fillfactor = 50);

comment on column ops.host_budgets.next_at is 'when the next request to the host may start';
comment on column ops.host_budgets.requests is 'requests reserved on that day (UTC)';
comment on column ops.host_budgets.times_opened is 'openings of the breaker in a row: each keeps it open longer';

-- What the owner was told, or is to be told: one open alert a kind and subject.
create table ops.alerts (
    id bigint generated always as identity primary key,
    kind text not null,
    subject text not null,
    message text not null,
    raised_at timestamptz not null default clock_timestamp(),
    times integer not null default 1,
    delivered_at timestamptz,
    cleared_at timestamptz
);

create unique index alerts_open on ops.alerts (kind, subject) where cleared_at is null;
