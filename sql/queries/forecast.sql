-- What the forecast measures.

-- name: active_lots
-- The active lots, counted in one look at them: by the state of their photos; those that wait for their first pass, by
-- hours until their sale and hours since they were first seen; those with all photos, by how many these are.
-- What no crawl has put into the order yet is looked up: that is seldom, and always right.
with active as materialized (
    select -- noqa: ST06
        coalesce(
            queued.state,
            (
                select lot_photos.state
                from lot_photos
                where lot_photos.lot_id = lots.id
            ),
            'missing'
        ) as state,
        coalesce(
            queued.stored,
            (
                select lot_photos.stored
                from lot_photos
                where lot_photos.lot_id = lots.id
            ),
            0
        ) as stored,
        lots.image_url is not null
        and case
            when queued.lot_id is not null then queued.first_at is null
            else (
                select lot_photos.first_at
                from lot_photos
                where lot_photos.lot_id = lots.id
            ) is null
        end as has_no_first,
        coalesce(lots.sale_at, lots.sale_date) as sale_at,
        lots.first_seen_at
    from lots
    left join lot_photos as queued on lots.id = queued.lot_id and queued.turn_at is not null
    where lots.status = 'active'
),

judged as (
    select -- noqa: ST06
        state,
        has_no_first and state in ('missing', 'partial', 'failed') as is_waiting,
        stored,
        sale_at,
        first_seen_at
    from active
)

select
    state,
    is_waiting,
    case when state = 'ok' then stored end as photos,
    case when is_waiting then ceil(date_part('epoch', sale_at - now()) / 3600)::integer end as sale,
    case when is_waiting then floor(date_part('epoch', now() - first_seen_at) / 3600)::integer end as age,
    count(*) as lots
from judged
group by
    state,
    is_waiting,
    photos,
    sale,
    age;

-- name: lives
-- How long lots lasted: the last ones that left in the last month. Lots of the first file have an unknown age, and do
-- not count.
with history as (
    select min(fetched_at) as first_load
    from raw.csv_files
),

newest as (
    select
        gone_at,
        first_seen_at
    from lots
    where
        status = 'gone'
        and gone_at > now() - interval '30 days'
    order by gone_at desc
    limit 50000 -- some days of a feed of usual size
),

lives as (
    select
        count(*) as gone,
        percentile_cont(0.5) within group (order by date_part('epoch', newest.gone_at - newest.first_seen_at) / 3600)
            as life_hours
    from newest
    cross join history
    where newest.first_seen_at > history.first_load + interval '1 hour'
)

select
    lives.gone,
    lives.life_hours,
    history.first_load,
    extract(epoch from now() - history.first_load) / 86400 as history_days
from lives
cross join history;

-- name: sales
-- Of the newest lots that came in the last three days, but not with the first file, and are still there: the share
-- whose sale is known, and how far off it was.
with newest as (
    select
        first_seen_at,
        coalesce(sale_at, sale_date) as sale
    from lots
    where status = 'active'
    order by id desc
    limit 20000
)

select
    count(*) as lots,
    avg((sale is not null)::integer) as dated_share,
    percentile_cont(0.5) within group (order by date_part('epoch', sale - first_seen_at) / 3600) as lead_hours
from newest
where
    first_seen_at > now() - interval '3 days'
    and first_seen_at > (select min(files.fetched_at) + interval '1 hour' from raw.csv_files as files);

-- name: photos
-- The photos that are stored: how many, and of the newest how large they are and which share of them is an object of
-- its own. Few are counted, many are estimated as the planner does.
with newest as (
    select
        id,
        storage_key,
        bytes
    from images
    order by created_at desc
    limit 20000
),

looked_up as (
    select
        newest.bytes,
        (
            select images.id
            from images
            where
                images.storage_key = newest.storage_key
                and images.id < newest.id
            limit 1
        ) is null as has_own_object
    from newest
)

select
    case
        when ops.estimated_rows('public.images') < 100000 then (select count(*) from images)
        else ops.estimated_rows('public.images')
    end as photos,
    avg(bytes) as mean,
    percentile_cont(0.25) within group (order by bytes) as low,
    percentile_cont(0.75) within group (order by bytes) as high,
    avg(has_own_object::integer) as object_share
from looked_up;

-- name: arrivals
-- New and changed lots a day, by the loads after the first, of the last two weeks. Days in part count as such.
with loads as (
    select
        started_at,
        lots_new,
        lots_changed,
        row_number() over (order by id) as place
    from audit.etl_runs
    where status = 'loaded'
),

later as (
    select
        started_at,
        lots_new,
        lots_changed,
        date_trunc('day', started_at) as day
    from loads
    where
        place > 1
        and started_at > now() - interval '14 days'
),

days as (
    select
        day,
        sum(lots_new) as lots
    from later
    where day < date_trunc('day', now())
    group by day
),

spread as (
    select
        percentile_cont(0.1) within group (order by lots) as low,
        percentile_cont(0.9) within group (order by lots) as high
    from days
)

select
    count(*) as loads,
    (select min(loads.started_at) from loads) as first_load,
    min(later.started_at) as since,
    extract(epoch from now() - min(later.started_at)) / 86400 as days,
    coalesce(sum(later.lots_new), 0) as lots_new,
    coalesce(sum(later.lots_changed), 0) as lots_changed,
    min(spread.low) as low,
    max(spread.high) as high,
    count(distinct later.day) as calendar_days
from later
cross join spread;

-- name: archive
-- The raw archive: what is kept, since when, and how much a whole day brought in the last two weeks.
with days as (
    select
        date_trunc('day', fetched_at) as day,
        sum(archive_bytes) as bytes
    from raw.csv_files
    where fetched_at > date_trunc('day', now()) - interval '14 days'
    group by day
),

whole as (
    select bytes
    from days
    where
        day < date_trunc('day', now())
        and day > (select min(earliest.day) from days as earliest)
)

select
    coalesce(sum(csv_files.archive_bytes) filter (where csv_files.removed_at is null), 0) as kept_bytes,
    count(*) filter (where csv_files.removed_at is null) as files,
    (select count(*) from whole) as days,
    (select avg(whole.bytes) from whole) as mean,
    (select percentile_cont(0.1) within group (order by whole.bytes) from whole) as low,
    (select percentile_cont(0.9) within group (order by whole.bytes) from whole) as high
from raw.csv_files;

-- name: tables
-- How large the tables are that grow, with their indexes, and how many rows they have as far as the planner knows.
select
    format('%I.%I', pg_namespace.nspname, pg_class.relname) as table_name,
    greatest(pg_class.reltuples, 0) as rows,
    pg_total_relation_size(pg_class.oid) as bytes
from pg_class
inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
where
    pg_class.relkind = 'r'
    and pg_namespace.nspname in ('audit', 'ops', 'public', 'raw', 'staging')
order by bytes desc;

-- name: ads
-- Ads that came in the last week, and since when they are followed.
select
    (
        select count(*)
        from listings as new_ads
        where new_ads.first_seen > now() - interval '7 days'
    ) as lately,
    extract(epoch from now() - min(ads.first_seen)) / 86400 as days
from listings as ads;

-- name: database_bytes
-- How large the database is.
select pg_database_size(current_database());
