-- Scheduling over several scrapyd nodes.

-- name: lock_scheduling
-- One operator schedules at a time: from the question which workers run until they are scheduled. Held until the
-- connection ends.
select pg_advisory_lock(hashtextextended('vinops nodes schedule', 0));
