"""A request as the functions of pages see it, and what they return."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

from vinops.text.printable import without_controls
from web import assets, charts, estimates, import_reasons, lots, quotes, vocabulary
from web.language import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from web.language import Language
    from web.people import Visitor
    from web.site import Site

YEAR: Final = 365 * 86_400
LONGEST_ADDRESS: Final = 2_000
"""The most characters of an address to which a form or a redirection leads back."""
BLANKS: Final = re.compile(r"[^\S\u00a0\u202f]+")  # but those that keep a number in one line


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: what it asks for, who asks, and in which language. `form` is the body of a form, each field once."""

    request: Request
    site: Site
    visitor: Visitor | None
    language: Language
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def person(self) -> Visitor:
        """Who asks, on a page that nobody else gets."""
        assert self.visitor is not None  # noqa: S101 # the table of routes says so
        return self.visitor

    @property
    def params(self) -> list[tuple[str, str]]:
        """The parameters of the address, in order. Raises HTTPException for more than 500."""
        try:
            return parse_qsl(self.request.url.query, keep_blank_values=True, max_num_fields=500, errors="replace")
        except ValueError:
            raise HTTPException(400, "more than 500 parameters") from None

    def param(self, name: str) -> str:
        """Return the first parameter of that name; empty if there is none."""
        return next((value for key, value in self.params if key == name), "")

    @property
    def here(self) -> str:
        """The path of the page with its parameters; without them if they are too long to lead back to."""
        query = self.request.scope["query_string"].decode("ascii", "replace")
        path: str = self.request.scope["path"]
        return f"{path}?{query}" if query and len(path) + len(query) < LONGEST_ADDRESS else path

    def page(self, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
        """Render a template."""
        return HTMLResponse(render(self, template, **values), status)

    def back(self, where: str) -> Response:
        """Return a redirection to a page of this site, with GET."""
        return RedirectResponse(local(where), 303)


def render(asked: Asked, template: str, **values: Any) -> str:
    """Return a template as text."""
    text: str = environment().get_template(template).render(
        asked=asked, visitor=asked.visitor, lang=asked.language, languages=LANGUAGES, now=datetime.now(UTC),
        _=lambda text, /, **given: asked.language.gettext(text, **given),
        ngettext=lambda one, many, number, /, **given: asked.language.ngettext(one, many, number, **given),
        name=lambda kind, value: vocabulary.name(asked.language, kind, value),
        objection=lambda text: vocabulary.problem(asked.language, text),
        reason=lambda text: import_reasons.said(asked.language, text),
        **values,
    )  # fmt: skip
    return text


def local(where: str) -> str:
    """Return an address if it is a path of this site; the first page's otherwise."""
    is_path = where.startswith("/") and not where.startswith(("//", "/\\"))
    return where if is_path and len(where) <= LONGEST_ADDRESS and where.isprintable() and "\\" not in where else "/"


def shown(text: object, longest: int = 0) -> str:
    """Return a text from outside without marks that reorder or hide what is beside it, cut to `longest` characters."""
    plain = BLANKS.sub(" ", without_controls(str(text))).strip()
    return f"{plain[: longest - 1].rstrip()}…" if longest and len(plain) > longest else plain


def lines(text: str | None, longest: int = 20_000) -> list[str]:
    """Return the paragraphs of a text from outside."""
    return [line for raw in (text or "")[:longest].splitlines() if (line := shown(raw))]


def web_link(url: str) -> str:
    """Return an address that may be a link: http or https. Empty otherwise."""
    return url if url.startswith(("https://", "http://")) and url.isprintable() and " " not in url else ""


@cache
def environment() -> Environment:
    """Return the templates: everything is escaped, and a name that is not defined is an error."""
    found = Environment(
        loader=PackageLoader("web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        auto_reload=False,
    )  # fmt: skip
    found.globals |= {
        "asset": assets.path,
        "charts": charts,
        "estimates": estimates,
        "lots_of": lots,
        "quote_of": quotes.block,
        "urlencode": urlencode,
        "web_link": web_link,
    }
    found.filters |= {"shown": shown, "lines": lines}
    found.globals["NBSP"] = Markup("&nbsp;")
    return found
