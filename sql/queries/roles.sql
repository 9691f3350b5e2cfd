-- The roles of the embedded server. Those of a server of one's own are in deploy/sql.

-- name: make_reader
-- The role that `vinops sql` reads with: every table and what the server tells of itself, and nothing that is for a
-- superuser. Two that make it at once make it once.
do $$
begin
    if not exists (select 1 from pg_roles where rolname = 'vinops_reader') then
        create role vinops_reader login nosuperuser nocreatedb nocreaterole;
        grant pg_read_all_data, pg_monitor to vinops_reader;
    end if;
exception
    when duplicate_object or unique_violation then null;
end
$$;
