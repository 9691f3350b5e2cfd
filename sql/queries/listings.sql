-- Ads, recorded page by page, and the walks through the lists of a make.

-- name: free_make
-- End the claim of a walk of this make that expired, or that this crawl has itself: its confirmation was lost.
update ops.listing_walks
set claimed_until = null
where
    source = %(source)s
    and make_slug = %(make)s
    and claimed_until is not null
    and (claimed_until < clock_timestamp() or claimed_by = %(owner)s);

-- name: abandon_walks
-- End the open walks of a make that nobody has claimed and that are not to be continued: those that are too old, that
-- were of a few pages only, and all but the newest.
update ops.listing_walks as walks
set
    finished_at = clock_timestamp(),
    is_complete = false,
    reason = case when walks.reason = 'pages' then 'pages' else 'abandoned' end
where
    walks.source = %(source)s
    and walks.make_slug = %(make)s
    and walks.finished_at is null
    and walks.claimed_until is null
    and (
        walks.started_at < clock_timestamp() - %(hours)s * interval '1 hour'
        or walks.reason = 'pages'
        or exists (
            select
            from ops.listing_walks as newer
            where
                newer.source = walks.source
                and newer.make_slug = walks.make_slug
                and newer.finished_at is null
                and newer.reason is distinct from 'pages'
                and newer.id > walks.id
        )
    )
returning
    walks.id,
    walks.started_at,
    walks.pages;

-- name: continue_walk
-- Claim the open walk of a make for so many seconds; no row if there is none, or another crawl walks the make.
update ops.listing_walks as walks
set
    claimed_by = %(owner)s,
    claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    token = walks.token + 1
where
    walks.source = %(source)s
    and walks.make_slug = %(make)s
    and walks.finished_at is null
    and walks.claimed_until is null
    and walks.reason is distinct from 'pages'
    and not exists (
        select
        from ops.listing_walks as other
        where
            other.source = walks.source
            and other.make_slug = walks.make_slug
            and other.claimed_until is not null
    )
returning
    walks.id,
    walks.started_at,
    walks.token,
    walks.pages,
    walks.reason;

-- name: begin_walk
-- Begin a walk of a make, claimed by this crawl for so many seconds; no row if another crawl walks it. Active ads that
-- are not seen from now on are gone if the walk is complete.
insert into ops.listing_walks (source, make_slug, reason, claimed_by, claimed_until, token)
values (
    %(source)s, %(make)s, %(reason)s, %(owner)s, clock_timestamp() + make_interval(secs => %(seconds)s), 1
)
on conflict (source, make_slug) where claimed_until is not null do nothing
returning
    id,
    started_at,
    token,
    pages,
    reason;

-- name: walk_pieces
-- The lists of a walk.
select
    number,
    parent,
    model,
    region,
    state,
    sort_index,
    page,
    furthest,
    stale,
    steps_back,
    total,
    ads,
    newest,
    counted,
    counted_seen,
    is_cut
from ops.walk_pieces
where walk_id = %(walk)s
order by number;

-- name: claim_expires
-- In how many seconds the claim of a make expires if it is not extended; no row if nobody has it.
select extract(epoch from claimed_until - clock_timestamp())::float8
from ops.listing_walks
where
    source = %(source)s
    and make_slug = %(make)s
    and claimed_until is not null;

-- name: extend_claim
-- Extend the claim of a walk; no row if another crawl took the make over.
update ops.listing_walks
set claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s)
where
    id = %(walk)s
    and token = %(token)s
    and claimed_until is not null
returning id;

-- name: release_claim
-- End the claim of a walk: its make can be claimed at once.
update ops.listing_walks
set claimed_until = null
where
    id = %(walk)s
    and token = %(token)s;

-- name: interrupt_walk
-- Count a page that could not be read; no row if that happened so often in a row, if the walk is not to be continued,
-- or if another crawl took the make over.
update ops.listing_walks
set interruptions = interruptions + 1
where
    id = %(walk)s
    and token = %(token)s
    and claimed_until is not null
    and interruptions < %(most)s
    and reason is distinct from 'pages'
returning id;

-- name: hold_claim
-- Lock a walk for the transaction that ends it: whether it is still claimed, and how many ads are gone if it has ended
-- already.
select
    claimed_until is not null and token = %(token)s as is_claimed,
    case when finished_at is not null then coalesce(ads_gone, 0) end as ads_gone
from ops.listing_walks
where id = %(walk)s
for update;

-- name: count_page
-- Count a page in its walk; no row if another crawl took the make over.
update ops.listing_walks
set
    pages = %(pages)s,
    total = %(total)s,
    ads = %(ads)s,
    reason = %(reason)s,
    interruptions = 0
where
    id = %(walk)s
    and token = %(token)s
    and claimed_until is not null
returning id;

-- name: record_pieces
-- Record lists of a walk as they stand.
insert into ops.walk_pieces (
    walk_id, number, parent, model, region, state, sort_index, page, furthest, stale, steps_back, total, ads, newest,
    counted, counted_seen, is_cut
)
select -- noqa: LT09
    %(walk)s, piece.number, piece.parent, piece.model, piece.region, piece.state, piece.sort_index, piece.page,
    piece.furthest, piece.stale, piece.steps_back, piece.total, piece.ads, piece.newest, piece.counted,
    piece.counted_seen, piece.is_cut
from
    jsonb_to_recordset(%(pieces)s::jsonb) as piece (
        number integer,
        parent integer,
        model text,
        region text,
        state text,
        sort_index integer,
        page integer,
        furthest integer,
        stale integer,
        steps_back integer,
        total integer,
        ads integer,
        newest timestamptz,
        counted integer,
        counted_seen integer,
        is_cut boolean
    )
on conflict (walk_id, number) do update
    set
        state = excluded.state,
        sort_index = excluded.sort_index,
        page = excluded.page,
        furthest = excluded.furthest,
        stale = excluded.stale,
        steps_back = excluded.steps_back,
        total = excluded.total,
        ads = excluded.ads,
        newest = excluded.newest,
        counted = excluded.counted,
        counted_seen = excluded.counted_seen,
        is_cut = excluded.is_cut;

-- name: seen_by_walk
-- Those of these ads that a walk has seen, and the list that showed each last.
select
    ad_id,
    walk_piece
from listings
where
    source = %(source)s
    and ad_id = any(%(ad_ids)s::text[])
    and walk_id = %(walk)s;

-- name: known_parts
-- The models and regions that the walk of a make before this one found on the site, as far as they had ads.
select
    pieces.model,
    pieces.region
from ops.walk_pieces as pieces
where
    pieces.walk_id = (
        select max(walks.id)
        from ops.listing_walks as walks
        where
            walks.source = %(source)s
            and walks.make_slug = %(make)s
            and walks.is_complete
    )
    and pieces.total > 0
    and pieces.parent is not null
order by pieces.number;

-- name: see_listings
-- Update the timestamp of the unchanged ads of a page. Returns the unchanged ads: the others are new, changed or back.
-- Rows are locked in one order, as two crawls may see the same ads.
with seen as (
    select
        ads.id,
        page.walk_piece
    from listings as ads
    inner join
        unnest(%(ad_ids)s::text[], %(hashes)s::bytea[], %(pieces)s::integer[]) as page (ad_id, list_hash, walk_piece)
        on ads.ad_id = page.ad_id and ads.list_hash = page.list_hash
    where
        ads.source = %(source)s
        and ads.ad_id = any(%(ad_ids)s::text[]) -- again, for the index: without statistics the join reads all ads
        and ads.make_slug = any(%(makes)s::text[])
        and ads.removed_at is null
    order by ads.ad_id
    for no key update of ads
)

update listings as ads
set
    last_seen = now(),
    walk_id = coalesce(%(walk)s::bigint, ads.walk_id),
    walk_piece = coalesce(seen.walk_piece, ads.walk_piece)
from seen
where ads.id = seen.id
returning ads.ad_id;

-- name: record_listings
-- Record ads that are new, changed or back, as the list shows them; a trigger records their prices. Values from the
-- ad's own page that the list lacks are kept, except the price: a list without one means that there is none.
with page as (
    select ad.*
    from
        jsonb_to_recordset(%(ads)s::jsonb) as ad (
            ad_id text,
            make_slug text,
            url text,
            title text,
            make_text text,
            model_text text,
            price numeric,
            currency text,
            price_eur numeric,
            vat text,
            year smallint,
            month smallint,
            mileage_km integer,
            fuel text,
            gearbox text,
            body text,
            power_hp integer,
            engine_cc integer,
            colour text,
            euro_class smallint,
            region text,
            place text,
            seller_kind text,
            description text,
            equipment text[],
            photo_urls text[],
            photo_count integer,
            is_new boolean,
            promotion text,
            posted_at timestamptz,
            list_hash bytea,
            walk_piece integer
        )
),

removed as (
    select ads.ad_id
    from listings as ads
    inner join page on ads.ad_id = page.ad_id
    where
        ads.source = %(source)s
        and ads.removed_at is not null
),

recorded as (
    insert into listings as ads (
        source, ad_id, make_slug, url, title, make_text, model_text, price, currency, price_eur, vat, year, month,
        mileage_km, fuel, gearbox, body, power_hp, engine_cc, colour, euro_class, region, place, seller_kind,
        description, equipment, photo_urls, photo_count, is_new, promotion, posted_at, list_hash, walk_id, walk_piece
    )
    select -- noqa: LT09
        %(source)s, ad_id, make_slug, url, title, make_text, model_text, price, currency, price_eur, vat, year, month,
        mileage_km, fuel, gearbox, body, power_hp, engine_cc, colour, euro_class, region, place, seller_kind,
        description, equipment, photo_urls, photo_count, is_new, promotion, posted_at, list_hash, %(walk)s::bigint,
        walk_piece
    from page
    order by ad_id
    on conflict (source, ad_id) do update
        set
            make_slug = excluded.make_slug,
            url = excluded.url,
            title = excluded.title,
            make_text = coalesce(excluded.make_text, ads.make_text),
            model_text = coalesce(excluded.model_text, ads.model_text),
            price = excluded.price,
            currency = excluded.currency,
            price_eur = excluded.price_eur,
            vat = excluded.vat,
            year = coalesce(excluded.year, ads.year),
            month = coalesce(excluded.month, ads.month),
            mileage_km = coalesce(excluded.mileage_km, ads.mileage_km),
            fuel = coalesce(excluded.fuel, ads.fuel),
            gearbox = coalesce(excluded.gearbox, ads.gearbox),
            body = coalesce(excluded.body, ads.body),
            power_hp = coalesce(excluded.power_hp, ads.power_hp),
            engine_cc = coalesce(excluded.engine_cc, ads.engine_cc),
            colour = coalesce(excluded.colour, ads.colour),
            euro_class = coalesce(excluded.euro_class, ads.euro_class),
            region = coalesce(excluded.region, ads.region),
            place = coalesce(excluded.place, ads.place),
            seller_kind = coalesce(excluded.seller_kind, ads.seller_kind),
            description = coalesce(excluded.description, ads.description),
            equipment = case when excluded.equipment = '{}' then ads.equipment else excluded.equipment end,
            photo_urls = case when excluded.photo_urls = '{}' then ads.photo_urls else excluded.photo_urls end,
            photo_count = coalesce(excluded.photo_count, ads.photo_count),
            is_new = excluded.is_new,
            promotion = excluded.promotion,
            list_hash = excluded.list_hash,
            last_seen = now(),
            changed_at = now(),
            removed_at = null,
            walk_id = coalesce(excluded.walk_id, ads.walk_id),
            walk_piece = coalesce(excluded.walk_piece, ads.walk_piece)
        where -- another crawl may have recorded the same ad since the statement before
            ads.list_hash <> excluded.list_hash
            or ads.make_slug <> excluded.make_slug
            or ads.removed_at is not null
    returning ads.id, ads.ad_id, ads.xmax = 0 as is_new -- noqa: RF01
),

outcome as (
    select
        recorded.id,
        recorded.ad_id,
        case
            when recorded.is_new then 'new'
            when removed.ad_id is not null then 'back'
            else 'changed'
        end as change
    from recorded
    left join removed on recorded.ad_id = removed.ad_id
),

queued as (
    insert into ops.deal_outbox (listing_id, change)
    select
        id,
        change
    from outcome
    order by id
    on conflict (listing_id, stage) do update -- an ad that no stage has taken yet is still new
        set
            change = case
                when deal_outbox.change = 'new' then 'new'
                when excluded.change = 'changed' then deal_outbox.change
                else excluded.change
            end,
            queued_at = now()
)

select
    ad_id,
    change
from outcome;

-- name: known_listings
-- Which of these ads are active, and whether their own page was read since they changed.
select
    ad_id,
    coalesce(detailed_at >= changed_at, false) as is_detailed
from listings
where
    source = %(source)s
    and ad_id = any(%(ad_ids)s::text[])
    and removed_at is null;

-- name: record_detail
-- Record values of an ad's own page that the list lacks. Values of the list are kept.
with changed as (
    update listings
    set
        year = coalesce(year, %(year)s),
        month = coalesce(month, %(month)s),
        mileage_km = coalesce(mileage_km, %(mileage_km)s),
        fuel = coalesce(fuel, %(fuel)s),
        gearbox = coalesce(gearbox, %(gearbox)s),
        body = coalesce(body, %(body)s),
        power_hp = coalesce(power_hp, %(power_hp)s),
        engine_cc = coalesce(engine_cc, %(engine_cc)s),
        colour = coalesce(colour, %(colour)s),
        euro_class = coalesce(euro_class, %(euro_class)s),
        region = coalesce(region, %(region)s),
        place = coalesce(place, %(place)s),
        seller_kind = coalesce(seller_kind, %(seller_kind)s),
        vat = coalesce(vat, %(vat)s),
        price = coalesce(price_eur, %(price)s),
        currency = case when price_eur is null then %(currency)s else currency end,
        price_eur = coalesce(price_eur, %(price_eur)s),
        description = coalesce(%(description)s, description),
        equipment = case when %(equipment)s::text[] = '{}' then equipment else %(equipment)s::text[] end,
        photo_urls = case when %(photo_urls)s::text[] = '{}' then photo_urls else %(photo_urls)s::text[] end,
        detailed_at = now(),
        last_seen = now()
    where
        source = %(source)s
        and ad_id = %(ad_id)s
    returning id
)

insert into ops.deal_outbox (listing_id, change)
select
    id,
    'changed' as change
from changed
on conflict (listing_id, stage) do update
    set queued_at = now();

-- name: count_unseen
-- Count the active ads of a make, and those that this walk did not see.
select
    count(*) as active,
    count(*) filter (where last_seen < %(started_at)s) as unseen
from listings
where
    source = %(source)s
    and make_slug = %(make)s
    and removed_at is null;

-- name: last_complete_walk
-- The start of the complete walk before this one.
select max(started_at)
from ops.listing_walks
where
    source = %(source)s
    and make_slug = %(make)s
    and is_complete
    and id <> %(walk)s;

-- name: mark_gone
-- Mark the ads of a make gone that were not seen since then; of those not seen since the start of the walk also the
-- ones whose last list the walk has read again to its end, if `read_again` is the walk.
with gone as (
    update listings as ads
    set removed_at = now()
    where
        ads.source = %(source)s
        and ads.make_slug = %(make)s
        and ads.removed_at is null
        and (
            ads.last_seen < %(seen_before)s
            or (
                ads.last_seen < %(started_at)s
                and exists (
                    select
                    from ops.walk_pieces as before
                    inner join ops.walk_pieces as new
                        on
                            before.model is not distinct from new.model
                            and before.region is not distinct from new.region
                    where
                        before.walk_id = ads.walk_id
                        and before.number = ads.walk_piece
                        and new.walk_id = %(read_again)s
                        and new.state = 'read'
                        and not new.is_cut
                        and new.ads >= new.total
                )
            )
        )
    returning ads.id
)

insert into ops.deal_outbox (listing_id, change)
select
    id,
    'gone' as change
from gone
on conflict (listing_id, stage) do update
    set
        change = excluded.change,
        queued_at = now();

-- name: doubtful_ads
-- Active ads of a make that a walk did not see, and whose last list it has not read again to its end: the walk does not
-- know whether they are gone. The ones not seen for the longest time come first.
select
    ads.ad_id,
    ads.url,
    clock_timestamp() as asked_at
from listings as ads
where
    ads.source = %(source)s
    and ads.make_slug = %(make)s
    and ads.removed_at is null
    and ads.last_seen < %(started_at)s
    and not exists (
        select
        from ops.walk_pieces as before
        inner join ops.walk_pieces as new
            on
                before.model is not distinct from new.model
                and before.region is not distinct from new.region
        where
            before.walk_id = ads.walk_id
            and before.number = ads.walk_piece
            and new.walk_id = %(walk)s
            and new.state = 'read'
            and not new.is_cut
            and new.ads >= new.total
    )
order by ads.last_seen, ads.id
limit %(most)s;

-- name: end_walk
-- End a walk.
update ops.listing_walks
set
    finished_at = clock_timestamp(),
    is_complete = %(is_complete)s,
    reason = %(reason)s,
    ads_gone = %(gone)s,
    claimed_until = null
where id = %(walk)s;

-- name: forget_pieces
-- Delete the lists of the walks of a make that no active ad refers to: those before the last complete walk but one, and
-- of walks that ended more than a month ago.
delete from ops.walk_pieces as pieces
using ops.listing_walks as walks
where
    walks.id = pieces.walk_id
    and walks.source = %(source)s
    and walks.make_slug = %(make)s
    and walks.id <> %(walk)s
    and (
        walks.finished_at < clock_timestamp() - interval '30 days'
        or walks.id < (
            select max(complete.id)
            from ops.listing_walks as complete
            where
                complete.source = %(source)s
                and complete.make_slug = %(make)s
                and complete.is_complete
                and complete.id <> %(walk)s
        )
    );

-- name: walks_by_age
-- The end of the last complete walk by make, the ads that the site counted in it, and the start of a walk that is to be
-- continued.
select
    make_slug,
    max(finished_at) filter (where is_complete) as finished_at,
    (array_agg(total order by finished_at desc) filter (where is_complete))[1] as total,
    max(started_at) filter (
        where
        finished_at is null
        and reason is distinct from 'pages'
        and started_at > clock_timestamp() - %(hours)s * interval '1 hour'
    ) as open_since
from ops.listing_walks
where
    source = %(source)s
    and (is_complete or finished_at is null)
group by make_slug;

-- name: fill_rates
-- The share of the active ads seen in the last week in which a field has a value, for comparison with a page.
select
    count(*) as ads,
    count(price_eur)::float8 / nullif(count(*), 0) as price_eur,
    count(year)::float8 / nullif(count(*), 0) as year,
    count(mileage_km)::float8 / nullif(count(*), 0) as mileage_km,
    count(fuel)::float8 / nullif(count(*), 0) as fuel,
    count(gearbox)::float8 / nullif(count(*), 0) as gearbox,
    count(power_hp)::float8 / nullif(count(*), 0) as power_hp,
    count(region)::float8 / nullif(count(*), 0) as region,
    count(seller_kind)::float8 / nullif(count(*), 0) as seller_kind,
    count(description)::float8 / nullif(count(*), 0) as description,
    count(*) filter (where photo_urls <> '{}')::float8 / nullif(count(*), 0) as photo_urls
from listings
where
    source = %(source)s
    and removed_at is null
    and last_seen > now() - interval '7 days';
