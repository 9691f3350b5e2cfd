-- The VINs that ads name in their text, and how many lots have their photos hour by hour.
-- depends: 0029_market_history

-- One row for each VIN that an ad names. Written by the stage `normalize`; it stays as long as the ad, also one that is
-- gone: its page stays, and the page of the VIN names it.
create table listing_vins (
    listing_id bigint not null references listings (id) on delete cascade,
    vin text not null check (vin ~ '^[A-HJ-NPR-Z0-9]{17}$'),
    primary key (listing_id, vin)
);

create index listing_vins_vin on listing_vins (vin);

-- One row an hour: how many lots are active, have a photo, have had their first pass, have all photos. The supervisor
-- counts them anyway, for its alert.
create table ops.photo_coverage (
    at timestamptz primary key,
    lots integer not null,
    with_photo integer not null,
    past_first integer not null,
    with_all integer not null
);

comment on column ops.photo_coverage.at is 'the hour in which they were counted first';
comment on column ops.photo_coverage.past_first is 'with those for which the source has no photos';

-- The ads whose text has a word like a VIN, also in Cyrillic letters that look like Latin ones: their stage runs once
-- more. Reading the texts of a million ads takes about a minute.
insert into ops.deal_outbox (listing_id, stage, change)
select
    ads.id,
    'normalize' as stage,
    'changed' as change
from listings as ads
inner join normalized_listings as cars on ads.id = cars.listing_id
where concat(ads.title, ' ', ads.description) ~* '[A-HJ-NPR-Z0-9АВЕКМНРСТХУ]{13}[0-9]{4}'
order by ads.id
on conflict (listing_id, stage) do nothing;
