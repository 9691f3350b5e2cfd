"""Credentials: secrets as files that systemd passes only to the services that load them.

A credential is named like the variable it sets, followed by the service where services have different values:
COPART_PASSWORD, DATABASE_URL.etl. It is encrypted with the key of this machine where `systemd-creds` can do that, else
a file for root only. Units load the plain file; a drop-in of the unit loads an encrypted one instead. Values are never
on a command line, and never printed.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vinops import config

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path("/etc/vinops/credentials")
UNITS: Final = Path("/etc/systemd/system")
DROP_IN: Final = "50-credentials.conf"
NAME: Final = re.compile(r"(?P<variable>[A-Z][A-Z0-9_]*)(?:\.[a-z]+)?")
LOADED: Final = re.compile(r"^LoadCredential=(?P<id>[A-Z0-9_]+):(?P<path>/\S+)$", re.MULTILINE)
SECONDS: Final = 60
OLD_SECRETS: Final = "change the keys and passwords from time to time (VINOPS_SECRET_DAYS)"


class CredentialError(Exception):
    """A credential cannot be written or read. The message says what fixes it, and shows no value."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A credential that is set. `problem` is what is wrong with its file."""

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
        """The folder of the encrypted credentials."""
        return self.folder.with_name(self.folder.name + ".encrypted")

    def path(self, name: str) -> Path | None:
        """Return the file of a credential, None if it is not set."""
        return next((path for path in (self.encrypted / name, self.folder / name) if path.is_file()), None)


def write(store: Store, name: str, value: str, *, plain: bool = False) -> bool:
    """Write a credential and return whether it is encrypted. Raises OSError, and ValueError for a wrong name.

    If the process dies in it, the old value is there, or the new one; at worst both an encrypted and a plain file, of
    which the encrypted one counts.
    """
    variable = variable_of(name)
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
    done = _systemd_creds("decrypt", f"--name={variable_of(name)}", str(path), "-")
    if done is None or done.returncode:
        raise CredentialError(
            "cannot be decrypted: it was encrypted on another machine, or the key of this machine was lost; set it "
            f"again with `vinops credentials set {name}`"
        )
    return done.stdout.decode()


def found(store: Store) -> list[Credential]:
    """Return the credentials that are set, by name. Raises OSError."""
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
    """Write the drop-ins of the units that load encrypted credentials, remove those that are no longer needed, and
    return the paths that changed. Raises OSError. If the process dies in it, the next call does the rest."""
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


def variable_of(name: str) -> str:
    """Return the variable that a credential sets. Raises ValueError for a name that no credential can have."""
    matched = NAME.fullmatch(name)
    if matched is None or matched["variable"] not in config.variables():
        raise ValueError(f"{name!r} is not a variable of .env.example, nor one with a service, as in DATABASE_URL.etl")
    return matched["variable"]


def check_value(name: str, value: str) -> None:
    """Raise CredentialError if the credential cannot have this value. The message does not show it."""
    variable = variable_of(name)
    if not value.strip():
        raise CredentialError(f"{variable} is empty: nothing was set")
    if "\0" in value:
        raise CredentialError(f"{variable} holds a NUL: nothing was set")
    try:
        config.load({variable: value}, folder=Path(os.devnull))
    except config.ConfigError as error:
        # A message that begins otherwise is about other variables of its group, which are not set here.
        if str(error).startswith(f"{variable} "):
            raise CredentialError(str(error)) from None


def problem(store: Store, name: str) -> str | None:
    """Return why a credential cannot be used, None if it can."""
    path = store.path(name)
    try:
        check_value(name, read(store, name))
    except CredentialError as error:
        return str(error)
    return _exposure(path) if path else None


def _exposure(path: Path) -> str | None:
    """Return a message if other accounts than root may use a file."""
    return f"others may read it: chmod 600 {path}" if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) else None


def _encrypt(variable: str, value: str) -> bytes | None:
    """Return the value encrypted under the name that the program will see; None where that cannot be done."""
    done = _systemd_creds("encrypt", f"--name={variable}", "-", "-", value=value.encode())
    return done.stdout if done is not None and done.returncode == 0 and done.stdout else None


def _systemd_creds(*arguments: str, value: bytes = b"") -> subprocess.CompletedProcess[bytes] | None:
    """Run systemd-creds; the value goes through a pipe. Return None where it is not installed, or hangs."""
    command = ["systemd-creds", *arguments]
    try:
        return subprocess.run(command, input=value, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
