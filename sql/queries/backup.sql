-- Backups: the contents of a database, and the scratch databases in which backups are verified.

-- name: settle_session
-- Turn off all time limits, make the rows of all owners visible, and fix the text form of values whatever the settings
-- of the role. Settings that this version of the server does not have are left out.
select set_config(settled.name, settled.value, false)
from (
    values
    ('bytea_output', 'hex'),
    ('datestyle', 'ISO, YMD'),
    ('extra_float_digits', '1'),
    ('idle_in_transaction_session_timeout', '0'),
    ('intervalstyle', 'postgres'),
    ('lc_monetary', 'C'),
    ('lock_timeout', '0'),
    ('row_security', 'off'),
    ('search_path', ''),
    ('statement_timeout', '0'),
    ('timezone', 'UTC'),
    ('transaction_timeout', '0')
) as settled (name, value)
inner join pg_settings on settled.name = lower(pg_settings.name);

-- name: clock
-- The time by the database's clock.
select clock_timestamp() as at;

-- name: export_snapshot
-- Export the snapshot of this transaction, for pg_dump to use.
select pg_export_snapshot();

-- name: content_statements
-- A statement for each table that counts its rows and sums a hash of each, independent of their order. The hash is that
-- of hash-partitioned tables, which is the same in all versions.
select
    format('%I.%I', pg_namespace.nspname, pg_class.relname) as table_name,
    format(
        'select count(*), coalesce(sum(hashtextextended((each.*)::text, 0)), 0)::text from only %I.%I as each',
        pg_namespace.nspname,
        pg_class.relname
    ) as statement
from pg_class
inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
where
    pg_class.relkind = 'r'
    and pg_class.relpersistence <> 't'
    and pg_namespace.nspname <> 'information_schema'
    and pg_namespace.nspname !~ '^pg_'
    and not exists (
        select 1
        from pg_depend
        where
            pg_depend.classid = 'pg_class'::regclass
            and pg_depend.objid = pg_class.oid
            and pg_depend.deptype = 'e'
    )
order by table_name;

-- name: expected_rows
-- The rows of all tables as the planner estimates them: from the size of each, and the density of its pages when it was
-- last analyzed.
select
    coalesce(
        sum(
            greatest(pg_class.reltuples, 0) / nullif(pg_class.relpages, 0)
            * (pg_relation_size(pg_class.oid) / current_setting('block_size')::integer)
        ),
        0
    ) as rows
from pg_class
inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
where
    pg_class.relkind = 'r'
    and pg_class.relpersistence <> 't'
    and pg_namespace.nspname <> 'information_schema'
    and pg_namespace.nspname !~ '^pg_'
    and format('%%I.%%I', pg_namespace.nspname, pg_class.relname) <> all(%(skip)s::text[]);

-- name: sequences
-- The last values of the sequences. They advance outside of transactions: in a dump they are these, or later ones.
select
    last_value,
    format('%I.%I', schemaname, sequencename) as sequence_name
from pg_sequences
where
    schemaname <> 'information_schema'
    and schemaname !~ '^pg_'
    and last_value is not null
order by sequence_name;

-- name: database_facts
-- Facts of the database for the sidecar of a backup.
select
    pg_database.datname as database_name,
    pg_encoding_to_char(pg_database.encoding) as encoding,
    current_setting('server_version') as server_version,
    to_regclass('public._yoyo_migration') is not null as has_migrations
from pg_database
where pg_database.datname = current_database();

-- name: migrations
-- The migrations that were applied.
select migration_id
from public._yoyo_migration
order by migration_id;

-- name: may_create_databases
-- Whether this role may create and rename databases, and its name.
select
    rolname,
    rolcreatedb or rolsuper as may
from pg_roles
where rolname = current_user;

-- name: scratch_databases
-- The scratch databases of backups and restores.
select datname
from pg_database
where datname like 'vinops\_scratch\_%'
order by datname;

-- name: has_database
-- Whether there is a database of this name.
select count(*) > 0 as is_there
from pg_database
where datname = %(database)s;

-- name: connected
-- The programs connected to a database, by their application names, without this session.
select coalesce(nullif(application_name, ''), 'a program without a name') as program
from pg_stat_activity
where
    datname = %(database)s
    and pid <> pg_backend_pid()
    and backend_type = 'client backend'
order by program;

-- name: create_statement
-- The statement that creates an empty database in this encoding.
select format('create database %%I template template0 encoding %%L', %(database)s::text, %(encoding)s::text);

-- name: drop_statement
-- The statement that drops a database without connections.
select format('drop database if exists %%I', %(database)s::text);

-- name: force_drop_statement
-- The statement that drops a database, ending its connections.
select format('drop database if exists %%I with (force)', %(database)s::text);

-- name: rename_statement
-- The statement that renames a database.
select format('alter database %%I rename to %%I', %(database)s::text, %(new_name)s::text);

-- name: lock_scratch
-- Lock the scratch databases: one process at a time creates one or drops those that were left.
select pg_advisory_lock(%(lock)s);

-- name: unlock_scratch
-- Release the lock of the scratch databases.
select pg_advisory_unlock(%(lock)s);

-- name: analyze
-- Collect the planner's statistics, which are not in a dump.
analyze;
