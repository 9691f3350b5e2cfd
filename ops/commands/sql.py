"""`vinops sql`: statements of an operator on the configured database, and their rows."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Annotated

import typer

from ops.show import tables
from vinops import config
from vinops.db import database, session
from vinops.redaction import one_line, remember


class Format(Enum):
    """How rows are printed."""

    TABLE = "table"
    EXPANDED = "expanded"
    JSON = "json"
    CSV = "csv"


def command(
    statement: Annotated[str, typer.Argument(help="What to run, as in: select count(*) from lots", show_default=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
    settings = config.load()
    remember(settings)
    run(settings, statement, how, write=write)


def run(settings: config.Settings, statement: str, how: Format, *, write: bool) -> None:
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
            raise database.DatabaseError(one_line(str(error)) + hint) from None
    if names:
        _show(names, rows, how)
    else:
        typer.echo(status, err=True)


def _show(names: list[str], rows: list[tuple[object, ...]], how: Format) -> None:
    if how is Format.JSON:
        tables.write_json(sys.stdout, names, rows)
    elif how is Format.CSV:
        tables.write_csv(sys.stdout, names, rows)
    else:
        tables.show(names, rows, expanded=how is Format.EXPANDED)
