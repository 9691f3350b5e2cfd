-- The loop that a worker's unit runs: how the crawl it started goes.

-- name: run_of_crawl
-- The newest run of a process of a machine since it was started: its heartbeat, how far it is, and why it ended.
select
    heartbeat_at,
    unit,
    done,
    total,
    items,
    reason
from ops.crawl_runs
where
    machine = %(machine)s
    and pid = any(%(pids)s::integer[])
    -- Written by the clock of the machine, compared with the clock of the database.
    and started_at > %(started_at)s::timestamptz - interval '1 minute'
order by started_at desc
limit 1;
