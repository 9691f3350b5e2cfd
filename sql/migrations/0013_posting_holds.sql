-- What is held until an operator releases it. `vinops restore` may have made the table before this migration.
-- depends: 0012_refused_messages

create table if not exists ops.holds (
    what text primary key,
    reason text not null,
    held_at timestamptz not null default clock_timestamp()
);

comment on table ops.holds is 'what is held until an operator releases it; posting: `vinops deals release`';
