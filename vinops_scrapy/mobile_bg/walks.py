"""The course of a crawl through the lists of a make: which page comes next, and whether all ads were seen.

Pure decisions; nothing here requests or writes. Lists are walked newest first. While a walk reads, ads come and go:
- a new ad moves the others down, to pages that are still to be read: they are seen twice, none is missed;
- a removed ad moves those after it up, some of them onto a page that was read already. The list then counts fewer ads
  than on the page before: that page is read once more, and the walk goes on from there.
As long as no page counts fewer ads than the page before it, no ad can have been missed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vinops_scrapy.items import ListPage
    from vinops_scrapy.mobile_bg.makes import Make

STALE_PAGES: Final = 3
"""After this many pages in a row without a new ad, the list is taken to repeat itself."""

STEPS_BACK: Final = 20
"""How often a walk goes one page back in a list: one whose count keeps changing would never end."""

MISSING: Final = 0.01
"""The share of the ads counted by a list that may be missing from a complete walk: sites update their counts late."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A page of a list: of a model, or of the whole make."""

    page: int
    model: str | None = None


@dataclass(kw_only=True)
class _List:
    """The ads and counts that the pages of one list have shown so far."""

    model: str | None
    total: int | None = None
    seen: set[str] = field(default_factory=set)
    page: int = 0
    furthest: int = 0
    has_next: bool = True
    stale: int = 0
    steps_back: int = 0


class Walk:
    """A walk through one make. `number` and `started_at` are its row in ops.listing_walks."""

    def __init__(
        self,
        make: Make,
        *,
        number: int,
        started_at: datetime,
        page_limit: int,
        page_size: int,
        pages: int | None = None,
    ) -> None:
        """Read no more than `pages` pages of each list, if given: such a walk is never complete."""
        self.make = make
        self.number = number
        self.started_at = started_at
        self.total: int | None = None
        self.seen: set[str] = set()
        self.steps = 0
        self.reason: str | None = None
        self.lists: list[_List] = []
        self._models: deque[str] = deque()
        self._limit = page_limit
        self._size = page_size
        self._pages = pages
        self._list = self._open(None)

    @property
    def needs_models(self) -> bool:
        """Tell whether the site cuts the make's own list off before its end, judging by the first page."""
        return (
            self._list.model is None and self.steps == 1 and (self.total or 0) >= self._limit * self._size
        )  # `3000+` is 3000

    @property
    def expected_pages(self) -> int:
        """About how many pages the walk has."""
        ads = self.total if self.total is not None else self.make.expected
        pages = max(1, -(-ads // self._size))
        return min(pages, self._pages) if self._pages else pages

    @property
    def shortfall(self) -> str | None:
        """Why the walk is not complete, as a name from docs/runbook.md; None if it is."""
        if self.is_complete:
            return None
        return self.reason or ("short" if self._has_totals else "no_total")

    @property
    def is_exact(self) -> bool:
        """Tell whether as many ads were seen as the lists count."""
        return self.is_complete and self._short_of() <= 0

    @property
    def is_complete(self) -> bool:
        """Tell whether all ads were seen, except for the share that the site may have counted late."""
        return self.reason is None and self._has_totals and self._short_of() <= (self.total or 0) * MISSING

    @property
    def _has_totals(self) -> bool:
        """Tell whether each list said how many ads it has: without that, missed ads cannot be noticed."""
        return self.total is not None and all(each.total is not None for each in self.lists)

    def first(self) -> Step:
        """Return the first page."""
        return Step(page=1)

    def split(self, models: Sequence[str]) -> Step | None:
        """Walk the lists of these models instead of the make's own; return the first page. None without models."""
        if not models:
            return None
        self.lists.clear()  # the make's own list no longer has to be complete
        self._models.extend(dict.fromkeys(models))
        return self._next_list()

    def take(self, step: Step, page: ListPage) -> Step | None:
        """Add a page; return the next one, None at the end."""
        found = self._list
        self.steps += 1
        ids = {listing.ad_id for listing in page.listings}
        found.stale = 0 if ids - found.seen or step.page <= found.furthest else found.stale + 1
        found.seen |= ids
        self.seen |= ids
        before, found.total = found.total, page.total if page.total is not None else found.total
        found.page, found.furthest = step.page, max(step.page, found.furthest)
        found.has_next = page.next_url is not None and bool(page.listings)
        if found.model is None:
            self.total = found.total
        gone = (before or 0) - (found.total or 0)
        if gone > self._size:  # more than the page before can hold
            self.fail("shrank")
        if gone > 0 and step.page > 1 and found.steps_back < STEPS_BACK:
            found.steps_back += 1
            return Step(page=step.page - 1, model=found.model)
        if gone > 0 and step.page > 1:
            self.fail("unsteady")
        return self._after(found)

    def fail(self, reason: str) -> None:
        """Give up: the walk is not complete, for the first reason given."""
        self.reason = self.reason or reason

    def _after(self, found: _List) -> Step | None:
        """Return the next page of a list, or the first page of the next list."""
        if found.stale >= STALE_PAGES:
            self.fail("repeats")
        elif found.has_next and found.page == self._pages:
            self.fail("pages")
        elif found.has_next and found.page < self._limit:
            return Step(page=found.page + 1, model=found.model)
        elif found.has_next or (found.total or 0) >= self._limit * self._size:
            self.fail("cut_off")
        return self._next_list()

    def _next_list(self) -> Step | None:
        if not self._models or self.reason == "repeats":
            return None
        self._list = self._open(self._models.popleft())
        return Step(page=1, model=self._list.model)

    def _open(self, model: str | None) -> _List:
        found = _List(model=model)
        self.lists.append(found)
        return found

    def _short_of(self) -> int:
        """Return how many ads were not seen of those that the lists count."""
        return max([(self.total or 0) - len(self.seen), *((each.total or 0) - len(each.seen) for each in self.lists)])


class NewestFirst:
    """Reads the newest ads of a make, or of all makes, down to the first page without anything new.

    `pages` are kept until then, to be recorded from the oldest on. If the newest page were recorded first, a crawl that
    died after it would leave a gap: the next crawl would stop at that page, which no longer has anything new.
    """

    def __init__(self, make: Make | None, *, pages: int) -> None:
        """Read no more than `pages` pages."""
        self.make = make
        self.pages: list[tuple[Step, ListPage]] = []
        self._limit = pages

    def take(self, step: Step, page: ListPage, known: set[str]) -> Step | None:
        """Add a page; return the next one, None at the end. `known` are those ads of the page that are in the database.

        Promoted ads come first whatever their age, so a page of nothing else does not end the list.
        """
        self.pages.append((step, page))
        dated = [listing for listing in page.listings if listing.promotion is None]
        has_new = any(listing.ad_id not in known for listing in dated)
        is_end = page.next_url is None or not page.listings or step.page >= self._limit
        if is_end or (dated and not has_new):
            return None
        return Step(page=step.page + 1, model=step.model)
