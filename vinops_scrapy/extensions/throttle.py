"""AutoThrottle with a floor for each host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.extensions.throttle import AutoThrottle

if TYPE_CHECKING:
    from scrapy.core.downloader import Slot
    from scrapy.http import Response


class SlotThrottle(AutoThrottle):
    """Slows down with a slow host, and never below the delay that DOWNLOAD_SLOTS gives it.

    Scrapy 2.19's own takes DOWNLOAD_DELAY as the floor of every slot.
    """

    def _adjust_delay(self, slot: Slot, latency: float, response: Response) -> None:
        super()._adjust_delay(slot, latency, response)
        downloader = self.crawler.engine.downloader
        key = next((key for key, each in downloader.slots.items() if each is slot), "")
        slot.delay = max(slot.delay, downloader.per_slot_settings.get(key, {}).get("delay", 0.0))
