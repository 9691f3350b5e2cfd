"""Queues messages: for what watches have found, for prices that came down, and for ads that are gone.

A hit becomes a message at once, or is held for the next digest: in quiet hours, for who wants a digest a day, above the
limit of its watch, when it is late, and after an outage. One digest is better than a flood.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

from deals.watches import clock
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import Connection

BATCH: Final = 500
MOST_A_DAY: Final = 20  # messages of a watch
LATE: Final = 6 * 3600.0  # seconds after which a hit that nobody was told is old news: a digest is enough
OUTAGE: Final = 6 * 3600.0  # seconds without a new ad on the market
RECENT: Final = 3600.0  # seconds after an outage in which what it held up is found
MORNING: Final = 8 * 60 + 30  # when a digest comes that no other time is set for


def queue_hits(connection: Connection[Any]) -> int:
    """Queue messages for the oldest hits, or hold them, and return how many hits that were.

    All in one transaction: if the process dies in it, nothing has happened. It depends only on what is stored.
    """
    statements = queries("watch_sending")
    with connection.transaction():
        with connection.cursor(row_factory=dict_row) as cursor:
            hits = cursor.execute(statements["new_hits"], {"limit": BATCH, "late": LATE}).fetchall()
        if not hits:
            return 0
        row = connection.execute(statements["after_outage"], {"outage": OUTAGE, "recent": RECENT}).fetchone()
        is_after_outage = bool(row and row[0])
        now = clock.now()
        states: list[str] = []
        told: list[dict[str, Any]] = []
        dues: dict[int, datetime] = {}
        known: set[tuple[int, str]] = set()
        by_vin = _by_vin(connection, [hit["id"] for hit in hits])
        caused: Counter[int] = Counter()
        for hit in hits:
            vin, is_told = by_vin.get(hit["id"], ("", False))
            key = (hit["person_id"], vin or hit["car"])
            if not hit["is_wanted"]:
                states.append("dropped")
            elif hit["is_known"] or is_told or key in known:
                states.append("told")
            elif due := _held_until(hit, now, caused[hit["watch_id"]], is_after_outage=is_after_outage):
                states.append("held")
                known.add(key)
                dues[hit["person_id"]] = min(due, dues.get(hit["person_id"], due))
            else:
                states.append("told")
                known.add(key)
                caused[hit["watch_id"]] += 1
                told.append(hit)
        _add(connection, told)
        held = {"person_ids": list(dues), "dues": list(dues.values())}
        connection.execute(statements["hold_digests"], held)
        connection.execute(statements["settle_hits"], {"ids": [hit["id"] for hit in hits], "states": states})
    return len(hits)


def _by_vin(connection: Connection[Any], hit_ids: Sequence[int]) -> dict[int, tuple[str, bool]]:
    """Return for hits of cars that are advertised and auctioned under one VIN what the car is called by it, and whether
    the person was told of it as the other."""
    rows = connection.execute(queries("watch_lots")["told_by_vin"], {"ids": list(hit_ids)}).fetchall()
    found: dict[int, tuple[str, bool]] = {}
    for hit_id, car, is_known in rows:  # an ad may name several
        found[hit_id] = (car, is_known or found.get(hit_id, ("", False))[1])
    return found


def _held_until(hit: dict[str, Any], now: datetime, caused: int, *, is_after_outage: bool) -> datetime | None:
    """Return when the digest with a hit is due; None if it is told at once."""
    zone = hit["time_zone"]
    if hit["digest_at"] is not None:
        return clock.next_time(now, zone, hit["digest_at"])
    is_quiet = clock.is_quiet(now, zone, hit["quiet_from"], hit["quiet_to"])
    if is_quiet and not hit["is_quiet_silent"]:
        return clock.next_time(now, zone, hit["quiet_to"])
    if hit["today"] + caused >= MOST_A_DAY:
        end = clock.next_time(now, zone, 0)  # of the day
        return clock.next_time(end, zone, MORNING)
    if is_after_outage:
        return clock.after(now, RECENT)
    return now if hit["is_late"] else None


def _add(connection: Connection[Any], told: Sequence[dict[str, Any]]) -> None:
    if told:
        values = {
            "person_ids": [hit["person_id"] for hit in told],
            "cars": [hit["car"] for hit in told],
            "listing_ids": [hit["listing_id"] for hit in told],
            "lot_ids": [hit["lot_id"] for hit in told],
            "watch_ids": [hit["watch_id"] for hit in told],
            "scores": [hit["score"] for hit in told],
            "prices": [hit["price_eur"] for hit in told],
        }
        connection.execute(queries("watch_sending")["add_hit_messages"], values)


def queue_digests(connection: Connection[Any]) -> int:
    """Queue the digests that are due, in one statement, and return how many."""
    return connection.execute(queries("watch_sending")["queue_digests"]).rowcount


def queue_changes(
    connection: Connection[Any], listing_ids: Sequence[int] = (), *, message_ids: Sequence[int] = ()
) -> None:
    """Queue replies about lower prices, and edits of messages whose ads are gone or back, for these ads or messages.

    Call it in the transaction that changes the ads, and for a message that was just settled. It depends only on what is
    stored, so a second call changes nothing.
    """
    if listing_ids or message_ids:
        about = {"listing_ids": list(listing_ids), "message_ids": list(message_ids)}
        connection.execute(queries("watch_sending")["queue_changes"], about)


def queue_lot_changes(connection: Connection[Any], lot_ids: Sequence[int]) -> None:
    """Queue silent edits of messages about these lots that show another state; those about vehicles that are listed
    again are about the new lots from now on.

    Call it in the transaction that changes the quotes, and for a lot whose message was just settled. It depends only on
    what is stored, so a second call changes nothing.
    """
    if lot_ids:
        for name in ("follow_relisted", "queue_lot_changes"):
            connection.execute(queries("watch_lots")[name], {"lot_ids": list(lot_ids)})
