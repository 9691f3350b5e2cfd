-- What the page /ops shows over time, besides the snapshot.

-- name: note_coverage
-- Keep how many lots have their photos, once an hour.
insert into ops.photo_coverage (at, lots, with_photo, past_first, with_all)
values (
    date_trunc('hour', clock_timestamp()), %(lots)s, %(with_photo)s, %(past_first)s, %(with_all)s
)
on conflict (at) do nothing;

-- name: coverage
-- How many lots had their photos, hour by hour in the last days, the oldest first.
select
    at,
    lots,
    with_photo,
    past_first,
    with_all
from ops.photo_coverage
where
    at > now() - make_interval(days => %(days)s)
    and at <= now()
order by at;

-- name: feed_runs
-- The last runs of the feed, the oldest first, with the seconds of their steps.
select
    runs.finished_at as at,
    runs.status,
    runs.reason,
    runs.rows_read as rows,
    runs.lots_new as new,
    runs.lots_changed as changed,
    runs.lots_gone as gone,
    runs.seconds
from (
    select etl_runs.*
    from audit.etl_runs
    order by etl_runs.id desc
    limit %(count)s
) as runs
order by runs.id;

-- name: messages
-- How many of the newest messages to the channel were settled in the last day, by how, and when the last one was.
select
    newest.state,
    count(*) as messages,
    max(newest.settled_at) as last_at
from (
    select
        notifications.state,
        notifications.settled_at
    from notifications
    order by notifications.id desc
    limit 2000
) as newest
where newest.settled_at > now() - interval '1 day'
group by newest.state
order by newest.state;
