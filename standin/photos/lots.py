"""The photos of each lot, derived from a seed and the lot number, so that every process gets the same ones.

lots = PhotoLots(seed=1, alias={45000002: 45000001})
lots.photos(45000001, cdn="http://127.0.0.1:8001")
lots.shift(45000001)
"""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from standin.photos.pictures import Variant

FOLDER: Final = "/v1/AUTH_svc.pdoc00001/lpp/0726"
#: The state of a lot's photo list: `listed` has photos; `empty_list` has a count but no photos, which only the lot page
#: shows; `none_yet` has a count of 0; `gone` is a 404.
State = Literal["listed", "empty_list", "none_yet", "gone"]
STATES: Final[tuple[State, ...]] = get_args(State)
#: Numbers of photos per lot: 7 to 15, on average 12.15 (real lots: 12.09).
COUNTS: Final = (7, 9, 10, 11, 12, 12, 13, 13, 13, 14, 14, 15, 15)
#: Sequence numbers of engine sound and video, as in the real lists.
SOUND: Final = 90
VIDEO: Final = 91
#: One photo in this many has no HD size.
WITHOUT_HD: Final = 12
#: Quirk of a photo list to the share of lists that have it.
QUIRKS: Final = {
    "unsorted": 0.3,
    "trailing_blank": 0.25,
    "no_is_blurred": 0.3,
    "blurred": 0.1,
    "sound": 0.3,
    "video": 0.12,
}
_BLURRED: Final = 200


class _Image(TypedDict):
    sequence: int
    link: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A photo of a lot.

    `name` is part of its URLs; `content` is the name from which its bytes are generated (that of an earlier lot's photo
    if the vehicle was listed before); `index` identifies the photo within the lot when its sequence number changes.
    """

    name: str
    lot: int
    index: int
    content: str
    has_hd: bool

    @property
    def best(self) -> Variant:
        """Return the largest available size."""
        return "hrs" if self.has_hd else "ful"

    def path(self, variant: str) -> str:
        """Return the URL path of the photo on the CDN in the size `variant`."""
        return f"{FOLDER}/{self.name}_{variant}.jpg"


class PhotoLots:
    """The photos and the state of all lots. May be changed from any thread."""

    def __init__(
        self,
        *,
        seed: int = 1,
        known: Container[int] | Callable[[int], bool] | None = None,
        empty_every: int = 50,
        none_every: int = 97,
        alias: Mapping[int, int] | None = None,
    ) -> None:
        """Derive all lots from the seed.

        `known` contains the existing lots (None: all lots exist); the others are gone. About one lot in `empty_every`
        has photos that only the lot page shows, one in `none_every` has no photos yet; 0 means none. `alias` maps a lot
        to an earlier lot of the same vehicle, whose photos it has under URLs of its own.
        """
        self.seed = seed
        self._known = known if known is None or callable(known) else known.__contains__
        self._every: dict[State, int] = {"empty_list": empty_every, "none_yet": none_every}
        self._states: dict[int, State] = {}
        self._order: dict[int, tuple[int, ...]] = {}
        self._alias = dict(alias or {})

    def state(self, lot: int) -> State:
        """Return the state of a lot's photo list."""
        if self._known is not None and not self._known(lot):
            return "gone"
        if lot in self._states:
            return self._states[lot]
        for state, every in self._every.items():
            if every and self._drawn(f"{state}:{lot}") % every == 0:
                return state
        return "listed"

    def set_state(self, lot: int, state: State) -> None:
        """Set the state of a lot's photo list. Raises ValueError for a state that is not in STATES."""
        if state not in STATES:
            message = f"unknown state {state!r}: choose one of {', '.join(STATES)}"
            raise ValueError(message)
        self._states[lot] = state

    def alias(self, lot: int, earlier: int) -> None:
        """Make `lot` a relisting of the vehicle of the lot `earlier`, with the same photos."""
        self._alias[lot] = earlier

    def shift(self, lot: int) -> None:
        """Insert a new photo before the others, whose numbers increase by one."""
        order = self._indexes(lot)
        self._order[lot] = (max(order) + 1, *order)

    def add_photo(self, lot: int) -> None:
        """Append a new photo."""
        order = self._indexes(lot)
        self._order[lot] = (*order, max(order) + 1)

    def pictures(self, lot: int, *, shifted: bool = False) -> tuple[Picture, ...]:
        """Return the photos of a lot in order, also those that its list omits; empty for `none_yet` and `gone`.

        `shifted` returns them as they are after the next `shift`.
        """
        if self.state(lot) in ("none_yet", "gone"):
            return ()
        order = self._indexes(lot)
        return tuple(self._picture(lot, index) for index in ((max(order) + 1, *order) if shifted else order))

    def photos(self, lot: int, *, cdn: str) -> list[tuple[int, Variant, str]]:
        """Return the photos that a crawler should store: number (from 1), best size and URL of each photo."""
        pictures = enumerate(self.pictures(lot), 1)
        return [(seq, picture.best, cdn + picture.path(picture.best)) for seq, picture in pictures]

    def find(self, name: str) -> Picture | None:
        """Return the photo, sound or video with that name; None for a name that belongs to no existing lot."""
        lot, index = _decoded(name)
        if name != _encoded(self.seed, lot, index) or (self._known is not None and not self._known(lot)):
            return None
        return self._picture(lot, index)

    def listing(self, lot: int, *, cdn: str, state: State | None = None, shifted: bool = False) -> dict[str, Any]:
        """Return the JSON of a lot's photo list; `state` and `shifted` override the lot's own for this call.

        It has the quirks of real lists: unsorted numbers, a blank at the end of a URL, photos without HD size, links
        without `isBlurred`, a blurred copy of a photo, an engine sound, a video.
        """
        state = state or self.state(lot)
        if state in ("none_yet", "gone"):
            return {"imgCount": 0, "lotImages": []}
        dice = random.Random(f"{self.seed}:list:{lot}")
        quirks = {name for name, share in QUIRKS.items() if dice.random() < share}
        images: list[_Image] = []
        for seq, picture in enumerate(self.pictures(lot, shifted=shifted), 1):
            sizes = ("thb", "ful", "hrs") if picture.has_hd else ("thb", "ful")
            images.append({"sequence": seq, "link": [_link(cdn + picture.path(size), size) for size in sizes]})
        if "blurred" in quirks:
            copy = self._picture(lot, _BLURRED).path("ful")
            images[0]["link"].append({**_link(cdn + copy, "ful"), "isBlurred": True})
        if "sound" in quirks:
            images.append({"sequence": SOUND, "link": [_link(cdn + self._other(lot, SOUND, ".mp3"), "sound")]})
        if "video" in quirks:
            names = [self._other(lot, VIDEO, ending) for ending in (".mp4", "_vful.mp4", "_vhrs.mp4")]
            images.append({"sequence": VIDEO, "link": [_link(cdn + name, "video") for name in names]})
        _spoil(images, quirks, dice)
        return {"imgCount": len(images), "lotImages": [] if state == "empty_list" else images}

    def _indexes(self, lot: int) -> tuple[int, ...]:
        return self._order.get(lot) or tuple(range(1, self._count(lot) + 1))

    def _count(self, lot: int) -> int:
        """Return the initial number of photos of a lot, which is that of the vehicle's first lot."""
        return COUNTS[self._drawn(f"count:{self._origin(lot)}") % len(COUNTS)]

    def _origin(self, lot: int) -> int:
        seen = {lot}
        while (earlier := self._alias.get(lot)) is not None and earlier not in seen:
            seen.add(earlier)
            lot = earlier
        return lot

    def _picture(self, lot: int, index: int) -> Picture:
        name = _encoded(self.seed, lot, index)
        origin = self._origin(lot)
        content = name if origin == lot or index > self._count(lot) else _encoded(self.seed, origin, index)
        has_hd = int(content[10:14], 16) % WITHOUT_HD != 0
        return Picture(name=name, lot=lot, index=index, content=content, has_hd=has_hd)

    def _other(self, lot: int, index: int, ending: str) -> str:
        return f"{FOLDER}/{_encoded(self.seed, lot, index)}{ending}"

    def _drawn(self, text: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed}:{text}".encode()).digest()[:4], "big")


def _link(url: str, kind: str) -> dict[str, Any]:
    return {
        "url": url,
        "isThumbNail": kind == "thb",
        "isHdImage": kind == "hrs",
        "isEngineSound": kind == "sound",
        "isBlurred": False,
    }


def _spoil(images: list[_Image], quirks: set[str], dice: random.Random) -> None:
    """Apply quirks to the images of a valid, sorted list."""
    links = [link for image in images for link in image["link"]]
    if "trailing_blank" in quirks:
        dice.choice(links)["url"] += " "
    if "no_is_blurred" in quirks:
        for link in links:
            if not link["isBlurred"]:
                del link["isBlurred"]
    if "unsorted" in quirks:
        for image in images:
            dice.shuffle(image["link"])
        dice.shuffle(images)


@functools.lru_cache(maxsize=65536)
def _encoded(seed: int, lot: int, index: int) -> str:
    """Return a name of 32 hexadecimal digits that looks random and from which lot and index can be decoded."""
    car, photo = (
        hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        for text in (f"{seed}:{lot}", f"{seed}:{lot}:{index}")
    )
    digest = car[:8] + photo[8:]  # the first eight digits say which car is on the picture
    return f"{digest[:22]}{int(digest[:10], 16) ^ (lot << 8 | index):010x}"


def _decoded(name: str) -> tuple[int, int]:
    number = int(name[:10], 16) ^ int(name[22:], 16)
    return number >> 8, number & 0xFF


def photo_name(seed: int, lot: int, index: int) -> str:
    """Return the name of a lot's photo; index 1 is the one that initially is number 1."""
    return _encoded(seed, lot, index)
