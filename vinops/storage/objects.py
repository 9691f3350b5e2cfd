"""The interface of the object stores, and the keys of photos.

A key reads `photos/<lot number>/<sha256 of the bytes>.jpg`. It says what the object holds, so an object never changes:
to store it again does no harm, and nobody has to ask first whether it is there (docs/decisions/0008-object-store.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "photos/"  # every key begins so: beside it in the data folder lie the database and the logs
CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}

# Each part begins with a letter or a digit, so there is no `..`, no hidden file and no empty part. R2's limit is 1,024
# bytes for a key, a file system's 255 for a part.
_KEY = re.compile(r"photos(?:/[a-z0-9][a-z0-9._-]{0,199}){1,4}")
_KEY_PREFIX = re.compile(r"photos/(?:[a-z0-9][a-z0-9._-]{0,199}/?){0,4}")


class StoreError(Exception):
    """The store did not do what it was asked to. The message says what failed, why, and the setting that mends it;
    it holds no credential."""


class ObjectMissing(KeyError):  # noqa: N818 # what happened, as in ArchiveDamaged
    """There is no object of this key. Raised by `get`."""


class ObjectStore(Protocol):
    """A place for objects. All methods may be called from several threads at once; all raise StoreError when the
    store fails, and ValueError for a key that is none."""

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object: whole or not at all, and safely once it returns. It may be repeated.

        If the process dies in it, the object is there as it was before (or is not there), or it is there whole.
        Raises ValueError if the content type is not the one that the key's extension stands for.
        """

    def get(self, key: str) -> bytes:
        """Return the bytes of an object. Raises ObjectMissing."""

    def exists(self, key: str) -> bool:
        """Tell whether there is such an object."""

    def delete(self, key: str) -> None:
        """Remove an object; if there is none, nothing happens. If the process dies in it, the object is there whole
        or is gone."""

    def keys(self, prefix: str = PREFIX) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, sorted."""

    def check(self) -> None:
        """Try whether objects can be written and removed. Raises StoreError that names the setting to mend. If the
        process dies in it, an empty file or object that is no photo may be left; the next check removes it."""

    def describe(self) -> str:
        """Return the place for people to read, without any secret."""

    def close(self) -> None:
        """Close the connections. The store is of no use afterwards."""


def checked_key(key: str) -> str:
    """Return the key. Raises ValueError if it is none."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no object key: it reads photos/<lot number>/<sha256>.jpg, in [a-z0-9._-]")
    return key


def checked_prefix(prefix: str) -> str:
    """Return the beginning of a key. Raises ValueError if no key begins so."""
    if not _KEY_PREFIX.fullmatch(prefix):
        raise ValueError(f"no object key begins with {prefix!r}: it reads photos/ or photos/<lot number>/")
    return prefix


def checked_type(key: str, content_type: str) -> str:
    """Return the content type. Raises ValueError if the key's extension stands for another, or for none."""
    if CONTENT_TYPES.get(key.rpartition(".")[2]) != content_type:
        raise ValueError(f"{key} cannot be of type {content_type}: {', '.join(CONTENT_TYPES)} are known")
    return content_type
