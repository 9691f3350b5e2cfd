-- The files and the runs of the feed: the archive, its retention, audit.etl_runs, and `python -m etl status`.

-- name: mark_old_files
-- Whole chains whose newest file is older than the limit; the chain of the last load is never one of them.
with recursive chains as (
    select
        id as first_id,
        id,
        fetched_at
    from raw.csv_files
    where base_id is null and removed_at is null
    union all
    select
        chains.first_id,
        files.id,
        files.fetched_at
    from chains
    inner join raw.csv_files as files on chains.id = files.base_id
    where files.removed_at is null
),

old_chains as (
    select chains.first_id
    from chains
    group by chains.first_id
    having
        max(chains.fetched_at) < %(older_than)s
        and not bool_or(
            chains.id = (
                select runs.file_id
                from audit.etl_runs as runs
                where runs.status = 'loaded'
                order by runs.id desc
                limit 1
            )
        )
)

update raw.csv_files as files
set removed_at = now()
from chains
inner join old_chains on chains.first_id = old_chains.first_id
where files.id = chains.id
returning files.path;

-- name: newest_file
-- When the newest file of the archive was fetched; not one that is dated in the future.
select max(fetched_at) as fetched_at
from raw.csv_files
where
    removed_at is null
    and fetched_at <= %(latest)s;

-- name: run_days
-- The database's clock, and for each day with runs of the feed when the last one ended.
select
    0 as place,
    clock_timestamp() as at
union all
select
    1 as place,
    max(finished_at) as at
from audit.etl_runs
group by date_trunc('day', finished_at)
order by
    place asc,
    at desc;

-- name: removed_files
-- Files that retention marked in the last week: removed from the disk, or still to be removed.
select path
from raw.csv_files
where removed_at > now() - interval '7 days'
order by id;

-- name: last_load
-- The file whose rows the tables hold: the last one that was loaded.
select
    runs.file_id,
    runs.sha256,
    runs.rows_accepted,
    runs.newest_update
from audit.etl_runs as runs
where runs.status = 'loaded'
order by runs.id desc
limit 1;

-- name: active_rows
-- The active lots, to rebuild the state of the last file.
select
    row_hash,
    lot_external_id,
    coalesce(last_updated_at = %(newest)s, false) as is_newest
from lots
where status = 'active'
order by id;

-- name: file_by_sha256
-- The id of the file of these bytes, and whether retention has removed it from the archive.
select
    id,
    removed_at is not null as is_missing
from raw.csv_files
where sha256 = %(sha256)s;

-- name: file_by_archive
-- The recorded file with these archived bytes, if any.
select
    id,
    sha256,
    path,
    bytes,
    archive_bytes,
    archive_sha256
from raw.csv_files
where archive_sha256 = %(sha256)s and removed_at is null
order by id desc
limit 1;

-- name: is_path_taken
-- Whether the archive has, or had, a file of that path.
select count(*) > 0 from raw.csv_files
where path = %(path)s;

-- name: clock
-- The time by the database's clock.
select clock_timestamp();

-- name: next_file_id
-- The id of the next file; its rows are staged before its own row can be written.
select nextval(pg_get_serial_sequence('raw.csv_files', 'id'));

-- name: add_file
-- Record an archived file; one that retention had removed keeps its old id.
insert into raw.csv_files (
    id, sha256, fetched_at, path, base_id, bytes, archive_bytes, archive_sha256
)
overriding system value
values (
    %(id)s, %(sha256)s, %(fetched_at)s, %(path)s, %(base_id)s, %(bytes)s, %(archive_bytes)s, %(archive_sha256)s
)
on conflict (sha256) do update set
    fetched_at = excluded.fetched_at,
    path = excluded.path,
    base_id = excluded.base_id,
    archive_bytes = excluded.archive_bytes,
    archive_sha256 = excluded.archive_sha256,
    removed_at = null;

-- name: chain
-- The archived files that a file is built on, the whole one first, itself last.
with recursive links as (
    select
        files.*,
        0 as depth
    from raw.csv_files as files
    where files.id = %(id)s
    union all
    select
        base.*,
        links.depth + 1 as depth
    from links
    inner join raw.csv_files as base on links.base_id = base.id
)

select
    id,
    sha256,
    path,
    bytes,
    archive_bytes,
    archive_sha256
from links
order by depth desc;

-- name: record_run
-- Record a run.
insert into audit.etl_runs (
    started_at, status, reason, message, file_id, sha256, bytes, newest_update,
    rows_read, rows_accepted, rows_rejected, rows_repaired,
    lots_new, lots_changed, lots_unchanged, lots_gone, lots_returned, lots_relisted, conflicts,
    seconds, drift
)
values (
    %(started_at)s, %(status)s, %(reason)s, %(message)s, %(file_id)s, %(sha256)s, %(bytes)s, %(newest_update)s,
    %(rows_read)s, %(rows_accepted)s, %(rows_rejected)s, %(rows_repaired)s,
    %(lots_new)s, %(lots_changed)s, %(lots_unchanged)s, %(lots_gone)s, %(lots_returned)s, %(lots_relisted)s,
    %(conflicts)s, %(seconds)s, %(drift)s
)
returning id;

-- name: find_file
-- An archived file by its path, its minute, the start of its sha256, or `latest`.
select
    id,
    removed_at,
    path
from raw.csv_files
where
    path = %(stamp)s
    or (%(stamp)s = 'latest' and removed_at is null)
    or (fetched_at >= %(from_time)s and fetched_at < %(to_time)s)
    or (%(stamp)s ~ '^[0-9a-f]{6,64}$' and starts_with(sha256, %(stamp)s))
order by
    removed_at is not null asc,
    case when %(stamp)s = 'latest' then -id else id end asc
limit 1;

-- name: status_runs
-- The last runs.
select
    started_at,
    status,
    reason,
    rows_read,
    lots_new,
    lots_changed,
    lots_gone,
    lots_returned,
    rows_rejected,
    seconds -> 'total' as seconds
from audit.etl_runs
order by id desc
limit 10;

-- name: status_lots
-- Lots by their state. Few gone ones are counted, many are estimated as the planner does; their newest update is that
-- of the thousand that left last.
with active as (
    select
        count(*) as lots,
        max(last_updated_at) as newest_update
    from lots
    where status = 'active'
),

gone as (
    select
        case
            when ops.estimated_rows('public.lots') < 100000
                then (
                    select count(*)
                    from lots
                    where lots.status = 'gone'
                )
            else greatest(ops.estimated_rows('public.lots') - active.lots, 0)
        end as lots,
        ops.estimated_rows('public.lots') >= 100000 as is_estimate
    from active
),

last_gone as (
    select last_updated_at
    from lots
    where status = 'gone'
    order by gone_at desc
    limit 1000
)

select
    'active' as status,
    lots,
    newest_update,
    false as is_estimate
from active
where lots > 0
union all
select
    'gone' as status,
    gone.lots,
    (select max(last_gone.last_updated_at) from last_gone) as newest_update,
    gone.is_estimate
from gone
where gone.lots > 0;

-- name: status_files
-- The files that were archived last.
select
    fetched_at,
    path,
    bytes,
    archive_bytes,
    case when base_id is null then 'whole' else 'delta' end as kind,
    round(100.0 * archive_bytes / bytes, 2) as percent
from raw.csv_files
where removed_at is null
order by id desc
limit 5;

-- name: status_archive
-- What the archive holds and costs.
select
    count(*) as files,
    count(*) filter (where base_id is null) as whole,
    sum(bytes) as bytes,
    sum(archive_bytes) as archive_bytes,
    round(100.0 * sum(archive_bytes) / nullif(sum(bytes), 0), 2) as percent
from raw.csv_files
where removed_at is null;

-- name: status_unknown
-- The columns with the highest share of unknown values.
select
    column_name,
    unknown,
    unknown_rate
from audit.v_unknown_rate
limit 8;

-- name: status_errors
-- Rejected rows and values that could not be parsed, most frequent first.
select
    kind,
    name,
    errors,
    last_seen,
    example
from audit.v_all_parse_errors
limit 12;

-- name: holds_lock
-- Whether this session holds the lock of the feed: a row, or none.
select pg_locks.pid
from pg_locks
inner join pg_database on pg_locks.database = pg_database.oid
where
    pg_locks.locktype = 'advisory'
    and pg_locks.pid = pg_backend_pid()
    and pg_database.datname = current_database()
    and (pg_locks.classid::bigint << 32) + pg_locks.objid::bigint = %(lock)s::bigint;

-- name: stuck_lock
-- Who holds the lock of the feed, if for longer than a run takes: its session is that old, and no run has ended since.
select
    holder.pid,
    session.application_name as application,
    to_char(session.backend_start, 'YYYY-MM-DD HH24:MI') as since
from pg_locks as holder
inner join pg_database on holder.database = pg_database.oid
inner join pg_stat_activity as session on holder.pid = session.pid
where
    holder.locktype = 'advisory'
    and holder.granted
    and pg_database.datname = current_database()
    and (holder.classid::bigint << 32) + holder.objid::bigint = %(lock)s::bigint
    and session.backend_start < clock_timestamp() - make_interval(secs => %(seconds)s)
    and not exists (
        select 1
        from audit.etl_runs as runs
        where
            runs.finished_at > clock_timestamp() - make_interval(secs => %(seconds)s)
            and runs.reason is distinct from 'lock_stuck'
    );
