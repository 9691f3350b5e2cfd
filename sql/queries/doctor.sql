-- The queries of `vinops doctor`.

-- name: server
-- The server as it is for this session.
select
    current_user as role_name,
    current_setting('server_version') as version,
    current_setting('server_version_num')::integer as version_number,
    pg_encoding_to_char(pg_database.encoding) as encoding,
    clock_timestamp() as now,
    has_database_privilege(pg_database.datname, 'create') as may_create_schemas,
    -- Whether each service has a role of its own, as deploy/sql/roles.sql makes them.
    starts_with(current_user, 'vinops_') or pg_get_userbyid(pg_database.datdba) = 'vinops_owner' as has_service_roles,
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

-- name: service_roles
-- The roles of deploy/sql/roles.sql: which of them are there, and what the two that are special may do.
select
    needed.role_name,
    pg_roles.oid is not null as is_there,
    coalesce(pg_roles.rolcreatedb, false) as may_create_databases,
    coalesce(pg_has_role(pg_roles.oid, 'pg_read_all_data', 'usage'), false) as may_read_all
from unnest(
    '{vinops_owner, vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, '
    'vinops_backup, vinops_node, vinops_web, vinops_watch}'::text[]
) as needed (role_name)
left join pg_roles on needed.role_name = pg_roles.rolname
order by needed.role_name;

-- name: service_rights
-- What each service needs of which table or sequence, and whether its role has it: `update (language)` is a right on
-- one column. A test holds this to what deploy/sql/grants.sql gives.
with needed (role_names, relations, rights) as (
    values
    (
        '{vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_node, '
        'vinops_watch}'::text[],
        '{ops.alerts, ops.host_budgets}'::text[],
        '{select, insert, update}'::text[]
    ),
    (
        '{vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_node, '
        'vinops_web, vinops_watch}',
        '{public._yoyo_migration}',
        '{select}'
    ),
    ('{vinops_etl}', '{raw.*, staging.*, audit.*}', '{select}'),
    ('{vinops_etl}', '{raw.csv_files, public.vehicles, public.lots}', '{select, insert, update}'),
    ('{vinops_etl}', '{raw.*}', '{usage}'),
    ('{vinops_etl}', '{staging.copart_raw, staging.placeholder_vins, staging.shared_vins}', '{insert, delete}'),
    ('{vinops_etl}', '{audit.etl_runs, audit.lot_events, audit.rejected_rows}', '{insert}'),
    ('{vinops_etl}', '{public.lot_board_source}', '{select}'),
    ('{vinops_etl}', '{public.lot_board}', '{select, insert, update, delete}'),
    ('{vinops_etl}', '{public.lot_words}', '{select, insert, update}'),
    ('{vinops_photos, vinops_node}', '{public.lots, public.vehicles, public.photo_turns}', '{select}'),
    ('{vinops_photos, vinops_node}', '{public.lot_board}', '{select, update}'),
    ('{vinops_photos, vinops_node}', '{public.lot_photos, ops.crawl_runs}', '{select, insert, update}'),
    ('{vinops_photos, vinops_node}', '{public.images}', '{select, insert, update, delete}'),
    ('{vinops_photos, vinops_node}', '{public.photo_stores}', '{select, insert}'),
    ('{vinops_photos, vinops_node}', '{public.lot_photos_token}', '{usage}'),
    (
        '{vinops_market, vinops_node}',
        '{public.listings, ops.listing_walks, ops.deal_outbox, ops.crawl_runs}',
        '{select, insert, update}'
    ),
    ('{vinops_market, vinops_node}', '{ops.walk_pieces}', '{select, insert, update, delete}'),
    ('{vinops_market, vinops_node}', '{ops.market_cycles, ops.rechecks}', '{select, insert, update}'),
    ('{vinops_market, vinops_node}', '{public.scores, public.notifications}', '{select}'),
    ('{vinops_market, vinops_node}', '{public.listing_prices}', '{select, insert}'),
    ('{vinops_deals}', '{public.*, ops.listing_walks, ops.crawl_runs, ops.holds}', '{select}'),
    (
        '{vinops_deals}',
        '{public.normalized_listings, public.valuations, public.scores, public.notifications, public.model_demand}',
        '{insert, update, delete}'
    ),
    ('{vinops_deals}', '{public.board, public.listing_words}', '{insert, update, delete}'),
    (
        '{vinops_deals}',
        '{public.market_months, public.market_prices, public.market_now, public.market_stays, public.market_state}',
        '{insert, update, delete}'
    ),
    (
        '{vinops_web}',
        '{public.market_months, public.market_prices, public.market_now, public.market_stays, public.market_state}',
        '{select}'
    ),
    ('{vinops_deals}', '{public.listing_vins}', '{insert, delete}'),
    ('{vinops_deals}', '{public.exchange_rates}', '{insert}'),
    ('{vinops_deals}', '{ops.deal_outbox, ops.lot_outbox, ops.price_models}', '{select, insert, update, delete}'),
    (
        '{vinops_deals}',
        '{public.lot_values, public.lot_quotes, public.lot_floors, public.import_discounts, public.lot_results}',
        '{insert, update, delete}'
    ),
    ('{vinops_deals}', '{public.lot_notifications}', '{insert, update, delete}'),
    ('{vinops_deals}', '{ops.told_lots}', '{select, delete}'),
    ('{vinops_deals}', '{audit.lot_events, audit.etl_runs}', '{select}'),
    ('{vinops_deals}', '{public.watch_hits, public.watch_messages}', '{insert, update, delete}'),
    ('{vinops_deals, vinops_watch}', '{ops.telegram_pace}', '{select, insert, update}'),
    ('{vinops_deals}', '{ops.scheduled_tasks, ops.task_progress}', '{select, insert, update}'),
    ('{vinops_deals}', '{ops.*}', '{usage}'),
    ('{vinops_ops}', '{public.*, ops.*, audit.*, raw.*, staging.*}', '{select}'),
    ('{vinops_ops}', '{ops.workers}', '{insert, update}'),
    ('{vinops_ops}', '{ops.worker_restarts}', '{insert, delete}'),
    ('{vinops_ops}', '{ops.photo_coverage}', '{insert}'),
    (
        '{vinops_web}',
        '{public.board, public.listing_words, public.listings, public.listing_prices, '
        'public.normalized_listings, public.valuations, public.scores}',
        '{select}'
    ),
    (
        '{vinops_web}',
        '{public.lot_board, public.lots, public.vehicles, public.lot_photos, public.images, audit.lot_events}',
        '{select}'
    ),
    ('{vinops_web}', '{public.exchange_rates}', '{select}'),
    (
        '{vinops_web}',
        '{public.lots, public.vehicles, public.lot_values, public.lot_quotes, public.lot_floors, '
        'public.import_discounts}',
        '{select}'
    ),
    ('{vinops_web}', '{public.lot_results}', '{select, insert}'),
    ('{vinops_web}', '{public.lot_bids}', '{select, insert, update, delete}'),
    ('{vinops_web}', '{ops.host_budgets}', '{select, insert, update}'),
    ('{vinops_web}', '{ops.users}', '{select, update (language), update (password_hash)}'),
    ('{vinops_web}', '{ops.sign_ins, ops.sign_in_failures}', '{select, insert, update, delete}'),
    ('{vinops_web}', '{public.ad_stars, public.lot_stars}', '{select, insert, delete}'),
    (
        '{vinops_web}',
        '{public.ad_statuses, public.ad_notes, public.lot_statuses, public.lot_notes}',
        '{select, insert}'
    ),
    (
        '{vinops_web}',
        '{public.lots, public.vehicles, public.images, public.lot_photos, public.photo_stores, public.listing_vins, '
        'audit.lot_events, staging.placeholder_vins, staging.shared_vins}',
        '{select}'
    ),
    (
        '{vinops_web}',
        '{public.board_source, public.lot_board_source, public.lot_words, public.notifications, audit.etl_runs, '
        'audit.v_parse_errors, ops.crawl_runs, ops.alerts, ops.deal_outbox, ops.lot_outbox, ops.workers, '
        'ops.listing_walks, ops.market_cycles, ops.task_progress, ops.price_models, ops.photo_coverage}',
        '{select}'
    ),
    (
        '{vinops_web}',
        '{public.watch_people, public.watches, public.watch_hits}',
        '{select, insert, update, delete}'
    ),
    ('{vinops_web}', '{ops.watch_invitations}', '{select, insert, delete}'),
    ('{vinops_web}', '{public.watch_fits, public.watch_lot_fits, public.watch_messages}', '{select}'),
    ('{vinops_web, vinops_watch}', '{public.watch_lots, public.watch_lot_keys}', '{select, insert, delete}'),
    (
        '{vinops_watch}',
        '{public.lot_board, public.lot_quotes, public.lot_values, public.lot_message_states, public.watch_lot_fits, '
        'public.listing_vins}',
        '{select}'
    ),
    (
        '{vinops_watch}',
        '{public.board, public.listing_words, public.listings, public.listing_prices, '
        'public.normalized_listings, public.valuations, public.scores, public.lots, public.vehicles, '
        'public.watch_fits, public.watch_message_ads}',
        '{select}'
    ),
    (
        '{vinops_watch}',
        '{public.watch_people, public.watches, public.watch_hits, public.watch_messages, public.watch_drafts, '
        'ops.watch_invitations, ops.watch_strangers}',
        '{select, insert, update, delete}'
    ),
    ('{vinops_watch}', '{public.watch_tokens}', '{usage}'),
    ('{vinops_watch}', '{ops.watch_updates}', '{select, insert, update}'),
    ('{vinops_retention}', '{staging.copart_raw, audit.etl_runs, ops.crawl_runs}', '{select, delete}'),
    ('{vinops_retention}', '{ops.alerts}', '{delete}'),
    ('{vinops_retention}', '{raw.csv_files}', '{select, update}'),
    ('{vinops_retention}', '{audit.lot_events, public.images, staging.shared_vins}', '{select, delete}'),
    ('{vinops_retention}', '{public.lots, public.lot_photos, public.lot_board}', '{select, update, delete}'),
    ('{vinops_retention}', '{ops.photo_removals}', '{select, insert, update, delete}'),
    ('{vinops_retention}', '{public.listings}', '{select, update}'),
    ('{vinops_retention}', '{ops.texts_masked}', '{select, insert, update}')
)

select distinct
    pg_roles.rolname::text as role_name,
    wanted.right_name,
    format('%s.%s', pg_namespace.nspname, pg_class.relname) as relation_name,
    has_schema_privilege(pg_roles.oid, pg_namespace.oid, 'usage')
    and case pg_class.relkind
        when 'S' then has_sequence_privilege(pg_roles.oid, pg_class.oid, wanted.right_name)
        else case
            when wanted.right_name like '% (%'
                then has_column_privilege(
                    pg_roles.oid,
                    pg_class.oid,
                    substring(wanted.right_name from '\((.*)\)'),
                    split_part(wanted.right_name, ' ', 1)
                )
            else has_table_privilege(pg_roles.oid, pg_class.oid, wanted.right_name)
        end
    end as is_held
from needed
inner join pg_roles on pg_roles.rolname = any(needed.role_names)
cross join unnest(needed.rights) as wanted (right_name)
inner join pg_namespace on pg_namespace.nspname in ('audit', 'ops', 'public', 'raw', 'staging')
inner join
    pg_class
    on
        pg_namespace.oid = pg_class.relnamespace
        and pg_class.relkind::text = any(case wanted.right_name when 'usage' then '{S}' else '{r, p, v}' end::text[])
        and (
            format('%s.%s', pg_namespace.nspname, pg_class.relname) = any(needed.relations)
            or pg_namespace.nspname || '.*' = any(needed.relations)
        )
order by role_name, relation_name, wanted.right_name;
