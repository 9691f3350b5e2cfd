-- Messages to the channel and their results. The row of a deal stands for its message: a process that changes anything
-- about an ad's message locks that row. Its price is the one that the message shows, null when it says that the ad is
-- gone; its message_id is null when there is no message that could be changed.

-- name: lock_messages
-- Lock the messages about these ads until the transaction ends; the statements that follow see the changes of the
-- process that had them locked before.
select id
from notifications
where
    kind = 'deal'
    and listing_id = any(%(listing_ids)s::bigint[])
order by id
for update;

-- name: drop_deals
-- Drop queued deals that are no longer deals.
update notifications as told
set
    state = 'dropped',
    settled_at = clock_timestamp(),
    error = case
        when ads.removed_at is not null then 'the ad is gone'
        when scores.is_approved is not true then 'it is no longer a deal'
        else 'it names no price'
    end
from listings as ads
left join scores on ads.id = scores.listing_id
left join normalized_listings as normal on ads.id = normal.listing_id
where
    told.listing_id = ads.id
    and told.listing_id = any(%(listing_ids)s::bigint[])
    and told.kind = 'deal'
    and told.state = 'waiting'
    and (ads.removed_at is not null or scores.is_approved is not true or normal.price_eur is null);

-- name: queue_deals
-- Queue messages about approved ads that have none, or whose message was dropped. Of one car, only one ad: the best of
-- these, unless another one has a message already.
with best as (
    select distinct on (coalesce(normal.duplicate_of, normal.listing_id))
        normal.listing_id,
        scores.score,
        normal.price_eur,
        coalesce(normal.duplicate_of, normal.listing_id) as car
    from scores
    inner join normalized_listings as normal on scores.listing_id = normal.listing_id
    inner join listings as ads on scores.listing_id = ads.id
    where
        scores.listing_id = any(%(listing_ids)s::bigint[])
        and scores.is_approved
        and normal.price_eur is not null
        and ads.removed_at is null
    order by
        coalesce(normal.duplicate_of, normal.listing_id) asc,
        scores.score desc,
        normal.listing_id asc
)

insert into notifications as told (listing_id, kind, score, price_eur)
select
    best.listing_id,
    'deal' as kind,
    best.score,
    best.price_eur
from best
where
    not exists (
        select 1
        from normalized_listings as same_car
        inner join notifications as others on same_car.listing_id = others.listing_id
        where
            same_car.listing_id <> best.listing_id
            and (same_car.listing_id = best.car or same_car.duplicate_of = best.car)
            and others.kind = 'deal'
            and others.state in ('waiting', 'trying', 'sent')
    )
order by best.listing_id
on conflict (listing_id) where kind = 'deal' do update
    set
        state = 'waiting',
        score = excluded.score,
        price_eur = excluded.price_eur,
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
            and (told.score, told.price_eur) is distinct from (excluded.score, excluded.price_eur)
        );

-- name: drop_changes
-- Drop queued changes that the message does not need any more.
update notifications as change
set
    state = 'dropped',
    settled_at = clock_timestamp(),
    error = 'it was over before it could be posted'
from notifications as told
inner join listings as ads on told.listing_id = ads.id
left join normalized_listings as normal on told.listing_id = normal.listing_id
where
    change.listing_id = told.listing_id
    and change.kind <> 'deal'
    and change.state = 'waiting'
    and told.kind = 'deal'
    and told.listing_id = any(%(listing_ids)s::bigint[])
    and case
        when told.message_id is null then true
        when change.kind = 'gone' then ads.removed_at is null
        when ads.removed_at is not null or normal.price_eur is null then true
        else normal.price_eur = told.price_eur
    end;

-- name: queue_changes
-- Queue changes of messages that are out of date: the ad is gone, back, or at another price. The ids are given twice
-- because the planner does not derive the second condition from the join, and would read all normalized ads.
insert into notifications as change (listing_id, kind, score, price_eur)
select
    told.listing_id,
    case when ads.removed_at is null then 'price' else 'gone' end as kind,
    told.score,
    normal.price_eur
from notifications as told
inner join listings as ads on told.listing_id = ads.id
inner join normalized_listings as normal on told.listing_id = normal.listing_id
where
    told.listing_id = any(%(listing_ids)s::bigint[])
    and normal.listing_id = any(%(listing_ids)s::bigint[])
    and told.kind = 'deal'
    and told.state = 'sent'
    and told.message_id is not null
    and case
        when ads.removed_at is not null then told.price_eur is not null
        else normal.price_eur is not null and normal.price_eur is distinct from told.price_eur
    end
order by told.listing_id
on conflict (listing_id, kind) where state in ('waiting', 'trying') do update
    set
        price_eur = excluded.price_eur,
        refusals = 0,
        is_suspect = false,
        proofs = 0
    where
        change.state = 'waiting'
        and change.price_eur is distinct from excluded.price_eur;

-- name: take_turn
-- Take the lock that lets one process post at a time. It belongs to the session, and ends with it.
select pg_try_advisory_lock(hashtextextended('notifications', 0));

-- name: end_turn
-- Release the lock.
select pg_advisory_unlock(hashtextextended('notifications', 0));

-- name: recover_tries
-- The lock is held, so no other process posts: messages that one was trying, so long ago that its call has ended too,
-- are queued again. Deals that were tried too often are given up: each try may have arrived.
update notifications
set
    state = case when kind = 'deal' and attempts >= %(most_attempts)s then 'failed' else 'waiting' end,
    settled_at = case
        when kind = 'deal' and attempts >= %(most_attempts)s then coalesce(%(now)s::timestamptz, clock_timestamp())
    end,
    next_try_at = least(next_try_at, coalesce(%(now)s::timestamptz, clock_timestamp())),
    error = 'the process that sent it died'
where
    state = 'trying'
    and tried_at < coalesce(%(now)s::timestamptz, clock_timestamp()) - make_interval(secs => %(seconds)s)
returning listing_id, kind, attempts, state = 'failed' as is_failed;

-- name: posted_lately
-- How many deals may have reached the channel in the last hour, each try counted, and the seconds until the first of
-- them is an hour old. A try without a result counts from the latest time at which its call can have ended.
select
    coalesce(sum(attempts), 0)::integer as tries,
    coalesce(
        extract(epoch from min(ended_at) + interval '1 hour' - coalesce(%(now)s::timestamptz, clock_timestamp())),
        0
    )::float8 as seconds
from (
    select
        attempts,
        coalesce(settled_at, tried_at + interval '1 minute') as ended_at
    from notifications
    where
        kind = 'deal'
        and attempts > 0
        and is_dry_run = %(is_dry_run)s
) as posted
where ended_at > coalesce(%(now)s::timestamptz, clock_timestamp()) - interval '1 hour';

-- name: calls_lately
-- How many seconds ago messages of the last minute were tried.
select extract(epoch from coalesce(%(now)s::timestamptz, clock_timestamp()) - tried_at)::float8 as seconds
from notifications
where tried_at > coalesce(%(now)s::timestamptz, clock_timestamp()) - interval '1 minute'
order by tried_at;

-- name: left_alone
-- The seconds that remain of a pause that Telegram asked for; no row if there is none.
select extract(epoch from next_at - clock_timestamp())::float8 as seconds
from ops.host_budgets
where
    host = %(host)s
    and next_at > clock_timestamp();

-- name: next_deal
-- The best deal that may be tried now; while Telegram accepts none, the one that it has refused least.
select
    id,
    listing_id,
    kind
from notifications
where
    kind = 'deal'
    and state = 'waiting'
    and next_try_at <= coalesce(%(now)s::timestamptz, clock_timestamp())
order by
    case
        when
            exists (
                select 1
                from ops.alerts
                where
                    alerts.kind = 'telegram_forbidden'
                    and alerts.subject = 'channel'
                    and alerts.cleared_at is null
            )
            then refusals
    end asc,
    score desc,
    id asc
limit 1;

-- name: next_change
-- The change that may be tried now and that Telegram has refused least; of these the one that has waited longest.
select
    id,
    listing_id,
    kind
from notifications
where
    kind <> 'deal'
    and state = 'waiting'
    and next_try_at <= coalesce(%(now)s::timestamptz, clock_timestamp())
order by
    refusals asc,
    id asc
limit 1;

-- name: facts
-- The facts of an ad and its message at this moment. The earlier price is converted as the one that is shown: with tax.
select
    ads.title,
    ads.url,
    ads.seller_kind,
    normal.year,
    normal.month,
    normal.mileage_km,
    normal.fuel,
    normal.gearbox,
    normal.power_hp,
    normal.price_eur,
    normal.risks,
    valuations.p50,
    valuations.p10,
    valuations.p90,
    scores.score,
    told.chat_id,
    told.message_id,
    same_car.listing_id as same_car,
    ads.photo_urls[1] as photo_url,
    coalesce(ads.place, normal.region) as place,
    ads.removed_at is not null as is_removed,
    before.price_eur * normal.price_eur / nullif(ads.price_eur, 0) as price_before,
    coalesce(valuations.comparables, 0) as comparables,
    coalesce(valuations.confidence, 0) as confidence,
    coalesce(scores.reasons, '{}') as reasons,
    coalesce(scores.is_approved, false) as is_approved,
    coalesce(told.is_photo, false) as is_photo
from listings as ads
inner join normalized_listings as normal on ads.id = normal.listing_id
inner join notifications as told on ads.id = told.listing_id and told.kind = 'deal'
left join valuations on ads.id = valuations.listing_id
left join scores on ads.id = scores.listing_id
left join lateral (
    select prices.price_eur
    from listing_prices as prices
    where
        prices.listing_id = ads.id
        and prices.price_eur <> ads.price_eur
    order by prices.seen_at desc
    limit 1
) as before on true
left join lateral (
    select others.listing_id
    from normalized_listings as same
    inner join notifications as others on same.listing_id = others.listing_id
    where
        same.listing_id <> ads.id
        and (
            same.listing_id = coalesce(normal.duplicate_of, ads.id)
            or same.duplicate_of = coalesce(normal.duplicate_of, ads.id)
        )
        and others.kind = 'deal'
        and others.state in ('trying', 'sent')
    limit 1
) as same_car on true
where ads.id = %(listing_id)s;

-- name: record_try
-- Record that a message is about to be tried, with this content. No row if it is no longer queued.
update notifications
set
    state = 'trying',
    attempts = attempts + 1,
    token = nextval('ops.deal_tokens'),
    tried_at = coalesce(%(now)s::timestamptz, clock_timestamp()),
    score = coalesce(%(score)s, score),
    price_eur = %(price_eur)s,
    chat_id = %(chat_id)s
where
    id = %(id)s
    and state = 'waiting'
returning token, attempts, is_suspect;

-- name: settle_try
-- Record the result of a try. No row if another process has tried it since. `uncounted` is 1 if it cannot have arrived.
update notifications
set
    state = %(state)s,
    attempts = attempts - %(uncounted)s,
    refusals = refusals + %(refusals)s,
    is_suspect = coalesce(%(is_suspect)s, is_suspect),
    message_id = coalesce(%(message_id)s, message_id),
    is_photo = coalesce(%(is_photo)s, is_photo),
    is_dry_run = %(is_dry_run)s,
    error = %(error)s,
    next_try_at = coalesce(%(now)s::timestamptz, clock_timestamp()) + make_interval(secs => %(seconds)s),
    settled_at = case when %(state)s <> 'waiting' then coalesce(%(now)s::timestamptz, clock_timestamp()) end
where
    id = %(id)s
    and token = %(token)s
    and state = 'trying'
returning id;

-- name: drop_notification
-- Drop a queued message.
update notifications
set
    state = 'dropped',
    error = %(error)s,
    settled_at = coalesce(%(now)s::timestamptz, clock_timestamp())
where
    id = %(id)s
    and state = 'waiting';

-- name: show_change
-- Record that the message about an ad now shows this price, or, without one, that the ad is gone.
update notifications
set price_eur = %(price_eur)s
where
    listing_id = %(listing_id)s
    and kind = 'deal';

-- name: forget_message
-- Record that the message about an ad cannot be changed, for example because it was deleted.
update notifications
set message_id = null
where
    listing_id = %(listing_id)s
    and kind = 'deal';

-- name: suspects
-- The reasons for the other messages that Telegram has refused since it last accepted one.
select error
from notifications
where
    state = 'waiting'
    and is_suspect
    and (kind <> 'deal') = %(is_edit)s
    and id <> %(id)s;

-- name: clear_suspects
-- No message is at fault: none was accepted. Here and in the two that follow, a row that is locked is skipped: its
-- message is being changed, and has to be tried first.
with suspects as (
    select id
    from notifications
    where
        state = 'waiting'
        and is_suspect
        and (kind <> 'deal' or not %(is_edit_only)s)
    for update skip locked
)

update notifications
set is_suspect = false
from suspects
where notifications.id = suspects.id;

-- name: postpone_refused
-- Postpone the messages that Telegram refused, so that others are tried first: two messages at fault, tried one after
-- the other, would look like a fault of the chat.
with refused as (
    select id
    from notifications
    where
        state = 'waiting'
        and refusals > 0
        and (kind <> 'deal') = %(is_edit)s
        and next_try_at < coalesce(%(now)s::timestamptz, clock_timestamp()) + make_interval(secs => %(seconds)s)
    for update skip locked
)

update notifications
set next_try_at = coalesce(%(now)s::timestamptz, clock_timestamp()) + make_interval(secs => %(seconds)s)
from refused
where notifications.id = refused.id;

-- name: note_proofs
-- A message was accepted: count that against those that were refused since the last one. Others, which were refused
-- while none was accepted, may be tried at once.
with refused as (
    select id
    from notifications
    where
        state = 'waiting'
        and refusals > 0
        and (kind <> 'deal') = %(is_edit)s
        and (
            is_suspect
            or (proofs = 0 and next_try_at > coalesce(%(now)s::timestamptz, clock_timestamp()))
        )
    for update skip locked
)

update notifications
set
    proofs = proofs + is_suspect::integer,
    is_suspect = false,
    next_try_at = case
        when is_suspect then next_try_at
        else coalesce(%(now)s::timestamptz, clock_timestamp())
    end
from refused
where notifications.id = refused.id;

-- name: at_fault
-- Messages that were refused while others were accepted, so often that the message is at fault.
select
    id,
    listing_id,
    kind,
    error
from notifications
where
    state = 'waiting'
    and (kind <> 'deal') = %(is_edit)s
    and proofs >= %(proofs)s
order by id;

-- name: fail_refused
-- Give up a refused message. No row if it is no longer queued, or has other content now.
update notifications
set
    state = 'failed',
    settled_at = coalesce(%(now)s::timestamptz, clock_timestamp())
where
    id = %(id)s
    and state = 'waiting'
    and proofs >= %(proofs)s
returning id;

-- name: postpone_waiting
-- Postpone all queued messages, or all changes. The rows are locked in order, as in `lock_messages`.
with waiting as (
    select id
    from notifications
    where
        state = 'waiting'
        and (kind <> 'deal' or not %(is_edit_only)s)
        and next_try_at < coalesce(%(now)s::timestamptz, clock_timestamp()) + make_interval(secs => %(seconds)s)
    order by id
    for update
)

update notifications
set next_try_at = coalesce(%(now)s::timestamptz, clock_timestamp()) + make_interval(secs => %(seconds)s)
from waiting
where notifications.id = waiting.id;

-- name: waiting
-- How many messages wait or are being tried, and the seconds until the first may be tried; null if none waits.
select
    count(*) as messages,
    greatest(
        extract(
            epoch from
            min(next_try_at) filter (where state = 'waiting') - coalesce(%(now)s::timestamptz, clock_timestamp())
        ),
        case when bool_or(state = 'waiting') then 0 end
    )::float8 as seconds
from notifications
where state in ('waiting', 'trying');

-- name: is_due
-- Whether there is a message to try now: none while posting is held.
select
    not exists (
        select 1
        from ops.holds
        where what = 'posting'
    )
    and (
        exists (
            select 1
            from notifications
            where
                state = 'waiting'
                and next_try_at <= clock_timestamp()
        )
        or exists (
            select 1
            from notifications
            where
                state = 'trying'
                and tried_at < clock_timestamp() - make_interval(secs => %(seconds)s)
        )
    ) as is_due;
