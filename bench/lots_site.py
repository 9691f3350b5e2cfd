"""What the site takes for pages of lots, vehicles and operations, for thumbnails, and for a ZIP of photos, as a browser
on this machine sees it.

The photos are JPEGs of the stand-in in the folder of the place, each with bytes of its own. A browser has six
connections to a host over HTTP/1.1, so a page of lots is the page and then its thumbnails, six at a time.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from bench.board import in_ms, quantile
from bench.pairs import say
from bench.server import BenchFailed
from bench.site import asked, serving
from standin.photos.pictures import jpeg
from vinops.db import database
from vinops.lots import reads
from vinops.lots.filter import LotFilter
from vinops.storage import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg import Connection

    from bench.server import Place
    from bench.site import Browser
    from vinops.board.records import Facets
    from vinops.lots.records import LotPage
    from vinops.storage.store import Store

    Draw = Callable[[random.Random, Facets], LotFilter]

MOST_PAGE: Final = 0.1  # seconds, p95 of lots, lot, VIN and operations
MOST_THUMBNAIL: Final = 0.15  # p95 of one that is made
MOST_GALLERY: Final = 2.0  # a page of 24 lots whose thumbnails are all made
MOST_ZIP_MB: Final = 64.0
CONNECTIONS: Final = 6
GALLERIES: Final = 6  # pages of lots that have photos in the folder; of the last one thumbnails are asked for singly
ZIPPED: Final = 40
ZIPPED_BYTES: Final = 1_000_000
ON_CARD: Final = 3
SAMPLED: Final = 4  # lots of a page whose own pages are asked for
OPERATIONS: Final = 40
WITH_PHOTOS: Final = LotFilter(has_photos="yes")
THUMBNAIL: Final = re.compile(rb'src="(/thumbs/[^"]+)"')


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Seconds of each kind of page; of thumbnails that are made, and the same that are kept; of pages of lots with all
    their thumbnails made. Bytes of the largest page of lots. Photos, seconds and bytes of a ZIP, and by how many MB the
    site grew for it."""

    lots: Sequence[float]
    lot: Sequence[float]
    vin: Sequence[float]
    search: Sequence[float]
    ops: Sequence[float]
    cold: Sequence[float]
    warm: Sequence[float]
    galleries: Sequence[float]
    thumbnails: int
    page_bytes: int
    zip_seconds: float
    zip_bytes: int
    zip_mb: float


def measure(place: Place, draw: Draw, number: int) -> Pages:
    """Put photos into a place that has lots, serve it, and ask for `number` pages of each kind; `draw` returns a random
    filter. Raises BenchFailed."""
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        pages, lots, vins, searches = _addresses(connection, draw, number)
        galleries, zipped = _with_photos(connection, opening.open_photos(place.settings))
    ops = ["/ops"] * min(OPERATIONS, number)
    with serving(place) as (browser, pid):
        for path in (*pages[:20], *lots[:20], *vins[:20], *searches[:20], *ops[:5]):
            browser.get(path)
        say(f"site: {len(pages)} pages of lots, {len(lots)} lots, {len(vins)} vehicles, {len(ops)} times operations")
        of_lots, page_bytes = asked(browser, pages)
        kinds = [asked(browser, paths)[0] for paths in (lots, vins, searches, ops)]
        say(f"site: {len(galleries)} pages of lots with their thumbnails, and a ZIP of {ZIPPED} photos")
        whole = [_gallery(browser, path) for path in galleries[:-1]]
        singly = _thumbnails(browser, galleries[-1])[1]
        cold, warm = ([browser.get(path)[0] for path in singly] for _ in range(2))
        zip_seconds, zip_bytes, zip_mb = _zip(browser, pid, zipped)
    return Pages(
        lots=of_lots, lot=kinds[0], vin=kinds[1], search=kinds[2], ops=kinds[3], cold=cold, warm=warm,
        galleries=[seconds for seconds, _ in whole], thumbnails=max(count for _, count in whole),
        page_bytes=max(page_bytes), zip_seconds=zip_seconds, zip_bytes=zip_bytes, zip_mb=zip_mb,
    )  # fmt: skip


def _addresses(
    connection: Connection[Any], draw: Draw, number: int
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return addresses of pages of lots, half of them the first of all and half of random filters, and of lots, of
    their VINs, and of what the search box sends for either."""
    dice = random.Random(2)
    pages, lots, vins, searches = list[str](), list[str](), list[str](), list[str]()
    facets = reads.facets(connection)
    while len(pages) < number:
        wanted = draw(dice, facets)
        page, _problems = reads.page(connection, wanted)
        pages += ["/lots", f"/lots?{urlencode(wanted.to_params())}"]
        for card in dice.sample(page.cards, min(SAMPLED, len(page.cards))):
            lots.append(f"/lots/{card.lot_external_id}")
            vins.append(f"/vin/{card.vin}")
            searches += [f"/search?{urlencode({'q': str(each)})}" for each in (card.vin, card.lot_external_id)]
    if not lots:
        raise BenchFailed("none of the random filters found a lot")
    return pages, lots, vins, searches


def _with_photos(connection: Connection[Any], store: Store) -> tuple[list[str], str]:
    """Store photos for the lots of some pages, and many large ones for one more lot; return the addresses of the pages,
    and of that lot's ZIP."""
    connection.execute("set session_replication_role = replica")
    addresses, token = list[str](), None
    params = [*WITH_PHOTOS.to_params(), ("sort", "new")]
    for page in islice(_pages(connection), GALLERIES):
        addresses.append(f"/lots?{urlencode([*params, *([('after', token)] if token else [])])}")
        for card in page.cards:
            for seq in range(1, ON_CARD + 1):
                _store(connection, store, (card.lot_id, card.lot_external_id, seq), size=0)
        token = page.next
    page, _ = reads.page(connection, WITH_PHOTOS, sort="new", after=token)
    if not page.cards:
        raise BenchFailed(f"there are no {GALLERIES + 1} pages of lots with photos: fill more lots")
    card = page.cards[0]
    connection.execute("delete from images where lot_id = %s", [card.lot_id])
    for seq in range(1, ZIPPED + 1):
        connection.execute(
            "insert into images (lot_id, vin, seq, variant, source_url, storage_key, content_hash, content_type,"
            " width, height, bytes) values (%s, %s, %s, 'hrs', %s, '', repeat('0', 64), 'image/jpeg', 1600, 1200, 1)",
            [card.lot_id, card.vin, seq, f"https://z.example/{seq}"],
        )
        _store(connection, store, (card.lot_id, card.lot_external_id, seq), size=ZIPPED_BYTES)
    connection.execute("set session_replication_role = origin")
    return addresses, f"/lots/{card.lot_external_id}/photos.zip"


def _pages(connection: Connection[Any]) -> Iterator[LotPage]:
    token = None
    while True:
        page, _ = reads.page(connection, WITH_PHOTOS, sort="new", after=token)
        if len(page.cards) < reads.SIZE or page.next is None:
            raise BenchFailed(f"there are no {GALLERIES + 1} pages of lots with photos: fill more lots")
        yield page
        token = page.next


def _store(connection: Connection[Any], store: Store, photo: tuple[int, int, int], *, size: int) -> None:
    """Store a photo of a lot, given by id, number in the feed and its own number, in all sizes that are recorded of it;
    filled up to `size` bytes. A decoder stops before what fills it up."""
    lot_id, lot_number, seq = photo
    body = jpeg(hashlib.md5(f"{lot_id}/{seq}".encode(), usedforsecurity=False).hexdigest(), "hrs")
    body += random.Random(seq).randbytes(max(0, size - len(body)))
    content_hash = hashlib.sha256(body).hexdigest()
    key = f"photos/{lot_number}/{content_hash}.jpg"
    store.put(key, body, content_type="image/jpeg")
    connection.execute(
        "update images set storage_key = %s, content_hash = %s, bytes = %s, store_id = null"
        " where lot_id = %s and seq = %s",
        [key, content_hash, len(body), lot_id, seq],
    )


def _thumbnails(browser: Browser, path: str) -> tuple[float, list[str]]:
    """Return the seconds of a page of lots, and the addresses of its thumbnails."""
    seconds, body = browser.body(path)
    found = [each.decode() for each in THUMBNAIL.findall(body)]
    if len(found) != reads.SIZE * ON_CARD:
        raise BenchFailed(f"{path} has {len(found)} thumbnails, not {reads.SIZE * ON_CARD}")
    return seconds, found


def _gallery(browser: Browser, path: str) -> tuple[float, int]:
    """Return the seconds until a page of lots and all its thumbnails were there, and how many these are."""
    began = time.monotonic()
    _, found = _thumbnails(browser, path)
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(browser.get, found))
    return time.monotonic() - began, len(found)


def _zip(browser: Browser, pid: int, path: str) -> tuple[float, int, float]:
    """Return seconds and bytes of a ZIP, and by how many MB the process of the site grew for it."""
    began, size = time.monotonic(), 0
    with browser.streamed(pid, path) as (pieces, growth):
        for piece in pieces:
            size += len(piece)
    if size < ZIPPED * ZIPPED_BYTES:
        raise BenchFailed(f"the ZIP has {size:,} bytes: less than its photos")
    return time.monotonic() - began, size, growth[0] / 1e6


def rows(pages: Pages | None) -> list[str]:
    """Return the rows of a Markdown table with p50, p95 and the worst."""
    if pages is None:
        return []
    return [
        f"| the site: {name} | {in_ms(seconds, 0.5)} | {in_ms(seconds, 0.95)} | {in_ms(seconds, 1)} |"
        for name, seconds in (
            ("/lots", pages.lots),
            ("/lots/N", pages.lot),
            ("/vin/VIN", pages.vin),
            ("/search", pages.search),
            ("/ops", pages.ops),
            ("a thumbnail that is made", pages.cold),
            ("a thumbnail that is kept", pages.warm),
            (f"/lots with {pages.thumbnails} thumbnails, all made", pages.galleries),
        )
    ]


def summary(pages: Pages | None) -> str:
    """Return what is no row of the table, as sentences."""
    if pages is None:
        return ""
    archive = f"A ZIP of {ZIPPED} photos, {pages.zip_bytes / 1e6:.0f} MB, came in {pages.zip_seconds:.2f} s"
    return (
        f"The largest page of lots has {pages.page_bytes / 1000:.0f} KB. {archive};"
        f" the site grew by {pages.zip_mb:.0f} MB for it."
    )


def missed(pages: Pages | None) -> list[str]:
    """Return the goals that were missed."""
    if pages is None:
        return []
    figures = (
        ("the site, /lots, p95", quantile(pages.lots, 0.95), MOST_PAGE, "s"),
        ("the site, /lots/N, p95", quantile(pages.lot, 0.95), MOST_PAGE, "s"),
        ("the site, /vin/VIN, p95", quantile(pages.vin, 0.95), MOST_PAGE, "s"),
        ("the site, /ops, p95", quantile(pages.ops, 0.95), MOST_PAGE, "s"),
        ("a thumbnail that is made, p95", quantile(pages.cold, 0.95), MOST_THUMBNAIL, "s"),
        ("a page of lots with its thumbnails", max(pages.galleries), MOST_GALLERY, "s"),
        ("the site, memory of a ZIP", pages.zip_mb, MOST_ZIP_MB, "MB"),
    )
    return [
        f"{name}: {value:.3g} {unit}, more than {most:g} {unit}" for name, value, most, unit in figures if value > most
    ]
