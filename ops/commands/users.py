"""`vinops users …`: the people who may use the site."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.show import tables
from vinops import config
from vinops.db import database
from vinops.redaction import remember
from web import people

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

app = typer.Typer(help="The people who may use the site.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name to sign in with.")]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, its first line.")
]
RoleOption = Annotated[str, typer.Option("--role", help="viewer reads; trader marks ads; operator does everything.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(name: Name, *, role: RoleOption, password_stdin: FromInput = False) -> None:
    """Add a person. The password is asked for, or read from standard input."""
    chosen = _role(role)
    password = _password(from_input=password_stdin)
    _change(lambda connection: people.add(connection, name, chosen, password))


@app.command()
def passwd(name: Name, *, password_stdin: FromInput = False) -> None:
    """Change a password. All browsers of the person are signed out."""
    password = _password(from_input=password_stdin)
    _change(lambda connection: people.set_password(connection, name, password))


@app.command()
def role(name: Name, *, role: RoleOption) -> None:
    """Change a role. It holds from the next page on."""
    chosen = _role(role)
    _change(lambda connection: people.set_role(connection, name, chosen))


@app.command()
def remove(name: Name) -> None:
    """Remove a person. Notes stay; all browsers are signed out."""
    _change(lambda connection: people.remove(connection, name))


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the people, and how many browsers of each are signed in."""
    settings = _settings()
    with database.connect(settings, application="vinops users", autocommit=True) as connection:
        rows = people.listed(connection)
    if not rows:
        typer.echo("[]") if as_json else typer.echo("nobody yet: vinops users add NAME --role operator", err=True)
        return
    tables.write_objects(rows, as_json=as_json, zone=settings.time_zone)


def _settings() -> config.Settings:
    settings = config.load()
    remember(settings)
    return settings


def _change(change: Callable[[Connection[Any]], None]) -> None:
    with database.connect(_settings(), application="vinops users", autocommit=True) as connection:
        try:
            change(connection)
        except people.UserError as error:
            typer.echo(f"vinops users: {error}", err=True)
            raise typer.Exit(1) from None


def _role(text: str) -> people.Role:
    for each in people.ROLES:
        if text == each:
            return each
    raise typer.BadParameter(f"{text} is none of {', '.join(people.ROLES)}", param_hint="--role")


def _password(*, from_input: bool) -> str:
    if from_input:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        raise typer.BadParameter("standard input is no terminal: give it there with --password-stdin")
    try:
        return people.check_password(password)
    except people.UserError as error:
        typer.echo(f"vinops users: {error}", err=True)
        raise typer.Exit(1) from None
