-- The market side: ads as they stand, what they cost over time, the walks that looked for them, what is handed on.
-- depends: 0007_photo_views

-- One row an ad. Long values lie beside the row (toast_tuple_target): an ad that is seen again unchanged costs a
-- timestamp in a row of about 400 bytes, in the same place (fillfactor; no index on last_seen), and none of its texts.
create table listings (
    id bigint generated always as identity primary key,
    source text not null,
    ad_id text not null,
    make_slug text not null,
    url text not null,
    title text not null,
    make_text text,
    model_text text,
    price numeric(12, 2),
    currency text,
    price_eur numeric(12, 2),
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
    equipment text[] not null default '{}',
    photo_urls text[] not null default '{}',
    photo_count integer,
    is_new boolean not null default false,
    promotion text,
    posted_at timestamptz not null,
    first_seen timestamptz not null default now(),
    last_seen timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    removed_at timestamptz,
    detailed_at timestamptz,
    list_hash bytea not null,
    unique (source, ad_id)
)
with (fillfactor = 80, toast_tuple_target = 128);

create index listings_active on listings (source, make_slug) where removed_at is null;

comment on column listings.make_slug is 'the list on which the ad was seen: a key of makes.toml';
comment on column listings.price_eur is 'null: on request, or no price that makes sense';
comment on column listings.is_new is 'as promotion: as it was when the ad last changed otherwise';
comment on column listings.changed_at is 'when something of the ad was last seen to be new, its price or anything else';
comment on column listings.removed_at is 'when a walk of its whole list did not find it; null while it is there';
comment on column listings.detailed_at is 'when the page of the ad itself was last read';
comment on column listings.list_hash is 'of the ad as the list shows it: the same hash, nothing new';

-- One row a price, from the first on: whoever writes the price.
create table listing_prices (
    listing_id bigint not null references listings (id) on delete cascade,
    price_eur numeric(12, 2),
    seen_at timestamptz not null default now()
);

create index listing_prices_listing on listing_prices (listing_id, seen_at);

comment on column listing_prices.price_eur is 'null: from then on the ad names no price';

create function note_listing_price() returns trigger language plpgsql as $$
begin
    insert into listing_prices (listing_id, price_eur) values (new.id, new.price_eur);
    return null;
end
$$;

create trigger listing_priced after insert on listings
for each row when (new.price_eur is not null) execute function note_listing_price();

create trigger listing_repriced after update of price_eur on listings
for each row when (new.price_eur is distinct from old.price_eur) execute function note_listing_price();

-- One row a walk through all of a make's lists. A walk that was killed has no end; only a complete one says what is
-- gone.
create table ops.listing_walks (
    id bigint generated always as identity primary key,
    source text not null,
    make_slug text not null,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    is_complete boolean,
    reason text,
    pages integer not null default 0,
    total integer,
    ads integer,
    ads_gone integer
)
with (fillfactor = 50);

create index listing_walks_make on ops.listing_walks (source, make_slug, started_at desc);

comment on column ops.listing_walks.total is 'ads in the list, as the site says';
comment on column ops.listing_walks.ads is 'ads that the walk has seen, each once';
comment on column ops.listing_walks.reason is 'why it is not complete';

-- Ads that are new, changed, back or gone, for the deals: written in the transaction that made it true, taken by
-- whoever works on them.
create table ops.deal_outbox (
    listing_id bigint primary key references listings (id) on delete cascade,
    change text not null check (change in ('new', 'changed', 'back', 'gone')),
    queued_at timestamptz not null default now()
);

create view audit.v_market as
with walks as (
    select
        source,
        make_slug,
        max(finished_at) as finished_at
    from ops.listing_walks
    where is_complete
    group by source, make_slug
)

select
    ads.source,
    ads.make_slug,
    count(*) filter (where ads.removed_at is null) as active,
    count(*) filter (where ads.removed_at is null and ads.price_eur is null) as without_price,
    round(avg(ads.price_eur) filter (where ads.removed_at is null)) as mean_eur,
    count(*) filter (where ads.first_seen > now() - interval '1 day') as new_in_a_day,
    count(*) filter (where ads.removed_at > now() - interval '1 day') as gone_in_a_day,
    max(walks.finished_at) as last_walk
from listings as ads
left join walks on ads.source = walks.source and ads.make_slug = walks.make_slug
group by ads.source, ads.make_slug
order by active desc, ads.source asc, ads.make_slug asc;

comment on view audit.v_market is 'the market by make: what is advertised, what came and went, when it was last walked';
