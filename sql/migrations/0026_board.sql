-- The board: a narrow table of what the market is searched and sorted by, and the words of ads.
-- depends: 0025_asked_for_as

-- The words of an ad by which it is found, each in one spelling (vinops/text/words.py), without those that it denies.
-- Written by the stage `normalize`.
create table listing_words (
    listing_id bigint primary key references listings (id) on delete cascade,
    words tsvector not null
);

alter table listing_words set (toast_tuple_target = 128);

create index listing_words_words on listing_words using gin (words) with (gin_pending_list_limit = 1024);

-- One row an ad, written in the transaction of the stage `score`. What else a page shows is looked up by listing_id for
-- the few rows of a page. Ads that are gone are in a partition of their own: a list of what is advertised does not read
-- them.
create table board (
    listing_id bigint not null references listings (id) on delete cascade,
    is_gone boolean not null,
    gone_at timestamptz,
    duplicate_of bigint,
    score numeric(3, 1) not null,
    first_seen timestamptz not null,
    price_eur numeric(12, 2),
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
    primary key (listing_id, is_gone),
    check (is_gone = (gone_at is not null))
) partition by list (is_gone);

create table board_active partition of board for values in (false);
create table board_gone partition of board for values in (true);

create index board_score on board (score desc, listing_id desc);
create index board_new on board (first_seen desc, listing_id desc);
create index board_price on board (coalesce(price_eur, 'Infinity'), listing_id desc);
create index board_below on board (coalesce(below_market, '-Infinity') desc, listing_id desc);
create index board_dear on board (coalesce(price_eur, -1) desc, listing_id desc);
create index board_km on board (coalesce(mileage_km, 2147483647), listing_id desc);
create index board_year on board (coalesce(year, 0) desc, listing_id desc);
create index board_family on board (family, score desc, listing_id desc);
create index board_make on board (make, score desc, listing_id desc);
create index board_gone_at on board_gone (gone_at);

comment on column board.is_gone is 'the partition; a row whose ad goes, or comes back, moves';
comment on column board.duplicate_of is 'the ad that showed the same car first, and is on the board instead';
comment on column board.below_market is 'by how many per cent of the estimate the price is below it';

-- The rows of `board`, as they have to be: what the stage `score` writes, what a rebuild makes, what a check compares.
create view board_source as
select -- noqa: ST06
    ads.id as listing_id,
    ads.removed_at is not null as is_gone,
    ads.removed_at as gone_at,
    cars.duplicate_of,
    scores.score,
    ads.first_seen,
    cars.price_eur,
    round(100 * (1 - cars.price_eur / nullif(worth.p50, 0)), 1) as below_market,
    cars.year::integer as year,
    cars.mileage_km,
    cars.power_hp,
    cars.make,
    cars.family,
    cars.fuel,
    cars.gearbox,
    cars.body,
    cars.colour as color,
    cars.region,
    ads.seller_kind as seller
from scores
inner join listings as ads on scores.listing_id = ads.id
inner join normalized_listings as cars on scores.listing_id = cars.listing_id
left join valuations as worth on scores.listing_id = worth.listing_id
where
    ads.removed_at is null
    or ads.removed_at > now() - interval '60 days';

comment on view board_source is 'ads that are gone are on the board for 60 days';

insert into board select * from board_source; -- noqa: AM04

-- The words of all ads that are advertised: their stage runs once more.
insert into ops.deal_outbox (listing_id, stage, change)
select
    ads.id,
    'normalize' as stage,
    'changed' as change
from listings as ads
inner join normalized_listings as cars on ads.id = cars.listing_id
where ads.removed_at is null
order by ads.id
on conflict (listing_id, stage) do nothing;
