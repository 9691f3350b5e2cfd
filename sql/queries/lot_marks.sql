-- What people mark on lots: as on ads, in sql/queries/people.sql.

-- name: marks
-- Star and status of some lots, for a person.
with latest as (
    select distinct on (lot_id)
        lot_id,
        status
    from lot_statuses
    where lot_id = any(%(lot_ids)s::bigint[])
    order by lot_id asc, id desc
)

select
    asked.lot_id as marked_id,
    stars.lot_id is not null as is_starred,
    coalesce(latest.status, 'none') as status
from unnest(%(lot_ids)s::bigint[]) as asked (lot_id)
left join lot_stars as stars
    on
        asked.lot_id = stars.lot_id
        and stars.user_id is not distinct from %(user_id)s::bigint
left join latest on asked.lot_id = latest.lot_id;

-- name: star
-- Star a lot.
insert into lot_stars (user_id, lot_id)
select
    %(user_id)s::bigint as user_id,
    lots.id as lot_id
from lots
where lots.id = %(lot_id)s::bigint
on conflict do nothing;

-- name: unstar
-- Take a star back.
delete from lot_stars
where
    user_id is not distinct from %(user_id)s::bigint
    and lot_id = %(lot_id)s::bigint;

-- name: add_status
-- Note the next step of a lot, unless it stands there already.
insert into lot_statuses (lot_id, user_id, status)
select
    lots.id as lot_id,
    %(user_id)s::bigint as user_id,
    %(status)s as status
from lots
left join lateral (
    select statuses.status
    from lot_statuses as statuses
    where statuses.lot_id = lots.id
    order by statuses.id desc
    limit 1
) as latest on true
where
    lots.id = %(lot_id)s::bigint
    and coalesce(latest.status, 'none') is distinct from %(status)s;

-- name: add_note
-- Add a note to a lot.
insert into lot_notes (lot_id, user_id, body)
select
    lots.id as lot_id,
    %(user_id)s::bigint as user_id,
    %(body)s as body
from lots
where lots.id = %(lot_id)s::bigint;

-- name: history
-- The notes and steps of a lot, the newest first.
select
    'note' as kind,
    notes.body as said,
    people.name,
    notes.written_at as happened_at
from lot_notes as notes
left join ops.users as people on notes.user_id = people.id
where notes.lot_id = %(lot_id)s::bigint
union all
select
    'status' as kind,
    statuses.status as said,
    people.name,
    statuses.set_at as happened_at
from lot_statuses as statuses
left join ops.users as people on statuses.user_id = people.id
where statuses.lot_id = %(lot_id)s::bigint
order by happened_at desc
limit 200;
