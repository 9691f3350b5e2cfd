-- The roles of the embedded server. Those of other servers are in deploy/sql.

-- name: make_web
-- Create the role of the site, with its limits; ops/roles.py gives it its rights. Two processes may run this at once.
do $$
begin
    if not exists (select 1 from pg_roles where rolname = 'vinops_web') then
        create role vinops_web login nosuperuser nocreatedb nocreaterole;
        alter role vinops_web set statement_timeout = '2s';
        alter role vinops_web set idle_in_transaction_session_timeout = '10s';
    end if;
exception
    when duplicate_object or unique_violation then null;
end
$$;

-- name: make_reader
-- Create the role that `vinops sql` reads with: it may read every table and the statistics of the server, and do
-- nothing that needs a superuser. Two processes may run this at once.
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
