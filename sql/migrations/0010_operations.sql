-- Who is to run, and what the supervisor remembers over its own restarts. Each machine has rows of its own.
-- depends: 0009_deals

create table ops.workers (
    machine text not null,
    worker text not null,
    desired text not null check (desired in ('running', 'stopped')),
    desired_at timestamptz not null default clock_timestamp(),
    gave_up_at timestamptz,
    log_file bigint,
    log_offset bigint,
    troubles jsonb not null default '{}',
    primary key (machine, worker)
);

comment on column ops.workers.worker is '1 to 4, or photos';
comment on column ops.workers.desired is 'what the operator said last: a worker that was stopped stays stopped';
comment on column ops.workers.gave_up_at is
'since when it is not restarted any more; an operator who starts it ends that';
comment on column ops.workers.log_file is 'inode of the log that was read last, up to log_offset bytes';
comment on column ops.workers.troubles is
'what the owner was told of and has not passed: kind, and when it last showed';

-- A start that nobody asked for: what the cooldown and the cap are counted from.
create table ops.worker_restarts (
    id bigint generated always as identity primary key,
    machine text not null,
    worker text not null,
    restarted_at timestamptz not null default clock_timestamp(),
    reason text not null check (reason in ('dead', 'failed', 'hung')),
    detail text
);

create index worker_restarts_worker on ops.worker_restarts (machine, worker, restarted_at desc);

-- The run of a process: looked up every few seconds by whoever watches.
create index crawl_runs_process on ops.crawl_runs (machine, pid, started_at desc);
