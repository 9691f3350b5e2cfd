-- What Celery's workers have done, and when: a worker that takes no tasks is known by it, and what is done by the clock
-- is made up for when its time passed.
-- depends: 0013_posting_holds

-- Tasks that are done by the clock. The time of one that was never done counts from here.
create table ops.scheduled_tasks (
    task text primary key,
    done_at timestamptz not null default clock_timestamp(),
    rung_at timestamptz
);

comment on column ops.scheduled_tasks.done_at is 'when it was last done to its end';
comment on column ops.scheduled_tasks.rung_at is 'when a worker was last told to do it; null once it is done';

insert into ops.scheduled_tasks (task)
values ('demand'), ('train'), ('rescore');

-- When a worker of a machine last did a task to its end, to ten seconds.
create table ops.task_progress (
    machine text primary key,
    done_at timestamptz not null,
    task text not null
);

comment on column ops.workers.worker is '1 to 4, or photos; celery_worker, celery_beat';
