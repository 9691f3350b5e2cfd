"""What pages return and pipelines take: frozen values, all fields by keyword."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Self

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
class KeptList:
    """The photos of a lot's list as they are kept in the database, and whether the list was the lot's page, where the
    sizes in the addresses are guessed."""

    photos: tuple[PhotoLink, ...]
    sizes_are_guessed: bool = False

    def as_json(self) -> dict[str, object]:
        """Return it as `from_json` takes it."""
        return {
            "photos": [[link.seq, link.variant, link.url] for link in self.photos],
            "sizes_are_guessed": self.sizes_are_guessed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the list that was kept."""
        return cls(
            photos=tuple(PhotoLink(seq=seq, variant=variant, url=url) for seq, variant, url in value["photos"]),
            sizes_are_guessed=value["sizes_are_guessed"],
        )


@dataclass(frozen=True, kw_only=True)
class Lot:
    """A lot under lease. `id` is the row in lots, `lot_external_id` Copart's number; `token` is the lease's.

    `is_first` tells whether this is the lot's first pass, which takes its first photos only; `failures` counts the
    tries in a row that failed; `kept` is the list that the first pass read, for the second.
    """

    id: int
    lot_external_id: int
    vin: str | None
    image_url: str | None
    token: int
    is_first: bool = False
    failures: int = 0
    kept: KeptList | None = None


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A downloaded photo. `content_type` is as the server sent it; validation corrects it and adds hash and size, the
    object store the key."""

    lot: Lot
    link: PhotoLink
    body: bytes = field(repr=False)
    content_hash: str = ""
    content_type: str = ""
    width: int = 0
    height: int = 0
    storage_key: str = ""


Currency = Literal["EUR", "BGN", "USD"]
Vat = Literal["included", "excluded", "exempt"]
"""Whether a price holds value added tax: exempt is «Не се начислява ДДС», no tax is charged."""
Seller = Literal["private", "dealer"]
Promotion = Literal["best", "top", "vip"]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """An ad as a list or its own page shows it, in the words of the site. None means that the page does not say.

    `dropped` names the fields whose value made no sense, such as 1896 hp: those are None, too. `description` is
    without phone numbers, mail addresses and names. `posted_at` comes from the ad's id. `price_eur` is `price` in euro:
    1.95583 BGN are one, by law.
    """

    source: str
    ad_id: str
    url: str
    title: str
    posted_at: datetime
    make_text: str | None = None
    model_text: str | None = None
    price: Decimal | None = None
    currency: Currency | None = None
    price_eur: Decimal | None = None
    vat: Vat | None = None
    year: int | None = None
    month: int | None = None
    mileage_km: int | None = None
    fuel: str | None = None
    gearbox: str | None = None
    body: str | None = None
    power_hp: int | None = None
    engine_cc: int | None = None
    colour: str | None = None
    euro_class: int | None = None
    region: str | None = None
    place: str | None = None
    seller_kind: Seller | None = None
    description: str | None = None
    equipment: tuple[str, ...] = ()
    photo_urls: tuple[str, ...] = ()
    photo_count: int | None = None
    is_new: bool = False
    promotion: Promotion | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """A page of a list: its ads in order, each once.

    `total` is the count of ads in the whole list as the page says it, `next_url` the page after it; `left_out` counts
    by kind what looks like an ad and is none, or cannot be read. `regions` are slugs of regions that the page links to.
    `ordered_by` is the field of ads by which the list is ordered: ads without a value of it come together.
    """

    listings: tuple[Listing, ...]
    total: int | None = None
    page: int = 1
    next_url: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    ordered_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class WalkPage:
    """What a page of a list changes in the walk that it belongs to, recorded in the transaction of its ads.

    `walk` is the row in ops.listing_walks and `token` the claim of it, `piece` the number of the list that showed the
    page, `in_parts` those of its parts that had shown some of the ads before, by ad; `pages`, `total`, `ads` and
    `reason` are columns of that row, `pieces` rows of ops.walk_pieces.
    """

    walk: int
    token: int
    piece: int
    in_parts: Mapping[str, int]
    pages: int
    total: int | None
    ads: int
    reason: str | None
    pieces: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class ListedAds:
    """The ads of a list page as they are recorded, in one transaction: each with the slug of its make.

    `title` names the page in the log, `walk` is the walk that the page belongs to, `newest` the number of the pass over
    the newest ads, in ops.market_cycles.
    """

    ads: tuple[tuple[str, Listing], ...]
    title: str
    walk: WalkPage | None = None
    newest: int | None = None


@dataclass(frozen=True, kw_only=True)
class ListingDetail:
    """An ad as its own page shows it, which may say what a list leaves out."""

    listing: Listing


@dataclass(frozen=True, kw_only=True)
class RecheckedAd:
    """An ad whose own page was requested for its price; without `listing` the page says that the ad is gone.

    `asked_at` is when the request was decided, by the database's clock.
    """

    ad_id: str
    asked_at: datetime
    listing: Listing | None = None
