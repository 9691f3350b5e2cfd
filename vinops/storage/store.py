"""The interface of the object stores, and the namespaces of their keys.

A photo's key reads `photos/<lot number>/<sha256 of the bytes>.jpg`. It is derived from the content, so an object never
changes: it may be stored again without asking whether it is there (docs/decisions/0008-object-store.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Progress = Callable[[int], None]

BLOCK: Final = 1 << 20


class StoreError(Exception):
    """A store failed. The message says what failed, why, and the setting that fixes it; it holds no credential."""


class ObjectMissing(KeyError):  # noqa: N818 # a state, as ArchiveDamaged is
    """There is no object with this key. Raised by reads."""


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """The objects under one prefix: what their keys look like, and how they are served.

    `part` is the pattern of each part of a key between slashes, `depth` the most parts behind the prefix,
    `content_types` the type of each extension.
    """

    prefix: str
    part: str
    depth: int
    example: str
    content_types: Mapping[str, str]
    cache_control: str | None = None
    fix: str

    @cached_property
    def _keys(self) -> re.Pattern[str]:
        return re.compile(rf"{self.prefix.rstrip('/')}(?:/{self.part}){{1,{self.depth}}}")

    @cached_property
    def _key_prefixes(self) -> re.Pattern[str]:
        return re.compile(rf"{self.prefix}(?:{self.part}/?){{0,{self.depth}}}")

    def is_key(self, text: str) -> bool:
        """Tell whether this may be the key of an object."""
        return self._keys.fullmatch(text) is not None

    def checked(self, key: str) -> str:
        """Return the key. Raises ValueError for text that is not a key."""
        if not self.is_key(key):
            raise ValueError(f"{key!r} is not an object key: it reads {self.example}")
        return key

    def checked_prefix(self, prefix: str | None) -> str:
        """Return the beginning of a key; None stands for that of all keys. Raises ValueError if no key begins so."""
        if prefix is None:
            return self.prefix
        if not self._key_prefixes.fullmatch(prefix):
            raise ValueError(f"no object key begins with {prefix!r}: it reads {self.example}")
        return prefix

    def type_of(self, key: str) -> str:
        """Return the content type that the extension of a key stands for."""
        return self.content_types.get(self.checked(key).rpartition(".")[2], "application/octet-stream")

    def checked_type(self, key: str, content_type: str) -> str:
        """Return the content type. Raises ValueError if the extension of the key stands for another one."""
        if self.type_of(key) != content_type:
            raise ValueError(f"{key} cannot be of type {content_type}: {', '.join(self.content_types)} are known")
        return content_type


# Each part begins with a letter or a digit, so there is no `..`, no hidden file and no empty part. The limit of R2 is
# 1,024 bytes for a key, that of a file system 255 for a part.
PHOTOS: Final = Namespace(
    prefix="photos/",
    part="[a-z0-9][a-z0-9._-]{0,199}",
    depth=4,
    example="photos/<lot number>/<sha256>.jpg, in [a-z0-9._-]",
    content_types={"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"},
    cache_control="public, max-age=31536000, immutable",  # a year; the bytes of a key never change
    fix="set VINOPS_DATA_DIR to another folder",
)
BACKUPS: Final = Namespace(
    prefix="backups/",
    part="[A-Za-z0-9][A-Za-z0-9._-]{0,199}",
    depth=1,
    example="backups/<name>, in [A-Za-z0-9._-]",
    content_types={"dump": "application/octet-stream", "json": "application/json"},
    fix="name another folder with --to",
)


class Store(Protocol):
    """A place for the objects of one namespace. The methods may be called from several threads at once. They raise
    StoreError when the store fails, and ValueError for a key of another namespace."""

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object: whole or not at all, and durably once it returns. It may be repeated.

        If the process dies in it, the object is as it was before, or it is there whole. Raises ValueError if the
        content type is not the one that the key's extension stands for.
        """

    def put_file(self, key: str, path: Path, progress: Progress = ...) -> None:
        """Store a file as `put` does. Do not use the file afterwards: a folder moves it, and needs it on its disk.

        `progress` is called with the bytes stored so far. Raises OSError if the file cannot be read.
        """

    def get(self, key: str) -> bytes:
        """Return the bytes of an object. Raises ObjectMissing."""

    def blocks(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object block by block. Raises ObjectMissing."""

    def exists(self, key: str) -> bool:
        """Tell whether there is such an object."""

    def delete(self, key: str) -> None:
        """Remove an object; do nothing if there is none. If the process dies in it, the object is whole or gone."""

    def sizes(self, prefix: str | None = None) -> Iterator[tuple[str, int]]:
        """Yield the keys that begin with `prefix` and their bytes, sorted by key."""

    def outside(self) -> list[str]:
        """Return what the store holds beside the namespaces, the beginnings of the keys: nothing of ours is there."""

    def check(self) -> None:
        """Try to write and to remove. Raises StoreError that names the setting to fix. If the process dies in it, an
        empty file or object outside the namespace may be left; the next check removes it."""

    def sweep(self) -> int:
        """Remove what killed writers left unfinished, and return how many. What may still be written to stays."""

    def describe(self, key: str | None = None) -> str:
        """Return where the store is, or an object in it, for people to read: without any secret."""

    def close(self) -> None:
        """Close the connections. The store cannot be used afterwards."""
