"""How many photos are where, counted within a tenth of a second however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import tuple_row

from vinops.db.database import queries
from vinops.storage.opening import FOLDER, photos_place
from vinops.text.figures import amount

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

MOST: Final = 500_000  # photos that are counted in one place; of more PostgreSQL's estimate is enough


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Photos by the name of the place where they are, None where that is not known, and the place where the next ones
    go. `about` are the places whose photos are estimated."""

    wanted: str
    photos: dict[str | None, int]
    about: tuple[str | None, ...] = ()

    @property
    def elsewhere(self) -> int:
        """Photos that are not where the next ones go. While no other place than the folder was ever used, those of
        unknown place are there."""
        return sum(
            count
            for name, count in self.photos.items()
            if name != self.wanted and (name is not None or self.wanted != FOLDER or len(self._named) > 1)
        )

    @property
    def _named(self) -> set[str]:
        return {self.wanted, *(name for name in self.photos if name is not None)}

    @property
    def text(self) -> str:
        """How many are where: `7 photos in bucket B at H, 3 photos in the folder`."""
        parts = [
            f"{'about ' * (name in self.about)}{amount(count)} {'photo' if count == 1 else 'photos'} {words(name)}"
            for name, count in sorted(self.photos.items(), key=lambda each: -each[1])
        ]
        return ", ".join(parts) or "no photo yet"


def words(name: str | None) -> str:
    """Return a place in words: `in bucket B at H`, `in the folder`."""
    return "in a place that is not known" if name is None else "in the folder" if name == FOLDER else f"in {name}"


def read(connection: Connection[Any], settings: Settings, *, most: int = MOST) -> Stored:
    """Count the photos in each place. A service without the settings of R2 takes the place of the newest photo for the
    one where the next ones go."""
    found = queries("photo_stores")
    with connection.cursor(row_factory=tuple_row) as cursor:
        newest = cursor.execute(found["newest_store"]).fetchone()
        photos = {name: int(count) for name, count in cursor.execute(found["counts"], {"most": most}) if count}
    full = [name for name, count in photos.items() if count >= most]
    if newest and len(full) == 1:
        photos[full[0]] = max(most, int(newest[1]) - sum(count for name, count in photos.items() if name != full[0]))
    wanted = photos_place(settings)
    if not settings.r2_endpoint and newest and newest[0]:
        wanted = newest[0]
    return Stored(wanted=wanted, photos=photos, about=tuple(full))
