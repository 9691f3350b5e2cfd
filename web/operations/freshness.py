"""Whether figures are older than promised: prices of the makes whose walks are late, as the check `walks` judges, and
bids and sales of the last file of the feed, as the check `feed` does."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from ops.checks.pipelines import FEED, late_makes
from vinops import vehicles

if TYPE_CHECKING:
    from collections.abc import Collection

    from ops.observe.market import MakeState
    from vinops.board.records import Ad
    from web.language import Language
    from web.operations.watch import Seen

SHOWN: Final = 3
"""How many makes are named before the others are only counted."""
HOURS: Final = 72
"""From how many hours on an age is given in days."""


def notes(language: Language, seen: Seen | None, makes: Collection[str], now: datetime) -> list[str]:
    """Return a sentence for each of these makes (of the vocabulary; none: all) whose prices are older than promised,
    the oldest first."""
    market = seen.snapshot.market if seen else None
    if market is None:
        return []
    late = [make for make in late_makes(market, now) if not makes or _make(make.name) in makes]
    late.sort(key=lambda make: make.since or now)
    said = [_note(language, make, now) for make in late[:SHOWN]]
    more = len(late) - SHOWN
    if more > 0:
        said.append(language.ngettext("and %(num)s make more", "and %(num)s makes more", more))
    return said


def of_ad(language: Language, seen: Seen | None, ad: Ad) -> list[str]:
    """Return the sentence if the price of an ad that is there is older than promised."""
    if ad.gone_at is not None or not ad.make:
        return []
    return notes(language, seen, {ad.make}, datetime.now(UTC))


def of_feed(language: Language, seen: Seen | None) -> str:
    """Return a sentence if what the feed says of lots is older than promised; empty if it is not, or nothing was ever
    loaded."""
    feed, now = seen.snapshot.feed if seen else None, datetime.now(UTC)
    if feed is None or feed.good_at is None or (now - feed.good_at).total_seconds() < FEED.warning:
        return ""
    return language.gettext(
        "The feed was last read %(ago)s: bids and sales may have changed since", ago=language.ago(feed.good_at, now)
    )


def makes_of(makes: Collection[str], families: Collection[str]) -> set[str]:
    """Return the makes that a filter asks for, by itself or by a family."""
    found = {match.value for family in families if (match := vehicles.make_in(family))}
    return {*makes, *found}


@cache
def _make(name: str) -> str:
    found = vehicles.make(name)
    return found.value if found else name


def _note(language: Language, make: MakeState, now: datetime) -> str:
    if make.complete_at is None:
        return language.gettext("%(make)s: not all of its ads have been read yet", make=make.name)
    hours = int((now - make.complete_at).total_seconds() // 3600)
    if hours < HOURS:
        return language.ngettext(
            "%(make)s: prices of %(num)s hour ago", "%(make)s: prices of %(num)s hours ago", hours, make=make.name
        )
    return language.ngettext(
        "%(make)s: prices of %(num)s day ago", "%(make)s: prices of %(num)s days ago", hours // 24, make=make.name
    )
