"""A walk: all pages of all lists of a make, and whether all of its ads were seen. Decides; asks and writes nothing.

Lists are walked newest first. While a walk reads, ads come and go:
- one that comes moves the others down, to pages that are yet to be read: they are met twice, none is missed;
- one that goes moves those behind it up, over the edge of a page that was read. The list says fewer ads then than on
  the page before: that one is read once more, which holds what slid over the edge, and the walk goes on from there.
As long as a page says no fewer ads than the one before it, nothing can have slid past: as many came as went.
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
"""So many pages in a row without an ad that the list did not show before: it goes round in circles."""

STEPS_BACK: Final = 20
"""So often a list is read again because it says fewer ads than before: one whose count flickers would never end."""

MISSING: Final = 0.01
"""The share of ads that a list may be short of, beside what it says, and still count as read: sites count late."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A page to ask for: of the list of a model, or of the whole make."""

    page: int
    model: str | None = None


@dataclass(kw_only=True)
class _List:
    """What one list said so far."""

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
        """`pages` reads no more than so many of each list: such a walk is never complete."""
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
        """Tell whether the make's own list, by what its first page says, is cut off before its end."""
        return (
            self._list.model is None and self.steps == 1 and (self.total or 0) >= self._limit * self._size
        )  # `3000+` is 3000

    @property
    def expected_pages(self) -> int:
        """About how many pages it has."""
        ads = self.total if self.total is not None else self.make.expected
        pages = max(1, -(-ads // self._size))
        return min(pages, self._pages) if self._pages else pages

    @property
    def shortfall(self) -> str | None:
        """Why it is not complete, by the names of docs/runbook.md; None if it is."""
        if self.is_complete:
            return None
        return self.reason or ("short" if self._has_totals else "no_total")

    @property
    def is_exact(self) -> bool:
        """Tell whether every ad was seen that the lists say there are."""
        return self.is_complete and self._short_of() <= 0

    @property
    def is_complete(self) -> bool:
        """Tell whether all of it was read, but for what the site may have counted late."""
        return self.reason is None and self._has_totals and self._short_of() <= (self.total or 0) * MISSING

    @property
    def _has_totals(self) -> bool:
        """Tell whether each list said how many ads it has: of one that did not nobody knows what slid past."""
        return self.total is not None and all(each.total is not None for each in self.lists)

    def first(self) -> Step:
        """Return the first page."""
        return Step(page=1)

    def split(self, models: Sequence[str]) -> Step | None:
        """Walk the lists of these models instead of the make's own; return the first page of the first.

        None if there are none: the make's own list is then read as far as it goes.
        """
        if not models:
            return None
        self.lists.clear()  # what its first page showed counts; its end does not
        self._models.extend(dict.fromkeys(models))
        return self._next_list()

    def take(self, step: Step, page: ListPage) -> Step | None:
        """Take down a page; return the next one, None at the end."""
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
        """Give up: nothing is known of what was not seen."""
        self.reason = self.reason or reason

    def _after(self, found: _List) -> Step | None:
        """Return the page behind the last one of a list, or the first of the next list."""
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
        """How many ads were not seen of those that the lists say there are."""
        return max([(self.total or 0) - len(self.seen), *((each.total or 0) - len(each.seen) for each in self.lists)])


class NewestFirst:
    """A look at what is new: reads newest first, down to the first page without anything new.

    `pages` are kept until then, to be recorded from the oldest on: were the newest recorded first, a crawl that died
    behind it would leave a hole below a page that has nothing new any more, and the next one would stop above it.
    """

    def __init__(self, *, pages: int) -> None:
        """Read no more than so many pages."""
        self._limit = pages
        self.pages: list[tuple[Step, ListPage]] = []

    @property
    def steps(self) -> int:
        """How many pages were read."""
        return len(self.pages)

    def take(self, step: Step, page: ListPage, known: set[str]) -> Step | None:
        """Return the next page, None at the end. `known` are the ads of the page that were known before.

        Promoted ads stand before the others whatever their age: a page of nothing else says nothing.
        """
        self.pages.append((step, page))
        dated = [listing for listing in page.listings if listing.promotion is None]
        has_new = any(listing.ad_id not in known for listing in dated)
        is_end = page.next_url is None or not page.listings or step.page >= self._limit
        if is_end or (dated and not has_new):
            return None
        return Step(page=step.page + 1, model=step.model)
