"""The ranking of lots as people read it, and a lot with its itemised quote."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

from deals.channel.lots import SOON
from deals.landed import quote as itemised
from deals.landed.money import NOTHING
from deals.stages import quote as stage
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from deals.landed.itemised import Quote, QuoteLine
    from deals.landed.lot import Rates
    from deals.landed.profiles import Profile
    from deals.lots.terms import Terms
    from deals.stages.quote import Quoted

ASSUMPTIONS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What lots are asked for; None asks for nothing. Dollars; model is a model or a family, with its make."""

    make: str | None = None
    model: str | None = None
    fuel: str | None = None
    from_year: int | None = None
    to_year: int | None = None
    max_bid: int | None = None
    state: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A lot, what speaks against it, what its car is worth, and its quote at `bid`; no quote without a value or a rate.

    `facts` is the row of lot_sheet. `bid_kind` is buy now, floor, typed, or most: the most one may bid. `assumptions`
    are the assumed lines of the quote that weigh most.
    """

    facts: Mapping[str, Any]
    blockers: Sequence[Mapping[str, str]]
    bid: int | None = None
    bid_kind: str | None = None
    quoted: Quoted | None = None
    quote: Quote | None = None
    by: Profile | None = None
    rates: Rates | None = None
    assumptions: Sequence[QuoteLine] = ()


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a list: the figure that it is ordered by, descending, and the id of the lot."""

    value: int
    lot_id: int

    @property
    def key(self) -> tuple[int, int]:
        """What places are ordered by."""
        return -self.value, self.lot_id


def top(
    connection: Connection[Any],
    wanted: Wanted,
    limit: int,
    *,
    by_profit: bool,
    sale_after: datetime | None = None,
    after: Place | None = None,
    without: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """Return the best lots by the careful profit at a price to count with, or those without one by the most one may
    bid, as the stored quotes have it: from behind a place on, but for the lots `without`. None is blocked, and none is
    sold before `sale_after`, by default within two hours. deals.offers.lists knows typed bids and other profiles."""
    name = "top_by_profit" if by_profit else "top_by_bid"
    about = {**asdict(wanted), "limit": limit, "sale_after": sale_after or datetime.now(UTC) + SOON}
    about |= {"after": after and after.value, "after_id": after.lot_id if after else 0, "without": list(without)}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries("imports")[name], about).fetchall()


def sheet(connection: Connection[Any], lot: int, by: Terms, *, bid: int | None = None) -> Sheet | None:
    """Return a lot of the auction by its number, quoted by these terms at a bid, by default at the price to count with
    or at the most one may bid; None if there is none. Writes nothing."""
    with connection.cursor(row_factory=dict_row) as cursor:
        facts = cursor.execute(queries("imports")["lot_sheet"], {"lot": lot}).fetchone()
    if facts is None:
        return None
    blockers = [*facts["blockers"], *_of_the_clock(facts)]
    found = Sheet(facts=facts, blockers=blockers, by=by.profile, rates=by.rates)
    batch = stage.read_by(connection, [facts["lot_id"]], by)
    if facts["p50"] is None or by.rates is None:
        return found
    if bid is not None:
        batch = replace(batch, typed={facts["lot_id"]: bid})
    (quoted,) = stage.work(batch)
    at = next((each for each in (quoted.bid_usd, bid, quoted.most_bid_usd) if each is not None), 0)
    quote = itemised.quote(stage.costed_of(batch.lots[0]), at, by.profile, by.tariffs, by.rates)
    return replace(
        found,
        bid=at,
        bid_kind=quoted.bid_kind or ("typed" if bid is not None else "most"),
        quoted=quoted,
        quote=quote,
        assumptions=assumptions(quote),
    )


def assumptions(quote: Quote) -> list[QuoteLine]:
    """Return the assumed lines of a quote that weigh most."""
    assumed = [line for line in quote.lines if line.kind == "assumed" and line.eur]
    return sorted(assumed, key=lambda line: -abs(line.eur or NOTHING))[:ASSUMPTIONS]


def comparables(connection: Connection[Any], found: Sheet) -> list[dict[str, Any]]:
    """Return the ads that a lot's value was made of, the nearest first, with their links."""
    details = found.facts["details"] or {}
    about = {"listing_ids": details.get("comparables", [])}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries("imports")["shown_ads"], about).fetchall()


def _of_the_clock(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    if facts["status"] != "active":
        return [{"name": "gone", "reason": "the lot left the feed"}]
    if facts["sale_at"] is not None and facts["sale_at"] < datetime.now(UTC) + SOON:
        return [{"name": "sale soon", "reason": "the sale begins in less than two hours, or has begun"}]
    return []
