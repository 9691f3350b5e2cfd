"""Requests without a usable response: the exceptions that our middlewares raise, and the names of all failures.

The names are those of docs/runbook.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrapy.exceptions import IgnoreRequest

if TYPE_CHECKING:
    from twisted.python.failure import Failure

NAMES: Final = {
    "DownloadTimeoutError": "timeout",
    "DownloadConnectionRefusedError": "no_connection",
    "CannotResolveHostError": "no_connection",
    "DownloadFailedError": "broken_off",
    "ResponseDataLossError": "broken_off",
    "DownloadCancelledError": "too_large",
}
"""Names of failures by the class of Scrapy's exception."""


class Ignored(IgnoreRequest):
    """A request that is not sent, or a response that does not count, for this `reason`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Keep the reason; the detail goes to the log."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class HostNotAllowed(Ignored):
    """The address is not on an allowed host. Raised by AllowedHosts, and by Sessions for the browser."""


class Refused(Ignored):
    """The host refused. Raised by Refusals; says nothing about the lot or list that was requested."""


class Stopped(Ignored):
    """The crawl is about to end: the request is not sent. Raised by Budget, proxies and Sessions."""


def reason_of(failure: Failure) -> str:
    """Return the name of what went wrong with a request; `failed` for anything unforeseen."""
    error = failure.value
    if isinstance(error, Ignored):
        return error.reason
    if error is not None and type(error).__name__ == "HttpError":
        return f"status_{error.response.status}"  # type: ignore[attr-defined]
    if isinstance(error, IgnoreRequest):
        return "robots"  # raised by Scrapy itself, without a name of ours
    return NAMES.get(type(error).__name__, "failed")
