-- A message that Telegram refused waits until another message shows whose fault that is.
-- depends: 0011_feed_repairs

alter table notifications
add column refusals integer not null default 0,
add column is_suspect boolean not null default false,
add column proofs smallint not null default 0;

comment on column notifications.refusals is 'how often Telegram refused the message while it waited';
comment on column notifications.is_suspect is 'Telegram refused the message, and has taken none since';
comment on column notifications.proofs is 'how often Telegram took another message after it had refused this one';
