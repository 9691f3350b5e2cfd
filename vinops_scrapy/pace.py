"""The pace of a crawl as Scrapy settings: what VINOPS_PACE decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vinops import config, politeness
from vinops.network import is_loopback
from vinops_scrapy.hosts import hosts_of_crawl, image_hosts_of_crawl
from vinops_scrapy.shared import Component

if TYPE_CHECKING:
    from scrapy.settings import Settings


class PaceAddon(Component):
    """Sets delays and concurrency, after the settings of the command line and of the spider are known."""

    def update_settings(self, settings: Settings) -> None:
        """Set them. Raises ConfigError for an unknown pace, and for one for stand-ins only where a host is none."""
        name = str(settings["VINOPS_PACE"])
        speed = settings.getfloat("VINOPS_CLOCK_SPEED")
        if name not in config.PACES:
            raise config.ConfigError(f"VINOPS_PACE is none of {', '.join(config.PACES)}: use careful or steady")
        hosts, image_hosts = hosts_of_crawl(self._crawler), image_hosts_of_crawl(self._crawler)
        far = sorted(host for host in hosts if not is_loopback(host))
        if (name == "none" or speed != 1.0) and far:
            raise config.ConfigError(
                f"VINOPS_PACE=none and VINOPS_CLOCK_SPEED are for stand-ins on loopback, not for {', '.join(far)}: "
                "use careful or steady"
            )
        pace = politeness.pace(name, speed=speed)
        is_free = name == "none"
        slots: dict[str, Any] = {
            host: {
                "concurrency": 16 if is_free else 1,  # one request at a time to a host
                "delay": pace.image_gap if host in image_hosts else pace.page_gap,
                "jitter": 0,
            }
            for host in hosts
        }
        for setting, value in {
            "DOWNLOAD_SLOTS": slots,
            "DOWNLOAD_DELAY": pace.image_gap,
            "CONCURRENT_REQUESTS": 16 if is_free else 4,  # requests in progress go on when a breaker opens
            "CONCURRENT_REQUESTS_PER_DOMAIN": 16 if is_free else 1,
            "AUTOTHROTTLE_ENABLED": not is_free,
            "AUTOTHROTTLE_START_DELAY": pace.image_gap,
            "AUTOTHROTTLE_MAX_DELAY": 60,
            # Where lots are not kept apart, the hosts are: one lot's list arrives while photos of another are on their
            # way, and while lists are waited for, there is time for photos of lots whose list was kept.
            "VINOPS_LOTS_AT_ONCE": 4 if is_free else 1 if pace.lot_gap else 2,
            "VINOPS_LOTS_BESIDE": 0 if is_free or pace.lot_gap else 1,
        }.items():
            settings.set(setting, value, priority="addon")
