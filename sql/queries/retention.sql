-- What is older than its days goes, a bounded count of rows at a time.

-- name: remove_staging
-- Raw rows of the feed. The rows of a lot that is still active go too: what they said stands in lots and vehicles.
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
-- Runs of the feed; the newest one that loaded a file stays: the next file is compared with it.
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
-- Runs of crawls whose heart has not beaten since: one that works has not, however long ago it began.
delete from ops.crawl_runs
where id in (
    select runs.id
    from ops.crawl_runs as runs
    where runs.heartbeat_at < %(older_than)s
    limit %(count)s
);

-- name: remove_alerts
-- Alerts that have passed.
delete from ops.alerts
where id in (
    select alerts.id
    from ops.alerts
    where alerts.cleared_at < %(older_than)s
    limit %(count)s
);
