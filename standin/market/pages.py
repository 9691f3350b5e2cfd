"""The pages of the site as HTML, except the detail page. Class names and structure are the site's; texts are invented.

Pages and cards are bytes in windows-1251: the card of an ad is rendered once and then used in many pages.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final, Literal, get_args

from standin.market.values import MONTHS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from standin.market.ads import Ad

#: HTML variants: `plain` is the page as the real server sends it, `best` as a browser serializes it, and `stray_div`
#: has an extra `</div>` after the first card, which closes `.ads2023`.
Layout = Literal["plain", "best", "stray_div"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)
ENCODING: Final = "windows-1251"
PER_PAGE: Final = 20
ROOT: Final = "/obiavi/avtomobili-dzhipove"
SITEMAP: Final = "/sitemap/sitemap-avtomobili-dzhipove-avtomobili-dzhipove.xml.gz"
LOGIN: Final = "/users/login"
DELETED: Final = "Обявата е изтрита или не е активна."
_NO_PHOTO: Final = "/images/picturess/nophoto_660x495.svg"
_NBSP: Final = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, kw_only=True)
class Position:
    """The position of a page in its list: its number, the number of pages and ads, and the parts of its URL.

    `first` and `last` are the numbers of the first and last ad on the page, counted from 1. `total` is the text on the
    page: `3000+` if the list is longer than its pages.
    """

    base: str
    query: str
    number: int
    pages: int
    first: int
    last: int
    total: str
    all_ads: int
    title: str

    def url(self, number: int) -> str:
        """Return the URL of a page of the same list."""
        return f"{self.base}{'' if number == 1 else f'/p-{number}'}{self.query}"


@dataclass(frozen=True, kw_only=True)
class Menu:
    """The links at the end of a page, as URL path and name: the lists of all makes, and this list by region."""

    makes: Sequence[tuple[str, str]] = ()
    regions: Sequence[tuple[str, str]] = ()


def encoded(text: str) -> bytes:
    """Return the text in the encoding of the site."""
    return text.encode(ENCODING)


def photo_path(ad: Ad, letters: str, *, large: bool = False) -> str:
    """Return the URL path of a photo of the ad."""
    return f"/mobile/photosorg/{ad.id[-3:]}/{ad.id[0]}/{'big1/' if large else ''}{ad.id}_{letters}.webp"


def grouped(number: int, separator: str = " ") -> str:
    """Return the number with separated thousands."""
    return f"{number:,}".replace(",", separator)


def money(value: Decimal, separator: str = " ") -> str:
    """Return an amount as the site writes it: with cents only if they are not zero."""
    whole = int(value)
    cents = "" if value == whole else f"{value % 1:.2f}"[1:]
    return grouped(whole, separator) + cents


def price_lines(ad: Ad) -> str:
    """Return the price in EUR and in BGN as HTML, or the text that replaces it."""
    if ad.price is None or ad.price_bgn is None:
        return ad.no_price or ""
    separator = _NBSP if int(ad.id[-1]) % 4 == 0 else " "
    return f"{money(ad.price, separator)} €<br>{money(ad.price_bgn, separator)} лв."


def card(ad: Ad, *, host: str, layout: Layout) -> bytes:
    """Return the card of an ad in a list. `host` is the start of links, without scheme: `//127.0.0.1:8000`."""
    best = layout == "best"
    link, title = escape(host + ad.path), escape(ad.title)
    photos = [host + photo_path(ad, letters) for letters in ad.photos]
    first = photos[0] if photos else host + _NO_PHOTO
    wrap = f"{host}/images/picturess/icons/hpages/{ad.promotion}-wrap.svg"
    line = f'<img src="{wrap}" class="promoLine" alt="status">' if ad.promotion else ""
    small = "\n        ".join(
        f'<a href="{link}" class="saveSlink"><img src="{photo}" alt="Обява за продажба на {title}"></a>'
        for photo in photos[1:4]
    )
    vat = f"\n        <span>{ad.vat}</span>" if ad.price is not None else ""
    new = "<strong>НОВА ОБЯВА</strong>" if ad.is_new else ""
    params = " ".join(f"<span>{value}</span>" for value in _params(ad))
    about = _about(ad)
    number = f" <strong>и {len(photos)} снимки</strong>{'' if best else '</strong>'}" if photos else ""
    mark = f"markNew(this, '{ad.id}'); updatecomprintNew('p{ad.id}','{first}');"
    star = "Добави обявата в бележника. Изисква регистрация."
    return encoded(f"""<div class="item {f"{ad.promotion} " if ad.promotion else ""}" id="ida{ad.id}">
  <div class="photo">
    <div class="wrapper">
      <div class="big">
        <a href="{link}" class="image saveSlink">
          {line}

          <img src="{first}" class="pic" alt="Обява за продажба на {title}"{"" if best else " "}>
        </a>
      </div>
      <div class="small">
        {small}
      </div>
    </div>
  </div>
  <div class="text">
    <div class="zaglavie">
      <a href="{link}" class="title saveSlink">{title}</a>
      <div class="price {ad.trend}">
        <div>{price_lines(ad)}</div>{vat}
      </div>
      <div class="like">
        <a onclick="openLogPopup(1); return false;" id="star_{ad.id}" title="{star}" class=""></a>
      </div>
    </div>

    <new>
      <span>

          {new}


      </span>
    </new>

    <div class="params">
      {params}
    </div>


      <div class="info">
        {about}
      </div>


    {_seller(ad, host)}

  </div>
  <div class="links">
    <div>

      <a href="{link}" class="photos saveSlink">Повече детайли{number}</a>
      <a id="notepad_{ad.id}" onclick="openLogPopup(1);" class="like" title="{star}">Добави в бележника</a>
    </div>

    <div>

        <a id="mark_p{ad.id}" onclick="{mark}" class="markirai">Маркирай обявата</a>

    </div>
  </div>


</div>
""")


def _params(ad: Ad) -> Iterable[str]:
    """Yield the parameters in the site's order, without those the ad omits. Long mileages begin with a blank."""
    yield f"{MONTHS[ad.month - 1]} {ad.year} г."
    if ad.mileage_km is not None:
        yield f"{' ' if ad.mileage_km >= 100_000 else ''}{grouped(ad.mileage_km)} км"
    if ad.colour is not None:
        yield ad.colour
    yield ad.fuel
    if ad.power_hp is not None:
        yield f"{ad.power_hp} к.с."
    if ad.euro_class is not None:
        yield f"Евро {ad.euro_class}"
    if ad.engine_cc is not None:
        yield f"{ad.engine_cc} куб.см"
    if ad.battery_kwh is not None:
        yield f"{ad.battery_kwh:g} kWh"
    yield ad.gearbox
    yield ad.body


def description(ad: Ad) -> str:
    """Return the description as HTML, in which line breaks are the only markup."""
    return "<br>".join(escape(line, quote=False) for line in ad.description.split("<br>"))


def _about(ad: Ad) -> str:
    """Return description and equipment as HTML, as a list shows them."""
    ticked = f"<br>Особености - {escape(', '.join(ad.equipment), quote=False)}" if ad.equipment else ""
    return description(ad) + ticked


def _seller(ad: Ad, host: str) -> str:
    if ad.dealer is None:
        name, free, logo = "Регион:", " FREE", ""
    else:
        shop = f"{host}/dealer/{len(ad.dealer)}"
        name, free = f'<a href="{shop}" target="_blank">{escape(ad.dealer)}</a>', ""
        logo = f"""
        <div class="logo">
          <a href="{shop}" target="_blank">
            <img src="{host}/images/houseslogos/h{len(ad.dealer)}.pic" alt="лого {escape(ad.dealer)}">
          </a>
        </div>
"""
    return f"""<div class="seller{free}">
{logo}
      <div class="sInfo">
        <div class="name">

            {name}

        </div>
        <div class="location">{ad.location}</div>
      </div>
    </div>"""


def news_box(number: int, *, host: str, layout: Layout) -> bytes:
    """Return a box of the news site among the ads: also an `.item`, with a title but without an id.

    As sent by the real server, an attribute of its first link has no closing quotation mark.
    """
    address = f"{host}/fakti/novina-{number}"
    broken = 'class=" image"=""' if layout == "best" else 'class="image"'
    return encoded(f"""
                  <div class="item fakti">
                    <div class="photo">
                      <div class="wrapper">
                        <div class="big">
                          <a href="{address} {broken} target="_blank">
                            <img src="{host}/images/fakti-{number}.webp" class="pic" alt="Снимка Новина {number}">
                          </a>
                        </div>
                      </div>
                    </div>
                    <div class="text">
                      <div class="zaglavie">
                        <a href="{address}" class="title" target="_blank">Новина за автомобили, цени от 11 900 лв.</a>
                      </div>
                      <div class="info">
                        преди {number % 12 + 1} часа  и 7 минути
                      </div>
                    </div>
                  </div>
""")


def list_page(
    position: Position, cards: Sequence[bytes], *, menu: Menu, host: str, layout: Layout, next_link: bool = True
) -> bytes:
    """Return a page of a list from rendered cards. Without `next_link` it has no next page, like the last one."""
    has_next = next_link and position.number < position.pages
    pagination = encoded(_pagination(position, has_next=has_next))
    boxes: list[bytes] = [*cards]
    if layout == "stray_div" and boxes:
        boxes[0] += b"</div>\n"
    if cards:
        boxes.append(news_box(position.number, host=host, layout=layout))
    return b"".join(
        (
            encoded(_head(position, host=host, layout=layout, has_next=has_next)),
            pagination,
            b'\n<div class="ads2023">\n',
            *boxes,
            b"</div>\n",
            pagination,
            encoded(_foot(host, menu)),
        )
    )


def page_without_ads(*, menu: Menu, host: str, layout: Layout) -> bytes:
    """Return a list page with neither cards nor a total, as after an internal error of the site."""
    position = Position(
        base="", query="", number=1, pages=1, first=0, last=0, total="", all_ads=0, title="Автомобили и Джипове"
    )
    return encoded(_head(position, host=host, layout=layout, has_next=False) + _foot(host, menu))


def _head(position: Position, *, host: str, layout: Layout, has_next: bool) -> str:
    end = "" if layout == "best" else " /"
    title = position.title
    following = f'\n<link rel="next" href="{position.url(position.number + 1)}"{end}>' if has_next else ""
    offers = f"Избор от » {grouped(position.all_ads)} « предложения." if position.all_ads else ""
    total = (
        f"""
 <div style="width:980px; height:25px; font-weight:bold; font-size:14px; color:#000; margin: 0 auto 5px;">
   {position.first} - {position.last} от общо {position.total} <h1 style="display:inline; font-size:14px;">{title}</h1>
 </div>
"""
        if position.total
        else ""
    )
    return f"""<!DOCTYPE html>
<html lang="bg"><head>
        <meta http-equiv="Content-Type" content="text/html; charset=windows-1251">
        <title>{title} втора ръка и нови, обяви и цени</title>
        <meta name="description" content="Обяви за » {title}. {offers}">
<meta name="robots" content="index, follow"{end}>{following}
        <meta name="viewport" content="width=device-width,initial-scale=1.0">
        <link rel="stylesheet" href="{host}/styless/styless.css" type="text/css">
        <script type="text/javascript" src="{host}/jss/scripts.js"></script>
</head>
<body>
  <div class="HEADER">
    <div class="iMenu">
      <a href="{host}" class="">Начало</a>
      <a href="{host}{LOGIN}" class="">Публикуване</a>
      <a href="{host}/search/avtomobili-dzhipove" class="selected">Търсене</a>
      <a href="{host}{LOGIN}" class="right ">Моите обяви</a>
    </div>
  </div>
<form name="search" method="post">
{total}
<div class="resultsInfoBox">
  <div class="rboxHeader">
    <div>Резултат от Вашето търсене на:</div>
  </div>
  <div class="params" id="paramsFromSearchText">
    Рубрика: <b>Автомобили и Джипове</b>, Състояние: <b>Нов, Употребяван, Повреден/ударен</b>
  </div>
</div>
"""


def _pagination(position: Position, *, has_next: bool) -> str:
    """Return the links to other pages. On the last page, `div.next` replaces `a.next`."""
    number, pages = position.number, position.pages
    parts = []
    if number > 1:
        parts.append(f'<a href="{position.url(number - 1)}" class="saveSlink prev"><span>Назад</span></a>')
    else:
        parts.append('<div class="a prev gray"><span>Назад</span></div>')
    parts.append(f'<div class="a saveSlink selected">{number}</div>')
    if has_next:
        parts.extend(
            f'<a href="{position.url(other)}" class="saveSlink ">{other}</a>'
            for other in range(number + 1, min(number + 3, pages + 1))
        )
        if number + 3 <= pages:
            parts.append('<div class="a dots"><img src="/images/picturess/icons/dots-new.svg" alt=""></div>')
            parts.append(f'<div class="a saveSlink gray">{pages}</div>')
        parts.append(f'<a href="{position.url(number + 1)}" class="saveSlink next"><span>Напред</span></a>')
    else:
        parts.append('<div class="a next gray"><span>Напред</span></div>')
    links = "\n\n    ".join(parts)
    return f"""
<div class="pagination-wrapper MT20 MB20 ">
  <div class="pagination">
    {links}
  </div>
</div>
"""


def _foot(host: str, menu: Menu) -> str:
    makes, regions = (
        " ".join(f'<nobr><a href="{host}{path}"><span>{name}</span></a></nobr>' for path, name in links)
        for links in (menu.makes, menu.regions)
    )
    by_region = (
        f"""
      <div class="oblasti">
        <strong>Области:</strong>
        {regions}
      </div>"""
        if regions
        else ""
    )
    return f"""
<div class="ad2023-top-links">
  <div class="left">
    <span data-link="{host}/search/avtomobili-dzhipove" class="a clever-link">НОВО ТЪРСЕНЕ</span>
  </div>
</div>
</form>
  <div class="FOOTER">
    <div class="seoBox">
      <div class="marki">
        <strong>Марки:</strong>
        {makes}
      </div>{by_region}
    </div>
  </div>
</body>
</html>
"""


def deleted_page() -> bytes:
    """Return the page that some gone ads have, with status 200, instead of a 404 page."""
    return encoded(_notice("Обява", DELETED))


def missing_page() -> bytes:
    """Return the 404 page."""
    return encoded(_notice("Грешка 404", "Страницата не е намерена."))


def login_page() -> bytes:
    """Return the login page."""
    return encoded(
        '<!DOCTYPE html>\n<html lang="bg"><head><title>Вход</title></head><body>\n'
        f'<form action="{LOGIN}" method="post"><input name="username"><input name="password" type="password">'
        "<button>Вход</button></form>\n</body></html>\n"
    )


def challenge_page() -> bytes:
    """Return a Cloudflare challenge page, which only a browser can pass."""
    return (
        b'<!DOCTYPE html>\n<html lang="en-US"><head><title>Just a moment...</title>\n'
        b'<meta http-equiv="Content-Type" content="text/html; charset=UTF-8">\n'
        b'<meta name="robots" content="noindex,nofollow"></head>\n<body>\n'
        b"<noscript>Enable JavaScript and cookies to continue</noscript>\n<script>window._cf_chl_opt = {};</script>\n"
        b'<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1?ray=stand-in"></script>\n'
        b"</body></html>\n"
    )


def _notice(title: str, text: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="bg"><head><title>{title}</title></head><body>\n'
        f'<div class="borderBox"><h1>{text}</h1></div>\n</body></html>\n'
    )


def sitemap(root: str, paths: Iterable[str]) -> bytes:
    """Return the sitemap, compressed by gzip: the URLs of lists from their paths."""
    addresses = [root + path for path in paths]
    entries = "".join(f"<url><loc>{address}</loc></url>\n" for address in addresses)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n'
    )
    return gzip.compress(text.encode(), mtime=0)


def robots(root: str) -> bytes:
    """Return robots.txt."""
    return f"User-agent: *\nDisallow: /pcgi/\nDisallow: /users/\n\nSitemap: {root}{SITEMAP}\n".encode()
