"""`vinops sql`: statements of an operator on the configured database, and their rows."""

from __future__ import annotations

import re
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from ops.show import tables
from vinops import config
from vinops.db import database, embedded, session, statements
from vinops.db.errors import explain, is_full, is_lost
from vinops.output import at_work
from vinops.redaction import remember

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

COMMENT: Final = re.compile(r"--\s|--.*\n")
OWN_OPTIONS: Final = {"host": "-h", "port": "-p", "user": "-U", "dbname": "-d"}
"""The parameters of a connection that psql has an option for."""


class Format(Enum):
    """How rows are printed."""

    TABLE = "table"
    EXPANDED = "expanded"
    JSON = "json"
    CSV = "csv"


class StatementCommand(TyperCommand):
    """Takes an argument that begins with a comment, `-- total\\nselect …`, for a statement and not for an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. A blank in front of a comment changes nothing for PostgreSQL."""
        return super().parse_args(ctx, [f" {each}" if COMMENT.match(each) else each for each in args])


def command(
    statement: Annotated[
        str | None,
        typer.Argument(
            help="What to run, as in: select count(*) from lots. Without it, and for -, standard input is read.",
            show_default=False,
        ),
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Run the statements of a file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, safe to open in a spreadsheet.")] = False,
    expanded: Annotated[bool, typer.Option("--expanded", "-x", help="Print a column a line, for wide rows.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Allow changes; without it the database refuses them.")
    ] = False,
    psql: Annotated[
        bool, typer.Option("--psql", help="Print the psql command for this database, without a password.")
    ] = False,
) -> None:
    """Run SQL on the configured database: DATABASE_URL, or the embedded one.

    Several statements, separated by semicolons, are run one after the other. Comments are taken as they are.
    """
    if as_json + as_csv + expanded > 1:
        raise typer.BadParameter("--json, --csv and --expanded exclude each other")
    if psql and (statement is not None or file is not None):
        raise typer.BadParameter("--psql takes no statement: give it to psql")
    how = Format.JSON if as_json else Format.CSV if as_csv else Format.EXPANDED if expanded else Format.TABLE
    settings = config.load()
    remember(settings)
    if psql:
        typer.echo(psql_command(settings))
        return
    run(settings, _text(statement, file), how, write=write)


def _text(statement: str | None, file: Path | None) -> str:
    """Return what is to be run: the argument, the text of a file, or standard input."""
    if statement is not None and file is not None:
        raise typer.BadParameter("a statement and --file exclude each other")
    is_input = statement == "-" or (statement is None and str(file or "-") == "-")
    if is_input and sys.stdin.isatty() and statement is None and file is None:
        raise typer.BadParameter("give a statement, --file FILE, or statements on standard input")
    try:
        if is_input:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        else:
            text = file.read_text(encoding="utf-8-sig") if file else statement or ""
    except OSError as error:
        typer.echo(f"vinops: {file} cannot be read ({error.strerror}): name a file of statements", err=True)
        raise typer.Exit(1) from None
    except UnicodeDecodeError:
        typer.echo(f"vinops: {file or 'standard input'} is not UTF-8 text", err=True)
        raise typer.Exit(1) from None
    if not statements.split(text):
        raise typer.BadParameter("there is no statement: nothing but blanks and comments")
    return text


def run(settings: config.Settings, text: str, how: Format, *, write: bool) -> None:
    """Run statements and print the rows of each. Raises DatabaseError with PostgreSQL's own message.

    Without `write` each is a transaction of its own, which may only read. With it all are one transaction, a failure
    changes nothing, and the rows of the last are printed.
    """
    connect = database.connect if write else database.connect_to_read
    found = [text] if write else statements.split(text)
    if len(found) > 1 and how in (Format.JSON, Format.CSV):
        raise typer.BadParameter(f"--{how.value} takes one statement, and here are {len(found)}")
    with at_work("connecting"):
        opened = connect(settings, application="vinops sql")
    with opened as connection:
        connection.read_only = not write
        session.read_for_printing(connection)
        for number, statement in enumerate(found):
            with at_work("the query runs" if len(found) == 1 else f"query {number + 1} of {len(found)} runs"):
                names, rows, status = _result(connection, statement, write=write)
            if number and names:
                typer.echo()
            if names:
                _show(names, rows, how)
            else:
                typer.echo(status, err=True)


def _result(connection: Connection[TupleRow], statement: str, *, write: bool) -> tuple[list[str], list[TupleRow], str]:
    """Run a statement in a transaction, and return the names of its columns, its rows and its status."""
    import psycopg

    try:
        # Prepared means one statement only: `commit; drop …` would leave the read-only transaction.
        cursor = connection.execute(statement.encode(), prepare=not write)
        while cursor.nextset():
            pass
        names = [column.name for column in cursor.description or ()]
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
    except psycopg.Error as error:
        refused = (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege)
        hint = "; --write allows changes" if isinstance(error, refused) and not write else ""
        text = explain(error, config.load()) if is_lost(error) or is_full(error) else " ".join(str(error).split())
        raise database.DatabaseError(text + hint) from None
    return names, rows, cursor.statusmessage or ""


def psql_command(settings: config.Settings) -> str:
    """Return the command that opens the database in psql, without a password. The embedded server is started; psql
    holds the lock of its users, so that it stays up as long as psql runs."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    found = conninfo_to_dict(database.url(settings))
    if settings.database_url is None:
        lock = embedded.folder(settings.data_dir).absolute() / embedded.USERS_LOCK
        words = ["flock", "--shared", str(lock), str(embedded.binary("psql"))]
        found = {name: found[name] for name in OWN_OPTIONS}
    else:
        words = ["psql"]
        found.pop("password", None)
    for name, option in OWN_OPTIONS.items():
        if name in found and not (name == "dbname" and found.keys() - OWN_OPTIONS):
            words += [option, str(found.pop(name))]
    if found:  # what has no option of its own goes into the connection string
        words += ["-d", make_conninfo(**{name: str(value) for name, value in found.items()})]
    return shlex.join(words)


def _show(names: list[str], rows: list[tuple[object, ...]], how: Format) -> None:
    if how is Format.JSON:
        tables.write_json(sys.stdout, names, rows)
    elif how is Format.CSV:
        tables.write_csv(sys.stdout, names, rows)
    else:
        tables.show(names, rows, expanded=how is Format.EXPANDED)


app = typer.Typer(add_completion=False)
app.command(cls=StatementCommand)(command)
