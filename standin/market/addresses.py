"""The addresses of lists: which list and page a URL refers to, and which makes, models and regions have one."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from standin.market.cycles import IN_BULGARIA, region_slugs
from standin.market.pages import ROOT
from standin.market.values import ALL_MAKES

REGIONS: Final = region_slugs()
_REGION_SLUGS: Final = frozenset({IN_BULGARIA, *REGIONS})
_MODEL_SLUGS: Final = {make.slug: frozenset(model.slug for model in make.models) for make in ALL_MAKES.values()}
_PAGE: Final = re.compile(r"p-([0-9]{1,6})")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The list and the page that a URL refers to."""

    make: str | None
    model: str | None
    region: str | None
    page: int
    sort: int | None

    @property
    def base(self) -> str:
        """Return the URL path without the page number, with the segments in the site's order."""
        return path(self.make, self.model, self.region)

    @property
    def query(self) -> str:
        """Return the query string of the URLs of all its pages."""
        return "" if self.sort is None else f"?sort={self.sort}"

    @property
    def title(self) -> str:
        """Return the title of the list: make and model, or the name of the category."""
        if self.make is None:
            return "Автомобили и Джипове"
        make = ALL_MAKES[self.make]
        names = [make.name, *(model.name for model in make.models if model.slug == self.model)]
        return " ".join(names)

    @property
    def parts(self) -> frozenset[str]:
        """Return what a list needs to exist: its make, its model as `bmw/x5`, and its region."""
        model = f"{self.make}/{self.model}" if self.model else None
        return frozenset(part for part in (self.make, model, self.region) if part is not None)


def path(*segments: str | None) -> str:
    """Return the URL path of a list from its segments, None left out."""
    return "/".join([ROOT, *(segment for segment in segments if segment is not None)])


@functools.lru_cache(maxsize=4096)
def asked(address: str, query: str) -> Asked | None:
    """Parse the path and query of a list; None if it is not one. The make comes first, the others in any order."""
    make, model, region, page = None, None, None, 1
    for place, segment in enumerate(segment for segment in address.removeprefix(ROOT).split("/") if segment):
        if number := _PAGE.fullmatch(segment):
            page = max(int(number[1]), 1)
        elif segment in _REGION_SLUGS:
            region = segment
        elif place == 0 and segment in ALL_MAKES:
            make = segment
        elif make is not None and model is None and segment in _MODEL_SLUGS[make]:
            model = segment
        else:
            return None
    sort = parse_qs(query).get("sort", [""])[0]
    return Asked(make=make, model=model, region=region, page=page, sort=int(sort) if sort.isdecimal() else None)
