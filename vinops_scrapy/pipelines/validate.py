"""Validate: a photo counts only when all of its bytes make a picture of a sensible size.

Its content says what it is, whatever it was sent as: servers say `image/jpg`, `image/*`, or `image/jpeg` of a WebP.
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
    """A photo is none. `reason` is a name from docs/runbook.md."""

    def __init__(self, reason: str, detail: str) -> None:
        """Say what was seen."""
        super().__init__(f"{reason}: {detail}", log_level="WARNING")
        self.reason = reason


class Interrupted(DropItem):
    """The crawl is about to end: nothing is known of the photo."""

    reason = "interrupted"


def validated(photo: Photo, decoder: decoding.Decoder | None = None) -> Photo:
    """Return the photo with its hash, and the type and size that it has. Raises Rejected, Interrupted."""
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
