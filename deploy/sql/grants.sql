-- The rights of each role: what its service needs, according to the statements in sql/queries, and no more. Run as a
-- superuser in the database of vinops, after its migrations; safe to run again. tests/integration/test_roles.py runs
-- each pipeline as its role.
begin;

do $$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format(
        'grant connect, temporary on database %I to vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_backup, vinops_web, vinops_watch',
        current_database()
    );
end
$$;

-- Rights of an earlier version go first.
revoke all on all tables in schema public, ops, audit, raw, staging
from vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_web, vinops_watch;
revoke all on all sequences in schema public, ops, audit, raw, staging
from vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_web, vinops_watch;

grant usage on schema public, ops, audit, raw, staging
to vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_web, vinops_watch;

-- All: is the schema current, what was the owner told, may this host be asked now.
grant select on _yoyo_migration
to vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_web, vinops_watch;
grant select, insert, update on ops.alerts, ops.host_budgets
to vinops_etl, vinops_photos, vinops_market, vinops_deals, vinops_ops, vinops_retention, vinops_watch;

-- The feed.
grant select on all tables in schema raw, staging, audit to vinops_etl;
grant select, insert, update on raw.csv_files, vehicles, lots to vinops_etl;
grant usage on all sequences in schema raw to vinops_etl;
grant insert, delete on staging.copart_raw, staging.placeholder_vins, staging.shared_vins to vinops_etl;
grant insert on audit.etl_runs, audit.lot_events, audit.rejected_rows to vinops_etl;
grant select on lot_board_source to vinops_etl;
grant select, insert, update, delete on lot_board to vinops_etl;
grant select, insert, update on lot_words to vinops_etl;

-- The photos.
grant select on lots, vehicles, photo_turns to vinops_photos;
grant select, insert, update on lot_photos to vinops_photos;
grant select, insert, update, delete on images to vinops_photos;
grant select, insert on photo_stores to vinops_photos;
grant usage on sequence lot_photos_token to vinops_photos;
grant select, insert, update on ops.crawl_runs to vinops_photos;
grant select, update on lot_board to vinops_photos; -- by a trigger, with the rights of who records a photo

-- The ads. Prices are noted by a trigger, with the rights of who changes a price.
grant select, insert, update on listings, ops.listing_walks, ops.deal_outbox, ops.crawl_runs to vinops_market;
grant select, insert, update, delete on ops.walk_pieces to vinops_market;
grant select, insert, update on ops.market_cycles, ops.rechecks to vinops_market;
grant select, insert on listing_prices to vinops_market;
grant select on scores, notifications to vinops_market; -- whose price is rechecked

-- The deals.
grant select on all tables in schema public to vinops_deals;
grant select on ops.listing_walks, ops.crawl_runs, ops.holds to vinops_deals;
grant insert, update, delete on normalized_listings, valuations, scores, notifications, model_demand to vinops_deals;
grant insert, update, delete on board, listing_words to vinops_deals;
grant insert, update, delete on market_months, market_prices, market_now, market_stays, market_state to vinops_deals;
grant insert, delete on listing_vins to vinops_deals;
grant select, insert, update, delete on ops.deal_outbox, ops.lot_outbox, ops.price_models to vinops_deals;
grant insert, update, delete on lot_values, lot_quotes, lot_floors, import_discounts, lot_results to vinops_deals;
grant insert, update, delete on lot_notifications to vinops_deals;
grant select, delete on ops.told_lots to vinops_deals;
grant select on audit.lot_events, audit.etl_runs to vinops_deals;
grant insert on exchange_rates to vinops_deals;
grant select, insert, update on ops.scheduled_tasks, ops.task_progress to vinops_deals;
grant insert, update, delete on watch_hits, watch_messages to vinops_deals;
grant select, insert, update on ops.telegram_pace to vinops_deals;
grant usage on all sequences in schema ops to vinops_deals;

-- The site: what pages of the board and of ads show. Photos of ads are requested within the budgets of their hosts.
grant select on exchange_rates to vinops_web;
grant select on board, listing_words, listings, listing_prices, normalized_listings, valuations, scores to vinops_web;
grant select on lot_board, lots, vehicles, lot_photos, images, photo_stores, audit.lot_events to vinops_web;
grant select on market_months, market_prices, market_now, market_stays, market_state to vinops_web;
grant select, insert, update on ops.host_budgets to vinops_web;
-- And of import deals; a result and a bid are noted there.
grant select on lot_values, lot_quotes, lot_floors, import_discounts, lot_results to vinops_web;
grant insert on lot_results to vinops_web;
grant select, insert, update, delete on lot_bids to vinops_web;
grant select on ops.users to vinops_web;
grant update (language, password_hash) on ops.users to vinops_web; -- the hash with newer parameters; never the role
grant select, insert, update, delete on ops.sign_ins, ops.sign_in_failures to vinops_web;
grant select, insert, delete on ad_stars, lot_stars to vinops_web;
grant select, insert on ad_statuses, ad_notes, lot_statuses, lot_notes to vinops_web;
-- The site: the VINs that ads name, and those that are none.
grant select on listing_vins, staging.placeholder_vins, staging.shared_vins to vinops_web;
-- The site: the snapshot of /ops, which it only reads.
grant select on board_source, lot_board_source, lot_words, notifications, audit.etl_runs, audit.v_parse_errors to vinops_web;
grant select on ops.crawl_runs, ops.alerts, ops.deal_outbox, ops.lot_outbox, ops.workers, ops.listing_walks,
ops.market_cycles, ops.task_progress, ops.price_models, ops.photo_coverage to vinops_web;

grant select, insert, update, delete on watch_people, watches, watch_hits to vinops_web;
grant select, insert, delete on watch_lots, watch_lot_keys to vinops_web;
grant select on watch_fits, watch_lot_fits, watch_messages to vinops_web;
grant select, insert, delete on ops.watch_invitations to vinops_web;

-- The bot: answers, and messages about the cars that watches find.
grant select on board, listing_words, listings, listing_prices, normalized_listings, valuations, scores to vinops_watch;
grant select on lots, vehicles, watch_fits, watch_message_ads to vinops_watch;
grant select on lot_board, lot_quotes, lot_values, lot_message_states, watch_lot_fits, listing_vins to vinops_watch;
grant select, insert, delete on watch_lots, watch_lot_keys to vinops_watch;
grant select, insert, update, delete on watch_people, watches, watch_hits, watch_messages, watch_drafts to vinops_watch;
grant usage on sequence watch_tokens to vinops_watch;
grant select, insert, update, delete on ops.watch_invitations, ops.watch_strangers to vinops_watch;
grant select, insert, update on ops.watch_updates, ops.telegram_pace to vinops_watch;

-- Who watches reads everything, and keeps its own memory.
grant select on all tables in schema public, ops, audit, raw, staging to vinops_ops;
grant insert, update on ops.workers to vinops_ops;
grant insert, delete on ops.worker_restarts to vinops_ops;
grant insert on ops.photo_coverage to vinops_ops;

-- What is too old goes.
grant select, delete on staging.copart_raw, audit.etl_runs, ops.crawl_runs to vinops_retention;
grant delete on ops.alerts to vinops_retention;
grant select, update on raw.csv_files to vinops_retention;
grant select, delete on audit.lot_events, images, staging.shared_vins to vinops_retention;
grant select, update, delete on lots, lot_photos to vinops_retention;
grant select, update, delete on lot_board to vinops_retention;
grant select, insert, update, delete on ops.photo_removals to vinops_retention;
grant select, update on listings to vinops_retention;
grant select, insert, update on ops.texts_masked to vinops_retention;

commit;
