-- A crawl claims a make by the row of its walk, for a limited time that it extends: a claim outlives its connection,
-- and a crawl that died keeps no other one out for long.
-- depends: 0014_celery_progress

alter table ops.listing_walks
add column claimed_by text,
add column claimed_until timestamptz;

comment on column ops.listing_walks.claimed_by is 'the crawl: its machine, process and start';
comment on column ops.listing_walks.claimed_until is 'until then no other crawl walks the make; null once it may';

create unique index listing_walks_claim on ops.listing_walks (source, make_slug) where claimed_until is not null;
