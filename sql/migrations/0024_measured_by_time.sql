-- A nightly measurement of the price model on later ads; ads are read anew.
-- depends: 0023_history_of_status

insert into ops.scheduled_tasks (task)
values ('measure');

-- Placeholders in leva, wanted ads and doubtful years are found when an ad is normalized.
insert into ops.deal_outbox (listing_id, stage, change)
select
    ads.id,
    'normalize' as stage,
    'changed' as change
from listings as ads
where ads.removed_at is null
order by ads.id
on conflict (listing_id, stage) do nothing;
