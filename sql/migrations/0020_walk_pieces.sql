-- A walk through a make is in the database page by page: the lists that it consists of, how far each was read, and
-- which list showed an ad last. Any crawl continues a walk that was interrupted, at the page after the last recorded.
-- depends: 0019_trailers

alter table ops.listing_walks
add column token bigint not null default 0,
add column interruptions integer not null default 0;

comment on column ops.listing_walks.token is 'counts the claims: a page is recorded with the number of the newest only';
comment on column ops.listing_walks.interruptions is 'pages in a row that could not be read';
comment on column ops.listing_walks.finished_at is 'null: it is being walked, or to be continued';
comment on column ops.listing_walks.reason is 'why it is not complete; of an open walk, why it will not be';

-- What an open walk of a make is, among all walks of a year.
create index listing_walks_open on ops.listing_walks (source, make_slug) where finished_at is null;

-- One row a list: of the make (0), of a model, of a region, or of a model in a region.
create table ops.walk_pieces (
    walk_id bigint not null references ops.listing_walks (id) on delete cascade,
    number integer not null,
    parent integer,
    model text,
    region text,
    state text not null check (state in ('waiting', 'reading', 'split', 'rest', 'read', 'unknown')),
    sort_index integer not null,
    page integer not null,
    furthest integer not null,
    stale integer not null,
    steps_back integer not null,
    total integer,
    ads integer not null,
    newest timestamptz,
    counted integer,
    counted_seen integer not null,
    is_cut boolean not null,
    primary key (walk_id, number)
)
with (fillfactor = 50);

comment on table ops.walk_pieces is 'lists that a walk reads, of the walks since the last complete but one of a make';
comment on column ops.walk_pieces.parent is 'the list that was split, as the site cuts it off';
comment on column ops.walk_pieces.state is
'rest: read for the ads that no part has shown; unknown: the site has no such list';
comment on column ops.walk_pieces.page is 'the page to read next';
comment on column ops.walk_pieces.counted is
'total at the first page: a list that is cut off was seen when counted_seen reaches it';

-- No foreign key and no index: an ad that is seen again must cost no more than its timestamp.
alter table listings
add column walk_id bigint,
add column walk_piece integer;

comment on column listings.walk_id is 'the last walk that saw the ad; null: only lists of the newest ads have shown it';
comment on column listings.walk_piece is 'the list of that walk in which it was: a number in ops.walk_pieces';
