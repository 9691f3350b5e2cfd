-- Holds: what stays stopped until an operator releases it.

-- name: create_holds
-- Create the table of holds, in a database of a version without it (sql/migrations/0013_posting_holds.sql).
create table if not exists ops.holds (
    what text primary key,
    reason text not null,
    held_at timestamptz not null default clock_timestamp()
);

-- name: hold
-- Hold something until an operator releases it.
insert into ops.holds as holds (what, reason)
values (%(what)s, %(reason)s)
on conflict (what) do update
    set reason = excluded.reason;

-- name: held
-- The reason and the beginning of a hold; no row if there is none.
select
    reason,
    held_at
from ops.holds
where what = %(what)s;

-- name: release
-- Release a hold.
delete from ops.holds
where what = %(what)s
returning reason;
