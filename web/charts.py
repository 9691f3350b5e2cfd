"""Charts as SVG: sparkline, price history, the band from p10 to p90, months of the market, ads as points. Attributes
only, as the policy of the pages allows no style; colors come from classes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from vinops.board.records import Price, Valuation
    from web.language import Language
    from web.market import Month, Point

SPARK: Final = (96, 24)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A scale: values from `low` to `high` become places from `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value, within the scale."""
        if self.high <= self.low:
            return round((self.begin + self.end) / 2, 1)
        share = min(max((value - self.low) / (self.high - self.low), 0), 1)
        return round(self.begin + share * (self.end - self.begin), 1)


def _known(prices: Sequence[Price]) -> list[tuple[datetime, float]]:
    return [(each.seen_at, float(each.price_eur)) for each in prices if each.price_eur is not None]


def sparkline(language: Language, prices: Sequence[Price], now: datetime) -> Markup:
    """Return a price as a line of steps over time; nothing for one that never changed."""
    known = _known(prices)
    if len(known) < 2:
        return Markup("")
    width, height = SPARK
    values = [value for _, value in known]
    x = Line(low=known[0][0].timestamp(), high=now.timestamp(), begin=2, end=width - 4)
    y = Line(low=min(values), high=max(values), begin=height - 4, end=4)
    label = language.gettext(
        "Price from %(first)s to %(last)s, %(num)s changes",
        first=language.eur(prices_first(prices)), last=language.eur(prices_last(prices)), num=len(known) - 1,
    )  # fmt: skip
    last = (x.at(now.timestamp()), y.at(values[-1]))
    return Markup(
        '<svg class="spark {way}" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<path d="{path}"/><circle cx="{cx}" cy="{cy}" r="2.5"/></svg>'
    ).format(
        way="down" if values[-1] < values[0] else "up",
        w=width, h=height, label=label, path=_steps(known, x, y, now), cx=last[0], cy=last[1],
    )  # fmt: skip


def prices_first(prices: Sequence[Price]) -> Decimal | None:
    """Return the first price that is known."""
    return next((each.price_eur for each in prices if each.price_eur is not None), None)


def prices_last(prices: Sequence[Price]) -> Decimal | None:
    """Return the last price that is known."""
    return next((each.price_eur for each in reversed(prices) if each.price_eur is not None), None)


def _steps(known: Sequence[tuple[datetime, float]], x: Line, y: Line, end: datetime) -> str:
    """Return a path that keeps each value until the next one."""
    path = [f"M{x.at(known[0][0].timestamp())} {y.at(known[0][1])}"]
    for at, value in known[1:]:
        path.append(f"H{x.at(at.timestamp())}V{y.at(value)}")
    path.append(f"H{x.at(end.timestamp())}")
    return "".join(path)


def history(
    language: Language, prices: Sequence[Price], worth: Valuation | None, end: datetime, *, unit: str = "€",
    label: str = "",
) -> Markup:  # fmt: skip
    """Return the price over time, until `end`, with the band of the estimate behind it; nothing without a price.

    `unit` is the currency, `label` what a reader of the screen says instead of that it is a price with an estimate.
    """
    known = _known(prices)
    if not known:
        return Markup("")
    width, height, left, right, top, bottom = 480, 210, 64, 12, 14, 32
    begin = min(known[0][0], end - timedelta(hours=1))
    values = [value for _, value in known]
    marks = [float(each) for each in (worth.p10, worth.p50, worth.p90) if each is not None] if worth else []
    low, high = min([*values, *marks]), max([*values, *marks])
    room = (high - low) * 0.08 or high * 0.05 or 1
    ticks = _ticks(low - room, high + room)
    if len(ticks) > 1 and ticks[-1] < high:  # a number stands at or above the highest value
        ticks.append(ticks[-1] + ticks[1] - ticks[0])
    x = Line(low=begin.timestamp(), high=end.timestamp(), begin=left, end=width - right)
    y = Line(low=low - room, high=max([high + room, *ticks]), begin=height - bottom, end=top)
    parts: list[str] = []
    for value in ticks:
        place = y.at(value)
        parts.append(
            f'<path class="grid" d="M{left} {place}H{width - right}"/>'
            + _axis(left - 8, place + 4, "end", _text(language, value))
        )
    if len(marks) == 3:
        p10, p50, p90 = (y.at(each) for each in marks)
        parts.append(
            f'<rect class="band" x="{left}" y="{p90}" width="{width - right - left}" height="{round(p10 - p90, 1)}"/>'
            f'<path class="median" d="M{left} {p50}H{width - right}"/>'
        )
    parts.append(f'<path class="price" d="{_steps(known, x, y, end)}"/>')
    parts += [
        f'<circle class="price" cx="{x.at(at.timestamp())}" cy="{y.at(value)}" r="4">'
        f"<title>{escape(language.day(at))}: {_text(language, value)} {escape(unit)}</title></circle>"
        for at, value in known
    ]
    named = language.moment if end - begin < timedelta(days=3) else language.day
    days = _axis(left, height - 8, "start", escape(named(begin)))
    days += _axis(width - right, height - 8, "end", escape(named(end)))
    label = label or language.gettext("Price over time; the band is the estimate from p10 to p90")
    return Markup(
        '<svg class="chart history" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
    ).format(w=width, h=height, label=label) + Markup("".join(parts) + days + "</svg>")  # noqa: S704 # escaped above


def months(language: Language, found: Sequence[Month]) -> Markup:
    """Return medians by month as a line, with the band of the middle half; nothing without a price."""
    known = [each for each in found if each.p25 is not None and each.p50 is not None and each.p75 is not None]
    if not known:
        return Markup("")
    width, height, left, right, top, bottom = 480, 230, 64, 12, 14, 32
    quartiles = [[float(value) for value in (each.p25, each.p50, each.p75) if value is not None] for each in known]
    low, high = min(each[0] for each in quartiles), max(each[2] for each in quartiles)
    room = (high - low) * 0.08 or high * 0.05 or 1
    days = [each.month.toordinal() for each in known]
    x = Line(low=days[0], high=days[-1], begin=left + 12, end=width - right - 12)
    y = Line(low=low - room, high=high + room, begin=height - bottom, end=top)
    parts = _grid(language, y, left, width - right)
    places = [(x.at(day), *(y.at(value) for value in each)) for day, each in zip(days, quartiles, strict=True)]
    upper = [f"{at} {p75}" for at, _, _, p75 in places]
    lower = [f"{at} {p25}" for at, p25, _, _ in reversed(places)]
    parts.append(f'<path class="band" d="M{"L".join([*upper, *lower])}Z"/>')
    if len(places) == 1:  # a band of one month has no width
        at, p25, _, p75 = places[0]
        parts.append(f'<rect class="band" x="{at - 9}" y="{p75}" width="18" height="{max(round(p25 - p75, 1), 1)}"/>')
    parts.append(f'<path class="price" d="M{"L".join(f"{at} {p50}" for at, _, p50, _ in places)}"/>')
    for each, (at, _, p50, _) in zip(known, places, strict=True):
        text = f"{_month(each)}: {_text(language, float(each.p50 or 0))} €"
        parts.append(f'<circle class="price" cx="{at}" cy="{p50}" r="4"><title>{text}</title></circle>')
    parts.append(_axis(left, height - 8, "start", _month(known[0])))
    if len(known) > 1:
        parts.append(_axis(width - right, height - 8, "end", _month(known[-1])))
    label = language.gettext("Median price by month, with the middle half of the prices as a band")
    return Markup(
        '<svg class="chart months" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
    ).format(w=width, h=height, label=label) + Markup("".join(parts) + "</svg>")  # noqa: S704 # numbers, and escaped


def _month(of: Month) -> str:
    return f"{of.month:%m.%Y}"


def _grid(language: Language, y: Line, left: float, right: float) -> list[str]:
    """Return horizontal lines at round values, with these."""
    return [
        f'<path class="grid" d="M{left} {y.at(value)}H{right}"/>'
        + _axis(left - 8, y.at(value) + 4, "end", _text(language, value))
        for value in _ticks(y.low, y.high)
    ]


def points(language: Language, found: Sequence[Point]) -> Markup:
    """Return ads as points by mileage and price, each a link to its page; nothing without an ad."""
    if not found:
        return Markup("")
    width, height, left, right, top, bottom = 480, 300, 64, 12, 14, 32
    prices = [float(each.price_eur) for each in found]
    most = max(each.mileage_km for each in found)
    x = Line(low=0, high=most, begin=left, end=width - right - 6)
    y = Line(low=0, high=max(prices) * 1.04, begin=height - bottom, end=top)
    parts = _grid(language, y, left, width - right)
    for value in _ticks(0, most):
        parts.append(_axis(x.at(value), height - 10, "middle", _text(language, value)))
    km = escape(language.gettext("km"))
    for each, price in zip(found, prices, strict=True):
        facts = f"{_text(language, each.mileage_km)} {km}, {_text(language, price)} €"
        year = f", {each.year}" if each.year else ""
        parts.append(
            f'<a href="/ads/{each.listing_id:d}" tabindex="-1"><title>{facts}{year}</title>'
            f'<circle cx="{x.at(each.mileage_km)}" cy="{y.at(price)}" r="4"/></a>'
        )
    label = language.gettext("Ads by mileage and price")
    return Markup(
        '<svg class="chart points" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="group" aria-label="{label}">'
    ).format(w=width, h=height, label=label) + Markup("".join(parts) + "</svg>")  # noqa: S704 # numbers, and escaped


def _axis(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="axis" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _text(language: Language, value: float) -> str:
    return str(escape(language.number(value)))


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers from `low` to `high`."""
    if high <= low:
        return [low]
    step = 10.0 ** len(str(int((high - low) / 5))) / 10 or 1
    for factor in (1, 2, 2.5, 5, 10):
        if (high - low) / (step * factor) <= 5:
            step *= factor
            break
    first = int(low // step) + 1
    return [number * step for number in range(first, first + 8) if number * step <= high]


def part(value: float) -> Markup:
    """Return a part of a score, from -10 to 10, as a bar that begins in the middle; the number stands beside it."""
    x = Line(low=-10, high=10, begin=0, end=120)
    begin, end = sorted((x.at(0), x.at(value)))
    return Markup(
        '<svg class="part" preserveAspectRatio="none" viewBox="0 0 120 10" width="120" height="10" aria-hidden="true">'
        '<rect class="bed" width="120" height="10" rx="3"/>'
        '<rect class="{way}" x="{begin}" width="{wide}" height="10"/><path d="M60 0V10"/></svg>'
    ).format(way="less" if value < 0 else "more", begin=begin, wide=round(end - begin, 1))


def band(language: Language, worth: Valuation | None, price: Decimal | None) -> Markup:
    """Return the estimate from p10 to p90 as a bar, with a point for the price; nothing without an estimate."""
    if worth is None or worth.p10 is None or worth.p50 is None or worth.p90 is None:
        return Markup("")
    p10, p50, p90 = (float(each) for each in (worth.p10, worth.p50, worth.p90))
    worths = {"p10": p10, "p50": p50, "p90": p90}
    own = [float(price)] if price is not None else []
    low, high = min([p10, *own]), max([p90, *own])
    room = (high - low) * 0.12 or high * 0.1 or 1
    width, height, line = 480, 92, 46
    x = Line(low=low - room, high=high + room, begin=8, end=width - 8)
    label = language.gettext(
        "Estimate from %(p10)s over %(p50)s to %(p90)s; price %(price)s",
        p10=language.eur(worth.p10), p50=language.eur(worth.p50), p90=language.eur(worth.p90),
        price=language.eur(price),
    )  # fmt: skip
    wide = round(x.at(p90) - x.at(p10), 1)
    parts = [
        f'<path class="grid" d="M8 {line}H{width - 8}"/>',
        f'<rect class="band" x="{x.at(p10)}" y="{line - 9}" width="{wide}" height="18" rx="9"/>',
        f'<path class="median" d="M{x.at(p50)} {line - 14}V{line + 14}"/>',
    ]
    apart = 104 / (width - 16) * (x.high - x.low)  # labels that are nearer would overlap
    for name, value in (("p10", min(p10, p50 - apart)), ("p50", p50), ("p90", max(p90, p50 + apart))):
        place = min(max(x.at(value), 52), width - 52)
        parts.append(_axis(place, line + 36, "middle", f"{name} {_text(language, worths[name])}"))
    if own:
        place = x.at(own[0])
        inside = min(max(place, 50), width - 50)
        parts.append(
            f'<circle class="price" cx="{place}" cy="{line}" r="8"/>'
            f'<text class="own" x="{inside}" y="{line - 22}" text-anchor="middle">{_text(language, own[0])} €</text>'
        )
    return Markup(
        '<svg class="chart band" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
    ).format(w=width, h=height, label=label) + Markup("".join(parts) + "</svg>")  # noqa: S704 # numbers, and escaped
