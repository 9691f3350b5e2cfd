-- Where photos are kept, and their copies from one place to another.

-- name: add_store
-- Note a place where photos are stored.
insert into photo_stores (name)
select %(store)s
where not exists (
    select 1
    from photo_stores
    where name = %(store)s
)
on conflict (name) do nothing;

-- name: counts
-- Photos by the place where they are, counted no further than to a limit; a place without a name: not known.
select
    photo_stores.name,
    counted.photos
from photo_stores
cross join lateral ( -- noqa: ST05
    select count(*) as photos
    from (
        select 1
        from images
        where images.store_id = photo_stores.id
        limit %(most)s
    ) as few
) as counted
union all
select
    null as name,
    count(*) as photos
from (
    select 1
    from images
    where store_id is null
    limit %(most)s
) as few
order by name asc nulls last;

-- name: newest_store
-- Where the newest photo was stored, and about how many photos there are.
select
    photo_stores.name,
    (
        select pg_class.reltuples::bigint
        from pg_class
        where pg_class.oid = 'images'::regclass
    ) as estimate
from images
left join photo_stores on images.store_id = photo_stores.id
order by images.created_at desc
limit 1;

-- name: elsewhere
-- Photos and bytes that are recorded in other places than one, by place.
with places as (
    select
        store_id,
        count(*) as photos,
        sum(bytes)::bigint as bytes
    from images
    where
        store_id is distinct from (
            select coalesce(max(photo_stores.id), 0)
            from photo_stores
            where photo_stores.name = %(store)s
        )
    group by store_id
)

select
    photo_stores.name,
    places.photos,
    places.bytes
from places
left join photo_stores on places.store_id = photo_stores.id
order by photo_stores.name asc nulls last;

-- name: next_elsewhere
-- The next photos by id that are recorded in other places than one.
select
    id,
    storage_key,
    content_hash,
    content_type,
    bytes,
    (
        select photo_stores.name
        from photo_stores
        where photo_stores.id = images.store_id
    ) as store
from images
where
    id > %(after)s
    and store_id is distinct from (
        select coalesce(max(photo_stores.id), 0)
        from photo_stores
        where photo_stores.name = %(store)s
    )
order by id
limit %(count)s;

-- name: record
-- Record where photos are.
update images
set store_id = (
    select photo_stores.id
    from photo_stores
    where photo_stores.name = %(store)s
)
where id = any(%(ids)s::bigint[]);

-- name: all_by_key
-- All photos in the order in which stores list their objects.
with photos as (
    select
        images.id,
        images.storage_key,
        images.bytes,
        photo_stores.name as store
    from images
    left join photo_stores on images.store_id = photo_stores.id
)

select
    id,
    storage_key,
    bytes,
    store
from photos
order by storage_key collate "C";

-- name: still_recorded
-- Those of these photos that are still recorded.
select id
from images
where id = any(%(ids)s::bigint[]);

-- name: explain_objects
-- Objects without a row when the rows were read, by their keys and the numbers of their lots: whether the lot is known,
-- or retention has removed it and removes the object too; whether the photo was recorded meanwhile, or a crawl is at
-- work on the lot.
with objects as (
    select *
    from unnest(%(storage_keys)s::text[], %(lots)s::bigint[]) as listed (storage_key, lot_external_id)
)

select
    objects.storage_key,
    lots.id is not null or removals.storage_key is not null as has_lot,
    images.id is not null as is_recorded,
    coalesce(lot_photos.lease_expires_at > now(), false) as is_leased
from objects
left join lots on objects.lot_external_id = lots.lot_external_id
left join lot_photos on lots.id = lot_photos.lot_id
left join images on lots.id = images.lot_id and objects.storage_key = images.storage_key
left join ops.photo_removals as removals on objects.storage_key = removals.storage_key;

-- name: forget
-- Remove the rows of photos whose objects are missing. Their lots are due, so that a crawl fetches them again.
with forgotten as (
    delete from images
    where id = any(%(ids)s::bigint[])
    returning lot_id
)

update lot_photos
set
    state = case when state = 'ok' then 'partial' else state end,
    due_at = '-infinity'
from (
    select distinct forgotten.lot_id
    from forgotten
) as lots_of
where lot_photos.lot_id = lots_of.lot_id;
