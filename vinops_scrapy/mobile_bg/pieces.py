"""The pieces of a walk: the lists that together show all ads of a make. Each is a row of ops.walk_pieces."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["waiting", "reading", "split", "rest", "read", "unknown"]
"""`split` is a list of which the parts are read instead, `rest` one that is read for the ads that no part has shown,
`unknown` one that the site does not have."""
OPEN: Final = frozenset({"reading", "rest"})
ENDED: Final = frozenset({"read", "unknown"})


@dataclass(kw_only=True)
class Piece:
    """A list: of the make, of a model, of a region, or of a model in a region.

    `page` is the next page to read, in the sort order with the index `sort_index`; `furthest` the last page that was
    read in this order, `stale` how many pages in a row brought nothing new, `steps_back` how many pages were read
    again because the list had shrunk. `total` is the list's own count as it said last; `ads` were seen in it or in its
    parts, each counted once.

    `counted` is the total at the time of the first page that dates the list (promoted ads alone do not), `newest` the
    time of the newest ad that it had shown by then, and `counted_seen` the ads seen that are not newer. That proves a
    list which `is_cut` off: all ads were seen if `counted_seen` reaches `counted`. Ads that appear later do not stand
    in for others.
    """

    number: int
    parent: int | None = None
    model: str | None = None
    region: str | None = None
    state: State = "waiting"
    sort_index: int = 0
    page: int = 1
    furthest: int = 0
    stale: int = 0
    steps_back: int = 0
    total: int | None = None
    ads: int = 0
    newest: datetime | None = None
    counted: int | None = None
    counted_seen: int = 0
    is_cut: bool = False

    @property
    def short_of(self) -> int:
        """Return how many of the ads that the list counts were not seen; less than 0 if ads went or came meanwhile."""
        if self.state == "unknown":
            return 0
        if self.is_cut:
            return (self.counted or 0) - self.counted_seen
        return (self.total or 0) - self.ads

    @property
    def left(self) -> int:
        """Return how many ads of the list have gone since its first page, at least, judging by its last total."""
        return max((self.counted or 0) + self.ads - self.counted_seen - (self.total or 0), 0)

    def row(self) -> dict[str, Any]:
        """Return the piece as a row of ops.walk_pieces, which JSON can hold."""
        return {**asdict(self), "newest": self.newest.isoformat() if self.newest else None}


def piece_of(row: Mapping[str, Any]) -> Piece:
    """Return the piece that a row of ops.walk_pieces is."""
    newest = row["newest"]
    values = {field.name: row[field.name] for field in fields(Piece)}
    return Piece(**{**values, "newest": datetime.fromisoformat(newest) if isinstance(newest, str) else newest})
