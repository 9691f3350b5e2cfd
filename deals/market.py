"""The market over time: medians by month, what is advertised now, and how long ads stay, computed every night.

docs/decisions/0033-market.md defines the figures, sql/queries/market.sql computes them, the site shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row

from deals.estimate.doubts import FEW_KM, LAST_BUILT, LEAST_KM, NEW_ENOUGH
from deals.stages.normalize import TAX
from vinops.checks import Finding, Limit, ok
from vinops.db.database import queries
from vinops.text.figures import age, plural
from vinops.text.risk import LEAST_PRICE, MOST_PRICE

if TYPE_CHECKING:
    from datetime import date

    from psycopg import Connection

SETTLE: Final = timedelta(days=7)
"""After the end of a month until it is computed for the last time: by then its ads have passed all stages."""
WINDOW: Final = timedelta(days=90)
"""For how long back the time until ads are gone is measured."""
LEAST_EXPOSED: Final = 5.0
"""Car-days that were watched at an age, fewer than which tell nothing about this age."""
LEAST_GONE: Final = 10
"""Cars that went, fewer than which give no median."""
PROMISE: Final = timedelta(hours=30)
"""How old the figures may be: the task runs every 24 hours, and may wait for others for some."""
WALKED: Final = timedelta(days=1)
"""How old the last complete walk of a make may be when figures are computed from it, as `walks` in `vinops health`."""
AGE: Final = Limit(PROMISE.total_seconds(), 3 * 86_400.0, age)
FILL: Final = "vinops deals market"


@dataclass(frozen=True, kw_only=True)
class State:
    """When the figures were computed, since when ads are seen (None: never, none), and of how many months and
    families they are."""

    computed_at: datetime | None = None
    since: datetime | None = None
    months: int = 0
    families: int = 0

    def is_late(self, now: datetime) -> bool:
        """Tell whether the figures are older than promised."""
        return self.computed_at is not None and now - self.computed_at >= PROMISE


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What a run did: the months that it computed, the rows that it wrote, and the state that it left. `is_busy`:
    another process computes at this moment, and nothing was done."""

    is_busy: bool = False
    months: tuple[date, ...] = ()
    rows: int = 0
    state: State = State()


def refresh(connection: Connection[Any], *, at: datetime | None = None, is_again: bool = False) -> Refreshed:
    """Compute the figures as of a time (now), in one transaction: the months that may have changed since they were
    computed, or all months with `is_again`; what is advertised; how long ads stay. Of two at once one computes.

    A second run changes nothing. If the process dies before the commit, the figures are those of the run before.
    """
    statements = queries("market")
    at = at or datetime.now(UTC)
    with connection.transaction():
        is_claimed = connection.execute(statements["claim_figures"]).fetchone()
        if is_claimed is None or not is_claimed[0]:
            return Refreshed(is_busy=True)
        about = {"at": at, "is_again": is_again, "settle": SETTLE}
        months = [row[0] for row in connection.execute(statements["open_months"], about).fetchall()]
        rows = 0
        for month in months:
            connection.execute(statements["note_month"], {"month": month, "at": at})
            connection.execute(statements["forget_month"], {"month": month})
            bounds = {"begins": _begin(month), "ends": _begin(month + timedelta(days=31))}
            rows += connection.execute(
                statements["compute_month"], {"month": month, **bounds, **_exclusions()}
            ).rowcount
        connection.execute(statements["forget_now"])
        rows += connection.execute(statements["compute_now"]).rowcount
        connection.execute(statements["forget_stays"])
        limits = {"window": WINDOW, "least_exposed": LEAST_EXPOSED, "least_gone": LEAST_GONE}
        rows += connection.execute(statements["compute_stays"], {"at": at, **limits}).rowcount
        connection.execute(statements["note_figures"], {"at": at})
    return Refreshed(months=tuple(months), rows=rows, state=state(connection))


def _begin(day: date) -> datetime:
    """Return when the month of a day begins, in UTC."""
    return datetime(day.year, day.month, 1, tzinfo=UTC)


def _exclusions() -> dict[str, Any]:
    """Return what compute_month needs to leave out the ads that the price model does not learn from."""
    return {
        "tax": TAX,
        "least_price": LEAST_PRICE,
        "most_price": MOST_PRICE,
        "least_km": LEAST_KM,
        "few_km": FEW_KM,
        "new_enough": NEW_ENOUGH,
        "models": list(LAST_BUILT),
        "last_built": list(LAST_BUILT.values()),
    }


def state(connection: Connection[Any]) -> State:
    """Return the state of the figures."""
    with connection.cursor(row_factory=class_row(State)) as cursor:
        return cursor.execute(queries("market")["figures_state"]).fetchone() or State()


def judge(found: State, now: datetime) -> Finding:
    """Judge the age of the figures. Before they are first computed it counts from the first ad on."""
    since = found.computed_at or found.since
    if since is None:
        return ok("no ad was ever seen")
    old = max((now - since).total_seconds(), 0.0)
    if found.computed_at is None:
        return AGE.judge(old, f"never computed, and ads are seen for {age(old)}", fix=FILL)
    return AGE.judge(old, f"{plural(found.families, 'family', 'families')}, computed {age(old)} ago", fix=FILL)
