"""`vinops landed top | show | result | evaluate | funnel | run | dead`: the import deals on the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from psycopg.rows import dict_row

from ops.commands.landed import app, known_fuel, letters
from ops.options import finite
from ops.show import lot_sheet, tables
from vinops import config, logs
from vinops.db import database
from vinops.db.database import queries
from vinops.output import at_work, data_folder, say, terminal_width
from vinops.redaction import one_line
from vinops.text.figures import plural
from vinops.text.printable import printable

if TYPE_CHECKING:
    from psycopg import Connection


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, safe to open in a spreadsheet.")]
Number = Annotated[int, typer.Argument(metavar="LOT", min=1, help="The number of the lot at the auction.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many.")]

STEPS: Final = {
    "lots": "active lots",
    "cars": "cars and pickups",
    "in_usa": "in the USA",
    "young": "young enough",
    "repairable": "with a damage that is repaired",
    "titled": "with a title that is known to be exportable",
    "starting": "that run or start",
    "candidates": "with keys and a known mileage",
    "valued": "with a value here",
    "by_twin": "of these by the ads of a twin",
    "complete": "whose cost is known",
    "ranked": "in the ranking, with a bid above 0",
}
"""The steps of the funnel, in words."""


@app.command()
def top(
    *,
    limit: Limit = 10,
    make: Annotated[str | None, typer.Option(help="Of this make only: Toyota.")] = None,
    model: Annotated[str | None, typer.Option(help="Of this model or family, with its make: Ford Escape.")] = None,
    fuel: Annotated[str | None, typer.Option(help="gasoline, diesel, hybrid, electric …")] = None,
    from_year: Annotated[int | None, typer.Option(min=1900, max=2100, help="The oldest model year.")] = None,
    to_year: Annotated[int | None, typer.Option(min=1900, max=2100, help="The newest model year.")] = None,
    max_bid: Annotated[int | None, typer.Option(min=0, max=1_000_000, help="The highest bid, in dollars.")] = None,
    state: Annotated[str | None, typer.Option(help="The state of the yard: NJ.")] = None,
    profile: Annotated[str | None, typer.Option(help="Ranked by another profile than the default one.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show the best lots: first those with a price to count with, by the profit at it; then by the most one may bid.

    A price to count with is a buy-now, a bid that was kept (`landed show LOT --bid N --keep`), or the bid that such a
    lot usually reaches. Lots with a blocker, as a title that nobody knows, are never among them.
    """
    from deals.landed.lines import TariffError
    from deals.lots import terms
    from deals.offers import lists, ranking

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    wanted = ranking.Wanted(
        make=_make(make),
        model=_model(model),
        fuel=known_fuel(fuel),
        from_year=from_year,
        to_year=to_year,
        max_bid=max_bid,
        state=letters(state, "--state"),
    )
    settings = _settings()
    with _open(settings, "landed top") as connection, at_work("the query runs"):
        try:
            rows = lists.both(connection, wanted, terms.current(connection, settings, profile), limit)
            (incomplete,) = _rows(connection, "incomplete_lots")
        except TariffError as error:
            _fail(str(error))
    if as_json:
        typer.echo(json.dumps(rows, default=_plain))
    elif as_csv:
        columns = ("lot_id", *lists.COLUMNS)
        tables.write_csv(sys.stdout, columns, [tuple(row[name] for name in columns) for row in rows])
    else:
        if not rows and wanted != ranking.Wanted():
            typer.echo("no lot of the ranking is like that: remove a filter, or widen a range", err=True)
        elif not rows:
            typer.echo("no lot is ranked: `vinops landed run` values and quotes them, `landed funnel` counts", err=True)
        for line in lot_sheet.ranking(rows, zone=settings.time_zone, width=terminal_width()):
            typer.echo(printable(line))
        if incomplete["lots"]:
            others = plural(incomplete["lots"], "lot")
            typer.echo(f"\nnot ranked, as a part of the cost is not known: {others}; `vinops landed funnel` says which")


def _make(text: str | None) -> str | None:
    from vinops import vehicles

    if text is None:
        return None
    if (found := vehicles.make(text)) is None:
        raise typer.BadParameter("there is no such make: write it as in Toyota", param_hint="--make")
    return found.value


def _model(text: str | None) -> str | None:
    from vinops import vehicles

    if text is None:
        return None
    if (found := vehicles.model_named(text)) is None:
        raise typer.BadParameter(
            "there is no such model: write it with its make, as in Ford Escape", param_hint="--model"
        )
    return found.value


@app.command()
def show(
    lot: Number,
    *,
    bid: Annotated[int | None, typer.Option(min=0, max=1_000_000, help="A bid in dollars to count with.")] = None,
    profile: Annotated[str | None, typer.Option(help="Another profile than the default one.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the bid: the lot is ranked by it, for everybody.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Remove the bid that was kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a lot: what speaks against it, what its car is worth here, what it costs landed line by line.

    It is quoted at --bid, else at the bid that was kept until others have bid more, else at the price to count with, or
    at the most one may bid.
    """
    from deals.landed.lines import TariffError
    from deals.lots import terms
    from deals.offers import bids, ranking

    if forget and (keep or bid is not None):
        raise typer.BadParameter("--forget goes without --bid and --keep")
    if keep and not bid:
        raise typer.BadParameter("--keep goes with a --bid above 0")
    settings = _settings()
    with _open(settings, "landed show") as connection, at_work("quoting"):
        if keep and bid and not bids.keep(connection, lot, bid):
            _fail(f"there is no lot {lot}: check the number")
        if forget:
            bids.forget(connection, lot)
        typed = bids.of_lot(connection, lot)
        if bid is None and typed is not None and not typed.is_passed:
            bid = typed.bid_usd
        try:
            found = ranking.sheet(connection, lot, terms.current(connection, settings, profile), bid=bid)
        except TariffError as error:
            _fail(str(error))
        if found is None:
            _fail(f"there is no lot {lot}: `vinops landed top` shows numbers")
        ads = ranking.comparables(connection, found)
    if as_json:
        kept = {"kept_bid_usd": typed and typed.bid_usd, "is_kept_bid_passed": typed is not None and typed.is_passed}
        typer.echo(json.dumps(lot_sheet.as_json(found, ads) | kept, default=_plain))
        return
    for line in lot_sheet.lines(found, ads, typed, zone=settings.time_zone):
        typer.echo(printable(line))


@app.command()
def result(
    lot: Number,
    *,
    price: Annotated[int, typer.Option(min=1, max=10_000_000, help="What it went for, in the currency of the lot.")],
    lost: Annotated[bool, typer.Option("--lost", help="Another bidder got it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Note what a lot went for: the only proof of an estimate. The newest of a lot counts."""
    from deals.lots import results

    with _open(_settings(), "landed result") as connection, at_work("noting"):
        if not results.note(connection, lot, price, is_won=not lost):
            _fail(f"there is no lot {lot}: check the number")
    if as_json:
        typer.echo(json.dumps({"lot": lot, "price": price, "is_won": not lost}))
    else:
        typer.echo(f"lot {lot} went for {price:,}, {'lost' if lost else 'won'}")


@app.command()
def evaluate(*, as_json: AsJson = False) -> None:
    """Compare the estimates with what lots went for, and with lots that were listed again."""
    from deals.lots import results

    with _open(_settings(), "landed evaluate") as connection, at_work("comparing"):
        found = results.evaluate(connection)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{plural(found['results'], 'result')}, {found['won']} of them won: {found['verdict']}")
    typer.echo(f"{found['above_most']} of {found['quoted']} went for more than the most one might have bid")
    typer.echo(
        f"{plural(found['relisted'], 'lot')} listed again, {found['relisted_quoted']} of them quoted: for"
        f" {found['relisted_above']} of these one might have bid more than the bid at which they were not sold"
    )


@app.command()
def funnel(
    feed: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A feed file; default: the database.")] = None,
    ads: Annotated[
        Path | None, typer.Argument(metavar="[ADS]", help="A CSV of ads, as `deals evaluate` reads.")
    ] = None,
    *,
    rate: Annotated[
        float, typer.Option(min=0.1, max=10, callback=finite, help="With files: dollars for one euro.")
    ] = 1.16,
    best: Annotated[int, typer.Option(min=0, max=100, help="How many of the best lots to show.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Count how many lots are left at each step, and what keeps the others out.

    With a feed file and a file of ads, both are loaded into a database of their own, valued, quoted and counted.
    """
    if (feed is None) != (ads is None):
        raise typer.BadParameter("name both files, or none")
    settings = _settings()
    if feed is None or ads is None:
        with _open(settings, "landed funnel") as connection:
            found = _funnel(connection, best)
    else:
        found = _funnel_of_files(settings, feed, ads, Decimal(str(rate)), best)
    if as_json:
        typer.echo(json.dumps(found, default=_plain))
        return
    counts = found["steps"]
    width = max(map(len, STEPS.values()))
    for name, words in STEPS.items():
        typer.echo(f"{words:{width}}  {counts[name]:>9,}")
    share = counts["explained"] / counts["cars"] if counts["cars"] else 0.0
    typer.echo(f"{counts['explained']:,} of {counts['cars']:,} cars have a value or a reason: {share:.1%}")
    typer.echo(f"{counts['ranked_unknown']} lots with an unknown title are in the ranking")
    typer.echo("\nwhat keeps lots out (one may have several reasons)")
    tables.show(["blocker", "lots"], [tuple(row.values()) for row in found["blockers"]])
    if found["missing"]:
        typer.echo(
            "\nparts of the cost that are not known, where nothing else keeps a lot out: a line of a tariff adds one"
        )
        tables.show(["part", "state", "lots"], [tuple(row.values()) for row in found["missing"]])
    typer.echo("\nwhat has no market here")
    tables.show(["reason", "lots"], [(printable(row["reason"]), row["lots"]) for row in found["no_market"]])
    if found["best"]:
        typer.echo("\nthe best, by the most one may bid")
        for line in lot_sheet.ranking(found["best"], zone=settings.time_zone, width=terminal_width()):
            typer.echo(printable(line))


def _funnel(connection: Connection[Any], best: int, *, sale_after: datetime | None = None) -> dict[str, Any]:
    from deals.offers import ranking

    with at_work("counting"):
        (steps,) = _rows(connection, "funnel")
        return {
            "steps": steps,
            "blockers": _rows(connection, "blocker_counts"),
            "missing": _rows(connection, "missing_parts"),
            "no_market": _rows(connection, "wanting_models", limit=10),
            "best": ranking.top(connection, ranking.Wanted(), best, by_profit=False, sale_after=sale_after),
        }


def _funnel_of_files(settings: config.Settings, feed: Path, ads: Path, rate: Decimal, best: int) -> dict[str, Any]:
    from deals.evaluation.ads import EvaluateError
    from etl.errors import FeedError
    from ops.funnel import FunnelError, loaded

    try:
        with (
            at_work("starting") as work,
            loaded(feed, ads, settings, rate=rate, told=lambda text: work(0, text=text)) as connection,
        ):
            return _funnel(connection, best, sale_after=datetime.fromtimestamp(0, UTC))  # of a file of any day
    except (EvaluateError, FeedError, FunnelError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")


@app.command()
def run(
    *,
    again: Annotated[bool, typer.Option("--again", help="Value and quote all active lots again.")] = False,
    post: Annotated[bool, typer.Option("--post/--no-post", help="Send the messages that wait, too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Value and quote all lots that changed, send the messages about them, and exit. Workers may run at the same
    time."""
    from deals.channel import lots
    from deals.imports import post as messages
    from deals.offers import passes, requote
    from deals.queue import runner
    from deals.stages.registry import LOT_STAGES

    settings = _settings()
    if not as_json:
        say(f"data folder {data_folder(settings)}")
    rows = []
    with _open(settings, "landed run") as connection, at_work("queueing") as work:
        if again:
            passes.renew(connection)
        anew = requote.run(connection, settings)
        passes.queue_changed(connection, settings)
        runner.give_up(connection)
        for stage in LOT_STAGES:
            work(0, text=stage)
            outcomes = runner.drain(connection, settings, stage, lambda done: work(done, 0, "lots"))
            rows.append(
                {
                    "stage": stage,
                    "done": sum(len(each.done) for each in outcomes) + (anew if stage == "quote" else 0),
                    "failed": sum(each.failed for each in outcomes),
                    "given_up": sum(len(each.dead) for each in outcomes),
                }
            )
        posted = asdict(messages.post(connection, settings)) if post and lots.is_on(settings) else {}
        problem = _broken_terms(connection, settings)
    if as_json:
        typer.echo(json.dumps({"stages": rows, "notify": posted}))
    else:
        tables.show(list(rows[0]), [tuple(row.values()) for row in rows])
        if posted:
            counts = ", ".join(f"{posted[name]} {name}" for name in ("sent", "edited", "dropped", "failed", "waiting"))
            typer.echo(f"messages: {counts}")
    if posted.get("held"):
        typer.echo(f"vinops: posting is held {posted['held']}: `vinops deals release` lets it go on", err=True)
    if problem:
        typer.echo(f"vinops: lots are not quoted and no message is sent: {problem}", err=True)
    if given_up := any(row["given_up"] for row in rows):
        typer.echo("vinops: lots were given up: `vinops landed dead` says why", err=True)
    if problem or given_up:
        raise typer.Exit(1)


def _broken_terms(connection: Connection[Any], settings: config.Settings) -> str:
    """Return what is wrong with the tariffs or the profiles; empty if nothing is."""
    from deals.landed.lines import TariffError
    from deals.lots import terms

    try:
        terms.current(connection, settings)
    except TariffError as error:
        return one_line(str(error))
    return ""


@app.command()
def dead(
    *,
    limit: Limit = 20,
    retry: Annotated[bool, typer.Option("--retry", help="Queue all of them again.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the lots that were given up, and why."""
    from deals.queue import outbox

    with _open(_settings(), "landed dead") as connection:
        rows = _rows(connection, "dead_lots", limit=limit)
        if retry:
            queued = connection.execute(outbox.statements(of_lots=True)["retry_dead_work"]).rowcount
            typer.echo(f"{queued} are to be tried again: by the workers, or by `vinops landed run`", err=True)
    if as_json:
        typer.echo(json.dumps(rows, default=_plain))
    elif rows:
        tables.show(list(rows[0]), [tuple(row.values()) for row in rows])
    else:
        typer.echo("no lot was given up", err=True)


def _settings() -> config.Settings:
    settings = config.load()
    logs.configure("deals", settings, console=False)
    return settings


def _open(settings: config.Settings, name: str) -> Connection[Any]:
    with at_work("connecting"):
        return database.connect(settings, application=f"vinops {name}", autocommit=True)


def _rows(connection: Connection[Any], name: str, **values: object) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries("imports")[name], values or None).fetchall()


def _fail(message: str) -> NoReturn:
    typer.echo(f"vinops: {one_line(message)}", err=True)
    raise typer.Exit(1)


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)
