"""Copart: the list of a lot's photos, and the page of a lot.

`photo_list` reads what the feed's Image URL answers (inventoryv2), and the three shapes of the site's own list (solr):

    {"imgCount": 1, "lotImages": [{"sequence": 1, "link": [
        {"url": "…_ful.jpg", "isThumbNail": false, "isHdImage": false, "isEngineSound": false, "isBlurred": false}]}]}
    {"data": {"imagesList": {"FULL_IMAGE": [{"url": "…_ful.jpg", "sequenceNumber": 1}], "HIGH_RESOLUTION_IMAGE": …}}}
    {"data": {"imagesList": {"content": [{"imageSeqNumber": 1, "fullUrl": …, "highResUrl": …, "thumbnailUrl": …}]}}}
    {"data": {"imagesList": {"IMAGE": [as in content]}}}

Shapes, sizes and selectors are those that public programs read from the site (looked up in November 2026), not a
promise of Copart: what is of another shape is a PageError, what is odd in one link costs that link.
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
"""The photos in the two galleries that were seen, the surer one first."""

ANYWHERE: Final = (
    'a[href*="image"] img',
    '[data-src*="copart"], [data-original*="copart"]',
)
"""Where to look on a lot's page that has neither; never beside one, where they would find similar lots."""

ADDRESSES: Final = ("hd-url", "full-url", "data-src", "data-original", "src")
"""The attributes that name a photo, the largest size first."""

BOX: Final = ".image-galleria_wrap, .image-gallery-slide, .lot-image-gallery"
LOT: Final = '#lot-details, .lot-information, [data-uname^="lotdetail"], h1.title, h1 .title'
LOT_PATH: Final = re.compile(r"/lot/\d+(/|$)")

SIZE: Final = re.compile(r"_(hrs|ful|thb)(?=\.(?:jpe?g|png|webp)$)", re.IGNORECASE)
PICTURE: Final = re.compile(r"\.(?:jpe?g|png|webp)$", re.IGNORECASE)
SOUND: Final = re.compile(r"\.(?:mp3|wav)$", re.IGNORECASE)
VIDEO: Final = re.compile(r"\.(?:mp4|mov|webm)$|_v(?:ful|hrs|thb)\.\w+$", re.IGNORECASE)
PLAIN: Final = re.compile(r"[!-\[\]-~]+")  # ASCII that is printed, without blanks and backslashes

BARE: Final = re.compile(r"//[^/]|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?/", re.IGNORECASE)
"""An address that lacks its scheme: `//host/path`, or `host/path` with a host of several names."""
LOOPBACK: Final = re.compile(r"(?://)?(?:127(?:\.[0-9]+){3}|localhost|\[::1\]):[0-9]+/", re.IGNORECASE)
"""A stand-in's host and port: the ports of other hosts speak https."""
PORTS: Final = {"http": 80, "https": 443}
LONGEST_ADDRESS: Final = 2_000  # characters; what PostgreSQL indexes ends at 2,704 bytes, addresses have about 110
MOST: Final = 2**31  # numbers are stored as integer: one beyond it is none

LISTS: Final[Mapping[str, Variant]] = {"HIGH_RESOLUTION_IMAGE": "hrs", "FULL_IMAGE": "ful", "THUMBNAIL_IMAGE": "thb"}
FIELDS: Final[Mapping[str, Variant]] = {"highResUrl": "hrs", "fullUrl": "ful", "thumbnailUrl": "thb"}
SOLR: Final = frozenset({*LISTS, "content", "IMAGE"})


def photo_list(response: Response, *, thumbnails: bool = False) -> PhotoList:
    """Return the photos that a list names: the largest size of each, by number; `thumbnails` adds theirs.

    A photo is its URL without the size: two photos under one number are two, one photo under two numbers is one, under
    the lower. A photo whose number cannot be read takes its place in the list for it. A photo of which only a blurred
    version is listed counts, for it is all there will ever be; beside a clear one of its number it is left out. One of
    which only a thumbnail is listed does not count unless thumbnails are wanted.

    `announced` is imgCount; where the list has none, the number of its photos.
    Raises PageError `bad_json` (cut short, or no JSON at all) and `not_photos` (JSON of another shape, and a solr list
    without entries: it has no count that would say that there are no photos).
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
    """Return the photos in the gallery of a lot's page, as the browser shows it after its scripts ran.

    The number of a photo is its place in the gallery. The page names few photos in their largest size: where it has the
    thumbnail only, the link is a guess at `_hrs`, and `smaller` names what to ask for if there is none. Only URLs with
    a size are photos, logos and placeholders are not; in a gallery they count as unreadable. A gallery may be empty.
    Raises PageError `not_a_lot` (another page) and `no_gallery` (a lot, but no photos and no place for them).
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
    """Return the next smaller size of a photo, or None: a thumbnail does not stand in for a photo."""
    url = _sized(link.url, "_ful")
    return replace(link, variant="ful", url=url) if link.variant == "hrs" and url != link.url else None


def list_address(image_url: str) -> str:
    """Return the feed's Image URL as it is asked: over https, save a stand-in at a loopback host:port.

    One without a scheme is an address, too. Raises ValueError for what is none.
    """
    return _address(image_url)


def lot_address(site_url: str, lot_external_id: int) -> str:
    """Return the address of a lot's page. Raises ValueError for what is no address and no lot number."""
    if lot_external_id < 1:
        raise ValueError(f"{lot_external_id} is no lot number")
    return f"{_address(site_url).rstrip('/')}/lot/{lot_external_id}"


@dataclass(frozen=True, kw_only=True)
class _Link:
    """An address in a list or a gallery. `size` is what the source says; the suffix of the URL knows better."""

    seq: int
    url: str
    size: Variant = "ful"
    is_sound: bool = False
    is_blurred: bool = False


def _inventory(data: Mapping[str, Any]) -> Iterator[_Link | None]:
    """Yield the links of an inventoryv2 list; None for one that cannot be read. Raises PageError."""
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
    """Yield the links of a solr list, whichever of its shapes it has; None for one that cannot be read. Raises
    PageError."""
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
    """Return the largest photo that an element of a page names, else its video or sound, else None."""
    other = None
    for name in ADDRESSES:
        try:
            url = _address(page.urljoin(node.attrib[name].strip()))
        except (KeyError, ValueError):
            continue
        path = urlsplit(url).path
        if size := _size(path):
            return _Link(seq=place, url=_sized(url, "_hrs") if size == "thb" else url)
        if SOUND.search(path) or VIDEO.search(path):
            other = _Link(seq=place, url=url)
    return other


def _sorted_out(links: Iterable[_Link | None], *, thumbnails: bool = False) -> PhotoList:
    """Return the photos among links, and by kind how many links are none of the wanted size."""
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
    """Return the photo that a link names, or the kind of what it names instead."""
    try:
        url = _address(link.url)
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
    """Return the size that the end of a path tells, or None."""
    found = SIZE.search(path)
    return cast("Variant", found[1].lower()) if found else None


def _sized(url: str, size: Literal["_hrs", "_ful", ""]) -> str:
    """Return the URL of a photo with another size in the place of its own, or without any."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=SIZE.sub(size, parts.path)))


def _seq(value: object, place: int) -> int:
    """Return the number of a photo, or its place in the list for want of it."""
    number = _number(value)
    return place if number is None else number


def _number(value: object) -> int | None:
    """Return a count, whether it came as a number or as text, or None."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,10}\s*", value):
        value = int(value.strip())  # int() alone takes not every blank that \s does
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None


def _is(value: object) -> bool:
    """Tell whether a flag is set, whether it came as such or as text."""
    return value.strip().lower() in {"true", "1"} if isinstance(value, str) else value in (True, 1)


def _address(text: str) -> str:
    """Return an address over https, over http if it is a stand-in's at a loopback host:port. Raises ValueError.

    An address may lack its scheme, and the slashes before its host too.
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
