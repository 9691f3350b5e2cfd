-- Messages of alerts: what is queued, held for a digest, tried and settled.

-- name: take_sender
-- Take the lock that lets one process send at a time. It belongs to the session, and ends with it.
select pg_try_advisory_lock(hashtextextended('watch messages', 0));

-- name: release_sender
-- Release the lock.
select pg_advisory_unlock(hashtextextended('watch messages', 0));

-- name: new_hits
-- What watches have found and nobody was told, oldest first, with what decides whether it is told at once. `is_known`:
-- the person was told of the car, by a message or in a digest. `today` is how many messages the watch has caused since
-- the person's midnight.
with fresh as (
    select
        id,
        watch_id,
        car,
        listing_id,
        lot_id,
        version,
        score,
        price_eur,
        found_at
    from watch_hits
    where state = 'new'
    order by
        found_at asc,
        id asc
    limit %(limit)s
    for update skip locked
)

select
    fresh.id,
    fresh.watch_id,
    fresh.car,
    fresh.listing_id,
    fresh.lot_id,
    fresh.score,
    fresh.price_eur,
    people.id as person_id,
    people.time_zone,
    people.quiet_from,
    people.quiet_to,
    people.is_quiet_silent,
    people.digest_at,
    clock_timestamp() - fresh.found_at > make_interval(secs => %(late)s) as is_late,
    fresh.version = watches.version
    and watches.paused_at is null
    and people.paused_at is null
    and people.chat_id is not null as is_wanted,
    exists (
        select
        from watch_messages as told
        where
            told.person_id = people.id
            and told.car = fresh.car
            and told.kind = 'hit'
    )
    or exists (
        select
        from watch_hits as others
        inner join watches as theirs on others.watch_id = theirs.id
        where
            theirs.person_id = people.id
            and others.car = fresh.car
            and others.state in ('held', 'digested')
    ) as is_known,
    (
        select count(*)
        from watch_messages as told
        where
            told.watch_id = watches.id
            and told.kind = 'hit'
            and told.created_at >= date_trunc('day', now() at time zone people.time_zone) at time zone people.time_zone
    ) as today
from fresh
inner join watches on fresh.watch_id = watches.id
inner join watch_people as people on watches.person_id = people.id
order by
    fresh.score desc nulls last,
    fresh.id asc;

-- name: after_outage
-- Whether the market was not read for hours until shortly ago: what is found now has gathered meanwhile.
select
    resumed.at is not null
    and exists (
        select
        from board
        where board.first_seen < resumed.at - make_interval(secs => %(outage)s)
    )
    and not exists (
        select
        from board
        where
            board.first_seen < resumed.at
            and board.first_seen >= resumed.at - make_interval(secs => %(outage)s)
    ) as is_after
from (
    select min(board.first_seen) as at
    from board
    where board.first_seen > clock_timestamp() - make_interval(secs => %(recent)s)
) as resumed;

-- name: settle_hits
-- Note what became of hits.
update watch_hits
set state = results.state
from unnest(%(ids)s::bigint[], %(states)s::text[]) as results (id, state)
where
    watch_hits.id = results.id
    and watch_hits.state = 'new';

-- name: add_hit_messages
-- Queue messages about cars: one a person and car, however many watches and ads there are.
insert into watch_messages (person_id, kind, rank, car, listing_id, lot_id, watch_id, score, price_eur, price_told)
select
    found.person_id,
    'hit' as kind,
    2 as rank,
    found.car,
    found.listing_id,
    found.lot_id,
    found.watch_id,
    found.score,
    found.price_eur,
    found.price_eur as price_told
from unnest(
    %(person_ids)s::bigint[],
    %(cars)s::text[],
    %(listing_ids)s::bigint[],
    %(lot_ids)s::bigint[],
    %(watch_ids)s::bigint[],
    %(scores)s::numeric[],
    %(prices)s::numeric[]
) as found (person_id, car, listing_id, lot_id, watch_id, score, price_eur)
on conflict (person_id, car) where kind = 'hit' do nothing;

-- name: hold_digests
-- Note when what is held for these people is sent, unless that is noted already.
update watch_people
set digest_due = coalesce(watch_people.digest_due, held.due)
from unnest(%(person_ids)s::bigint[], %(dues)s::timestamptz[]) as held (person_id, due)
where watch_people.id = held.person_id;

-- name: queue_digests
-- Queue the digests that are due.
with due as (
    update watch_people
    set digest_due = null
    where
        digest_due <= clock_timestamp()
        and paused_at is null
    returning id
)

insert into watch_messages (person_id, kind, rank)
select
    id as person_id,
    'digest' as kind,
    3 as rank
from due
on conflict (person_id) where kind = 'digest' and state in ('waiting', 'trying') do nothing;

-- name: queue_changes
-- Queue replies about prices that came down, and edits of messages whose cars are gone or back: of the messages about
-- these ads, and of these messages. A car costs what the cheapest of its ads asks for, and is gone when none of them is
-- advertised. A person who follows a price is told of any lower one.
with touched as materialized (
    select
        message_id,
        listing_id
    from watch_message_ads
    where listing_id = any(%(listing_ids)s::bigint[])
    union all
    select
        message_id,
        listing_id
    from watch_message_ads
    where message_id = any(%(message_ids)s::bigint[])
),

-- Nearly all ads that come by cost what they did: the other ads of their cars are not read.
changed as materialized (
    select distinct touched.message_id
    from touched
    inner join watch_messages as messages on touched.message_id = messages.id
    inner join listings as ads on touched.listing_id = ads.id
    inner join normalized_listings as normal on touched.listing_id = normal.listing_id
    where
        messages.state = 'sent'
        and (
            (messages.price_eur is null) = (ads.removed_at is null)
            or normal.price_eur < messages.price_told
        )
),

told as (
    select
        messages.id,
        messages.person_id,
        messages.score,
        messages.price_told,
        messages.price_eur as price_shown,
        messages.followed_at,
        cheapest.price_eur,
        cheapest.listing_id is null as is_gone
    from changed
    inner join watch_messages as messages on changed.message_id = messages.id
    inner join watch_people as people on messages.person_id = people.id
    left join lateral ( -- noqa: ST05
        select
            ads.id as listing_id,
            normal.price_eur
        from watch_message_ads as shown
        inner join listings as ads on shown.listing_id = ads.id
        inner join normalized_listings as normal on shown.listing_id = normal.listing_id
        where
            shown.message_id = messages.id
            and ads.removed_at is null
        order by normal.price_eur asc nulls last
        limit 1
    ) as cheapest on true
    where
        messages.state = 'sent'
        and messages.message_id is not null
        and messages.muted_at is null
        and people.paused_at is null
)

insert into watch_messages (person_id, kind, rank, score, about_id)
select
    told.person_id,
    case when told.is_gone or told.price_shown is null then 'gone' else 'price' end as kind,
    case
        when told.is_gone or told.price_shown is null then 4
        when told.followed_at is not null then 1
        else 2
    end as rank,
    told.score,
    told.id as about_id
from told
where
    case
        when told.is_gone then told.price_shown is not null
        when told.price_eur is null then false
        when told.price_shown is null then true
        when told.followed_at is not null then told.price_eur < told.price_told
        else told.price_told - told.price_eur >= greatest(0.03 * told.price_told, 200)
    end
order by told.id
on conflict (about_id, kind) where state in ('waiting', 'trying') do nothing;

-- name: recover_tries
-- The lock is held, so no other process sends: what one was trying, so long ago that its call has ended too, is queued
-- again, or given up after the last try.
update watch_messages
set
    state = case
        when attempts >= %(most_attempts)s then 'failed'
        else 'waiting'
    end,
    error = 'the process that sent it died',
    next_try_at = clock_timestamp(),
    settled_at = case when attempts >= %(most_attempts)s then clock_timestamp() end
where
    state = 'trying'
    and (
        tried_at < clock_timestamp() - make_interval(secs => %(seconds)s)
        or tried_at > clock_timestamp() -- the clock was set back
    )
returning
    id,
    state;

-- name: next_message
-- The message that is tried next: answers first, then followed prices, cars by score, digests, edits; none to a
-- chat that got one within the last second, or a group in the last three. No pause is longer than a day: one that seems
-- so is from before the clock was set back.
select
    messages.id,
    messages.person_id,
    messages.kind,
    messages.car,
    messages.listing_id,
    messages.lot_id,
    messages.watch_id,
    messages.about_id,
    messages.html,
    messages.buttons,
    messages.message_id,
    messages.price_told,
    messages.created_at,
    coalesce(people.chat_id, messages.chat_id) as chat_id
from watch_messages as messages
left join watch_people as people on messages.person_id = people.id
where
    messages.state = 'waiting'
    and messages.next_try_at <= clock_timestamp()
    and (
        people.next_at is null
        or people.next_at not between clock_timestamp() and clock_timestamp() + interval '1 day'
    )
order by
    messages.rank asc,
    messages.score desc nulls last,
    messages.id asc
limit 1;

-- name: person
-- A person who is sent a message.
select
    id,
    chat_id,
    user_id,
    language,
    time_zone,
    is_silent,
    quiet_from,
    quiet_to,
    is_quiet_silent,
    digest_at,
    digest_due,
    paused_at,
    paused_by
from watch_people
where id = %(person_id)s::bigint
for update;

-- name: car_facts
-- The ad and its estimate at this moment.
select
    ads.id as listing_id,
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
    scores.score,
    ads.photo_urls[1] as photo_url,
    coalesce(ads.place, normal.region) as place,
    ads.removed_at is not null as is_gone
from listings as ads
left join normalized_listings as normal on ads.id = normal.listing_id
left join valuations on ads.id = valuations.listing_id
left join scores on ads.id = scores.listing_id
where ads.id = %(listing_id)s::bigint;

-- name: watches_for
-- The watches of a person that found a car, and still stand as they did then.
select
    watches.id,
    watches.kind,
    watches.is_silent,
    watches.make,
    watches.family,
    watches.year_from,
    watches.year_to,
    watches.price_from,
    watches.price_to,
    watches.km_from,
    watches.km_to,
    watches.power_from,
    watches.power_to,
    watches.fuel,
    watches.gearbox,
    watches.body,
    watches.color,
    watches.region,
    watches.seller,
    watches.min_score,
    watches.below_market,
    watches.words,
    watches.words_not
from watches
inner join watch_hits as hits on watches.id = hits.watch_id
where
    watches.person_id = %(person_id)s::bigint
    and hits.car = %(car)s
    and hits.version = watches.version
    and watches.paused_at is null
order by watches.id;

-- name: told_today
-- How many messages a watch has caused since the person's midnight, up to this one.
select count(*) as messages
from watch_messages
where
    watch_id = %(watch_id)s::bigint
    and kind = 'hit'
    and created_at >= %(since)s::timestamptz
    and created_at <= %(until)s::timestamptz;

-- name: about
-- The message that is answered or changed. `listing_id` is the cheapest ad of its car at this moment; of a car that is
-- gone the one that it was told with.
select
    messages.id,
    messages.lot_id,
    messages.watch_id,
    messages.car,
    messages.message_id,
    messages.is_photo,
    messages.price_eur,
    messages.price_told,
    messages.shown,
    messages.followed_at,
    messages.muted_at,
    coalesce(cheapest.listing_id, messages.listing_id) as listing_id
from watch_messages as messages
left join lateral ( -- noqa: ST05
    select ads.id as listing_id
    from watch_message_ads as shown
    inner join listings as ads on shown.listing_id = ads.id
    inner join normalized_listings as normal on shown.listing_id = normal.listing_id
    where
        shown.message_id = messages.id
        and ads.removed_at is null
    order by
        normal.price_eur asc nulls last,
        ads.id asc
    limit 1
) as cheapest on true
where messages.id = %(id)s::bigint
for update of messages;

-- name: fill_digest
-- Put into a digest what is held for a person, or was in it at an earlier try: cars that are still there, of watches
-- that still stand, each once; of lots those that still fit: hours later the sale may be over, or the bid too high.
with held as (
    select distinct on (hits.car)
        hits.id,
        hits.score
    from watch_hits as hits
    inner join watches on hits.watch_id = watches.id
    left join listings as ads on hits.listing_id = ads.id
    left join lots on hits.lot_id = lots.id
    where
        watches.person_id = %(person_id)s::bigint
        and hits.version = watches.version
        and watches.paused_at is null
        and coalesce(ads.removed_at, lots.gone_at) is null
        and (
            hits.lot_id is null
            or exists (
                select
                from watch_lot_fits as fits
                where
                    fits.watch_id = hits.watch_id
                    and fits.lot_id = hits.lot_id
            )
        )
        and (hits.state = 'held' or hits.digest_id = %(id)s::bigint)
    order by
        hits.car asc,
        hits.score desc nulls last
),

filled as (
    update watch_hits
    set
        state = 'digested',
        digest_id = %(id)s::bigint
    from watches
    where
        watch_hits.watch_id = watches.id
        and watches.person_id = %(person_id)s::bigint
        and watch_hits.state = 'held'
)

select
    hits.listing_id,
    hits.lot_id,
    ads.url,
    lots.lot_external_id,
    lots.damage,
    lots.high_bid,
    lots.currency,
    quotes.landed_eur,
    quotes.most_bid_usd,
    normal.year,
    normal.mileage_km,
    normal.price_eur,
    coalesce(lots.sale_at, lots.sale_date::timestamptz) as sale_at,
    lots.sale_at is not null as has_time,
    coalesce(ads.title, concat_ws(' ', cars.year, cars.make, cars.model)) as title,
    count(*) over () as cars
from held
inner join watch_hits as hits on held.id = hits.id
left join listings as ads on hits.listing_id = ads.id
left join normalized_listings as normal on hits.listing_id = normal.listing_id
left join lots on hits.lot_id = lots.id
left join vehicles as cars on lots.vehicle_id = cars.id
left join lot_quotes as quotes on hits.lot_id = quotes.lot_id and quotes.is_ranked
order by
    held.score desc nulls last,
    hits.id asc
limit %(limit)s;

-- name: record_try
-- Record that a message is about to be tried, and from when on its chat may get another. No row if it is no longer
-- queued.
with tried as (
    update watch_messages
    set
        state = 'trying',
        attempts = attempts + 1,
        token = nextval('watch_tokens'),
        tried_at = clock_timestamp(),
        price_eur = coalesce(%(price_eur)s, price_eur)
    where
        id = %(id)s::bigint
        and state = 'waiting'
    returning
        token,
        attempts,
        person_id
),

paced as (
    update watch_people
    set next_at = clock_timestamp() + make_interval(secs => %(gap)s)
    from tried
    where watch_people.id = tried.person_id
)

select
    token,
    attempts
from tried;

-- name: settle_try
-- Record the result of a try. No row if another process has tried it since. `uncounted` is 1 if it cannot have arrived.
update watch_messages
set
    state = %(state)s,
    attempts = attempts - %(uncounted)s,
    message_id = coalesce(%(message_id)s::bigint, message_id),
    is_photo = coalesce(%(is_photo)s, is_photo),
    error = %(error)s,
    next_try_at = clock_timestamp() + make_interval(secs => %(seconds)s),
    settled_at = case when %(state)s <> 'waiting' then clock_timestamp() end
where
    id = %(id)s::bigint
    and token = %(token)s::bigint
    and state = 'trying'
returning id;

-- name: show_change
-- Record what the message about a car shows now, and the lowest price that was told: an edit, which makes no sound,
-- tells none.
update watch_messages
set
    price_eur = %(price_eur)s,
    shown = %(shown)s,
    price_told = case when %(is_told)s then least(price_told, %(price_eur)s) else price_told end
where id = %(id)s::bigint;

-- name: forget_message
-- Record that the message about a car cannot be changed or answered, for example because it was deleted.
update watch_messages
set message_id = null
where id = %(id)s::bigint;

-- name: drop_message
-- Drop a queued message.
update watch_messages
set
    state = 'dropped',
    error = %(error)s,
    settled_at = clock_timestamp()
where
    id = %(id)s::bigint
    and state = 'waiting';

-- name: postpone_message
-- Postpone a queued message.
update watch_messages
set next_try_at = %(until)s::timestamptz
where
    id = %(id)s::bigint
    and state = 'waiting';

-- name: drop_stranger
-- Remove an answer to a chat that nobody was invited in, once it is settled.
delete from watch_messages
where
    id = %(id)s::bigint
    and person_id is null;

-- name: pause_chat
-- A chat cannot be written to: pause its person and drop what waits.
with paused as (
    update watch_people
    set
        paused_at = coalesce(paused_at, clock_timestamp()),
        paused_by = coalesce(paused_by, 'blocked')
    where id = %(person_id)s::bigint
    returning id
)

update watch_messages
set
    state = 'dropped',
    error = 'the chat cannot be written to',
    settled_at = clock_timestamp()
from paused
where
    watch_messages.person_id = paused.id
    and watch_messages.state = 'waiting';

-- name: slow_chat
-- Let a chat get nothing for some seconds: it asks for a pause, or got a message.
update watch_people
set next_at = clock_timestamp() + make_interval(secs => %(seconds)s)
where id = %(person_id)s::bigint;
