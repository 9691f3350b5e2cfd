-- Sessions of PostgreSQL through a pooler.

-- name: settle
-- Apply settings to this session, for a pooler that does not pass on those of a connection's start.
select set_config(settled.name, settled.setting, false)
from unnest(%(names)s::text[], %(settings)s::text[]) as settled (name, setting);
