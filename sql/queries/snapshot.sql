-- The status snapshot of the monitor, the health check and the metrics. What is not cheap is queried so rarely that it
-- takes no more than a fiftieth of the time.

-- name: latest_runs
-- The last run of each worker, the photo crawl being one, of the newest runs of each spider.
with recent as (
    select runs.*
    from unnest(%(spiders)s::text[], %(counts)s::integer[]) as wanted (spider, newest)
    cross join lateral ( -- noqa: ST05
        select crawl_runs.*
        from ops.crawl_runs
        where crawl_runs.spider = wanted.spider
        order by crawl_runs.started_at desc
        limit wanted.newest
    ) as runs
)

select distinct on (spider, worker)
    id,
    spider,
    worker,
    machine,
    pid,
    started_at,
    heartbeat_at,
    finished_at,
    reason,
    unit,
    done,
    total,
    items,
    refusals,
    items_per_minute,
    expected_end,
    current_item,
    last_items,
    stats
from recent
order by spider asc, worker asc, started_at desc;

-- name: activity
-- Connections, rows inserted and updated since the statistics began, and the clock.
select
    numbackends as connections,
    tup_inserted as rows_inserted,
    tup_updated as rows_updated,
    current_setting('max_connections')::integer as most_connections,
    clock_timestamp() as now
from pg_stat_database
where datname = current_database();

-- name: host_budgets
-- The budget of each host that was asked in the last week, and its breaker while it is open.
select
    host,
    refusals_in_row,
    last_refusal,
    updated_at as asked_at,
    case when day = (clock_timestamp() at time zone 'UTC')::date then requests else 0 end as requests,
    case when open_until > clock_timestamp() then open_until end as open_until
from ops.host_budgets
where updated_at > clock_timestamp() - interval '7 days'
order by
    open_until desc nulls last,
    updated_at desc
limit 20;

-- name: open_alerts
-- Open alerts, newest first.
select
    kind,
    subject,
    message,
    raised_at,
    times
from ops.alerts
where cleared_at is null
order by id desc
limit 20;

-- name: feed
-- The last run of the feed, the last one that ended well, and what the last file brought.
with newest as (
    select *
    from audit.etl_runs
    order by id desc
    limit 1
),

good as (
    select finished_at
    from audit.etl_runs
    where status in ('loaded', 'unchanged')
    order by id desc
    limit 1
),

loaded as (
    select *
    from audit.etl_runs
    where status = 'loaded'
    order by id desc
    limit 1
)

select
    newest.finished_at as last_at,
    newest.status,
    newest.reason,
    good.finished_at as good_at,
    loaded.finished_at as loaded_at,
    loaded.rows_read as rows,
    loaded.lots_new as new,
    loaded.lots_changed as changed,
    loaded.lots_gone as gone,
    loaded.rows_rejected as rejected
from newest
left join good on true
left join loaded on true;

-- name: photo_states
-- Active lots by the state of their photos: all, those with a photo, those that have had their first pass. Beside them
-- those that were there a day ago, and had had it by then, and those that left since, after more than an hour, and left
-- without a photo. Where the source has no photos, there is nothing that the first pass could take.
-- What no crawl has put into the order yet is looked up: that is seldom, and always right.
with day as materialized (
    select now() - interval '1 day' as ago
),

watched as (
    select
        lots.first_seen_at,
        null::timestamptz as left_at,
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
        case
            when queued.lot_id is not null then queued.first_at
            else (
                select lot_photos.first_at
                from lot_photos
                where lot_photos.lot_id = lots.id
            )
        end as first_at
    from lots
    left join lot_photos as queued on lots.id = queued.lot_id and queued.turn_at is not null
    where lots.status = 'active'
    union all
    select
        lots.first_seen_at,
        lots.gone_at,
        coalesce(photos.state, 'missing'),
        coalesce(photos.stored, 0),
        photos.first_at
    from lots
    left join lateral ( -- noqa: ST05
        select lot_photos.*
        from lot_photos
        where lot_photos.lot_id = lots.id
        limit 1 -- looked up for each lot: a join would read the rows of all lots that ever were
    ) as photos on true
    where
        lots.status = 'gone'
        and lots.gone_at > now() - interval '1 day'
)

select
    state,
    count(*) filter (where left_at is null) as lots,
    count(*) filter (where left_at is null and stored > 0) as with_photo,
    count(*) filter (where left_at is null and (first_at is not null or state = 'ok')) as with_first,
    count(*) filter (where first_seen_at <= (select day.ago from day)) as lots_before,
    count(*) filter (
        where
        first_seen_at <= (select day.ago from day)
        and (first_at <= (select day.ago from day) or state in ('none_yet', 'gone'))
    ) as with_first_before,
    count(*) filter (where left_at > first_seen_at + interval '1 hour') as lots_left,
    count(*) filter (
        where
        left_at > first_seen_at + interval '1 hour'
        and first_at is null
        and state not in ('ok', 'none_yet', 'gone')
    ) as lots_lost
from watched
group by state
order by lots desc;

-- name: photo_pace
-- Lots a day that the photo crawls of the last week finished for good: over the whole days until now since the first of
-- them began, so that pauses count. A run's lots are spread evenly over its time. Lots that failed, that have no photos
-- yet, that have only had their first pass, or whose photos were all there do not count. Beside them the first passes.
with runs as (
    select
        started_at,
        greatest(coalesce(finished_at, heartbeat_at), started_at + interval '1 second') as ended_at,
        greatest(
            done
            - coalesce((stats ->> 'lot/failed')::integer, 0)
            - coalesce((stats ->> 'lot/partial')::integer, 0)
            - coalesce((stats ->> 'lot/none_yet')::integer, 0)
            - coalesce((stats ->> 'lot/first')::integer, 0)
            - coalesce((stats ->> 'lot/rechecked')::integer, 0),
            0
        ) as lots,
        coalesce((stats ->> 'lot/first_pass')::integer, 0) as first_passes
    from ops.crawl_runs
    where
        spider = 'lot_photos'
        and started_at between now() - interval '14 days' and now()
        and coalesce(finished_at, heartbeat_at) > now() - interval '168 hours'
        and done > 0
),

window_of as (
    select
        min(started_at) as since,
        count(*) as runs,
        least(7, floor(extract(epoch from now() - min(started_at)) / 86400))::integer as days
    from runs
),

days as (
    select
        numbers.number,
        coalesce(sum(runs.lots * parts.share), 0) as lots,
        coalesce(sum(runs.first_passes * parts.share), 0) as first_passes
    from window_of
    cross join lateral generate_series(1, window_of.days) as numbers (number) -- noqa: ST05
    left join runs
        on
            runs.started_at < now() - (numbers.number - 1) * interval '24 hours'
            and runs.ended_at > now() - numbers.number * interval '24 hours'
    left join lateral ( -- noqa: ST05
        select
            extract(
                epoch from least(runs.ended_at, now() - (numbers.number - 1) * interval '24 hours')
                - greatest(runs.started_at, now() - numbers.number * interval '24 hours')
            )
            / extract(epoch from runs.ended_at - runs.started_at) as share
    ) as parts on true
    group by numbers.number
)

select
    min(window_of.since) as since,
    min(window_of.runs) as runs,
    min(window_of.days) as days,
    avg(days.lots)::double precision as lots_a_day,
    percentile_cont(0.1) within group (order by days.lots) as low,
    percentile_cont(0.9) within group (order by days.lots) as high,
    avg(days.first_passes)::double precision as first_a_day
from window_of
left join days on true;

-- name: posts
-- Deals posted since midnight (UTC), and messages that wait.
with posted as (
    select count(*) as deals
    from notifications
    where
        kind = 'deal'
        and state = 'sent'
        and settled_at >= date_trunc('day', clock_timestamp() at time zone 'UTC') at time zone 'UTC'
),

waiting as (
    select count(*) as messages
    from notifications
    where state in ('waiting', 'trying')
)

select
    posted.deals as posted_today,
    waiting.messages as waiting_posts
from posted
cross join waiting;

-- name: best_deals
-- The best of the approved ads that are still there.
select
    best.score,
    ads.title,
    ads.price_eur,
    ads.url
from (
    select
        listing_id,
        score
    from scores
    where is_approved
    order by score desc
    limit 200
) as best
inner join listings as ads on best.listing_id = ads.id
where ads.removed_at is null
order by
    best.score desc,
    ads.id desc
limit %(count)s;

-- name: sizes
-- The size of the database, and PostgreSQL's estimates of what is in its large tables.
select
    pg_database_size(current_database()) as bytes,
    max(greatest(reltuples, 0)) filter (where relname = 'lots')::bigint as lots,
    max(greatest(reltuples, 0)) filter (where relname = 'images')::bigint as images,
    max(greatest(reltuples, 0)) filter (where relname = 'listings')::bigint as listings
from pg_class
where
    relnamespace = 'public'::regnamespace
    and relkind = 'r';

-- name: last_task
-- When a Celery worker of this machine last completed a task.
select done_at as last_task_at
from ops.task_progress
where machine = %(machine)s;

-- name: unknown_rate
-- The row `(key columns)` of audit.v_unknown_rate, without counting the other columns: how many of the active lots have
-- no value, by key column. Indexes contain those that lack one.
with active as (
    select count(*) as lots
    from lots
    where status = 'active'
),

of_lots as (
    select
        count(*) filter (where vin is null) as vin,
        count(*) filter (where damage is null) as damage,
        count(*) filter (where image_url is null) as image_url
    from lots
    where
        status = 'active'
        and (vin is null or damage is null or image_url is null)
),

of_vehicles as (
    select
        count(*) filter (where vehicles.year is null) as year,
        count(*) filter (where vehicles.make is null) as make,
        count(*) filter (where vehicles.model is null) as model,
        count(*) filter (where vehicles.fuel is null) as fuel
    from lots
    inner join vehicles on lots.vehicle_id = vehicles.id
    where
        lots.status = 'active'
        and (vehicles.year is null or vehicles.make is null or vehicles.model is null or vehicles.fuel is null)
)

select
    active.lots,
    of_lots.vin,
    of_vehicles.year,
    of_vehicles.make,
    of_vehicles.model,
    of_vehicles.fuel,
    of_lots.damage,
    of_lots.image_url
from active
cross join of_lots
cross join of_vehicles;

-- name: parse_errors
-- What of the last load could not be read, most frequent first.
select
    kind,
    name,
    errors
from audit.v_parse_errors;

-- name: wanted
-- What was started on any machine and not retired, and what its operator last wanted of it; of a supervisor that runs
-- `desired_at` is its last pass.
select
    worker as name,
    machine,
    desired,
    desired_at as at
from ops.workers
where desired <> 'retired'
order by
    machine asc,
    worker asc;

-- name: market_makes
-- For each make the end and the pages of its last complete walk, since when it could have been complete, and the pages
-- of a walk that has not ended and is newer.
select
    makes.slug,
    complete.finished_at as complete_at,
    complete.pages,
    under_way.pages as pages_read,
    coalesce(complete.finished_at, earliest.started_at) as since
from unnest(%(makes)s::text[]) as makes (slug)
left join lateral ( -- noqa: ST05
    select
        walks.started_at,
        walks.finished_at,
        walks.pages
    from ops.listing_walks as walks
    where
        walks.source = 'mobile.bg'
        and walks.make_slug = makes.slug
        and walks.is_complete
    order by walks.started_at desc
    limit 1
) as complete on true
left join lateral ( -- noqa: ST05
    select walks.started_at
    from ops.listing_walks as walks
    where
        walks.source = 'mobile.bg'
        and walks.make_slug = makes.slug
    order by walks.started_at asc
    limit 1
) as earliest on true
left join lateral ( -- noqa: ST05
    select walks.pages
    from ops.listing_walks as walks
    where
        walks.source = 'mobile.bg'
        and walks.make_slug = makes.slug
        and walks.finished_at is null
        and walks.claimed_until > clock_timestamp()
    order by walks.started_at desc
    limit 1
) as under_way on true;

-- name: market_cycle
-- The last pass over the newest ads, how long it took (null while it is under way), and the beginning of the first one.
select
    first_at,
    complete_from,
    pages,
    reason,
    cut_short_at,
    extract(epoch from finished_at - began_at)::float8 as seconds
from ops.market_cycles
where source = 'mobile.bg';
