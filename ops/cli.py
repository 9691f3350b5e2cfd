"""The command line `vinops`: data on standard output, talk on standard error.

Exit codes: 0 done, 1 failed (one line says why and what mends it), 2 wrong usage.
"""

from __future__ import annotations

import json
import os
import sys
from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ops import (
    alert_command,
    backup,
    celery_commands,
    credentials,
    deals,
    doctor,
    forecast_command,
    health,
    log_files,
    metrics,
    monitor,
    nodes,
    restore,
    retention,
    status,
    supervisor,
    tables,
    workers_commands,
)
from vinops import config, database, disk, session
from vinops.output import for_reader
from vinops.redaction import redact, remember


class Commands(TyperGroup):
    """All commands: each may be read by one that leaves early, as `head`."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # typer's context is click's
        """Run the command that is named."""
        return for_reader(lambda: super(Commands, self).invoke(ctx), enough=None)


app = typer.Typer(
    cls=Commands,
    help="The used-vehicle market from both ends, in one PostgreSQL database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints local variables, and they hold secrets
)


app.add_typer(deals.app, name="deals")
app.add_typer(workers_commands.app, name="workers")
app.add_typer(nodes.app, name="nodes")
app.add_typer(celery_commands.app, name="celery")
app.command()(supervisor.supervise)
app.command("monitor")(monitor.command)
app.command("health")(health.command)
app.command("status")(status.command)
app.command("metrics")(metrics.command)
app.command("backup")(backup.command)
app.command("restore")(restore.command)
app.command("logs")(log_files.command)
app.command("retention")(retention.command)
app.command("alert")(alert_command.command)
app.add_typer(credentials.app, name="credentials")
app.command("doctor")(doctor.command)
app.command("forecast")(forecast_command.command)


class Format(Enum):
    """How rows are printed."""

    TABLE = "table"
    EXPANDED = "expanded"
    JSON = "json"
    CSV = "csv"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def migrate(*, as_json: AsJson = False) -> None:
    """Bring the database's schema up to this version. Safe to run again, and at the same time elsewhere."""
    settings = _settings()
    applied = database.migrate(settings)
    if as_json:
        typer.echo(json.dumps({"applied": applied}))
    for name in [] if as_json else applied:
        typer.echo(name)
    typer.echo(f"{len(applied)} migrations applied" if applied else "the schema is up to date", err=True)


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="What to run, as in: select count(*) from lots", show_default=False)],
    *,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, safe to open in a spreadsheet.")] = False,
    expanded: Annotated[bool, typer.Option("--expanded", "-x", help="Print a column a line, for wide rows.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Allow changes; without it the database refuses them.")
    ] = False,
) -> None:
    """Run SQL on the configured database: DATABASE_URL, or the embedded one."""
    if as_json + as_csv + expanded > 1:
        raise typer.BadParameter("--json, --csv and --expanded exclude each other")
    how = Format.JSON if as_json else Format.CSV if as_csv else Format.EXPANDED if expanded else Format.TABLE
    run_sql(_settings(), statement, how, write=write)


def run_sql(settings: config.Settings, statement: str, how: Format, *, write: bool) -> None:
    """Run a statement and print its rows; with `write` several are allowed, and the rows of the last are printed.

    All is one transaction: a failure changes nothing. Raises DatabaseError with PostgreSQL's own message.
    """
    import psycopg

    connect = database.connect if write else database.connect_to_read
    with connect(settings, application="vinops sql") as connection:
        connection.read_only = not write
        session.read_for_printing(connection)
        try:
            # Prepared means one statement only: `commit; drop …` would leave the read-only transaction.
            cursor = connection.execute(statement.encode(), prepare=not write)
            while cursor.nextset():
                pass
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall() if cursor.description else []
            status = cursor.statusmessage or ""
            connection.commit()
        except psycopg.Error as error:
            refused = (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege)
            hint = "; --write allows changes" if isinstance(error, refused) and not write else ""
            raise database.DatabaseError(_one_line(str(error)) + hint) from None
    if names:
        _show(names, rows, how)
    else:
        typer.echo(status, err=True)


def _show(names: list[str], rows: list[tuple[object, ...]], how: Format) -> None:
    if how is Format.JSON:
        tables.write_json(sys.stdout, names, rows)
    elif how is Format.CSV:
        tables.write_csv(sys.stdout, names, rows)
    elif how is Format.EXPANDED:
        tables.write_expanded(sys.stdout, names, rows)
    elif sys.stdout.isatty():
        tables.write_rich(names, rows)
    else:
        tables.write_plain(sys.stdout, names, rows)


@app.command()
def demo(
    *,
    # At least what a file must have (VINOPS_FEED_MIN_ROWS is 1,000) when some of its rows are broken.
    lots: Annotated[int, typer.Option(min=1250, max=1_000_000, help="How many lots the first file has.")] = 150_000,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever an earlier demo left.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Start the stand-ins of the last demo, to work with until Ctrl-C.")
    ] = False,
) -> None:
    """Show the feed and the photos end to end on this machine: database, stand-ins, the operators' queries."""
    from ops import demo, demo_serve

    raise typer.Exit(demo_serve.serve() if serve else demo.run(lots, fresh=fresh))


def _settings() -> config.Settings:
    settings = config.load()
    remember(settings)
    return settings


def _one_line(text: str) -> str:
    return " ".join(redact(text).split())


def main() -> None:
    """Run the command line and exit. Errors are one line, redacted."""
    try:
        app()
    except (config.ConfigError, database.DatabaseError) as error:
        sys.stderr.write(f"vinops: {_one_line(str(error))}\n")
        sys.exit(1)
    except OSError as error:
        if not disk.is_full(error):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what it still holds must not fail again
        sys.stderr.write(f"vinops: {_one_line(disk.explain(error, config.load().data_dir, is_sure=False))}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
