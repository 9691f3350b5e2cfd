"""Numbers as people read them: ages, sizes, shares, amounts; text that fits a width."""

from __future__ import annotations

import textwrap
from datetime import UTC
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

BARS: Final = "▁▂▃▄▅▆▇█"


def age(seconds: float) -> str:
    """Return a duration with its largest units: `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h" + (f" {minutes} min" if (minutes := whole % 3600 // 60) else "")
    return f"{whole // 86_400} d" + (f" {hours} h" if (hours := whole % 86_400 // 3600) else "")


def clock(seconds: float) -> str:
    """Return a duration in the narrowest form that stays readable: `0:07`, `2:05` (hours and minutes), `3d04h`."""
    minutes = int(seconds) // 60
    if minutes < 1440:
        return f"{minutes // 60}:{minutes % 60:02d}"
    return f"{minutes // 1440}d{minutes % 1440 // 60:02d}h"


def moment(at: datetime, zone: str, *, seconds: bool = False) -> str:
    """Return a time in UTC and in a time zone: `2026-11-25 02:40 UTC (04:40 EET)`, with the date where it differs."""
    in_utc, there = at.astimezone(UTC), _local(at, zone)
    said = in_utc.strftime(f"%Y-%m-%d {'%H:%M:%S' if seconds else '%H:%M'} UTC")
    if there.utcoffset() == in_utc.utcoffset():
        return said
    is_same_day = there.date() == in_utc.date()
    return f"{said} ({there.strftime('%H:%M %Z' if is_same_day else '%Y-%m-%d %H:%M %Z')})"


def local_time(at: datetime, zone: str) -> str:
    """Return the hours and minutes of a time in a time zone: `04:40`."""
    return _local(at, zone).strftime("%H:%M")


def _local(at: datetime, zone: str) -> datetime:
    """Return a time in a time zone, in UTC if this machine does not know the zone."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return at.astimezone(ZoneInfo(zone))
    except ZoneInfoNotFoundError:
        return at.astimezone(UTC)


def size(number: float) -> str:
    """Return a number of bytes: `812 B`, `3.4 MB`, `120 GB`."""
    value, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def percent(share: float) -> str:
    """Return a share as percent: `0.3 %`, `62 %`. A share that is not whole is never shown as 100 %."""
    value = 100 * share
    if 0 < value < 1:
        return f"{max(value, 0.1):.1f} %"
    return "99 %" if 99 < value < 100 else f"{value:.0f} %"


def amount(number: float) -> str:
    """Return a count with its thousands set apart."""
    return f"{number:,.0f}"


def short(number: float) -> str:
    """Return a count in at most six characters: `99,999`, `123k`, `1.2M`."""
    if number < 99_999.5:
        return amount(number)
    return f"{number / 1000:.0f}k" if number < 999_500 else f"{number / 1e6:.{0 if number >= 99.5e6 else 1}f}M"


def plural(number: int, one: str, many: str = "") -> str:
    """Return `1 ad`, `2 ads`."""
    return f"{amount(number)} {one if number == 1 else many or one + 's'}"


def rate(value: float | None) -> str:
    """Return a rate a minute in few characters: `0.4`, `12`, `-` if it is not known."""
    return "-" if value is None else f"{value:.1f}" if 0 < value < 9.95 else amount(value)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last values as bars, scaled to the largest; nothing without values."""
    shown = values[-width:] if width > 0 else []
    most = max(shown, default=0.0)
    return "".join(BARS[0] if most <= 0 else BARS[min(int(8 * value / most), 7)] for value in shown)


def fitted(text: str, width: int) -> str:
    """Return the text in at most `width` characters; where it is cut it ends with an ellipsis."""
    return text if len(text) <= width else text[: max(width - 1, 0)].rstrip() + "…"


def wrapped(text: str, width: int, head: str) -> Iterator[str]:
    """Yield a paragraph behind `head`, indented to it, in lines of at most `width` characters."""
    indent = " " * len(head)
    yield from textwrap.wrap(text, max(width, len(head) + 20), initial_indent=head, subsequent_indent=indent) or [head]
