"""mobile.bg: the pages of a list, an ad's own page, and the sitemap that names makes and models.

A page of a list shows 20 ads with nearly all data of their own pages. There were two layouts in October 2025, and a
superfluous `</div>` after the first ad in 2026: so a card is found by its id, never by its parent.

The site uses windows-1251, whatever a header says; a body that is valid UTF-8 with Cyrillic letters is read as UTF-8.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from html import unescape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from parsel import Selector

from vinops_scrapy.items import Listing, ListPage
from vinops_scrapy.pages import mobile_bg_words as words
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.pages.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrapy.http import Response

    from vinops_scrapy.items import Promotion

SOURCE: Final = "mobile.bg"
SECTION: Final = "/obiavi/avtomobili-dzhipove"
SITEMAP: Final = "/sitemap/sitemap-avtomobili-dzhipove-avtomobili-dzhipove.xml.gz"
MOST_UNPACKED: Final = 50_000_000  # bytes of a sitemap: 135 makes and 2,100 models take 0.4 MB


def _has(name: str) -> str:
    """Return the XPath condition for a class."""
    return f'contains(concat(" ", normalize-space(@class), " "), " {name} ")'


CARDS: Final = f'//div[starts-with(@id, "ida")][{_has("item")}][not({_has("fakti")})]'
TITLE: Final = "a.title"
PRICE: Final = "div.price"
NEW: Final = "new."
PARAMS: Final = "div.params"
INFO: Final = "div.info"
SELLER: Final = "div.seller"
LOCATION: Final = "div.location"
PHOTOS: Final = "div.photo"
PHOTO_COUNT: Final = "a.photos"
"""The parts of a card, by tag and class: the first of each."""

SELECTED: Final = f"//div[{_has('pagination')}]/*[{_has('selected')}]"
NEXT: Final = f'//a[{_has("next")}]/@href | //link[@rel="next"]/@href'

HEADING: Final = "//h1"
HEADING_ID: Final = f".//*[{_has('obiava')}]"
CANONICAL: Final = '//link[@rel="canonical"]/@href'
CRUMBS: Final = f'//trohi//a[contains(@href, "{SECTION}/")]'
OWN_PRICE: Final = f"//div[{_has('Price')}]"
OWN_AMOUNT: Final = f"//div[{_has('Price')}]//@onclick"
OWN_NOTE: Final = f"//div[{_has('PriceInfo')}]"
TECHNICAL: Final = (
    f"//div[{_has('techData')}]//div[{_has('item')}] | //div[{_has('mainCarParams')}]/div[{_has('item')}]"
)
OWN_TEXT: Final = f"//div[{_has('moreInfo')}]//div[{_has('text')}]"
OWN_EQUIPMENT: Final = f"//div[{_has('carExtri')}]//div[{_has('items')}]/div"
OWN_LOCATION: Final = f"//div[{_has('carLocation')}]"
OWN_SELLER: Final = f"//div[{_has('phone')}]/span"
CONTACTS: Final = f"//div[{_has('dealer2023')}]"
OWN_PHOTOS: Final = f"//img[{_has('carouselimg')}]"
OWN_PROMOTION: Final = f"//img[{_has('promoLine')}]/@src"

SLUG: Final = re.compile(r"[a-z0-9-]+")
AD_PATH: Final = re.compile(r"/obiava-([12]\d{16})(?:-|$)")
AD_ID: Final = re.compile(r"(?<!\d)[12]\d{16}(?!\d)")
LIST_PATH: Final = re.compile(rf"{SECTION}(?:/([a-z0-9-]+))?(?:/([a-z0-9-]+))?(?:/|$)")
PAGE_PATH: Final = re.compile(r"/p-(\d{1,5})(?:/|$)")
FILTER: Final = re.compile(r"p-\d+|(?:ot|do)-\d+|(?:oblast|obshtina|grad|namira-se)-.*")
REGION: Final = re.compile(rf"{SECTION}(?:/[a-z0-9-]+)*?/((?:oblast|obshtina)-[a-z0-9-]+)")
TOTAL: Final = re.compile(r"(?<=\d)\s+от\s+общо\s+(\d[\d\s]{0,11})(\+?)")
ABOUT: Final = '//meta[@name="description"]/@content'
OFFERS: Final = re.compile(r"»\s*([1-9][\d\s]{0,11})«")
CHANGE: Final = re.compile(r"showpricechange\('\d+', ?'([\d. ]+)', ?'([^']{1,5})'")
AMOUNT: Final = re.compile(r"[\d ’']+")
MEASURES: Final = {
    "Пробег": re.compile(r"\d ?км"),
    "Мощност": re.compile(r"\d ?к\. ?с"),
    "Кубатура": re.compile(r"\d ?куб"),
}
"""The labels of measures, by whose unit a value is taken for one."""
PLAIN: Final = re.compile(r"//[a-z0-9.-]+(?::\d{1,5})?/[a-zA-Z0-9._/-]*")
DELETED: Final = "изтрита или не е активна"
EXTRAS: Final = "\nОсобености - "
IN: Final = "Намира се в "
PHOTO: Final = "/photosorg/"
SORT: Final = re.compile(r"(?:^|&)sort=(\d{1,2})(?:&|$)")
ORDERS: Final = {"3": "price_eur", "5": "mileage_km"}
"""The fields by which lists are ordered, by `sort`, beside the orders by date."""
COUNT: Final = re.compile(r"[0-9]{1,4}")
LOC: Final = re.compile(r"<loc>\s*([^<\s]{1,500})\s*</loc>")
ASCII: Final = bytes(range(128))
NOT_LOWER: Final = bytes(set(range(256)) - set(range(0xE0, 0x100)))  # all but а to я in windows-1251
ENOUGH: Final = 20  # letters beyond ASCII that are needed to judge the charset
PROMOTIONS: Final[Mapping[str, Promotion]] = {"BEST": "best", "TOP": "top", "VIP": "vip"}


def list_address(
    site: str,
    make: str | None,
    *,
    model: str | None = None,
    page: int = 1,
    region: str | None = None,
    sort: int | None = None,
) -> str:
    """Return the address of a page of a list.

    Make, model and region (`namira-se-v-balgariya`, `oblast-sofiya`) are slugs; without a make it is the list of all.
    `sort` is 6 for the newest first, 7 for the newest of two days, 3 for the price, 5 for the mileage. Raises
    ValueError for an invalid slug or page, and for a model without a make.
    """
    if model is not None and make is None:
        raise ValueError(f"{model!r} is a model of no make")
    parts = [part for part in (make, model, region) if part is not None]
    for part in parts:
        if not SLUG.fullmatch(part):
            raise ValueError(f"{part!r} is not a slug: it takes lower-case letters, digits and hyphens")
    if page < 1 or (sort is not None and sort < 1):
        raise ValueError(f"page {page}, sorted by {sort}: both are counted from 1")
    path = "/".join([SECTION, *parts, *([f"p-{page}"] if page > 1 else [])])
    return f"{site.rstrip('/')}{path}{f'?sort={sort}' if sort else ''}"


def sitemap_address(site: str) -> str:
    """Return the address of the sitemap with the lists of all makes and models."""
    return f"{site.rstrip('/')}{SITEMAP}"


def models(response: Response) -> dict[str, tuple[str, ...]]:
    """Return the slugs of models by the slug of their make, in the order of the sitemap, which may be compressed.

    Raises PageError `truncated`, `too_large` (more than 50 MB) and `no_makes` (no list of a make in it).
    """
    text = _unpacked(response.body).decode("utf-8", "replace")
    if "<urlset" in text and "</urlset>" not in text:
        raise PageError("truncated", f"the sitemap of {len(text)} characters has no end")
    found: dict[str, dict[str, None]] = {}
    for address in LOC.findall(text):
        _, section, tail = unescape(address).partition(f"{SECTION}/")
        make, _, model = tail.strip("/").partition("/")
        if section and SLUG.fullmatch(make) and not FILTER.fullmatch(make):
            of_make = found.setdefault(make, {})
            if SLUG.fullmatch(model) and not FILTER.fullmatch(model):
                of_make[model] = None
    if not found:
        raise PageError("no_makes", f"none of {text.count('<loc>')} addresses is a list of a make")
    return {make: tuple(of_make) for make, of_make in found.items()}


def regions(response: Response) -> tuple[str, ...]:
    """Return the slugs of regions that the sitemap names, such as `oblast-sofiya`; none if it names no such list.

    Raises PageError as `models`.
    """
    return _regions(_unpacked(response.body).decode("utf-8", "replace"))


def list_page(response: Response) -> ListPage:
    """Return the ads of a page of a list, in order and each once.

    A card whose id or title cannot be read is left out as `unreadable`, a further card of an ad as `repeated`. For a
    list that the site cuts off, «3000+», and for one without a total, `total` is the count in the page's description.
    Raises PageError `charset` (the letters are not Bulgarian), `truncated` (the page has no end) and `no_cards` (no
    readable ad, and no total of zero: a challenge or another layout).
    """
    text = _text(response)
    root = _root(text)
    slugs = LIST_PATH.search(urlsplit(response.url).path)
    make, model = (slugs[1] or "", slugs[2] or "") if slugs else ("", "")
    left_out: Counter[str] = Counter()
    found: dict[str, Listing] = {}
    cards = root.xpath(CARDS)
    if cards and not re.search("[а-я]", text):
        raise PageError("charset", f"{len(cards)} ads without a Cyrillic letter")
    # From the last to the first, each removed once it is read: where a div is not closed, the cards after it are inside
    # it, and their values would be taken for its own.
    for card in reversed(cards):
        ad = _card(card, response.url, make, model)
        if ad is None:
            left_out["unreadable"] += 1
        else:
            left_out["repeated"] += found.pop(ad.ad_id, None) is not None
            found[ad.ad_id] = ad
        card.drop_tree()
    head = text.partition('id="ida')[0] if cards else text
    count = _total(head, "".join(root.xpath(ABOUT)[:1]))
    if not found and (cards or count != 0):
        raise PageError("no_cards", f"no ad on {len(cards)} cards in {len(text)} characters, and the total is {count}")
    selected = "".join(root.xpath(f"{SELECTED}/text()")[:1]).strip()
    address = urlsplit(response.url)
    in_path, order = PAGE_PATH.search(address.path), SORT.search(address.query)
    return ListPage(
        listings=tuple(reversed(found.values())),
        total=count,
        page=int(selected) if re.fullmatch(r"[0-9]{1,5}", selected) else int(in_path[1]) if in_path else 1,
        next_url=next(filter(None, (_address(response.url, link) for link in root.xpath(NEXT))), None),
        left_out={kind: number for kind, number in left_out.items() if number},
        regions=_regions(text),
        ordered_by=ORDERS.get(order[1]) if order else None,
    )


def listing(response: Response) -> Listing:
    """Return the ad of an ad's own page. Raises PageError `deleted`, `charset`, `truncated` and `not_an_ad`."""
    if response.status in {404, 410}:
        raise PageError("deleted", f"status {response.status}")
    text = _text(response)
    if DELETED in text and 'class="techData"' not in text:
        raise PageError("deleted", "the page says that the ad is gone")
    root = _root(text)
    heading = _first(root, HEADING)
    links = [*root.xpath(CANONICAL), response.url]
    named = AD_ID.search(_words(_first(heading, HEADING_ID))) if heading is not None else None
    ad_id = named[0] if named else next((path[1] for path in map(AD_PATH.search, links) if path), "")
    posted = words.posted_at(ad_id)
    title = masked(words.folded("".join(heading.xpath("./text()")))) if heading is not None else ""
    if posted is None or not title or not root.xpath(OWN_PRICE):
        raise PageError("not_an_ad", "the page has not heading, number and price of an ad")
    amount = next(filter(None, map(CHANGE.search, root.xpath(OWN_AMOUNT))), None)
    stated = f"{amount[1]} {amount[2]} " if amount else ""
    price = words.price(stated + " ".join(root.xpath(f"{OWN_PRICE}/text()")))
    car = words.car(map(_technical, root.xpath(TECHNICAL)), posted)
    place = _first(root, OWN_LOCATION)
    seller = _words(_first(root, OWN_SELLER)).strip("/ ")
    private = "Частно лице" in seller + "".join(map(_words, root.xpath(CONTACTS)))
    crumbs = [_words(link) for link in root.xpath(CRUMBS)]
    photos = _photos(response.url, root.xpath(OWN_PHOTOS))
    promotion = next(
        (PROMOTIONS[name] for name in PROMOTIONS for src in root.xpath(OWN_PROMOTION) if name in src), None
    )
    fields: dict[str, Any] = {
        **(dict(zip(("make_text", "model_text"), crumbs, strict=False)) or words.make_and_model(title)),
        **price.fields,
        **car.fields,
        **({} if place is None else words.location(place.get("data-title", ""), _words(place).removeprefix(IN))),
    }
    return Listing(
        source=SOURCE,
        ad_id=ad_id,
        url=_own_address(response.url, ad_id, next(iter(links))),
        title=title,
        posted_at=posted,
        vat=words.vat(_words(_first(root, OWN_NOTE))),
        seller_kind="private" if private else "dealer" if seller else None,
        description=masked(_lines(_first(root, OWN_TEXT))) or None,
        equipment=tuple(dict.fromkeys(filter(None, map(_words, root.xpath(OWN_EQUIPMENT))))),
        photo_urls=photos,
        photo_count=len(photos),
        promotion=promotion,
        dropped=(*price.dropped, *car.dropped),
        **fields,
    )


def _card(card: Any, base: str, make: str, model: str) -> Listing | None:
    """Return the ad on a card; None if its id or title cannot be read."""
    ad_id = card.get("id")[3:]
    posted = words.posted_at(ad_id)
    parts = _parts(card)
    link = parts.get(TITLE)
    title = masked(_words(link))
    if posted is None or link is None or not title:
        return None
    box, params, seller, images = (parts.get(name) for name in (PRICE, PARAMS, SELLER, PHOTOS))
    price = words.price("" if box is None else _words(next(iter(box), None)))
    car = words.car(map(_words, () if params is None else params), posted)
    about, extras = _about(_lines(parts.get(INFO)))
    region, _, place = _words(parts.get(LOCATION)).partition(",")
    count = COUNT.search(_words(parts.get(PHOTO_COUNT)))
    fields: dict[str, Any] = {
        **words.make_and_model(title, make=make, model=model),
        **price.fields,
        **car.fields,
        **words.location(region, place),
    }
    return Listing(
        source=SOURCE,
        ad_id=ad_id,
        url=_own_address(base, ad_id, link.get("href", "")),
        title=title,
        posted_at=posted,
        vat=words.vat(_words(box)),
        seller_kind=None if seller is None else "private" if "FREE" in seller.get("class").split() else "dealer",
        description=masked(about) or None,
        equipment=words.equipment(extras),
        photo_urls=_photos(base, () if images is None else images.iter("img")),
        photo_count=int(count[0]) if count else None,
        is_new="НОВА" in _words(parts.get(NEW)),
        promotion=next((PROMOTIONS[name] for name in card.get("class").split() if name in PROMOTIONS), None),
        dropped=(*price.dropped, *car.dropped),
        **fields,
    )


def _parts(card: Any) -> dict[str, Any]:
    """Return the first element of each tag and class on a card: a quarter of the time of eight XPaths."""
    parts: dict[str, Any] = {}
    for element in card.iter("*"):
        for name in element.get("class", "").split() or ("",):
            parts.setdefault(f"{element.tag}.{name}", element)
    return parts


def _total(head: str, about: str) -> int | None:
    """Return how many ads a list has; None if neither the page nor its description `about` has a count.

    For a list that is cut off the page has «3000+», and the description the exact count. In the real lists of October
    2025 both agree. A count of zero in the description is ignored: an empty list has its zero on the page.
    """
    found = TOTAL.search(head)
    offers = OFFERS.search(about) if found is None or found[2] else None
    return max((int("".join(each[1].split())) for each in (found, offers) if each), default=None)


def _text(response: Response) -> str:
    """Return a page as text. Raises PageError `charset` and `truncated`."""
    body = response.body
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if re.search("[а-я]", text):
        foreign = len(text) - len(text.encode("ascii", "ignore"))
        small = len(text.encode("cp1251", "ignore").translate(None, NOT_LOWER))
    else:
        text = body.decode("cp1251", "replace")
        foreign, small = len(body.translate(None, ASCII)), len(body.translate(None, NOT_LOWER))
    # On real pages most letters beyond ASCII are а to я; in a text that is decoded wrongly, almost none.
    if foreign >= ENOUGH and small < foreign / 2:
        raise PageError("charset", f"{small} of {foreign} letters beyond ASCII are small Cyrillic ones")
    if "</html>" not in text and "</HTML>" not in text:
        raise PageError("truncated", f"{len(body)} bytes without </html>")
    return text


def _root(text: str) -> Any:
    """Return the root element, of lxml: a Selector for each card would take twice the time."""
    return Selector(text=text, type="html").root


def _unpacked(body: bytes) -> bytes:
    """Return a body, decompressed if it is gzip. Raises PageError `truncated` and `too_large`."""
    if body.startswith(b"\x1f\x8b"):
        unpacking = zlib.decompressobj(wbits=31)
        try:
            packed, body = body, unpacking.decompress(body, MOST_UNPACKED + 1)
        except zlib.error as error:
            raise PageError("truncated", f"{error}") from None
        if len(body) <= MOST_UNPACKED and not unpacking.eof:
            raise PageError("truncated", f"{len(packed)} bytes of gzip without an end")
    if len(body) > MOST_UNPACKED:
        raise PageError("too_large", f"more than {MOST_UNPACKED} bytes")
    return body


def _regions(text: str) -> tuple[str, ...]:
    """Return the slugs of regions in addresses of lists, each once."""
    return tuple(dict.fromkeys(REGION.findall(text)))


def _first(node: Any, path: str) -> Any:
    """Return the first element at a path, or None."""
    return next(iter(node.xpath(path)), None)


def _words(node: Any) -> str:
    """Return the text of an element on one line, with a blank between its parts; none for None."""
    return "" if node is None else words.folded(" ".join(node.itertext()))


def _lines(node: Any) -> str:
    """Return the text of an element, with a line break for each <br>."""
    if node is None:
        return ""
    for line_break in node.iter("br"):
        line_break.tail = f"\n{line_break.tail or ''}"
    lines = (words.folded(line) for line in "".join(node.itertext()).split("\n"))
    return "\n".join(filter(None, lines))


def _about(text: str) -> tuple[str, str]:
    """Return description and equipment, which lists show as one text."""
    about, mark, extras = f"\n{text}".rpartition(EXTRAS)
    return (about.strip(), extras) if mark else (text, "")


def _technical(item: Any) -> str:
    """Return the value in a row of the ad's own page, with the unit of the label if it has none.

    A measure under another label says something else, and is left out: «Пробег с едно зареждане (WLTP) [км]» is the
    range of an electric car.
    """
    label, value = ([_words(part) for part in item] + ["", ""])[:2]
    name, _, unit = label.partition("[")
    text = f"{value} {unit.rstrip('] ')}" if unit and AMOUNT.fullmatch(value) else value
    measure = next((measured for measured, units in MEASURES.items() if units.search(text)), None)
    return text if measure in (None, name.strip()) else ""


def _photos(base: str, images: Iterable[Any]) -> tuple[str, ...]:
    """Return the addresses of photos, each once, in the largest size."""
    found = (
        _address(base, image.get("data-src-gallery") or image.get("data-src") or image.get("src") or "")
        for image in images
    )
    return tuple(dict.fromkeys(url for url in found if url and PHOTO in url))


def _own_address(base: str, ad_id: str, link: str) -> str:
    """Return the address of an ad, without its words if they contain a phone number, as titles do."""
    url = _address(base, link)
    path = urlsplit(url).path if url else ""
    found = AD_PATH.search(path)
    if not url or not found or found[1] != ad_id or masked(path[found.end() :]) != path[found.end() :]:
        path = f"/obiava-{ad_id}"
    parts = urlsplit(url if found and url else base)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _address(base: str, link: str) -> str | None:
    """Return the address of a link, with https if the page has it; None for an invalid one."""
    link = link.strip()
    scheme = base.partition(":")[0]
    if PLAIN.fullmatch(link):  # nearly all of the two hundred links of a list page: saves a tenth of its time
        return f"{scheme}:{link}"
    try:
        parts = urlsplit(f"{scheme}:{link}" if link.startswith("//") else urljoin(base, link))
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host or not link:
        return None
    return urlunsplit(parts._replace(scheme="https" if scheme == "https" else parts.scheme, fragment=""))
