-- Price models for cars that are asked for with fewer facts than an ad has.
-- depends: 0024_measured_by_time

-- A lot of an auction has no title in Bulgarian, no month and no power: a model that learned from ads without these
-- facts errs less on it than one that misses them.
alter table ops.price_models
    add column asked_for_as text not null default 'ad' check (asked_for_as in ('ad', 'lot'));

comment on column ops.price_models.asked_for_as is 'which facts of a car it is asked with: those of an ad, or of a lot';

insert into ops.scheduled_tasks (task)
values ('train_lots');
