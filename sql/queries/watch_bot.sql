-- The bot that people's alerts are set with: updates, drafts, answers.

-- name: take_consumer
-- Take the lock that lets one process read the updates of a bot. It belongs to the session, and ends with it.
select pg_try_advisory_lock(hashtextextended('watch updates', %(bot_id)s::bigint));

-- name: last_update
-- The last update that was applied. None if that is so long ago that Telegram may have begun with other numbers, which
-- it does after a week; it keeps updates for a day.
select update_id
from ops.watch_updates
where
    bot_id = %(bot_id)s::bigint
    and applied_at > clock_timestamp() - interval '6 days';

-- name: take_update
-- Note that an update is applied, in the transaction of its effect. No row if it was applied before.
insert into ops.watch_updates as applied (bot_id, update_id)
values (%(bot_id)s::bigint, %(update_id)s::bigint)
on conflict (bot_id) do update
    set
        update_id = excluded.update_id,
        applied_at = clock_timestamp()
    where
        applied.update_id < excluded.update_id
        or applied.applied_at < clock_timestamp() - interval '6 days'
returning update_id;

-- name: add_reply
-- Record an answer, to a person or to a chat that nobody has been invited in.
insert into watch_messages (person_id, chat_id, kind, rank, html, buttons, message_id)
values (
    %(person_id)s::bigint,
    %(chat_id)s::bigint,
    case when %(message_id)s::bigint is null then 'reply' else 'edit' end,
    0,
    %(html)s,
    %(buttons)s::jsonb,
    %(message_id)s::bigint
);

-- name: tell_stranger
-- Note that a chat without an invitation is told so. No row if it was told within a day, or too many others within a
-- minute.
insert into ops.watch_strangers as known (chat_hash)
select %(chat_hash)s::bytea
where
    (
        select count(*)
        from ops.watch_strangers
        where told_at > clock_timestamp() - interval '1 minute'
    ) < %(limit)s
on conflict (chat_hash) do update
    set told_at = excluded.told_at
    where known.told_at < clock_timestamp() - interval '1 day'
returning told_at;

-- name: forget_stranger
-- A chat was invited.
delete from ops.watch_strangers
where chat_hash = %(chat_hash)s;

-- name: add_draft
-- Note what somebody typed; of older drafts the last twenty stay.
with old as (
    delete from watch_drafts
    where id in (
        select older.id
        from watch_drafts as older
        where older.person_id = %(person_id)s::bigint
        order by older.id desc
        offset 19
    )
)

insert into watch_drafts (person_id, watch_id, typed, below_market)
values (%(person_id)s::bigint, %(watch_id)s::bigint, %(typed)s, %(below_market)s)
returning id;

-- name: draft
-- What somebody typed.
select
    id,
    watch_id,
    typed,
    below_market
from watch_drafts
where
    id = %(draft_id)s::bigint
    and person_id = %(person_id)s::bigint;

-- name: change_draft
-- Replace the text of a draft, after a choice.
update watch_drafts
set
    typed = %(typed)s,
    below_market = %(below_market)s
where
    id = %(draft_id)s::bigint
    and person_id = %(person_id)s::bigint;

-- name: remove_draft
-- Remove a draft that was saved.
delete from watch_drafts
where
    id = %(draft_id)s::bigint
    and person_id = %(person_id)s::bigint;

-- name: message_of
-- The message about a car that Telegram knows by this number, or that the reply with this number is about.
select
    messages.id,
    messages.car,
    messages.listing_id,
    messages.lot_id,
    messages.watch_id,
    messages.price_told,
    messages.followed_at,
    messages.muted_at
from watch_messages as answered
inner join watch_messages as messages on coalesce(answered.about_id, answered.id) = messages.id
where
    answered.person_id = %(person_id)s::bigint
    and answered.message_id = %(message_id)s::bigint
    and messages.kind = 'hit';

-- name: message_of_id
-- A message about a car.
select
    id,
    car,
    listing_id,
    lot_id,
    watch_id,
    price_told,
    followed_at,
    muted_at
from watch_messages
where
    person_id = %(person_id)s::bigint
    and id = %(id)s::bigint
    and kind = 'hit';

-- name: follow_price
-- Follow the price of a car, or follow it no more.
update watch_messages
set
    followed_at = case when %(is_on)s then coalesce(followed_at, clock_timestamp()) end,
    muted_at = case when not %(is_on)s then muted_at end
where
    id = %(id)s::bigint
    and person_id = %(person_id)s::bigint
    and (followed_at is null) = %(is_on)s
returning id;

-- name: mute_car
-- Tell nothing more of a car, and drop what waits about it.
with muted as (
    update watch_messages
    set
        muted_at = clock_timestamp(),
        followed_at = null
    where
        id = %(id)s::bigint
        and person_id = %(person_id)s::bigint
        and muted_at is null
    returning id
),

dropped as (
    update watch_messages
    set
        state = 'dropped',
        settled_at = clock_timestamp()
    from muted
    where
        watch_messages.about_id = muted.id
        and watch_messages.state = 'waiting'
)

select id
from muted;

-- name: followed
-- The cars whose prices a person follows, newest first.
select
    messages.id,
    ads.url,
    lots.lot_external_id,
    normal.price_eur,
    coalesce(ads.title, concat_ws(' ', cars.year, cars.make, cars.model)) as title,
    coalesce(ads.removed_at, lots.gone_at) is not null as is_gone
from watch_messages as messages
left join listings as ads on messages.listing_id = ads.id
left join normalized_listings as normal on messages.listing_id = normal.listing_id
left join lots on messages.lot_id = lots.id
left join vehicles as cars on lots.vehicle_id = cars.id
where
    messages.person_id = %(person_id)s::bigint
    and messages.followed_at is not null
order by messages.followed_at desc
limit %(limit)s;

-- name: why
-- Which watches of a person found a car, and what its score rests on.
select
    watches.id as watch_id,
    hits.found_at,
    scores.score,
    scores.reasons
from watch_hits as hits
inner join watches on hits.watch_id = watches.id
left join scores on hits.listing_id = scores.listing_id
where
    watches.person_id = %(person_id)s::bigint
    and hits.car = %(car)s
order by hits.found_at;

-- name: cards
-- The cars of a preview, in the order of their ids given.
select
    ads.id as listing_id,
    ads.title,
    ads.url,
    normal.price_eur,
    normal.year,
    normal.mileage_km
from unnest(%(listing_ids)s::bigint[]) with ordinality as wanted (id, place)
inner join listings as ads on wanted.id = ads.id
left join normalized_listings as normal on wanted.id = normal.listing_id
order by wanted.place;

-- name: expire
-- Remove answers that were settled a week ago, changes and digests of ninety days ago, drafts of a week ago, strangers
-- of a day ago, and chats that have blocked the bot for ninety days. Messages about cars stay: none is told twice.
with answers as (
    delete from watch_messages
    where
        kind <> 'hit'
        and (
            (kind in ('reply', 'edit') and settled_at < now() - interval '7 days')
            or settled_at < now() - interval '90 days'
        )
),

drafts as (
    delete from watch_drafts
    where created_at < now() - interval '7 days'
),

strangers as (
    delete from ops.watch_strangers
    where told_at < now() - interval '1 day'
)

delete from watch_people
where
    paused_by = 'blocked'
    and paused_at < now() - interval '90 days'
    and user_id is null
    and not is_operator;
