-- The schema as the migrations make it. Written by `make schema`; change a migration, not this file.

CREATE SCHEMA audit;

CREATE SCHEMA ops;

CREATE SCHEMA raw;

CREATE SCHEMA staging;

CREATE FUNCTION ops.estimated_rows(of_table regclass) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN (SELECT (COALESCE(((GREATEST(pg_class.reltuples, (0)::real) / (NULLIF(pg_class.relpages, 0))::double precision) * ((pg_relation_size((pg_class.oid)::regclass) / (current_setting('block_size'::text))::integer))::double precision), (0)::double precision))::bigint AS "coalesce" FROM pg_class WHERE (pg_class.oid = (estimated_rows.of_table)::oid));

CREATE FUNCTION public.counts_kilometers(country text, currency text, note text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (COALESCE((country = 'CAN'::text), false) OR COALESCE((currency = 'CAD'::text), false) OR COALESCE((note ~* '\mKILOM|\mODOMETER IS IN KM\M|\mIN KMS?\M'::text), false));

CREATE TABLE public.lot_words (
    field text NOT NULL,
    said text NOT NULL,
    make text,
    value text,
    CONSTRAINT lot_words_field_check CHECK ((field = ANY (ARRAY['car'::text, 'fuel'::text, 'gearbox'::text, 'body'::text, 'color'::text])))
);

CREATE FUNCTION public.lot_vocabulary(of_field text) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT jsonb_object_agg(lot_words.said, CASE WHEN (lot_vocabulary.of_field = 'car'::text) THEN jsonb_build_array(lot_words.make, lot_words.value) ELSE to_jsonb(lot_words.value) END) AS jsonb_object_agg FROM public.lot_words WHERE (lot_words.field = lot_vocabulary.of_field));

CREATE FUNCTION public.lot_worth(of_type text, of_year integer, of_title text, of_damage text) RETURNS double precision
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (((CASE of_title WHEN 'clean'::text THEN 1.0 WHEN 'salvage'::text THEN 0.9 WHEN 'destruction'::text THEN 0.0 ELSE 0.5 END * CASE WHEN (of_type = 'car'::text) THEN 1.0 WHEN (of_type = ANY (ARRAY['motorcycle'::text, 'medium truck'::text, 'rv'::text])) THEN 0.6 WHEN (of_type IS NULL) THEN 0.5 ELSE 0.2 END) * CASE WHEN (of_year IS NULL) THEN 0.5 WHEN ((of_year)::numeric >= (EXTRACT(year FROM now()) - (6)::numeric)) THEN 1.0 WHEN ((of_year)::numeric >= (EXTRACT(year FROM now()) - (12)::numeric)) THEN 0.8 WHEN ((of_year)::numeric >= (EXTRACT(year FROM now()) - (18)::numeric)) THEN 0.5 ELSE 0.2 END) * CASE WHEN (of_damage = ANY (ARRAY['minor dent/scratches'::text, 'normal wear'::text, 'hail'::text, 'vandalism'::text])) THEN 1.0 WHEN (of_damage = ANY (ARRAY['front end'::text, 'rear end'::text, 'side'::text, 'top/roof'::text, 'undercarriage'::text, 'mechanical'::text])) THEN 0.8 WHEN (of_damage IS NULL) THEN 0.6 ELSE 0.3 END);

CREATE FUNCTION public.note_listing_price() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    insert into listing_prices (listing_id, price_eur) values (new.id, new.price_eur);
    return null;
end
$$;

CREATE FUNCTION public.note_lot_photos() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('lot_board', 0));
    update lot_board
    set has_photos = new.stored > 0
    where lot_id = new.lot_id and has_photos <> (new.stored > 0);
    return null;
end
$$;

CREATE FUNCTION public.odometer_in_km(odometer integer, country text, currency text, note text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (odometer IS NULL) THEN NULL::integer WHEN public.counts_kilometers(country, currency, note) THEN odometer ELSE (round(LEAST(((odometer)::numeric * 1.609344), (2147483647)::numeric)))::integer END;

CREATE FUNCTION public.odometer_in_miles(odometer integer, country text, currency text, note text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (odometer IS NULL) THEN NULL::integer WHEN public.counts_kilometers(country, currency, note) THEN (round(((odometer)::numeric / 1.609344)))::integer ELSE odometer END;

CREATE FUNCTION public.renew_deal_work() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    new.attempts := 0;
    new.rung_at := null;
    new.retry_at := null;
    new.error := null;
    new.dead_at := null;
    return new;
end
$$;

CREATE TABLE staging.codes (
    field text NOT NULL,
    code text NOT NULL,
    value text
);

CREATE FUNCTION staging.code_map(of_field text) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT jsonb_object_agg(codes.code, codes.value) AS jsonb_object_agg FROM staging.codes WHERE (codes.field = code_map.of_field));

CREATE FUNCTION staging.to_amount(t text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((t ~ '^[0-9]+(\.[0-9]+)?$'::text) AND (length(t) < 20) AND ((t)::numeric < 9999999999.995)) THEN NULLIF((t)::numeric, (0)::numeric) ELSE NULL::numeric END;

CREATE FUNCTION staging.to_count(t text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((t ~ '^[0-9]+(\.[0-9]+)?$'::text) AND (POSITION(('.'::text) IN ((t || '.'::text))) < 11) AND (length(t) < 20)) THEN NULLIF(((t)::numeric)::integer, 0) ELSE NULL::integer END;

CREATE FUNCTION staging.to_date(t text) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((t ~ '[^0-9]'::text) OR (length(t) <> 8) OR (("left"(t, 4) < '1901'::text) OR ("left"(t, 4) > '2099'::text))) THEN NULL::date WHEN (((substr(t, 5, 2) < '01'::text) OR (substr(t, 5, 2) > '12'::text)) OR ((substr(t, 7) < '01'::text) OR (substr(t, 7) > '31'::text))) THEN NULL::date WHEN ((substr(t, 7) > '30'::text) AND (substr(t, 5, 2) = ANY (ARRAY['02'::text, '04'::text, '06'::text, '09'::text, '11'::text]))) THEN NULL::date WHEN ((substr(t, 5) = '0230'::text) OR ((substr(t, 5) = '0229'::text) AND ((("left"(t, 4))::integer % 4) > 0))) THEN NULL::date ELSE make_date(("left"(t, 4))::integer, (substr(t, 5, 2))::integer, (substr(t, 7))::integer) END;

CREATE FUNCTION staging.to_instant(t text) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN ((t !~~ '____-__-__T__:__:__Z'::text) OR (translate(t, '0123456789'::text, ''::text) <> '--T::Z'::text)) THEN NULL::timestamp with time zone WHEN ((substr(t, 12, 2) > '23'::text) OR (substr(t, 15, 2) > '59'::text) OR (substr(t, 18, 2) > '59'::text)) THEN NULL::timestamp with time zone WHEN ((("left"(t, 4) < '1901'::text) OR ("left"(t, 4) > '2099'::text)) OR ((substr(t, 6, 2) < '01'::text) OR (substr(t, 6, 2) > '12'::text))) THEN NULL::timestamp with time zone WHEN (((substr(t, 9, 2) < '01'::text) OR (substr(t, 9, 2) > '28'::text)) AND (staging.to_date(replace("left"(t, 10), '-'::text, ''::text)) IS NULL)) THEN NULL::timestamp with time zone ELSE (t)::timestamp with time zone END;

CREATE FUNCTION staging.to_number(t text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((t !~ '[^0-9]'::text) AND ((length(t) >= 1) AND (length(t) <= 9))) THEN NULLIF((t)::integer, 0) ELSE NULL::integer END;

CREATE FUNCTION staging.to_time(t text) RETURNS time without time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((t !~ '[^0-9]'::text) AND ((length(t) >= 1) AND (length(t) <= 4)) AND ((t)::integer < 2400) AND (((t)::integer % 100) < 60)) THEN make_time(((t)::integer / 100), ((t)::integer % 100), (0)::double precision) ELSE NULL::time without time zone END;

CREATE FUNCTION staging.to_vin(t text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (rtrim(t, "left"(t, 1)) = ''::text) THEN NULL::text WHEN ((t !~ '[^0-9A-Z]'::text) AND ((length(t) >= 5) AND (length(t) <= 17))) THEN t WHEN (rtrim(upper(translate(t, ' -'::text, ''::text)), "left"(upper(translate(t, ' -'::text, ''::text)), 1)) = ''::text) THEN NULL::text WHEN ((upper(translate(t, ' -'::text, ''::text)) !~ '[^0-9A-Z]'::text) AND ((length(translate(t, ' -'::text, ''::text)) >= 5) AND (length(translate(t, ' -'::text, ''::text)) <= 17))) THEN upper(translate(t, ' -'::text, ''::text)) ELSE NULL::text END;

CREATE FUNCTION staging.to_wall_clock(t text) RETURNS timestamp without time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN ((t !~~ '____-__-__-__.__.__.______'::text) OR (translate(t, '0123456789'::text, ''::text) <> '---...'::text)) THEN NULL::timestamp without time zone WHEN ((substr(t, 12, 2) > '23'::text) OR (substr(t, 15, 2) > '59'::text) OR (substr(t, 18, 2) > '59'::text)) THEN NULL::timestamp without time zone WHEN ((("left"(t, 4) < '1901'::text) OR ("left"(t, 4) > '2099'::text)) OR ((substr(t, 6, 2) < '01'::text) OR (substr(t, 6, 2) > '12'::text))) THEN NULL::timestamp without time zone WHEN (((substr(t, 9, 2) < '01'::text) OR (substr(t, 9, 2) > '28'::text)) AND (staging.to_date(replace("left"(t, 10), '-'::text, ''::text)) IS NULL)) THEN NULL::timestamp without time zone ELSE (((("left"(t, 10) || ' '::text) || replace(substr(t, 12, 8), '.'::text, ':'::text)) || substr(t, 20)))::timestamp without time zone END;

CREATE FUNCTION staging.to_year(t text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((t !~ '[^0-9]'::text) AND (length(t) = 4) AND ((t >= '1850'::text) AND (t <= '2099'::text))) THEN (t)::integer ELSE NULL::integer END;

CREATE TABLE audit.etl_runs (
    id bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status text NOT NULL,
    reason text,
    message text,
    file_id bigint,
    sha256 text,
    bytes bigint,
    newest_update timestamp with time zone,
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
    seconds jsonb DEFAULT '{}'::jsonb NOT NULL,
    drift jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT etl_runs_status_check CHECK ((status = ANY (ARRAY['loaded'::text, 'unchanged'::text, 'refused'::text, 'failed'::text])))
);

ALTER TABLE audit.etl_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME audit.etl_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE audit.lot_events (
    id bigint NOT NULL,
    lot_id bigint NOT NULL,
    file_id bigint NOT NULL,
    event text NOT NULL,
    old_value text,
    new_value text,
    happened_at timestamp with time zone NOT NULL
);

ALTER TABLE audit.lot_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME audit.lot_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE audit.rejected_rows (
    id bigint NOT NULL,
    file_id bigint NOT NULL,
    line_number integer NOT NULL,
    reason text NOT NULL,
    detail text,
    raw_text text NOT NULL,
    row_hash bytea NOT NULL,
    rejected_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE audit.rejected_rows ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME audit.rejected_rows_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lots (
    id bigint NOT NULL,
    lot_external_id bigint NOT NULL,
    vin text,
    vehicle_id bigint NOT NULL,
    previous_lot_id bigint,
    status text DEFAULT 'active'::text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    gone_at timestamp with time zone,
    last_updated_at timestamp with time zone,
    created_at timestamp without time zone,
    yard_number integer,
    yard_name text,
    item_number integer,
    sale_date date,
    sale_time time without time zone,
    sale_time_zone text,
    sale_at timestamp with time zone,
    sale_status text,
    high_bid numeric(12,2),
    buy_now_price numeric(12,2),
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
    retail_value numeric(12,2),
    repair_cost numeric(12,2),
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
    autograde numeric(4,1),
    announcements text,
    extra jsonb,
    flags text[] DEFAULT '{}'::text[] NOT NULL,
    row_hash bytea NOT NULL,
    file_id bigint NOT NULL,
    CONSTRAINT lots_status_check CHECK ((status = ANY (ARRAY['active'::text, 'gone'::text])))
)
WITH (fillfactor='90');

CREATE TABLE staging.copart_raw (
    file_id bigint NOT NULL,
    line_number integer NOT NULL,
    row_hash bytea NOT NULL,
    ingested_at timestamp with time zone DEFAULT now() NOT NULL,
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
    "trim" text,
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

CREATE VIEW audit.v_all_parse_errors AS
 WITH flagged AS (
         SELECT flags.flag,
            count(DISTINCT lots.id) AS errors,
            max(lots.id) AS newest_id,
            max(lots.file_id) AS newest_file_id
           FROM (public.lots
             CROSS JOIN LATERAL unnest(lots.flags) flags(flag))
          WHERE (lots.status = 'active'::text)
          GROUP BY flags.flag
        )
 SELECT 'row'::text AS kind,
    rejected_rows.reason AS name,
    count(*) AS errors,
    max(rejected_rows.rejected_at) AS last_seen,
    (array_agg(rejected_rows.raw_text ORDER BY rejected_rows.id DESC))[1] AS example
   FROM audit.rejected_rows
  GROUP BY rejected_rows.reason
UNION ALL
 SELECT 'value'::text AS kind,
    flagged.flag AS name,
    flagged.errors,
    ( SELECT max(staged.ingested_at) AS max
           FROM staging.copart_raw staged
          WHERE (staged.file_id = flagged.newest_file_id)) AS last_seen,
    (((lots.lot_external_id)::text || ': '::text) || COALESCE((to_jsonb(raw_row.*) ->> flagged.flag), '?'::text)) AS example
   FROM ((flagged
     JOIN public.lots ON ((flagged.newest_id = lots.id)))
     LEFT JOIN LATERAL ( SELECT staged.file_id,
            staged.line_number,
            staged.row_hash,
            staged.ingested_at,
            staged.ordinal,
            staged.yard_number,
            staged.yard_name,
            staged.sale_date,
            staged.day_of_week,
            staged.sale_time,
            staged.time_zone,
            staged.item_number,
            staged.lot_number,
            staged.vehicle_type,
            staged.year,
            staged.make,
            staged.model_group,
            staged.model_detail,
            staged.body_style,
            staged.color,
            staged.damage,
            staged.secondary_damage,
            staged.title_state,
            staged.title_type,
            staged.has_keys,
            staged.condition_code,
            staged.vin,
            staged.odometer,
            staged.odometer_brand,
            staged.retail_value,
            staged.repair_cost,
            staged.engine,
            staged.drive,
            staged.transmission,
            staged.fuel,
            staged.cylinders,
            staged.runs_drives,
            staged.sale_status,
            staged.high_bid,
            staged.special_note,
            staged.city,
            staged.state,
            staged.zip,
            staged.country,
            staged.currency,
            staged.thumbnail_url,
            staged.created_at,
            staged.grid_row,
            staged.make_an_offer,
            staged.buy_now_price,
            staged.image_url,
            staged."trim",
            staged.last_updated_at,
            staged.rentals,
            staged.copart_select,
            staged.seller_name,
            staged.offsite_address,
            staged.offsite_state,
            staged.offsite_city,
            staged.offsite_zip,
            staged.sale_light,
            staged.autograde,
            staged.announcements,
            staged.extra
           FROM staging.copart_raw staged
          WHERE ((staged.file_id = lots.file_id) AND (staged.row_hash = lots.row_hash))
         LIMIT 1) raw_row ON (true))
  ORDER BY 3 DESC;

CREATE TABLE public.vehicles (
    id bigint NOT NULL,
    vin text,
    lot_external_id bigint,
    vehicle_type text,
    year integer,
    make text,
    model_group text,
    model text,
    "trim" text,
    body_style text,
    color text,
    engine text,
    cylinders integer,
    drive text,
    transmission text,
    fuel text,
    last_updated_at timestamp with time zone,
    CONSTRAINT vehicles_check CHECK (((vin IS NULL) <> (lot_external_id IS NULL)))
);

CREATE VIEW audit.v_column_coverage AS
 WITH counted AS (
         SELECT count(*) AS lots,
            count(lots.vin) AS vin,
            count(vehicle.vehicle_type) AS vehicle_type,
            count(vehicle.year) AS year,
            count(vehicle.make) AS make,
            count(vehicle.model) AS model,
            count(vehicle."trim") AS "trim",
            count(vehicle.body_style) AS body_style,
            count(vehicle.color) AS color,
            count(vehicle.engine) AS engine,
            count(vehicle.cylinders) AS cylinders,
            count(vehicle.drive) AS drive,
            count(vehicle.transmission) AS transmission,
            count(vehicle.fuel) AS fuel,
            count(lots.sale_date) AS sale_date,
            count(lots.sale_at) AS sale_at,
            count(lots.sale_status) AS sale_status,
            count(lots.high_bid) AS high_bid,
            count(lots.buy_now_price) AS buy_now_price,
            count(lots.damage) AS damage,
            count(lots.secondary_damage) AS secondary_damage,
            count(lots.title_type) AS title_type,
            count(lots.has_keys) AS has_keys,
            count(lots.condition) AS condition,
            count(lots.odometer) AS odometer,
            count(lots.odometer_brand) AS odometer_brand,
            count(lots.retail_value) AS retail_value,
            count(lots.repair_cost) AS repair_cost,
            count(lots.image_url) AS image_url,
            count(lots.seller_name) AS seller_name,
            count(lots.special_note) AS special_note,
            count(lots.sale_light) AS sale_light,
            count(lots.autograde) AS autograde,
            count(lots.announcements) AS announcements
           FROM (public.lots
             CROSS JOIN LATERAL ( SELECT vehicles.id,
                    vehicles.vin,
                    vehicles.lot_external_id,
                    vehicles.vehicle_type,
                    vehicles.year,
                    vehicles.make,
                    vehicles.model_group,
                    vehicles.model,
                    vehicles."trim",
                    vehicles.body_style,
                    vehicles.color,
                    vehicles.engine,
                    vehicles.cylinders,
                    vehicles.drive,
                    vehicles.transmission,
                    vehicles.fuel,
                    vehicles.last_updated_at
                   FROM public.vehicles
                  WHERE (vehicles.id = lots.vehicle_id)
                 LIMIT 1) vehicle)
          WHERE (lots.status = 'active'::text)
        )
 SELECT known_values.column_name,
    counted.lots,
    known_values.known,
    round(((known_values.known)::numeric / (NULLIF(counted.lots, 0))::numeric), 4) AS coverage,
    known_values.is_key
   FROM (counted
     CROSS JOIN LATERAL ( VALUES ('vin'::text,counted.vin,true), ('vehicle_type'::text,counted.vehicle_type,false), ('year'::text,counted.year,true), ('make'::text,counted.make,true), ('model'::text,counted.model,true), ('trim'::text,counted."trim",false), ('body_style'::text,counted.body_style,false), ('color'::text,counted.color,false), ('engine'::text,counted.engine,false), ('cylinders'::text,counted.cylinders,false), ('drive'::text,counted.drive,false), ('transmission'::text,counted.transmission,false), ('fuel'::text,counted.fuel,true), ('sale_date'::text,counted.sale_date,false), ('sale_at'::text,counted.sale_at,false), ('sale_status'::text,counted.sale_status,false), ('high_bid'::text,counted.high_bid,false), ('buy_now_price'::text,counted.buy_now_price,false), ('damage'::text,counted.damage,true), ('secondary_damage'::text,counted.secondary_damage,false), ('title_type'::text,counted.title_type,false), ('has_keys'::text,counted.has_keys,false), ('condition'::text,counted.condition,false), ('odometer'::text,counted.odometer,false), ('odometer_brand'::text,counted.odometer_brand,false), ('retail_value'::text,counted.retail_value,false), ('repair_cost'::text,counted.repair_cost,false), ('image_url'::text,counted.image_url,true), ('seller_name'::text,counted.seller_name,false), ('special_note'::text,counted.special_note,false), ('sale_light'::text,counted.sale_light,false), ('autograde'::text,counted.autograde,false), ('announcements'::text,counted.announcements,false)) known_values(column_name, known, is_key))
  WHERE (counted.lots > 0);

CREATE TABLE raw.csv_files (
    id bigint NOT NULL,
    sha256 text NOT NULL,
    fetched_at timestamp with time zone NOT NULL,
    path text NOT NULL,
    base_id bigint,
    bytes bigint NOT NULL,
    archive_bytes bigint NOT NULL,
    archive_sha256 text NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT csv_files_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE VIEW audit.v_ingest_count AS
 SELECT files.path,
    max(runs.finished_at) AS last_ingest,
    count(*) AS loads,
    max(runs.rows_read) AS rows_read,
    max(runs.rows_accepted) AS rows_accepted,
    max(runs.rows_rejected) AS rows_rejected,
    sum(runs.lots_new) AS lots_new,
    sum(runs.lots_changed) AS lots_changed,
    sum(runs.lots_gone) AS lots_gone,
    sum(runs.lots_returned) AS lots_returned
   FROM (audit.etl_runs runs
     JOIN raw.csv_files files ON ((runs.file_id = files.id)))
  WHERE (runs.status = 'loaded'::text)
  GROUP BY files.id, files.path;

CREATE TABLE ops.listing_walks (
    id bigint NOT NULL,
    source text NOT NULL,
    make_slug text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    is_complete boolean,
    reason text,
    pages integer DEFAULT 0 NOT NULL,
    total integer,
    ads integer,
    ads_gone integer,
    claimed_by text,
    claimed_until timestamp with time zone,
    token bigint DEFAULT 0 NOT NULL,
    interruptions integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE public.listings (
    id bigint NOT NULL,
    source text NOT NULL,
    ad_id text NOT NULL,
    make_slug text NOT NULL,
    url text NOT NULL,
    title text NOT NULL,
    make_text text,
    model_text text,
    price numeric(12,2),
    currency text,
    price_eur numeric(12,2),
    vat text,
    year smallint,
    month smallint,
    mileage_km integer,
    fuel text,
    gearbox text,
    body text,
    power_hp integer,
    engine_cc integer,
    colour text,
    euro_class smallint,
    region text,
    place text,
    seller_kind text,
    description text,
    equipment text[] DEFAULT '{}'::text[] NOT NULL,
    photo_urls text[] DEFAULT '{}'::text[] NOT NULL,
    photo_count integer,
    is_new boolean DEFAULT false NOT NULL,
    promotion text,
    posted_at timestamp with time zone NOT NULL,
    first_seen timestamp with time zone DEFAULT now() NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    removed_at timestamp with time zone,
    detailed_at timestamp with time zone,
    list_hash bytea NOT NULL,
    walk_id bigint,
    walk_piece integer
)
WITH (fillfactor='80', toast_tuple_target='128');

CREATE VIEW audit.v_market AS
 WITH walks AS (
         SELECT listing_walks.source,
            listing_walks.make_slug,
            max(listing_walks.finished_at) AS finished_at
           FROM ops.listing_walks
          WHERE listing_walks.is_complete
          GROUP BY listing_walks.source, listing_walks.make_slug
        )
 SELECT ads.source,
    ads.make_slug,
    count(*) FILTER (WHERE (ads.removed_at IS NULL)) AS active,
    count(*) FILTER (WHERE ((ads.removed_at IS NULL) AND (ads.price_eur IS NULL))) AS without_price,
    round(avg(ads.price_eur) FILTER (WHERE (ads.removed_at IS NULL))) AS mean_eur,
    count(*) FILTER (WHERE (ads.first_seen > (now() - '1 day'::interval))) AS new_in_a_day,
    count(*) FILTER (WHERE (ads.removed_at > (now() - '1 day'::interval))) AS gone_in_a_day,
    max(walks.finished_at) AS last_walk
   FROM (public.listings ads
     LEFT JOIN walks ON (((ads.source = walks.source) AND (ads.make_slug = walks.make_slug))))
  WHERE ((ads.removed_at IS NULL) OR (ads.removed_at > (now() - '1 day'::interval)))
  GROUP BY ads.source, ads.make_slug
  ORDER BY (count(*) FILTER (WHERE (ads.removed_at IS NULL))) DESC, ads.source, ads.make_slug;

CREATE VIEW audit.v_parse_errors AS
 WITH newest AS (
         SELECT etl_runs.file_id
           FROM audit.etl_runs
          WHERE (etl_runs.status = 'loaded'::text)
          ORDER BY etl_runs.id DESC
         LIMIT 1
        )
 SELECT 'row'::text AS kind,
    rejected.reason AS name,
    count(*) AS errors,
    max(rejected.rejected_at) AS last_seen,
    (array_agg(rejected.raw_text ORDER BY rejected.id DESC))[1] AS example
   FROM (newest
     JOIN audit.rejected_rows rejected ON ((newest.file_id = rejected.file_id)))
  GROUP BY rejected.reason
UNION ALL
 SELECT 'value'::text AS kind,
    flag.flag AS name,
    count(DISTINCT lots.id) AS errors,
    max(raw_row.ingested_at) AS last_seen,
    (array_agg((((lots.lot_external_id)::text || ': '::text) || COALESCE((to_jsonb(raw_row.*) ->> flag.flag), '?'::text)) ORDER BY lots.id DESC))[1] AS example
   FROM (((newest
     JOIN staging.copart_raw raw_row ON ((newest.file_id = raw_row.file_id)))
     JOIN public.lots ON ((((raw_row.lot_number)::bigint = lots.lot_external_id) AND (raw_row.row_hash = lots.row_hash))))
     CROSS JOIN LATERAL unnest(lots.flags) flag(flag))
  WHERE ((lots.status = 'active'::text) AND (flag.flag <> 'title_type'::text))
  GROUP BY flag.flag
  ORDER BY 3 DESC;

CREATE TABLE public.lot_photos (
    lot_id bigint NOT NULL,
    state text DEFAULT 'missing'::text NOT NULL,
    due_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    listed integer,
    stored integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    reason text,
    settled_at timestamp with time zone,
    lease_owner text,
    lease_token bigint DEFAULT 0 NOT NULL,
    lease_expires_at timestamp with time zone,
    first_at timestamp with time zone,
    turn_at timestamp with time zone,
    links jsonb,
    CONSTRAINT lot_photos_state_check CHECK ((state = ANY (ARRAY['missing'::text, 'first'::text, 'ok'::text, 'partial'::text, 'none_yet'::text, 'gone'::text, 'failed'::text])))
)
WITH (fillfactor='80', toast_tuple_target='256');

CREATE VIEW audit.v_photo_coverage AS
 SELECT COALESCE(photos.state, 'missing'::text) AS state,
    count(*) AS lots,
    round(((count(*))::numeric / NULLIF(sum(count(*)) OVER (), (0)::numeric)), 4) AS share,
    COALESCE(sum(photos.listed), (0)::bigint) AS listed,
    COALESCE(sum(photos.stored), (0)::bigint) AS stored,
    min(photos.due_at) FILTER (WHERE (photos.due_at > '-infinity'::timestamp with time zone)) AS next_due_at,
    count(*) FILTER (WHERE (photos.stored > 0)) AS with_photo,
    count(*) FILTER (WHERE (photos.first_at IS NOT NULL)) AS with_first_pass
   FROM (public.lots
     LEFT JOIN LATERAL ( SELECT lot_photos.lot_id,
            lot_photos.state,
            lot_photos.due_at,
            lot_photos.listed,
            lot_photos.stored,
            lot_photos.failures,
            lot_photos.reason,
            lot_photos.settled_at,
            lot_photos.lease_owner,
            lot_photos.lease_token,
            lot_photos.lease_expires_at,
            lot_photos.first_at,
            lot_photos.turn_at,
            lot_photos.links
           FROM public.lot_photos
          WHERE (lot_photos.lot_id = lots.id)
         LIMIT 1) photos ON (true))
  WHERE (lots.status = 'active'::text)
  GROUP BY COALESCE(photos.state, 'missing'::text)
  ORDER BY (count(*)) DESC;

CREATE VIEW audit.v_unknown_rate AS
 WITH coverage AS MATERIALIZED (
         SELECT v_column_coverage.column_name,
            v_column_coverage.lots,
            v_column_coverage.known,
            v_column_coverage.coverage,
            v_column_coverage.is_key
           FROM audit.v_column_coverage
        )
 SELECT coverage.column_name,
    coverage.lots,
    (coverage.lots - coverage.known) AS unknown,
    ((1)::numeric - coverage.coverage) AS unknown_rate
   FROM coverage
UNION ALL
 SELECT '(key columns)'::text AS column_name,
    max(coverage.lots) AS lots,
    (sum((coverage.lots - coverage.known)))::bigint AS unknown,
    round((sum((coverage.lots - coverage.known)) / NULLIF(sum(coverage.lots), (0)::numeric)), 4) AS unknown_rate
   FROM coverage
  WHERE coverage.is_key
  ORDER BY 4 DESC NULLS LAST, 1;

CREATE TABLE ops.alerts (
    id bigint NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    message text NOT NULL,
    raised_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    times integer DEFAULT 1 NOT NULL,
    delivered_at timestamp with time zone,
    cleared_at timestamp with time zone
);

ALTER TABLE ops.alerts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.alerts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.crawl_runs (
    id bigint NOT NULL,
    spider text NOT NULL,
    worker text,
    machine text NOT NULL,
    pid integer NOT NULL,
    arguments jsonb DEFAULT '{}'::jsonb NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    reason text,
    unit text DEFAULT 'item'::text NOT NULL,
    done integer DEFAULT 0 NOT NULL,
    total integer,
    items integer DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    refusals integer DEFAULT 0 NOT NULL,
    items_per_minute real,
    expected_end timestamp with time zone,
    current_item text,
    last_items jsonb DEFAULT '[]'::jsonb NOT NULL,
    stats jsonb DEFAULT '{}'::jsonb NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE ops.crawl_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.crawl_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.deal_outbox (
    listing_id bigint NOT NULL,
    change text NOT NULL,
    queued_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    stage text DEFAULT 'normalize'::text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    token bigint,
    leased_until timestamp with time zone,
    rung_at timestamp with time zone,
    retry_at timestamp with time zone,
    error text,
    dead_at timestamp with time zone,
    CONSTRAINT deal_outbox_change_check CHECK ((change = ANY (ARRAY['new'::text, 'changed'::text, 'back'::text, 'gone'::text]))),
    CONSTRAINT deal_outbox_stage_check CHECK ((stage = ANY (ARRAY['normalize'::text, 'price'::text, 'score'::text, 'match'::text])))
);

CREATE SEQUENCE ops.deal_tokens
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE ops.holds (
    what text NOT NULL,
    reason text NOT NULL,
    held_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE ops.host_budgets (
    host text NOT NULL,
    next_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    day date DEFAULT CURRENT_DATE NOT NULL,
    requests integer DEFAULT 0 NOT NULL,
    refusals_in_row integer DEFAULT 0 NOT NULL,
    last_refusal text,
    times_opened integer DEFAULT 0 NOT NULL,
    open_until timestamp with time zone,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE ops.listing_walks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.listing_walks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.lot_outbox (
    lot_id bigint NOT NULL,
    stage text NOT NULL,
    change text DEFAULT 'changed'::text NOT NULL,
    queued_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    token bigint,
    leased_until timestamp with time zone,
    rung_at timestamp with time zone,
    retry_at timestamp with time zone,
    error text,
    dead_at timestamp with time zone,
    CONSTRAINT lot_outbox_stage_check CHECK ((stage = ANY (ARRAY['value'::text, 'quote'::text, 'match_lots'::text])))
);

CREATE TABLE ops.market_cycles (
    source text NOT NULL,
    number bigint DEFAULT 0 NOT NULL,
    began_at timestamp with time zone,
    claimed_by text,
    claimed_until timestamp with time zone,
    pages integer DEFAULT 0 NOT NULL,
    finished_at timestamp with time zone,
    reason text,
    complete_from timestamp with time zone,
    newest_posted_at timestamp with time zone,
    cut_short_at timestamp with time zone,
    rechecked_at timestamp with time zone,
    first_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE ops.photo_coverage (
    at timestamp with time zone NOT NULL,
    lots integer NOT NULL,
    with_photo integer NOT NULL,
    past_first integer NOT NULL,
    with_all integer NOT NULL
);

CREATE TABLE ops.photo_removals (
    storage_key text NOT NULL,
    queued_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE ops.price_models (
    version bigint NOT NULL,
    trained_at timestamp with time zone DEFAULT now() NOT NULL,
    ads integer NOT NULL,
    errors jsonb NOT NULL,
    is_used boolean NOT NULL,
    reason text NOT NULL,
    body bytea,
    asked_for_as text DEFAULT 'ad'::text NOT NULL,
    CONSTRAINT price_models_asked_for_as_check CHECK ((asked_for_as = ANY (ARRAY['ad'::text, 'lot'::text])))
);

ALTER TABLE ops.price_models ALTER COLUMN version ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.price_models_version_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.rechecks (
    listing_id bigint NOT NULL,
    checked_at timestamp with time zone NOT NULL,
    outcome text
);

CREATE TABLE ops.scheduled_tasks (
    task text NOT NULL,
    done_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    rung_at timestamp with time zone
);

CREATE TABLE ops.sign_in_failures (
    subject_hash bytea NOT NULL,
    failures integer NOT NULL,
    first_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sign_in_failures_subject_hash_check CHECK ((octet_length(subject_hash) = 32))
);

CREATE TABLE ops.sign_ins (
    token_hash bytea NOT NULL,
    user_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    CONSTRAINT sign_ins_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

CREATE TABLE ops.task_progress (
    machine text NOT NULL,
    done_at timestamp with time zone NOT NULL,
    task text NOT NULL
);

CREATE TABLE ops.telegram_pace (
    bot_id bigint NOT NULL,
    next_at timestamp with time zone NOT NULL
);

CREATE TABLE ops.texts_masked (
    is_row boolean DEFAULT true NOT NULL,
    rules text NOT NULL,
    up_to bigint NOT NULL,
    noted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT texts_masked_is_row_check CHECK (is_row)
);

CREATE TABLE ops.told_lots (
    lot_external_id bigint NOT NULL,
    told jsonb NOT NULL
);

CREATE TABLE ops.users (
    id bigint NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    password_hash text,
    language text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT users_check CHECK (((removed_at IS NULL) = (password_hash IS NOT NULL))),
    CONSTRAINT users_language_check CHECK ((language = ANY (ARRAY['bg'::text, 'en'::text]))),
    CONSTRAINT users_name_check CHECK ((name ~ '^[^[:space:][:cntrl:]]{1,40}$'::text)),
    CONSTRAINT users_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'trader'::text, 'operator'::text])))
);

ALTER TABLE ops.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.walk_pieces (
    walk_id bigint NOT NULL,
    number integer NOT NULL,
    parent integer,
    model text,
    region text,
    state text NOT NULL,
    sort_index integer NOT NULL,
    page integer NOT NULL,
    furthest integer NOT NULL,
    stale integer NOT NULL,
    steps_back integer NOT NULL,
    total integer,
    ads integer NOT NULL,
    newest timestamp with time zone,
    counted integer,
    counted_seen integer NOT NULL,
    is_cut boolean NOT NULL,
    CONSTRAINT walk_pieces_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'reading'::text, 'split'::text, 'rest'::text, 'read'::text, 'unknown'::text])))
)
WITH (fillfactor='50');

CREATE TABLE ops.watch_invitations (
    token_hash bytea NOT NULL,
    user_id bigint,
    is_operator boolean DEFAULT false NOT NULL,
    language text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    CONSTRAINT watch_invitations_language_check CHECK ((language = ANY (ARRAY['bg'::text, 'en'::text]))),
    CONSTRAINT watch_invitations_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

CREATE TABLE ops.watch_strangers (
    chat_hash bytea NOT NULL,
    told_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT watch_strangers_chat_hash_check CHECK ((octet_length(chat_hash) = 32))
);

CREATE TABLE ops.watch_updates (
    bot_id bigint NOT NULL,
    update_id bigint NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE ops.worker_restarts (
    id bigint NOT NULL,
    machine text NOT NULL,
    worker text NOT NULL,
    restarted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    reason text NOT NULL,
    detail text,
    CONSTRAINT worker_restarts_reason_check CHECK ((reason = ANY (ARRAY['dead'::text, 'failed'::text, 'hung'::text])))
);

ALTER TABLE ops.worker_restarts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.worker_restarts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.workers (
    machine text NOT NULL,
    worker text NOT NULL,
    desired text NOT NULL,
    desired_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    gave_up_at timestamp with time zone,
    log_file bigint,
    log_offset bigint,
    troubles jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT workers_desired_check CHECK ((desired = ANY (ARRAY['running'::text, 'stopped'::text, 'retired'::text])))
);

CREATE TABLE public.ad_notes (
    id bigint NOT NULL,
    listing_id bigint NOT NULL,
    user_id bigint,
    body text NOT NULL,
    written_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ad_notes_body_check CHECK (((length(body) >= 1) AND (length(body) <= 2000)))
);

ALTER TABLE public.ad_notes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ad_notes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.ad_stars (
    user_id bigint,
    listing_id bigint NOT NULL,
    starred_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.ad_statuses (
    id bigint NOT NULL,
    listing_id bigint NOT NULL,
    user_id bigint,
    status text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ad_statuses_status_check CHECK ((status = ANY (ARRAY['none'::text, 'seen'::text, 'called'::text, 'bought'::text, 'rejected'::text])))
);

ALTER TABLE public.ad_statuses ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ad_statuses_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.board (
    listing_id bigint NOT NULL,
    is_gone boolean NOT NULL,
    gone_at timestamp with time zone,
    duplicate_of bigint,
    score numeric(3,1) NOT NULL,
    first_seen timestamp with time zone NOT NULL,
    price_eur numeric(12,2),
    below_market numeric,
    year integer,
    mileage_km integer,
    power_hp integer,
    make text,
    family text,
    fuel text,
    gearbox text,
    body text,
    color text,
    region text,
    seller text,
    CONSTRAINT board_check CHECK ((is_gone = (gone_at IS NOT NULL)))
)
PARTITION BY LIST (is_gone);

CREATE TABLE public.board_active (
    listing_id bigint CONSTRAINT board_listing_id_not_null NOT NULL,
    is_gone boolean CONSTRAINT board_is_gone_not_null NOT NULL,
    gone_at timestamp with time zone,
    duplicate_of bigint,
    score numeric(3,1) CONSTRAINT board_score_not_null NOT NULL,
    first_seen timestamp with time zone CONSTRAINT board_first_seen_not_null NOT NULL,
    price_eur numeric(12,2),
    below_market numeric,
    year integer,
    mileage_km integer,
    power_hp integer,
    make text,
    family text,
    fuel text,
    gearbox text,
    body text,
    color text,
    region text,
    seller text,
    CONSTRAINT board_check CHECK ((is_gone = (gone_at IS NOT NULL)))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE public.board_gone (
    listing_id bigint CONSTRAINT board_listing_id_not_null NOT NULL,
    is_gone boolean CONSTRAINT board_is_gone_not_null NOT NULL,
    gone_at timestamp with time zone,
    duplicate_of bigint,
    score numeric(3,1) CONSTRAINT board_score_not_null NOT NULL,
    first_seen timestamp with time zone CONSTRAINT board_first_seen_not_null NOT NULL,
    price_eur numeric(12,2),
    below_market numeric,
    year integer,
    mileage_km integer,
    power_hp integer,
    make text,
    family text,
    fuel text,
    gearbox text,
    body text,
    color text,
    region text,
    seller text,
    CONSTRAINT board_check CHECK ((is_gone = (gone_at IS NOT NULL)))
)
WITH (autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='5000');

CREATE TABLE public.normalized_listings (
    listing_id bigint NOT NULL,
    make text,
    model text,
    family text,
    fuel text,
    gearbox text,
    body text,
    colour text,
    region text,
    year smallint,
    month smallint,
    mileage_km integer,
    power_hp integer,
    engine_cc integer,
    price_eur numeric(12,2),
    price_problem text,
    risk text NOT NULL,
    risks jsonb DEFAULT '[]'::jsonb NOT NULL,
    guesses jsonb DEFAULT '[]'::jsonb NOT NULL,
    unknowns jsonb DEFAULT '[]'::jsonb NOT NULL,
    duplicate_of bigint,
    is_comparable boolean NOT NULL,
    normalized_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT normalized_listings_risk_check CHECK ((risk = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text])))
);

CREATE TABLE public.scores (
    listing_id bigint NOT NULL,
    score numeric(3,1) NOT NULL,
    parts jsonb NOT NULL,
    reasons text[] NOT NULL,
    is_approved boolean NOT NULL,
    scored_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT scores_score_check CHECK (((score >= (1)::numeric) AND (score <= (10)::numeric)))
);

CREATE TABLE public.valuations (
    listing_id bigint NOT NULL,
    p10 numeric(12,2),
    p50 numeric(12,2),
    p90 numeric(12,2),
    comparables integer NOT NULL,
    confidence real NOT NULL,
    method text NOT NULL,
    model_version bigint,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    valued_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT valuations_check CHECK (((method = 'none'::text) = (p50 IS NULL))),
    CONSTRAINT valuations_check1 CHECK (((p10 <= p50) AND (p50 <= p90))),
    CONSTRAINT valuations_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT valuations_method_check CHECK ((method = ANY (ARRAY['none'::text, 'comparables'::text, 'model'::text, 'blend'::text])))
);

CREATE VIEW public.board_source AS
 SELECT ads.id AS listing_id,
    (ads.removed_at IS NOT NULL) AS is_gone,
    ads.removed_at AS gone_at,
    cars.duplicate_of,
    scores.score,
    ads.first_seen,
    cars.price_eur,
    round(((100)::numeric * ((1)::numeric - (cars.price_eur / NULLIF(worth.p50, (0)::numeric)))), 1) AS below_market,
    (cars.year)::integer AS year,
    cars.mileage_km,
    cars.power_hp,
    cars.make,
    cars.family,
    cars.fuel,
    cars.gearbox,
    cars.body,
    cars.colour AS color,
    cars.region,
    ads.seller_kind AS seller
   FROM (((public.scores
     JOIN public.listings ads ON ((scores.listing_id = ads.id)))
     JOIN public.normalized_listings cars ON ((scores.listing_id = cars.listing_id)))
     LEFT JOIN public.valuations worth ON ((scores.listing_id = worth.listing_id)))
  WHERE ((ads.removed_at IS NULL) OR (ads.removed_at > (now() - '60 days'::interval)));

CREATE TABLE public.exchange_rates (
    currency text NOT NULL,
    day date NOT NULL,
    rate numeric(12,6) NOT NULL,
    source text NOT NULL,
    fetched_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT exchange_rates_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT exchange_rates_rate_check CHECK ((rate > (0)::numeric))
);

CREATE TABLE public.images (
    id bigint NOT NULL,
    lot_id bigint NOT NULL,
    vin text,
    seq integer NOT NULL,
    variant text NOT NULL,
    source_url text NOT NULL,
    storage_key text NOT NULL,
    content_hash text NOT NULL,
    content_type text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    bytes integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    store_id integer,
    CONSTRAINT images_content_hash_check CHECK ((content_hash ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT images_variant_check CHECK ((variant = ANY (ARRAY['hrs'::text, 'ful'::text, 'thb'::text])))
);

ALTER TABLE public.images ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.images_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.import_discounts (
    id bigint NOT NULL,
    ads integer NOT NULL,
    discount real NOT NULL,
    measured_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.import_discounts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.import_discounts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.listing_prices (
    listing_id bigint NOT NULL,
    price_eur numeric(12,2),
    seen_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.listing_vins (
    listing_id bigint NOT NULL,
    vin text NOT NULL,
    CONSTRAINT listing_vins_vin_check CHECK ((vin ~ '^[A-HJ-NPR-Z0-9]{17}$'::text))
);

CREATE TABLE public.listing_words (
    listing_id bigint NOT NULL,
    words tsvector NOT NULL
)
WITH (toast_tuple_target='128');

ALTER TABLE public.listings ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.listings_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lot_bids (
    lot_id bigint NOT NULL,
    bid_usd integer NOT NULL,
    user_id bigint,
    noted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT lot_bids_bid_usd_check CHECK ((bid_usd > 0))
);

CREATE TABLE public.lot_board (
    lot_id bigint NOT NULL,
    is_gone boolean NOT NULL,
    gone_at timestamp with time zone,
    first_seen timestamp with time zone NOT NULL,
    sale_at timestamp with time zone,
    high_bid numeric(12,2),
    buy_now_price numeric(12,2),
    make text,
    family text,
    year integer,
    fuel text,
    gearbox text,
    body text,
    color text,
    damage text,
    title_group text,
    condition text,
    has_keys boolean,
    odometer integer,
    state text,
    yard text,
    seller text,
    has_photos boolean NOT NULL
)
PARTITION BY LIST (is_gone);

CREATE TABLE public.lot_board_active (
    lot_id bigint CONSTRAINT lot_board_lot_id_not_null NOT NULL,
    is_gone boolean CONSTRAINT lot_board_is_gone_not_null NOT NULL,
    gone_at timestamp with time zone,
    first_seen timestamp with time zone CONSTRAINT lot_board_first_seen_not_null NOT NULL,
    sale_at timestamp with time zone,
    high_bid numeric(12,2),
    buy_now_price numeric(12,2),
    make text,
    family text,
    year integer,
    fuel text,
    gearbox text,
    body text,
    color text,
    damage text,
    title_group text,
    condition text,
    has_keys boolean,
    odometer integer,
    state text,
    yard text,
    seller text,
    has_photos boolean CONSTRAINT lot_board_has_photos_not_null NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE public.lot_board_gone (
    lot_id bigint CONSTRAINT lot_board_lot_id_not_null NOT NULL,
    is_gone boolean CONSTRAINT lot_board_is_gone_not_null NOT NULL,
    gone_at timestamp with time zone,
    first_seen timestamp with time zone CONSTRAINT lot_board_first_seen_not_null NOT NULL,
    sale_at timestamp with time zone,
    high_bid numeric(12,2),
    buy_now_price numeric(12,2),
    make text,
    family text,
    year integer,
    fuel text,
    gearbox text,
    body text,
    color text,
    damage text,
    title_group text,
    condition text,
    has_keys boolean,
    odometer integer,
    state text,
    yard text,
    seller text,
    has_photos boolean CONSTRAINT lot_board_has_photos_not_null NOT NULL
)
WITH (autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='5000');

CREATE VIEW public.lot_board_source AS
 SELECT lots.id AS lot_id,
    (lots.status = 'gone'::text) AS is_gone,
    lots.gone_at,
    lots.first_seen_at AS first_seen,
    COALESCE(lots.sale_at, ((lots.sale_date + '12:00:00'::time without time zone) AT TIME ZONE 'UTC'::text)) AS sale_at,
    lots.high_bid,
    lots.buy_now_price,
    (car.names ->> 0) AS make,
    (car.names ->> 1) AS family,
    vehicles.year,
    (( SELECT public.lot_vocabulary('fuel'::text) AS lot_vocabulary) ->> vehicles.fuel) AS fuel,
    (( SELECT public.lot_vocabulary('gearbox'::text) AS lot_vocabulary) ->> vehicles.transmission) AS gearbox,
    (( SELECT public.lot_vocabulary('body'::text) AS lot_vocabulary) ->> vehicles.body_style) AS body,
    (( SELECT public.lot_vocabulary('color'::text) AS lot_vocabulary) ->> vehicles.color) AS color,
    lots.damage,
    lots.title_group,
    lots.condition,
    lots.has_keys,
    public.odometer_in_miles(lots.odometer, lots.country, lots.currency, lots.special_note) AS odometer,
    lots.state,
    lots.yard_name AS yard,
    lots.seller_name AS seller,
    COALESCE((lot_photos.stored > 0), false) AS has_photos
   FROM (((public.lots
     LEFT JOIN public.vehicles ON ((lots.vehicle_id = vehicles.id)))
     LEFT JOIN public.lot_photos ON ((lots.id = lot_photos.lot_id)))
     CROSS JOIN LATERAL ( SELECT (( SELECT public.lot_vocabulary('car'::text) AS lot_vocabulary) -> concat(vehicles.make, '|', vehicles.model, '|', vehicles.model_group)) AS names
         LIMIT 1) car)
  WHERE ((lots.status = 'active'::text) OR (lots.gone_at > (now() - '60 days'::interval)));

CREATE TABLE public.lot_floors (
    hours integer NOT NULL,
    lots integer NOT NULL,
    growth real NOT NULL,
    measured_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.lot_quotes (
    lot_id bigint NOT NULL,
    basis text NOT NULL,
    valued_at timestamp with time zone NOT NULL,
    is_complete boolean NOT NULL,
    missing text[] DEFAULT '{}'::text[] NOT NULL,
    most_bid_usd integer,
    bid_usd integer,
    bid_kind text,
    landed_eur numeric(12,2),
    profit_eur integer,
    profit_low integer,
    profit_high integer,
    loss_chance real,
    is_ranked boolean NOT NULL,
    quoted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT lot_quotes_bid_kind_check CHECK ((bid_kind = ANY (ARRAY['buy now'::text, 'floor'::text]))),
    CONSTRAINT lot_quotes_check CHECK (((bid_usd IS NULL) = (bid_kind IS NULL))),
    CONSTRAINT lot_quotes_loss_chance_check CHECK (((loss_chance >= (0)::double precision) AND (loss_chance <= (1)::double precision)))
)
WITH (fillfactor='90', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE VIEW public.lot_message_states AS
 SELECT lots.id AS lot_id,
    (
        CASE
            WHEN (lots.status <> 'active'::text) THEN 'gone'::text
            WHEN (quotes.is_ranked IS NOT TRUE) THEN 'over'::text
            WHEN (COALESCE(lots.high_bid, (0)::numeric) > (quotes.most_bid_usd)::numeric) THEN 'passed'::text
            ELSE 'open'::text
        END || COALESCE((' '::text || to_char((COALESCE(lots.sale_at, (lots.sale_date)::timestamp with time zone) AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD HH24:MI'::text)), ''::text)) AS shown
   FROM (public.lots
     LEFT JOIN public.lot_quotes quotes ON ((lots.id = quotes.lot_id)));

CREATE TABLE public.lot_notes (
    id bigint NOT NULL,
    lot_id bigint NOT NULL,
    user_id bigint,
    body text NOT NULL,
    written_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT lot_notes_body_check CHECK (((length(body) >= 1) AND (length(body) <= 2000)))
);

ALTER TABLE public.lot_notes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.lot_notes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lot_notifications (
    id bigint NOT NULL,
    lot_id bigint NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    score integer NOT NULL,
    shown text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    token bigint,
    tried_at timestamp with time zone,
    next_try_at timestamp with time zone DEFAULT now() NOT NULL,
    chat_id text,
    message_id bigint,
    is_photo boolean,
    is_dry_run boolean DEFAULT false NOT NULL,
    refusals smallint DEFAULT 0 NOT NULL,
    is_suspect boolean DEFAULT false NOT NULL,
    proofs smallint DEFAULT 0 NOT NULL,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT lot_notifications_kind_check CHECK ((kind = ANY (ARRAY['deal'::text, 'change'::text]))),
    CONSTRAINT lot_notifications_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'trying'::text, 'sent'::text, 'dropped'::text, 'failed'::text])))
);

ALTER TABLE public.lot_notifications ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.lot_notifications_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE public.lot_photos_token
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.lot_results (
    id bigint NOT NULL,
    lot_id bigint NOT NULL,
    price integer NOT NULL,
    is_won boolean NOT NULL,
    user_id bigint,
    noted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT lot_results_price_check CHECK ((price > 0))
);

ALTER TABLE public.lot_results ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.lot_results_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lot_stars (
    user_id bigint,
    lot_id bigint NOT NULL,
    starred_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.lot_statuses (
    id bigint NOT NULL,
    lot_id bigint NOT NULL,
    user_id bigint,
    status text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT lot_statuses_status_check CHECK ((status = ANY (ARRAY['none'::text, 'seen'::text, 'called'::text, 'bought'::text, 'rejected'::text])))
);

ALTER TABLE public.lot_statuses ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.lot_statuses_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.lot_values (
    lot_id bigint NOT NULL,
    lot_hash bytea NOT NULL,
    basis text NOT NULL,
    model text,
    family text,
    fuel text,
    year smallint,
    mileage_km integer,
    twin text,
    p10 integer,
    p20 integer,
    p50 integer,
    p90 integer,
    comparables integer DEFAULT 0 NOT NULL,
    confidence real DEFAULT 0 NOT NULL,
    method text NOT NULL,
    blockers jsonb DEFAULT '[]'::jsonb NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    valued_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT lot_values_check CHECK (((method = 'none'::text) = (p50 IS NULL))),
    CONSTRAINT lot_values_check1 CHECK (((p10 <= p20) AND (p20 <= p50) AND (p50 <= p90))),
    CONSTRAINT lot_values_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT lot_values_method_check CHECK ((method = ANY (ARRAY['none'::text, 'comparables'::text, 'model'::text, 'blend'::text])))
)
WITH (fillfactor='90');

ALTER TABLE public.lots ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.lots_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.market_months (
    month date NOT NULL,
    computed_at timestamp with time zone NOT NULL,
    CONSTRAINT market_months_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric))
);

CREATE TABLE public.market_now (
    make text NOT NULL,
    family text NOT NULL,
    split text NOT NULL,
    value text NOT NULL,
    ads integer NOT NULL,
    priced integer NOT NULL,
    p25 numeric(12,2),
    p50 numeric(12,2),
    p75 numeric(12,2),
    CONSTRAINT market_now_check CHECK ((priced <= ads)),
    CONSTRAINT market_now_check1 CHECK (((split = ''::text) = (value = ''::text))),
    CONSTRAINT market_now_check2 CHECK (((priced = 0) = (p50 IS NULL))),
    CONSTRAINT market_now_split_check CHECK ((split = ANY (ARRAY[''::text, 'year'::text, 'fuel'::text, 'region'::text])))
);

CREATE TABLE public.market_prices (
    month date NOT NULL,
    make text NOT NULL,
    family text NOT NULL,
    year smallint NOT NULL,
    ads integer NOT NULL,
    priced integer NOT NULL,
    p25 numeric(12,2),
    p50 numeric(12,2),
    p75 numeric(12,2),
    CONSTRAINT market_prices_check CHECK ((priced <= ads)),
    CONSTRAINT market_prices_check1 CHECK (((priced = 0) = (p50 IS NULL)))
);

CREATE TABLE public.market_state (
    is_only boolean DEFAULT true NOT NULL,
    computed_at timestamp with time zone NOT NULL,
    CONSTRAINT market_state_is_only_check CHECK (is_only)
);

CREATE TABLE public.market_stays (
    make text NOT NULL,
    family text NOT NULL,
    watched integer NOT NULL,
    gone integer NOT NULL,
    followed_days integer NOT NULL,
    median_days integer,
    gone_in_30_days numeric(5,4),
    watched_until timestamp with time zone NOT NULL,
    CONSTRAINT market_stays_gone_in_30_days_check CHECK (((gone_in_30_days >= (0)::numeric) AND (gone_in_30_days <= (1)::numeric)))
);

CREATE TABLE public.model_demand (
    model text NOT NULL,
    active integer NOT NULL,
    gone integer NOT NULL,
    median_days real,
    measured_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.notifications (
    id bigint NOT NULL,
    listing_id bigint NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    score numeric(3,1) NOT NULL,
    price_eur numeric(12,2),
    attempts smallint DEFAULT 0 NOT NULL,
    token bigint,
    tried_at timestamp with time zone,
    next_try_at timestamp with time zone DEFAULT now() NOT NULL,
    chat_id text,
    message_id bigint,
    is_photo boolean,
    is_dry_run boolean DEFAULT false NOT NULL,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    settled_at timestamp with time zone,
    refusals integer DEFAULT 0 NOT NULL,
    is_suspect boolean DEFAULT false NOT NULL,
    proofs smallint DEFAULT 0 NOT NULL,
    CONSTRAINT notifications_kind_check CHECK ((kind = ANY (ARRAY['deal'::text, 'price'::text, 'gone'::text]))),
    CONSTRAINT notifications_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'trying'::text, 'sent'::text, 'dropped'::text, 'failed'::text])))
);

ALTER TABLE public.notifications ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.notifications_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.photo_stores (
    id integer NOT NULL,
    name text NOT NULL
);

ALTER TABLE public.photo_stores ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.photo_stores_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW public.photo_turns AS
 SELECT id AS lot_id,
    COALESCE(sale_at, (sale_date)::timestamp with time zone, (first_seen_at + '4 days'::interval)) AS first_turn_at,
    COALESCE(sale_at, (sale_date)::timestamp with time zone, (first_seen_at + '9 days'::interval)) AS leaves_at,
    (COALESCE(sale_at, (sale_date)::timestamp with time zone, (first_seen_at + '9 days'::interval)) - ('7 days'::interval * COALESCE(( SELECT public.lot_worth(vehicles.vehicle_type, vehicles.year, lots.title_group, lots.damage) AS lot_worth
           FROM public.vehicles
          WHERE (vehicles.id = lots.vehicle_id)), (0)::double precision))) AS second_turn_at
   FROM public.lots
  WHERE ((status = 'active'::text) AND (image_url IS NOT NULL));

ALTER TABLE public.vehicles ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.vehicles_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.watch_drafts (
    id bigint NOT NULL,
    person_id bigint NOT NULL,
    watch_id bigint,
    typed text NOT NULL,
    below_market numeric,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT watch_drafts_typed_check CHECK ((length(typed) <= 2000))
);

ALTER TABLE public.watch_drafts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.watch_drafts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.watch_people (
    id bigint NOT NULL,
    chat_id bigint,
    user_id bigint,
    is_operator boolean DEFAULT false NOT NULL,
    language text DEFAULT 'bg'::text NOT NULL,
    time_zone text DEFAULT 'Europe/Sofia'::text NOT NULL,
    is_silent boolean DEFAULT false NOT NULL,
    quiet_from smallint,
    quiet_to smallint,
    is_quiet_silent boolean DEFAULT false NOT NULL,
    digest_at smallint,
    digest_due timestamp with time zone,
    paused_at timestamp with time zone,
    paused_by text,
    next_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT watch_people_check CHECK (((num_nonnulls(chat_id, user_id) > 0) OR is_operator)),
    CONSTRAINT watch_people_check1 CHECK (((quiet_from IS NULL) = (quiet_to IS NULL))),
    CONSTRAINT watch_people_check2 CHECK (((paused_at IS NULL) = (paused_by IS NULL))),
    CONSTRAINT watch_people_digest_at_check CHECK (((digest_at >= 0) AND (digest_at <= 1439))),
    CONSTRAINT watch_people_language_check CHECK ((language = ANY (ARRAY['bg'::text, 'en'::text]))),
    CONSTRAINT watch_people_paused_by_check CHECK ((paused_by = ANY (ARRAY['person'::text, 'blocked'::text, 'account'::text]))),
    CONSTRAINT watch_people_quiet_from_check CHECK (((quiet_from >= 0) AND (quiet_from <= 1439))),
    CONSTRAINT watch_people_quiet_to_check CHECK (((quiet_to >= 0) AND (quiet_to <= 1439)))
);

CREATE TABLE public.watches (
    id bigint NOT NULL,
    person_id bigint NOT NULL,
    kind text DEFAULT 'ad'::text NOT NULL,
    typed text NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    paused_at timestamp with time zone,
    is_silent boolean DEFAULT false NOT NULL,
    make text[] DEFAULT '{}'::text[] NOT NULL,
    family text[] DEFAULT '{}'::text[] NOT NULL,
    year_from integer,
    year_to integer,
    price_from numeric,
    price_to numeric,
    km_from integer,
    km_to integer,
    power_from integer,
    power_to integer,
    fuel text[] DEFAULT '{}'::text[] NOT NULL,
    gearbox text[] DEFAULT '{}'::text[] NOT NULL,
    body text[] DEFAULT '{}'::text[] NOT NULL,
    color text[] DEFAULT '{}'::text[] NOT NULL,
    region text[] DEFAULT '{}'::text[] NOT NULL,
    seller text[] DEFAULT '{}'::text[] NOT NULL,
    min_score numeric,
    below_market numeric,
    words text[] DEFAULT '{}'::text[] NOT NULL,
    words_not text[] DEFAULT '{}'::text[] NOT NULL,
    words_query tsquery,
    words_not_query tsquery,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    keys text[] GENERATED ALWAYS AS (
CASE
    WHEN (cardinality(family) > 0) THEN family
    WHEN (cardinality(make) > 0) THEN make
    WHEN (cardinality(region) > 0) THEN region
    WHEN (cardinality(color) > 0) THEN color
    WHEN (cardinality(body) > 0) THEN body
    WHEN (cardinality(fuel) > 0) THEN fuel
    WHEN (cardinality(gearbox) > 0) THEN gearbox
    WHEN (cardinality(seller) > 0) THEN seller
    ELSE ARRAY[''::text]
END) STORED NOT NULL,
    CONSTRAINT watches_kind_check CHECK ((kind = ANY (ARRAY['ad'::text, 'lot'::text, 'both'::text]))),
    CONSTRAINT watches_typed_check CHECK ((length(typed) <= 2000))
);

CREATE VIEW public.watch_fits AS
 SELECT board.listing_id,
    watches.id AS watch_id,
    watches.version,
    watches.since,
    watches.price_to,
    watches.below_market AS least_below,
    watches.min_score,
    board.price_eur,
    board.below_market,
    board.score,
    board.first_seen
   FROM (((public.board
     JOIN public.watches ON ((array_remove(ARRAY[board.family, board.make, board.region, board.color, board.body, board.fuel, board.gearbox, board.seller, ''::text], NULL::text) && watches.keys)))
     JOIN public.watch_people people ON ((watches.person_id = people.id)))
     LEFT JOIN public.listing_words said ON ((board.listing_id = said.listing_id)))
  WHERE ((NOT board.is_gone) AND (board.duplicate_of IS NULL) AND (watches.paused_at IS NULL) AND (people.paused_at IS NULL) AND (watches.kind = ANY (ARRAY['ad'::text, 'both'::text])) AND ((watches.make = '{}'::text[]) OR (board.make = ANY (watches.make))) AND ((watches.family = '{}'::text[]) OR (board.family = ANY (watches.family))) AND ((watches.year_from IS NULL) OR (board.year >= watches.year_from)) AND ((watches.year_to IS NULL) OR (board.year <= watches.year_to)) AND ((watches.price_from IS NULL) OR (board.price_eur >= watches.price_from)) AND ((watches.price_to IS NULL) OR (board.price_eur <= watches.price_to)) AND ((watches.km_from IS NULL) OR (board.mileage_km >= watches.km_from)) AND ((watches.km_to IS NULL) OR (board.mileage_km <= watches.km_to)) AND ((watches.power_from IS NULL) OR (board.power_hp >= watches.power_from)) AND ((watches.power_to IS NULL) OR (board.power_hp <= watches.power_to)) AND ((watches.fuel = '{}'::text[]) OR (board.fuel = ANY (watches.fuel))) AND ((watches.gearbox = '{}'::text[]) OR (board.gearbox = ANY (watches.gearbox))) AND ((watches.body = '{}'::text[]) OR (board.body = ANY (watches.body))) AND ((watches.color = '{}'::text[]) OR (board.color = ANY (watches.color))) AND ((watches.region = '{}'::text[]) OR (board.region = ANY (watches.region))) AND ((watches.seller = '{}'::text[]) OR (board.seller = ANY (watches.seller))) AND ((watches.min_score IS NULL) OR (board.score >= watches.min_score)) AND ((watches.below_market IS NULL) OR (board.below_market >= watches.below_market)) AND ((watches.words_query IS NULL) OR (said.words @@ watches.words_query)) AND ((watches.words_not_query IS NULL) OR ((said.words @@ watches.words_not_query) IS NOT TRUE)));

CREATE TABLE public.watch_hits (
    id bigint NOT NULL,
    watch_id bigint NOT NULL,
    car text NOT NULL,
    listing_id bigint,
    lot_id bigint,
    version integer NOT NULL,
    price_eur numeric(12,2),
    score numeric(3,1),
    found_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    dropped_at timestamp with time zone,
    state text DEFAULT 'new'::text NOT NULL,
    digest_id bigint,
    CONSTRAINT watch_hits_check CHECK ((num_nonnulls(listing_id, lot_id) = 1)),
    CONSTRAINT watch_hits_state_check CHECK ((state = ANY (ARRAY['new'::text, 'known'::text, 'told'::text, 'held'::text, 'digested'::text, 'dropped'::text])))
);

ALTER TABLE public.watch_hits ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.watch_hits_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.watch_lot_keys (
    key text NOT NULL,
    watch_id bigint NOT NULL
);

CREATE TABLE public.watch_lots (
    watch_id bigint NOT NULL,
    make text[] DEFAULT '{}'::text[] NOT NULL,
    family text[] DEFAULT '{}'::text[] NOT NULL,
    year_from integer,
    year_to integer,
    odometer_to integer,
    fuel text[] DEFAULT '{}'::text[] NOT NULL,
    gearbox text[] DEFAULT '{}'::text[] NOT NULL,
    body text[] DEFAULT '{}'::text[] NOT NULL,
    color text[] DEFAULT '{}'::text[] NOT NULL,
    damage text[] DEFAULT '{}'::text[] NOT NULL,
    title_group text[] DEFAULT '{}'::text[] NOT NULL,
    runs text[] DEFAULT '{}'::text[] NOT NULL,
    keys text[] DEFAULT '{}'::text[] NOT NULL,
    state text[] DEFAULT '{}'::text[] NOT NULL,
    yard text[] DEFAULT '{}'::text[] NOT NULL,
    seller text[] DEFAULT '{}'::text[] NOT NULL,
    sale_from date,
    sale_to date,
    sale_within interval,
    bid_to numeric,
    buy_now text,
    landed_to numeric,
    profit_from integer,
    most_bid_from integer,
    at_bid_to integer,
    is_moving boolean GENERATED ALWAYS AS ((num_nonnulls(sale_from, sale_to, sale_within, bid_to, buy_now, landed_to, profit_from, most_bid_from, at_bid_to) > 0)) STORED NOT NULL,
    CONSTRAINT watch_lots_buy_now_check CHECK ((buy_now = ANY (ARRAY['yes'::text, 'no'::text])))
);

CREATE VIEW public.watch_lot_fits AS
 SELECT board.lot_id,
    wanted.watch_id,
    watches.version,
    watches.since,
    wanted.is_moving,
    wanted.sale_within,
    board.first_seen,
    board.sale_at,
    quotes.landed_eur,
        CASE
            WHEN (quotes.bid_usd IS NOT NULL) THEN quotes.profit_eur
            ELSE NULL::integer
        END AS profit_eur
   FROM ((((((public.lot_board board
     CROSS JOIN LATERAL unnest(ARRAY[board.family, board.make, ''::text]) known(key))
     JOIN public.watch_lot_keys keys ON ((known.key = keys.key)))
     JOIN public.watch_lots wanted ON ((keys.watch_id = wanted.watch_id)))
     JOIN public.watches ON ((wanted.watch_id = watches.id)))
     JOIN public.watch_people people ON ((watches.person_id = people.id)))
     LEFT JOIN public.lot_quotes quotes ON (((board.lot_id = quotes.lot_id) AND quotes.is_ranked)))
  WHERE ((NOT board.is_gone) AND ((board.sale_at IS NULL) OR (board.sale_at > now())) AND (watches.paused_at IS NULL) AND (people.paused_at IS NULL) AND (watches.kind = ANY (ARRAY['lot'::text, 'both'::text])) AND ((wanted.make = '{}'::text[]) OR (board.make = ANY (wanted.make))) AND ((wanted.family = '{}'::text[]) OR (board.family = ANY (wanted.family))) AND ((wanted.year_from IS NULL) OR (board.year >= wanted.year_from)) AND ((wanted.year_to IS NULL) OR (board.year <= wanted.year_to)) AND ((wanted.odometer_to IS NULL) OR (board.odometer <= wanted.odometer_to)) AND ((wanted.fuel = '{}'::text[]) OR (board.fuel = ANY (wanted.fuel))) AND ((wanted.gearbox = '{}'::text[]) OR (board.gearbox = ANY (wanted.gearbox))) AND ((wanted.body = '{}'::text[]) OR (board.body = ANY (wanted.body))) AND ((wanted.color = '{}'::text[]) OR (board.color = ANY (wanted.color))) AND ((wanted.damage = '{}'::text[]) OR (board.damage = ANY (wanted.damage))) AND ((wanted.title_group = '{}'::text[]) OR (board.title_group = ANY (wanted.title_group))) AND ((wanted.runs = '{}'::text[]) OR (
        CASE COALESCE(board.condition, 'unknown'::text)
            WHEN 'run and drive'::text THEN 'drives'::text
            ELSE COALESCE(board.condition, 'unknown'::text)
        END = ANY (wanted.runs))) AND ((wanted.keys = '{}'::text[]) OR (
        CASE board.has_keys
            WHEN true THEN 'yes'::text
            WHEN false THEN 'no'::text
            ELSE 'unknown'::text
        END = ANY (wanted.keys))) AND ((wanted.state = '{}'::text[]) OR (board.state = ANY (wanted.state))) AND ((wanted.yard = '{}'::text[]) OR (lower(board.yard) = ANY (wanted.yard))) AND ((wanted.seller = '{}'::text[]) OR (lower(board.seller) = ANY (wanted.seller))) AND ((wanted.sale_from IS NULL) OR (board.sale_at >= ((wanted.sale_from)::timestamp without time zone AT TIME ZONE people.time_zone))) AND ((wanted.sale_to IS NULL) OR (board.sale_at < (((wanted.sale_to + 1))::timestamp without time zone AT TIME ZONE people.time_zone))) AND ((wanted.sale_within IS NULL) OR (board.sale_at < (now() + wanted.sale_within))) AND ((wanted.bid_to IS NULL) OR (board.high_bid <= wanted.bid_to)) AND ((wanted.buy_now IS NULL) OR ((board.buy_now_price IS NOT NULL) = (wanted.buy_now = 'yes'::text))) AND ((wanted.landed_to IS NULL) OR (quotes.landed_eur <= wanted.landed_to)) AND ((wanted.profit_from IS NULL) OR ((quotes.bid_usd IS NOT NULL) AND (quotes.profit_eur >= wanted.profit_from))) AND ((wanted.most_bid_from IS NULL) OR (quotes.most_bid_usd >= wanted.most_bid_from)) AND ((wanted.at_bid_to IS NULL) OR (COALESCE(quotes.bid_usd, quotes.most_bid_usd) <= wanted.at_bid_to)));

CREATE TABLE public.watch_messages (
    id bigint NOT NULL,
    person_id bigint,
    chat_id bigint,
    kind text NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    rank smallint NOT NULL,
    score numeric(3,1),
    car text,
    listing_id bigint,
    lot_id bigint,
    watch_id bigint,
    about_id bigint,
    html text,
    buttons jsonb DEFAULT '[]'::jsonb NOT NULL,
    is_silent boolean DEFAULT false NOT NULL,
    price_eur numeric(12,2),
    price_told numeric(12,2),
    followed_at timestamp with time zone,
    muted_at timestamp with time zone,
    attempts smallint DEFAULT 0 NOT NULL,
    token bigint,
    tried_at timestamp with time zone,
    next_try_at timestamp with time zone DEFAULT now() NOT NULL,
    message_id bigint,
    is_photo boolean,
    error text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    settled_at timestamp with time zone,
    shown text,
    CONSTRAINT watch_messages_check CHECK ((num_nonnulls(person_id, chat_id) = 1)),
    CONSTRAINT watch_messages_check1 CHECK (((kind = 'hit'::text) = (car IS NOT NULL))),
    CONSTRAINT watch_messages_check2 CHECK (((kind = ANY (ARRAY['price'::text, 'gone'::text])) = (about_id IS NOT NULL))),
    CONSTRAINT watch_messages_kind_check CHECK ((kind = ANY (ARRAY['reply'::text, 'edit'::text, 'hit'::text, 'price'::text, 'gone'::text, 'digest'::text]))),
    CONSTRAINT watch_messages_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'trying'::text, 'sent'::text, 'dropped'::text, 'failed'::text])))
);

CREATE VIEW public.watch_message_ads AS
 SELECT messages.id AS message_id,
    messages.listing_id
   FROM public.watch_messages messages
  WHERE ((messages.kind = 'hit'::text) AND (messages.listing_id IS NOT NULL))
UNION ALL
 SELECT messages.id AS message_id,
    others.listing_id
   FROM (public.watch_messages messages
     JOIN public.normalized_listings others ON ((messages.listing_id = others.duplicate_of)))
  WHERE (messages.kind = 'hit'::text)
UNION ALL
 SELECT messages.id AS message_id,
    own.duplicate_of AS listing_id
   FROM (public.watch_messages messages
     JOIN public.normalized_listings own ON ((messages.listing_id = own.listing_id)))
  WHERE ((messages.kind = 'hit'::text) AND (own.duplicate_of IS NOT NULL))
UNION ALL
 SELECT messages.id AS message_id,
    hits.listing_id
   FROM (public.watch_messages messages
     JOIN public.watch_hits hits ON ((messages.car = hits.car)))
  WHERE ((messages.kind = 'hit'::text) AND (hits.listing_id <> messages.listing_id) AND (messages.person_id = ( SELECT watches.person_id
           FROM public.watches
          WHERE (watches.id = hits.watch_id))));

ALTER TABLE public.watch_messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.watch_messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.watch_people ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.watch_people_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE public.watch_tokens
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER TABLE public.watches ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.watches_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE raw.csv_files ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME raw.csv_files_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE staging.placeholder_vins (
    vin text NOT NULL,
    found_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE staging.sale_zones (
    label text NOT NULL,
    region text NOT NULL,
    zone text NOT NULL
);

CREATE TABLE staging.shared_vins (
    lot_external_id bigint NOT NULL,
    vin text NOT NULL,
    make text NOT NULL
);

ALTER TABLE ONLY public.board ATTACH PARTITION public.board_active FOR VALUES IN (false);

ALTER TABLE ONLY public.board ATTACH PARTITION public.board_gone FOR VALUES IN (true);

ALTER TABLE ONLY public.lot_board ATTACH PARTITION public.lot_board_active FOR VALUES IN (false);

ALTER TABLE ONLY public.lot_board ATTACH PARTITION public.lot_board_gone FOR VALUES IN (true);

ALTER TABLE ONLY audit.etl_runs
    ADD CONSTRAINT etl_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY audit.lot_events
    ADD CONSTRAINT lot_events_pkey PRIMARY KEY (lot_id, id);

ALTER TABLE ONLY audit.rejected_rows
    ADD CONSTRAINT rejected_rows_pkey PRIMARY KEY (id);

ALTER TABLE ONLY audit.rejected_rows
    ADD CONSTRAINT rejected_rows_row_hash_reason_key UNIQUE (row_hash, reason);

ALTER TABLE ONLY ops.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ops.crawl_runs
    ADD CONSTRAINT crawl_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ops.deal_outbox
    ADD CONSTRAINT deal_outbox_pkey PRIMARY KEY (listing_id, stage);

ALTER TABLE ONLY ops.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (what);

ALTER TABLE ONLY ops.host_budgets
    ADD CONSTRAINT host_budgets_pkey PRIMARY KEY (host);

ALTER TABLE ONLY ops.listing_walks
    ADD CONSTRAINT listing_walks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ops.lot_outbox
    ADD CONSTRAINT lot_outbox_pkey PRIMARY KEY (lot_id, stage);

ALTER TABLE ONLY ops.market_cycles
    ADD CONSTRAINT market_cycles_pkey PRIMARY KEY (source);

ALTER TABLE ONLY ops.photo_coverage
    ADD CONSTRAINT photo_coverage_pkey PRIMARY KEY (at);

ALTER TABLE ONLY ops.photo_removals
    ADD CONSTRAINT photo_removals_pkey PRIMARY KEY (storage_key);

ALTER TABLE ONLY ops.price_models
    ADD CONSTRAINT price_models_pkey PRIMARY KEY (version);

ALTER TABLE ONLY ops.rechecks
    ADD CONSTRAINT rechecks_pkey PRIMARY KEY (listing_id);

ALTER TABLE ONLY ops.scheduled_tasks
    ADD CONSTRAINT scheduled_tasks_pkey PRIMARY KEY (task);

ALTER TABLE ONLY ops.sign_in_failures
    ADD CONSTRAINT sign_in_failures_pkey PRIMARY KEY (subject_hash);

ALTER TABLE ONLY ops.sign_ins
    ADD CONSTRAINT sign_ins_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY ops.task_progress
    ADD CONSTRAINT task_progress_pkey PRIMARY KEY (machine);

ALTER TABLE ONLY ops.telegram_pace
    ADD CONSTRAINT telegram_pace_pkey PRIMARY KEY (bot_id);

ALTER TABLE ONLY ops.texts_masked
    ADD CONSTRAINT texts_masked_pkey PRIMARY KEY (is_row);

ALTER TABLE ONLY ops.told_lots
    ADD CONSTRAINT told_lots_pkey PRIMARY KEY (lot_external_id);

ALTER TABLE ONLY ops.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ops.walk_pieces
    ADD CONSTRAINT walk_pieces_pkey PRIMARY KEY (walk_id, number);

ALTER TABLE ONLY ops.watch_invitations
    ADD CONSTRAINT watch_invitations_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY ops.watch_strangers
    ADD CONSTRAINT watch_strangers_pkey PRIMARY KEY (chat_hash);

ALTER TABLE ONLY ops.watch_updates
    ADD CONSTRAINT watch_updates_pkey PRIMARY KEY (bot_id);

ALTER TABLE ONLY ops.worker_restarts
    ADD CONSTRAINT worker_restarts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ops.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (machine, worker);

ALTER TABLE ONLY public.ad_notes
    ADD CONSTRAINT ad_notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ad_stars
    ADD CONSTRAINT ad_stars_user_id_listing_id_key UNIQUE NULLS NOT DISTINCT (user_id, listing_id);

ALTER TABLE ONLY public.ad_statuses
    ADD CONSTRAINT ad_statuses_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.board
    ADD CONSTRAINT board_pkey PRIMARY KEY (listing_id, is_gone);

ALTER TABLE ONLY public.board_active
    ADD CONSTRAINT board_active_pkey PRIMARY KEY (listing_id, is_gone);

ALTER TABLE ONLY public.board_gone
    ADD CONSTRAINT board_gone_pkey PRIMARY KEY (listing_id, is_gone);

ALTER TABLE ONLY public.exchange_rates
    ADD CONSTRAINT exchange_rates_pkey PRIMARY KEY (currency, day);

ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_lot_id_source_url_key UNIQUE (lot_id, source_url);

ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.import_discounts
    ADD CONSTRAINT import_discounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.listing_vins
    ADD CONSTRAINT listing_vins_pkey PRIMARY KEY (listing_id, vin);

ALTER TABLE ONLY public.listing_words
    ADD CONSTRAINT listing_words_pkey PRIMARY KEY (listing_id);

ALTER TABLE ONLY public.listings
    ADD CONSTRAINT listings_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.listings
    ADD CONSTRAINT listings_source_ad_id_key UNIQUE (source, ad_id);

ALTER TABLE ONLY public.lot_bids
    ADD CONSTRAINT lot_bids_pkey PRIMARY KEY (lot_id);

ALTER TABLE ONLY public.lot_board
    ADD CONSTRAINT lot_board_pkey PRIMARY KEY (lot_id, is_gone);

ALTER TABLE ONLY public.lot_board_active
    ADD CONSTRAINT lot_board_active_pkey PRIMARY KEY (lot_id, is_gone);

ALTER TABLE ONLY public.lot_board_gone
    ADD CONSTRAINT lot_board_gone_pkey PRIMARY KEY (lot_id, is_gone);

ALTER TABLE ONLY public.lot_floors
    ADD CONSTRAINT lot_floors_pkey PRIMARY KEY (hours);

ALTER TABLE ONLY public.lot_notes
    ADD CONSTRAINT lot_notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lot_notifications
    ADD CONSTRAINT lot_notifications_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lot_photos
    ADD CONSTRAINT lot_photos_pkey PRIMARY KEY (lot_id);

ALTER TABLE ONLY public.lot_quotes
    ADD CONSTRAINT lot_quotes_pkey PRIMARY KEY (lot_id);

ALTER TABLE ONLY public.lot_results
    ADD CONSTRAINT lot_results_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lot_stars
    ADD CONSTRAINT lot_stars_user_id_lot_id_key UNIQUE NULLS NOT DISTINCT (user_id, lot_id);

ALTER TABLE ONLY public.lot_statuses
    ADD CONSTRAINT lot_statuses_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lot_values
    ADD CONSTRAINT lot_values_pkey PRIMARY KEY (lot_id);

ALTER TABLE ONLY public.lot_words
    ADD CONSTRAINT lot_words_pkey PRIMARY KEY (field, said);

ALTER TABLE ONLY public.lots
    ADD CONSTRAINT lots_lot_external_id_key UNIQUE (lot_external_id);

ALTER TABLE ONLY public.lots
    ADD CONSTRAINT lots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.market_months
    ADD CONSTRAINT market_months_pkey PRIMARY KEY (month);

ALTER TABLE ONLY public.market_now
    ADD CONSTRAINT market_now_pkey PRIMARY KEY (family, split, value, make);

ALTER TABLE ONLY public.market_prices
    ADD CONSTRAINT market_prices_pkey PRIMARY KEY (month, year, make, family);

ALTER TABLE ONLY public.market_state
    ADD CONSTRAINT market_state_pkey PRIMARY KEY (is_only);

ALTER TABLE ONLY public.market_stays
    ADD CONSTRAINT market_stays_pkey PRIMARY KEY (family, make);

ALTER TABLE ONLY public.model_demand
    ADD CONSTRAINT model_demand_pkey PRIMARY KEY (model);

ALTER TABLE ONLY public.normalized_listings
    ADD CONSTRAINT normalized_listings_pkey PRIMARY KEY (listing_id);

ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.photo_stores
    ADD CONSTRAINT photo_stores_name_key UNIQUE (name);

ALTER TABLE ONLY public.photo_stores
    ADD CONSTRAINT photo_stores_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.scores
    ADD CONSTRAINT scores_pkey PRIMARY KEY (listing_id);

ALTER TABLE ONLY public.valuations
    ADD CONSTRAINT valuations_pkey PRIMARY KEY (listing_id);

ALTER TABLE ONLY public.vehicles
    ADD CONSTRAINT vehicles_lot_external_id_key UNIQUE (lot_external_id);

ALTER TABLE ONLY public.vehicles
    ADD CONSTRAINT vehicles_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.vehicles
    ADD CONSTRAINT vehicles_vin_key UNIQUE (vin);

ALTER TABLE ONLY public.watch_drafts
    ADD CONSTRAINT watch_drafts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.watch_hits
    ADD CONSTRAINT watch_hits_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.watch_hits
    ADD CONSTRAINT watch_hits_watch_id_car_key UNIQUE (watch_id, car);

ALTER TABLE ONLY public.watch_lot_keys
    ADD CONSTRAINT watch_lot_keys_pkey PRIMARY KEY (key, watch_id);

ALTER TABLE ONLY public.watch_lots
    ADD CONSTRAINT watch_lots_pkey PRIMARY KEY (watch_id);

ALTER TABLE ONLY public.watch_messages
    ADD CONSTRAINT watch_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.watch_people
    ADD CONSTRAINT watch_people_chat_id_key UNIQUE (chat_id);

ALTER TABLE ONLY public.watch_people
    ADD CONSTRAINT watch_people_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.watch_people
    ADD CONSTRAINT watch_people_user_id_key UNIQUE (user_id);

ALTER TABLE ONLY public.watches
    ADD CONSTRAINT watches_pkey PRIMARY KEY (id);

ALTER TABLE ONLY raw.csv_files
    ADD CONSTRAINT csv_files_path_key UNIQUE (path);

ALTER TABLE ONLY raw.csv_files
    ADD CONSTRAINT csv_files_pkey PRIMARY KEY (id);

ALTER TABLE ONLY raw.csv_files
    ADD CONSTRAINT csv_files_sha256_key UNIQUE (sha256);

ALTER TABLE ONLY staging.codes
    ADD CONSTRAINT codes_pkey PRIMARY KEY (field, code);

ALTER TABLE ONLY staging.placeholder_vins
    ADD CONSTRAINT placeholder_vins_pkey PRIMARY KEY (vin);

ALTER TABLE ONLY staging.sale_zones
    ADD CONSTRAINT sale_zones_pkey PRIMARY KEY (label, region);

ALTER TABLE ONLY staging.shared_vins
    ADD CONSTRAINT shared_vins_pkey PRIMARY KEY (lot_external_id);

CREATE INDEX etl_runs_loaded ON audit.etl_runs USING btree (id) WHERE (status = 'loaded'::text);

CREATE INDEX lot_events_happened ON audit.lot_events USING brin (happened_at);

CREATE INDEX rejected_rows_file ON audit.rejected_rows USING btree (file_id);

CREATE UNIQUE INDEX alerts_open ON ops.alerts USING btree (kind, subject) WHERE (cleared_at IS NULL);

CREATE INDEX crawl_runs_process ON ops.crawl_runs USING btree (machine, pid, started_at DESC);

CREATE INDEX crawl_runs_spider ON ops.crawl_runs USING btree (spider, started_at DESC);

CREATE INDEX deal_outbox_stage ON ops.deal_outbox USING btree (stage, attempts, queued_at) WHERE (dead_at IS NULL);

CREATE UNIQUE INDEX listing_walks_claim ON ops.listing_walks USING btree (source, make_slug) WHERE (claimed_until IS NOT NULL);

CREATE INDEX listing_walks_make ON ops.listing_walks USING btree (source, make_slug, started_at DESC);

CREATE INDEX listing_walks_open ON ops.listing_walks USING btree (source, make_slug) WHERE (finished_at IS NULL);

CREATE INDEX lot_outbox_stage ON ops.lot_outbox USING btree (stage, attempts, queued_at) WHERE (dead_at IS NULL);

CREATE INDEX sign_in_failures_first ON ops.sign_in_failures USING btree (first_at);

CREATE INDEX sign_ins_end ON ops.sign_ins USING btree (ends_at);

CREATE INDEX sign_ins_user ON ops.sign_ins USING btree (user_id);

CREATE UNIQUE INDEX users_name ON ops.users USING btree (lower(name)) WHERE (removed_at IS NULL);

CREATE INDEX watch_invitations_end ON ops.watch_invitations USING btree (ends_at);

CREATE INDEX watch_invitations_user ON ops.watch_invitations USING btree (user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX watch_strangers_told ON ops.watch_strangers USING btree (told_at);

CREATE INDEX worker_restarts_worker ON ops.worker_restarts USING btree (machine, worker, restarted_at DESC);

CREATE INDEX ad_notes_listing ON public.ad_notes USING btree (listing_id, id);

CREATE INDEX ad_stars_listing ON public.ad_stars USING btree (listing_id);

CREATE INDEX ad_statuses_listing ON public.ad_statuses USING btree (listing_id, id DESC);

CREATE INDEX board_price ON ONLY public.board USING btree (COALESCE(price_eur, 'Infinity'::numeric), listing_id DESC);

CREATE INDEX board_active_coalesce_listing_id_idx ON public.board_active USING btree (COALESCE(price_eur, 'Infinity'::numeric), listing_id DESC);

CREATE INDEX board_below ON ONLY public.board USING btree (COALESCE(below_market, '-Infinity'::numeric) DESC, listing_id DESC);

CREATE INDEX board_active_coalesce_listing_id_idx1 ON public.board_active USING btree (COALESCE(below_market, '-Infinity'::numeric) DESC, listing_id DESC);

CREATE INDEX board_dear ON ONLY public.board USING btree (COALESCE(price_eur, ('-1'::integer)::numeric) DESC, listing_id DESC);

CREATE INDEX board_active_coalesce_listing_id_idx2 ON public.board_active USING btree (COALESCE(price_eur, ('-1'::integer)::numeric) DESC, listing_id DESC);

CREATE INDEX board_km ON ONLY public.board USING btree (COALESCE(mileage_km, 2147483647), listing_id DESC);

CREATE INDEX board_active_coalesce_listing_id_idx3 ON public.board_active USING btree (COALESCE(mileage_km, 2147483647), listing_id DESC);

CREATE INDEX board_year ON ONLY public.board USING btree (COALESCE(year, 0) DESC, listing_id DESC);

CREATE INDEX board_active_coalesce_listing_id_idx4 ON public.board_active USING btree (COALESCE(year, 0) DESC, listing_id DESC);

CREATE INDEX board_family ON ONLY public.board USING btree (family, score DESC, listing_id DESC);

CREATE INDEX board_active_family_score_listing_id_idx ON public.board_active USING btree (family, score DESC, listing_id DESC);

CREATE INDEX board_new ON ONLY public.board USING btree (first_seen DESC, listing_id DESC);

CREATE INDEX board_active_first_seen_listing_id_idx ON public.board_active USING btree (first_seen DESC, listing_id DESC);

CREATE INDEX board_make ON ONLY public.board USING btree (make, score DESC, listing_id DESC);

CREATE INDEX board_active_make_score_listing_id_idx ON public.board_active USING btree (make, score DESC, listing_id DESC);

CREATE INDEX board_active_sample_family ON public.board_active USING btree (family) INCLUDE (listing_id, is_gone, duplicate_of, first_seen, score, price_eur, below_market, year, mileage_km, power_hp, make, fuel, gearbox, body, color, region, seller) WHERE (mod(listing_id, (13)::bigint) = 0);

CREATE INDEX board_active_sample_make ON public.board_active USING btree (make) INCLUDE (listing_id, is_gone, duplicate_of, first_seen, score, price_eur, below_market, year, mileage_km, power_hp, family, fuel, gearbox, body, color, region, seller) WHERE (mod(listing_id, (13)::bigint) = 0);

CREATE INDEX board_score ON ONLY public.board USING btree (score DESC, listing_id DESC);

CREATE INDEX board_active_score_listing_id_idx ON public.board_active USING btree (score DESC, listing_id DESC);

CREATE INDEX board_gone_at ON public.board_gone USING btree (gone_at);

CREATE INDEX board_gone_coalesce_listing_id_idx ON public.board_gone USING btree (COALESCE(price_eur, 'Infinity'::numeric), listing_id DESC);

CREATE INDEX board_gone_coalesce_listing_id_idx1 ON public.board_gone USING btree (COALESCE(below_market, '-Infinity'::numeric) DESC, listing_id DESC);

CREATE INDEX board_gone_coalesce_listing_id_idx2 ON public.board_gone USING btree (COALESCE(price_eur, ('-1'::integer)::numeric) DESC, listing_id DESC);

CREATE INDEX board_gone_coalesce_listing_id_idx3 ON public.board_gone USING btree (COALESCE(mileage_km, 2147483647), listing_id DESC);

CREATE INDEX board_gone_coalesce_listing_id_idx4 ON public.board_gone USING btree (COALESCE(year, 0) DESC, listing_id DESC);

CREATE INDEX board_gone_family_score_listing_id_idx ON public.board_gone USING btree (family, score DESC, listing_id DESC);

CREATE INDEX board_gone_first_seen_listing_id_idx ON public.board_gone USING btree (first_seen DESC, listing_id DESC);

CREATE INDEX board_gone_make_score_listing_id_idx ON public.board_gone USING btree (make, score DESC, listing_id DESC);

CREATE INDEX board_gone_sample ON public.board_gone USING btree (first_seen) INCLUDE (listing_id, is_gone, duplicate_of, score, price_eur, below_market, year, mileage_km, power_hp, make, family, fuel, gearbox, body, color, region, seller) WHERE (mod(listing_id, (13)::bigint) = 0);

CREATE INDEX board_gone_score_listing_id_idx ON public.board_gone USING btree (score DESC, listing_id DESC);

CREATE INDEX images_created ON public.images USING btree (created_at);

CREATE INDEX images_lot ON public.images USING btree (lot_id);

CREATE INDEX images_object ON public.images USING hash (storage_key);

CREATE INDEX images_store ON public.images USING btree (store_id);

CREATE INDEX images_vin ON public.images USING btree (vin, content_hash);

CREATE INDEX listing_prices_listing ON public.listing_prices USING btree (listing_id, seen_at);

CREATE INDEX listing_vins_vin ON public.listing_vins USING btree (vin);

CREATE INDEX listing_words_words ON public.listing_words USING gin (words) WITH (gin_pending_list_limit='1024');

CREATE INDEX listings_active ON public.listings USING btree (source, make_slug) WHERE (removed_at IS NULL);

CREATE INDEX listings_first_seen ON public.listings USING btree (first_seen);

CREATE INDEX listings_removed ON public.listings USING btree (removed_at) WHERE (removed_at IS NOT NULL);

CREATE INDEX listings_there ON public.listings USING btree (id) WHERE (removed_at IS NULL);

CREATE INDEX lot_board_sale ON ONLY public.lot_board USING btree (COALESCE(sale_at, '2100-01-01 00:00:00+00'::timestamp with time zone), lot_id DESC);

CREATE INDEX lot_board_active_coalesce_lot_id_idx ON public.lot_board_active USING btree (COALESCE(sale_at, '2100-01-01 00:00:00+00'::timestamp with time zone), lot_id DESC);

CREATE INDEX lot_board_bid ON ONLY public.lot_board USING btree (COALESCE(high_bid, ('-1'::integer)::numeric), lot_id);

CREATE INDEX lot_board_active_coalesce_lot_id_idx1 ON public.lot_board_active USING btree (COALESCE(high_bid, ('-1'::integer)::numeric), lot_id);

CREATE INDEX lot_board_active_family ON public.lot_board_active USING btree (family) INCLUDE (lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, make, year, fuel, gearbox, body, color, damage, title_group, condition, has_keys, odometer, state, has_photos);

CREATE INDEX lot_board_new ON ONLY public.lot_board USING btree (first_seen, lot_id);

CREATE INDEX lot_board_active_first_seen_lot_id_idx ON public.lot_board_active USING btree (first_seen, lot_id);

CREATE INDEX lot_board_active_make ON public.lot_board_active USING btree (make) INCLUDE (lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, family, year, fuel, gearbox, body, color, damage, title_group, condition, has_keys, odometer, state, has_photos);

CREATE INDEX lot_board_active_sample_family ON public.lot_board_active USING btree (family) INCLUDE (lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, make, year, fuel, gearbox, body, color, damage, title_group, condition, has_keys, odometer, state, has_photos) WHERE (mod(lot_id, (13)::bigint) = 0);

CREATE INDEX lot_board_active_sample_make ON public.lot_board_active USING btree (make) INCLUDE (lot_id, is_gone, first_seen, sale_at, high_bid, buy_now_price, family, year, fuel, gearbox, body, color, damage, title_group, condition, has_keys, odometer, state, has_photos) WHERE (mod(lot_id, (13)::bigint) = 0);

CREATE INDEX lot_board_gone_at ON public.lot_board_gone USING btree (gone_at);

CREATE INDEX lot_board_gone_coalesce_lot_id_idx ON public.lot_board_gone USING btree (COALESCE(sale_at, '2100-01-01 00:00:00+00'::timestamp with time zone), lot_id DESC);

CREATE INDEX lot_board_gone_coalesce_lot_id_idx1 ON public.lot_board_gone USING btree (COALESCE(high_bid, ('-1'::integer)::numeric), lot_id);

CREATE INDEX lot_board_gone_damage ON public.lot_board_gone USING btree (damage);

CREATE INDEX lot_board_gone_family ON public.lot_board_gone USING btree (family, first_seen);

CREATE INDEX lot_board_gone_first_seen_lot_id_idx ON public.lot_board_gone USING btree (first_seen, lot_id);

CREATE INDEX lot_board_gone_make ON public.lot_board_gone USING btree (make, first_seen);

CREATE INDEX lot_board_gone_sample ON public.lot_board_gone USING btree (first_seen) INCLUDE (lot_id, is_gone, sale_at, high_bid, buy_now_price, make, family, year, fuel, gearbox, body, color, damage, title_group, condition, has_keys, odometer, state, has_photos) WHERE (mod(lot_id, (13)::bigint) = 0);

CREATE INDEX lot_board_gone_seller ON public.lot_board_gone USING btree (lower(seller));

CREATE INDEX lot_board_gone_yard ON public.lot_board_gone USING btree (lower(yard));

CREATE INDEX lot_notes_lot ON public.lot_notes USING btree (lot_id, id);

CREATE INDEX lot_notifications_best ON public.lot_notifications USING btree (kind, score DESC, id) WHERE (state = ANY (ARRAY['waiting'::text, 'trying'::text]));

CREATE UNIQUE INDEX lot_notifications_deal ON public.lot_notifications USING btree (lot_id) WHERE (kind = 'deal'::text);

CREATE UNIQUE INDEX lot_notifications_open ON public.lot_notifications USING btree (lot_id, kind) WHERE (state = ANY (ARRAY['waiting'::text, 'trying'::text]));

CREATE INDEX lot_notifications_sent ON public.lot_notifications USING btree (settled_at) WHERE ((kind = 'deal'::text) AND (state = 'sent'::text));

CREATE INDEX lot_photos_leased ON public.lot_photos USING btree (lease_owner) WHERE (lease_owner IS NOT NULL);

CREATE INDEX lot_photos_queued ON public.lot_photos USING btree (lot_id) INCLUDE (state, stored, first_at) WHERE (turn_at IS NOT NULL);

CREATE INDEX lot_photos_turns ON public.lot_photos USING btree (((first_at IS NOT NULL)), turn_at, lot_id DESC) WHERE (turn_at IS NOT NULL);

CREATE INDEX lot_quotes_figures ON public.lot_quotes USING btree (lot_id) INCLUDE (landed_eur, profit_eur, bid_usd, most_bid_usd) WHERE is_ranked;

CREATE INDEX lot_quotes_most_bid ON public.lot_quotes USING btree (most_bid_usd DESC, lot_id) WHERE is_ranked;

CREATE INDEX lot_quotes_profit ON public.lot_quotes USING btree (profit_eur DESC, lot_id) WHERE (is_ranked AND (bid_usd IS NOT NULL));

CREATE INDEX lot_results_lot ON public.lot_results USING btree (lot_id, id DESC);

CREATE INDEX lot_stars_lot ON public.lot_stars USING btree (lot_id);

CREATE INDEX lot_statuses_lot ON public.lot_statuses USING btree (lot_id, id DESC);

CREATE INDEX lot_values_unblocked ON public.lot_values USING btree (lot_id) WHERE ((p50 IS NOT NULL) AND (blockers = '[]'::jsonb));

CREATE INDEX lots_active ON public.lots USING btree (id) INCLUDE (vehicle_id, first_seen_at) WHERE (status = 'active'::text);

CREATE INDEX lots_gone ON public.lots USING btree (gone_at, first_seen_at) WHERE (status = 'gone'::text);

CREATE INDEX lots_incomplete ON public.lots USING btree (id) WHERE ((status = 'active'::text) AND ((vin IS NULL) OR (damage IS NULL) OR (image_url IS NULL)));

CREATE INDEX lots_previous ON public.lots USING btree (previous_lot_id) WHERE (previous_lot_id IS NOT NULL);

CREATE INDEX lots_vehicle ON public.lots USING btree (vehicle_id, id);

CREATE INDEX market_now_whole ON public.market_now USING btree (make, family) WHERE (split = ''::text);

CREATE INDEX market_prices_family ON public.market_prices USING btree (family, month);

CREATE INDEX normalized_listings_cars ON public.normalized_listings USING btree (model, year, month, mileage_km);

CREATE INDEX normalized_listings_comparables ON public.normalized_listings USING btree (model, year, mileage_km) WHERE (is_comparable AND (duplicate_of IS NULL));

CREATE INDEX normalized_listings_duplicates ON public.normalized_listings USING btree (duplicate_of) WHERE (duplicate_of IS NOT NULL);

CREATE INDEX normalized_listings_families ON public.normalized_listings USING btree (family, year, mileage_km) WHERE (is_comparable AND (duplicate_of IS NULL));

CREATE INDEX normalized_listings_unknowns ON public.normalized_listings USING btree (listing_id) WHERE (unknowns <> '[]'::jsonb);

CREATE INDEX notifications_best ON public.notifications USING btree (kind, score DESC, id) WHERE (state = ANY (ARRAY['waiting'::text, 'trying'::text]));

CREATE UNIQUE INDEX notifications_deal ON public.notifications USING btree (listing_id) WHERE (kind = 'deal'::text);

CREATE UNIQUE INDEX notifications_open ON public.notifications USING btree (listing_id, kind) WHERE (state = ANY (ARRAY['waiting'::text, 'trying'::text]));

CREATE INDEX notifications_sent ON public.notifications USING btree (settled_at) WHERE ((kind = 'deal'::text) AND (state = 'sent'::text));

CREATE INDEX scores_best ON public.scores USING btree (is_approved DESC, score DESC, listing_id DESC);

CREATE INDEX scores_high ON public.scores USING btree (score);

CREATE INDEX vehicles_incomplete ON public.vehicles USING btree (id) INCLUDE (year, make, model, fuel) WHERE ((year IS NULL) OR (make IS NULL) OR (model IS NULL) OR (fuel IS NULL));

CREATE INDEX watch_drafts_created ON public.watch_drafts USING btree (created_at);

CREATE INDEX watch_drafts_person ON public.watch_drafts USING btree (person_id);

CREATE INDEX watch_drafts_watch ON public.watch_drafts USING btree (watch_id) WHERE (watch_id IS NOT NULL);

CREATE INDEX watch_hits_car ON public.watch_hits USING btree (car);

CREATE INDEX watch_hits_digest ON public.watch_hits USING btree (digest_id) WHERE (digest_id IS NOT NULL);

CREATE INDEX watch_hits_found ON public.watch_hits USING btree (watch_id, found_at DESC);

CREATE INDEX watch_hits_held ON public.watch_hits USING btree (watch_id) WHERE (state = 'held'::text);

CREATE INDEX watch_hits_listing ON public.watch_hits USING btree (listing_id) WHERE (listing_id IS NOT NULL);

CREATE INDEX watch_hits_lot ON public.watch_hits USING btree (lot_id) WHERE (lot_id IS NOT NULL);

CREATE INDEX watch_hits_new ON public.watch_hits USING btree (found_at) WHERE (state = 'new'::text);

CREATE INDEX watch_lot_keys_watch ON public.watch_lot_keys USING btree (watch_id);

CREATE INDEX watch_lots_soon ON public.watch_lots USING btree (sale_within) WHERE (sale_within IS NOT NULL);

CREATE INDEX watch_messages_about ON public.watch_messages USING btree (about_id) WHERE (about_id IS NOT NULL);

CREATE UNIQUE INDEX watch_messages_car ON public.watch_messages USING btree (person_id, car) WHERE (kind = 'hit'::text);

CREATE UNIQUE INDEX watch_messages_change ON public.watch_messages USING btree (about_id, kind) WHERE (state = ANY (ARRAY['waiting'::text, 'trying'::text]));

CREATE UNIQUE INDEX watch_messages_digest ON public.watch_messages USING btree (person_id) WHERE ((kind = 'digest'::text) AND (state = ANY (ARRAY['waiting'::text, 'trying'::text])));

CREATE INDEX watch_messages_listing ON public.watch_messages USING btree (listing_id) WHERE (listing_id IS NOT NULL);

CREATE INDEX watch_messages_lot ON public.watch_messages USING btree (lot_id) WHERE (lot_id IS NOT NULL);

CREATE INDEX watch_messages_lot_shown ON public.watch_messages USING btree (lot_id) WHERE ((kind = 'hit'::text) AND (state = 'sent'::text) AND (lot_id IS NOT NULL) AND (NOT starts_with(shown, 'gone'::text)));

CREATE INDEX watch_messages_next ON public.watch_messages USING btree (rank, score DESC NULLS LAST, id) WHERE (state = 'waiting'::text);

CREATE INDEX watch_messages_person ON public.watch_messages USING btree (person_id, message_id);

CREATE INDEX watch_messages_settled ON public.watch_messages USING btree (settled_at) WHERE (kind <> 'hit'::text);

CREATE INDEX watch_messages_trying ON public.watch_messages USING btree (tried_at) WHERE (state = 'trying'::text);

CREATE INDEX watch_messages_watch ON public.watch_messages USING btree (watch_id, created_at) WHERE (watch_id IS NOT NULL);

CREATE INDEX watch_people_digest ON public.watch_people USING btree (digest_due) WHERE (digest_due IS NOT NULL);

CREATE UNIQUE INDEX watch_people_operator ON public.watch_people USING btree (is_operator) WHERE is_operator;

CREATE INDEX watches_keys ON public.watches USING gin (keys) WITH (fastupdate=off) WHERE (paused_at IS NULL);

CREATE INDEX watches_person ON public.watches USING btree (person_id, id);

CREATE INDEX copart_raw_ingested ON staging.copart_raw USING btree (file_id, ingested_at);

CREATE INDEX shared_vins_vin ON staging.shared_vins USING btree (vin);

ALTER INDEX public.board_price ATTACH PARTITION public.board_active_coalesce_listing_id_idx;

ALTER INDEX public.board_below ATTACH PARTITION public.board_active_coalesce_listing_id_idx1;

ALTER INDEX public.board_dear ATTACH PARTITION public.board_active_coalesce_listing_id_idx2;

ALTER INDEX public.board_km ATTACH PARTITION public.board_active_coalesce_listing_id_idx3;

ALTER INDEX public.board_year ATTACH PARTITION public.board_active_coalesce_listing_id_idx4;

ALTER INDEX public.board_family ATTACH PARTITION public.board_active_family_score_listing_id_idx;

ALTER INDEX public.board_new ATTACH PARTITION public.board_active_first_seen_listing_id_idx;

ALTER INDEX public.board_make ATTACH PARTITION public.board_active_make_score_listing_id_idx;

ALTER INDEX public.board_pkey ATTACH PARTITION public.board_active_pkey;

ALTER INDEX public.board_score ATTACH PARTITION public.board_active_score_listing_id_idx;

ALTER INDEX public.board_price ATTACH PARTITION public.board_gone_coalesce_listing_id_idx;

ALTER INDEX public.board_below ATTACH PARTITION public.board_gone_coalesce_listing_id_idx1;

ALTER INDEX public.board_dear ATTACH PARTITION public.board_gone_coalesce_listing_id_idx2;

ALTER INDEX public.board_km ATTACH PARTITION public.board_gone_coalesce_listing_id_idx3;

ALTER INDEX public.board_year ATTACH PARTITION public.board_gone_coalesce_listing_id_idx4;

ALTER INDEX public.board_family ATTACH PARTITION public.board_gone_family_score_listing_id_idx;

ALTER INDEX public.board_new ATTACH PARTITION public.board_gone_first_seen_listing_id_idx;

ALTER INDEX public.board_make ATTACH PARTITION public.board_gone_make_score_listing_id_idx;

ALTER INDEX public.board_pkey ATTACH PARTITION public.board_gone_pkey;

ALTER INDEX public.board_score ATTACH PARTITION public.board_gone_score_listing_id_idx;

ALTER INDEX public.lot_board_sale ATTACH PARTITION public.lot_board_active_coalesce_lot_id_idx;

ALTER INDEX public.lot_board_bid ATTACH PARTITION public.lot_board_active_coalesce_lot_id_idx1;

ALTER INDEX public.lot_board_new ATTACH PARTITION public.lot_board_active_first_seen_lot_id_idx;

ALTER INDEX public.lot_board_pkey ATTACH PARTITION public.lot_board_active_pkey;

ALTER INDEX public.lot_board_sale ATTACH PARTITION public.lot_board_gone_coalesce_lot_id_idx;

ALTER INDEX public.lot_board_bid ATTACH PARTITION public.lot_board_gone_coalesce_lot_id_idx1;

ALTER INDEX public.lot_board_new ATTACH PARTITION public.lot_board_gone_first_seen_lot_id_idx;

ALTER INDEX public.lot_board_pkey ATTACH PARTITION public.lot_board_gone_pkey;

CREATE TRIGGER deal_queued_again BEFORE UPDATE OF queued_at ON ops.deal_outbox FOR EACH ROW WHEN ((new.queued_at <> old.queued_at)) EXECUTE FUNCTION public.renew_deal_work();

CREATE TRIGGER lot_queued_again BEFORE UPDATE OF queued_at ON ops.lot_outbox FOR EACH ROW WHEN ((new.queued_at <> old.queued_at)) EXECUTE FUNCTION public.renew_deal_work();

CREATE TRIGGER listing_priced AFTER INSERT ON public.listings FOR EACH ROW WHEN ((new.price_eur IS NOT NULL)) EXECUTE FUNCTION public.note_listing_price();

CREATE TRIGGER listing_repriced AFTER UPDATE OF price_eur ON public.listings FOR EACH ROW WHEN ((new.price_eur IS DISTINCT FROM old.price_eur)) EXECUTE FUNCTION public.note_listing_price();

CREATE TRIGGER lot_photographed AFTER UPDATE OF stored ON public.lot_photos FOR EACH ROW WHEN (((new.stored > 0) <> (old.stored > 0))) EXECUTE FUNCTION public.note_lot_photos();

CREATE TRIGGER lot_with_photos AFTER INSERT ON public.lot_photos FOR EACH ROW WHEN ((new.stored > 0)) EXECUTE FUNCTION public.note_lot_photos();

ALTER TABLE ONLY audit.etl_runs
    ADD CONSTRAINT etl_runs_file_id_fkey FOREIGN KEY (file_id) REFERENCES raw.csv_files(id);

ALTER TABLE ONLY ops.deal_outbox
    ADD CONSTRAINT deal_outbox_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY ops.rechecks
    ADD CONSTRAINT rechecks_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY ops.sign_ins
    ADD CONSTRAINT sign_ins_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY ops.walk_pieces
    ADD CONSTRAINT walk_pieces_walk_id_fkey FOREIGN KEY (walk_id) REFERENCES ops.listing_walks(id) ON DELETE CASCADE;

ALTER TABLE ONLY ops.watch_invitations
    ADD CONSTRAINT watch_invitations_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ad_notes
    ADD CONSTRAINT ad_notes_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ad_notes
    ADD CONSTRAINT ad_notes_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.ad_stars
    ADD CONSTRAINT ad_stars_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ad_stars
    ADD CONSTRAINT ad_stars_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ad_statuses
    ADD CONSTRAINT ad_statuses_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ad_statuses
    ADD CONSTRAINT ad_statuses_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE SET NULL;

ALTER TABLE public.board
    ADD CONSTRAINT board_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id);

ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_store_id_fkey FOREIGN KEY (store_id) REFERENCES public.photo_stores(id);

ALTER TABLE ONLY public.listing_prices
    ADD CONSTRAINT listing_prices_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.listing_vins
    ADD CONSTRAINT listing_vins_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.listing_words
    ADD CONSTRAINT listing_words_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_bids
    ADD CONSTRAINT lot_bids_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_bids
    ADD CONSTRAINT lot_bids_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id);

ALTER TABLE ONLY public.lot_notes
    ADD CONSTRAINT lot_notes_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_notes
    ADD CONSTRAINT lot_notes_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.lot_notifications
    ADD CONSTRAINT lot_notifications_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_photos
    ADD CONSTRAINT lot_photos_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id);

ALTER TABLE ONLY public.lot_quotes
    ADD CONSTRAINT lot_quotes_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_results
    ADD CONSTRAINT lot_results_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_results
    ADD CONSTRAINT lot_results_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id);

ALTER TABLE ONLY public.lot_stars
    ADD CONSTRAINT lot_stars_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_stars
    ADD CONSTRAINT lot_stars_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_statuses
    ADD CONSTRAINT lot_statuses_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lot_statuses
    ADD CONSTRAINT lot_statuses_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.lot_values
    ADD CONSTRAINT lot_values_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lots
    ADD CONSTRAINT lots_previous_lot_id_fkey FOREIGN KEY (previous_lot_id) REFERENCES public.lots(id);

ALTER TABLE ONLY public.market_prices
    ADD CONSTRAINT market_prices_month_fkey FOREIGN KEY (month) REFERENCES public.market_months(month) ON DELETE CASCADE;

ALTER TABLE ONLY public.normalized_listings
    ADD CONSTRAINT normalized_listings_duplicate_of_fkey FOREIGN KEY (duplicate_of) REFERENCES public.listings(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.normalized_listings
    ADD CONSTRAINT normalized_listings_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.scores
    ADD CONSTRAINT scores_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.valuations
    ADD CONSTRAINT valuations_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_drafts
    ADD CONSTRAINT watch_drafts_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.watch_people(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_drafts
    ADD CONSTRAINT watch_drafts_watch_id_fkey FOREIGN KEY (watch_id) REFERENCES public.watches(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_hits
    ADD CONSTRAINT watch_hits_digest_id_fkey FOREIGN KEY (digest_id) REFERENCES public.watch_messages(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.watch_hits
    ADD CONSTRAINT watch_hits_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_hits
    ADD CONSTRAINT watch_hits_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_hits
    ADD CONSTRAINT watch_hits_watch_id_fkey FOREIGN KEY (watch_id) REFERENCES public.watches(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_lot_keys
    ADD CONSTRAINT watch_lot_keys_watch_id_fkey FOREIGN KEY (watch_id) REFERENCES public.watch_lots(watch_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_lots
    ADD CONSTRAINT watch_lots_watch_id_fkey FOREIGN KEY (watch_id) REFERENCES public.watches(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_messages
    ADD CONSTRAINT watch_messages_about_id_fkey FOREIGN KEY (about_id) REFERENCES public.watch_messages(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_messages
    ADD CONSTRAINT watch_messages_listing_id_fkey FOREIGN KEY (listing_id) REFERENCES public.listings(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_messages
    ADD CONSTRAINT watch_messages_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES public.lots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_messages
    ADD CONSTRAINT watch_messages_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.watch_people(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watch_messages
    ADD CONSTRAINT watch_messages_watch_id_fkey FOREIGN KEY (watch_id) REFERENCES public.watches(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.watch_people
    ADD CONSTRAINT watch_people_user_id_fkey FOREIGN KEY (user_id) REFERENCES ops.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.watches
    ADD CONSTRAINT watches_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.watch_people(id) ON DELETE CASCADE;

ALTER TABLE ONLY raw.csv_files
    ADD CONSTRAINT csv_files_base_id_fkey FOREIGN KEY (base_id) REFERENCES raw.csv_files(id);
