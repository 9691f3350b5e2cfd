-- External effects, carried over from a replaced database into the one that a backup was restored into. Rows are passed
-- as JSON, by the names of their columns: between two versions of vinops, the columns that both have are carried over.

-- name: settle_path
-- Use the search path of other sessions, for the names of tables and what triggers call.
select set_config('search_path', 'public', false);

-- name: has_tables
-- Whether this database has tables of messages about ads and lots, budgets, alerts, holds and watches.
select
    to_regclass('public.notifications') is not null as has_messages,
    to_regclass('public.lot_notifications') is not null as has_lot_messages,
    to_regclass('ops.told_lots') is not null as has_told_lots,
    to_regclass('ops.host_budgets') is not null as has_hosts,
    to_regclass('ops.alerts') is not null as has_alerts,
    to_regclass('ops.holds') is not null as has_holds,
    to_regclass('public.watches') is not null as has_watches,
    to_regclass('public.watch_lots') is not null as has_watch_lots;

-- name: tried_here
-- The ads whose messages were being sent when the backup was taken.
select coalesce(jsonb_agg(jsonb_build_object('source', ads.source, 'ad_id', ads.ad_id)), '[]')::text as carried
from public.notifications as told
inner join public.listings as ads on told.listing_id = ads.id
where
    told.kind = 'deal'
    and told.state = 'trying';

-- name: read_messages
-- The messages that were attempted, or changed in the channel, since the backup was taken, each with its ad. Each
-- attempt takes a token, so no clock is needed; those that were being sent then may have been settled since.
select coalesce(jsonb_agg(to_jsonb(told) || jsonb_build_object('ad', to_jsonb(ads))), '[]')::text as carried
from public.notifications as told
inner join public.listings as ads on told.listing_id = ads.id
where
    told.kind = 'deal'
    and (
        told.listing_id in (
            select since.listing_id
            from public.notifications as since
            where since.token > %(token)s
        )
        or (ads.source, ads.ad_id) in (
            select
                tried.source,
                tried.ad_id
            from jsonb_to_recordset(%(carried)s::jsonb) as tried (source text, ad_id text)
        )
    );

-- name: lots_tried_here
-- The lots whose messages were being sent when the backup was taken.
select coalesce(jsonb_agg(lots.lot_external_id), '[]')::text as carried
from public.lot_notifications as told
inner join public.lots on told.lot_id = lots.id
where
    told.kind = 'deal'
    and told.state = 'trying';

-- name: read_lot_messages
-- The messages about lots that were attempted, or changed in their chat, since the backup was taken, each with the
-- number of its lot; as read_messages has those about ads.
select coalesce(jsonb_agg(to_jsonb(told) || jsonb_build_object('lot', lots.lot_external_id)), '[]')::text as carried
from public.lot_notifications as told
inner join public.lots on told.lot_id = lots.id
where
    told.kind = 'deal'
    and (
        told.lot_id in (
            select since.lot_id
            from public.lot_notifications as since
            where since.token > %(token)s
        )
        or lots.lot_external_id in (
            select tried.value::bigint
            from jsonb_array_elements_text(%(carried)s::jsonb) as tried
        )
    );

-- name: with_told_lots
-- These messages about lots, and those that an earlier restore kept for lots that the feed has not brought yet.
select (
    %(carried)s::jsonb || coalesce(
        jsonb_agg(waiting.told || jsonb_build_object('lot', waiting.lot_external_id)), '[]'
    )
)::text as carried
from ops.told_lots as waiting
where
    (waiting.told ->> 'token')::bigint > %(token)s
    and waiting.lot_external_id not in (
        select (told.value ->> 'lot')::bigint
        from jsonb_array_elements(%(carried)s::jsonb) as told
    );

-- name: forget_lot_messages
-- Delete the messages about these lots that came with the backup, and pending edits of them: they are out of date.
delete from public.lot_notifications
where
    (kind = 'deal' or state in ('waiting', 'trying'))
    and lot_id in (
        select lots.id
        from jsonb_array_elements(%(carried)s::jsonb) as told
        inner join public.lots on (told.value ->> 'lot')::bigint = lots.lot_external_id
    );

-- name: lot_messages_here
-- The messages about lots that are in this database, by the ids that they have here.
select coalesce(jsonb_agg(told.value || jsonb_build_object('lot_id', lots.id)), '[]')::text as carried
from jsonb_array_elements(%(carried)s::jsonb) as told
inner join public.lots on (told.value ->> 'lot')::bigint = lots.lot_external_id;

-- name: create_told_lots
-- Create the table of messages about lots that are not in the database, in one of a version without it
-- (sql/migrations/0037_lot_bids.sql).
create table if not exists ops.told_lots (
    lot_external_id bigint primary key,
    told jsonb not null
);

-- name: keep_lot_messages
-- Keep the messages about lots that are not in this database, until the feed brings them; all messages if it has no
-- table for them, until they are queued.
insert into ops.told_lots as kept (lot_external_id, told)
select
    (told.value ->> 'lot')::bigint,
    told.value - 'lot' - 'lot_id' - 'id'
from jsonb_array_elements(%(carried)s::jsonb) as told
left join public.lots on (told.value ->> 'lot')::bigint = lots.lot_external_id
where
    lots.id is null
    or to_regclass('public.lot_notifications') is null
on conflict (lot_external_id) do update
    set told = excluded.told;

-- name: read_hosts
-- Budgets and breakers.
select coalesce(jsonb_agg(to_jsonb(budgets)), '[]')::text as carried
from ops.host_budgets as budgets;

-- name: read_alerts
-- Alerts, delivered and not.
select coalesce(jsonb_agg(to_jsonb(alerts) order by alerts.id), '[]')::text as carried
from ops.alerts as alerts;

-- name: read_holds
-- The holds.
select coalesce(jsonb_agg(to_jsonb(holds)), '[]')::text as carried
from ops.holds as holds;

-- name: read_people
-- The people with alerts.
select coalesce(jsonb_agg(to_jsonb(people)), '[]')::text as carried
from public.watch_people as people;

-- name: read_watches
-- Their watches.
select coalesce(jsonb_agg(to_jsonb(watches)), '[]')::text as carried
from public.watches;

-- name: read_watch_lots
-- What they ask of lots.
select coalesce(jsonb_agg(to_jsonb(watch_lots)), '[]')::text as carried
from public.watch_lots;

-- name: read_watch_lot_keys
-- By what watches of lots are found.
select coalesce(jsonb_agg(to_jsonb(watch_lot_keys)), '[]')::text as carried
from public.watch_lot_keys;

-- name: forget_watch_lots
-- Forget what watches asked of lots when the backup was taken, and by what they were found.
delete from public.watch_lots;

-- name: of_watches_here
-- The rows about watches that are in this database.
select coalesce(jsonb_agg(known.value), '[]')::text as carried
from jsonb_array_elements(%(carried)s::jsonb) as known
where
    exists (
        select
        from public.watches
        where watches.id = (known.value ->> 'watch_id')::bigint
    );

-- name: forget_people
-- Delete the people with alerts, and the watches, that are not in the replaced database any more: who has asked to be
-- forgotten since the backup stays so.
with forgotten as (
    delete from public.watch_people
    where
        id not in (
            select (known.value ->> 'id')::bigint
            from jsonb_array_elements(%(carried)s::jsonb) as known
        )
)

delete from public.watches
where
    id not in (
        select (known.value ->> 'id')::bigint
        from jsonb_array_elements(%(others)s::jsonb) as known
    );

-- name: people_here
-- The people with alerts who belong to a person of the site that is in this database, or to none.
select coalesce(jsonb_agg(known.value), '[]')::text as carried
from jsonb_array_elements(%(carried)s::jsonb) as known
where
    known.value ->> 'user_id' is null
    or exists (
        select
        from ops.users
        where users.id = (known.value ->> 'user_id')::bigint
    );

-- name: watches_here
-- The watches of people who are in this database.
select coalesce(jsonb_agg(known.value), '[]')::text as carried
from jsonb_array_elements(%(carried)s::jsonb) as known
where
    exists (
        select
        from public.watch_people as people
        where people.id = (known.value ->> 'person_id')::bigint
    );

-- name: drop_old_messages
-- Drop the messages to people that waited when the backup was taken: they were sent since, or are over.
update public.watch_messages
set
    state = 'dropped',
    error = 'it waited when the backup was taken',
    settled_at = clock_timestamp()
where state in ('waiting', 'trying');

-- name: replace_statement
-- The statement that writes rows given as JSON into a table with an id, in the place of those of the same id, by the
-- columns that both have.
select
    format(
        'insert into %%1$s (%%2$s) overriding system value '
        'select %%2$s from jsonb_populate_recordset(null::%%1$s, %%3$L::jsonb) '
        'on conflict (id) do update set %%4$s',
        %(table)s::text,
        string_agg(format('%%I', attributes.attname), ', ' order by attributes.attnum),
        %(carried)s::text,
        string_agg(format('%%1$I = excluded.%%1$I', attributes.attname), ', ' order by attributes.attnum)
        filter (where attributes.attidentity = '')
    )
from pg_attribute as attributes
where
    attributes.attrelid = %(table)s::text::regclass
    and attributes.attnum > 0
    and not attributes.attisdropped
    and attributes.attgenerated = ''
    and attributes.attname in (
        select jsonb_object_keys(each.value)
        from jsonb_array_elements(%(carried)s::jsonb) as each
    );

-- name: insert_statement
-- The statement that inserts rows given as JSON into a table, by the columns that both have; the table assigns the id.
-- Existing rows stay as they are.
select
    format(
        'insert into %%1$s (%%2$s) select %%2$s from jsonb_populate_recordset(null::%%1$s, %%3$L::jsonb) '
        'on conflict do nothing',
        %(table)s::text,
        string_agg(format('%%I', attributes.attname), ', ' order by attributes.attnum),
        %(carried)s::text
    )
from pg_attribute as attributes
where
    attributes.attrelid = %(table)s::text::regclass
    and attributes.attnum > 0
    and not attributes.attisdropped
    and attributes.attidentity = ''
    and attributes.attgenerated = ''
    and attributes.attname in (
        select jsonb_object_keys(each.value)
        from jsonb_array_elements(%(carried)s::jsonb) as each
    );

-- name: missing_ads
-- The ads of the messages that are not in this database.
select coalesce(jsonb_agg(told.value -> 'ad'), '[]')::text as carried
from jsonb_array_elements(%(carried)s::jsonb) as told
left join public.listings as ads
    on
        told.value -> 'ad' ->> 'source' = ads.source
        and told.value -> 'ad' ->> 'ad_id' = ads.ad_id
where ads.id is null;

-- name: queue_ads
-- Queue the ads of the messages that no stage has processed for the first stage.
insert into ops.deal_outbox (listing_id, change)
select
    ads.id,
    'new' as change
from jsonb_array_elements(%(carried)s::jsonb) as told
inner join public.listings as ads
    on
        told.value -> 'ad' ->> 'source' = ads.source
        and told.value -> 'ad' ->> 'ad_id' = ads.ad_id
left join public.normalized_listings as normal on ads.id = normal.listing_id
where normal.listing_id is null
on conflict do nothing;

-- name: forget_messages
-- Delete the messages of these ads that came with the backup, and pending changes of them: they are out of date.
delete from public.notifications
where
    (kind = 'deal' or state in ('waiting', 'trying'))
    and listing_id in (
        select ads.id
        from jsonb_array_elements(%(carried)s::jsonb) as told
        inner join public.listings as ads
            on
                told.value -> 'ad' ->> 'source' = ads.source
                and told.value -> 'ad' ->> 'ad_id' = ads.ad_id
    );

-- name: messages_here
-- The messages, by the ids that their ads have in this database.
select coalesce(jsonb_agg(told.value || jsonb_build_object('listing_id', ads.id)), '[]')::text as carried
from jsonb_array_elements(%(carried)s::jsonb) as told
inner join public.listings as ads
    on
        told.value -> 'ad' ->> 'source' = ads.source
        and told.value -> 'ad' ->> 'ad_id' = ads.ad_id;

-- name: carry_hosts
-- For a host in both databases keep the stricter values: the later next request, the later day and the requests of that
-- day, the more refusals, the breaker that is open longer.
insert into ops.host_budgets as budgets (
    host, next_at, day, requests, refusals_in_row, last_refusal, times_opened, open_until, updated_at
)
select
    host,
    next_at,
    day,
    requests,
    refusals_in_row,
    last_refusal,
    times_opened,
    open_until,
    updated_at
from jsonb_populate_recordset(null::ops.host_budgets, %(carried)s::jsonb)
on conflict (host) do update
    set
        next_at = greatest(budgets.next_at, excluded.next_at),
        day = greatest(budgets.day, excluded.day),
        requests = case
            when budgets.day = excluded.day then greatest(budgets.requests, excluded.requests)
            when budgets.day > excluded.day then budgets.requests
            else excluded.requests
        end,
        refusals_in_row = greatest(budgets.refusals_in_row, excluded.refusals_in_row),
        last_refusal = coalesce(excluded.last_refusal, budgets.last_refusal),
        times_opened = greatest(budgets.times_opened, excluded.times_opened),
        open_until = greatest(budgets.open_until, excluded.open_until),
        updated_at = greatest(budgets.updated_at, excluded.updated_at);

-- name: carry_alerts
-- Update the alerts of the backup to their later state: delivered, counted, closed.
update ops.alerts as alerts
set
    times = later.times,
    delivered_at = later.delivered_at,
    cleared_at = later.cleared_at
from jsonb_populate_recordset(null::ops.alerts, %(carried)s::jsonb) as later
where
    alerts.kind = later.kind
    and alerts.subject = later.subject
    and alerts.raised_at = later.raised_at;

-- name: new_alerts
-- The alerts that are not in this database.
select coalesce(jsonb_agg(later.value), '[]')::text as carried
from jsonb_array_elements(%(carried)s::jsonb) as later
where
    not exists (
        select 1
        from ops.alerts as alerts
        where
            alerts.kind = later.value ->> 'kind'
            and alerts.subject = later.value ->> 'subject'
            and alerts.raised_at = (later.value ->> 'raised_at')::timestamptz
    );

-- name: advance_sequence
-- Advance a sequence to its later value, so that no id and no token is given out twice.
select setval(%(name)s::text::regclass, %(value)s::bigint)
where to_regclass(%(name)s::text) is not null;
