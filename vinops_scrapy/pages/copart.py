"""Copart: the list of a lot's photos, and the page of a lot.

`photo_list` reads what the feed's Image URL answers (inventoryv2), and the three shapes of the site's own list (solr):

    {"imgCount": 1, "lotImages": [{"sequence": 1, "link": [
        {"url": "…_ful.jpg", "isThumbNail": false, "isHdImage": false, "isEngineSound": false, "isBlurred": false}]}]}
    {"data": {"imagesList": {"FULL_IMAGE": [{"url": "…_ful.jpg", "sequenceNumber": 1}], "HIGH_RESOLUTION_IMAGE": …}}}
    {"data": {"imagesList": {"content": [{"imageSeqNumber": 1, "fullUrl": …, "highResUrl": …, "thumbnailUrl": …}]}}}
    {"data": {"imagesList": {"IMAGE": [as in content]}}}

Shapes, sizes and selectors are those that public programs read from the site (as of November 2026), not documented by
Copart: a response of another shape is a PageError, an invalid link is left out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from parsel import Selector
from scrapy.http import TextResponse

from vinops.network import is_loopback
from vinops_scrapy.items import PhotoLink, PhotoList
from vinops_scrapy.pages.errors import PageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scrapy.http import Response

    from vinops_scrapy.items import Variant

GALLERY: Final = (
    ".image-galleria_wrap .thumbnailImg",
    ".image-gallery-slide img, .lot-image-gallery img",
)
"""The photos in the two known galleries, the more specific one first."""

ANYWHERE: Final = (
    'a[href*="image"] img',
    '[data-src*="copart"], [data-original*="copart"]',
)
"""Where photos are searched on a page without a gallery; beside one these would match similar lots."""

ADDRESSES: Final = ("hd-url", "full-url", "data-src", "data-original", "src")
"""The attributes that hold the address of a photo, the largest size first."""

BOX: Final = ".image-galleria_wrap, .image-gallery-slide, .lot-image-gallery"
LOT: Final = '#lot-details, .lot-information, [data-uname^="lotdetail"], h1.title, h1 .title'
LOT_PATH: Final = re.compile(r"/lot/\d+(/|$)")

SIZE: Final = re.compile(r"_(hrs|ful|thb)(?=\.(?:jpe?g|png|webp)$)", re.IGNORECASE)
PICTURE: Final = re.compile(r"\.(?:jpe?g|png|webp)$", re.IGNORECASE)
SOUND: Final = re.compile(r"\.(?:mp3|wav)$", re.IGNORECASE)
VIDEO: Final = re.compile(r"\.(?:mp4|mov|webm)$|_v(?:ful|hrs|thb)\.\w+$", re.IGNORECASE)
PLAIN: Final = re.compile(r"[!-\[\]-~]+")  # ASCII that is printed, without blanks and backslashes

BARE: Final = re.compile(r"//[^/]|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?/", re.IGNORECASE)
"""An address without a scheme: `//host/path`, or `host/path` with a dot in the host."""
LOOPBACK: Final = re.compile(r"(?://)?(?:127(?:\.[0-9]+){3}|localhost|\[::1\]):[0-9]+/", re.IGNORECASE)
"""Host and port of a stand-in: other hosts use https."""
PORTS: Final = {"http": 80, "https": 443}
LONGEST_ADDRESS: Final = 2_000  # characters; PostgreSQL indexes up to 2,704 bytes, addresses have about 110
MOST: Final = 2**31  # the limit of the type integer

LISTS: Final[Mapping[str, Variant]] = {"HIGH_RESOLUTION_IMAGE": "hrs", "FULL_IMAGE": "ful", "THUMBNAIL_IMAGE": "thb"}
FIELDS: Final[Mapping[str, Variant]] = {"highResUrl": "hrs", "fullUrl": "ful", "thumbnailUrl": "thb"}
SOLR: Final = frozenset({*LISTS, "content", "IMAGE"})


def photo_list(response: Response, *, thumbnails: bool = False) -> PhotoList:
    """Return the photos in a list: the largest size of each, by number; `thumbnails` adds the thumbnails.

    A photo is identified by its URL without the size: two photos may share a number, and one with two numbers keeps the
    lower. A photo without a readable number gets its position in the list. A blurred version is left out if there is a
    clear one of its number. A photo of which only a thumbnail is listed is left out unless thumbnails are wanted.

    `announced` is imgCount, or without it the number of photos in the list.
    Raises PageError `bad_json` (truncated, or no JSON at all) and `not_photos` (JSON of another shape, and a solr list
    without entries, as it has no count that would say that there are no photos).
    """
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise PageError("bad_json", f"{len(response.body)} bytes: {error}") from None
    if not isinstance(data, dict):
        raise PageError("not_photos", f"the answer is a {type(data).__name__}, not an object")
    is_solr = "lotImages" not in data and "imgCount" not in data
    links = list(_solr(data) if is_solr else _inventory(data))
    if (links or is_solr) and not any(links):
        raise PageError("not_photos", f"none of {len(links)} entries has an address")
    count = _number(data.get("imgCount"))
    listed = _sorted_out(links, thumbnails=thumbnails)
    return listed if count is None else replace(listed, announced=count)


def lot_page(response: Response) -> PhotoList:
    """Return the photos in the gallery of a lot's page, as the browser shows it after its scripts have run.

    The number of a photo is its position in the gallery. The page has few photos in their largest size: for a thumbnail
    the link is a guess at `_hrs`, and `smaller` returns the next size if that does not exist. URLs without a size, as
    those of logos and placeholders, are not photos; in a gallery they count as unreadable. A gallery may be empty.
    Raises PageError `not_a_lot` (another page) and `no_gallery` (a lot without photos and without a gallery).
    """
    if not isinstance(response, TextResponse) or not LOT_PATH.search(urlsplit(response.url).path):
        raise PageError("not_a_lot", "the address or the type of the answer is not that of a lot's page")
    page = Selector(text=response.text, type="html")
    has_box = bool(page.css(BOX))
    if not has_box and not page.css(LOT):
        raise PageError("not_a_lot", "the page has neither the heading nor the details nor the gallery of a lot")
    left_out: Mapping[str, int] = {}
    for selector in GALLERY if has_box else ANYWHERE:
        found = _sorted_out([_shown(response, node, place) for place, node in enumerate(page.css(selector), 1)])
        left_out = found.left_out if has_box else {}
        if found.photos:
            photos = tuple(replace(link, seq=place) for place, link in enumerate(found.photos, 1))
            return PhotoList(announced=len(photos), photos=photos, left_out=left_out)
    if not has_box:
        raise PageError("no_gallery", "the page is a lot's, but no gallery is on it")
    return PhotoList(announced=0, photos=(), left_out=left_out)


def smaller(link: PhotoLink) -> PhotoLink | None:
    """Return the next smaller size of a photo; None if that would be the thumbnail."""
    url = _sized(link.url, "_ful")
    return replace(link, variant="ful", url=url) if link.variant == "hrs" and url != link.url else None


def https_address(text: str) -> str:
    """Return an address with the scheme https, or http for a stand-in at a loopback host:port. Raises ValueError.

    The text may lack the scheme, and the slashes before the host too.
    """
    text = text.strip()
    if BARE.match(text):
        text = f"{'http' if LOOPBACK.match(text) else 'https'}://{text.removeprefix('//')}"
    if len(text) > LONGEST_ADDRESS:
        raise ValueError(f"an address has no more than {LONGEST_ADDRESS} characters")
    parts = urlsplit(text)
    host, port = parts.hostname, parts.port
    if not PLAIN.fullmatch(text) or parts.scheme not in PORTS or not host or "@" in parts.netloc:
        raise ValueError("an http address on a host is due")
    if parts.scheme == "http" and port and is_loopback(host):
        return urlunsplit(parts._replace(fragment=""))
    name = f"[{host}]" if ":" in host else host
    netloc = name if port in {None, PORTS[parts.scheme]} else f"{name}:{port}"
    return urlunsplit(parts._replace(scheme="https", netloc=netloc, fragment=""))


def lot_address(site_url: str, lot_external_id: int) -> str:
    """Return the address of a lot's page. Raises ValueError for an invalid address or lot number."""
    if lot_external_id < 1:
        raise ValueError(f"{lot_external_id} is not a lot number")
    return f"{https_address(site_url).rstrip('/')}/lot/{lot_external_id}"


@dataclass(frozen=True, kw_only=True)
class _Link:
    """An address in a list or a gallery. `size` is that of the source; the suffix of the URL takes precedence."""

    seq: int
    url: str
    size: Variant = "ful"
    is_sound: bool = False
    is_blurred: bool = False


def _inventory(data: Mapping[str, Any]) -> Iterator[_Link | None]:
    """Yield the links of an inventoryv2 list; None for an unreadable one. Raises PageError."""
    images = data.get("lotImages")
    if not isinstance(images, list) and (images is not None or _number(data.get("imgCount")) is None):
        raise PageError("not_photos", f"lotImages is a {type(images).__name__}, not a list")
    for place, image in enumerate(images or (), 1):
        links = image.get("link") if isinstance(image, dict) else None
        for link in links if isinstance(links, list) else (None,):
            if not isinstance(link, dict) or not isinstance(link.get("url"), str):
                yield None
                continue
            yield _Link(
                seq=_seq(image.get("sequence"), place),
                url=link["url"],
                size="hrs" if _is(link.get("isHdImage")) else "thb" if _is(link.get("isThumbNail")) else "ful",
                is_sound=_is(link.get("isEngineSound")),
                is_blurred=_is(link.get("isBlurred")),
            )


def _solr(data: Mapping[str, Any]) -> Iterator[_Link | None]:
    """Yield the links of a solr list of any shape; None for an unreadable one. Raises PageError."""
    inner = data.get("data")
    lists = inner.get("imagesList") if isinstance(inner, dict) else None
    if not isinstance(lists, dict):
        raise PageError("not_photos", "neither lotImages nor data.imagesList is there")
    for name, images in lists.items():
        if name in SOLR and not isinstance(images, list | None):
            raise PageError("not_photos", f"{name} is a {type(images).__name__}, not a list")
        sizes: Mapping[str, Variant] = {"url": LISTS[name]} if name in LISTS else FIELDS
        for place, image in enumerate(images if isinstance(images, list) else (), 1):
            is_known = name in SOLR and isinstance(image, dict)
            keys = [key for key in sizes if image.get(key)] if is_known else []
            if not keys:
                yield None
            for key in keys:
                seq = _seq(image.get("sequenceNumber", image.get("imageSeqNumber")), place)
                if isinstance(image[key], str):
                    yield _Link(seq=seq, url=image[key], size=sizes[key])
                else:
                    yield None


def _shown(page: TextResponse, node: Selector, place: int) -> _Link | None:
    """Return the largest photo that an element of a page links to, else its video or sound, else None."""
    other = None
    for name in ADDRESSES:
        try:
            url = https_address(page.urljoin(node.attrib[name].strip()))
        except (KeyError, ValueError):
            continue
        path = urlsplit(url).path
        if size := _size(path):
            return _Link(seq=place, url=_sized(url, "_hrs") if size == "thb" else url)
        if SOUND.search(path) or VIDEO.search(path):
            other = _Link(seq=place, url=url)
    return other


def _sorted_out(links: Iterable[_Link | None], *, thumbnails: bool = False) -> PhotoList:
    """Return the photos among links, and the count of other links by kind."""
    left_out: Counter[str] = Counter()
    clear: list[PhotoLink] = []
    blurred: list[PhotoLink] = []
    for link in links:
        photo = _photo(link) if link else "unreadable"
        if isinstance(photo, str):
            left_out[photo] += 1
        elif photo.variant == "thb" and not thumbnails:
            left_out["thumbnail"] += 1
        else:
            (blurred if link and link.is_blurred else clear).append(photo)
    has_clear = {photo.seq for photo in clear if photo.variant != "thb"}
    photos: dict[str, dict[Variant, PhotoLink]] = {}
    candidates = clear + [photo for photo in blurred if photo.seq not in has_clear]
    for photo in sorted(candidates, key=lambda photo: (photo.seq, photo.url)):
        photos.setdefault(_sized(photo.url, ""), {}).setdefault(photo.variant, photo)
    if hidden := sum(photo.seq in has_clear for photo in blurred):
        left_out["blurred"] = hidden
    taken = [link for sizes in photos.values() for link in _taken(sizes)]
    return PhotoList(announced=len(photos), photos=tuple(taken), left_out=dict(left_out))


def _photo(link: _Link) -> PhotoLink | str:
    """Return the photo that a link leads to, or the kind of anything else."""
    try:
        url = https_address(link.url)
    except ValueError:
        return "unreadable"
    path = urlsplit(url).path
    if link.is_sound or SOUND.search(path):
        return "sound"
    if VIDEO.search(path):
        return "video"
    if not PICTURE.search(path):
        return "unreadable"
    return PhotoLink(seq=link.seq, variant=_size(path) or link.size, url=url)


def _taken(sizes: Mapping[Variant, PhotoLink]) -> Iterator[PhotoLink]:
    """Yield the largest size of a photo, then its thumbnail if that has an address of its own."""
    seq = min(link.seq for link in sizes.values())
    best = sizes.get("hrs") or sizes.get("ful")
    thumbnail = sizes.get("thb")
    if best:
        yield replace(best, seq=seq)
    if thumbnail and (best is None or best.url != thumbnail.url):
        yield replace(thumbnail, seq=seq)


def _size(path: str) -> Variant | None:
    """Return the size in the suffix of a path, or None."""
    found = SIZE.search(path)
    return cast("Variant", found[1].lower()) if found else None


def _sized(url: str, size: Literal["_hrs", "_ful", ""]) -> str:
    """Return the URL of a photo with its size replaced or removed."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=SIZE.sub(size, parts.path)))


def _seq(value: object, place: int) -> int:
    """Return the number of a photo, or without one its position in the list."""
    number = _number(value)
    return place if number is None else number


def _number(value: object) -> int | None:
    """Return a count that is given as number or text, or None."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,10}\s*", value):
        value = int(value.strip())  # int() does not accept every blank that \s does
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None


def _is(value: object) -> bool:
    """Tell whether a flag that is given as boolean, number or text is set."""
    return value.strip().lower() in {"true", "1"} if isinstance(value, str) else value in (True, 1)
