"""What must never be so in a market's tables, whenever a crawl dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

DRAINED = "create table drained as select '-infinity'::timestamptz as at"
"""The table with the time at which the outbox was last emptied."""

UNPROVEN = (
    "select ad_id from listings as l where removed_at is not null and not exists (select from ops.listing_walks"
    " as w where w.make_slug = l.make_slug and w.is_complete and w.started_at > l.last_seen)"
)
CHECKS = {
    "priced otherwise than its last price": (
        "select ad_id from listings as l where l.price_eur is distinct from (select p.price_eur from listing_prices"
        " as p where p.listing_id = l.id order by seen_at desc limit 1)"
    ),
    "with one price noted twice": (
        "select listing_id from (select listing_id, price_eur is not distinct from lag(price_eur) over ads and"
        " row_number() over ads > 1 as is_same from listing_prices window ads as (partition by listing_id order by"
        " seen_at)) as prices where is_same"
    ),
    "not handed on": (
        "select ad_id from listings as l where not exists (select from ops.deal_outbox where listing_id = l.id) and"
        " greatest(changed_at, removed_at) > (select at from drained)"
    ),
    "walks with half an end": "select id from ops.listing_walks where (finished_at is null) <> (is_complete is null)",
    "makes that a dead crawl holds longer than its claim": (
        "select make_slug from ops.listing_walks where claimed_until > now() + interval '2 minutes'"
    ),
    "passes over the newest ads with half an end": (
        "select source from ops.market_cycles where finished_at is not null and claimed_until is not null"
    ),
}


def faults_of_remains(
    rows: Callable[[str], Sequence[tuple[Any, ...]]], there: Collection[str], asked: Collection[str] = ()
) -> list[str]:
    """Return what is wrong in the tables, which `rows` reads, while these ads are `there`: none of them ever left.

    The own pages of those `asked` for were requested: such a page says without a walk that its ad is gone.
    """
    gone = {ad_id for (ad_id,) in rows("select ad_id from listings where removed_at is not null")}
    faults = [f"{len(wrong)} ads are taken for gone and are there"] if (wrong := gone & {*there}) else []
    if unproven := {ad_id for (ad_id,) in rows(UNPROVEN)} - {*asked}:
        faults.append(f"{len(unproven)} gone without a complete walk that did not see it")
    return [*faults, *(f"{len(found)} {name}" for name, query in CHECKS.items() if (found := rows(query)))]
