"""Session settings that all connections share, whatever the database, its roles and the environment set.

Statements and the code that reads their rows rely on how PostgreSQL formats a date and where it looks for a table. The
settings are sent when a session begins, so they win over `alter database … set`, `alter role … set`, DATABASE_URL and
the server's configuration. Limits (statement_timeout, default_transaction_read_only and the like) are left to the
operator.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg import Connection
    from psycopg.adapt import AdaptersMap, Buffer
    from psycopg.pq import Format

    Kind = tuple[type[Any], dt.tzinfo | None]
    Beyond = Callable[[str | bytes, type[Any], dt.tzinfo | None], object]

SETTLED = {
    "array_nulls": "on",
    "bytea_output": "hex",
    "datestyle": "ISO,YMD",
    "default_transaction_isolation": r"read\ committed",
    "exit_on_error": "off",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "quote_all_identifiers": "off",
    "search_path": "public",
    "standard_conforming_strings": "on",
    "timezone": "UTC",
    "timezone_abbreviations": "Default",
    "transform_null_equals": "off",
}
OPTIONS = " ".join(f"-c {name}={value}" for name, value in SETTLED.items())
"""The settings as libpq's parameter `options`."""

BY_STATEMENT = {
    "names": list(SETTLED),
    "settings": [value.replace("\\ ", " ") for value in SETTLED.values()],
}
"""The settings as parameters of the statement `settle`."""

TIMES: Mapping[str, Kind] = {
    "date": (dt.date, None),
    "timestamp": (dt.datetime, None),
    "timestamptz": (dt.datetime, dt.UTC),
}
LENGTHS: Mapping[str, Kind] = {"interval": (dt.timedelta, None), "time": (dt.time, None), "timetz": (dt.time, None)}

NO_EMPTY_DEFAULT = {"sslcertmode": "allow", "min_protocol_version": "3.0", "max_protocol_version": "latest"}


def libpq_defaults(variables: frozenset[str]) -> dict[str, str]:
    """Return libpq's own default for each parameter that one of these environment variables sets: in a connection
    string it overrides the variable."""
    from psycopg import pq

    return {
        name: NO_EMPTY_DEFAULT.get(name) or (each.compiled or b"").decode()
        for each in pq.Conninfo.get_defaults()
        if (each.envvar or b"").decode() in variables and (name := each.keyword.decode())
    }


def nearest(value: str | bytes, kind: type[Any], zone: dt.tzinfo | None) -> object:
    """Return the earliest or latest value of Python for a time outside its range, so that it compares with others as in
    PostgreSQL. `value` is the time as PostgreSQL sent it, as text or in binary form."""
    is_early = value[0] >= 0x80 if isinstance(value, bytes) else value.startswith("-") or value.endswith("BC")
    found = kind.min if is_early else kind.max
    return found.replace(tzinfo=zone) if isinstance(found, dt.datetime) else found


def written(value: str | bytes, kind: type[Any], zone: dt.tzinfo | None) -> object:
    """Return a time outside of Python's range as text, in the format of other times."""
    text = value.decode() if isinstance(value, bytes) else value
    if not issubclass(kind, dt.datetime):
        return text
    time, space, before_christ = text.partition(" BC")
    if zone and time[-3:-2] in ("+", "-"):  # an offset without minutes
        time += ":00"
    return time.replace(" ", "T") + space + before_christ


@cache
def adapters() -> AdaptersMap:
    """Return the loaders of values: psycopg's, except that times outside of Python's range (infinite, after the year
    9999, before Christ) become its earliest or latest value.

    Columns of ours hold -infinity for "at once" and infinity for "never again by itself".
    """
    import psycopg
    from psycopg.adapt import AdaptersMap
    from psycopg.pq import Format

    found = AdaptersMap(psycopg.adapters)
    _register(found, nearest, TIMES, Format.TEXT, Format.BINARY)
    return found


def read_for_printing(connection: Connection[Any]) -> None:
    """Load the values of a connection for printing only: times, intervals and 24:00 that Python cannot represent become
    text."""
    from psycopg.pq import Format

    _register(connection.adapters, written, {**TIMES, **LENGTHS}, Format.TEXT)


def _register(found: AdaptersMap, beyond: Beyond, kinds: Mapping[str, Kind], *forms: Format) -> None:
    import psycopg
    from psycopg.adapt import Loader

    def reader(inner: Any, form: Format, kind: type[Any], zone: dt.tzinfo | None) -> type[Loader]:
        class Reader(Loader):
            """Wraps psycopg's own loader, which is compiled and cannot be subclassed."""

            format = form

            def __init__(self, oid: int, connection: Any = None) -> None:
                super().__init__(oid, connection)
                self._inner = inner(oid, connection)

            def load(self, data: Buffer) -> object:
                try:
                    # psycopg 3.3 reads an infinite interval as one of no length.
                    if kind is not dt.timedelta or b"inf" not in bytes(data):
                        return self._inner.load(data)
                except (psycopg.Error, OverflowError):
                    pass
                raw = bytes(data)
                return beyond(raw.decode() if form is psycopg.pq.Format.TEXT else raw, kind, zone)

        return Reader

    for name, (kind, zone) in kinds.items():
        oid = psycopg.adapters.types[name].oid
        for form in forms:
            inner = psycopg.adapters.get_loader(oid, form)
            assert inner is not None  # noqa: S101 # psycopg reads all of these
            found.register_loader(oid, reader(inner, form, kind, zone))
