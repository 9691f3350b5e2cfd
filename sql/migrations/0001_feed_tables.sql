-- The feed pipeline: raw files, staged rows, vehicles, lots, and what is known about every run.

create schema raw;
create schema staging;
create schema audit;
create schema ops;

-- Every distinct feed file, kept byte for byte in the archive folder.
create table raw.csv_files (
    id bigint generated always as identity primary key,
    sha256 text not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
    fetched_at timestamptz not null,
    path text not null unique,
    base_id bigint references raw.csv_files (id),
    bytes bigint not null,
    archive_bytes bigint not null,
    archive_sha256 text not null,
    removed_at timestamptz
);

comment on column raw.csv_files.path is 'below the data folder; a delta when base_id is set, else a whole file';
comment on column raw.csv_files.removed_at is 'when retention removed the file; its row stays';

-- One row a run, whatever its end.
create table audit.etl_runs (
    id bigint generated always as identity primary key,
    started_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    status text not null check (status in ('loaded', 'unchanged', 'refused', 'failed')),
    reason text,
    message text,
    file_id bigint references raw.csv_files (id),
    sha256 text,
    bytes bigint,
    newest_update timestamptz,
    rows_read integer,
    rows_accepted integer,
    rows_rejected integer,
    rows_repaired integer,
    lots_new integer,
    lots_changed integer,
    lots_unchanged integer,
    lots_gone integer,
    lots_returned integer,
    lots_relisted integer,
    conflicts integer,
    seconds jsonb not null default '{}',
    drift jsonb not null default '{}'
);

create index etl_runs_loaded on audit.etl_runs (id) where status = 'loaded';

-- What a refused row said, once for each distinct row and reason.
create table audit.rejected_rows (
    id bigint generated always as identity primary key,
    file_id bigint not null,
    line_number integer not null,
    reason text not null,
    detail text,
    raw_text text not null,
    row_hash bytea not null,
    rejected_at timestamptz not null default now(),
    unique (row_hash, reason)
);

-- The raw values of every new or changed row, as the feed gave them; '' is stored as null.
create table staging.copart_raw (
    file_id bigint not null,
    line_number integer not null,
    row_hash bytea not null,
    ingested_at timestamptz not null default now(),
    ordinal text,
    yard_number text,
    yard_name text,
    sale_date text,
    day_of_week text,
    sale_time text,
    time_zone text,
    item_number text,
    lot_number text,
    vehicle_type text,
    year text,
    make text,
    model_group text,
    model_detail text,
    body_style text,
    color text,
    damage text,
    secondary_damage text,
    title_state text,
    title_type text,
    has_keys text,
    condition_code text,
    vin text,
    odometer text,
    odometer_brand text,
    retail_value text,
    repair_cost text,
    engine text,
    drive text,
    transmission text,
    fuel text,
    cylinders text,
    runs_drives text,
    sale_status text,
    high_bid text,
    special_note text,
    city text,
    state text,
    zip text,
    country text,
    currency text,
    thumbnail_url text,
    created_at text,
    grid_row text,
    make_an_offer text,
    buy_now_price text,
    image_url text,
    trim text,
    last_updated_at text,
    rentals text,
    copart_select text,
    seller_name text,
    offsite_address text,
    offsite_state text,
    offsite_city text,
    offsite_zip text,
    sale_light text,
    autograde text,
    announcements text,
    extra jsonb
);

comment on column staging.copart_raw.extra is 'columns the feed has and vinops does not know, by their header';

create index copart_raw_file on staging.copart_raw (file_id);

-- One row a vehicle: by its VIN, or by its lot where the feed gives no usable VIN.
create table vehicles (
    id bigint generated always as identity primary key,
    vin text unique,
    lot_external_id bigint unique,
    vehicle_type text,
    year integer,
    make text,
    model_group text,
    model text,
    trim text,
    body_style text,
    color text,
    engine text,
    cylinders integer,
    drive text,
    transmission text,
    fuel text,
    last_updated_at timestamptz,
    check ((vin is null) <> (lot_external_id is null))
);

-- One row a lot; what is not known is null.
create table lots (
    id bigint generated always as identity primary key,
    lot_external_id bigint not null unique,
    vin text,
    vehicle_id bigint not null,
    previous_lot_id bigint references lots (id),
    status text not null default 'active' check (status in ('active', 'gone')),
    first_seen_at timestamptz not null,
    gone_at timestamptz,
    last_updated_at timestamptz,
    created_at timestamp,
    yard_number integer,
    yard_name text,
    item_number integer,
    sale_date date,
    sale_time time,
    sale_time_zone text,
    sale_at timestamptz,
    sale_status text,
    high_bid numeric(12, 2),
    buy_now_price numeric(12, 2),
    make_an_offer boolean,
    currency text,
    damage text,
    secondary_damage text,
    title_state text,
    title_type text,
    title_group text,
    has_keys boolean,
    condition text,
    odometer integer,
    odometer_brand text,
    retail_value numeric(12, 2),
    repair_cost numeric(12, 2),
    special_note text,
    city text,
    state text,
    zip text,
    country text,
    grid_row text,
    thumbnail_url text,
    image_url text,
    rental boolean,
    copart_select boolean,
    seller_name text,
    offsite_address text,
    offsite_state text,
    offsite_city text,
    offsite_zip text,
    sale_light text,
    autograde numeric(4, 1),
    announcements text,
    extra jsonb,
    flags text[] not null default '{}',
    row_hash bytea not null,
    file_id bigint not null
) with (fillfactor = 90);

comment on column lots.status is 'gone = no longer in the feed, which is not "sold"';
comment on column lots.flags is 'columns whose raw value could not be read or is not in staging.codes';
comment on column lots.file_id is 'the file whose row this is; the raw values are in staging.copart_raw';

create index lots_vehicle on lots (vehicle_id, id);

-- What happened to a lot, in the order of the files.
create table audit.lot_events (
    id bigint generated always as identity,
    lot_id bigint not null,
    file_id bigint not null,
    event text not null,
    old_value text,
    new_value text,
    happened_at timestamptz not null,
    primary key (lot_id, id)
);

-- Every code of the feed that vinops knows, and what it calls it; a null value says "means nothing".
create table staging.codes (
    field text not null,
    code text not null,
    value text,
    primary key (field, code)
);

-- Which IANA zone a time-zone label means; region is the yard's state, else its country, else '' for anywhere.
create table staging.sale_zones (
    label text not null,
    region text not null,
    zone text not null,
    primary key (label, region)
);
