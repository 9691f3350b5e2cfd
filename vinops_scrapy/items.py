"""What pages return and pipelines take: frozen values, all fields by keyword."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Variant = Literal["hrs", "ful", "thb"]
"""The size of a photo, by the suffix of its URL: about 250, 150 and 6 kB."""


@dataclass(frozen=True, kw_only=True)
class PhotoLink:
    """One photo as a source names it: its number in the lot (which may shift), its size and its address."""

    seq: int
    variant: Variant
    url: str


@dataclass(frozen=True, kw_only=True)
class PhotoList:
    """The photos of a lot as a source lists them: the best size of each, by number.

    `announced` is the count that the source gives beside its list, `left_out` counts by kind what is no photo of the
    wanted size: sound, video, thumbnail, blurred, unreadable.
    """

    announced: int
    photos: tuple[PhotoLink, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Lot:
    """A lot under lease. `id` is the row in lots, `lot_external_id` Copart's number; `token` is the lease's."""

    id: int
    lot_external_id: int
    vin: str | None
    image_url: str | None
    token: int


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo that came: the bytes as they were sent, and after validation what they are."""

    lot: Lot
    link: PhotoLink
    body: bytes = field(repr=False)
    content_hash: str = ""
    content_type: str = ""
    width: int = 0
    height: int = 0
    storage_key: str = ""


@dataclass(frozen=True, kw_only=True)
class PhotoFailure:
    """A photo that did not come, and why: a name listed in docs/runbook.md."""

    lot: Lot
    link: PhotoLink
    reason: str


@dataclass(frozen=True, kw_only=True)
class LotEnd:
    """A lot of which no photo is to come: its list is empty, known already, or could not be had."""

    lot: Lot
