"""`vinops deals …`: the deals pipeline on the command line."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from psycopg.rows import dict_row

from ops.options import finite
from ops.show import card, tables
from vinops import config, logs
from vinops.checks import Level
from vinops.db import database
from vinops.output import at_work, data_folder, say, terminal_width
from vinops.redaction import one_line
from vinops.text import grid
from vinops.text.figures import amount, plural
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.queue.runner import Outcome
    from vinops.output import AtWork

app = typer.Typer(help="From ads to deals: normalize, price, score, notify.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TOP: Final = (
    *("listing_id", "title", "year", "price_eur", "p50", "difference", "score", "is_approved", "comparables"),
    *("confidence", "reasons", "url"),
)
"""The columns of `deals top --csv`."""
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many.")]


@app.command()
def run(
    *,
    post: Annotated[bool, typer.Option(help="Post the best deals, up to the hourly limit.")] = True,
    again: Annotated[bool, typer.Option("--again", help="Price and score all active ads again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take all ads that wait through all stages and exit. Workers may run at the same time."""
    from deals.channel import post as channel
    from deals.queue import runner
    from deals.stages.registry import STAGES

    settings = _settings()
    if not as_json:
        say(f"data folder {data_folder(settings)}")
    with _open(settings, "deals run") as connection:
        with at_work("queueing") as work:
            if again:
                runner.requeue_all(connection)
            runner.give_up(connection)
            outcomes = {stage: _drained(connection, settings, stage, work) for stage in STAGES}
            work(0, text="posting")
            posted = asdict(channel.post(connection, settings)) if post else {}
        backlog = _rows(connection, "deals", "backlog", stages=list(STAGES))
    rows = [
        {
            "stage": stage,
            "done": sum(len(outcome.done) for outcome in each),
            "failed": sum(outcome.failed for outcome in each),
            "given_up": sum(len(outcome.dead) for outcome in each),
        }
        for stage, each in outcomes.items()
    ]
    waiting = {row["stage"]: row["waiting"] for row in backlog}
    if as_json:
        typer.echo(json.dumps({"stages": rows, "waiting": waiting, "notify": posted}))
    else:
        _table([{**row, "waiting": waiting[row["stage"]]} for row in rows])
        if posted:
            is_dry = not (settings.telegram_bot_token and settings.telegram_channel_id)
            counts = ", ".join(f"{posted[name]} {name}" for name in ("sent", "edited", "dropped", "failed", "waiting"))
            typer.echo(f"notify: {counts}" + (" (to the log: no token or no channel is set)" if is_dry else ""))
    if posted.get("held"):
        typer.echo(f"vinops: posting is held {posted['held']}: `vinops deals release` lets it go on", err=True)
    if any(row["given_up"] for row in rows):
        typer.echo("vinops: ads were given up: `vinops deals dead` says why", err=True)
        raise typer.Exit(1)


def _drained(connection: Connection[Any], settings: config.Settings, stage: str, work: AtWork) -> list[Outcome]:
    """Take all ads that wait through a stage, and show how many are through."""
    from deals.queue import runner

    (about,) = _rows(connection, "deals", "backlog", stages=[stage])
    work(0, about["waiting"], "ads", text=stage)
    return runner.drain(connection, settings, stage, lambda done: work(done, about["waiting"], "ads"))


@app.command()
def top(
    *,
    limit: Limit = 10,
    make: Annotated[str | None, typer.Option(help="Of this make only: VW, Mercedes, БМВ.")] = None,
    family: Annotated[str | None, typer.Option(help="Of this family or model only: Golf, 3 Series, 320.")] = None,
    max_price: Annotated[float | None, typer.Option(min=0, callback=finite, help="The highest price, in EUR.")] = None,
    year: Annotated[str | None, typer.Option(metavar="YEAR|FROM-TO", help="2015, 2012-2016, 2012-, -2016.")] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, safe to open in a spreadsheet.")] = False,
) -> None:
    """Show the best deals: price, market value, and why."""
    from vinops import vehicles

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    first, last = _years(year)
    wanted = {
        "make": make and (found.value if (found := vehicles.make(make)) else make),
        "family": family and " ".join(family.split()),
        "max_price": max_price,
        "from_year": first,
        "to_year": last,
    }
    with _open(_settings(), "deals top") as connection:
        rows = _rows(connection, "scoring", "top_deals", limit=limit, **wanted)
    if as_csv:
        shown = [{**row, "reasons": "; ".join(row["reasons"])} for row in rows]
        tables.write_csv(sys.stdout, list(TOP), [tuple(row[name] for name in TOP) for row in shown])
        return
    if as_json or not rows:
        is_any = any(value is not None for value in wanted.values())
        nothing = "no ad matches" if is_any else "no ad has been scored yet: `vinops deals run` does it"
        _show(rows, as_json=as_json, nothing=nothing)
        return
    width = terminal_width()
    for place, row in enumerate(rows, 1):
        for number, line in enumerate(_lines(row)):
            head = f"{'' if number else place:>2}  " + " " * 6 * bool(number)
            typer.echo("\n".join(_below(head, line, width)))


def _years(text: str | None) -> tuple[int | None, int | None]:
    """Return the first and the last year of `2015`, `2012-2016`, `2012-` or `-2016`."""
    if text is None:
        return None, None
    first, dash, last = text.partition("-")
    if not (first or last) or any(each and not (each.isascii() and each.isdecimal()) for each in (first, last)):
        raise typer.BadParameter("write a year or years as in 2015, 2012-2016, 2012- or -2016", param_hint="--year")
    return (int(first) if first else None), (int(last) if last else None if dash else int(first))


def _below(head: str, text: str, width: int | None) -> list[str]:
    """Return a text behind a head, folded to the width of a terminal."""
    lines = grid.fold(text, None if width is None else width - len(head))
    return [(head if not number else " " * len(head)) + line for number, line in enumerate(lines)]


def _lines(row: dict[str, Any]) -> list[str]:
    """Return the lines of a deal: the car, its price beside its value, the reasons, the address."""
    price = f"{row['price_eur']:,.0f} EUR" if row["price_eur"] is not None else "no price"
    worth = "not priced"
    if row["p50"] is not None:
        worth = f"worth about {row['p50']:,.0f}, {row['difference']:+.0f} %"
    lines = [
        f"{row['score']:>4}  {row['title']}, {row['year'] or card.NO_YEAR} (id {row['listing_id']})",
        f"{price}, {worth}",
        "; ".join(row["reasons"]),
        row["url"],
    ]
    return [printable(line) for line in lines]


@app.command()
def show(
    listing: Annotated[str, typer.Argument(metavar="ID", help="The listing's id, or the site's id of the ad.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show an ad as a card: its facts, value and score, its prices, the cars that it is compared with, what was posted.

    With --json it is everything that is stored about the ad.
    """
    if not listing.isascii() or not listing.isdecimal():
        raise typer.BadParameter("an id is a number, as behind `id` in `vinops deals top`")
    settings = _settings()
    with _open(settings, "deals show") as connection:
        rows = _rows(connection, "scoring", "deal", id=listing)
        if not rows:
            typer.echo(f"vinops: there is no ad {listing}: `vinops deals top` shows ids", err=True)
            raise typer.Exit(1)
        details = (rows[0]["valuation"] or {}).get("details", {})
        near = _rows(connection, "scoring", "comparables", listing_ids=details.get("comparables", []))
    if as_json:
        _expanded(rows[0], as_json=True)
        return
    for line in card.lines(rows[0], near, zone=settings.time_zone, width=terminal_width()):
        typer.echo(printable(line))


@app.command()
def unknowns(*, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the words that are not in the vocabulary, the most frequent first."""
    with _open(_settings(), "deals unknowns") as connection:
        rows = _rows(connection, "normalize", "unknown_words", count=limit)
    _show(rows, as_json=as_json, nothing="every word is known")


@app.command()
def dead(
    *,
    limit: Limit = 20,
    retry: Annotated[bool, typer.Option("--retry", help="Queue all of them again.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the ads that were given up, and why."""
    with _open(_settings(), "deals dead") as connection:
        rows = _rows(connection, "deals", "dead_work", count=limit)
        if retry:
            queued = connection.execute(database.queries("deals")["retry_dead_work"]).rowcount
            typer.echo(f"{queued} are to be tried again: by the workers, or by `vinops deals run`", err=True)
    _show(rows, as_json=as_json, nothing="no ad was given up")


@app.command()
def board(
    *,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Correct the rows that are wrong.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare all rows of the board with the tables that they are made of; exit 1 if any is wrong."""
    from deals import board as upkeep

    with _open(_settings(), "deals board") as connection:
        with at_work("comparing the board"):
            found = upkeep.compare(connection, None)
        rebuilt = None
        if rebuild:
            with at_work("rebuilding the board"):
                rebuilt = upkeep.rebuild(connection)
    finding = upkeep.judge(found)
    if as_json:
        typer.echo(json.dumps({"compared": asdict(found), "rebuilt": rebuilt and asdict(rebuilt)}))
    else:
        typer.echo(finding.text)
        if rebuilt is not None:
            typer.echo(
                f"rebuilt: {rebuilt.written} rows written, {rebuilt.removed} removed, "
                f"{plural(rebuilt.queued, 'ad')} queued to have their words read"
            )
    if finding.level is not Level.OK and rebuilt is None:
        typer.echo(f"vinops: the board is not right: `{upkeep.REBUILD}`", err=True)
        raise typer.Exit(1)


@app.command()
def market(
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Compute all months again, also those that are final.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the prices over time that the site shows, as the nightly task does; exit 1 if it runs at this moment."""
    from deals import market as figures

    settings = _settings()
    with _open(settings, "deals market") as connection, at_work("computing the market"):
        done = figures.refresh(connection, is_again=again)
    if as_json:
        told = {
            "is_busy": done.is_busy,
            "months": [f"{month:%Y-%m}" for month in done.months],
            "rows": done.rows,
            "all_months": done.state.months,
            "families": done.state.families,
            "computed_at": done.state.computed_at,
        }
        typer.echo(json.dumps(told, default=str))
    elif not done.is_busy:
        shown = ", ".join(f"{month:%Y-%m}" for month in done.months[-6:])
        more = f"{len(done.months) - 6} more, " * (len(done.months) > 6)
        typer.echo(
            f"computed {plural(len(done.months), 'month')} of {done.state.months} ({more}{shown}), "
            f"{plural(done.state.families, 'family', 'families')}, {amount(done.rows)} rows"
        )
    if done.is_busy:
        typer.echo("vinops: another process computes the market: try again when it has ended", err=True)
        raise typer.Exit(1)


@app.command()
def release(*, as_json: AsJson = False) -> None:
    """Release posting that is held, as after a restore. Check the channel first: the deals that wait are posted."""
    from deals.channel import queue as channel

    with _open(_settings(), "deals release") as connection:
        reason = channel.release(connection)
    if as_json:
        typer.echo(json.dumps({"released": reason is not None, "reason": reason}))
    else:
        typer.echo(f"released; it was held {reason}" if reason else "posting is not held", err=True)


@app.command()
def train(*, as_json: AsJson = False) -> None:
    """Train the price model on all priced ads of a year, and use it where it measures better than comparables.

    Then measure one that knows nothing of the last week on the ads of that week, and train one for cars with the facts
    of an auction's lot. Each takes minutes.
    """
    from deals.estimate import model as price_model

    settings = _settings()
    with _open(settings, "deals train") as connection, at_work("training on all priced ads"):
        outcome = price_model.train(connection, settings)
        by_time = price_model.measure_by_time(connection, settings) if outcome["trained"] else {}
        lots = price_model.train(connection, settings, "lot") if outcome["trained"] else {}
    outcome |= {f"by_time_{name}": value for name, value in by_time.items()}
    outcome |= {f"lots_{name}": value for name, value in lots.items()}
    if as_json:
        typer.echo(json.dumps(outcome, default=str))
    else:
        _expanded(outcome)


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="A CSV of ads with prices; the README lists its columns.")],
    *,
    seed: Annotated[str, typer.Option("--seed", help="Any text: another one splits the ads differently.")] = "evaluate",
    as_json: AsJson = False,
) -> None:
    """Measure the estimates and the scores on a file of ads by cross-validation: five folds, twice.

    5,000 ads take about a minute of processor time.
    """
    from deals.evaluation import ads, folds as evaluation
    from deals.evaluation.report import report

    _settings()
    try:
        with at_work("estimating fold 1") as work:
            measured = evaluation.evaluate_file(file, seed=seed, progress=lambda done, folds: _folds(work, done, folds))
    except ads.EvaluateError as error:
        typer.echo(f"vinops: {one_line(str(error))}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(measured))
    else:
        for line in report(measured, terminal_width()):
            typer.echo(printable(line))


def _folds(work: AtWork, done: int, folds: int) -> None:
    work(done, folds, f"of {folds} folds", text=f"estimating fold {min(done + 1, folds)}")


def _settings() -> config.Settings:
    settings = config.load()
    logs.configure("deals", settings, console=False)
    if sys.stderr.isatty():
        console = logs.Console()
        console.setLevel(settings.log_level)
        logging.getLogger().addHandler(console)
    return settings


def _open(settings: config.Settings, name: str) -> Connection[Any]:
    with at_work("connecting"):
        return database.connect(settings, application=f"vinops {name}", autocommit=True)


def _rows(connection: Connection[Any], file: str, name: str, **values: object) -> list[dict[str, Any]]:
    with at_work("the query runs"), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(database.queries(file)[name], values or None).fetchall()


def _show(rows: Sequence[dict[str, Any]], *, as_json: bool, nothing: str) -> None:
    if as_json:
        tables.write_json(sys.stdout, list(rows[0]) if rows else [], [tuple(row.values()) for row in rows])
    elif rows:
        _table(rows)
    else:
        typer.echo(nothing, err=True)


def _table(rows: Sequence[dict[str, Any]]) -> None:
    tables.show(list(rows[0]), [tuple(row.values()) for row in rows])


def _expanded(row: dict[str, Any], *, as_json: bool = False) -> None:
    names, rows = list(row), [tuple(row.values())]
    if as_json:
        tables.write_json(sys.stdout, names, rows)
    else:
        tables.show(names, rows, expanded=True)
