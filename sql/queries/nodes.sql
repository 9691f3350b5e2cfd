-- Scheduling over several scrapyd nodes.

-- name: lock_scheduling
-- One operator schedules at a time: between asking who runs and starting somebody nobody else does. Held until the
-- connection ends.
select pg_advisory_lock(hashtextextended('vinops nodes schedule', 0));
