"""The files of static/, each under a name with the hash of its content, so that browsers may keep it for good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPES: Final = {
    "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file: its content, its type and its address."""

    content: bytes
    content_type: str
    path: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files by name."""
    found = {}
    for file in files("web").joinpath("static").iterdir():
        stem, _, kind = file.name.rpartition(".")
        if kind in TYPES:
            content = file.read_bytes()
            path = f"/static/{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
            found[file.name] = Asset(content=content, content_type=TYPES[kind], path=path)
    return found


def path(name: str) -> str:
    """Return the address of a file."""
    return assets()[name].path


@cache
def by_path() -> Mapping[str, Asset]:
    """Return the files by address."""
    return {asset.path: asset for asset in assets().values()}
