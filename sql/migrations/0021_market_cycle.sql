-- The scheduled cycle of the market workers: which crawl reads the newest ads, and when the pages of single ads were
-- last read for their price.
-- depends: 0020_walk_pieces

-- One row a source: what its market workers share, on all machines.
create table ops.market_cycles (
    source text primary key,
    number bigint not null default 0,
    began_at timestamptz,
    claimed_by text,
    claimed_until timestamptz,
    pages integer not null default 0,
    finished_at timestamptz,
    reason text,
    complete_from timestamptz,
    newest_posted_at timestamptz,
    cut_short_at timestamptz,
    rechecked_at timestamptz,
    first_at timestamptz not null default clock_timestamp()
)
with (fillfactor = 50);

comment on table ops.market_cycles is 'the last pass over the newest ads of a source, and its last recheck';
comment on column ops.market_cycles.number is 'passes so far; the token of the one under way';
comment on column ops.market_cycles.claimed_by is 'the crawl: its machine, process and start';
comment on column ops.market_cycles.claimed_until is 'until then no other crawl begins a pass; null once it has ended';
comment on column ops.market_cycles.pages is 'pages of the pass that were recorded';
comment on column ops.market_cycles.reason is 'why the pass ended before it met known ads; null if it met some';
comment on column ops.market_cycles.complete_from is
'the beginning of the last pass that was read to its end';
comment on column ops.market_cycles.newest_posted_at is
'the newest ad that pass saw, by the clock of the site: the next one ends at ads that are no newer, and recorded';
comment on column ops.market_cycles.cut_short_at is
'when a pass last reached its bound or the last page of the site; the full walks find what was behind it';
comment on column ops.market_cycles.rechecked_at is 'when a crawl last took a recheck';
comment on column ops.market_cycles.first_at is 'when the first pass of all began';

-- One row an ad whose own page was requested for its price.
create table ops.rechecks (
    listing_id bigint primary key references listings (id) on delete cascade,
    checked_at timestamptz not null,
    outcome text
);

comment on column ops.rechecks.checked_at is 'when a crawl took it; no other one takes it until it is due again';
comment on column ops.rechecks.outcome is
'same, changed, deleted; null while it is under way, or if the page could not be read';

-- Which ads have a high score, approved or not: scores_best has those that are approved.
create index scores_high on scores (score);

comment on column listings.removed_at is
'when a walk of its whole list did not find it, or its own page said so; null while it is there';
