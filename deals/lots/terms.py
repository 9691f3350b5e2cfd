"""By what lots are quoted: profile, tariffs of the day and rate; and a digest that changes with any of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deals.landed import book, profiles, rates

if TYPE_CHECKING:
    from psycopg import Connection

    from deals.landed.book import Tariffs
    from deals.landed.lot import Rates
    from deals.landed.profiles import Profile
    from vinops.config import Settings


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A profile, the tariffs of a day and a rate. `rates` is None where no rate was ever read: nothing is complete
    then."""

    profile: Profile
    tariffs: Tariffs
    rates: Rates | None

    @property
    def basis(self) -> str:
        """What quotes depend on: another one makes all of them anew."""
        about = (self.profile, self.tariffs.lines, self.tariffs.day.year, self.rates and self.rates.usd)
        digest = hashlib.blake2b(repr(about).encode(), digest_size=8).hexdigest()
        return f"{self.profile.name}, {self.rates.usd if self.rates else 'no rate'}, {digest}"


def current(connection: Connection[Any], settings: Settings, profile: str | None = None) -> Terms:
    """Return the terms of today, by the named profile or the default one. Raises TariffError."""
    return Terms(
        profile=profiles.load(settings.data_dir).named(profile),
        tariffs=book.load(settings.tariffs_dir).on(datetime.now(UTC).date()),
        rates=rates.newest(connection),
    )
