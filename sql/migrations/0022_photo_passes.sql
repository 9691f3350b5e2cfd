-- Photos in two passes: the first photos of every lot, then the rest of them. A crawl takes its next lots from an index
-- of the lots in the feed: what that costs depends neither on how many are in the feed nor on how many have left it.
-- depends: 0019_trailers

alter table lot_photos
add column first_at timestamptz,
add column turn_at timestamptz,
add column links jsonb,
drop constraint lot_photos_state_check,
add constraint lot_photos_state_check
check (state in ('missing', 'first', 'ok', 'partial', 'none_yet', 'gone', 'failed'));

-- A list of links is longer than the rest of its row, which is read often: it is stored beside the table.
alter table lot_photos set (toast_tuple_target = 256);

comment on column lot_photos.first_at is 'when the lot had its first pass: its first photos, or one of them at least';
comment on column lot_photos.turn_at is
'its place in the order of its pass, see photo_turns; null: it is not in the feed, or has no address';
comment on column lot_photos.links is
'in the state first: the photos of the list that the first pass read, so that the second need not ask for it again';

-- Only lots in the feed are taken, so only these need to be right: a lot that returns gets its first photos again.
update lot_photos
set first_at = coalesce(lot_photos.settled_at, now())
from lots
where
    lots.id = lot_photos.lot_id
    and lots.status = 'active'
    and (lot_photos.stored > 0 or lot_photos.state = 'ok');

create index lot_photos_turns on lot_photos ((first_at is not null), turn_at, lot_id desc) where turn_at is not null;

-- With what is counted of the lots in the feed.
create index lot_photos_queued on lot_photos (lot_id) include (state, stored, first_at) where turn_at is not null;

-- What the photos of a lot are worth to us, from 0 to 1: whether it can be registered in Bulgaria, whether people buy
-- such vehicles there, and whether a repair pays. A product of four figures: one that is hopeless makes the lot so.
create function lot_worth(
    of_type text, of_year integer, of_title text, of_damage text
) returns double precision
language sql stable parallel safe
return (
    case of_title when 'clean' then 1.0 when 'salvage' then 0.9 when 'destruction' then 0.0 else 0.5 end
    * case
        when of_type = 'car' then 1.0
        when of_type in ('motorcycle', 'medium truck', 'rv') then 0.6
        when of_type is null then 0.5
        else 0.2
    end
    * case
        when of_year is null then 0.5
        when of_year >= extract(year from now()) - 6 then 1.0
        when of_year >= extract(year from now()) - 12 then 0.8
        when of_year >= extract(year from now()) - 18 then 0.5
        else 0.2
    end
    * case
        when of_damage in ('minor dent/scratches', 'normal wear', 'hail', 'vandalism') then 1.0
        when of_damage in ('front end', 'rear end', 'side', 'top/roof', 'undercarriage', 'mechanical') then 0.8
        when of_damage is null then 0.6
        else 0.3
    end
);

-- The order in which photo crawls take the lots of the feed, in each pass by a time, the earliest first. First pass:
-- the soonest sale, as lots leave the feed with it; those without a sale as if it came four days after they were first
-- seen. Second pass: as if a lot left the feed earlier by its worth, at most seven days of the nine that lots are
-- there. So a lot of much worth comes before one that leaves sooner, and each lot's turn comes nearer while it waits.
-- Lots that have all photos are looked at once more as those of no worth.
create view photo_turns as
select
    lots.id as lot_id,
    coalesce(lots.sale_at, lots.sale_date, lots.first_seen_at + interval '4 days') as first_turn_at,
    coalesce(lots.sale_at, lots.sale_date, lots.first_seen_at + interval '9 days') as leaves_at,
    coalesce(lots.sale_at, lots.sale_date, lots.first_seen_at + interval '9 days')
    - interval '7 days'
    * coalesce(
        (
            select lot_worth(vehicles.vehicle_type, vehicles.year, lots.title_group, lots.damage)
            from vehicles
            where vehicles.id = lots.vehicle_id
        ),
        0
    ) as second_turn_at -- looked up where it is asked for: a join would read the vehicles of all lots that ever were
from lots
where
    lots.status = 'active'
    and lots.image_url is not null;

create or replace view audit.v_photo_coverage as
select
    coalesce(photos.state, 'missing') as state,
    count(*) as lots,
    round(count(*)::numeric / nullif(sum(count(*)) over (), 0), 4) as share,
    coalesce(sum(photos.listed), 0) as listed,
    coalesce(sum(photos.stored), 0) as stored,
    min(photos.due_at) filter (where photos.due_at > '-infinity') as next_due_at,
    count(*) filter (where photos.stored > 0) as with_photo,
    count(*) filter (where photos.first_at is not null) as with_first_pass
from lots
left join lateral (
    select lot_photos.*
    from lot_photos
    where lot_photos.lot_id = lots.id
    limit 1
) as photos on true
where lots.status = 'active'
group by coalesce(photos.state, 'missing')
order by lots desc;
