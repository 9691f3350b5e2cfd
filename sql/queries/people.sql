-- People: accounts, sign-ins, and what they mark on ads.

-- name: add_user
-- Add a person, unless the name is taken.
insert into ops.users (name, role, password_hash)
values (%(name)s, %(role)s, %(password_hash)s)
on conflict (lower(name)) where removed_at is null do nothing
returning id;

-- name: set_password
-- Change a person's password and end the sign-ins with the old one.
with changed as (
    update ops.users
    set password_hash = %(password_hash)s
    where
        lower(name) = lower(%(name)s)
        and removed_at is null
    returning id
),

ended as (
    delete from ops.sign_ins
    using changed
    where sign_ins.user_id = changed.id
)

select id from changed;

-- name: set_role
-- Change a person's role.
update ops.users
set role = %(role)s
where
    lower(name) = lower(%(name)s)
    and removed_at is null
returning id;

-- name: remove_user
-- Remove a person, who stays as the author of notes, end the sign-ins and the invitations to the bot, and pause the
-- alerts.
with removed as (
    update ops.users
    set
        removed_at = now(),
        password_hash = null
    where
        lower(name) = lower(%(name)s)
        and removed_at is null
    returning id
),

ended as (
    delete from ops.sign_ins
    using removed
    where sign_ins.user_id = removed.id
),

uninvited as (
    delete from ops.watch_invitations
    using removed
    where watch_invitations.user_id = removed.id
),

paused as (
    update watch_people
    set
        paused_at = coalesce(watch_people.paused_at, now()),
        paused_by = 'account'
    from removed
    where watch_people.user_id = removed.id
)

select id from removed;

-- name: users
-- All people, with their sign-ins that have not ended.
select
    people.name,
    people.role,
    people.language,
    people.created_at,
    count(sign_ins.token_hash) as sign_ins,
    max(sign_ins.used_at) as last_used
from ops.users as people
left join ops.sign_ins
    on
        people.id = sign_ins.user_id
        and sign_ins.ends_at > now()
        and sign_ins.used_at > now() - %(idle)s::interval
where people.removed_at is null
group by people.id
order by lower(people.name);

-- name: count_people
-- How many people can sign in.
select count(*) as people
from ops.users
where removed_at is null;

-- name: password_of
-- A person who wants to sign in.
select
    id,
    password_hash
from ops.users
where
    lower(name) = lower(%(name)s)
    and removed_at is null;

-- name: rehash
-- Replace a hash that was made with older parameters, unless the password has changed.
update ops.users
set password_hash = %(password_hash)s
where
    id = %(user_id)s
    and password_hash = %(old_hash)s;

-- name: count_try
-- Count a try to sign in, before it is made, and return how many there were in the window.
insert into ops.sign_in_failures as counted (subject_hash, failures)
values (%(subject_hash)s, 1)
on conflict (subject_hash) do update set
failures = case
    when counted.first_at > now() - %(window)s::interval then least(counted.failures + 1, 1000000)
    else 1
end,
first_at = case when counted.first_at > now() - %(window)s::interval then counted.first_at else now() end
returning failures;

-- name: forget_tries
-- Forget the tries of a name from an address, after one that succeeded.
delete from ops.sign_in_failures
where subject_hash = any(%(subject_hashes)s::bytea[]);

-- name: sign_in
-- Record a sign-in, of a person who is still there, and remove what has ended.
with ended as (
    delete from ops.sign_ins
    where
        ends_at < now()
        or used_at < now() - %(idle)s::interval
),

forgotten as (
    delete from ops.sign_in_failures
    where first_at < now() - %(window)s::interval
)

insert into ops.sign_ins (user_id, token_hash, ends_at)
select
    %(user_id)s::bigint as user_id,
    %(token_hash)s as token_hash,
    now() + %(absolute)s::interval as ends_at
where
    %(user_id)s::bigint is null
    or exists (
        select
        from ops.users
        where
            id = %(user_id)s::bigint
            and removed_at is null
    )
returning ends_at;

-- name: signed_in
-- Whose sign-in a token is. `is_stale`: its use has to be noted.
select
    sign_ins.user_id,
    people.name,
    people.language,
    coalesce(people.role, 'operator') as role,
    sign_ins.used_at < now() - interval '5 minutes' as is_stale
from ops.sign_ins
left join ops.users as people on sign_ins.user_id = people.id
where
    sign_ins.token_hash = %(token_hash)s
    and sign_ins.ends_at > now()
    and sign_ins.used_at > now() - %(idle)s::interval
    and (sign_ins.user_id is null or people.removed_at is null);

-- name: note_use
-- Note that a sign-in is in use.
update ops.sign_ins
set used_at = now()
where token_hash = %(token_hash)s;

-- name: sign_out
-- End a sign-in.
delete from ops.sign_ins
where token_hash = %(token_hash)s;

-- name: sign_out_everywhere
-- End all sign-ins of a person.
delete from ops.sign_ins
where user_id is not distinct from %(user_id)s::bigint;

-- name: set_language
-- Note the language of a person.
update ops.users
set language = %(language)s
where id = %(user_id)s;

-- name: marks
-- Star and status of some ads, for a person.
with latest as (
    select distinct on (listing_id)
        listing_id,
        status
    from ad_statuses
    where listing_id = any(%(listing_ids)s::bigint[])
    order by listing_id asc, id desc
)

select
    asked.listing_id as marked_id,
    stars.listing_id is not null as is_starred,
    coalesce(latest.status, 'none') as status
from unnest(%(listing_ids)s::bigint[]) as asked (listing_id)
left join ad_stars as stars
    on
        asked.listing_id = stars.listing_id
        and stars.user_id is not distinct from %(user_id)s::bigint
left join latest on asked.listing_id = latest.listing_id;

-- name: star
-- Star an ad.
insert into ad_stars (user_id, listing_id)
select
    %(user_id)s::bigint as user_id,
    ads.id as listing_id
from listings as ads
where ads.id = %(listing_id)s::bigint
on conflict do nothing;

-- name: unstar
-- Take a star back.
delete from ad_stars
where
    user_id is not distinct from %(user_id)s::bigint
    and listing_id = %(listing_id)s::bigint;

-- name: add_status
-- Note the next step of an ad, unless it stands there already.
insert into ad_statuses (listing_id, user_id, status)
select
    ads.id as listing_id,
    %(user_id)s::bigint as user_id,
    %(status)s as status
from listings as ads
left join lateral (
    select statuses.status
    from ad_statuses as statuses
    where statuses.listing_id = ads.id
    order by statuses.id desc
    limit 1
) as latest on true
where
    ads.id = %(listing_id)s::bigint
    and coalesce(latest.status, 'none') is distinct from %(status)s;

-- name: add_note
-- Add a note to an ad.
insert into ad_notes (listing_id, user_id, body)
select
    ads.id as listing_id,
    %(user_id)s::bigint as user_id,
    %(body)s as body
from listings as ads
where ads.id = %(listing_id)s::bigint;

-- name: history
-- The notes and steps of an ad, the newest first.
select
    'note' as kind,
    notes.body as said,
    people.name,
    notes.written_at as happened_at
from ad_notes as notes
left join ops.users as people on notes.user_id = people.id
where notes.listing_id = %(listing_id)s::bigint
union all
select
    'status' as kind,
    statuses.status as said,
    people.name,
    statuses.set_at as happened_at
from ad_statuses as statuses
left join ops.users as people on statuses.user_id = people.id
where statuses.listing_id = %(listing_id)s::bigint
order by happened_at desc
limit 200;
