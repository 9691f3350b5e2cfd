-- The work of the photo crawl: lots that are due, their leases, and their photos.
--
-- "lateral … limit 1" looks up the row of each active lot: a join would read those of all lots that ever were.

-- name: enlist_lots
-- Put the first lots of the feed into the order that are not in it: new ones, and those that have returned. By their
-- numbers: crawls that do this at the same time wait for each other, and not in a circle.
insert into lot_photos (lot_id, turn_at)
select
    turns.lot_id,
    turns.first_turn_at
from photo_turns as turns
left join lot_photos as queued on turns.lot_id = queued.lot_id and queued.turn_at is not null
where queued.lot_id is null
order by turns.lot_id
limit %(count)s
on conflict (lot_id) do update
    set turn_at = excluded.turn_at;

-- name: queue_lots
-- Correct the place of lots that is not that of their pass: the feed changed their sale, or they have returned. Rows
-- that another crawl has locked are left to it.
with wanted as materialized (
    select -- noqa: ST06
        turns.lot_id,
        case
            when queued.first_at is null then turns.first_turn_at
            when queued.state = 'ok' then turns.leaves_at
            else turns.second_turn_at
        end as turn_at,
        queued.turn_at as present_turn_at
    from photo_turns as turns
    inner join lot_photos as queued on turns.lot_id = queued.lot_id
    where queued.turn_at is not null
),

wrong as (
    select
        wanted.lot_id,
        wanted.turn_at
    from wanted
    inner join lot_photos on wanted.lot_id = lot_photos.lot_id
    where wanted.turn_at <> wanted.present_turn_at
    for update of lot_photos skip locked
)

update lot_photos
set turn_at = wrong.turn_at
from wrong
where lot_photos.lot_id = wrong.lot_id;

-- name: unqueue_lots
-- Take those out that have left the feed, with the lists that were kept for their second pass.
with departed as (
    select queued.lot_id
    from lot_photos as queued
    left join lots
        on
            queued.lot_id = lots.id
            and lots.status = 'active'
            and lots.image_url is not null
    where
        queued.turn_at is not null
        and lots.id is null
    for update of queued skip locked
)

update lot_photos
set
    turn_at = null,
    links = null
from departed
where lot_photos.lot_id = departed.lot_id;

-- name: lease_due_lots
-- Lease the next lots that are due: those that have not had their first pass before all others, in the order of
-- photo_turns. Lots with a lease that has not expired are skipped. The token orders this lease after all earlier ones.
-- A list that is not older than a lot may go without another look comes with its lot.
with free as (
    select lot_photos.lot_id
    from lot_photos
    inner join lots on lot_photos.lot_id = lots.id
    where
        lot_photos.turn_at is not null
        and lot_photos.due_at <= now()
        and (lot_photos.lease_expires_at is null or lot_photos.lease_expires_at <= now())
        and lots.status = 'active'
        and lots.image_url is not null
    order by
        lot_photos.first_at is not null asc,
        lot_photos.turn_at asc,
        lot_photos.lot_id desc
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
    returning lot_photos.*
)

select -- noqa: ST06
    lots.id,
    lots.lot_external_id,
    lots.vin,
    lots.image_url,
    leased.lease_token,
    leased.first_at is null as is_first,
    leased.failures,
    case
        when leased.state = 'first' and leased.settled_at > now() - make_interval(secs => %(list_seconds)s)
            then leased.links
    end as links
from leased
inner join lots on leased.lot_id = lots.id
order by
    leased.first_at is not null asc,
    leased.turn_at asc,
    leased.lot_id desc;

-- name: lease_kept_lots
-- Lease the next lots that are due for their second pass and whose list was kept, as lease_due_lots would.
with free as (
    select lot_photos.lot_id
    from lot_photos
    inner join lots on lot_photos.lot_id = lots.id
    where
        lot_photos.turn_at is not null
        and lot_photos.due_at <= now()
        and (lot_photos.lease_expires_at is null or lot_photos.lease_expires_at <= now())
        and lots.status = 'active'
        and lots.image_url is not null
        and lot_photos.first_at is not null
        and lot_photos.state = 'first'
        and lot_photos.settled_at > now() - make_interval(secs => %(list_seconds)s)
    order by
        lot_photos.first_at is not null asc,
        lot_photos.turn_at asc,
        lot_photos.lot_id desc
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
    returning lot_photos.*
)

select -- noqa: ST06
    lots.id,
    lots.lot_external_id,
    lots.vin,
    lots.image_url,
    leased.lease_token,
    leased.first_at is null as is_first,
    leased.failures,
    leased.links
from leased
inner join lots on leased.lot_id = lots.id
order by
    leased.first_at is not null asc,
    leased.turn_at asc,
    leased.lot_id desc;

-- name: lease_named_lots
-- Lease lots by number or VIN, due or not, unless another crawl has them: all their photos are taken, from a new list.
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
    leased.lease_token,
    false as is_first,
    0 as failures,
    null as links
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
-- Count the lots that are due and not leased, and those of them that have not had their first pass.
select
    count(*) as lots,
    count(*) filter (where first_at is null) as first_lots
from lot_photos
where
    turn_at is not null
    and due_at <= now()
    and (lease_expires_at is null or lease_expires_at <= now());

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
-- Record the result of a lot, when it is due again, its place in the order of its next pass, and the end of its lease.
-- After each failure in a row the delay doubles, up to 32 times. Where the photos are those of a list that was kept,
-- the delay counts from when that was read.
with looked_at as (
    select
        photos.lot_id,
        coalesce(photos.first_at, case when %(has_first)s then now() end) as first_at,
        case when %(is_kept)s then coalesce(photos.settled_at, now()) else now() end as looked_at
    from lot_photos as photos
    where photos.lot_id = %(lot_id)s
),

result as (
    select
        looked_at.lot_id,
        looked_at.first_at,
        looked_at.looked_at,
        case
            when looked_at.first_at is null then turns.first_turn_at
            when %(state)s = 'ok' then turns.leaves_at
            else turns.second_turn_at
        end as turn_at
    from looked_at
    left join photo_turns as turns on looked_at.lot_id = turns.lot_id
)

update lot_photos
set
    state = %(state)s,
    reason = %(reason)s,
    due_at = result.looked_at
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
    first_at = result.first_at,
    turn_at = result.turn_at,
    links = case when result.turn_at is not null then %(kept)s::jsonb end,
    settled_at = now(),
    lease_owner = null,
    lease_expires_at = null
from result
where lot_photos.lot_id = result.lot_id;
