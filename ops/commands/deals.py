"""`vinops deals …`: the deals pipeline on the command line."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from psycopg.rows import dict_row

from ops.show import tables
from vinops import config, logs
from vinops.db import database
from vinops.output import data_folder, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

app = typer.Typer(help="From ads to deals: normalize, price, score, notify.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
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
        if again:
            runner.requeue_all(connection)
        runner.give_up(connection)
        outcomes = {stage: runner.drain(connection, settings, stage) for stage in STAGES}
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


@app.command()
def top(*, limit: Limit = 10, as_json: AsJson = False) -> None:
    """Show the best deals: price, market value, and why."""
    with _open(_settings(), "deals top") as connection:
        rows = _rows(connection, "scoring", "top_deals", limit=limit)
    if as_json or not rows:
        _show(rows, as_json=as_json, nothing="no ad has been scored yet: `vinops deals run` does it")
        return
    for place, row in enumerate(rows, 1):
        for number, line in enumerate(_lines(row)):
            typer.echo(f"{'' if number else place:>2}  {line}")


def _lines(row: dict[str, Any]) -> list[str]:
    """Return the lines of a deal: the car, its price beside its value, the reasons, the address."""
    price = f"{row['price_eur']:,.0f} EUR" if row["price_eur"] is not None else "no price"
    worth = "not priced"
    if row["p50"] is not None:
        worth = f"worth about {row['p50']:,.0f}, {row['difference']:+.0f} %"
    return [
        f"{row['score']:>4}  {row['title']}, {row['year'] or 'year unknown'} (id {row['listing_id']})",
        f"      {price}, {worth}",
        f"      {'; '.join(row['reasons'])}",
        f"      {row['url']}",
    ]


@app.command()
def show(
    listing: Annotated[str, typer.Argument(metavar="ID", help="The listing's id, or the site's id of the ad.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show an ad: its facts, its value, its score, and what was posted."""
    if not listing.isascii() or not listing.isdecimal():
        raise typer.BadParameter("an id is a number, as in the last column of `vinops deals top`")
    with _open(_settings(), "deals show") as connection:
        rows = _rows(connection, "scoring", "deal", id=listing)
    if not rows:
        typer.echo(f"vinops: there is no ad {listing}: `vinops deals top` shows ids", err=True)
        raise typer.Exit(1)
    _expanded(rows[0], as_json=as_json)


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
    """Train the price model on all priced ads, and use it where it measures better than comparables."""
    from deals.estimate import model as price_model

    settings = _settings()
    with _open(settings, "deals train") as connection:
        outcome = price_model.train(connection, settings)
    if as_json:
        typer.echo(json.dumps(outcome, default=str))
    else:
        _expanded(outcome)


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="A CSV of ads with prices; the README lists its columns.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Measure the estimates on a file of ads by cross-validation in five folds."""
    from deals import evaluate as evaluation

    _settings()
    try:
        measured = evaluation.evaluate_file(file)
    except evaluation.EvaluateError as error:
        typer.echo(f"vinops: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(measured))
    else:
        for line in evaluation.report(measured):
            typer.echo(line)


def _settings() -> config.Settings:
    settings = config.load()
    logs.configure("deals", settings, console=False)
    if sys.stderr.isatty():
        console = logs.Console()
        console.setLevel(settings.log_level)
        logging.getLogger().addHandler(console)
    return settings


def _open(settings: config.Settings, name: str) -> Connection[Any]:
    return database.connect(settings, application=f"vinops {name}", autocommit=True)


def _rows(connection: Connection[Any], file: str, name: str, **values: object) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
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
