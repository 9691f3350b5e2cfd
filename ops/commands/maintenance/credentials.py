"""`vinops credentials`: sets, lists and checks the secrets of the services."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ops import credentials
from ops.credentials import FOLDER, OLD_SECRETS, UNITS, Credential, CredentialError, Store
from ops.show import tables
from vinops import clock, config, disk
from vinops.output import at_work, say

app = typer.Typer(help="Secrets of the services: set, list and check them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--folder", help="Where they are kept.", hidden=True)]
Units = Annotated[Path, typer.Option("--units", help="Where the units are.", hidden=True)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="COPART_PASSWORD, DATABASE_URL.etl, …", show_default=False)]

KEPT = {True: "encrypted", False: "plain", None: "-"}


@app.command("set")
def set_command(
    name: Name,
    *,
    plain: Annotated[bool, typer.Option("--plain", help="Do not encrypt it: a file for root only.")] = False,
    folder: Folder = FOLDER,
    units: Units = UNITS,
) -> None:
    """Set a secret: asked for without echo, or read from standard input. Services get it with their next start."""
    store = Store(folder=folder, units=units)
    _check_name(name)
    is_asked = sys.stdin.isatty()
    value = str(typer.prompt(f"{name} (not shown)", hide_input=True, err=True)) if is_asked else sys.stdin.read()
    try:
        credentials.check_value(name, value)
        is_encrypted = credentials.write(store, name, value.strip(), plain=plain)
        changed = credentials.apply_drop_ins(store)
    except (CredentialError, OSError) as error:
        _fail(error)
    how = "encrypted with the key of this machine" if is_encrypted else "a file that only root reads"
    if not is_encrypted and not plain:
        say(
            "vinops: systemd-creds cannot encrypt here: root, and anyone with access to the disk, can read it", err=True
        )
    say(f"{name} is set: {how}", err=True)
    if used_by := credentials.using(store).get(name, ()):
        say(f"used from the next start of: {' '.join(used_by)}", err=True)
    else:
        say(f"vinops: no unit in {units} loads {name}", err=True)
    _reload(changed)


@app.command("list")
def list_command(*, as_json: AsJson = False, folder: Folder = FOLDER, units: Units = UNITS) -> None:
    """List the credentials that are set and the units that load them, and those that units load and are not set. No
    values. Those that were not changed for VINOPS_SECRET_DAYS are named."""
    store = Store(folder=folder, units=units)
    try:
        found = credentials.found(store)
        rows = [asdict(each) for each in found]
        known = credentials.using(store)
    except OSError as error:
        _fail(error)
    missing = sorted(set(known) - {row["name"] for row in rows})
    rows += [
        {"name": name, "encrypted": None, "changed_at": None, "units": known[name], "problem": "not set"}
        for name in missing
    ]
    if as_json:
        typer.echo(json.dumps(rows, default=_plain))
        return
    if not rows:
        typer.echo("no credential is set", err=True)
        return
    shown = [
        (
            row["name"],
            KEPT[row["encrypted"]],
            row["changed_at"].strftime("%Y-%m-%dT%H:%M:%SZ") if row["changed_at"] else "-",
            ", ".join(row["units"]) or "-",
            row["problem"] or "",
        )
        for row in rows
    ]
    tables.show(["name", "kept", "changed", "units", "problem"], shown)
    _remind(found)


@app.command("check")
def check_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)] = None,
    *,
    as_json: AsJson = False,
    folder: Folder = FOLDER,
    units: Units = UNITS,
) -> None:
    """Check that credentials can be read, decrypted and make sense; all, or those named. Exits with 1 if one cannot.
    Those that were not changed for VINOPS_SECRET_DAYS are named."""
    store = Store(folder=folder, units=units)
    try:
        found = credentials.found(store)
        chosen = names or [each.name for each in found]
        for name in chosen:
            _check_name(name)
        with at_work("decrypting"):
            results = {name: credentials.problem(store, name) for name in chosen}
    except OSError as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps([{"name": name, "problem": problem} for name, problem in results.items()]))
    for name, problem in [] if as_json else results.items():
        typer.echo(f"{name}: {problem or 'ok'}")
    _remind([each for each in found if each.name in chosen])
    if any(results.values()):
        raise typer.Exit(1)


@app.command("apply")
def apply_command(*, folder: Folder = FOLDER, units: Units = UNITS) -> None:
    """Make the units load the credentials that are set, encrypted or plain: after installing units or copying files."""
    try:
        changed = credentials.apply_drop_ins(Store(folder=folder, units=units))
    except OSError as error:
        _fail(error)
    for path in changed:
        typer.echo(str(path))
    _reload(changed)


def _remind(found: list[Credential]) -> None:
    """Name the credentials that should be changed, on standard error."""
    limit = config.survey().settings.secret_days
    for each in found:
        days = clock.days_since(each.changed_at.timestamp())
        if limit and days > limit:
            typer.echo(f"vinops: {each.name} was last changed {days:.0f} days ago: {OLD_SECRETS}", err=True)


def _check_name(name: str) -> None:
    try:
        credentials.variable_of(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _reload(changed: list[Path]) -> None:
    """Make a running systemd read the drop-ins that changed."""
    if not changed or not Path("/run/systemd/system").is_dir():
        return
    done = subprocess.run(["systemctl", "daemon-reload"], capture_output=True, check=False)
    if done.returncode:
        typer.echo("vinops: systemd did not reload its units: run `systemctl daemon-reload`", err=True)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _fail(error: Exception) -> NoReturn:
    if isinstance(error, OSError):
        is_full = disk.is_full(error)
        text = disk.explain(error, Path("/etc")) if is_full else f"{error.filename}: {error.strerror}; run it as root"
    else:
        text = str(error)
    typer.echo(f"vinops: {text}", err=True)
    raise typer.Exit(1) from None
