-- What `vinops doctor` asks the database.

-- name: server
-- The server as it is for this session.
select
    current_user as role_name,
    current_setting('server_version') as version,
    current_setting('server_version_num')::integer as version_number,
    pg_encoding_to_char(pg_database.encoding) as encoding,
    clock_timestamp() as now,
    has_database_privilege(pg_database.datname, 'create') as may_create_schemas,
    pg_database_size(pg_database.datname) as bytes
from pg_database
where pg_database.datname = current_database();

-- name: forbidden_tables
-- Tables of ours that this role cannot read or write.
select format('%I.%I', pg_namespace.nspname, pg_class.relname) as table_name
from pg_class
inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
where
    pg_class.relkind in ('r', 'p')
    and pg_namespace.nspname in ('audit', 'ops', 'public', 'raw', 'staging')
    and not (
        has_schema_privilege(pg_namespace.oid, 'usage')
        and has_table_privilege(pg_class.oid, 'select')
        and has_table_privilege(pg_class.oid, 'insert')
        and has_table_privilege(pg_class.oid, 'update')
        and has_table_privilege(pg_class.oid, 'delete')
    )
order by table_name;
