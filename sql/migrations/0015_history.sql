-- What operators ask costs what is active, not what there ever was: a year leaves twenty gone lots beside each active
-- one. The indexes of lots contain no column that an update of an active lot changes, so that such updates stay cheap
-- (heap-only tuples). While the migration runs, nothing else writes to lots, photos, ads, staged rows and events.
-- depends: 0014_celery_progress

create index lots_active on lots (id) where status = 'active';
create index lots_gone on lots (gone_at, first_seen_at) where status = 'gone';

-- For the foreign key, when a lot is deleted.
create index lots_previous on lots (previous_lot_id) where previous_lot_id is not null;

-- Narrow: operators count photos by lot.
create index images_lot on images (lot_id);

-- Whether another photo refers to an object: the forecast, and retention before it removes one.
create index images_object on images using hash (storage_key);

-- Objects of the store whose photos retention has removed, until they are removed too.
create table ops.photo_removals (
    storage_key text primary key,
    queued_at timestamptz not null default clock_timestamp()
);

-- Events are only appended, and are deleted by age.
create index lot_events_happened on audit.lot_events using brin (happened_at);

-- Ads came and went: the market of a day.
create index listings_first_seen on listings (first_seen);
create index listings_removed on listings (removed_at) where removed_at is not null;

-- Operators ask for the number of staged rows and for the time of the newest.
create index copart_raw_ingested on staging.copart_raw (file_id, ingested_at);
drop index staging.copart_raw_file;

-- The rows of a table as the planner estimates them, from its size and the density of its pages when it was last
-- analyzed; 0 if it never was. Counting all rows of a year's history takes half a second and more.
create function ops.estimated_rows(of_table regclass) returns bigint
language sql stable
return (
    select
        coalesce(
            greatest(reltuples, 0) / nullif(relpages, 0)
            * (pg_relation_size(oid) / current_setting('block_size')::integer),
            0
        )::bigint
    from pg_class
    where oid = of_table
);

create or replace view audit.v_unknown_rate as
with coverage as materialized (
    select *
    from audit.v_column_coverage
)

select
    column_name,
    lots,
    lots - known as unknown,
    1 - coverage as unknown_rate
from coverage
union all
select
    '(key columns)',
    max(lots),
    sum(lots - known)::bigint,
    round(sum(lots - known) / nullif(sum(lots), 0), 4)
from coverage
where is_key
order by unknown_rate desc nulls last, column_name asc;

-- "limit" in the views keeps the planner from reading all vehicles, photos and staged rows for those of active lots.
create or replace view audit.v_photo_coverage as
select
    coalesce(photos.state, 'missing') as state,
    count(*) as lots,
    round(count(*)::numeric / nullif(sum(count(*)) over (), 0), 4) as share,
    coalesce(sum(photos.listed), 0) as listed,
    coalesce(sum(photos.stored), 0) as stored,
    min(photos.due_at) filter (where photos.due_at > '-infinity') as next_due_at
from lots
left join lateral (
    select lot_photos.*
    from lot_photos
    where lot_photos.lot_id = lots.id
    limit 1
) as photos on true
where lots.status = 'active'
group by coalesce(photos.state, 'missing')
order by lots desc;

-- Makes with ads that are active, or came or went in the last day.
create or replace view audit.v_market as
with walks as (
    select
        source,
        make_slug,
        max(finished_at) as finished_at
    from ops.listing_walks
    where is_complete
    group by source, make_slug
)

select
    ads.source,
    ads.make_slug,
    count(*) filter (where ads.removed_at is null) as active,
    count(*) filter (where ads.removed_at is null and ads.price_eur is null) as without_price,
    round(avg(ads.price_eur) filter (where ads.removed_at is null)) as mean_eur,
    count(*) filter (where ads.first_seen > now() - interval '1 day') as new_in_a_day,
    count(*) filter (where ads.removed_at > now() - interval '1 day') as gone_in_a_day,
    max(walks.finished_at) as last_walk
from listings as ads
left join walks on ads.source = walks.source and ads.make_slug = walks.make_slug
where
    ads.removed_at is null
    or ads.removed_at > now() - interval '1 day'
group by ads.source, ads.make_slug
order by active desc, ads.source asc, ads.make_slug asc;
