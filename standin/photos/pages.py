"""The pages of the members' site: a login page with a consent popup, and lot pages with a gallery built by a script."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Final, Literal, get_args

from standin.photos.lots import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from standin.photos.lots import Picture

#: The pages with a consent popup: the login page, the pages after the login, both, or none.
Consent = Literal["before", "after", "both", "none"]
CONSENTS: Final[tuple[Consent, ...]] = get_args(Consent)
#: The HTML variants of a gallery, each of which was seen on the real site.
Layout = Literal["galleria", "slides", "data-src", "data-original"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)
WRONG_CREDENTIALS: Final = "The username or password you entered is incorrect."
LOGIN_BROKEN: Final = "Something went wrong. Please try again later."

ROBOTS: Final = """\
User-agent: *
Disallow: /public/data/
Disallow: /downloadSalesData
Disallow: /lotSearchResults/
"""

_CONSENT: Final = """\
<script>
setTimeout(() => {
  if (document.cookie.includes("consent-COOKIE=given")) return;
  const root = document.createElement("div");
  root.className = "fc-consent-root";
  root.style = "position:fixed;inset:0;z-index:9998";
  root.innerHTML = `<div class="fc-dialog-overlay" style="position:absolute;inset:0;background:#000a"></div>
    <div class="fc-dialog" role="dialog" aria-label="Consent" style="position:absolute;inset:30%;
    background:#fff"><p>This site asks for your consent to use cookies.</p>
    <button class="fc-button fc-cta-do-not-consent" aria-label="Do not consent">Do not consent</button>
    <button class="fc-button fc-cta-consent fc-primary-button" aria-label="Consent">Consent</button></div>`;
  for (const button of root.querySelectorAll("button")) button.addEventListener("click", () => {
    document.cookie = "consent-COOKIE=given; path=/";
    root.remove();
  });
  document.body.append(root);
}, DELAY);
</script>
"""

#: The template of all pages. It has an image, a font and a video, which a crawler's browser should not download.
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title>
<style>@font-face { font-family: Plate; src: url(/static/plate.woff2) } body { font-family: Plate, sans-serif }</style>
</head><body>
<header><img src="/static/logo.png" alt="logo" width="120" height="30"><a href="/dashboard">Dashboard</a></header>
<main>
MAIN
</main>
<video src="/static/tour.mp4" autoplay muted preload="auto" width="160"></video>
CONSENT</body></html>
"""

_GALLERY: Final = """\
<script>
setTimeout(() => {
  const {base, layout, photos} = GALLERY;
  const place = document.querySelector("#gallery");
  const blank = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
  const image = (attributes) => Object.entries(attributes).reduce(
    (node, [name, value]) => (node.setAttribute(name, value), node), document.createElement("img"));
  const inside = (kind, name, ...children) => {
    const node = document.createElement(kind);
    node.className = name;
    node.append(...children);
    return node;
  };
  const url = (name, size) => `${base}/${name}_${size}.jpg`;
  const build = {
    "galleria": () => inside("div", "image-galleria_wrap",
      ...photos.map(([name, hd]) => image({class: "thumbnailImg", src: url(name, "thb"),
        "full-url": url(name, "ful"), ...(hd ? {"hd-url": url(name, "hrs")} : {})}))),
    "slides": () => inside("div", "image-gallery-slides",
      ...photos.map(([name]) => inside("div", "image-gallery-slide", image({src: url(name, "thb")})))),
    "data-src": () => inside("div", "lot-image-gallery",
      ...photos.map(([name]) => image({src: blank, "data-src": url(name, "thb")}))),
    "data-original": () => inside("div", "lot-image-gallery",
      ...photos.map(([name]) => image({src: blank, "data-original": url(name, "ful")}))),
  };
  place.replaceChildren(photos.length ? build[layout]() : "No photos yet");
  place.dataset.ready = "true";
}, DELAY);
</script>
"""


def page(title: str, main: str, *, consent: str | None = None, delay: int = 0) -> str:
    """Return a page of the site; `consent` names the popup that covers it after `delay` milliseconds (None: none)."""
    popup = "" if consent is None else _CONSENT.replace("COOKIE", consent).replace("DELAY", str(delay))
    return _PAGE.replace("TITLE", escape(title)).replace("MAIN", main).replace("CONSENT", popup)


def login_page(*, error: str | None = None, consent: str | None = None, delay: int = 0) -> str:
    """Return the login page, with the error message of a previous attempt, if any."""
    words = "" if error is None else f'<div class="alert alert-danger" role="alert">{escape(error)}</div>\n'
    form = """<form action="/login" method="post">
<input id="username" name="username" autocomplete="username">
<input id="password" name="password" type="password" autocomplete="current-password">
<button type="submit" data-uname="loginSigninmemberbutton">Sign In</button>
</form>"""
    return page("Login", words + form, consent=consent, delay=delay)


def dashboard_page(*, consent: str | None = None, delay: int = 0) -> str:
    """Return the page to which a successful login redirects."""
    return page("Dashboard", '<h1 class="dashboard">Dashboard</h1>', consent=consent, delay=delay)


def lot_page(
    lot: int, pictures: Sequence[Picture], *, cdn: str, layout: Layout, consent: str | None = None, delay: int = 0
) -> str:
    """Return the page of a lot. A script builds the gallery after `delay` milliseconds: the HTML has no photo URLs.

    In the layout `galleria`, a picture without HD size has no `hd-url`; the other layouts do not show the sizes.
    """
    gallery = {
        "base": cdn + FOLDER,
        "layout": layout,
        "photos": [[picture.name, picture.has_hd] for picture in pictures],
    }
    script = _GALLERY.replace("GALLERY", json.dumps(gallery)).replace("DELAY", str(delay))
    main = f'<h1 class="title">Lot # {lot}</h1>\n<div id="gallery"><p class="loading">Loading</p></div>\n{script}'
    return page(f"Lot {lot}", main, consent=consent, delay=delay)


def no_such_lot_page(lot: int) -> str:
    """Return the 404 page of a lot that is gone."""
    return page("Lot not found", f'<h1 class="lot-not-found">Lot {lot} is no longer available</h1>')
