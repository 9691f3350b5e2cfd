"""Which proxy a session uses: the proxies of a crawl in turn, without those that are dead."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from rotating_proxies.expire import Proxies, exp_backoff_full_jitter  # type: ignore[import-untyped]

from vinops import config
from vinops_scrapy.proxy_list import read_proxies
from vinops_scrapy.shared import per_crawl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy.crawler import Crawler

    from vinops_scrapy.proxy_list import Proxy

BACKOFF_BASE: Final = 300.0  # seconds until a dead proxy is tried again, doubling
BACKOFF_CAP: Final = 3600.0


class ProxyRing:
    """The proxies in order. One is current, until the session ends or it is dead."""

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        """Begin with the first. Dead proxies are tried again after a while: see `states.reanimate`."""
        self._proxies = {proxy.label: proxy for proxy in proxies}
        self._order = list(self._proxies)
        self._place = 0
        # Keyed by label, as rotating_proxies logs the key of a proxy.
        self.states = Proxies(self._order, backoff=partial(exp_backoff_full_jitter, base=BACKOFF_BASE, cap=BACKOFF_CAP))

    @property
    def current(self) -> Proxy | None:
        """The proxy of the current session, or the next one that is not dead; None if all are."""
        for step in range(len(self._order)):
            label = self._order[(self._place + step) % len(self._order)]
            if label not in self.states.dead:
                self._place = (self._place + step) % len(self._order)
                return self._proxies[label]
        return None

    def next(self) -> Proxy | None:
        """Move on and return the new current proxy."""
        self._place = (self._place + 1) % len(self._order)
        return self.current

    def of(self, label: str | None) -> Proxy | None:
        """Return the proxy with that label while it is not dead, else the current one."""
        if label in self._proxies and label not in self.states.dead:
            return self._proxies[label]
        return self.current

    def failed(self, label: str) -> None:
        """Mark a proxy as dead, for a time that grows with each failure."""
        self.states.mark_dead(label)

    def worked(self, label: str) -> None:
        """Mark a proxy as good."""
        self.states.mark_good(label)


@per_crawl
def ring(crawler: Crawler) -> ProxyRing | None:
    """Return the proxies of a crawl; None if none are set. Raises ConfigError."""
    proxies = read_proxies(config.load())
    return ProxyRing(proxies) if proxies else None
