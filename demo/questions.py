"""The operators' questions, each with the query that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Question:
    """A question and its query; `is_wide` prints its rows with one column per line."""

    why: str
    statement: str
    is_wide: bool = False


FEED: Final = (
    Question(
        "Which files came, and what did they bring?",
        "SELECT * FROM audit.v_ingest_count ORDER BY last_ingest DESC LIMIT 10",
        is_wide=True,
    ),
    Question("How much is not known? The worst ten of all columns:", "SELECT * FROM audit.v_unknown_rate LIMIT 10"),
    Question(
        "What could not be read? Broken rows, and values without a meaning:",
        "SELECT kind, name, errors, left(example, 28) AS example FROM audit.v_all_parse_errors",
    ),
    Question(
        "How much is staged? The rows that were new or changed, as they came:",
        "SELECT MAX(ingested_at), COUNT(*) FROM staging.copart_raw",
    ),
    Question(
        "What happened to one lot? The one with the most events:",
        "SELECT lot_external_id AS lot, event, old_value, new_value "
        "FROM audit.lot_events AS e JOIN lots ON lots.id = e.lot_id "
        "WHERE e.lot_id = (SELECT lot_id FROM audit.lot_events GROUP BY lot_id ORDER BY COUNT(*) DESC, lot_id LIMIT 1) "
        "ORDER BY e.id",
    ),
    Question(
        "Which lots left the feed? They were not necessarily sold:",
        "SELECT lot_external_id AS lot, vin, sale_date, gone_at FROM lots WHERE status='gone' ORDER BY id LIMIT 5",
    ),
)
PHOTOS: Final = (
    Question(
        "How complete are the photos of the active lots?",
        "SELECT state, lots, share, listed, stored FROM audit.v_photo_coverage",
    ),
    Question(
        "How many lots have photos, and which came last?",
        "SELECT COUNT(DISTINCT lot_id) FROM images WHERE lot_id IS NOT NULL",
    ),
    Question("", "SELECT vin, lot_id, seq, bytes, created_at FROM images ORDER BY created_at DESC LIMIT 5"),
    Question(
        "How many active lots have no photos yet?",
        "SELECT COUNT(*) FROM lots WHERE status='active' "
        "AND id NOT IN (SELECT DISTINCT lot_id FROM images WHERE lot_id IS NOT NULL)",
    ),
    Question(
        "What did the crawls do?",
        "SELECT spider, done, total, items AS photos, bytes, refusals, reason FROM ops.crawl_runs ORDER BY id",
    ),
)
MARKET: Final = (
    Question(
        "Which ads are active, and how many are new or gone?",
        "SELECT make_slug, active, without_price, mean_eur, new_in_a_day, gone_in_a_day FROM audit.v_market",
    ),
    Question(
        "Which price changed last, and how?",
        "SELECT left(title, 36) AS title, array_agg(p.price_eur ORDER BY seen_at) AS prices FROM listings AS l "
        "JOIN listing_prices AS p ON l.id = p.listing_id GROUP BY l.id HAVING count(*) > 1 "
        "ORDER BY max(seen_at) DESC, l.id LIMIT 3",
    ),
    Question(
        "Which changes were passed on to the deals pipeline?",
        "SELECT change, count(*) FROM ops.deal_outbox GROUP BY change ORDER BY change",
    ),
)
