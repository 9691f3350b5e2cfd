"""`vinops credentials`: secrets as files that systemd hands to the services that need them, and to nobody else.

A credential is named like the variable it sets, with the service behind it where services have different ones:
COPART_PASSWORD, DATABASE_URL.etl. It is encrypted with the key of this machine where `systemd-creds` can do that, else
a file for root only. Units name the plain file; for an encrypted one a drop-in of the unit names that instead. Values
come from standard input, never from the command line, and are never printed.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from ops.show import tables
from vinops import config, disk

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path("/etc/vinops/credentials")
UNITS: Final = Path("/etc/systemd/system")
DROP_IN: Final = "50-credentials.conf"
NAME: Final = re.compile(r"(?P<variable>[A-Z][A-Z0-9_]*)(?:\.[a-z]+)?")
LOADED: Final = re.compile(r"^LoadCredential=(?P<id>[A-Z0-9_]+):(?P<path>/\S+)$", re.MULTILINE)
SECONDS: Final = 60

app = typer.Typer(help="Secrets of the services: set, list and check them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--folder", help="Where they are kept.", hidden=True)]
Units = Annotated[Path, typer.Option("--units", help="Where the units are.", hidden=True)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="COPART_PASSWORD, DATABASE_URL.etl, …", show_default=False)]


class CredentialError(Exception):
    """A credential cannot be written or read. The message says what mends it, and shows no value."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """One that is set. `problem` is why its file is not as it should be."""

    name: str
    encrypted: bool
    changed_at: datetime
    units: tuple[str, ...]
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Store:
    """The two folders of credentials, and the folder of the units that load them."""

    folder: Path = FOLDER
    units: Path = UNITS

    @property
    def encrypted(self) -> Path:
        """Where the encrypted ones are."""
        return self.folder.with_name(self.folder.name + ".encrypted")

    def path(self, name: str) -> Path | None:
        """Return the file of a credential, None if it is not set."""
        return next((path for path in (self.encrypted / name, self.folder / name) if path.is_file()), None)


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
    variable = _variable(name)
    value = _asked(name) if sys.stdin.isatty() else sys.stdin.read()
    try:
        _check_value(variable, value)
        is_encrypted = write(store, name, value.strip(), plain=plain)
        changed = apply_drop_ins(store)
    except (CredentialError, OSError) as error:
        _fail(error)
    how = "encrypted with the key of this machine" if is_encrypted else "a file that only root reads"
    if not is_encrypted and not plain:
        typer.echo("vinops: systemd-creds cannot encrypt here: whoever is root, or has the disk, can read it", err=True)
    used_by = using(store).get(name, ())
    typer.echo(f"{name} is set: {how}", err=True)
    if used_by:
        typer.echo(f"used from the next start of: {' '.join(used_by)}", err=True)
    else:
        typer.echo(f"vinops: no unit in {units} loads {name}", err=True)
    _reload(changed)


@app.command("list")
def list_command(*, as_json: AsJson = False, folder: Folder = FOLDER, units: Units = UNITS) -> None:
    """List what is set and which units load it, and what they would load and is not set. No values."""
    store = Store(folder=folder, units=units)
    try:
        rows = [asdict(each) for each in found(store)]
        known = using(store)
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
            {True: "encrypted", False: "plain", None: "-"}[row["encrypted"]],
            row["changed_at"].strftime("%Y-%m-%dT%H:%M:%SZ") if row["changed_at"] else "-",
            ", ".join(row["units"]) or "-",
            row["problem"] or "",
        )
        for row in rows
    ]
    tables.write_plain(sys.stdout, ["name", "kept", "changed", "units", "problem"], shown)


@app.command("check")
def check_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)] = None,
    *,
    as_json: AsJson = False,
    folder: Folder = FOLDER,
    units: Units = UNITS,
) -> None:
    """Check that credentials can be read, decrypted and make sense; all, or those named. Exits with 1 if one cannot."""
    store = Store(folder=folder, units=units)
    try:
        chosen = names or [each.name for each in found(store)]
        results = {name: _problem(store, name) for name in chosen}
    except OSError as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps([{"name": name, "problem": problem} for name, problem in results.items()]))
    for name, problem in [] if as_json else results.items():
        typer.echo(f"{name}: {problem or 'ok'}")
    if any(results.values()):
        raise typer.Exit(1)


@app.command("apply")
def apply_command(*, folder: Folder = FOLDER, units: Units = UNITS) -> None:
    """Have the units load what is set, encrypted or plain: after units were installed, or files were put there."""
    try:
        changed = apply_drop_ins(Store(folder=folder, units=units))
    except OSError as error:
        _fail(error)
    for path in changed:
        typer.echo(str(path))
    _reload(changed)


def write(store: Store, name: str, value: str, *, plain: bool = False) -> bool:
    """Write a credential and return whether it is encrypted. Raises CredentialError, OSError.

    A file is complete before it has its name. If the process dies in here the old value is there, or the new one; at
    worst both an encrypted and a plain one, of which the encrypted one counts.
    """
    variable = _variable(name)
    for folder in (store.folder, store.encrypted):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sealed = None if plain else _encrypt(variable, value)
    target, other = store.folder / name, store.encrypted / name
    if sealed is not None:
        target, other = other, target
    part = target.with_name(f".{name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(sealed if sealed is not None else value.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    other.unlink(missing_ok=True)
    return sealed is not None


def read(store: Store, name: str) -> str:
    """Return the value of a credential. Raises CredentialError, OSError."""
    path = store.path(name)
    if path is None:
        raise CredentialError(f"is not set: vinops credentials set {name}")
    if path.parent != store.encrypted:
        return path.read_text(encoding="utf-8")
    done = _systemd_creds("decrypt", f"--name={_variable(name)}", str(path), "-")
    if done is None or done.returncode:
        raise CredentialError(
            f"cannot be decrypted: it was encrypted on another machine, or its key is gone; set it anew with "
            f"`vinops credentials set {name}`"
        )
    return done.stdout.decode()


def found(store: Store) -> list[Credential]:
    """Return what is set, by name. Raises OSError."""
    known = using(store)
    files: dict[str, Path] = {}
    for folder in (store.folder, store.encrypted):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_file() and NAME.fullmatch(path.name):
                files[path.name] = path
    return [
        Credential(
            name=name,
            encrypted=path.parent == store.encrypted,
            changed_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            units=known.get(name, ()),
            problem=_exposure(path),
        )
        for name, path in sorted(files.items())
    ]


def using(store: Store) -> dict[str, tuple[str, ...]]:
    """Return which units load which credentials, by the names of their files."""
    loaded: dict[str, list[str]] = {}
    for unit, _, path in _loads(store):
        loaded.setdefault(path.name, []).append(unit)
    return {name: tuple(units) for name, units in loaded.items()}


def apply_drop_ins(store: Store) -> list[Path]:
    """Write for each unit the drop-in that loads what is encrypted, remove those that are not needed any more, and
    return what changed. Raises OSError; if the process dies in it some are written, and the next call writes the rest.
    """
    wanted: dict[str, list[str]] = {}
    for unit, variable, path in _loads(store):
        lines = wanted.setdefault(unit, [])
        if (store.encrypted / path.name).is_file():
            lines.append(f"LoadCredentialEncrypted={variable}:{store.encrypted / path.name}")
    changed = []
    for unit, lines in wanted.items():
        target = store.units / f"{unit}.d" / DROP_IN
        text = "\n".join(["# Written by `vinops credentials`: these are encrypted.", "[Service]", *lines, ""])
        if lines and (not target.exists() or target.read_text(encoding="utf-8") != text):
            target.parent.mkdir(exist_ok=True)
            part = target.with_suffix(".part")
            part.write_text(text, encoding="utf-8")
            part.chmod(0o644)
            part.replace(target)
            changed.append(target)
        elif not lines and target.exists():
            target.unlink()
            changed.append(target)
    return changed


def _loads(store: Store) -> Iterator[tuple[str, str, Path]]:
    """Yield unit, variable and file of each credential that a unit of ours loads."""
    for path in sorted(store.units.glob("vinops-*.service")):
        for line in LOADED.finditer(path.read_text(encoding="utf-8")):
            yield path.name, line["id"], Path(line["path"])


def _asked(name: str) -> str:
    return str(typer.prompt(f"{name} (not shown)", hide_input=True, err=True))


def _variable(name: str) -> str:
    """Return the variable that a credential sets. Raises BadParameter."""
    matched = NAME.fullmatch(name)
    if matched is None or matched["variable"] not in config.variables():
        raise typer.BadParameter(
            f"{name!r} is no variable of .env.example, or one with a service as in DATABASE_URL.etl"
        )
    return matched["variable"]


def _check_value(variable: str, value: str) -> None:
    """Raise CredentialError if the variable cannot have this value. The message does not show it."""
    if not value.strip():
        raise CredentialError(f"{variable} is empty: nothing was set")
    if "\0" in value:
        raise CredentialError(f"{variable} holds a NUL: nothing was set")
    try:
        config.load({variable: value}, folder=Path(os.devnull))
    except config.ConfigError as error:
        # That the others of a group are missing is no fault of this one.
        if str(error).startswith(f"{variable} "):
            raise CredentialError(str(error)) from None


def _problem(store: Store, name: str) -> str | None:
    """Return why a credential cannot be used, None if it can."""
    variable = _variable(name)
    path = store.path(name)
    try:
        _check_value(variable, read(store, name))
    except CredentialError as error:
        return str(error)
    return _exposure(path) if path else None


def _exposure(path: Path) -> str | None:
    """Return who may read a file beside root; None if nobody may. An encrypted one gives nothing away."""
    seen = path.stat()
    if seen.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"others may read it: chmod 600 {path}"
    return None


def _encrypt(variable: str, value: str) -> bytes | None:
    """Return the value encrypted under the name that the program will see; None where that cannot be done."""
    done = _systemd_creds("encrypt", f"--name={variable}", "-", "-", value.encode())
    return done.stdout if done is not None and done.returncode == 0 and done.stdout else None


def _systemd_creds(verb: str, *arguments: str | bytes) -> subprocess.CompletedProcess[bytes] | None:
    """Run systemd-creds; the value goes through a pipe. None where there is none."""
    text = [each for each in arguments if isinstance(each, str)]
    given = next((each for each in arguments if isinstance(each, bytes)), b"")
    try:
        return subprocess.run(
            ["systemd-creds", verb, *text], input=given, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _reload(changed: list[Path]) -> None:
    """Have a running systemd read the drop-ins that changed."""
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
        what = disk.explain(error, Path("/etc")) if is_full else f"{error.filename}: {error.strerror}; run it as root"
    else:
        what = str(error)
    typer.echo(f"vinops: {what}", err=True)
    raise typer.Exit(1) from None
