-- Messages about lots that are worth a bid: one a lot, which is edited when the bid passes the limit or the sale moves.
-- depends: 0035_odometers_in_km

-- As notifications is for ads: the statements over it are the same (sql/queries/notifications.sql).
create table lot_notifications (
    id bigint generated always as identity primary key,
    lot_id bigint not null references lots (id) on delete cascade,
    kind text not null check (kind in ('deal', 'change')),
    state text not null default 'waiting' check (state in ('waiting', 'trying', 'sent', 'dropped', 'failed')),
    score integer not null,
    shown text not null,
    attempts smallint not null default 0,
    token bigint,
    tried_at timestamptz,
    next_try_at timestamptz not null default now(),
    chat_id text,
    message_id bigint,
    is_photo boolean,
    is_dry_run boolean not null default false,
    refusals smallint not null default 0,
    is_suspect boolean not null default false,
    proofs smallint not null default 0,
    error text,
    created_at timestamptz not null default now(),
    settled_at timestamptz
);

create unique index lot_notifications_deal on lot_notifications (lot_id) where kind = 'deal';

create unique index lot_notifications_open on lot_notifications (lot_id, kind) where state in ('waiting', 'trying');

create index lot_notifications_best on lot_notifications (kind, score desc, id) where state in ('waiting', 'trying');

create index lot_notifications_sent on lot_notifications (settled_at) where kind = 'deal' and state = 'sent';

comment on column lot_notifications.kind is 'deal: a message of its own; change: an edit of it';
comment on column lot_notifications.score is 'the careful profit in EUR at the price to count with: best first';
comment on column lot_notifications.shown is 'what the message shows, as lot_message_states has it';
comment on column lot_notifications.is_dry_run is 'always false: without a chat nothing is queued';

-- What a message about a lot has to show: another state is an edit.
create view lot_message_states as
select
    lots.id as lot_id,
    case
        when lots.status <> 'active' then 'gone'
        when quotes.is_ranked is not true then 'over'
        when coalesce(lots.high_bid, 0) > quotes.most_bid_usd then 'passed'
        else 'open'
    end
    || coalesce(
        ' ' || to_char(coalesce(lots.sale_at, lots.sale_date::timestamptz) at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), ''
    ) as shown
from lots
left join lot_quotes as quotes on lots.id = quotes.lot_id;
