-- The roles of vinops: one for each service, with no rights of its own, and the owner, who migrates. Without passwords:
-- deploy-automation.sh sets those. Run as a superuser; safe to run again.
do $$
declare
    role_name text;
begin
    foreach role_name in array '{vinops_owner, vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_backup, vinops_node, vinops_web, vinops_watch}'::text[]
    loop
        if not exists (select 1 from pg_roles where rolname = role_name) then
            execute format('create role %I login nosuperuser nocreatedb nocreaterole', role_name);
        end if;
    end loop;
end
$$;

-- A backup is restored into a scratch database before it counts; a restored database is renamed, or replaces one that
-- nobody is connected to.
alter role vinops_backup createdb;
alter role vinops_owner createdb;
grant pg_read_all_data to vinops_backup;
-- A scrapyd node runs the crawls of both sides.
grant vinops_photos, vinops_market to vinops_node;
-- The site answers within two seconds or says that it cannot, and never keeps vacuum waiting.
alter role vinops_web set statement_timeout = '2s';
alter role vinops_web set idle_in_transaction_session_timeout = '10s';
-- Counts of connections and of rows written, of all sessions.
grant pg_read_all_stats to vinops_ops, vinops_owner;
