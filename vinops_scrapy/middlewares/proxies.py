"""Proxies for plain requests: scrapy-rotating-proxies 0.6.2, adapted to Scrapy 2.19 and to our rules.

What differs from the original: middlewares take no spider; a proxy is identified by its whole URL, credentials
included, and logged without them; a session keeps its proxy; `download_slot` remains that of the host, so that its
budget holds; and a proxy is given up only if it cannot be reached or does not let us in. A request that the site
refuses is never sent again through another proxy.

The browser has its proxy from its context (see sessions.py): its requests pass unchanged.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from rotating_proxies.middlewares import (  # type: ignore[import-untyped]
    BanDetectionMiddleware,
    RotatingProxyMiddleware,
)
from scrapy import signals
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.exceptions import CannotResolveHostError, DownloadConnectionRefusedError, NotConfigured
from twisted.internet.error import ConnectError

from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.failures import Stopped
from vinops_scrapy.proxy_ring import ProxyRing, ring

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

log = logging.getLogger("proxies")

PROXIES_A_REQUEST = 5
STATES_SECONDS = 600.0  # how often the log counts good and dead proxies

CANNOT_REACH = (DownloadConnectionRefusedError, CannotResolveHostError, ConnectError)


class RotatingProxies(RotatingProxyMiddleware):  # type: ignore[misc] # untyped
    """Sends each request through the proxy of its session: meta `session_proxy`, a label."""

    def __init__(self, crawler: Crawler, proxies: ProxyRing) -> None:
        """Use the proxy list that the sessions use."""
        super().__init__([], STATES_SECONDS, True, PROXIES_A_REQUEST, None, None, crawler)
        self.proxies = proxies.states
        self._ring = proxies
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware. Raises NotConfigured if there are no proxies, ConfigError if their list makes no
        sense."""
        proxies = ring(crawler)
        if proxies is None:
            raise NotConfigured
        middleware = cls(crawler, proxies)
        crawler.signals.connect(middleware.engine_started, signals.engine_started)
        crawler.signals.connect(middleware.engine_stopped, signals.engine_stopped)
        return middleware

    def process_request(self, request: Request) -> None:
        """Set the proxy. Raises Stopped, and ends the crawl, if all are dead: no request is sent without one."""
        if request.meta.get("playwright"):
            return
        proxy = self._ring.of(request.meta.get("session_proxy"))
        if proxy is None:
            log.error("not asked: no proxy is left %s", pairs(dead=len(self.proxies.dead)))
            closing.close(self._crawler, "no_proxies")
            raise Stopped("no_proxies")
        request.meta["proxy"] = proxy.url.reveal()  # HttpProxyMiddleware takes the credentials out again
        request.meta["proxy_label"] = proxy.label
        request.meta.pop("_ban", None)

    def process_response(self, request: Request, response: Response) -> Request | Response:
        """Return the response, or the request again for another proxy."""
        return self._settled(request) or response

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """Return the request again for another proxy if it was the proxy that failed."""
        return self._settled(request)

    def _settled(self, request: Request) -> Request | None:
        label, is_ban = request.meta.get("proxy_label"), request.meta.get("_ban")
        if label is None or is_ban is None:
            return None
        if not is_ban:
            self._ring.worked(label)
            return None
        if label not in self.proxies.dead:
            log.warning("a proxy cannot be used %s", pairs(proxy=label))
        self._ring.failed(label)
        self.stats.set_value("proxies/dead", len(self.proxies.dead))
        again: Request | None = self._retry(request, None)
        return again


class ProxiesAlone:
    """The ban policy: a proxy is dead if it cannot be reached, or rejects our credentials."""

    def response_is_ban(self, request: Request, response: Response) -> bool | None:
        """Return True for 407, None for a response that may come from the proxy or from the site, else False."""
        if response.status == 407:
            return True
        return None if response.status in {502, 503, 504} else False

    def exception_is_ban(self, request: Request, exception: Exception) -> bool | None:
        """Return True if the proxy could not be reached or used; else None, as timeouts may be the site's."""
        if isinstance(exception, TunnelError):
            return True if "'status': 407" in str(exception) else None
        return True if isinstance(exception, CANNOT_REACH) else None


class BanDetection(BanDetectionMiddleware):  # type: ignore[misc] # untyped
    """Marks in each request whether its proxy is dead."""

    def __init__(self, stats: Any) -> None:
        """Use the policy `ProxiesAlone`."""
        super().__init__(stats, ProxiesAlone())

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware. Raises NotConfigured if there are no proxies."""
        if ring(crawler) is None:
            raise NotConfigured
        return cls(crawler.stats)

    def process_response(self, request: Request, response: Response) -> Response:
        """Return the response, with the mark in the request's meta."""
        answered: Response = super().process_response(request, response, None)
        return answered

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Put the mark in the request's meta."""
        super().process_exception(request, exception, None)
