-- Personal alerts: what people watch for, what was found for them, and the messages about it.
-- depends: 0032_lot_quotes

-- One row a person or a group: a chat of Telegram, a person of the site, or both.
create table watch_people (
    id bigint generated always as identity primary key,
    chat_id bigint unique,
    user_id bigint unique references ops.users (id) on delete cascade,
    is_operator boolean not null default false,
    language text not null default 'bg' check (language in ('bg', 'en')),
    time_zone text not null default 'Europe/Sofia',
    is_silent boolean not null default false,
    quiet_from smallint check (quiet_from between 0 and 1439),
    quiet_to smallint check (quiet_to between 0 and 1439),
    is_quiet_silent boolean not null default false,
    digest_at smallint check (digest_at between 0 and 1439),
    digest_due timestamptz,
    paused_at timestamptz,
    paused_by text check (paused_by in ('person', 'blocked', 'account')),
    next_at timestamptz not null default '-infinity',
    created_at timestamptz not null default now(),
    check (num_nonnulls(chat_id, user_id) > 0 or is_operator),
    check ((quiet_from is null) = (quiet_to is null)),
    check ((paused_at is null) = (paused_by is null))
);

create unique index watch_people_operator on watch_people (is_operator) where is_operator;
create index watch_people_digest on watch_people (digest_due) where digest_due is not null;

comment on column watch_people.is_operator is 'the operator at this machine, whom the site knows without an account';
comment on column watch_people.quiet_from is 'minutes after midnight in time_zone; the quiet hours may cross midnight';
comment on column watch_people.is_quiet_silent is
'in quiet hours messages come without sound; else they are held for a digest at the end';
comment on column watch_people.digest_at is 'minutes after midnight: everything in one digest a day';
comment on column watch_people.digest_due is 'when what is held is sent as one digest; null: nothing is held';
comment on column watch_people.next_at is 'from when on Telegram may be called for this chat';

-- One row a watch: a filter of the market as in vinops/filters.py, and the text that was typed.
create table watches (
    id bigint generated always as identity primary key,
    person_id bigint not null references watch_people (id) on delete cascade,
    kind text not null default 'ad' check (kind in ('ad', 'lot', 'both')),
    typed text not null check (length(typed) <= 2000),
    version integer not null default 1,
    since timestamptz not null default clock_timestamp(),
    paused_at timestamptz,
    is_silent boolean not null default false,
    make text[] not null default '{}',
    family text[] not null default '{}',
    year_from integer,
    year_to integer,
    price_from numeric,
    price_to numeric,
    km_from integer,
    km_to integer,
    power_from integer,
    power_to integer,
    fuel text[] not null default '{}',
    gearbox text[] not null default '{}',
    body text[] not null default '{}',
    color text[] not null default '{}',
    region text[] not null default '{}',
    seller text[] not null default '{}',
    min_score numeric,
    below_market numeric,
    words text[] not null default '{}',
    words_not text[] not null default '{}',
    words_query tsquery,
    words_not_query tsquery,
    keys text[] not null generated always as (
        case
            when cardinality(family) > 0 then family
            when cardinality(make) > 0 then make
            else array['']
        end
    ) stored,
    created_at timestamptz not null default clock_timestamp()
);

create index watches_person on watches (person_id, id);
create index watches_keys on watches using gin (keys) with (fastupdate = off) where paused_at is null;

comment on column watches.typed is 'the text as it was typed, or the parameters of the board that it was saved from';
comment on column watches.version is 'one more at each edit of the filter: what an earlier one found is not told';
comment on column watches.since is 'only what comes after it is found: set when it is saved, edited or resumed';
comment on column watches.keys is 'what a car is looked up by: its family or its make; an empty text: any car';

create sequence watch_tokens;

-- One row a message to a person, or an edit of one. It is recorded before it is tried and settled after.
create table watch_messages (
    id bigint generated always as identity primary key,
    person_id bigint references watch_people (id) on delete cascade,
    chat_id bigint,
    kind text not null check (kind in ('reply', 'edit', 'hit', 'price', 'gone', 'digest')),
    state text not null default 'waiting' check (state in ('waiting', 'trying', 'sent', 'dropped', 'failed')),
    rank smallint not null,
    score numeric(3, 1),
    car text,
    listing_id bigint references listings (id) on delete cascade,
    lot_id bigint references lots (id) on delete cascade,
    watch_id bigint references watches (id) on delete set null,
    about_id bigint references watch_messages (id) on delete cascade,
    html text,
    buttons jsonb not null default '[]',
    is_silent boolean not null default false,
    price_eur numeric(12, 2),
    price_told numeric(12, 2),
    followed_at timestamptz,
    muted_at timestamptz,
    attempts smallint not null default 0,
    token bigint,
    tried_at timestamptz,
    next_try_at timestamptz not null default now(),
    message_id bigint,
    is_photo boolean,
    error text,
    created_at timestamptz not null default clock_timestamp(),
    settled_at timestamptz,
    check (num_nonnulls(person_id, chat_id) = 1),
    check ((kind = 'hit') = (car is not null)),
    check ((kind in ('price', 'gone')) = (about_id is not null))
);

create unique index watch_messages_car on watch_messages (person_id, car) where kind = 'hit';
create unique index watch_messages_change on watch_messages (about_id, kind) where state in ('waiting', 'trying');
create unique index watch_messages_digest on watch_messages (person_id)
where kind = 'digest' and state in ('waiting', 'trying');
create index watch_messages_next on watch_messages (rank, score desc nulls last, id) where state = 'waiting';
create index watch_messages_trying on watch_messages (tried_at) where state = 'trying';
create index watch_messages_person on watch_messages (person_id, message_id);
create index watch_messages_listing on watch_messages (listing_id) where listing_id is not null;
create index watch_messages_lot on watch_messages (lot_id) where lot_id is not null;
create index watch_messages_watch on watch_messages (watch_id, created_at) where watch_id is not null;
create index watch_messages_about on watch_messages (about_id) where about_id is not null;
create index watch_messages_settled on watch_messages (settled_at) where kind <> 'hit';

comment on column watch_messages.chat_id is 'of a chat that nobody has been invited in; else that of the person';
comment on column watch_messages.kind is
'reply: an answer; edit: another text for an earlier answer; hit: a car; price: a reply to it, the price came down; '
'gone: a change of it; digest: what was held';
comment on column watch_messages.rank is 'the order: 0 answers, 1 followed prices, 2 cars by score, 3 digests, 4 edits';
comment on column watch_messages.about_id is 'the message about the car that is answered or changed';
comment on column watch_messages.price_eur is 'the price that the message shows; null: gone, or none';
comment on column watch_messages.price_told is 'the lowest price that the person was told';
comment on column watch_messages.followed_at is 'the person follows the price';
comment on column watch_messages.muted_at is 'not this car';

-- One row a car that a watch has found.
create table watch_hits (
    id bigint generated always as identity primary key,
    watch_id bigint not null references watches (id) on delete cascade,
    car text not null,
    listing_id bigint references listings (id) on delete cascade,
    lot_id bigint references lots (id) on delete cascade,
    version integer not null,
    price_eur numeric(12, 2),
    score numeric(3, 1),
    found_at timestamptz not null default clock_timestamp(),
    dropped_at timestamptz,
    state text not null default 'new' check (state in ('new', 'known', 'told', 'held', 'digested', 'dropped')),
    digest_id bigint references watch_messages (id) on delete set null,
    unique (watch_id, car),
    check (num_nonnulls(listing_id, lot_id) = 1)
);

create index watch_hits_new on watch_hits (found_at) where state = 'new';
create index watch_hits_held on watch_hits (watch_id) where state = 'held';
create index watch_hits_found on watch_hits (watch_id, found_at desc);
create index watch_hits_listing on watch_hits (listing_id) where listing_id is not null;
create index watch_hits_lot on watch_hits (lot_id) where lot_id is not null;
create index watch_hits_digest on watch_hits (digest_id) where digest_id is not null;

comment on column watch_hits.car is 'the id of the first ad of the car; of lots `VIN …` or `lot …`';
comment on column watch_hits.version is 'the version of the watch that found it';
comment on column watch_hits.price_eur is 'the lowest price that it was found at';
comment on column watch_hits.state is
'new: to be told; known: it was there when the watch was saved; told: a message; held: for the next digest; '
'digested: in a digest; dropped: over before it was told';

-- Which advertised ads fit which watches: what vinops/board/writer.py asks of the board for one filter, for all of them
-- at once. An ad finds its watches by its family, its make, or with neither. Always asked for some ads or some watches.
create view watch_fits as
select
    board.listing_id,
    watches.id as watch_id,
    watches.version,
    watches.since,
    watches.price_to,
    watches.below_market as least_below,
    watches.min_score,
    board.price_eur,
    board.below_market,
    board.score,
    board.first_seen
from board
inner join watches on array_remove(array[board.family, board.make, ''], null) && watches.keys
inner join watch_people as people on watches.person_id = people.id
left join listing_words as said on board.listing_id = said.listing_id
where
    not board.is_gone
    and board.duplicate_of is null
    and watches.paused_at is null
    and people.paused_at is null
    and watches.kind in ('ad', 'both')
    and (watches.make = '{}' or board.make = any(watches.make))
    and (watches.family = '{}' or board.family = any(watches.family))
    and (watches.year_from is null or board.year >= watches.year_from)
    and (watches.year_to is null or board.year <= watches.year_to)
    and (watches.price_from is null or board.price_eur >= watches.price_from)
    and (watches.price_to is null or board.price_eur <= watches.price_to)
    and (watches.km_from is null or board.mileage_km >= watches.km_from)
    and (watches.km_to is null or board.mileage_km <= watches.km_to)
    and (watches.power_from is null or board.power_hp >= watches.power_from)
    and (watches.power_to is null or board.power_hp <= watches.power_to)
    and (watches.fuel = '{}' or board.fuel = any(watches.fuel))
    and (watches.gearbox = '{}' or board.gearbox = any(watches.gearbox))
    and (watches.body = '{}' or board.body = any(watches.body))
    and (watches.color = '{}' or board.color = any(watches.color))
    and (watches.region = '{}' or board.region = any(watches.region))
    and (watches.seller = '{}' or board.seller = any(watches.seller))
    and (watches.min_score is null or board.score >= watches.min_score)
    and (watches.below_market is null or board.below_market >= watches.below_market)
    and (watches.words_query is null or said.words @@ watches.words_query)
    and (watches.words_not_query is null or (said.words @@ watches.words_not_query) is not true);

comment on view watch_fits is 'whether an ad is new to a watch is not asked; a paused watch finds nothing';

-- One row a watch that somebody is about to save: what was typed, and what of it was chosen by buttons.
create table watch_drafts (
    id bigint generated always as identity primary key,
    person_id bigint not null references watch_people (id) on delete cascade,
    watch_id bigint references watches (id) on delete cascade,
    typed text not null check (length(typed) <= 2000),
    below_market numeric,
    created_at timestamptz not null default clock_timestamp()
);

create index watch_drafts_person on watch_drafts (person_id);
create index watch_drafts_watch on watch_drafts (watch_id) where watch_id is not null;
create index watch_drafts_created on watch_drafts (created_at);

comment on column watch_drafts.watch_id is 'the watch that it replaces; null: a new one';

-- One row an invitation that was not used: it lets one chat in.
create table ops.watch_invitations (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    user_id bigint references ops.users (id) on delete cascade,
    is_operator boolean not null default false,
    language text not null check (language in ('bg', 'en')),
    created_at timestamptz not null default now(),
    ends_at timestamptz not null
);

create index watch_invitations_end on ops.watch_invitations (ends_at);
create index watch_invitations_user on ops.watch_invitations (user_id) where user_id is not null;

comment on column ops.watch_invitations.token_hash is 'SHA-256 of the code';

-- One row a chat without an invitation that was told so: it is told again a day later.
create table ops.watch_strangers (
    chat_hash bytea primary key check (octet_length(chat_hash) = 32),
    told_at timestamptz not null default clock_timestamp()
);

create index watch_strangers_told on ops.watch_strangers (told_at);

-- One row a bot: the last update that was applied, in the transaction of its effect.
create table ops.watch_updates (
    bot_id bigint primary key,
    update_id bigint not null,
    applied_at timestamptz not null default clock_timestamp()
);

-- One row a bot: when Telegram may be called next, by all processes together.
create table ops.telegram_pace (
    bot_id bigint primary key,
    next_at timestamptz not null
);

alter table ops.deal_outbox
drop constraint deal_outbox_stage_check,
add constraint deal_outbox_stage_check check (stage in ('normalize', 'price', 'score', 'match'));
