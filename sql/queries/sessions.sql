-- Sessions of PostgreSQL, and what a pooler between it and vinops makes of them.

-- name: server_process
-- The process of the server that serves this session.
select pg_backend_pid();

-- name: settle
-- Apply settings to this session, for a pooler that does not pass on those of a connection's start.
select set_config(settled.name, settled.setting, false)
from unnest(%(names)s::text[], %(settings)s::text[]) as settled (name, setting);
