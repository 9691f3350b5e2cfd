"""Validate: a photo counts only when all of its bytes make a picture of a sensible size.

Facts that decide here were tried with Pillow 13: `verify()` does not see that a JPEG is cut short; decoding at an
eighth of the size (`draft`) does, because the whole stream is read, and costs a fraction of a full decode.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

from PIL import Image, UnidentifiedImageError
from scrapy.exceptions import DropItem

from vinops_scrapy.items import Photo

CONTENT_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
MOST_PIXELS = 50_000_000
LEAST_SIDE = 64  # pixels; the smallest thumbnail is 96 wide


class Rejected(DropItem):
    """A photo is none. `reason` is a name from docs/runbook.md."""

    def __init__(self, reason: str, detail: str) -> None:
        """Say what was seen."""
        super().__init__(f"{reason}: {detail}", log_level="WARNING")
        self.reason = reason


def validated(photo: Photo) -> Photo:
    """Return the photo with its hash, type and size. Raises Rejected."""
    body = photo.body
    if not body:
        raise Rejected("empty", "no bytes")
    try:
        with Image.open(io.BytesIO(body), formats=list(CONTENT_TYPES)) as picture:
            width, height = picture.size
            content_type = CONTENT_TYPES[picture.format or ""]
            if width * height > MOST_PIXELS:
                raise Rejected("too_large", f"{width} by {height} pixels")
            if min(width, height) < LEAST_SIDE:
                raise Rejected("too_small", f"{width} by {height} pixels")
            if photo.content_type.startswith("image/") and photo.content_type != content_type:
                raise Rejected("mislabelled", f"{content_type} sent as {photo.content_type}")
            picture.decodermaxblock = len(body)  # in one go: every block more asks for Python's lock again
            picture.draft(None, (width // 8, height // 8))
            picture.load()
    except UnidentifiedImageError:
        raise Rejected("no_image", f"{len(body)} bytes of something else, sent as {photo.content_type}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Rejected("too_large", "more pixels than any photo has") from None
    except Rejected:
        raise
    except Exception as error:  # noqa: BLE001 # decoders raise what they like on damaged bytes: OSError, SyntaxError, struct.error …
        raise Rejected("damaged", str(error)) from None
    return replace(
        photo, content_hash=hashlib.sha256(body).hexdigest(), content_type=content_type, width=width, height=height
    )
