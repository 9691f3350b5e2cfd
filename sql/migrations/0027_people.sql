-- The people who use the site: their names, how they sign in, and what they mark on ads.
-- depends: 0026_board

-- One row a person. A removed one stays, as the author of notes, without a password.
create table ops.users (
    id bigint generated always as identity primary key,
    name text not null check (name ~ '^[^[:space:][:cntrl:]]{1,40}$'),
    role text not null check (role in ('viewer', 'trader', 'operator')),
    password_hash text,
    language text check (language in ('bg', 'en')),
    created_at timestamptz not null default now(),
    removed_at timestamptz,
    check ((removed_at is null) = (password_hash is not null))
);

create unique index users_name on ops.users (lower(name)) where removed_at is null;

comment on column ops.users.password_hash is 'argon2id';
comment on column ops.users.language is 'null: as the browser asks';

-- One row a sign-in of a browser.
create table ops.sign_ins (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    user_id bigint references ops.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    used_at timestamptz not null default now(),
    ends_at timestamptz not null
);

create index sign_ins_user on ops.sign_ins (user_id);
create index sign_ins_end on ops.sign_ins (ends_at);

comment on column ops.sign_ins.token_hash is 'SHA-256 of the token in the cookie';
comment on column ops.sign_ins.user_id is 'null: the operator at this machine, by the one-time link of `vinops web`';
comment on column ops.sign_ins.used_at is 'when a page was last requested with it, to five minutes';
comment on column ops.sign_ins.ends_at is 'when it ends at the latest; without use it ends earlier';

-- One row a name, an address, or both: how many sign-ins have failed.
create table ops.sign_in_failures (
    subject_hash bytea primary key check (octet_length(subject_hash) = 32),
    failures integer not null,
    first_at timestamptz not null default now()
);

create index sign_in_failures_first on ops.sign_in_failures (first_at);

comment on column ops.sign_in_failures.failures is
'tries since first_at; a try counts as failed until it has succeeded';

-- One row an ad that a person has starred.
create table ad_stars (
    user_id bigint references ops.users (id) on delete cascade,
    listing_id bigint not null references listings (id) on delete cascade,
    starred_at timestamptz not null default now(),
    unique nulls not distinct (user_id, listing_id)
);

create index ad_stars_listing on ad_stars (listing_id);

-- One row a step in the life cycle of an ad here; the last one is where it stands. Rows are only added.
create table ad_statuses (
    id bigint generated always as identity primary key,
    listing_id bigint not null references listings (id) on delete cascade,
    user_id bigint references ops.users (id) on delete set null,
    status text not null check (status in ('none', 'seen', 'called', 'bought', 'rejected')),
    set_at timestamptz not null default now()
);

create index ad_statuses_listing on ad_statuses (listing_id, id desc);

comment on column ad_statuses.user_id is 'null: the operator at this machine';
comment on column ad_statuses.status is 'none: taken back';

-- One row a note on an ad. Rows are only added.
create table ad_notes (
    id bigint generated always as identity primary key,
    listing_id bigint not null references listings (id) on delete cascade,
    user_id bigint references ops.users (id) on delete set null,
    body text not null check (length(body) between 1 and 2000),
    written_at timestamptz not null default now()
);

create index ad_notes_listing on ad_notes (listing_id, id);
