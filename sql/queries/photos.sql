-- The work of the photo crawl: lots that are due, their leases, and their photos.
--
-- "lateral … limit 1" looks up the row of each active lot: a join would read those of all lots that ever were.

-- name: enlist_lots
-- Add a row for every active lot that the feed brought since the last run.
insert into lot_photos (lot_id)
select lots.id
from lots
left join lateral (
    select lot_photos.lot_id
    from lot_photos
    where lot_photos.lot_id = lots.id
    limit 1
) as known on true
where
    lots.status = 'active'
    and known.lot_id is null
on conflict (lot_id) do nothing;

-- name: lease_due_lots
-- Lease the next lots that are due, in the order in which they disappear: the soonest sale, then the newest lot. Lots
-- with a lease that has not expired are skipped. The token orders this lease after all earlier ones.
with due as materialized (
    select
        lots.id,
        coalesce(lots.sale_at, lots.sale_date) as sale
    from lots
    cross join lateral (
        select lot_photos.lot_id
        from lot_photos
        where
            lot_photos.lot_id = lots.id
            and lot_photos.due_at <= now()
            and (lot_photos.lease_expires_at is null or lot_photos.lease_expires_at <= now())
        limit 1
    ) as photos
    where
        lots.status = 'active'
        and lots.image_url is not null
    order by sale asc nulls last, lots.id desc
    limit %(count)s + 1000 -- more than other crawls can be leasing at this moment
),

free as (
    select lot_photos.lot_id
    from due
    inner join lot_photos on due.id = lot_photos.lot_id
    where
        lot_photos.due_at <= now()
        and (lot_photos.lease_expires_at is null or lot_photos.lease_expires_at <= now())
    order by due.sale asc nulls last, due.id desc
    limit %(count)s
    for update of lot_photos skip locked
),

leased as (
    update lot_photos
    set
        lease_owner = %(owner)s,
        lease_token = nextval('lot_photos_token'),
        lease_expires_at = now() + make_interval(secs => %(seconds)s)
    from free
    where lot_photos.lot_id = free.lot_id
    returning lot_photos.lot_id, lot_photos.lease_token
)

select
    lots.id,
    lots.lot_external_id,
    lots.vin,
    lots.image_url,
    leased.lease_token
from leased
inner join lots on leased.lot_id = lots.id
order by coalesce(lots.sale_at, lots.sale_date) asc nulls last, lots.id desc;

-- name: lease_named_lots
-- Lease lots by number or VIN, due or not, unless another crawl has them.
with named as (
    select lots.id
    from lots
    where lots.lot_external_id = any(%(lots)s::bigint[])
    union all
    select lots.id
    from vehicles
    inner join lots on vehicles.id = lots.vehicle_id
    where vehicles.vin = any(%(vins)s::text[])
),

free as (
    select lot_photos.lot_id
    from lot_photos
    inner join lots on lot_photos.lot_id = lots.id
    where
        lots.id = any(array(select named.id from named))
        and (lot_photos.lease_expires_at is null or lot_photos.lease_expires_at <= now())
    order by lots.id
    for update of lot_photos skip locked
),

leased as (
    update lot_photos
    set
        lease_owner = %(owner)s,
        lease_token = nextval('lot_photos_token'),
        lease_expires_at = now() + make_interval(secs => %(seconds)s)
    from free
    where lot_photos.lot_id = free.lot_id
    returning lot_photos.lot_id, lot_photos.lease_token
)

select
    lots.id,
    lots.lot_external_id,
    lots.vin,
    lots.image_url,
    leased.lease_token
from leased
inner join lots on leased.lot_id = lots.id
order by lots.id;

-- name: enlist_named_lots
-- Add rows for lots by number or VIN, with any status.
insert into lot_photos (lot_id)
select lots.id
from lots
where lots.lot_external_id = any(%(lots)s::bigint[])
union
select lots.id
from vehicles
inner join lots on vehicles.id = lots.vehicle_id
where vehicles.vin = any(%(vins)s::text[])
on conflict (lot_id) do nothing;

-- name: count_named_lots
-- Count the lots with these numbers and VINs.
select count(*)
from (
    select lots.id
    from lots
    where lots.lot_external_id = any(%(lots)s::bigint[])
    union
    select lots.id
    from vehicles
    inner join lots on vehicles.id = lots.vehicle_id
    where vehicles.vin = any(%(vins)s::text[])
) as named;

-- name: missing_named_lots
-- List the numbers and VINs that no lot has.
select named.number::text
from unnest(%(lots)s::bigint[]) as named (number)
where
    not exists (
        select 1
        from lots
        where lots.lot_external_id = named.number
    )
union all
select named.vin
from unnest(%(vins)s::text[]) as named (vin)
where
    not exists (
        select 1
        from lots
        where lots.vin = named.vin
    );

-- name: count_due_lots
-- Count the lots that are due and not leased.
select count(*)
from lots
cross join lateral (
    select lot_photos.lot_id
    from lot_photos
    where
        lot_photos.lot_id = lots.id
        and lot_photos.due_at <= now()
        and (lot_photos.lease_expires_at is null or lot_photos.lease_expires_at <= now())
    limit 1
) as photos
where
    lots.status = 'active'
    and lots.image_url is not null;

-- name: renew_leases
-- Extend the leases of lots that are still in work.
update lot_photos
set lease_expires_at = now() + make_interval(secs => %(seconds)s)
where
    lease_owner = %(owner)s
    and lease_token = any(%(tokens)s::bigint[]);

-- name: release_leases
-- Release leases: these lots can be leased at once.
update lot_photos
set
    lease_owner = null,
    lease_expires_at = null
where
    lease_owner = %(owner)s
    and lease_token = any(%(tokens)s::bigint[]);

-- name: known_photos
-- The stored photos of a lot, and those of other lots of the same vehicle; whether they are in this store.
select
    images.source_url,
    images.seq,
    images.content_hash,
    images.storage_key,
    images.lot_id = %(lot_id)s as is_own,
    coalesce(
        images.store_id = (
            select photo_stores.id
            from photo_stores
            where photo_stores.name = %(store)s
        ),
        false
    ) as is_here
from images
where
    images.lot_id = %(lot_id)s
    or images.vin = %(vin)s;

-- name: hold_lease
-- Lock the lot's row for the transaction that settles it; no row if another crawl has the lease.
select lot_id
from lot_photos
where
    lot_id = %(lot_id)s
    and lease_token = %(token)s
    and lease_owner = %(owner)s
for update;

-- name: add_photo
-- Record a stored photo; an address that is recorded already keeps its row.
insert into images (
    lot_id, vin, seq, variant, source_url, storage_key, content_hash, content_type, width, height, bytes, store_id
)
values (
    %(lot_id)s,
    %(vin)s,
    %(seq)s,
    %(variant)s,
    %(source_url)s,
    %(storage_key)s,
    %(content_hash)s,
    %(content_type)s,
    %(width)s,
    %(height)s,
    %(bytes)s,
    (
        select photo_stores.id
        from photo_stores
        where photo_stores.name = %(store)s
    )
)
on conflict (lot_id, source_url) do nothing;

-- name: renumber_photos
-- Update the numbers of photos, which shift when a photo is added to the list.
update images
set seq = listed.seq
from unnest(%(urls)s::text[], %(seqs)s::integer[]) as listed (source_url, seq)
where
    images.lot_id = %(lot_id)s
    and images.source_url = listed.source_url
    and images.seq <> listed.seq;

-- name: drop_superseded
-- Delete the smaller size of photos that are stored in their best size.
delete from images
using images as better
where
    images.lot_id = %(lot_id)s
    and images.variant = 'ful'
    and better.lot_id = images.lot_id
    and better.variant = 'hrs'
    and better.source_url = replace(images.source_url, '_ful.', '_hrs.');

-- name: settle_lot
-- Record the result of a lot, when it is due again, and the end of its lease. After each failure in a row the delay
-- doubles, up to 32 times.
update lot_photos
set
    state = %(state)s,
    reason = %(reason)s,
    due_at = now()
    + make_interval(secs => %(due_seconds)s)
    * case when %(is_failure)s then power(2, least(failures, 5)) else 1 end,
    listed = coalesce(%(listed)s, listed),
    stored = (
        select count(*)
        from images
        where
            images.lot_id = lot_photos.lot_id
            and images.variant <> 'thb'
    ),
    failures = case when %(is_failure)s then failures + 1 else 0 end,
    settled_at = now(),
    lease_owner = null,
    lease_expires_at = null
where lot_id = %(lot_id)s;
