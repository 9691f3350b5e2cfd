-- What operators ask of the photos.
-- depends: 0006_crawls

-- How far the photos of the active lots are, by state; `missing` are lots that no crawl has looked at yet.
create view audit.v_photo_coverage as
select
    coalesce(lot_photos.state, 'missing') as state,
    count(*) as lots,
    round(count(*)::numeric / nullif(sum(count(*)) over (), 0), 4) as share,
    coalesce(sum(lot_photos.listed), 0) as listed,
    coalesce(sum(lot_photos.stored), 0) as stored,
    min(lot_photos.due_at) filter (where lot_photos.due_at > '-infinity') as next_due_at
from lots
left join lot_photos on lots.id = lot_photos.lot_id
where lots.status = 'active'
group by coalesce(lot_photos.state, 'missing')
order by lots desc;
