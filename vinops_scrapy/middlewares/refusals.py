"""Downloader middleware: tells refusals from other responses, and opens the circuit breaker of a host."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vinops import config, politeness
from vinops.logs import pairs
from vinops.text import figures
from vinops_scrapy import closing
from vinops_scrapy.failures import Refused
from vinops_scrapy.hosts import netloc
from vinops_scrapy.pages.refusals import AT_ONCE, refusal
from vinops_scrapy.shared import Component, budgets

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

log = logging.getLogger("politeness")

KIND = "blocked"


class Refusals(Component):
    """Counts refusals over all crawls, and ends this one when the breaker opens."""

    async def process_response(self, request: Request, response: Response) -> Response:
        """Return the response. Raises Refused if it is a refusal."""
        kind = refusal(response, expects=request.meta.get("expects", "page"))
        host = netloc(request.url)
        shared = budgets(self._crawler)
        if kind is None:
            if response.status < 400 and await shared.succeeded(host):
                await closing.tell(KIND, {}, over=[host])
            return response
        if kind == "login_wall" and request.meta.get("may_have_ended"):
            return response
        self._crawler.stats.inc_value(f"refusal/{kind}")
        log.warning("refused %s", pairs(kind=kind, status=response.status, host=host))
        if (seconds := retry_after(response)) is not None:
            self._crawler.stats.inc_value("refusal/retry_after")
            await shared.postpone(host, seconds)
        until = await shared.refused(host, kind, at_once=kind in AT_ONCE)
        if until is not None:
            self._crawler.stats.set_value("breaker/opened", host)
            said = figures.moment(until, config.load().time_zone)
            await closing.end(
                self._crawler,
                KIND,
                host,
                f"{host} refuses ({kind}): no crawl requests it until {said}. Open it in a browser "
                "as a member would; the breaker stands in ops.host_budgets",
            )
        raise Refused(kind, host)


def retry_after(response: Response) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None."""
    value: Any = response.headers.get("Retry-After")
    return politeness.retry_after(value.decode("latin-1") if value else None, datetime.now(UTC))
