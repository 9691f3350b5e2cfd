"""`vinops deals …`: the deals street from the command line."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.show import tables
from vinops import config, logs
from vinops.db import database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

app = typer.Typer(help="From ads to deals: normalize, price, score, notify.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many.")]


@app.command()
def run(
    *,
    post: Annotated[bool, typer.Option(help="Post what is worth it, as far as the hourly limit allows.")] = True,
    again: Annotated[bool, typer.Option("--again", help="Price and score all ads once more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take all ads that wait through all stages, here and now, and exit. Workers may run at the same time."""
    from deals.channel import post as channel
    from deals.queue import runner

    settings = _settings()
    with _open(settings, "deals run") as connection:
        if again:
            runner.queue_again(connection)
        runner.bury(connection)
        rows: list[dict[str, Any]] = []
        for stage in runner.STAGES:
            outcomes = runner.drain(connection, settings, stage)
            rows.append(
                {
                    "stage": stage,
                    "done": sum(len(outcome.done) for outcome in outcomes),
                    "failed": sum(outcome.failed for outcome in outcomes),
                    "given_up": sum(len(outcome.dead) for outcome in outcomes),
                }
            )
        posted = asdict(channel.post(connection, settings)) if post else {}
        waiting = {row["stage"]: row["waiting"] for row in _rows(connection, "deals", "backlog")}
    if as_json:
        typer.echo(json.dumps({"stages": rows, "waiting": waiting, "notify": posted}))
    else:
        _print([{**row, "waiting": waiting[row["stage"]]} for row in rows])
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
    """Show the best deals: price, what the market asks, and why."""
    with _open(_settings(), "deals top") as connection:
        rows = _rows(connection, "scoring", "top_deals", limit=limit)
    if as_json:
        _json(rows)
        return
    if not rows:
        typer.echo("no ad has been scored yet: `vinops deals run` does it", err=True)
        return
    for place, row in enumerate(rows, 1):
        for number, line in enumerate(_lines(row)):
            typer.echo(f"{'' if number else place:>2}  {line}")


def _lines(row: dict[str, Any]) -> list[str]:
    """Return a deal as people read it: what it is, what it costs beside what it is worth, why, and where."""
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
    """Show all that is known of an ad: what it says, what it is worth, its score, what was posted."""
    if not listing.isascii() or not listing.isdecimal():
        raise typer.BadParameter("an id is a number, as in the last column of `vinops deals top`")
    with _open(_settings(), "deals show") as connection:
        rows = _rows(connection, "scoring", "deal", id=listing)
    if not rows:
        typer.echo(f"vinops: there is no ad {listing}: `vinops deals top` shows ids", err=True)
        raise typer.Exit(1)
    if as_json:
        _json(rows[:1])
    else:
        tables.write_expanded(sys.stdout, list(rows[0]), [tuple(rows[0].values())])


@app.command()
def unknowns(*, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the words that the vocabulary does not know, the most frequent first."""
    with _open(_settings(), "deals unknowns") as connection:
        rows = _rows(connection, "normalize", "unknown_words", count=limit)
    _show(rows, as_json=as_json, nothing="every word is known")


@app.command()
def dead(
    *,
    limit: Limit = 20,
    retry: Annotated[bool, typer.Option("--retry", help="Have all of them tried again.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the ads that were given up, and why."""
    with _open(_settings(), "deals dead") as connection:
        rows = _rows(connection, "deals", "dead_work", count=limit)
        if retry:
            revived = connection.execute(database.queries("deals")["revive_work"]).rowcount
            typer.echo(f"{revived} are to be tried again: `vinops deals run`, or the workers, do it", err=True)
    _show(rows, as_json=as_json, nothing="no ad was given up")


@app.command()
def release(*, as_json: AsJson = False) -> None:
    """Let posting go on that is held, as after a restore: look at the channel first, the deals that wait are posted."""
    from deals.channel import queue as notify

    with _open(_settings(), "deals release") as connection:
        reason = notify.release(connection)
    if as_json:
        typer.echo(json.dumps({"released": reason is not None, "reason": reason}))
    else:
        typer.echo(f"released; it was held {reason}" if reason else "posting is not held", err=True)


@app.command()
def train(*, as_json: AsJson = False) -> None:
    """Train the price model on the ads that are there, and use it where it measures better than comparables."""
    from deals.estimate import model as price_model

    settings = _settings()
    with _open(settings, "deals train") as connection:
        outcome = price_model.train(connection, settings)
    if as_json:
        typer.echo(json.dumps(outcome, default=str))
    else:
        tables.write_expanded(sys.stdout, list(outcome), [tuple(outcome.values())])


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="A CSV of ads with prices; its columns stand in the README.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Measure the estimates on a file of ads: five parts, each estimated from the other four."""
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
        logging.getLogger().addHandler(_console(settings))
    return settings


def _console(settings: config.Settings) -> logging.Handler:
    console = logs.Console()
    console.setLevel(settings.log_level)
    return console


def _open(settings: config.Settings, name: str) -> Connection[Any]:
    return database.connect(settings, application=f"vinops {name}", autocommit=True)


def _rows(connection: Connection[Any], file: str, name: str, **values: object) -> list[dict[str, Any]]:
    cursor = connection.execute(database.queries(file)[name], values or None)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _json(rows: Sequence[dict[str, Any]]) -> None:
    tables.write_json(sys.stdout, list(rows[0]) if rows else [], [tuple(row.values()) for row in rows])


def _print(rows: Sequence[dict[str, Any]]) -> None:
    tables.write_plain(sys.stdout, list(rows[0]), [tuple(row.values()) for row in rows])


def _show(rows: Sequence[dict[str, Any]], *, as_json: bool, nothing: str) -> None:
    if as_json:
        _json(rows)
    elif rows:
        _print(rows)
    else:
        typer.echo(nothing, err=True)
