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

-- name: count_events
-- How many rows `remove_events` would remove.
select count(*) as rows
from audit.lot_events
where happened_at < %(older_than)s;

-- name: count_gone_photos
-- How many rows `remove_gone_photos` would remove.
select count(*) as rows
from images
inner join lots on images.lot_id = lots.id
where
    images.created_at < %(older_than)s
    and lots.status = 'gone'
    and lots.gone_at < %(older_than)s;

-- name: count_lots
-- How many lots would be removed: `old_lots`, with those whose photos would be removed before.
select count(*) as rows
from lots
where
    status = 'gone'
    and gone_at < %(older_than)s;

-- name: newest_gone
-- When the lot left that left last.
select max(gone_at) as at
from lots
where
    status = 'gone'
    and gone_at <= %(latest)s;

-- name: remove_events
-- Events of lots.
delete from audit.lot_events
where ctid = any(array(
    select events.ctid
    from audit.lot_events as events
    where events.happened_at < %(older_than)s
    limit %(count)s
));

-- name: remove_gone_photos
-- Photos of lots that left; their objects are queued for removal in the same transaction. A photo is older than the
-- end of its lot: only those that were stored before the limit are read.
with old as (
    select
        images.id,
        images.lot_id,
        images.storage_key
    from images
    cross join lateral (
        select lots.id
        from lots
        where
            lots.id = images.lot_id
            and lots.status = 'gone'
            and lots.gone_at < %(older_than)s
        limit 1
    ) as gone
    where images.created_at < %(older_than)s
    order by images.created_at
    limit %(count)s
),

removed as (
    delete from images using old
    where images.id = old.id
    returning images.lot_id, images.storage_key
),

queued as (
    insert into ops.photo_removals (storage_key, queued_at)
    select
        storage_key,
        %(now)s
    from removed
    group by storage_key
    on conflict (storage_key) do update
        set queued_at = excluded.queued_at
),

counted as (
    update lot_photos
    set stored = greatest(lot_photos.stored - lots.photos, 0)
    from (
        select
            lot_id,
            count(*) as photos
        from removed
        group by lot_id
    ) as lots
    where lot_photos.lot_id = lots.lot_id
)

select count(*) as photos
from removed;

-- name: forget_used_objects
-- Objects that a photo refers to are not removed: a lot of the same vehicle has them, or they were stored again.
delete from ops.photo_removals as removals
where
    removals.queued_at < %(older_than)s
    and (
        select images.id
        from images
        where images.storage_key = removals.storage_key
        limit 1
    ) is not null;

-- name: unused_objects
-- Objects that no photo refers to any more, queued before that time.
select removals.storage_key
from ops.photo_removals as removals
where
    removals.queued_at < %(older_than)s
    and (
        select images.id
        from images
        where images.storage_key = removals.storage_key
        limit 1
    ) is null
order by removals.storage_key
limit %(count)s;

-- name: forget_objects
-- Objects that were removed from the store.
delete from ops.photo_removals
where storage_key = any(%(keys)s);

-- name: old_lots
-- Lots that left before that time, have no photo left and are not in the hands of a photo crawl; they are locked.
select lots.id
from lots
where
    lots.status = 'gone'
    and lots.gone_at < %(older_than)s
    and (
        select images.id
        from images
        where images.lot_id = lots.id
        limit 1
    ) is null
    and (
        select photos.lot_id
        from lot_photos as photos
        where
            photos.lot_id = lots.id
            and photos.lease_expires_at > now()
        limit 1
    ) is null
order by lots.gone_at
limit %(count)s
for update of lots skip locked;

-- name: drop_events_of_lots
-- The events of these lots.
delete from audit.lot_events
where lot_id = any(%(lot_ids)s);

-- name: drop_leases_of_lots
-- What the photo crawl knows of these lots.
delete from lot_photos
where lot_id = any(%(lot_ids)s);

-- name: drop_shared_vins_of_lots
-- The notes on the VINs of these lots.
delete from staging.shared_vins
where
    lot_external_id in (
        select lots.lot_external_id
        from lots
        where lots.id = any(%(lot_ids)s)
    );

-- name: forget_previous_lots
-- Lots whose lot before is one of these have none any more.
update lots
set previous_lot_id = null
where previous_lot_id = any(%(lot_ids)s);

-- name: drop_rows_of_lots
-- Their rows on the board of lots.
delete from lot_board
where lot_id = any(%(lot_ids)s);

-- name: remove_lots
-- These lots. Their vehicles stay: docs/decisions/0005-no-foreign-key-to-vehicles.md.
delete from lots
where id = any(%(lot_ids)s);

-- name: texts_masked
-- Up to which ad texts were masked by these rules; no row if none were.
select up_to
from ops.texts_masked
where rules = %(rules)s;

-- name: texts_of_ads
-- The texts of the next ads behind one, by their numbers.
select
    id,
    title,
    description
from listings
where id > %(up_to)s
order by id
limit %(count)s;

-- name: mask_texts
-- Replace texts of ads, where no crawl has written others since they were read.
update listings
set
    title = masked.title,
    description = masked.description
from unnest(
    %(ids)s::bigint[],
    %(titles)s::text[],
    %(descriptions)s::text[],
    %(old_titles)s::text[],
    %(old_descriptions)s::text[]
) as masked (id, title, description, old_title, old_description)
where
    listings.id = masked.id
    and listings.title = masked.old_title
    and listings.description is not distinct from masked.old_description;

-- name: note_texts_masked
-- Note up to which ad texts were masked.
insert into ops.texts_masked (rules, up_to)
values (%(rules)s, %(up_to)s)
on conflict (is_row) do update
    set
        rules = excluded.rules,
        up_to = excluded.up_to,
        noted_at = now();
