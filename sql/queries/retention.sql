-- Retention: delete what is older than its days, a bounded number of rows at a time.

-- name: run_days
-- The database's clock, and for each day with runs of the feed or of crawls the time of the last one.
select
    0 as place,
    clock_timestamp() as at
union all
select
    1 as place,
    max(runs.at) as at
from (
    select finished_at as at
    from audit.etl_runs
    union all
    select heartbeat_at as at
    from ops.crawl_runs
) as runs
group by date_trunc('day', runs.at)
order by
    place asc,
    at desc;

-- name: newest_staging
-- When the newest file with staged rows was fetched; times in the future do not count, here and below.
select max(fetched_at) as at
from raw.csv_files
where fetched_at <= %(latest)s;

-- name: newest_etl_runs
-- When the newest run of the feed ended.
select max(finished_at) as at
from audit.etl_runs
where finished_at <= %(latest)s;

-- name: newest_crawl_runs
-- When the newest crawl had its last heartbeat.
select max(heartbeat_at) as at
from ops.crawl_runs
where heartbeat_at <= %(latest)s;

-- name: newest_alerts
-- When the newest alert was raised or cleared.
select max(greatest(raised_at, cleared_at)) as at
from ops.alerts
where greatest(raised_at, cleared_at) <= %(latest)s;

-- name: remove_staging
-- Staged rows of the feed, also those of active lots: their values are in lots and vehicles.
delete from staging.copart_raw
where ctid = any(array(
    select rows.ctid
    from staging.copart_raw as rows
    where
        rows.file_id in (
            select files.id
            from raw.csv_files as files
            where files.fetched_at < %(older_than)s
        )
        and rows.ingested_at < %(older_than)s
    limit %(count)s
));

-- name: remove_etl_runs
-- Remove runs of the feed, but not the newest one that loaded a file: the next file is compared with it.
delete from audit.etl_runs
where id in (
    select runs.id
    from audit.etl_runs as runs
    where
        runs.finished_at < %(older_than)s
        and runs.id <> coalesce(
            (
                select max(loaded.id)
                from audit.etl_runs as loaded
                where loaded.status = 'loaded'
            ),
            0
        )
    limit %(count)s
);

-- name: remove_crawl_runs
-- Runs of crawls without a heartbeat since; a running crawl has one, however long ago it began.
delete from ops.crawl_runs
where id in (
    select runs.id
    from ops.crawl_runs as runs
    where runs.heartbeat_at < %(older_than)s
    limit %(count)s
);

-- name: remove_alerts
-- Cleared alerts.
delete from ops.alerts
where id in (
    select alerts.id
    from ops.alerts
    where alerts.cleared_at < %(older_than)s
    limit %(count)s
);

-- name: count_staging
-- How many rows `remove_staging` would remove.
select count(*) as rows
from staging.copart_raw as rows
inner join raw.csv_files as files on rows.file_id = files.id
where
    files.fetched_at < %(older_than)s
    and rows.ingested_at < %(older_than)s;

-- name: count_etl_runs
-- How many rows `remove_etl_runs` would remove.
select count(*) as rows
from audit.etl_runs as runs
where
    runs.finished_at < %(older_than)s
    and runs.id <> coalesce(
        (
            select max(loaded.id)
            from audit.etl_runs as loaded
            where loaded.status = 'loaded'
        ),
        0
    );

-- name: count_crawl_runs
-- How many rows `remove_crawl_runs` would remove.
select count(*) as rows
from ops.crawl_runs
where heartbeat_at < %(older_than)s;

-- name: count_alerts
-- How many rows `remove_alerts` would remove.
select count(*) as rows
from ops.alerts
where cleared_at < %(older_than)s;
