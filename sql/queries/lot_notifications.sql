-- Messages about lots: what is queued and what they are made of. The statements that record, try and settle a message
-- are those of notifications.sql, over lot_notifications. The row of a deal stands for the message of its lot.

-- name: adopt_messages
-- Give lots that came back after the restore of a backup the messages that they had before it.
with told as (
    delete from ops.told_lots
    using lots
    where
        told_lots.lot_external_id = lots.lot_external_id
        and lots.id = any(%(listing_ids)s)
    returning
        lots.id as lot_id,
        told_lots.told
)

insert into lot_notifications (
    lot_id, kind, state, score, shown, attempts, token, tried_at, next_try_at, chat_id, message_id, is_photo,
    is_dry_run, refusals, is_suspect, proofs, error, created_at, settled_at
)
select
    message.lot_id,
    message.kind,
    message.state,
    message.score,
    message.shown,
    message.attempts,
    message.token,
    message.tried_at,
    message.next_try_at,
    message.chat_id,
    message.message_id,
    message.is_photo,
    message.is_dry_run,
    message.refusals,
    message.is_suspect,
    message.proofs,
    message.error,
    message.created_at,
    message.settled_at
from told
cross join
    lateral jsonb_populate_record(
        null::lot_notifications, told.told || jsonb_build_object('lot_id', told.lot_id)
    ) as message
on conflict do nothing;

-- name: drop_deals
-- Drop queued messages about lots that are not worth one any more.
update lot_notifications as told
set
    state = 'dropped',
    settled_at = clock_timestamp(),
    error = 'it is no longer worth a message'
from lots
left join lot_quotes as quotes on lots.id = quotes.lot_id
where
    told.lot_id = lots.id
    and told.lot_id = any(%(listing_ids)s::bigint[])
    and told.kind = 'deal'
    and told.state = 'waiting'
    and (
        lots.status <> 'active'
        or coalesce(lots.sale_at, lots.sale_date::timestamptz) <= %(sale_after)s
        or quotes.is_ranked is not true
        or quotes.bid_usd is null
        or quotes.profit_eur < %(least_profit)s
        or quotes.loss_chance > %(most_loss)s
        or coalesce(lots.high_bid, 0) > quotes.most_bid_usd
    );

-- name: queue_deals
-- Queue messages about lots that are worth one and have none, or whose message was dropped. Only a lot with a price to
-- count with has a profit that means anything.
insert into lot_notifications as told (lot_id, kind, score, shown)
select
    quotes.lot_id,
    'deal' as kind,
    quotes.profit_eur,
    states.shown
from lot_quotes as quotes
inner join lots on quotes.lot_id = lots.id
inner join lot_message_states as states on quotes.lot_id = states.lot_id
where
    quotes.lot_id = any(%(listing_ids)s::bigint[])
    and quotes.is_ranked
    and quotes.bid_usd is not null
    and quotes.profit_eur >= %(least_profit)s
    and quotes.loss_chance <= %(most_loss)s
    and lots.status = 'active'
    and coalesce(lots.sale_at, lots.sale_date::timestamptz) > %(sale_after)s
    and coalesce(lots.high_bid, 0) <= quotes.most_bid_usd
order by quotes.lot_id
on conflict (lot_id) where kind = 'deal' do update
    set
        state = 'waiting',
        score = excluded.score,
        shown = excluded.shown,
        error = case when told.state = 'waiting' then told.error end,
        next_try_at = case when told.state = 'waiting' then told.next_try_at else now() end,
        refusals = 0,
        is_suspect = false,
        proofs = 0,
        settled_at = null
    where
        told.state = 'dropped'
        or (
            told.state = 'waiting'
            and (told.score, told.shown) is distinct from (excluded.score, excluded.shown)
        );

-- name: drop_changes
-- Drop queued edits that the message does not need any more.
update lot_notifications as change
set
    state = 'dropped',
    settled_at = clock_timestamp(),
    error = 'it was over before it could be posted'
from lot_notifications as told
inner join lot_message_states as states on told.lot_id = states.lot_id
where
    change.lot_id = told.lot_id
    and change.kind = 'change'
    and change.state = 'waiting'
    and told.kind = 'deal'
    and told.lot_id = any(%(listing_ids)s::bigint[])
    and states.lot_id = any(%(listing_ids)s::bigint[])
    and (told.message_id is null or told.shown = states.shown);

-- name: queue_changes
-- Queue edits of messages that show another state: the bid has passed the limit, the sale has moved, the lot is gone.
insert into lot_notifications as change (lot_id, kind, score, shown)
select
    told.lot_id,
    'change' as kind,
    told.score,
    states.shown
from lot_notifications as told
inner join lot_message_states as states on told.lot_id = states.lot_id
where
    told.lot_id = any(%(listing_ids)s::bigint[])
    and states.lot_id = any(%(listing_ids)s::bigint[])
    and told.kind = 'deal'
    and told.state = 'sent'
    and told.message_id is not null
    and told.shown <> states.shown
order by told.lot_id
on conflict (lot_id, kind) where state in ('waiting', 'trying') do update
    set
        shown = excluded.shown,
        refusals = 0,
        is_suspect = false,
        proofs = 0
    where
        change.state = 'waiting'
        and change.shown <> excluded.shown;

-- name: facts
-- A lot and its message at this moment: its number, what a message has to show, and whether it is worth one.
select -- noqa: ST06
    lots.lot_external_id as lot,
    states.shown,
    told.chat_id,
    told.message_id,
    told.shown as has_shown,
    coalesce(quotes.profit_eur, told.score) as score,
    quotes.most_bid_usd,
    quotes.bid_usd,
    quotes.bid_kind,
    coalesce(told.is_photo, false) as is_photo,
    coalesce(lots.sale_at, lots.sale_date::timestamptz) as sale,
    lots.sale_at is not null as has_time,
    lots.thumbnail_url as photo_url,
    (
        lots.status = 'active'
        and quotes.is_ranked
        and quotes.bid_usd is not null
        and quotes.profit_eur >= %(least_profit)s
        and quotes.loss_chance <= %(most_loss)s
        and coalesce(lots.sale_at, lots.sale_date::timestamptz) > %(sale_after)s
        and coalesce(lots.high_bid, 0) <= quotes.most_bid_usd
    ) is true as is_worth
from lots
inner join lot_message_states as states on lots.id = states.lot_id
inner join lot_notifications as told on lots.id = told.lot_id and told.kind = 'deal'
left join lot_quotes as quotes on lots.id = quotes.lot_id
where lots.id = %(listing_id)s;

-- name: number_of
-- The number of a lot at the auction.
select lot_external_id
from lots
where id = %(listing_id)s;

-- name: first_photo
-- The first archived photo of a lot in its best size: key, length and sha256, and the name of the place where it is.
select
    images.storage_key,
    images.bytes,
    images.content_hash,
    photo_stores.name as place
from images
left join photo_stores on images.store_id = photo_stores.id
where images.lot_id = %(listing_id)s
order by images.seq asc, array_position(array['hrs', 'ful', 'thb'], images.variant) asc, images.id asc
limit 1;
