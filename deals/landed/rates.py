"""The exchange rate: the European Central Bank's daily reference rate, fetched once a day and kept.

The last good rate stays: one that cannot be fetched, read or believed changes nothing.
"""

from __future__ import annotations

import logging
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from xml.parsers import expat

from deals.landed.lot import Rates, check_rate
from vinops import alerts
from vinops.checks import Finding, Limit, ok
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.politeness import NO_CAP, retry_after

if TYPE_CHECKING:
    from email.message import Message
    from http.client import HTTPResponse

    from psycopg import Connection

    from vinops.config import Settings

CURRENCY: Final = "USD"
MOST_BYTES: Final = 100_000  # the file has 1,700
FETCH_SECONDS: Final = 15.0
GAP: Final = 60.0  # seconds between two requests
MOST_JUMP: Final = Decimal("0.05")
"""Above it a new rate is refused: since 1999 the dollar has not moved by a twentieth from one day to the next."""
MOST_DEPTH: Final = 10
OLD: Final = Limit(6, unit="{:.0f} days".format)
"""From a Thursday to the Tuesday after Easter are five days."""
REFUSALS: Final = {401: "forbidden", 403: "forbidden", 429: "too_many", 503: "unavailable"}
ALERT: Final = "exchange_rate"
FIX: Final = "vinops landed rate --fetch"

log = logging.getLogger("deals")


class RateError(Exception):
    """There is no new rate. The message says why; what is kept stays."""


class JumpError(RateError):
    """A rate is too far from the one before."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A rate as it was published: dollars for one euro on a day."""

    day: date
    rate: Decimal


def newest(connection: Connection[Any]) -> Rates | None:
    """Return the newest rate that is kept, None without any."""
    row = connection.execute(queries("rates")["newest_rate"], {"currency": CURRENCY}).fetchone()
    if row is None:
        return None
    rate, day, source, _ = row
    return Rates(usd=rate.normalize(), day=day, source=f"reference rate of {day} ({source})")


def judge(day: date | None, today: date) -> Finding:
    """Check the age of the newest rate."""
    if day is None:
        return ok("no exchange rate was fetched yet")
    days = max((today - day).days, 0)
    return OLD.judge(days, f"the exchange rate is of {day}, {days} days ago", fix=FIX)


def refresh(connection: Connection[Any], settings: Settings, *, accept_jump: bool = False) -> str:
    """Fetch the rate and keep it, and return what came of it. Raises RateError; a jump opens an alert.

    The connection is in autocommit. If the process dies, the rate is kept or not, and the next call does the rest.
    """
    host = urlsplit(settings.ecb_rates_url).netloc
    published = parse(fetch(connection, settings), today=datetime.now(UTC).date())
    before = newest(connection)
    if before and before.day and published.day <= before.day:
        alerts.clear_alert(connection, ALERT, CURRENCY)
        return f"unchanged: {before.usd} of {before.day}"
    if before and abs(published.rate / before.usd - 1) > MOST_JUMP and not accept_jump:
        text = f"the rate of {published.day} is {published.rate}, that of {before.day} was {before.usd}: it was refused"
        fix = "compare it with the ECB's page; if it is right: `vinops landed rate --fetch --accept-jump`"
        alerts.raise_alert(connection, settings, ALERT, CURRENCY, f"{text}: {fix}")
        raise JumpError(f"{text}: {fix}")
    about = {"currency": CURRENCY, "day": published.day, "rate": published.rate, "source": host}
    connection.execute(queries("rates")["store_rate"], about)
    alerts.clear_alert(connection, ALERT, CURRENCY)
    return f"new: {published.rate} of {published.day}"


def parse(text: bytes, *, today: date) -> Published:
    """Return the dollar's rate from the ECB's XML. Raises RateError for anything else.

    No entity is expanded, and a file that declares a document type is refused: the ECB's does not.
    """
    found = _Cubes()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = found.starts, found.ends
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = found.refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise RateError(f"the file of rates is no XML ({expat.ErrorString(error.code)})") from None
    except (LookupError, ValueError) as error:  # an encoding that nobody knows
        raise RateError(f"the file of rates is no XML ({error})") from None
    try:
        day, rate = date.fromisoformat(found.days.pop()), Decimal(found.rates.pop())
        check_rate(rate)
    except (KeyError, ValueError, InvalidOperation):
        raise RateError("the file has no day or no rate of the dollar: is ECB_RATES_URL right?") from None
    if found.days:
        raise RateError("the file of rates has several days: use the one of a day, eurofxref-daily.xml")
    if found.rates:
        raise RateError("the file has several rates of the dollar: is ECB_RATES_URL right?")
    if day > today:
        raise RateError(f"the rate is of {day}, which is still to come: is this machine's clock right?")
    return Published(day=day, rate=rate)


class _Cubes:
    """Collects the days and the dollar's rates: elements named Cube with `time`, or with `currency` and `rate`."""

    def __init__(self) -> None:
        self.days: set[str] = set()
        self.rates: set[str] = set()
        self._depth = 0

    def starts(self, name: str, attributes: dict[str, str]) -> None:
        """Note an element."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise RateError("the file of rates is nested too deep")
        if name.rpartition(":")[2] == "Cube":
            self.days |= {attributes["time"]} if "time" in attributes else set()
            if attributes.get("currency") == CURRENCY:
                self.rates.add(attributes.get("rate", ""))

    def ends(self, _name: str) -> None:
        """Leave an element."""
        self._depth -= 1

    def refuse(self, *_: object) -> None:
        """Refuse what only an attack would declare."""
        raise RateError("the file of rates declares a document type: it is not read")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none: the file is where it is, or the setting is wrong."""


def fetch(connection: Connection[Any], settings: Settings) -> bytes:
    """Return the file at ECB_RATES_URL, in the host's turn. Raises RateError. Environment variables for proxies are not
    used, and no redirect is followed."""
    url = settings.ecb_rates_url
    host = urlsplit(url).netloc
    _take_turn(connection, host, settings)
    request = urllib.request.Request(url, headers={"User-Agent": settings.user_agent, "Accept": "application/xml"})  # noqa: S310 # https, or a loopback host
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        _NoRedirect,
    )
    deadline = time.monotonic() + FETCH_SECONDS
    try:
        with opener.open(request, timeout=FETCH_SECONDS) as response:
            body = _read(response, host, deadline)
    except urllib.error.HTTPError as error:
        if error.code in REFUSALS:
            _refused(connection, settings, host, REFUSALS[error.code], error.headers)
        raise RateError(f"{host} answered {error.code}: is ECB_RATES_URL right?") from None
    except (OSError, HTTPException) as error:  # the latter for an answer that is no HTTP
        reason = getattr(error, "reason", error)  # URLError wraps what happened
        raise RateError(f"{host} did not answer ({type(reason).__name__}): the next try is in some hours") from None
    connection.execute(queries("politeness")["clear_refusals"], {"host": host})
    return body


def _read(response: HTTPResponse, host: str, deadline: float) -> bytes:
    body = bytearray()
    while chunk := response.read1(65_536):
        body += chunk
        if len(body) > MOST_BYTES:
            raise RateError(f"the file of {host} has more than {MOST_BYTES:,} bytes: is ECB_RATES_URL right?")
        if time.monotonic() > deadline:
            raise RateError(f"{host} sent the file too slowly: the next try is in some hours")
    return bytes(body)


def _take_turn(connection: Connection[Any], host: str, settings: Settings) -> None:
    """Reserve a request in the budget of the host. One that cannot be sent now is not reserved: it would postpone the
    next ones."""
    daily = settings.daily_requests or NO_CAP
    about = {"host": host, "gap": GAP / settings.clock_speed, "count": 1, "daily": daily}
    with connection.transaction():
        row = connection.execute(queries("politeness")["reserve_requests"], about).fetchone()
        if row is not None and (seconds := float(row[1])) > 1:
            raise RateError(f"{host} was asked a moment ago: try again in {seconds:.0f} s")
    if row is None:
        why = connection.execute(queries("politeness")["blocked_by"], about).fetchone()
        until = f" until {why[0]:%Y-%m-%d %H:%M} UTC" if why and why[2] else " today"
        raise RateError(f"{host} is not asked{until}: its breaker is open, or its requests of today are used up")


def _refused(connection: Connection[Any], settings: Settings, host: str, kind: str, headers: Message) -> None:
    """Count a refusal; wait as long as the host asks for."""
    statements = queries("politeness")
    if (seconds := retry_after(headers.get("Retry-After"), datetime.now(UTC))) is not None:
        connection.execute(statements["postpone_requests"], {"host": host, "seconds": seconds})
    about = {
        "host": host,
        "kind": kind,
        "at_once": False,
        "refusals": settings.breaker_refusals,
        "seconds": float(settings.breaker_seconds),
    }
    with connection.transaction():
        connection.execute(statements["count_refusal"], about)
        connection.execute(statements["open_breaker"], about)
    log.warning("the host of exchange rates refused %s", pairs(host=host, kind=kind))
