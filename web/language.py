"""The languages of the site: texts by gettext, numbers, prices and times as people of a language write them.

The texts in the code are English; locale/bg.po has the Bulgarian ones, and a test that none is missing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from gettext import NullTranslations
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

LANGUAGES: Final = {"bg": "Български", "en": "English"}
FALLBACK: Final = "bg"
NARROW: Final = "\u202f"  # a space that neither breaks nor is as wide
DAY: Final = 86_400


@dataclass(frozen=True)
class Language:
    """A language, and the time zone of what it formats."""

    code: str
    zone: ZoneInfo
    texts: NullTranslations = field(repr=False)

    def gettext(self, text: str, /, **values: Any) -> str:
        """Return a text in this language. Values that are inserted are escaped if it becomes part of a page."""
        return self.texts.gettext(text) % values if values else self.texts.gettext(text)

    def ngettext(self, one: str, many: str, number: int, /, **values: Any) -> str:
        """Return the text for a number of things."""
        return self.texts.ngettext(one, many, number) % {"num": self.number(number), **values}

    def number(self, value: float | Decimal | None, digits: int = 0) -> str:
        """Return a number with its thousands apart: 12 345 or 7,5."""
        if value is None:
            return "–"
        text = f"{value:,.{digits}f}".replace("-", "−")
        whole, _, rest = text.partition(".")
        return whole.replace(",", NARROW) + (("," if self.code == "bg" else ".") + rest if rest else "")

    def eur(self, value: Decimal | None) -> str:
        """Return a price: 12 345 €."""
        return "–" if value is None else f"{self.number(value)}\u00a0€"

    def moment(self, value: datetime | None) -> str:
        """Return a time of day in the zone: 30.11.2026, 14:05."""
        return "–" if value is None else f"{value.astimezone(self.zone):%d.%m.%Y, %H:%M}"

    def day(self, value: datetime | None) -> str:
        """Return a day in the zone: 30.11.2026."""
        return "–" if value is None else f"{value.astimezone(self.zone):%d.%m.%Y}"

    def ago(self, value: datetime, now: datetime | None = None) -> str:
        """Return how long ago a time was, in minutes, hours or days."""
        seconds = max(((now or datetime.now(UTC)) - value).total_seconds(), 0)
        if seconds < 3600:
            number = max(int(seconds // 60), 1)
            return self.ngettext("%(num)s minute ago", "%(num)s minutes ago", number)
        if seconds < DAY:
            return self.ngettext("%(num)s hour ago", "%(num)s hours ago", int(seconds // 3600))
        return self.ngettext("%(num)s day ago", "%(num)s days ago", int(seconds // DAY))


def language(code: str, zone: str) -> Language:
    """Return a language of LANGUAGES."""
    return Language(code=code, zone=ZoneInfo(zone), texts=_texts(code))


def chosen(wished: str | None, cookie: str | None, accepted: str) -> str:
    """Return the language of a page: of the account, else of the cookie, else the first that the browser accepts."""
    for code in (wished, cookie):
        if code in LANGUAGES:
            return code
    found: list[tuple[float, str]] = []
    for part in accepted[:200].split(","):
        name, _, rest = part.strip().partition(";")
        code = name.strip().lower().partition("-")[0]
        try:
            weight = float(rest.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        if code in LANGUAGES:
            found.append((-weight, code))
    return min(found, key=lambda each: each[0])[1] if found else FALLBACK


@cache
def _texts(code: str) -> NullTranslations:
    source = files("web").joinpath("locale", f"{code}.po")
    if not source.is_file():
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(source.read_bytes()), locale=code))
    compiled.seek(0)
    return Translations(compiled)
