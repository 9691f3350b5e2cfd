"""A quote: what a lot costs landed in Bulgaria at a bid, line by line, and the most one may bid.

A part that is not known is a line without an amount, and is never summed as nothing: the quote then has no total.
docs/landed.md says what is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from deals.landed.itemised import Quote, QuoteLine, shown, total
from deals.landed.lot import is_vin, origin
from deals.landed.money import NOTHING, Case, converted, included, share
from deals.landed.parts import AT_DESTINATION, age, factor, port, product_fee, repair_terms, road

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deals.landed.book import Tariffs
    from deals.landed.itemised import Certainty
    from deals.landed.lines import TariffLine
    from deals.landed.lot import Lot, Rates
    from deals.landed.profiles import Profile

AUCTION_FEES: Final = ("buyer_fee", "virtual_bid_fee", "gate_fee", "environmental_fee")
HIGHEST_BID: Final = 1_048_575  # dollars: no search goes above it
NO_LINE: Final = "no line of the tariffs"


def quote(
    lot: Lot,
    bid: int,
    profile: Profile,
    tariffs: Tariffs,
    rates: Rates,
    *,
    costs: Case = "expected",
    repair: Case = "expected",
) -> Quote:
    """Return what a lot costs at a bid in whole dollars, with this figure of each range of costs and of the repair.

    Raises ValueError for a bid below 0 or above HIGHEST_BID.
    """
    if not 0 <= bid <= HIGHEST_BID:
        raise ValueError(f"a bid is from 0 to {HIGHEST_BID:,} dollars")
    return _Quoting(lot, bid, profile, tariffs, rates, costs, repair).quote()


def most_bid(
    lot: Lot,
    limit: Decimal,
    profile: Profile,
    tariffs: Tariffs,
    rates: Rates,
    *,
    costs: Case = "expected",
    repair: Case = "expected",
) -> int | None:
    """Return the highest bid in whole dollars at which a lot costs no more than `limit` euro: 0 if each costs more,
    None if the cost is unknown. Fees jump between brackets, so it is searched for; the cost never falls with the bid.
    """

    def is_within(bid: int) -> bool | None:
        total = quote(lot, bid, profile, tariffs, rates, costs=costs, repair=repair).total_eur
        return None if total is None else total <= limit

    if (fits := is_within(0)) is None:
        return None
    if not fits:
        return 0
    low, high = 0, HIGHEST_BID + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_within(middle) else (low, middle)
    return low


@dataclass
class _Quoting:
    """Collects the lines of a quote."""

    lot: Lot
    bid: int
    profile: Profile
    tariffs: Tariffs
    rates: Rates
    costs: Case
    repair_case: Case
    lines: list[QuoteLine] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def quote(self) -> Quote:
        lot, tariffs = self.lot, self.tariffs
        self._auction()
        fees = total(line.amount for line in self.lines if line.name in AUCTION_FEES)
        self._tariff("title_pickup", tariffs.find("title_pickup", title_state=lot.title_state), "flat")
        from_port = port(lot.yard, lot.state, self.profile, tariffs)
        way = road(lot.yard, lot.state, self.profile, tariffs)
        self._tariff("road", way, f"{lot.yard or lot.state or 'a yard'} to {from_port or 'a port'}")
        destination = self.profile.destination
        ocean = tariffs.find("ocean", port=from_port, destination=destination)
        self._tariff("ocean", ocean, f"{from_port or 'a port'} to {destination}")
        self._insurance(fees)
        customs = self._customs_value()
        if self.profile.broker != "none":
            self._tariff("broker_fee", tariffs.find("broker_fee", broker=self.profile.broker), self.profile.broker)
        self._duty_and_vat(customs)
        self._in_bulgaria()
        self._exchange()
        self._repair()
        self._deducted()
        return self._result(fees)

    def _auction(self) -> None:
        lot, bid, profile, tariffs = self.lot, self.bid, self.profile, self.tariffs
        is_usd = lot.currency == "USD"
        self._add(
            "bid", Decimal(bid) if is_usd else None, "USD", "certain" if is_usd else "unknown",
            "what is bid" if is_usd else f"the lot is sold in {lot.currency or 'a currency that is not known'}",
            "given",
        )  # fmt: skip
        if not is_usd:
            self.missing.append(f"bid: {self.lines[0].basis}")
        about = {"vehicle_type": lot.vehicle_type, "title": lot.title} if is_usd else {}
        what = f"{profile.account}, {lot.title or 'a title that is not known'}, {profile.payment}"
        find = tariffs.find
        self._tariff("buyer_fee", find("buyer_fee", **about, account=profile.account, payment=profile.payment), what)
        what = f"{lot.title or 'a title that is not known'}, {profile.bid_kind}"
        self._tariff("virtual_bid_fee", find("virtual_bid_fee", **about, bid_kind=profile.bid_kind), what)
        for name in ("gate_fee", "environmental_fee"):
            self._tariff(name, find(name, **about), lot.title or "a title that is not known")

    def _insurance(self, fees: Decimal | None) -> None:
        line = self.tariffs.find("insurance", destination=self.profile.destination)
        base = total((self.lines[0].amount, fees))
        if line is None:
            self._unknown("insurance", "USD", NO_LINE, None)
            return
        percent = line.figure(self.costs)
        self._add(
            "insurance", None if base is None else share(base, percent), "USD",
            "unknown" if base is None else _certainty(line), f"{shown(percent)} % of bid and auction fees",
            line.source, rate_percent=percent, tariff=line,
        )  # fmt: skip

    def _customs_value(self) -> Decimal | None:
        """Return what duty is computed from, in euro: everything so far, at the rate of customs."""
        dollars, euros = self._sums(self.lines)
        return None if dollars is None or euros is None else converted(dollars, self._customs_rate()) + euros

    def _customs_rate(self) -> Decimal:
        return self.profile.customs_rate or self.rates.usd

    def _duty_and_vat(self, customs: Decimal | None) -> None:
        lot, tariffs, destination = self.lot, self.tariffs, self.profile.destination
        country = origin(lot.vin, tariffs)
        facts = {"vehicle_type": lot.vehicle_type, "body": lot.body, "fuel": lot.fuel, "origin": country}
        duty = tariffs.find("duty", **facts)
        at_duty = self._percent_of(customs, "duty", duty, self._duty_basis(country))
        certificate = tariffs.find("origin_certificate", origin=country, fuel=lot.fuel)
        self._tariff("origin_certificate", certificate, "proof of origin" if country == "US" else "no proof of origin")
        there = [
            self._tariff(name, tariffs.find(name, destination=destination), destination) for name in AT_DESTINATION
        ]
        base = total((customs, *(self._eur(each) for each in (at_duty, *there))))
        self._percent_of(base, "vat", tariffs.find("vat"), "customs value, duty and costs to the destination")

    def _duty_basis(self, country: str | None) -> str:
        known = f"assembled in {country}" if country else "no country by the VIN"
        if self.lot.vin and not is_vin(self.lot.vin):
            known = "the VIN is masked or not whole"
        elif not self.lot.vin:
            known = "no VIN"
        return f"customs value; {known}"

    def _percent_of(self, base: Decimal | None, name: str, line: TariffLine | None, basis: str) -> QuoteLine:
        """Add a line that is a percentage of an amount in euro."""
        if line is None:
            return self._unknown(name, "EUR", NO_LINE, None)
        percent = line.figure(self.costs)
        certainty = _certainty(line)
        if name == "duty" and (origin(self.lot.vin, self.tariffs) is None or self.lot.fuel is None):
            certainty = "assumed"
        return self._add(
            name, None if base is None else share(base, percent), "EUR", "unknown" if base is None else certainty,
            f"{shown(percent)} % of {basis}", line.source, rate_percent=percent, tariff=line,
        )  # fmt: skip

    def _in_bulgaria(self) -> None:
        lot, tariffs = self.lot, self.tariffs
        for name, basis in (("approval", "flat"), ("conversion", "lamps, plugs, labels")):
            self._tariff(name, tariffs.find(name), basis)
        self._product_fee(tariffs.find("product_fee", fuel=lot.fuel))
        self._tariff("registration", tariffs.find("registration"), "flat")

    def _product_fee(self, line: TariffLine | None) -> None:
        lot, tariffs = self.lot, self.tariffs
        amount = product_fee(lot.year, lot.fuel, tariffs, self.costs)
        if line is None or amount is None:
            self._unknown("product_fee", "EUR", NO_LINE if line is None else "the year is not known", line)
            return
        basis = f"{age(lot.year, tariffs)} years old" if line.brackets else "flat"
        self._add("product_fee", amount, "EUR", _certainty(line), basis, line.source, tariff=line)

    def _exchange(self) -> None:
        percent = self.profile.exchange_markup_percent
        dollars = self._sums(self.lines)[0]
        amount = None if dollars is None else share(converted(dollars, self.rates.usd), percent)
        self._add(
            "exchange", amount, "EUR", "unknown" if amount is None else "assumed",
            f"{shown(percent)} % of what is paid in dollars", f"profile {self.profile.name}", rate_percent=percent,
        )  # fmt: skip

    def _repair(self) -> None:
        if not self.lot.has_repair:
            self.notes.append("the repair is not counted: no damage and no repair cost is given")
            return
        amount, certainty, basis, line = self._repair_of()
        source = line.source if line else "given"
        if amount is None:
            self._unknown("repair", "EUR", basis, line)
            return
        self._add("repair", amount, "EUR", certainty, basis, source, tariff=line)

    def _repair_of(self) -> tuple[Decimal | None, Certainty, str, TariffLine | None]:
        """Return the cost of the repair in Bulgaria, as known as it is, what it is computed from, and its line."""
        lot, find = self.lot, self.tariffs.find
        if lot.repair_eur is not None:
            return lot.repair_eur, "certain", "estimated by hand", None
        if (terms := repair_terms(self.tariffs)) is None:
            return None, "unknown", NO_LINE, None
        if lot.repair_usd is not None and NOTHING < lot.repair_usd < terms.ceiling.expected:
            line, usd = terms.spread, share(lot.repair_usd, terms.spread.figure(self.repair_case))
            what = "Copart's repair cost"
        elif (found := find("repair", damage=lot.damage)) is not None:
            line, usd = found, found.figure(self.repair_case)
            what = f"cars with the damage {lot.damage}"
        else:
            return None, "unknown", f"{NO_LINE} names this damage", None
        percent, least = factor(self.profile), terms.floor.expected
        amount = max(share(converted(usd, self.rates.usd), percent), least)
        return amount, "assumed", f"{shown(percent)} % of {what}, at least {least:.0f} EUR", line

    def _deducted(self) -> None:
        """Add what a company that is registered for VAT gets back."""
        if not self.profile.is_vat_registered:
            return
        parts = (self._back(is_repair=False), self._back(is_repair=True))
        back = total(parts)
        self._add(
            "vat_deducted", None if back is None else -back, "EUR", "unknown" if back is None else "certain",
            "import VAT, and VAT in approval and repair", f"profile {self.profile.name}: registered for VAT",
        )  # fmt: skip

    def _back(self, *, is_repair: bool) -> Decimal | None:
        """Return the VAT that is deducted of the repair, or of everything else; None if it is not known."""
        vat = self.tariffs.find("vat")
        if vat is None:
            return None
        if is_repair:
            inside = total(line.amount for line in self.lines if line.name == "repair")
            return None if inside is None else included(inside, vat.expected)
        inside = total(line.amount for line in self.lines if line.tariff and line.tariff.includes_vat)
        paid = total(line.amount for line in self.lines if line.name == "vat")
        return total((paid, None if inside is None else included(inside, vat.expected)))

    def _result(self, fees: Decimal | None) -> Quote:
        lines = self._with_parts()
        whole = total(line.eur for line in lines)
        return Quote(
            bid=self.bid,
            lines=tuple(lines),
            auction_fees_usd=fees,
            landed_eur=self._landed(lines),
            total_eur=whole,
            missing=tuple(self.missing),
            notes=tuple(self.notes),
        )

    def _landed(self, lines: list[QuoteLine]) -> Decimal | None:
        """Return the total without the repair and the VAT that is deducted of it."""
        whole = total(line.eur for line in lines if line.name not in ("repair", "vat_deducted"))
        back = self._back(is_repair=False) if self.profile.is_vat_registered else NOTHING
        return None if whole is None or back is None else whole - back

    def _with_parts(self) -> list[QuoteLine]:
        """Return the lines with their parts of the total. The dollars are converted as one sum; a line's part is the
        difference between two such sums, so that the parts add up to the cent."""
        found: list[QuoteLine] = []
        dollars = NOTHING
        for line in self.lines:
            if line.amount is None:
                found.append(line)
            elif line.currency == "EUR":
                found.append(replace(line, eur=line.amount))
            else:
                before, dollars = dollars, dollars + line.amount
                part = converted(dollars, self.rates.usd) - converted(before, self.rates.usd)
                found.append(replace(line, eur=part))
        return found

    def _sums(self, lines: Iterable[QuoteLine]) -> tuple[Decimal | None, Decimal | None]:
        """Return the sums of lines in dollars and in euro."""
        found = list(lines)
        return (
            total(line.amount for line in found if line.currency == "USD"),
            total(line.amount for line in found if line.currency == "EUR"),
        )

    def _eur(self, line: QuoteLine) -> Decimal | None:
        if line.amount is None or line.currency == "EUR":
            return line.amount
        return converted(line.amount, self._customs_rate())

    def _tariff(self, name: str, line: TariffLine | None, basis: str) -> QuoteLine:
        """Add a line whose amount is that of a line of the tariffs."""
        if line is None:
            return self._unknown(name, "USD", f"{NO_LINE} for {basis}", None)
        if line.brackets:
            bracket = line.bracket(self.bid)
            amount = bracket.of(self.bid)
            basis += (
                f": {shown(bracket.value)} % of the bid" if bracket.is_percent else f": bids from {bracket.least:,}"
            )
        else:
            amount = line.figure(self.costs)
        return self._add(name, amount, line.currency, _certainty(line), basis, line.source, tariff=line)

    def _unknown(self, name: str, currency: str, why: str, line: TariffLine | None) -> QuoteLine:
        """Add a line that is not known for a reason of its own, and not because what it is computed from is not."""
        self.missing.append(f"{name}: {why}")
        return self._add(name, None, currency, "unknown", why, line.source if line else NO_LINE, tariff=line)

    def _add(
        self,
        name: str,
        amount: Decimal | None,
        currency: str,
        kind: Certainty,
        basis: str,
        source: str,
        *,
        rate_percent: Decimal | None = None,
        tariff: TariffLine | None = None,
    ) -> QuoteLine:
        line = QuoteLine(
            name=name, amount=None if amount is None else amount + NOTHING, currency=currency, kind=kind, basis=basis,
            source=source, rate_percent=rate_percent, tariff=tariff,
        )  # fmt: skip
        self.lines.append(line)
        return line


def _certainty(line: TariffLine) -> Certainty:
    return "certain" if line.is_certain else "assumed"
