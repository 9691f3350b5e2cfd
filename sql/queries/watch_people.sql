-- People with alerts: their chats, invitations and settings, and the watches of each.

-- name: person_of_chat
-- Whose chat it is. `is_removed`: the person of the site was removed. Locked, so that of two changes one is first.
select
    people.id,
    people.chat_id,
    people.user_id,
    people.language,
    people.time_zone,
    people.is_silent,
    people.quiet_from,
    people.quiet_to,
    people.is_quiet_silent,
    people.digest_at,
    people.digest_due,
    people.paused_at,
    people.paused_by
from watch_people as people
where people.chat_id = %(chat_id)s::bigint
for update;

-- name: person_of_user
-- The alerts of a person of the site; of the operator at this machine, without an id.
select
    people.id,
    people.chat_id,
    people.user_id,
    people.language,
    people.time_zone,
    people.is_silent,
    people.quiet_from,
    people.quiet_to,
    people.is_quiet_silent,
    people.digest_at,
    people.digest_due,
    people.paused_at,
    people.paused_by
from watch_people as people
where
    (%(user_id)s::bigint is not null and people.user_id = %(user_id)s::bigint)
    or (%(user_id)s::bigint is null and people.is_operator);

-- name: add_person_of_user
-- Add the alerts of a person of the site, unless they are there.
insert into watch_people (user_id, is_operator, language, time_zone)
values (
    %(user_id)s::bigint,
    %(user_id)s::bigint is null,
    %(language)s,
    %(time_zone)s
)
on conflict do nothing;

-- name: add_invitation
-- Note an invitation, and remove those that have ended.
with ended as (
    delete from ops.watch_invitations
    where ends_at < now()
)

insert into ops.watch_invitations (token_hash, user_id, is_operator, language, ends_at)
values (
    %(token_hash)s,
    %(user_id)s::bigint,
    %(is_operator)s,
    %(language)s,
    now() + %(window)s::interval
);

-- name: user_of_name
-- A person of the site by name.
select id
from ops.users
where
    lower(name) = lower(%(name)s)
    and removed_at is null;

-- name: take_invitation
-- Use an invitation: of two that use it at once one gets it. Nobody who was removed from the site comes back by one.
delete from ops.watch_invitations
where
    token_hash = %(token_hash)s
    and ends_at > now()
    and not exists (
        select
        from watch_people as people
        where
            people.user_id = watch_invitations.user_id
            and people.paused_by = 'account'
    )
returning
    user_id,
    is_operator,
    language;

-- name: link_user
-- Link a chat to the alerts of a person of the site, which keep their watches.
update watch_people
set
    chat_id = %(chat_id)s::bigint,
    language = %(language)s,
    paused_at = case when paused_by = 'person' then paused_at end,
    paused_by = case when paused_by = 'person' then paused_by end
where
    (user_id is not null and user_id = %(user_id)s::bigint)
    or (%(user_id)s::bigint is null and is_operator)
returning id;

-- name: leave_chat
-- Messages of the chat that a person had until now cannot be changed or answered any more: their numbers stand for
-- others in the next one.
update watch_messages
set message_id = null
where
    person_id = %(person_id)s::bigint
    and message_id is not null;

-- name: move_digest
-- What is held for one person is sent to another one when it was due, or before.
update watch_people
set digest_due = least(digest_due, %(digest_due)s::timestamptz)
where id = %(person_id)s::bigint;

-- name: invitation
-- Whom an invitation of a person of the site is for; no row for one that just lets a chat in.
select
    user_id,
    is_operator,
    language
from ops.watch_invitations
where
    token_hash = %(token_hash)s
    and ends_at > now()
    and (user_id is not null or is_operator);

-- name: name_user
-- The chat of a person becomes that of a person of the site, who has no alerts yet.
update watch_people
set
    user_id = %(user_id)s::bigint,
    is_operator = %(is_operator)s
where id = %(person_id)s::bigint;

-- name: move_watches
-- Let the watches of one person be those of another one.
update watches
set person_id = %(to_id)s::bigint
where person_id = %(person_id)s::bigint;

-- name: move_messages
-- Let the messages about cars of one person be those of another one, who was not told of these cars.
update watch_messages
set person_id = %(to_id)s::bigint
where
    person_id = %(person_id)s::bigint
    and kind = 'hit'
    and not exists (
        select
        from watch_messages as others
        where
            others.person_id = %(to_id)s::bigint
            and others.car = watch_messages.car
            and others.kind = 'hit'
    );

-- name: add_person
-- Add the alerts of a chat.
insert into watch_people (chat_id, user_id, is_operator, language, time_zone)
values (%(chat_id)s::bigint, %(user_id)s::bigint, %(is_operator)s, %(language)s, %(time_zone)s)
returning id;

-- name: forget_person
-- Remove everything about a person.
delete from watch_people
where id = %(person_id)s::bigint;

-- name: set_language_of_person
-- Set the language.
update watch_people
set language = %(language)s
where id = %(person_id)s::bigint;

-- name: set_quiet
-- Set or end the quiet hours.
update watch_people
set
    quiet_from = %(quiet_from)s::smallint,
    quiet_to = %(quiet_to)s::smallint,
    is_quiet_silent = %(is_silent)s
where id = %(person_id)s::bigint;

-- name: set_digest
-- Set the time of the daily digest, or end it: what is held is then sent at once.
update watch_people
set
    digest_at = %(digest_at)s::smallint,
    digest_due = case when digest_due is not null then %(digest_due)s::timestamptz end
where id = %(person_id)s::bigint;

-- name: set_silent
-- Set whether all messages come without sound.
update watch_people
set is_silent = %(is_silent)s
where id = %(person_id)s::bigint;

-- name: pause_person
-- Pause all watches of a person.
update watch_people
set
    paused_at = clock_timestamp(),
    paused_by = %(reason)s
where
    id = %(person_id)s::bigint
    and paused_at is null;

-- name: resume_person
-- End the pause of a person, if it is for one of these reasons.
update watch_people
set
    paused_at = null,
    paused_by = null
where
    id = %(person_id)s::bigint
    and paused_by = any(%(reasons)s::text[])
returning id;

-- name: move_chat
-- A group became a supergroup: its id is new, and its messages cannot be changed any more.
with moved as (
    update watch_people
    set chat_id = %(new_chat_id)s::bigint
    where
        chat_id = %(chat_id)s::bigint
        and not exists (
            select
            from watch_people as others
            where others.chat_id = %(new_chat_id)s::bigint
        )
    returning id
)

update watch_messages
set message_id = null
from moved
where
    watch_messages.person_id = moved.id
    and watch_messages.message_id is not null;

-- name: watches_of
-- The watches of a person in their order.
select
    id,
    person_id,
    kind,
    typed,
    version,
    paused_at,
    is_silent,
    make,
    family,
    year_from,
    year_to,
    price_from,
    price_to,
    km_from,
    km_to,
    power_from,
    power_to,
    fuel,
    gearbox,
    body,
    color,
    region,
    seller,
    min_score,
    below_market,
    words,
    words_not,
    created_at
from watches
where person_id = %(person_id)s::bigint
order by id;

-- name: insert_watch
-- Save a watch.
insert into watches (
    person_id, kind, typed, make, family, year_from, year_to, price_from, price_to, km_from, km_to, power_from,
    power_to, fuel, gearbox, body, color, region, seller, min_score, below_market, words, words_not, words_query,
    words_not_query
)
values (
    %(person_id)s::bigint, %(kind)s, %(typed)s, %(make)s::text[], %(family)s::text[], %(year_from)s, %(year_to)s,
    %(price_from)s, %(price_to)s, %(km_from)s, %(km_to)s, %(power_from)s, %(power_to)s, %(fuel)s::text[],
    %(gearbox)s::text[], %(body)s::text[], %(color)s::text[], %(region)s::text[], %(seller)s::text[], %(min_score)s,
    %(below_market)s, %(words)s::text[], %(words_not)s::text[], %(words_query)s::tsquery, -- noqa: RF02
    %(words_not_query)s::tsquery -- noqa: RF02
)
returning id;

-- name: update_watch
-- Replace the filter of a watch. What the filter before found and was not told is dropped.
with changed as (
    update watches
    set
        kind = %(kind)s,
        typed = %(typed)s,
        version = version + 1,
        make = %(make)s::text[],
        family = %(family)s::text[],
        year_from = %(year_from)s,
        year_to = %(year_to)s,
        price_from = %(price_from)s,
        price_to = %(price_to)s,
        km_from = %(km_from)s,
        km_to = %(km_to)s,
        power_from = %(power_from)s,
        power_to = %(power_to)s,
        fuel = %(fuel)s::text[],
        gearbox = %(gearbox)s::text[],
        body = %(body)s::text[],
        color = %(color)s::text[],
        region = %(region)s::text[],
        seller = %(seller)s::text[],
        min_score = %(min_score)s,
        below_market = %(below_market)s,
        words = %(words)s::text[],
        words_not = %(words_not)s::text[],
        words_query = %(words_query)s::tsquery, -- noqa: RF02
        words_not_query = %(words_not_query)s::tsquery -- noqa: RF02
    where
        id = %(watch_id)s::bigint
        and person_id = %(person_id)s::bigint
    returning id
),

dropped as (
    update watch_hits
    set state = 'dropped'
    from changed
    where
        watch_hits.watch_id = changed.id
        and watch_hits.state in ('new', 'held')
)

select id
from changed;

-- name: pause_watch
-- Pause a watch, or end its pause.
update watches
set paused_at = case when %(is_paused)s then coalesce(paused_at, clock_timestamp()) end
where
    id = %(watch_id)s::bigint
    and person_id = %(person_id)s::bigint
    and (paused_at is null) = %(is_paused)s
returning id;

-- name: silence_watch
-- Set whether the messages of a watch come without sound.
update watches
set is_silent = %(is_silent)s
where
    id = %(watch_id)s::bigint
    and person_id = %(person_id)s::bigint;

-- name: delete_watch
-- Delete a watch with what it found.
delete from watches
where
    id = %(watch_id)s::bigint
    and person_id = %(person_id)s::bigint
returning id;

-- name: found_lately
-- The cars that the watches of a person found in the last days, newest first.
select
    hits.watch_id,
    hits.listing_id,
    hits.lot_id,
    hits.price_eur,
    hits.score,
    hits.found_at,
    ads.url,
    lots.lot_external_id,
    coalesce(ads.title, concat_ws(' ', cars.year, cars.make, cars.model)) as title,
    coalesce(ads.removed_at, lots.gone_at) is not null as is_gone
from watches
inner join watch_hits as hits on watches.id = hits.watch_id
left join listings as ads on hits.listing_id = ads.id
left join lots on hits.lot_id = lots.id
left join vehicles as cars on lots.vehicle_id = cars.id
where
    watches.person_id = %(person_id)s::bigint
    and hits.state <> 'known'
    and hits.found_at > now() - make_interval(days => %(days)s)
order by
    hits.found_at desc,
    hits.id desc
limit %(limit)s;

-- name: people
-- Everybody with alerts, without their chats.
select
    people.id,
    users.name,
    people.language,
    people.created_at,
    people.paused_by as paused,
    people.chat_id is not null as has_chat,
    count(watches.id) as watches,
    (
        select count(*)
        from watch_messages as messages
        where
            messages.person_id = people.id
            and messages.kind = 'hit'
            and messages.state = 'sent'
            and messages.settled_at > now() - interval '7 days'
    ) as told_in_7_days
from watch_people as people
left join ops.users as users on people.user_id = users.id
left join watches on people.id = watches.person_id
group by
    people.id,
    users.name
order by people.id;

-- name: watching
-- How many people and watches there are, how many messages wait, and for how long the oldest one that may be sent has.
select
    (
        select count(*)
        from watch_people
        where chat_id is not null
    ) as people,
    (
        select count(*)
        from watches
    ) as watches,
    (
        select count(*)
        from watch_messages
        where state = 'waiting'
    ) + (
        select count(*)
        from watch_messages
        where state = 'trying'
    ) as waiting,
    least(
        (
            select min(greatest(next_try_at, created_at))
            from watch_messages
            where
                state = 'waiting'
                and next_try_at <= clock_timestamp()
        ),
        (
            select min(found_at)
            from watch_hits
            where state = 'new'
        )
    ) as oldest;
