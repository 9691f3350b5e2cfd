-- The programs of a machine: which are wanted, how their runs go, and what the supervisor remembers.

-- name: want_running
-- An operator started these workers: they are wanted, and may be restarted again if the supervisor had given up.
insert into ops.workers (machine, worker, desired)
select
    %(machine)s,
    names.name,
    'running'
from unnest(%(workers)s::text[]) as names (name)
on conflict (machine, worker) do update
    set
        desired = 'running',
        desired_at = clock_timestamp(),
        gave_up_at = null;

-- name: want_stopped
-- An operator stopped these workers: nothing else starts them.
insert into ops.workers (machine, worker, desired)
select
    %(machine)s,
    names.name,
    'stopped'
from unnest(%(workers)s::text[]) as names (name)
on conflict (machine, worker) do update
    set
        desired = 'stopped',
        desired_at = clock_timestamp(),
        gave_up_at = null;

-- name: adopt
-- Workers that run without having been started by `vinops`, as units that start with the machine, are wanted. One that
-- was stopped is only if it was started after that: it may be about to end.
insert into ops.workers as known (machine, worker, desired, desired_at)
select
    %(machine)s,
    running.name,
    'running',
    running.started_at
from unnest(%(workers)s::text[], %(times)s::timestamptz[]) as running (name, started_at)
on conflict (machine, worker) do update
    set
        desired = 'running',
        desired_at = clock_timestamp(),
        gave_up_at = null
    where
        known.desired <> 'running'
        and known.desired_at < excluded.desired_at;

-- name: remembered
-- What is known of the workers of a machine, with how long ago the restarts were that count: those within the window
-- and since an operator last started or stopped the worker.
select -- noqa: ST06
    workers.worker,
    case when workers.desired = 'running' then 'running' else 'stopped' end as desired,
    workers.gave_up_at,
    workers.log_file,
    workers.log_offset,
    workers.troubles,
    array(
        select extract(epoch from clock_timestamp() - restarts.restarted_at)::float8
        from ops.worker_restarts as restarts
        where
            restarts.machine = workers.machine
            and restarts.worker = workers.worker
            and restarts.restarted_at > greatest(
                workers.desired_at,
                clock_timestamp() - make_interval(secs => %(seconds)s)
            )
        order by restarts.restarted_at
    ) as seconds_since_restarts
from ops.workers
where workers.machine = %(machine)s
order by workers.worker;

-- name: runs_of_processes
-- The newest run of each of these processes of a machine, since it was started, with the age of its heartbeat.
select distinct on (runs.pid)
    runs.pid,
    runs.reason,
    runs.current_item,
    runs.unit,
    runs.done,
    runs.total,
    runs.items,
    runs.items_per_minute,
    runs.heartbeat_at,
    extract(epoch from clock_timestamp() - runs.heartbeat_at)::float8 as seconds_silent
from ops.crawl_runs as runs
inner join
    unnest(%(pids)s::integer[], %(times)s::timestamptz[]) as processes (pid, started_at)
    on
        processes.pid = runs.pid
        -- Written by the clock of the machine, compared with the clock of the database.
        and runs.started_at > processes.started_at - interval '1 minute'
where runs.machine = %(machine)s
order by runs.pid asc, runs.started_at desc;

-- name: task_progress
-- How many seconds ago a Celery worker last finished a task: one of this machine, and one of any.
select
    extract(epoch from clock_timestamp() - max(done_at) filter (where machine = %(machine)s))::float8 as here,
    extract(epoch from clock_timestamp() - max(done_at))::float8 as anywhere
from ops.task_progress;

-- name: live_runs
-- Runs of these spiders and workers with a heartbeat within the last half minute, on any machine.
select
    runs.machine,
    runs.pid,
    runs.spider,
    runs.worker
from ops.crawl_runs as runs
inner join
    unnest(%(spiders)s::text[], %(workers)s::text[]) as wanted (spider, worker)
    on
        runs.spider = wanted.spider
        and runs.worker is not distinct from wanted.worker
where
    runs.started_at > clock_timestamp() - interval '30 days'
    and runs.finished_at is null
    and runs.heartbeat_at > clock_timestamp() - interval '30 seconds'
order by runs.started_at;

-- name: holds
-- What keeps a crawl from requesting anything of these hosts, and until when: an open breaker, a host that asked to be
-- left alone, the requests of the day (UTC) used up.
select
    host,
    case
        when open_until > clock_timestamp() then 'breaker'
        when next_at > clock_timestamp() + interval '1 minute' then 'postponed'
        else 'daily_cap'
    end as reason,
    case
        when open_until > clock_timestamp() then open_until
        when next_at > clock_timestamp() + interval '1 minute' then next_at
        else (((clock_timestamp() at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC')
    end as held_until
from ops.host_budgets
where
    host = any(%(hosts)s::text[])
    and (
        open_until > clock_timestamp()
        or next_at > clock_timestamp() + interval '1 minute'
        or (day >= (clock_timestamp() at time zone 'UTC')::date and requests >= %(daily)s)
    )
order by held_until desc;

-- name: note_restart
-- A worker is about to be restarted, and why. Inserts nothing if an operator stopped it meanwhile.
insert into ops.worker_restarts (machine, worker, reason, detail)
select
    workers.machine,
    workers.worker,
    %(reason)s,
    %(detail)s
from ops.workers
where
    workers.machine = %(machine)s
    and workers.worker = %(worker)s
    and workers.desired = 'running';

-- name: is_wanted
-- Whether a worker is wanted. Locks its row: a stop waits for the end of the transaction.
select desired = 'running' as is_wanted
from ops.workers
where
    machine = %(machine)s
    and worker = %(worker)s
for update;

-- name: give_up
-- A worker is not restarted any more, until an operator starts it.
update ops.workers
set gave_up_at = clock_timestamp()
where
    machine = %(machine)s
    and worker = %(worker)s
    and gave_up_at is null;

-- name: remember_log
-- How far the log of a worker was read.
update ops.workers
set
    log_file = %(log_file)s,
    log_offset = %(log_offset)s
where
    machine = %(machine)s
    and worker = %(worker)s;

-- name: remember_troubles
-- What the owner was told of a worker.
update ops.workers
set troubles = %(troubles)s
where
    machine = %(machine)s
    and worker = %(worker)s;

-- name: forget_restarts
-- Restarts are kept for a month.
delete from ops.worker_restarts
where restarted_at < clock_timestamp() - interval '30 days';

-- name: tell_recovery
-- An alert is over, and the owner is to be told.
insert into ops.alerts (kind, subject, message)
values ('recovered', %(subject)s, %(message)s)
on conflict (kind, subject) where cleared_at is null do update
    set
        message = excluded.message,
        raised_at = clock_timestamp(),
        delivered_at = null;

-- name: settle_recoveries
-- A recovery is no open alert: it is cleared as soon as it was delivered, or if there is no chat to deliver it to.
update ops.alerts
set cleared_at = clock_timestamp()
where
    kind = 'recovered'
    and cleared_at is null
    and (
        delivered_at is not null
        or not %(is_delivered)s::boolean
        or raised_at < clock_timestamp() - interval '1 day'
    );

-- name: retire
-- These workers are not expected on this machine any more.
update ops.workers
set
    desired = 'retired',
    desired_at = clock_timestamp()
where
    machine = %(machine)s
    and worker = any(%(workers)s::text[]);
