-- The photos of lots as the site shows them: of each photo of a lot the largest that is stored.

-- name: photos_of_lot
-- The photos of a lot by their numbers, from one on; all of them, or the one with a number.
select distinct on (images.seq)
    lots.lot_external_id as lot,
    images.seq,
    images.content_hash,
    images.content_type,
    images.bytes,
    images.storage_key,
    photo_stores.name as store,
    images.created_at
from lots
inner join images on lots.id = images.lot_id
left join photo_stores on images.store_id = photo_stores.id
where
    lots.lot_external_id = %(lot)s::bigint
    and (%(seq)s::integer is null or images.seq = %(seq)s::integer)
order by images.seq asc, array_position(array['hrs', 'ful', 'thb'], images.variant) asc, images.id asc
limit %(most)s;

-- name: photo_of_lot
-- A photo of a lot by its content.
select
    lots.lot_external_id as lot,
    images.seq,
    images.content_hash,
    images.content_type,
    images.bytes,
    images.storage_key,
    photo_stores.name as store,
    images.created_at
from lots
inner join images on lots.id = images.lot_id
left join photo_stores on images.store_id = photo_stores.id
where
    lots.lot_external_id = %(lot)s::bigint
    and images.content_hash = %(content_hash)s
order by images.id desc
limit 1;

-- name: is_lot
-- Whether there is such a lot.
select 1
from lots
where lot_external_id = %(lot)s::bigint;
