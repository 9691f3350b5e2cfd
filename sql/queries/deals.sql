-- The outbox of the deals: ads that wait for a stage, leases on them, failures, and wake-up messages.

-- name: take_work
-- Lease ads for one stage: those that have waited longest, of those with so many failed tries. Ads that another worker
-- has leased, or leases at this moment, are skipped.
with ticket as materialized (
    select nextval('ops.deal_tokens') as token
),

picked as (
    select
        listing_id,
        stage
    from ops.deal_outbox
    where
        stage = %(stage)s
        and dead_at is null
        and attempts = %(attempts)s
        and (leased_until is null or leased_until < clock_timestamp())
        and (retry_at is null or retry_at <= clock_timestamp())
    order by
        queued_at asc,
        listing_id asc
    limit %(count)s
    for update skip locked
)

update ops.deal_outbox as work
set
    token = ticket.token,
    leased_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    attempts = work.attempts + 1
from picked, ticket
where
    work.listing_id = picked.listing_id
    and work.stage = picked.stage
returning work.listing_id, work.queued_at, ticket.token;

-- name: take_named_work
-- The same of these ads only, found by their keys: one plan for both would read all that wait, for each batch of a
-- task, and the more wait the longer.
with ticket as materialized (
    select nextval('ops.deal_tokens') as token
),

picked as (
    select
        listing_id,
        stage
    from ops.deal_outbox
    where
        stage = %(stage)s
        and dead_at is null
        and attempts = %(attempts)s
        and (leased_until is null or leased_until < clock_timestamp())
        and (retry_at is null or retry_at <= clock_timestamp())
        and listing_id = any(%(listing_ids)s::bigint[])
    order by listing_id asc
    limit %(count)s
    for update skip locked
)

update ops.deal_outbox as work
set
    token = ticket.token,
    leased_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    attempts = work.attempts + 1
from picked, ticket
where
    work.listing_id = picked.listing_id
    and work.stage = picked.stage
returning work.listing_id, work.queued_at, ticket.token;

-- name: hold_work
-- The ads that are still under this worker's lease; they are locked until the transaction ends.
select listing_id
from ops.deal_outbox
where
    stage = %(stage)s
    and token = %(token)s
    and listing_id = any(%(listing_ids)s::bigint[])
order by listing_id
for update;

-- name: finish_work
-- Delete finished work and queue it for the next stage, if there is one. An ad that was queued again during the lease
-- is released instead: it has to be done once more. Returns the ads that are done.
with done as (
    delete from ops.deal_outbox as work
    using unnest(%(listing_ids)s::bigint[], %(queued)s::timestamptz[]) as taken (listing_id, queued_at)
    where
        work.stage = %(stage)s
        and work.token = %(token)s
        and work.listing_id = taken.listing_id
        and work.queued_at = taken.queued_at
    returning work.listing_id, work.change
),

again as (
    update ops.deal_outbox as work
    set
        token = null,
        leased_until = null
    from unnest(%(listing_ids)s::bigint[], %(queued)s::timestamptz[]) as taken (listing_id, queued_at)
    where
        work.stage = %(stage)s
        and work.token = %(token)s
        and work.listing_id = taken.listing_id
        and work.queued_at <> taken.queued_at
),

handed_on as (
    insert into ops.deal_outbox (listing_id, stage, change)
    select
        listing_id,
        %(next_stage)s as stage,
        change
    from done
    where %(next_stage)s::text is not null
    order by listing_id
    on conflict (listing_id, stage) do update
        set
            change = excluded.change,
            queued_at = clock_timestamp(),
            rung_at = null
)

select listing_id
from done
order by listing_id;

-- name: fail_work
-- Release the ads of a failed try with the reason: they are tried again later, or given up after the last try.
update ops.deal_outbox
set
    token = null,
    leased_until = null,
    error = %(error)s,
    retry_at = clock_timestamp() + make_interval(secs => %(seconds)s),
    dead_at = case when attempts >= %(most_attempts)s then clock_timestamp() end
where
    stage = %(stage)s
    and token = %(token)s
    and listing_id = any(%(listing_ids)s::bigint[])
returning listing_id, dead_at is not null as is_dead;

-- name: give_up_work
-- Give up the ads that repeatedly crashed workers, the last times as the only ad of the lease (dead letters).
update ops.deal_outbox
set
    dead_at = clock_timestamp(),
    error = coalesce(error, 'each worker that processed this ad died')
where
    dead_at is null
    and attempts >= %(most_attempts)s
    and leased_until < clock_timestamp()
returning listing_id, stage, error;

-- name: announce_work
-- Mark ads of a stage that wait as announced to workers, unless they were lately: a wake-up message may have been lost,
-- or was never sent.
with picked as (
    select
        listing_id,
        stage
    from ops.deal_outbox
    where
        stage = %(stage)s
        and dead_at is null
        and (leased_until is null or leased_until < clock_timestamp())
        and (retry_at is null or retry_at <= clock_timestamp())
        and (rung_at is null or rung_at < clock_timestamp() - make_interval(secs => %(seconds)s))
    order by
        queued_at asc,
        listing_id asc
    limit %(count)s
    for update skip locked
)

update ops.deal_outbox as work
set rung_at = clock_timestamp()
from picked
where
    work.listing_id = picked.listing_id
    and work.stage = picked.stage
returning work.listing_id;

-- name: backlog
-- How many ads wait for each of these stages, since when, and how many were given up.
select
    stages.stage,
    count(work.listing_id) filter (where work.dead_at is null) as waiting,
    count(work.listing_id) filter (where work.dead_at is null and work.leased_until >= clock_timestamp()) as in_hand,
    count(work.listing_id) filter (where work.dead_at is not null) as dead,
    min(work.queued_at) filter (where work.dead_at is null) as oldest
from unnest(%(stages)s::text[]) with ordinality as stages (stage, place)
left join ops.deal_outbox as work on stages.stage = work.stage
group by stages.stage, stages.place
order by stages.place;

-- name: is_crowded
-- Whether more than a number of ads wait for a stage; the count stops there.
select count(*) > %(count)s as is_crowded
from (
    select listing_id
    from ops.deal_outbox
    where
        stage = %(stage)s
        and dead_at is null
    limit %(count)s + 1
) as waiting;

-- name: dead_work
-- The ads that were given up, newest first, and why.
select
    work.listing_id,
    work.stage,
    work.attempts,
    work.dead_at,
    work.error,
    ads.title,
    ads.url
from ops.deal_outbox as work
inner join listings as ads on work.listing_id = ads.id
where work.dead_at is not null
order by work.dead_at desc
limit %(count)s;

-- name: retry_dead_work
-- Queue the ads that were given up again. The trigger on queued_at clears their tries.
update ops.deal_outbox
set queued_at = clock_timestamp()
where dead_at is not null
returning listing_id;

-- name: requeue_all
-- Requeue all active ads for pricing.
insert into ops.deal_outbox (listing_id, stage, change)
select
    ads.id,
    'price' as stage,
    'changed' as change
from listings as ads
inner join normalized_listings as normal on ads.id = normal.listing_id
where ads.removed_at is null
order by ads.id
on conflict (listing_id, stage) do nothing;

-- name: retire_comparables
-- Stop using ads that have been gone for long as comparables.
update normalized_listings as normal
set is_comparable = false
from listings as ads
where
    normal.listing_id = ads.id
    and normal.is_comparable
    and ads.removed_at < now() - make_interval(days => %(days)s);

-- name: note_progress
-- Record that a worker of this machine completed a task, at most every ten seconds.
insert into ops.task_progress as known (machine, done_at, task)
values (%(machine)s, clock_timestamp(), %(task)s)
on conflict (machine) do update
    set
        done_at = excluded.done_at,
        task = excluded.task
    where known.done_at < excluded.done_at - interval '10 seconds';

-- name: scheduled
-- The scheduled tasks, when each was last completed, and the time now.
select
    task,
    done_at,
    clock_timestamp() as asked_at
from ops.scheduled_tasks
order by task;

-- name: announce_scheduled
-- Mark a scheduled task as announced to workers, unless it was lately. Of two calls at once one gets the row.
update ops.scheduled_tasks
set rung_at = clock_timestamp()
where
    task = %(task)s
    and (rung_at is null or rung_at < clock_timestamp() - make_interval(secs => %(seconds)s))
returning task;

-- name: finish_scheduled
-- Record that a scheduled task was completed.
update ops.scheduled_tasks
set
    done_at = clock_timestamp(),
    rung_at = null
where task = %(task)s;
