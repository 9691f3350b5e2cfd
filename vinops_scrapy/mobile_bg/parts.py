"""The models and regions into which lists are split that the site cuts off."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vinops_scrapy.mobile_bg.makes import Makes
    from vinops_scrapy.mobile_bg.schedule import Schedule
    from vinops_scrapy.mobile_bg.walks import Step, Walk

log = logging.getLogger("market")

SITEMAP_HOURS: Final = 6
"""After this time the sitemap is requested again."""


class Parts:
    """What is known of models and regions: from the sitemap, from links of list pages, from the last complete walk of a
    make, and the regions that the makes file assumes. A slug that the site does not know costs a request."""

    def __init__(self, schedule: Schedule, book: Makes) -> None:
        """Know what the makes file says."""
        self._schedule = schedule
        self._assumed = book.regions
        self._models: Mapping[str, Sequence[str]] = {}
        self._regions: dict[str, None] = {}
        self._read_at: float | None = None

    @property
    def needs_sitemap(self) -> bool:
        """Tell whether the sitemap was not read yet, or hours ago."""
        return self._read_at is None or time.monotonic() - self._read_at > SITEMAP_HOURS * 3600

    def sitemap(self, models: Mapping[str, Sequence[str]], regions: Iterable[str]) -> None:
        """Take what the sitemap names."""
        self._models = models
        self._read_at = time.monotonic()
        self.linked(regions)

    def linked(self, regions: Iterable[str]) -> None:
        """Take regions to whose lists a page links."""
        self._regions.update(dict.fromkeys(regions))

    async def split(self, walk: Walk) -> Step | None:
        """Split the current list of a walk; return the first page of a part. None if the walk has ended.

        Lists that had ads in the last complete walk are read even if the sitemap no longer names them.
        """
        models, regions = await self._schedule.known_parts(walk.make.slug)
        named = self._models.get(walk.make.slug, ())
        count = len(walk.pieces)
        step = walk.split([*named, *models], [*self._regions, *regions, *self._assumed])
        if parts := walk.pieces[count:]:
            whole, by = walk.pieces[parts[0].parent or 0], "model" if parts[0].region is None else "region"
            about = {"make": walk.make.slug, "model": whole.model, "ads": whole.total, f"{by}s": len(parts)}
            log.info("walked %s by %s %s", by, by, pairs(**{key: value for key, value in about.items() if value}))
        return step
