"""The page of one ad as HTML. Class names and structure are those of the site; the text is invented."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from standin.market.pages import description, encoded, photo_path, price_lines
from standin.market.values import EQUIPMENT, MONTHS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from standin.market.ads import Ad


def detail_page(ad: Ad, *, host: str, now: datetime) -> bytes:
    """Return the detail page of an ad, in windows-1251."""
    title, link = escape(ad.title), f"http:{host}{ad.path}"
    prices = price_lines(ad)
    gallery = "\n".join(
        f"""        <div class="item">
          <img class="carouselimg owl-lazy"
               data-src="http:{host}{photo_path(ad, letters, large=True)}"
               onclick="galleryFullScreenOpen('fromImage')"
               alt="{title}: изображение {number}"
               data-src-gallery="http:{host}{photo_path(ad, letters, large=True)}">
        </div>"""
        for number, letters in enumerate(ad.photos, 1)
    )
    main = "\n".join(
        f"""        <div class="item {kind}">
          <div class="mpLabel">{label}</div>
          <div class="mpInfo">{value}</div>
        </div>"""
        for kind, label, value in _main_params(ad)
    )
    technical = "\n".join(
        f"""          <div class="item">
            <div>{label}</div>
            <div>{value}</div>
          </div>"""
        for label, value in _technical(ad)
    )
    change = f"showpricechange('{ad.id}','{ad.price}','EUR','priceHistory'); return false;"
    history = (
        f"""
    <span onclick="{change}" title="Покажи история на цената"></span>
    <div class="priceHistory" id="priceHistory">
      <div class="title">История на цената <span onclick="{change}"></span></div>
      <statistiki></statistiki>
    </div>
"""
        if ad.price is not None
        else ""
    )
    vat = f'<div class="PriceInfo">{ad.vat}</div>' if ad.price is not None else ""
    seller = "Частно лице" if ad.dealer is None else escape(ad.dealer)
    seen = (now - ad.posted).days * 37 + int(ad.id[-2:])
    return encoded(f"""<!DOCTYPE html>
        <html lang="bg">
        <head>
        <meta http-equiv="Content-Type" content="text/html; charset=windows-1251">
        <title>{title}, {ad.year}г., ID:{ad.id[-8:]} - Обява</title>
<meta name="robots" content="index, follow" />
<link rel="canonical" href="{link}" />
        </head>
<body>
  <div class="ad2023">
    <div class="left">
<section>
  <div class="rezon-carousel-theme-wrapper" id="rezon-gallery">
    <div class="owl-carousel owl-theme" id="owlcarousel">
{gallery}
    </div>
  </div>
</section>
  <div class="borderBox carParams">
    <div class="mainCarParams">
{main}
    </div>
  </div>
      <div class="statistiki">
  <div class="text">
    Публикувана в {ad.posted:%H:%M} часа на {ad.posted:%d.%m.%Y} год.<br>
      Обявата е видяна <strong>{seen}</strong> пъти.
  </div>
</div>
  <div class="borderBox">
    <div class="techData">
      <span class="Title"><h2>Технически данни</h2></span><br>
      <div class="items">
{technical}
      </div>
    </div>
  </div>
  <div class="borderBox">
    <div class="moreInfo">
      <span class="blockTitle"><h2>Допълнителна информация</h2></span><br>
      <div class="text">
        {description(ad)}
      </div>
    </div>
  </div>
      <div class="borderBox">
        <div class="carExtri">
          {_ticked(ad)}
        </div>
      </div>
    </div>
    <div class="right">
      <div class="sticky">
        <div class="contactsBox">
          <div class="obTitle">
  <h1 style="font-size: 20px; padding:0; margin:0">{title} <div class="obiava">Обява: {ad.id}</div></h1>
</div>
<div class="carLocation" data-title="{ad.region}">
  <span class="">{f"Намира се в {ad.place}" if ad.place else ""}</span>
</div>
<div class="Price">
  {prices}
{history}
</div><br>
{vat}
<div class="phone">
  {ad.phone}<br>
   <span>/{seller}/</span>
</div>
        </div>
      </div>
    </div>
  </div>
</body>
</html>
""")


def _main_params(ad: Ad) -> Iterable[tuple[str, str, str]]:
    yield "dvigatel", "Двигател", ad.fuel
    if ad.power_hp is not None:
        yield "moshtnost", "Мощност", f"{ad.power_hp} к.с."
    if ad.euro_class is not None:
        yield "euro", "Евростандарт", f"Евро {ad.euro_class}"
    if ad.engine_cc is not None:
        yield "kubatura", "Кубатура [куб.см]", f"{ad.engine_cc} куб.см"
    yield "skorosti", "Скоростна кутия", ad.gearbox
    if ad.mileage_km is not None:
        yield "probeg", "Пробег [км]", f"{ad.mileage_km} км"


def _technical(ad: Ad) -> Iterable[tuple[str, str]]:
    yield "Дата на производство", f"{MONTHS[ad.month - 1]} {ad.year}"
    for _, label, value in _main_params(ad):
        yield label, value
        if label == "Скоростна кутия":
            yield "Категория", ad.body
    if ad.colour is not None:
        yield "Цвят", ad.colour


def _ticked(ad: Ad) -> str:
    groups = ((heading, [name for name in names if name in set(ad.equipment)]) for heading, names in EQUIPMENT.items())
    return "".join(
        f'<span class="Title">{heading}</span><br>\n          <div class="items">'
        + "".join(f"<div>{escape(name, quote=False)}</div>" for name in names)
        + "</div>"
        for heading, names in groups
        if names
    )
