-- The board of lots: a narrow table of what lots are searched and sorted by, and what people mark on lots.
-- depends: 0027_people

-- What the vocabulary (vinops/vehicles.py) calls the words of the feed. Written by the feed for words that are new.
create table lot_words (
    field text not null check (field in ('car', 'fuel', 'gearbox', 'body', 'color')),
    said text not null,
    make text,
    value text,
    primary key (field, said)
);

comment on column lot_words.said is 'of a car the make, the model and the group of models of the feed, joined by |';
comment on column lot_words.make is 'of a car';
comment on column lot_words.value is 'of a car the family; null: it is not in the vocabulary';

-- The words of one field as a map, for `(select lot_vocabulary('fuel')) ->> said`: PostgreSQL reads the map once a
-- statement, where a join would look up every row.
create function lot_vocabulary(of_field text) returns jsonb
language sql stable parallel safe
return (
    select
        jsonb_object_agg(
            said,
            case when of_field = 'car' then jsonb_build_array(make, value) else to_jsonb(value) end
        )
    from lot_words
    where field = of_field
);

-- One row a lot, written in the transaction of the feed file that changes it. What else a page shows is looked up for
-- the few lots of a page. Lots that are gone are in a partition of their own: a list of what is for sale does not read
-- them. There is no foreign key, whose check would cost each row of a first load as much as the row itself.
create table lot_board (
    lot_id bigint not null,
    is_gone boolean not null,
    gone_at timestamptz,
    first_seen timestamptz not null,
    sale_at timestamptz,
    high_bid numeric(12, 2),
    buy_now_price numeric(12, 2),
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
    has_photos boolean not null,
    primary key (lot_id, is_gone)
) partition by list (is_gone);

create table lot_board_active partition of lot_board for values in (false);
create table lot_board_gone partition of lot_board for values in (true);

create index lot_board_sale on lot_board (coalesce(sale_at, '2100-01-01 00:00+00'), lot_id desc);
create index lot_board_new on lot_board (first_seen desc, lot_id desc);
create index lot_board_bid on lot_board (coalesce(high_bid, -1) desc, lot_id desc);
create index lot_board_family on lot_board (family);
create index lot_board_gone_at on lot_board_gone (gone_at);

comment on column lot_board.is_gone is 'the partition; a row whose lot goes, or comes back, moves';
comment on column lot_board.sale_at is 'noon UTC of the day for a sale whose time is unknown';
comment on column lot_board.odometer is 'miles';
comment on column lot_board.has_photos is 'follows lot_photos by a trigger';

-- The rows of `lot_board`, as they have to be: what the feed writes, what a rebuild makes, what a check compares.
-- "limit" keeps the planner from reading all vehicles for those of a few lots.
create view lot_board_source as
select -- noqa: ST06
    lots.id as lot_id,
    lots.status = 'gone' as is_gone,
    lots.gone_at,
    lots.first_seen_at as first_seen,
    coalesce(lots.sale_at, (lots.sale_date + time '12:00') at time zone 'UTC') as sale_at,
    lots.high_bid,
    lots.buy_now_price,
    (select lot_vocabulary('car')) -> cars.said ->> 0 as make,
    (select lot_vocabulary('car')) -> cars.said ->> 1 as family,
    cars.year,
    (select lot_vocabulary('fuel')) ->> cars.fuel as fuel,
    (select lot_vocabulary('gearbox')) ->> cars.transmission as gearbox,
    (select lot_vocabulary('body')) ->> cars.body_style as body,
    (select lot_vocabulary('color')) ->> cars.color as color,
    lots.damage,
    lots.title_group,
    lots.condition,
    lots.has_keys,
    lots.odometer,
    lots.state,
    lots.yard_name as yard,
    lots.seller_name as seller,
    coalesce(
        (
            select lot_photos.stored > 0
            from lot_photos
            where lot_photos.lot_id = lots.id
        ),
        false
    ) as has_photos
from lots
left join lateral (
    select
        vehicles.year,
        vehicles.fuel,
        vehicles.transmission,
        vehicles.body_style,
        vehicles.color,
        concat(vehicles.make, '|', vehicles.model, '|', vehicles.model_group) as said
    from vehicles
    where vehicles.id = lots.vehicle_id
    limit 1
) as cars on true
where
    lots.status = 'active'
    or lots.gone_at > now() - interval '60 days';

comment on view lot_board_source is 'lots that are gone are on the board for 60 days';

-- The feed writes rows with a snapshot of lot_photos: while it does, photos wait here for its end (and it for theirs),
-- so that neither misses the other. See lock_lot_board in sql/queries/lots.sql.
create function note_lot_photos() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('lot_board', 0));
    update lot_board
    set has_photos = new.stored > 0
    where lot_id = new.lot_id and has_photos <> (new.stored > 0);
    return null;
end
$$;

create trigger lot_photographed after update of stored on lot_photos
for each row when ((new.stored > 0) <> (old.stored > 0)) execute function note_lot_photos();

create trigger lot_with_photos after insert on lot_photos
for each row when (new.stored > 0) execute function note_lot_photos();

-- Marks on lots, as those on ads.
create table lot_stars (
    user_id bigint references ops.users (id) on delete cascade,
    lot_id bigint not null references lots (id) on delete cascade,
    starred_at timestamptz not null default now(),
    unique nulls not distinct (user_id, lot_id)
);

create index lot_stars_lot on lot_stars (lot_id);

create table lot_statuses (
    id bigint generated always as identity primary key,
    lot_id bigint not null references lots (id) on delete cascade,
    user_id bigint references ops.users (id) on delete set null,
    status text not null check (status in ('none', 'seen', 'called', 'bought', 'rejected')),
    set_at timestamptz not null default now()
);

create index lot_statuses_lot on lot_statuses (lot_id, id desc);

comment on column lot_statuses.user_id is 'null: the operator at this machine';
comment on column lot_statuses.status is 'none: taken back';

create table lot_notes (
    id bigint generated always as identity primary key,
    lot_id bigint not null references lots (id) on delete cascade,
    user_id bigint references ops.users (id) on delete set null,
    body text not null check (length(body) between 1 and 2000),
    written_at timestamptz not null default now()
);

create index lot_notes_lot on lot_notes (lot_id, id);
