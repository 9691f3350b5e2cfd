-- The runs of crawls.

-- name: begin_run
-- Begin a run.
insert into ops.crawl_runs (spider, worker, machine, pid, arguments, unit)
values (%(spider)s, %(worker)s, %(machine)s, %(pid)s, %(arguments)s, %(unit)s)
returning id;

-- name: beat
-- Record how far a run is, and at its end the reason. The heartbeat is updated only while the crawl progresses.
update ops.crawl_runs
set
    heartbeat_at = case when %(is_moving)s then clock_timestamp() else heartbeat_at end,
    finished_at = case when %(reason)s::text is not null then clock_timestamp() end,
    reason = %(reason)s,
    done = %(done)s,
    total = %(total)s,
    items = %(items)s,
    bytes = %(bytes)s,
    refusals = %(refusals)s,
    items_per_minute = %(items_per_minute)s,
    expected_end = clock_timestamp() + make_interval(secs => %(seconds_left)s),
    current_item = %(current_item)s,
    last_items = %(last_items)s,
    stats = %(stats)s
where id = %(id)s;

-- name: lacking_right
-- A right on one of these tables that the role of this session lacks; no row if it has all.
select
    needed.table_name,
    wanted.right_name,
    current_user::text as role_name
from unnest(%(tables)s::text[]) as needed (table_name)
cross join unnest('{select, insert, update}'::text[]) as wanted (right_name)
where not has_table_privilege(needed.table_name, wanted.right_name)
order by needed.table_name
limit 1;
