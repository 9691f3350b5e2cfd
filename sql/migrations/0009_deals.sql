-- The deals: what an ad is in one vocabulary, what it is worth, how good a deal it is, and whom it was told.
-- depends: 0008_listings

-- From here on an ad is handed from stage to stage: a row is work of one stage on one ad. Whoever works holds a lease
-- with a token; a row that is queued again meanwhile has another queued_at, and outlives the work on what was before.
alter table ops.deal_outbox
    drop constraint deal_outbox_pkey,
    add column stage text not null default 'normalize' check (stage in ('normalize', 'price', 'score')),
    add column attempts smallint not null default 0,
    add column token bigint,
    add column leased_until timestamptz,
    add column rung_at timestamptz,
    add column retry_at timestamptz,
    add column error text,
    add column dead_at timestamptz,
    add constraint deal_outbox_pkey primary key (listing_id, stage),
    alter column queued_at set default clock_timestamp();

create index deal_outbox_stage on ops.deal_outbox (stage, attempts, queued_at) where dead_at is null;

create sequence ops.deal_tokens;

create function renew_deal_work() returns trigger language plpgsql as $$
begin
    new.attempts := 0;
    new.rung_at := null;
    new.retry_at := null;
    new.error := null;
    new.dead_at := null;
    return new;
end
$$;

create trigger deal_queued_again before update of queued_at on ops.deal_outbox
for each row when (new.queued_at <> old.queued_at) execute function renew_deal_work();

comment on column ops.deal_outbox.attempts is
'how often it was taken in hand; those that failed are taken few at a time';
comment on column ops.deal_outbox.token is 'who has it in hand; null: nobody';
comment on column ops.deal_outbox.rung_at is 'when the workers were last told of it';
comment on column ops.deal_outbox.error is 'why the last try failed';
comment on column ops.deal_outbox.dead_at is
'when it was given up; null: it is work. A change of the ad makes it work again';

-- One row an ad that has been looked at. Null is what the ad does not say, or what nobody knows.
create table normalized_listings (
    listing_id bigint primary key references listings (id) on delete cascade,
    make text,
    model text,
    family text,
    fuel text,
    gearbox text,
    body text,
    colour text,
    region text,
    year smallint,
    month smallint,
    mileage_km integer,
    power_hp integer,
    engine_cc integer,
    price_eur numeric(12, 2),
    price_problem text,
    risk text not null check (risk in ('low', 'medium', 'high')),
    risks jsonb not null default '[]',
    guesses jsonb not null default '[]',
    unknowns jsonb not null default '[]',
    duplicate_of bigint references listings (id) on delete set null,
    is_comparable boolean not null,
    normalized_at timestamptz not null default now()
);

create index normalized_listings_comparables on normalized_listings (model, year, mileage_km)
where is_comparable and duplicate_of is null;

create index normalized_listings_families on normalized_listings (family, year, mileage_km)
where is_comparable and duplicate_of is null;

create index normalized_listings_duplicates on normalized_listings (duplicate_of) where duplicate_of is not null;

create index normalized_listings_cars on normalized_listings (model, year, month, mileage_km);

comment on column normalized_listings.make is 'as in vinops/vehicles.toml';
comment on column normalized_listings.model is 'make and model as in vinops/vehicles.toml: «BMW 320»';
comment on column normalized_listings.family is
'make and family, for models that are one car with several engines: «BMW 3 Series»';
comment on column normalized_listings.price_eur is
'what a private buyer pays, tax included; null: no price, or none that is one';
comment on column normalized_listings.price_problem is
'why a number that stands in the ad is no price: placeholder, lease balance, deposit';
comment on column normalized_listings.risks is 'what to beware of: [{"flag", "level", "words"}]';
comment on column normalized_listings.guesses is 'what was taken for what: [{"field", "text", "value", "score"}]';
comment on column normalized_listings.unknowns is 'what nobody knows: [{"field", "text"}]';
comment on column normalized_listings.duplicate_of is 'the ad that showed the same car first';
comment on column normalized_listings.is_comparable is 'it says what other cars cost: priced, whole, sold as a car';

-- One row an ad that has been priced: what it is worth, and how that is known.
create table valuations (
    listing_id bigint primary key references listings (id) on delete cascade,
    p10 numeric(12, 2),
    p50 numeric(12, 2),
    p90 numeric(12, 2),
    comparables integer not null,
    confidence real not null check (confidence between 0 and 1),
    method text not null check (method in ('none', 'comparables', 'model', 'blend')),
    model_version bigint,
    details jsonb not null default '{}',
    valued_at timestamptz not null default now(),
    check ((method = 'none') = (p50 is null)),
    check (p10 <= p50 and p50 <= p90)
);

comment on column valuations.comparables is 'how many cars like it the estimate stands on';
comment on column valuations.details is 'how they were found: the step of relaxation, which they are';

-- The price models that were trained, newest last; `body` is what skops wrote, which runs no code when it is read.
create table ops.price_models (
    version bigint generated always as identity primary key,
    trained_at timestamptz not null default now(),
    ads integer not null,
    errors jsonb not null,
    is_used boolean not null,
    reason text not null,
    body bytea
);

comment on column ops.price_models.errors is 'measured on ads that it was not trained on, beside the comparables';
comment on column ops.price_models.is_used is 'it measured better than the comparables alone';
comment on column ops.price_models.reason is 'why it is used, or is not';
comment on column ops.price_models.body is 'null: a model that was not used, or that a newer one replaced';

-- How fast cars of a model go; made anew by a scheduled task.
create table model_demand (
    model text primary key,
    active integer not null,
    gone integer not null,
    median_days real,
    measured_at timestamptz not null default now()
);

comment on column model_demand.gone is 'ads that went in the last 30 days';
comment on column model_demand.median_days is 'how long those had been there';

-- One row an ad that has been scored.
create table scores (
    listing_id bigint primary key references listings (id) on delete cascade,
    score numeric(3, 1) not null check (score between 1 and 10),
    parts jsonb not null,
    reasons text[] not null,
    is_approved boolean not null,
    scored_at timestamptz not null default now()
);

create index scores_best on scores (score desc) where is_approved;

comment on column scores.parts is
'price, freshness, demand and risk, which add up to the score before it is cut to 1 to 10';
comment on column scores.is_approved is 'it is worth a message, as far as the settings say';

-- One row a message to the channel, or a change of one. It is recorded before it is tried and settled after.
create table notifications (
    id bigint generated always as identity primary key,
    listing_id bigint not null references listings (id) on delete cascade,
    kind text not null check (kind in ('deal', 'price', 'gone')),
    state text not null default 'waiting' check (state in ('waiting', 'trying', 'sent', 'dropped', 'failed')),
    score numeric(3, 1) not null,
    price_eur numeric(12, 2),
    attempts smallint not null default 0,
    token bigint,
    tried_at timestamptz,
    next_try_at timestamptz not null default now(),
    chat_id text,
    message_id bigint,
    is_photo boolean,
    is_dry_run boolean not null default false,
    error text,
    created_at timestamptz not null default now(),
    settled_at timestamptz
);

create unique index notifications_deal on notifications (listing_id) where kind = 'deal';

create unique index notifications_open on notifications (listing_id, kind) where state in ('waiting', 'trying');

create index notifications_best on notifications (kind, score desc, id) where state in ('waiting', 'trying');

create index notifications_sent on notifications (settled_at) where kind = 'deal' and state = 'sent';

comment on column notifications.kind is 'deal: a message of its own; price, gone: a change of it';
comment on column notifications.state is
'dropped: what it told of had passed before it was sent; failed: Telegram will never take it';
comment on column notifications.price_eur is 'the price that the message shows';
comment on column notifications.is_dry_run is 'there is no token or no channel: the message went to the log';
