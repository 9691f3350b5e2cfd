"""The makes that are followed on mobile.bg: makes.toml, or the file that VINOPS_MAKES_FILE names."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from vinops.config import ConfigError
from vinops_scrapy.arguments import WrongArgument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

OURS: Final = (
    files("vinops_scrapy.mobile_bg") / "makes.toml"
)  # no path beside __file__: a crawl may run from inside an egg
SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
WHOLE: Final = {"sort": (0, 99), "page_limit": (1, 10_000), "page_size": (1, 1000)}
MORE_SORTS: Final = (3, 5)  # the price, the mileage
KEYS: Final = {"region", "worker", "off", "more_sorts", "regions", *WHOLE}
OF_MAKE: Final = {"name", "expected"}


@dataclass(frozen=True, kw_only=True)
class Make:
    """A make. `slug` is its name in addresses, `expected` about how many ads it has, 0 if that is not known."""

    slug: str
    name: str
    expected: int = 0


@dataclass(frozen=True, kw_only=True)
class Makes:
    """The whole file: the makes of each worker, and how their lists are requested.

    `regions` are slugs of regions beside those that the site itself names, `more_sorts` the orders in which a list is
    read that is cut off and cannot be split. Workers that are `off` run only where they are named.
    """

    region: str | None
    sort: int
    page_limit: int
    page_size: int
    workers: Mapping[int, tuple[Make, ...]]
    more_sorts: tuple[int, ...] = MORE_SORTS
    regions: tuple[str, ...] = ()
    off: frozenset[int] = frozenset()

    @property
    def all(self) -> tuple[Make, ...]:
        """All makes that are followed without being named, in the order of the file."""
        return tuple(make for worker, makes in self.workers.items() if worker not in self.off for make in makes)

    def of_worker(self, worker: int) -> tuple[Make, ...]:
        """Return the makes of a worker. Raises WrongArgument for one that is not in the file."""
        if worker not in self.workers:
            known = ", ".join(map(str, self.workers))
            raise WrongArgument(f"-a worker={worker} is none of {known}: name one of them, or add it to the makes file")
        return self.workers[worker]

    def named(self, slugs: list[str]) -> tuple[Make, ...]:
        """Return the makes with these slugs, whether or not they are in the file. Raises WrongArgument for an
        invalid slug."""
        known = {make.slug: make for makes in self.workers.values() for make in makes}
        for slug in slugs:
            if not SLUG.fullmatch(slug):
                raise WrongArgument(
                    f"-a makes={slug} is not a name in the site's addresses: write it as in bmw,alfa-romeo"
                )
        return tuple(known.get(slug, Make(slug=slug, name=slug)) for slug in dict.fromkeys(slugs))


def read_makes(path: Path | None = None) -> Makes:
    """Read the file. Raises ConfigError, which names the invalid key."""
    source: Traversable = path or OURS
    try:
        found = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"VINOPS_MAKES_FILE cannot be read ({error.strerror}): {source}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{source} is not TOML ({error}): write it like {OURS.name}") from None
    if path:  # a copy of ours made before the key was there
        found.setdefault("regions", tomllib.loads(OURS.read_text(encoding="utf-8"))["regions"])
    try:
        return _checked(found)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}: write it like {OURS.name}") from None


def _checked(found: dict[str, Any]) -> Makes:
    if unknown := sorted(set(found) - KEYS):
        raise ValueError(f"{unknown[0]} is not one of its keys")
    for key, (least, most) in WHOLE.items():
        if type(found.get(key)) is not int or not least <= found[key] <= most:
            raise ValueError(f"{key} is not a whole number from {least} to {most}")
    region = found.get("region", "")
    if not isinstance(region, str) or (region and not SLUG.fullmatch(region)):
        raise ValueError("region is not a name in the site's addresses")
    groups = found.get("worker")
    if not isinstance(groups, dict) or not groups:
        raise ValueError("it names no worker")
    workers: dict[int, tuple[Make, ...]] = {}
    seen: set[str] = set()
    for number, makes in groups.items():
        if not number.isdecimal() or not isinstance(makes, dict) or not makes:
            raise ValueError(f"worker.{number} is not a numbered group of makes")
        for slug in makes:
            if slug in seen:
                raise ValueError(f"{slug} is there twice")
            seen.add(slug)
        workers[int(number)] = tuple(_make(slug, about) for slug, about in makes.items())
    return Makes(
        region=region or None,
        sort=found["sort"],
        page_limit=found["page_limit"],
        page_size=found["page_size"],
        workers=workers,
        more_sorts=_more_sorts(found.get("more_sorts", [*MORE_SORTS])),
        regions=_regions(found.get("regions", [])),
        off=_off(found.get("off", []), workers),
    )


def _more_sorts(found: Any) -> tuple[int, ...]:
    if not isinstance(found, list) or any(type(sort) is not int or not 1 <= sort <= 99 for sort in found):
        raise ValueError("more_sorts is not a list of whole numbers from 1 to 99")
    return tuple(found)


def _off(found: Any, workers: Mapping[int, Any]) -> frozenset[int]:
    if not isinstance(found, list) or any(type(worker) is not int or worker not in workers for worker in found):
        raise ValueError("off is not a list of numbers of its workers")
    return frozenset(found)


def _regions(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or any(type(slug) is not str or not SLUG.fullmatch(slug) for slug in found):
        raise ValueError("regions is not a list of names in the site's addresses")
    return tuple(found)


def _make(slug: str, about: Any) -> Make:
    if not SLUG.fullmatch(slug):
        raise ValueError(f"{slug} is not a name in the site's addresses")
    if not isinstance(about, dict) or set(about) - OF_MAKE or not isinstance(about.get("name"), str):
        raise ValueError(f"{slug} needs a name, and may have an expected count of ads")
    expected = about.get("expected", 0)
    if type(expected) is not int or expected < 0:
        raise ValueError(f"{slug}: expected is not a count")
    return Make(slug=slug, name=about["name"], expected=expected)
