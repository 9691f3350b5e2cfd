-- How far the texts of ads have been masked again by the rules of today.
-- depends: 0040_ads_of_told_cars

create table ops.texts_masked (
    is_row boolean primary key default true check (is_row),
    rules text not null,
    up_to bigint not null,
    noted_at timestamptz not null default now()
);

comment on table ops.texts_masked is 'one row: up to which ad stored texts were masked by these rules';
comment on column ops.texts_masked.rules is 'a digest of the rules';
