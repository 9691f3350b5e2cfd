"""What went wrong with a request, by the names that docs/runbook.md has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vinops_scrapy.middlewares.rules import Ignored

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
"""By the class of Scrapy's exception."""


def reason_of(failure: Failure) -> str:
    """Return the name of what went wrong; `failed` is what nobody foresaw."""
    error = failure.value
    if isinstance(error, Ignored):
        return error.reason
    if error is not None and type(error).__name__ == "HttpError":
        return f"status_{error.response.status}"  # type: ignore[attr-defined]
    if error is not None and type(error).__name__ == "IgnoreRequest":
        return "robots"  # raised by Scrapy itself, without a name of ours
    return NAMES.get(type(error).__name__, "failed")
