"""Validation: a photo is accepted only if all of its bytes decode to a picture of a plausible size.

Its type is that of its content, whatever the server declared: `image/jpg`, `image/*`, or `image/jpeg` for a WebP.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from scrapy.exceptions import DropItem

from vinops_scrapy.pipelines import decoding

if TYPE_CHECKING:
    from vinops_scrapy.items import Photo


class Rejected(DropItem):
    """The bytes are not an acceptable photo, for this `reason` from docs/runbook.md."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the reason; the detail goes to the log."""
        super().__init__(f"{reason}: {detail}", log_level="WARNING")
        self.reason = reason


class Interrupted(DropItem):
    """The crawl is about to end: the photo was not validated."""

    reason = "interrupted"


def validated(photo: Photo, decoder: decoding.Decoder | None = None) -> Photo:
    """Return the photo with its hash and its real type and size. Raises Rejected, Interrupted."""
    if not photo.body:
        raise Rejected("empty", "no bytes")
    try:
        picture = (decoder or decoding.Decoder()).decode(photo.body)
    except decoding.Undecodable as error:
        raise Rejected(error.reason, f"{error.detail}, sent as {photo.content_type or 'nothing'}") from None
    except decoding.Halted:
        raise Interrupted("the crawl ends", log_level="INFO") from None
    return replace(
        photo,
        content_hash=hashlib.sha256(photo.body).hexdigest(),
        content_type=picture.content_type,
        width=picture.width,
        height=picture.height,
    )
