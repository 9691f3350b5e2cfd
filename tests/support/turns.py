"""Broken rules of whose turn the next request is, which tests of the scheduled cycle must catch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vinops_scrapy.mobile_bg.cycle import Turns

if TYPE_CHECKING:
    from vinops_scrapy.mobile_bg.cycle import Kind, Ready


class NewestAlways(Turns):
    """The newest ads first, whatever the walk is owed."""

    def choose(self, ready: Ready) -> Kind | None:
        """Return what the next request is for."""
        return "newest" if ready.newest else "walk" if ready.walk else "recheck" if ready.recheck else None

    def pass_ended(self) -> None:
        """Owe the walk nothing."""


class WalkAlways(Turns):
    """The walk first, as before there was a schedule."""

    def choose(self, ready: Ready) -> Kind | None:
        """Return what the next request is for."""
        return "walk" if ready.walk else "newest" if ready.newest else None

    def pass_ended(self) -> None:
        """Owe the walk nothing."""
