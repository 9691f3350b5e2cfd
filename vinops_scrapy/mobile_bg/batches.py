"""Pages of ads on their way through the pipelines: one by one, and recorded together when the last has come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vinops_scrapy.items import Listing
    from vinops_scrapy.mobile_bg.walks import Step, Walk


@dataclass(kw_only=True, eq=False)
class Batch:
    """The ads of a page with the slugs of their makes. `walk` is None where nobody walks a whole list."""

    step: Step
    walk: Walk | None
    makes: dict[str, str]
    arrived: list[Listing] = field(default_factory=list)
    end: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def rows(self) -> list[tuple[str, Listing]]:
        """The make slug and the ad of each that arrived."""
        return [(self.makes[listing.ad_id], listing) for listing in self.arrived]


class Batches:
    """The batches of a crawl that are not recorded yet."""

    def __init__(self) -> None:
        """Begin without any."""
        self.open: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Expect the ads of a page."""
        self.open.append(batch)

    def arrive(self, listing: Listing) -> Batch | None:
        """Take down that an ad has come; return its page if it was the last of it."""
        for batch in self.open:
            if listing.ad_id in batch.makes and all(each.ad_id != listing.ad_id for each in batch.arrived):
                batch.arrived.append(listing)
                return batch if len(batch.arrived) == len(batch.makes) else None
        return None

    def done(self, batch: Batch) -> None:
        """Take down that a page was recorded, or could not be."""
        self.open.remove(batch)
        batch.end.set()

    def abandon(self) -> None:
        """Expect no more ads: of pages that are not complete nothing is recorded."""
        for batch in [each for each in self.open if len(each.arrived) < len(each.makes)]:
            self.done(batch)

    async def wait(self, walk: Walk | None = None) -> None:
        """Return when the pages of a walk, or all pages, have their end."""
        for batch in [each for each in self.open if walk is None or each.walk is walk]:
            await batch.end.wait()
