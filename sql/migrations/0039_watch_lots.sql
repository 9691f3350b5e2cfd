-- Alerts of lots: what watches ask of lots of the auction, which lots fit, and what a message about a lot shows.
-- depends: 0038_watches_read_less

-- One row a watch of lots, or of both ads and lots: a filter of lots as in vinops/lots/filter.py.
create table watch_lots (
    watch_id bigint primary key references watches (id) on delete cascade,
    make text[] not null default '{}',
    family text[] not null default '{}',
    year_from integer,
    year_to integer,
    odometer_to integer,
    fuel text[] not null default '{}',
    gearbox text[] not null default '{}',
    body text[] not null default '{}',
    color text[] not null default '{}',
    damage text[] not null default '{}',
    title_group text[] not null default '{}',
    runs text[] not null default '{}',
    keys text[] not null default '{}',
    state text[] not null default '{}',
    yard text[] not null default '{}',
    seller text[] not null default '{}',
    sale_from date,
    sale_to date,
    sale_within interval,
    bid_to numeric,
    buy_now text check (buy_now in ('yes', 'no')),
    landed_to numeric,
    profit_from integer,
    most_bid_from integer,
    at_bid_to integer,
    is_moving boolean not null generated always as (
        num_nonnulls(
            sale_from, sale_to, sale_within, bid_to, buy_now, landed_to, profit_from, most_bid_from,
            at_bid_to
        ) > 0
    ) stored
);

create index watch_lots_soon on watch_lots (sale_within) where sale_within is not null;

comment on column watch_lots.odometer_to is 'miles';
comment on column watch_lots.landed_to is 'EUR';
comment on column watch_lots.profit_from is 'EUR';
comment on column watch_lots.most_bid_from is 'USD';
comment on column watch_lots.at_bid_to is 'USD';
comment on column watch_lots.is_moving is
'it asks for what changes while a lot is for sale: a lot may come to fit long after it came';

-- By what a watch of lots is found: the families that it names, or its makes, or an empty text for any lot. Rows and
-- not an array: an index on arrays took 0.3 s to find the watches of twenty lots among ten thousand.
create table watch_lot_keys (
    key text not null,
    watch_id bigint not null references watch_lots (watch_id) on delete cascade,
    primary key (key, watch_id)
);

create index watch_lot_keys_watch on watch_lot_keys (watch_id);

-- Which lots for sale fit which watches: what vinops/lots/writer.py asks of the board of lots for one filter, for all
-- of them at once. A lot whose sale is past is over, also if it is still in the feed. Always asked for some lots or
-- some watches.
create view watch_lot_fits as
select
    board.lot_id,
    wanted.watch_id,
    watches.version,
    watches.since,
    wanted.is_moving,
    wanted.sale_within,
    board.first_seen,
    board.sale_at,
    quotes.landed_eur,
    case when quotes.bid_usd is not null then quotes.profit_eur end as profit_eur
from lot_board as board
cross join lateral unnest(array[board.family, board.make, '']) as known (key)
inner join watch_lot_keys as keys on known.key = keys.key
inner join watch_lots as wanted on keys.watch_id = wanted.watch_id
inner join watches on wanted.watch_id = watches.id
inner join watch_people as people on watches.person_id = people.id
left join lot_quotes as quotes on board.lot_id = quotes.lot_id and quotes.is_ranked
where
    not board.is_gone
    and (board.sale_at is null or board.sale_at > now())
    and watches.paused_at is null
    and people.paused_at is null
    and watches.kind in ('lot', 'both')
    and (wanted.make = '{}' or board.make = any(wanted.make))
    and (wanted.family = '{}' or board.family = any(wanted.family))
    and (wanted.year_from is null or board.year >= wanted.year_from)
    and (wanted.year_to is null or board.year <= wanted.year_to)
    and (wanted.odometer_to is null or board.odometer <= wanted.odometer_to)
    and (wanted.fuel = '{}' or board.fuel = any(wanted.fuel))
    and (wanted.gearbox = '{}' or board.gearbox = any(wanted.gearbox))
    and (wanted.body = '{}' or board.body = any(wanted.body))
    and (wanted.color = '{}' or board.color = any(wanted.color))
    and (wanted.damage = '{}' or board.damage = any(wanted.damage))
    and (wanted.title_group = '{}' or board.title_group = any(wanted.title_group))
    and (
        wanted.runs = '{}'
        or case coalesce(board.condition, 'unknown')
            when 'run and drive' then 'drives'
            else coalesce(board.condition, 'unknown')
        end = any(wanted.runs)
    )
    and (
        wanted.keys = '{}'
        or case board.has_keys when true then 'yes' when false then 'no' else 'unknown' end = any(wanted.keys)
    )
    and (wanted.state = '{}' or board.state = any(wanted.state))
    and (wanted.yard = '{}' or lower(board.yard) = any(wanted.yard))
    and (wanted.seller = '{}' or lower(board.seller) = any(wanted.seller))
    and (
        wanted.sale_from is null
        or board.sale_at >= (wanted.sale_from::timestamp at time zone people.time_zone)
    )
    and (
        wanted.sale_to is null
        or board.sale_at < ((wanted.sale_to + 1)::timestamp at time zone people.time_zone)
    )
    and (wanted.sale_within is null or board.sale_at < now() + wanted.sale_within)
    and (wanted.bid_to is null or board.high_bid <= wanted.bid_to)
    and (wanted.buy_now is null or (board.buy_now_price is not null) = (wanted.buy_now = 'yes'))
    and (wanted.landed_to is null or quotes.landed_eur <= wanted.landed_to)
    and (wanted.profit_from is null or (quotes.bid_usd is not null and quotes.profit_eur >= wanted.profit_from))
    and (wanted.most_bid_from is null or quotes.most_bid_usd >= wanted.most_bid_from)
    and (wanted.at_bid_to is null or coalesce(quotes.bid_usd, quotes.most_bid_usd) <= wanted.at_bid_to);

comment on view watch_lot_fits is 'whether a lot is new to a watch is not asked; a paused watch finds nothing';

-- What a message about a lot shows. It is null for those about ads.
alter table watch_messages add column shown text;

create index watch_messages_lot_shown on watch_messages (lot_id)
where kind = 'hit' and state = 'sent' and lot_id is not null and not starts_with(shown, 'gone');

comment on column watch_messages.shown is 'of a lot: the state and the sale that it shows, as in lot_message_states';

-- The queue of the lots gets a third stage, behind the quotes.
alter table ops.lot_outbox
drop constraint lot_outbox_stage_check,
add constraint lot_outbox_stage_check check (stage in ('value', 'quote', 'match_lots'));
