"""The lots that a crawl works on: leased in order, a few at a time, each settled once its last photo is done.

In its first pass a lot is done with its first photos: no lot gets the rest while another has none.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from vinops.db.database import DatabaseError
from vinops.db.errors import is_passing
from vinops.logs import pairs
from vinops_scrapy.copart.leases import INTERRUPTED, Known, LeaseLost, Settlement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from scrapy.statscollectors import StatsCollector

    from vinops_scrapy.copart.leases import Lots
    from vinops_scrapy.items import Lot, Photo, PhotoLink, PhotoList

log = logging.getLogger("photos")

HOUR = 3600.0
DAY = 24 * HOUR

DUE_SECONDS = {
    "first": 0.0,  # its second pass is due when its turn comes
    "none_yet": 6 * HOUR,  # the yard has not taken them yet
    "gone": DAY,  # left the inventory, as the feed will say too
    "partial": HOUR,
    "failed": HOUR,
}
"""Seconds until a lot is due again, by its state; doubled after each further failure in a row."""

DUE_BY_REASON = {
    "empty_list": DAY,  # photos are announced and not listed, and there is no browser to open the lot page
    "not_photos": DAY,  # a response of another shape: it waits for a new version of vinops
    "no_gallery": DAY,
    "no_address": DAY,
    "not_recorded": DAY,
}
"""Seconds until a lot is due again, by its reason; takes precedence over the state."""
ENLIST_SECONDS = 120.0
"""Seconds between two looks at what the feed brought: a run may take hours, and some lots are gone in one."""
USUAL_PHOTOS = 12
"""Photos of a lot: a first pass of fewer leaves a second one to do."""
LAST_LOTS = 5
SHOWN_LOTS = 20


@dataclass(kw_only=True)
class OpenLot:
    """A lot being processed: its list, and the results of its photos so far. `waiting` photos are still to come, `left`
    are those that its second pass takes."""

    lot: Lot
    is_beside: bool = False
    known: Known = field(default_factory=Known)
    listing: PhotoList | None = None
    sizes_are_guessed: bool = False
    waiting: int = 0
    left: int = 0
    photos: list[Photo] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    end: tuple[str, str | None] | None = None

    @property
    def is_done(self) -> bool:
        """Tell whether no photo is still to come."""
        return self.waiting == 0 and (self.listing is not None or self.end is not None)


class Work:
    """Hands lots to the spider and settles them."""

    def __init__(
        self,
        lots: Lots,
        stats: StatsCollector,
        *,
        at_once: int,
        recheck_seconds: float,
        first_photos: int,
        beside: int = 0,
        enlist_seconds: float = ENLIST_SECONDS,
    ) -> None:
        """Keep `at_once` lots open at the same time, and `beside` them others whose list was kept; the first pass takes
        `first_photos`; a finished lot is due again after `recheck_seconds`; new lots are looked for every
        `enlist_seconds`.

        Lots beside the others use the time in which these wait to ask for their lists: photos come from another host.
        """
        self._lots = lots
        self._stats = stats
        self._at_once = at_once
        self._recheck_seconds = recheck_seconds
        self._first_photos = first_photos
        self._beside = beside
        self._most_beside = 0
        self._has_kept = True
        self._first_passes: set[int] = set()  # of the lots that are open, until they are settled
        self._enlist_seconds = enlist_seconds
        self._enlisted = 0.0
        self._room = asyncio.Condition()
        self._waiting: list[Lot] = []
        self._renewed = 0.0
        self.open: dict[int, OpenLot] = {}
        self.total = 0
        self.done = 0
        self.last: deque[str] = deque(maxlen=LAST_LOTS)
        self._stopping = asyncio.Event()

    async def due(self, batch: int) -> AsyncIterator[Lot]:
        """Yield up to `batch` lots that are due, each when there is room for it. A lot may come twice, once for each of
        its passes, and counts twice then."""
        await self._enlist()
        count, first = await self._lots.count_due()
        self.total = min(batch, count + (first if self._first_photos < USUAL_PHOTOS else 0))
        taken = 0
        while taken < batch and not self._stopping.is_set():
            if asyncio.get_running_loop().time() - self._enlisted >= self._enlist_seconds:
                await self._enlist()
            # Few at a time: what one crawl holds no other can do.
            leased = await self._lots.lease_due(min(2 * self._at_once, batch - taken))
            if self._stopping.is_set():  # the crawl ended meanwhile, and gave back what it had
                await self._lots.release(leased)
                return
            if not leased and not await self._first_pass_ends():
                return
            self._waiting = leased
            self._most_beside = batch - taken - len(leased)
            async for lot in self._each():
                taken += 1
                yield lot

    async def _first_pass_ends(self) -> bool:
        """Wait until a lot is settled whose first pass is open: its second pass may be due then. Return False if there
        is none."""
        before = set(self._first_passes)
        async with self._room:
            await self._room.wait_for(lambda: not before <= self._first_passes or not before or self._stopping.is_set())
        return bool(before)

    async def _enlist(self) -> None:
        await self._lots.enlist()
        self._enlisted = asyncio.get_running_loop().time()

    async def named(self, lots: list[int], vins: list[str]) -> AsyncIterator[Lot]:
        """Yield the lots with these numbers and VINs, due or not. Missing ones are counted, and the run then
        ends with exit code 1."""
        self._waiting, there, missing = await self._lots.lease_named(lots, vins)
        self.total = len(self._waiting)
        if missing:
            self._stats.inc_value("lot/not_there", len(missing))
            named = {"missing": ",".join(missing[:SHOWN_LOTS]), "count": len(missing)}
            log.error("not every lot that was named is in the database %s", pairs(**named))
        if self.total < there:
            log.warning("another crawl has lots that were named %s", pairs(leased=self.total, there=there))
        async for lot in self._each():
            yield lot

    async def _each(self) -> AsyncIterator[Lot]:
        """Yield the lots that wait, each when there is room for it, and others beside them."""
        while self._waiting and not self._stopping.is_set():
            async with self._room:
                await self._room.wait_for(lambda: self._has_room or self._has_room_beside or self._stopping.is_set())
            if self._stopping.is_set():
                return
            if self._has_room:
                lot = self._waiting.pop(0)
                self._has_kept = True
                self.open[lot.id] = OpenLot(lot=lot)
                if lot.is_first:
                    self._first_passes.add(lot.id)
                yield lot
                continue
            leased = await self._lots.lease_kept(1)
            if self._stopping.is_set():
                await self._lots.release(leased)
                return
            self._has_kept = bool(leased)
            for lot in leased:
                self._most_beside -= 1
                self.open[lot.id] = OpenLot(lot=lot, is_beside=True)
                yield lot

    @property
    def _has_room(self) -> bool:
        return sum(not entry.is_beside for entry in self.open.values()) < self._at_once

    @property
    def _has_room_beside(self) -> bool:
        """Whether another lot may be open beside those in turn; not until the next of these, if there was none."""
        count = sum(entry.is_beside for entry in self.open.values())
        return self._has_kept and self._most_beside > 0 and count < self._beside

    async def known(self, lot: Lot) -> Known:
        """Return what is stored of a lot, and keep it for its photos."""
        known = await self._lots.known(lot)
        if lot.id in self.open:
            self.open[lot.id].known = known
        return known

    def taken(self, lot: Lot, links: Sequence[PhotoLink]) -> Sequence[PhotoLink]:
        """Return the photos of a list that this pass of the lot takes. Where all first photos failed, the next try
        takes those after them: a lot may lack some for good."""
        if not lot.is_first or len(links) <= self._first_photos:
            return links
        start = lot.failures * self._first_photos % len(links)
        return [*links[start:], *links[:start]][: self._first_photos]

    async def listed(
        self, lot: Lot, listing: PhotoList, wanted: int, *, left: int = 0, sizes_are_guessed: bool = False
    ) -> None:
        """Note the list of a lot, of which `wanted` photos are to come now and `left` in its second pass; settle the
        lot if none is to come now."""
        entry = self.open[lot.id]
        entry.listing = listing
        entry.waiting = wanted
        entry.left = left
        entry.sizes_are_guessed = sizes_are_guessed
        await self.settle(entry)

    async def end(self, lot: Lot, state: str, reason: str | None = None) -> None:
        """Settle a lot that has no list."""
        if entry := self.open.get(lot.id):
            entry.end = (state, reason)
            await self.settle(entry)

    async def stored(self, photo: Photo) -> None:
        """Note a photo that is stored; settle its lot if it was the last."""
        if entry := self.open.get(photo.lot.id):
            entry.photos.append(photo)
            entry.waiting -= 1
            await self.settle(entry)

    async def failed(self, lot: Lot, reason: str) -> None:
        """Note a photo that failed; settle its lot if it was the last."""
        self._stats.inc_value(f"photo/failed/{reason}")
        if entry := self.open.get(lot.id):
            entry.failures.append(reason)
            entry.waiting -= 1
            await self.settle(entry)

    async def settle(self, entry: OpenLot) -> None:
        """Settle a lot if it is done, and make room for the next."""
        if not entry.is_done or self.open.get(entry.lot.id) is not entry:
            return
        del self.open[entry.lot.id]
        settlement = self._settlement(entry)
        try:
            settlement = await self._settled(entry, settlement)
        except LeaseLost:
            self._stats.inc_value("lot/lease_lost")
            log.warning("the lease expired and another crawl has the lot %s", pairs(lot=entry.lot.lot_external_id))
        except (psycopg.Error, DatabaseError) as error:
            self._stats.inc_value("lot/not_settled")
            log.error(
                "the lot cannot be settled: it is done again when its lease expires %s",
                pairs(lot=entry.lot.lot_external_id, error=" ".join(str(error).split())),
            )
        else:
            self._stats.inc_value(f"lot/{settlement.state}")
            if entry.lot.is_first and settlement.has_first:
                self._stats.inc_value("lot/first_pass")
            if settlement.state == "failed":
                self._stats.inc_value(f"lot/failed/{settlement.reason}")
            if settlement.state == "ok" and settlement.links and not settlement.photos:
                self._stats.inc_value("lot/rechecked")  # no step towards the end: sql/queries/snapshot.sql, photo_pace
            self.done += 1
            self._log(entry.lot, settlement)
        finally:
            self._first_passes.discard(entry.lot.id)
            async with self._room:
                self._room.notify_all()

    def _log(self, lot: Lot, settlement: Settlement) -> None:
        photos = f"{len(settlement.photos)} of {settlement.listed or 0} photos"
        self.last.append(f"{lot.lot_external_id} {settlement.state} {photos}")
        log.info(
            "Scraped: lot %s %s",
            lot.lot_external_id,
            pairs(
                state=settlement.state,
                photos=settlement.listed or 0,
                new=len(settlement.photos),
                **({"reason": settlement.reason} if settlement.reason else {}),
            ),
        )

    async def _settled(self, entry: OpenLot, settlement: Settlement) -> Settlement:
        """Settle a lot and return the settlement. A lot whose photos the database refuses has failed, so that it is
        tried later each time, not whenever its lease expires. Raises LeaseLost, DatabaseError and psycopg's errors."""
        try:
            await self._lots.settle(entry.lot, settlement)
        except psycopg.Error as error:
            if is_passing(error):
                raise
            log.error(
                "the database refuses the photos of a lot %s",
                pairs(lot=entry.lot.lot_external_id, error=" ".join(str(error).split())),
            )
            settlement = Settlement(state="failed", reason="not_recorded", due_seconds=_due("failed", "not_recorded"))
            await self._lots.settle(entry.lot, settlement)
        return settlement

    def _settlement(self, entry: OpenLot) -> Settlement:
        """Return the result of a lot."""
        listing = entry.listing
        if entry.end or listing is None:
            state, reason = entry.end or ("failed", "no_list")
            return Settlement(state=state, reason=reason, due_seconds=_due(state, reason))
        links, photos = listing.photos, tuple(entry.photos)
        if entry.failures:
            reason = max(set(entry.failures), key=entry.failures.count)
            state = "partial" if photos or entry.known.seqs else "failed"
        elif links:
            state, reason = "first" if entry.left else "ok", None
        else:
            state, reason = ("failed", "empty_list") if listing.announced else ("none_yet", None)
        return Settlement(
            state=state,
            reason=reason,
            due_seconds=self._recheck_seconds if state == "ok" else _due(state, reason),
            listed=len(links),
            links=links,
            photos=photos,
            sizes_are_guessed=entry.sizes_are_guessed,
            from_kept=state == "ok" and entry.lot.kept is not None,
        )

    async def renew(self) -> None:
        """Renew the leases of all lots being processed, if a third of their time is over."""
        now = asyncio.get_running_loop().time()
        held = [*(entry.lot for entry in self.open.values()), *self._waiting]
        if held and now - self._renewed > self._lots.lease / 3:
            self._renewed = now
            await self._lots.renew(held)

    @property
    def is_stopping(self) -> bool:
        """Tell whether no more lots are taken: the crawl is about to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Take no more lots."""
        self._stopping.set()

    async def give_back(self) -> None:
        """Record the photos of unfinished lots at the end of a crawl, and release all leases."""
        self._stopping.set()
        entries, self.open = list(self.open.values()), {}
        for entry in entries:
            if entry.photos and entry.listing:
                settlement = Settlement(
                    state="partial",
                    reason=INTERRUPTED,
                    due_seconds=0,
                    listed=len(entry.listing.photos),
                    photos=tuple(entry.photos),
                )
                try:
                    await self._settled(entry, settlement)
                except LeaseLost:
                    self._stats.inc_value("lot/lease_lost")
        left = [*(entry.lot for entry in entries), *self._waiting]
        self._waiting = []
        if left:
            await self._lots.release(left)
            self._stats.inc_value("lot/released", len(left))


def _due(state: str, reason: str | None) -> float:
    return DUE_BY_REASON.get(reason or "", DUE_SECONDS[state])
