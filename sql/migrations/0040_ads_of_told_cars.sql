-- The ads of the cars that people were told of: a car that is put up again, or a second time, for less got cheaper.
-- depends: 0039_watch_lots

create index watch_hits_car on watch_hits (car);

create view watch_message_ads as
select
    messages.id as message_id,
    messages.listing_id
from watch_messages as messages
where
    messages.kind = 'hit'
    and messages.listing_id is not null
union all
select
    messages.id as message_id,
    others.listing_id
from watch_messages as messages
inner join normalized_listings as others on messages.listing_id = others.duplicate_of
where messages.kind = 'hit'
union all
select
    messages.id as message_id,
    own.duplicate_of as listing_id
from watch_messages as messages
inner join normalized_listings as own on messages.listing_id = own.listing_id
where
    messages.kind = 'hit'
    and own.duplicate_of is not null
union all
select
    messages.id as message_id,
    hits.listing_id
from watch_messages as messages
inner join watch_hits as hits on messages.car = hits.car
where
    messages.kind = 'hit'
    and hits.listing_id <> messages.listing_id
    -- As a join it would read all that the watches of the person have found.
    and messages.person_id = (
        select watches.person_id
        from watches
        where watches.id = hits.watch_id
    );

comment on view watch_message_ads is
'the ad of a message about a car, those that show the same car beside it, and the one in which it was put up again; '
'an ad may be there twice; always asked for some messages or some ads';
