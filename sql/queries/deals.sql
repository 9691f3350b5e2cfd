-- The work of the deals: who has which ads in hand, what is done, what failed, what waits and for whom to ring.

-- name: take_work
-- Take ads in hand for one stage: those that wait longest, of as many failed tries as is said. Ads that another worker
-- has in hand, or takes at this moment, are passed over.
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
        and attempts between %(least_attempts)s and %(most_attempts)s
        and (leased_until is null or leased_until < clock_timestamp())
        and (retry_at is null or retry_at <= clock_timestamp())
        and (%(listing_ids)s::bigint[] is null or listing_id = any(%(listing_ids)s::bigint[]))
    order by
        queued_at asc,
        listing_id asc
    limit %(count)s
    for update skip locked
)

update ops.deal_outbox as work
set
    token = ticket.token,
    leased_until = clock_timestamp() + make_interval(secs => %(lease)s),
    attempts = work.attempts + 1
from picked, ticket
where
    work.listing_id = picked.listing_id
    and work.stage = picked.stage
returning work.listing_id, work.queued_at, ticket.token;

-- name: hold_work
-- Which of these ads this worker still has in hand; they stay so to the end of the transaction.
select listing_id
from ops.deal_outbox
where
    stage = %(stage)s
    and token = %(token)s
    and listing_id = any(%(listing_ids)s::bigint[])
order by listing_id
for update;

-- name: finish_work
-- Work is done, and handed to the next stage if there is one; for that nobody has rung yet. An ad that was queued again
-- while it was in hand is let go instead: it has to be done once more. Returns those that are done.
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
-- A try failed: the ads are let go with the reason, to be tried again later, or given up after the last try.
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

-- name: bury_work
-- Give up the ads that their workers died over each time, the last times with nothing else in hand.
update ops.deal_outbox
set
    dead_at = clock_timestamp(),
    error = coalesce(error, 'the worker died each time that it had this ad in hand')
where
    dead_at is null
    and attempts >= %(most_attempts)s
    and leased_until < clock_timestamp()
returning listing_id, stage, error;

-- name: ring_work
-- Ads of a stage that wait and that no worker was told of lately: the message may be lost, or was never sent.
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
-- How many ads wait for each stage, since when, and how many were given up.
select
    stages.stage,
    count(work.listing_id) filter (where work.dead_at is null) as waiting,
    count(work.listing_id) filter (where work.dead_at is null and work.leased_until >= clock_timestamp()) as in_hand,
    count(work.listing_id) filter (where work.dead_at is not null) as dead,
    min(work.queued_at) filter (where work.dead_at is null) as oldest
from unnest(array['normalize', 'price', 'score']) with ordinality as stages (stage, place)
left join ops.deal_outbox as work on stages.stage = work.stage
group by stages.stage, stages.place
order by stages.place;

-- name: is_crowded
-- Whether more than so many ads wait for a stage, counted no further than that.
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

-- name: revive_work
-- What was given up is work again, as if it had just been queued.
update ops.deal_outbox
set queued_at = clock_timestamp()
where dead_at is not null
returning listing_id;

-- name: queue_again
-- All ads that are there are to be priced and scored again.
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
-- Ads that have been gone for long say no more what cars cost.
update normalized_listings as normal
set is_comparable = false
from listings as ads
where
    normal.listing_id = ads.id
    and normal.is_comparable
    and ads.removed_at < now() - make_interval(days => %(days)s);

-- name: note_progress
-- A worker of this machine has done a task to its end. Written every ten seconds at the most.
insert into ops.task_progress as known (machine, done_at, task)
values (%(machine)s, clock_timestamp(), %(task)s)
on conflict (machine) do update
    set
        done_at = excluded.done_at,
        task = excluded.task
    where known.done_at < excluded.done_at - interval '10 seconds';

-- name: scheduled
-- The tasks that are done by the clock: when each was last done, and what time it is.
select
    task,
    done_at,
    clock_timestamp() as asked_at
from ops.scheduled_tasks
order by task;

-- name: ring_scheduled
-- A worker is about to be told of a task, unless one was told lately. Of two who ask at once one gets it.
update ops.scheduled_tasks
set rung_at = clock_timestamp()
where
    task = %(task)s
    and (rung_at is null or rung_at < clock_timestamp() - make_interval(secs => %(seconds)s))
returning task;

-- name: finish_scheduled
-- A task that is done by the clock was done to its end.
update ops.scheduled_tasks
set
    done_at = clock_timestamp(),
    rung_at = null
where task = %(task)s;
