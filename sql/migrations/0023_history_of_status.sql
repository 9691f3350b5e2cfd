-- Status, health, monitor and metrics take what they show of lots, photos and ads from indexes of what is active, or of
-- what lacks a value: neither the rows of the history nor those of all active lots are read.
-- depends: 0022_photo_passes

-- With what counts of active lots need; neither column changes with a bid.
drop index lots_active;
create index lots_active on lots (id) include (vehicle_id, first_seen_at) where status = 'active';

-- Key columns without a value, as the snapshot's query unknown_rate counts them.
create index lots_incomplete on lots (id)
where status = 'active' and (vin is null or damage is null or image_url is null);
create index vehicles_incomplete on vehicles (id) include (year, make, model, fuel)
where year is null or make is null or model is null or fuel is null;

-- The order in which deals are shown; the approved ones come first.
drop index scores_best;
create index scores_best on scores (is_approved desc, score desc, listing_id desc);

-- Ads with words that the vocabulary does not have.
create index normalized_listings_unknowns on normalized_listings (listing_id) where unknowns <> '[]';

-- Active ads, to look up what is known of each.
create index listings_there on listings (id) where removed_at is null;
