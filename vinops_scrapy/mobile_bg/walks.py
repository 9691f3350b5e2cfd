"""The course of a crawl through the lists of a make: which page comes next, and whether all ads were seen.

Pure decisions; nothing here requests or writes. Lists are walked newest first. While a walk reads, ads come and go:
- a new ad moves the others down, to pages that are still to be read: they are seen twice, none is missed;
- a removed ad moves those after it up, some of them onto a page that was read already. The list then counts fewer ads
  than on the page before: as many pages are read once more as the missing ads fill, and the walk goes on from there.
As long as no page counts fewer ads than the page before it, no ad can have been missed.

A list that the site cuts off is split: the make into models, a model into regions. A list that cannot be split is read
in further sort orders. The ads that no part shows, such as those without a region, are looked for in the list that was
split. Whether all were seen is told by the count that the list had when it proved to be cut off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Final

from vinops_scrapy.items import WalkPage
from vinops_scrapy.mobile_bg.pieces import ENDED, OPEN, Piece

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from vinops_scrapy.items import Listing, ListPage
    from vinops_scrapy.mobile_bg.makes import Make, Makes
    from vinops_scrapy.mobile_bg.rechecks import Recheck

STALE_PAGES: Final = 3
"""After this many pages in a row without a new ad, the list is taken to repeat itself."""

STEPS_BACK: Final = 20
"""How many pages of a list a walk reads again: one whose count keeps changing would never end."""

MISSING: Final = 0.01
"""The share of the ads counted by a list that may be missing from a complete walk: sites update their counts late."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A page of a list: of a make, of a model, of a region, or of a model in a region. `sort` is None for the usual
    order."""

    page: int
    model: str | None = None
    region: str | None = None
    sort: int | None = None


class Walk:
    """A walk through one make. `number` and `started_at` are its row in ops.listing_walks, `token` the claim of it.

    The next step follows from the pieces alone: a walk made from the pieces of another continues where that one was.
    """

    def __init__(
        self,
        make: Make,
        book: Makes,
        *,
        number: int,
        started_at: datetime,
        token: int = 0,
        steps: int = 0,
        reason: str | None = None,
        pieces: Sequence[Piece] = (),
        pages: int | None = None,
    ) -> None:
        """Continue a walk that has taken so many `steps`, given its `pieces`. Read no more than `pages` pages of each
        list, if given: such a walk is never complete."""
        self.make = make
        self.number = number
        self.started_at = started_at
        self.token = token
        self.steps = steps
        self.reason = reason
        self.pieces: list[Piece] = [*pieces] or [Piece(number=0, state="reading")]
        self.needs_parts = False
        """Whether the current list is cut off and is to be split: the next call is `split`."""
        self.doubts: list[Recheck] | None = None
        """Ads whose own pages are to be read before the walk ends; None as long as that is not known."""
        self._sorts = (None, *book.more_sorts)
        self._limit = book.page_limit
        self._size = book.page_size
        self._pages = pages
        self._recorded: dict[int, Piece] = {piece.number: replace(piece) for piece in pieces}
        self._whole: set[int] = set()  # pieces without known parts
        self._last: frozenset[str] = frozenset()  # the ads of the page before
        self._taken = 0
        self._in_parts: dict[str, int] = {}  # ads of the last page that parts of its list have shown

    @property
    def total(self) -> int | None:
        """Return how many ads the make has, as its own list says; None if it did not say."""
        return self.pieces[0].counted if self.pieces[0].is_cut else self.pieces[0].total

    @property
    def ads(self) -> int:
        """Return how many ads were seen, each counted once."""
        return self.pieces[0].ads

    @property
    def expected_pages(self) -> int:
        """About how many pages the walk has: the last page of a list is half full."""
        ads = self.total if self.total is not None else self.make.expected
        pages = max(1, ceil(ads / self._size)) + len(self.pieces) // 2
        return min(pages, self._pages * len(self.pieces)) if self._pages else pages

    @property
    def shortfall(self) -> str | None:
        """Why the walk is not complete, as a name from docs/runbook.md; None if it is."""
        if self.is_complete:
            return None
        return self.reason or ("short" if self._has_totals else "no_total")

    @property
    def is_exact(self) -> bool:
        """Tell whether as many ads were seen as the lists count."""
        return self.is_complete and all(
            piece.short_of <= 0 and not (piece.is_cut and piece.counted == self._reach)  # `3000+` is 3000
            for piece in self.pieces
        )

    @property
    def is_complete(self) -> bool:
        """Tell whether all ads were seen, except for the share that the site may have counted late."""
        return self.reason is None and self._has_totals and all(map(self._is_proven, self.pieces))

    @property
    def _has_totals(self) -> bool:
        """Tell whether each list said how many ads it has: without that, missed ads cannot be noticed."""
        return all(piece.total is not None for piece in self.pieces if piece.state != "unknown")

    @property
    def _reach(self) -> int:
        """Return how many ads of a list the site shows."""
        return self._limit * self._size

    @property
    def _piece(self) -> Piece | None:
        """Return the list that is being read; None when all were read."""
        return next((piece for piece in self.pieces if piece.state in OPEN), None)

    def first(self) -> Step | None:
        """Return the page to read next: the first one of a new walk. None if all pages were read."""
        piece = self._piece
        if piece is None:
            return None
        return Step(page=piece.page, model=piece.model, region=piece.region, sort=self._sorts[piece.sort_index])

    def take(self, step: Step, page: ListPage, seen: Mapping[str, int]) -> Step | None:
        """Add a page; return the next one. None at the end, and where `needs_parts`.

        `seen` are those ads of the page that the walk has seen before, with the number of the piece that showed them.
        """
        piece = self._piece
        if piece is None:
            raise ValueError("the walk has ended")
        self.steps += 1
        self._taken = piece.number
        ids = frozenset(listing.ad_id for listing in page.listings)
        self._in_parts = {
            ad_id: at for ad_id, at in seen.items() if at != piece.number and self._is_within(at, piece.number)
        }
        if piece.state == "rest" or piece.sort_index:  # of which most ads were seen before
            has_news = ids != self._last
        else:
            has_news = any(seen.get(ad_id) != piece.number for ad_id in ids)
        piece.stale = 0 if has_news or step.page <= piece.furthest else piece.stale + 1
        self._last = ids
        before, piece.total = piece.total, page.total if page.total is not None else piece.total
        self._count(piece, page.listings, seen)
        piece.furthest = max(step.page, piece.furthest)
        if self._exceeds(piece) and (piece.counted is not None or step.page >= self._limit):
            piece.is_cut, piece.counted = True, max(piece.counted or 0, piece.total or 0)
        if piece.stale >= STALE_PAGES:
            self.fail("repeats")
            return None
        gone = (before or 0) - (piece.total or 0)
        if gone > 0 and step.page > 1 and self._back(piece, step.page, ceil(gone / self._size)):
            return self.first()
        if piece.is_cut and self._may_split(piece):
            piece.page = step.page
            self.needs_parts = True
            return None
        return self._turn(piece, step.page, has_next=page.next_url is not None and bool(page.listings))

    def split(self, models: Sequence[str], regions: Sequence[str]) -> Step | None:
        """Split the current list, which is cut off, into the lists of these models or regions; return the first page.

        Without any it is read in further sort orders. Regions that the site does not know in other lists are left out.
        """
        piece = self._piece
        if piece is None:
            raise ValueError("the walk has ended")
        self.needs_parts = False
        unknown = {each.region for each in self.pieces if each.state == "unknown"}
        unknown -= {each.region for each in self.pieces if each.state == "read"}
        found = [region for region in dict.fromkeys(regions) if region not in unknown]
        parts: list[tuple[str | None, str | None]] = [(piece.model, region) for region in found]
        if piece.model is None and models:
            parts = [(model, None) for model in dict.fromkeys(models)]
        if not parts:
            self._whole.add(piece.number)
            if not self._is_in_reach(piece):
                self.fail("no_models" if piece.model is None else "cut_off")
            return self._turn(piece, piece.page, has_next=True)
        piece.state = "split"
        for model, region in parts:
            self.pieces.append(Piece(number=len(self.pieces), parent=piece.number, model=model, region=region))
        return self._next_list()

    def skip(self, step: Step) -> Step | None:
        """Leave out the current list, which the site does not know; return the next page. The totals tell whether that
        matters: only the make's own list, and one of which a page was read already, have to exist."""
        piece = self._piece
        if piece is None or piece.parent is None or piece.state == "rest" or piece.total is not None or step.page > 1:
            self.fail("no_such_list")
            return None
        piece.state = "unknown"
        return self._next_list()

    def fail(self, reason: str) -> None:
        """Give up: the walk is not complete, for the first reason given."""
        self.reason = self.reason or reason

    def page(self) -> WalkPage:
        """Return what changed since the last call, to be recorded with the page that was taken."""
        changed = [each for each in self.pieces if self._recorded.get(each.number) != each]
        self._recorded.update((each.number, replace(each)) for each in changed)
        return WalkPage(
            walk=self.number,
            token=self.token,
            piece=self._taken,
            in_parts=self._in_parts,
            pages=self.steps,
            total=self.total,
            ads=self.ads,
            reason=self.reason or ("pages" if self._pages else None),  # a walk of a few pages is not continued
            pieces=tuple(each.row() for each in changed),
        )

    def _count(self, piece: Piece, listings: Sequence[Listing], seen: Mapping[str, int]) -> None:
        """Count the ads of a page in their list and in those that it is a part of, in each but once."""
        for listing in listings:
            node: Piece | None = piece
            at = seen.get(listing.ad_id)
            while node is not None and (at is None or not self._is_within(at, node.number)):
                node.ads += 1
                if node.counted is None:
                    node.newest = max(node.newest or listing.posted_at, listing.posted_at)
                if node.newest is None or listing.posted_at <= node.newest:
                    node.counted_seen += 1
                node = None if node.parent is None else self.pieces[node.parent]
        if piece.counted is None and any(listing.promotion is None for listing in listings):
            piece.counted = piece.total

    def _is_within(self, number: int | None, node: int) -> bool:
        """Tell whether a list is this one or a part of it."""
        while number is not None and number != node:
            number = self.pieces[number].parent
        return number == node

    def _turn(self, piece: Piece, page: int, *, has_next: bool) -> Step | None:
        """Return the page after this one: in its list, in a further sort order of it, or in the next list."""
        if piece.is_cut and self._is_found(piece):
            pass  # the ads that were missing
        elif has_next and page == self._pages:
            self.fail("pages")
        elif has_next and page < self._limit:
            piece.page = page + 1
            return self.first()
        elif not self._exceeds(piece):
            if has_next:
                self.fail("cut_off")
            elif not piece.sort_index:
                piece.is_cut = False  # the whole list was read
        elif self.reason is None and self._is_in_reach(piece) and piece.sort_index + 1 < len(self._sorts):
            piece.sort_index, piece.page, piece.furthest, piece.stale = piece.sort_index + 1, 1, 0, 0
            return self.first()
        elif not self._is_tolerable(piece):
            self.fail("cut_off")
        piece.state = "read"
        return self._next_list()

    def _next_list(self) -> Step | None:
        """Begin the next list: what no part has shown of a list whose parts were all read, else the next part.

        The first page of a list that was split says how many ads it has by then: nothing is missing if as many left.
        """
        self._last = frozenset()
        for node in reversed(self.pieces):
            parts = [each for each in self.pieces if each.parent == node.number]
            if node.state == "split" and all(part.state in ENDED for part in parts):
                if self.reason is None and node.short_of > 0 and self._is_in_reach(node):
                    node.state = "rest"
                    node.page, node.furthest, node.stale = 1, 0, 0
                    return self.first()
                node.state = "read"
        waiting = [piece for piece in self.pieces if piece.state == "waiting"]
        if not waiting:
            return None
        following = max(waiting, key=lambda piece: (piece.parent or 0, -piece.number))  # the parts of a part come first
        following.state = "reading"
        return self.first()

    def _back(self, piece: Piece, page: int, pages: int) -> bool:
        """Go back so many pages; return False if the list shrinks too much or too often."""
        back = min(pages, page - 1)
        if piece.steps_back + back > STEPS_BACK:
            self.fail("shrank" if back > STEPS_BACK else "unsteady")
            return False
        piece.steps_back += back
        piece.page = page - back
        return True

    def _exceeds(self, piece: Piece) -> bool:
        """Tell whether a list has more ads than the site shows of it, judging by its total."""
        return (piece.total or 0) >= self._reach

    def _may_split(self, piece: Piece) -> bool:
        return (
            piece.state == "reading"
            and not piece.sort_index
            and piece.region is None
            and piece.number not in self._whole
        )

    def _is_in_reach(self, piece: Piece) -> bool:
        """Tell whether all sort orders together may show all ads of a list."""
        return (piece.counted or 0) <= self._reach * len(self._sorts)

    def _is_split(self, piece: Piece) -> bool:
        return any(each.parent == piece.number for each in self.pieces)

    def _is_found(self, piece: Piece) -> bool:
        """Tell whether all ads of a list that is cut off were seen, save for those that left, if it was split. Of one
        that was not, sort orders miss the same ads each time."""
        may_have_left = piece.left if self._is_tolerable(piece) else 0
        return piece.short_of <= may_have_left and piece.counted != self._reach  # `3000+` is 3000

    def _is_tolerable(self, piece: Piece) -> bool:
        """Tell whether so few ads of a list that was split are missing that the site may have counted late."""
        return self._is_split(piece) and piece.short_of <= (piece.counted or 0) * MISSING

    def _is_proven(self, piece: Piece) -> bool:
        """Tell whether a list was read, and its count does not contradict that all of its ads were seen."""
        if piece.is_cut and not self._is_split(piece):
            return piece.state in ENDED and self._is_found(piece)
        return piece.state in ENDED and piece.short_of <= (self.total or 0) * MISSING


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

    def first(self) -> Step | None:
        """Return the first page."""
        return Step(page=1)

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
