-- The photos pipeline: what is known of each lot's photos, which crawl has leased it, and the photos that are stored.
-- depends: 0004_feed_views

-- One row a lot that a photo crawl has looked at. Apart from lots, which the feed writes.
create table lot_photos (
    lot_id bigint primary key references lots (id),
    state text not null default 'missing'
    check (state in ('missing', 'ok', 'partial', 'none_yet', 'gone', 'failed')),
    due_at timestamptz not null default '-infinity',
    listed integer,
    stored integer not null default 0,
    failures integer not null default 0,
    reason text,
    settled_at timestamptz,
    lease_owner text,
    lease_token bigint not null default 0,
    lease_expires_at timestamptz
)
with (fillfactor = 80);

create index lot_photos_leased on lot_photos (lease_owner) where lease_owner is not null;

comment on column lot_photos.due_at is 'when the lot is to be looked at again; infinity: never again by itself';
comment on column lot_photos.listed is 'photos in the source''s last list, without sounds and videos';
comment on column lot_photos.failures is 'tries in a row that did not end in ok: the next one comes later each time';
comment on column lot_photos.lease_token is 'grows with every lease; only the newest may settle the lot';

create sequence lot_photos_token;

-- A photo that lies in the object store. Its identity is its URL in the lot, never its number.
create table images (
    id bigint generated always as identity primary key,
    lot_id bigint not null references lots (id),
    vin text,
    seq integer not null,
    variant text not null check (variant in ('hrs', 'ful', 'thb')),
    source_url text not null,
    storage_key text not null,
    content_hash text not null check (content_hash ~ '^[0-9a-f]{64}$'),
    content_type text not null,
    width integer not null,
    height integer not null,
    bytes integer not null,
    created_at timestamptz not null default now(),
    unique (lot_id, source_url)
);

create index images_vin on images (vin, content_hash);
create index images_created on images (created_at);

comment on column images.storage_key is 'shared by photos of one content under one VIN: it is stored once';
comment on column images.content_hash is 'sha256 of the bytes as they came and as they are stored';
