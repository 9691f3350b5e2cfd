"""`vinops landed …`: import deals, on the command line."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from ops.show import quotes, tables
from vinops import config, logs
from vinops.db import database
from vinops.output import at_work
from vinops.redaction import one_line
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.landed.book import Tariffs
    from deals.landed.lines import TariffLine
    from deals.landed.lot import Rates
    from deals.landed.profiles import Profile

app = typer.Typer(help="Import deals: what a lot costs landed in Bulgaria.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, safe to open in a spreadsheet.")]
FEED_FUELS: Final = ("flex fuel", "bi-fuel", "gas and oil mix")
"""Fuels of the feed that the vocabulary of ads does not have."""
NO_RATE: Final = "no exchange rate is kept: give one, as in --rate 1.10, or fetch it: `vinops landed rate --fetch`"


@app.command()
def quote(
    *,
    bid: Annotated[int, typer.Option(metavar="USD", help="The bid in whole dollars.")],
    account: Annotated[str | None, typer.Option(metavar="non-licensed|high-volume", help="The account.")] = None,
    title: Annotated[str | None, typer.Option(metavar="clean|non-clean", help="The title.")] = None,
    payment: Annotated[str | None, typer.Option(metavar="secured|unsecured", help="How it is paid.")] = None,
    bid_kind: Annotated[str | None, typer.Option(metavar="pre|live", help="How it is bid.")] = None,
    rate: Annotated[str | None, typer.Option(metavar="USD", help="Dollars for one euro; the ECB's.")] = None,
    year: Annotated[int | None, typer.Option(min=1900, max=2100, help="The model year.")] = None,
    vin: Annotated[str | None, typer.Option(help="The VIN; masked or missing: the dearer duty.")] = None,
    fuel: Annotated[str | None, typer.Option(help="gasoline, diesel, hybrid, electric …")] = None,
    state: Annotated[str | None, typer.Option(help="The state of the yard: NJ.")] = None,
    yard: Annotated[str | None, typer.Option(help="The yard, as the feed names it: TX - HOUSTON.")] = None,
    damage: Annotated[str | None, typer.Option(help="The damage, as the feed names it: front end.")] = None,
    title_state: Annotated[str | None, typer.Option(help="The state of the title.")] = None,
    vehicle_type: Annotated[str, typer.Option(help="The feed's letter: V, a car.")] = "V",
    repair: Annotated[str | None, typer.Option(metavar="EUR", help="What the repair costs in Bulgaria.")] = None,
    value: Annotated[str | None, typer.Option(metavar="EUR", help="What it sells for.")] = None,
    profile: Annotated[str | None, typer.Option(help="Who buys; the default profile.")] = None,
    on: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="The day of the import; today.")] = None,
    as_json: AsJson = False,
) -> None:
    """Quote a lot by hand: what it costs landed in Bulgaria at a bid, line by line."""
    from deals.landed import quote as quoting
    from deals.landed.lot import Lot
    from deals.landed.profiles import TITLES, WORDS

    if not 0 <= bid <= quoting.HIGHEST_BID:
        raise typer.BadParameter(f"a bid is from 0 to {quoting.HIGHEST_BID:,} dollars", param_hint="--bid")
    account, payment, bid_kind = (
        None if word is None else _one_of(word, WORDS[name], name)
        for name, word in (("account", account), ("payment", payment), ("bid_kind", bid_kind))
    )
    yard = yard and " ".join(yard.upper().split())
    if state is None and yard and yard[2:5] == " - ":
        state = yard[:2]  # as the feed begins them: TX - HOUSTON EAST
    lot = Lot(
        state=letters(state, "--state"),
        yard=yard,
        title=_one_of(title, TITLES, "title") if title is not None else None,
        title_state=letters(title_state, "--title-state"),
        vin=vin and vin.strip().upper(),
        year=year,
        fuel=known_fuel(fuel),
        vehicle_type=_letter(vehicle_type),
        damage=damage and " ".join(damage.lower().split()),
        repair_eur=_amount(repair, "--repair"),
    )
    worth = _amount(value, "--value")
    given = _rate(rate)
    settings = config.load()
    buyer, tariffs = _buyer(settings, profile, _day(on))
    buyer = replace(
        buyer,
        account=account or buyer.account,
        payment=payment or buyer.payment,
        bid_kind=bid_kind or buyer.bid_kind,
    )
    rates = given or _kept(settings)
    found = quoting.quote(lot, bid, buyer, tariffs, rates)
    vat = tariffs.find("vat")
    limit = most = None
    if worth is not None and vat is not None:
        limit = buyer.limit(worth, vat.expected)
        most = quoting.most_bid(lot, limit, buyer, tariffs, rates)
    if as_json:
        row = quotes.as_object(found, buyer, rates) | {"value_eur": worth, "limit_eur": limit, "most_bid_usd": most}
        tables.write_object(sys.stdout, row)
        return
    who = f"{buyer.account}, {lot.title or 'no title given'}, {buyer.payment}, {buyer.bid_kind}; profile {buyer.name}"
    typer.echo(f"{who}; 1 EUR = {rates.usd} USD\n")
    for line in quotes.lines(found):
        typer.echo(printable(line))
    if limit is not None:
        typer.echo(f"\nsells for {worth:,.0f} EUR: it may cost {limit:,.2f} EUR, " + _most(most))


def _most(most: int | None) -> str:
    if most is None:
        return "but what it costs is not known"
    return f"so bid up to {most:,} USD" if most else "which no bid is low enough for"


@app.command()
def tariffs(*, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the lines of the tariffs, the one whose check is the oldest first."""
    from deals.landed import book
    from deals.landed.lines import TariffError

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    try:
        found = book.load(config.load().tariffs_dir)
    except TariffError as error:
        _fail(error)
    rows = [_shown(line) for line in found.by_check()]
    names, values = list(rows[0]), [tuple(row.values()) for row in rows]
    if as_json:
        tables.write_json(sys.stdout, names, values)
    elif as_csv:
        tables.write_csv(sys.stdout, names, values)
    else:
        short = ("checked", "kind", "name", "amount", "currency", "confidence", "until")
        tables.show(list(short), [tuple(row[name] for name in short) for row in rows])
    if stale := found.stale(_today()):
        text = f"{len(stale)} of these were checked more than {book.STALE_DAYS} days ago: docs/landed.md"
        typer.echo(f"vinops: {text}, Checking a tariff", err=True)


@app.command("rate")
def rate_command(
    *,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch the rate of today from the ECB.")] = False,
    accept_jump: Annotated[
        bool, typer.Option("--accept-jump", help="With --fetch: take a rate that is far from the last one, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the exchange rate that is used, and how old it is; exit 1 if it is too old, or cannot be fetched."""
    from deals.landed import rates
    from vinops.checks import Level

    if accept_jump and not fetch:
        raise typer.BadParameter("--accept-jump goes with --fetch")
    settings = config.load()
    logs.configure("deals", settings, console=False)
    with _open(settings, "landed rate") as connection:
        problem = outcome = None
        if fetch:
            try:
                with at_work("fetching the rate"):
                    outcome = rates.refresh(connection, settings, accept_jump=accept_jump)
            except rates.RateError as error:
                problem = one_line(str(error))
        kept = rates.newest(connection)
    finding = rates.judge(kept.day if kept else None, _today())
    if as_json:
        row = {"usd_per_eur": kept and kept.usd, "day": kept and kept.day, "source": kept and kept.source}
        tables.write_object(sys.stdout, {**row, "is_old": finding.level is not Level.OK, "fetched": outcome})
    elif kept:
        typer.echo(f"1 EUR = {kept.usd} USD, {kept.source}" + (f"; {outcome}" if outcome else ""))
    else:
        typer.echo(NO_RATE, err=True)
    if problem:
        typer.echo(f"vinops: no new rate: {problem}", err=True)
    if finding.level is not Level.OK:
        typer.echo(f"vinops: {finding.text}: `{finding.fix}`", err=True)
    if problem or finding.level is not Level.OK or kept is None:
        raise typer.Exit(1)


def _shown(line: TariffLine) -> dict[str, Any]:
    """Return a line of the tariffs for a list."""
    if line.brackets:
        amount: object = f"{len(line.brackets)} brackets"
    elif line.gives:
        amount = line.gives
    else:
        amount = f"{line.low}-{line.expected}-{line.high}" if line.is_range else line.expected
    return {
        "checked": line.checked,
        "kind": line.kind,
        "name": line.name,
        "amount": amount,
        "unit": line.unit,
        "currency": line.currency,
        "confidence": line.confidence,
        "from": line.starts,
        "until": line.ends,
        "file": line.file,
        "source": line.source,
        "for": {name: list(words) for name, words in line.chosen_by.items()},
    }


def _buyer(settings: config.Settings, name: str | None, day: date) -> tuple[Profile, Tariffs]:
    from deals.landed import book, profiles
    from deals.landed.lines import TariffError

    try:
        return profiles.load(settings.data_dir).named(name), book.load(settings.tariffs_dir).on(day)
    except TariffError as error:
        _fail(error)


def _kept(settings: config.Settings) -> Rates:
    """Return the newest rate that is kept; without one the command ends."""
    from deals.landed import rates

    with _open(settings, "landed quote") as connection:
        found = rates.newest(connection)
    if found is None:
        typer.echo(f"vinops: {NO_RATE}", err=True)
        raise typer.Exit(1)
    return found


def _rate(text: str | None) -> Rates | None:
    from deals.landed.lot import Rates

    if text is None:
        return None
    try:
        return Rates(usd=Decimal(text))
    except (InvalidOperation, ValueError):
        raise typer.BadParameter(
            "a rate is dollars for one euro, as in 1.10: from 0.1 to 10, with at most 6 decimals", param_hint="--rate"
        ) from None


def _amount(text: str | None, option: str) -> Decimal | None:
    if text is None:
        return None
    try:
        number = Decimal(text)
        if not number.is_finite() or not 0 <= number <= 10_000_000 or number != round(number, 2):
            raise ValueError
    except (InvalidOperation, ValueError):
        raise typer.BadParameter("give euro as in 4000 or 4000.50", param_hint=option) from None
    return number


def known_fuel(text: str | None) -> str | None:
    from vinops import vehicles

    if text is None:
        return None
    if (word := " ".join(text.lower().split())) in FEED_FUELS:
        return word
    if (found := vehicles.fuel(text)) is None or found.how == "fuzzy":
        known = "gasoline, diesel, hybrid, plug-in hybrid, electric, lpg, cng, hydrogen"
        raise typer.BadParameter(
            f"it is no fuel that is known: use {known}, {', '.join(FEED_FUELS)}", param_hint="--fuel"
        )
    return found.value


def _one_of(word: str, words: Sequence[str], name: str) -> str:
    if word not in words:
        raise typer.BadParameter(f"use one of {', '.join(words)}", param_hint=f"--{name.replace('_', '-')}")
    return word


def letters(text: str | None, option: str) -> str | None:
    if text is None:
        return None
    found = text.strip().upper()
    if len(found) != 2 or not found.isascii() or not found.isalpha():
        raise typer.BadParameter("write the two letters of a state, as in NJ", param_hint=option)
    return found


def _letter(text: str) -> str:
    found = text.strip().upper()
    if len(found) != 1 or not found.isascii() or not found.isalpha():
        raise typer.BadParameter(
            "write the letter of the feed: V for a car, C for a motorcycle", param_hint="--vehicle-type"
        )
    return found


def _day(text: str | None) -> date:
    try:
        return _today() if text is None else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a day as in 2026-07-01", param_hint="--on") from None


def _today() -> date:
    return datetime.now(UTC).date()


def _open(settings: config.Settings, name: str) -> Connection[Any]:
    with at_work("connecting"):
        return database.connect(settings, application=f"vinops {name}", autocommit=True)


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"vinops: {one_line(str(error))}", err=True)
    raise typer.Exit(1) from None
