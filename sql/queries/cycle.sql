-- The scheduled cycle of the market workers: passes over the newest ads, rechecks, and when a make was last walked.

-- name: begin_newest
-- Claim the next pass over the newest ads for so many seconds; no row if it is not due, or another crawl makes it. A
-- pass that this crawl has already is one whose confirmation was lost.
insert into ops.market_cycles as cycles (source, number, began_at, claimed_by, claimed_until)
values (
    %(source)s,
    1,
    clock_timestamp(),
    %(owner)s,
    clock_timestamp() + make_interval(secs => %(seconds)s)
)
on conflict (source) do update
    set
        number = cycles.number + 1,
        began_at = clock_timestamp(),
        claimed_by = excluded.claimed_by,
        claimed_until = excluded.claimed_until,
        pages = 0,
        finished_at = null,
        reason = null
    where
        (cycles.claimed_until is not null and cycles.claimed_by = excluded.claimed_by)
        or (
            (cycles.claimed_until is null or cycles.claimed_until <= clock_timestamp())
            and (cycles.began_at is null or cycles.began_at + make_interval(secs => %(every)s) <= clock_timestamp())
        )
returning number, began_at, newest_posted_at;

-- name: newest_due_in
-- In how many seconds the next pass is due, negative if it is overdue.
select extract(epoch from began_at + make_interval(secs => %(every)s) - clock_timestamp())::float8
from ops.market_cycles
where source = %(source)s;

-- name: extend_newest
-- Extend the claim of a pass; no row if another crawl took over.
update ops.market_cycles
set claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s)
where
    source = %(source)s
    and number = %(number)s
    and claimed_until is not null
returning number;

-- name: count_newest_page
-- Count a page in its pass; no row if another crawl took over, or the pass has ended.
update ops.market_cycles
set pages = pages + 1
where
    source = %(source)s
    and number = %(number)s
    and claimed_until is not null
returning number;

-- name: end_newest
-- End a pass. If it was read to its end, the next one ends where it meets the ads of this one.
update ops.market_cycles
set
    claimed_until = null,
    finished_at = clock_timestamp(),
    reason = %(reason)s,
    complete_from = case when %(is_complete)s then began_at else complete_from end,
    newest_posted_at = case
        when %(is_complete)s then coalesce(%(newest_posted_at)s, newest_posted_at) else newest_posted_at
    end,
    cut_short_at = case when %(is_cut_short)s then clock_timestamp() else cut_short_at end
where
    source = %(source)s
    and number = %(number)s
    and claimed_until is not null;

-- name: take_recheck_turn
-- Take the turn of a recheck, so many seconds after the one before; no row if it is not due yet.
update ops.market_cycles
set rechecked_at = clock_timestamp()
where
    source = %(source)s
    and (rechecked_at is null or rechecked_at + make_interval(secs => %(spacing)s) <= clock_timestamp())
returning rechecked_at;

-- name: claim_recheck
-- Take the ad whose price is most overdue for its worth: an ad that was posted, one that is approved, one with a high
-- score, each with the seconds for which a price is trusted. A list that showed the ad confirmed its price.
with worthy as materialized (
    select
        listing_id,
        is_approved
    from scores
    where
        is_approved
        or score >= %(min_score)s::numeric
),

worth as (
    select
        ads.id,
        ads.ad_id,
        ads.url,
        greatest(ads.last_seen, rechecks.checked_at) as known_at,
        make_interval(
            secs => case
                when notifications.listing_id is not null then %(posted)s
                when worthy.is_approved then %(approved)s
                else %(high)s
            end
        ) as every
    from worthy
    inner join listings as ads on worthy.listing_id = ads.id
    left join ops.rechecks as rechecks on ads.id = rechecks.listing_id
    left join notifications
        on
            ads.id = notifications.listing_id
            and notifications.kind = 'deal'
            and notifications.state = 'sent'
    where
        ads.source = %(source)s
        and ads.id = any(array(select each.listing_id from worthy as each)) -- again, or the join reads all ads
        and ads.removed_at is null
),

chosen as (
    select
        id,
        ad_id,
        url
    from worth
    where known_at + every <= clock_timestamp()
    order by
        extract(epoch from clock_timestamp() - known_at) / extract(epoch from every) desc,
        id asc
    limit 1
),

taken as (
    insert into ops.rechecks as rechecks (listing_id, checked_at)
    select
        id,
        clock_timestamp() as checked_at
    from chosen
    on conflict (listing_id) do update
        set
            checked_at = excluded.checked_at,
            outcome = null
    returning listing_id, checked_at
)

select
    chosen.ad_id,
    chosen.url,
    taken.checked_at
from taken
inner join chosen on taken.listing_id = chosen.id;

-- name: record_recheck
-- Record the price on an ad's own page, and that the ad is there. A price that differs by less than a euro is the same
-- one, rounded. After a changed price no hash of a list is right any more: the next list that shows the ad decides.
with before as (
    select
        id,
        price_eur is not null
        and %(price_eur)s::numeric is not null
        and abs(price_eur - %(price_eur)s::numeric) >= 1 as is_changed
    from listings
    where
        source = %(source)s
        and ad_id = %(ad_id)s
        and removed_at is null
    for no key update
),

recorded as (
    update listings as ads
    set
        price = case when before.is_changed then %(price)s::numeric else ads.price end,
        currency = case when before.is_changed then %(currency)s else ads.currency end,
        price_eur = case when before.is_changed then %(price_eur)s::numeric else ads.price_eur end,
        list_hash = case when before.is_changed then ''::bytea else ads.list_hash end,
        changed_at = case when before.is_changed then now() else ads.changed_at end,
        last_seen = now()
    from before
    where ads.id = before.id
    returning ads.id, before.is_changed -- noqa: RF01
),

queued as (
    insert into ops.deal_outbox (listing_id, change)
    select
        id,
        'changed' as change
    from recorded
    where is_changed
    on conflict (listing_id, stage) do update
        set queued_at = now()
),

noted as (
    update ops.rechecks as rechecks
    set outcome = case when recorded.is_changed then 'changed' else 'same' end
    from recorded
    where rechecks.listing_id = recorded.id
)

select case when is_changed then 'changed' else 'same' end as outcome
from recorded;

-- name: record_deleted
-- Mark one ad gone whose own page says so, unless a list has shown it since the page was requested.
with gone as (
    update listings
    set removed_at = now()
    where
        source = %(source)s
        and ad_id = %(ad_id)s
        and removed_at is null
        and last_seen <= %(asked_at)s
    returning id
),

queued as (
    insert into ops.deal_outbox (listing_id, change)
    select
        id,
        'gone' as change
    from gone
    on conflict (listing_id, stage) do update
        set
            change = excluded.change,
            queued_at = now()
),

noted as (
    update ops.rechecks as rechecks
    set outcome = 'deleted'
    from gone
    where rechecks.listing_id = gone.id
)

select 'deleted' as outcome
from gone;

-- name: walk_ages
-- For each of these makes the seconds since its last complete walk began, since its last walk ended, and since the last
-- one that ended incomplete, infinity for never; and whether a walk of it is open.
select
    makes.slug,
    coalesce(
        extract(epoch from clock_timestamp() - max(walks.started_at) filter (where walks.is_complete)), 'infinity'
    )::float8 as complete,
    coalesce(extract(epoch from clock_timestamp() - max(walks.finished_at)), 'infinity')::float8 as ended,
    coalesce(
        extract(epoch from clock_timestamp() - max(walks.finished_at) filter (where not walks.is_complete)), 'infinity'
    )::float8 as incomplete,
    coalesce(
        bool_or(walks.id is not null and walks.finished_at is null and walks.reason is distinct from 'pages'), false
    ) as is_open
from unnest(%(makes)s::text[]) as makes (slug)
left join ops.listing_walks as walks
    on
        walks.source = %(source)s
        and makes.slug = walks.make_slug
group by makes.slug;
