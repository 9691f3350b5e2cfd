"""Backups as files: a dump, and beside it what is known of it.

The sidecar (`….dump.json`) gets its name last, after the dump was restored and compared: a dump without one was never
verified, and counts for nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.backup.dumps import BLOCK, BackupError, Contents
from vinops import clock, disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vinops.config import Settings

NAME = re.compile(r"vinops-\d{8}T\d{6}Z\.dump")
SIDECAR = ".json"
PART = ".part"
LAST = "last.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A verified dump: what its sidecar says. `bytes` is the size of the dump, `seconds` what it took in all."""

    name: str
    taken_at: str
    seconds: float
    bytes: int
    sha256: str
    database: str
    encoding: str
    server_version: str
    dump_major: int
    migrations: tuple[str, ...]
    tables: dict[str, tuple[int, str]]
    sequences: dict[str, int]

    @property
    def time(self) -> datetime:
        """When it was taken."""
        return datetime.fromisoformat(self.taken_at)

    @property
    def contents(self) -> Contents:
        """What it holds."""
        return Contents(tables=self.tables, sequences=self.sequences)

    def text(self) -> str:
        """Return the sidecar. It carries a seal over all of itself."""
        fields = {"format": FORMAT, **asdict(self)}
        sealed = {**fields, "seal": hashlib.sha256(_json(fields).encode()).hexdigest()}
        return _json(sealed)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=1, sort_keys=True) + "\n"


def parse_sidecar(text: str) -> Backup:
    """Read a sidecar. Raises ValueError for one that is not, to the letter, as it was written."""
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("it is no object")
    if fields.pop("format", None) != FORMAT:
        raise ValueError("it is of another version of vinops")
    fields.pop("seal", None)
    try:
        found = Backup(
            **{
                **fields,
                "migrations": tuple(fields["migrations"]),
                "tables": {name: (rows, checksum) for name, (rows, checksum) in fields["tables"].items()},
            }
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"it lacks something ({type(error).__name__})") from None
    if found.text() != text:
        raise ValueError("it was changed after it was written")
    return found


def sidecar(dumped: Path) -> Path:
    """Return the sidecar of a dump."""
    return dumped.with_name(dumped.name + SIDECAR)


def folder_of(settings: Settings) -> Path:
    """Return where backups lie unless told otherwise."""
    return settings.data_dir / "backups"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Be the only one who writes backups into this folder. Raises BackupError if another process is. The lock goes
    with the process."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = locked(folder)
    except BlockingIOError:
        raise BackupError(f"another backup into {folder} is under way: wait for its end") from None
    except OSError as error:
        raise BackupError(
            f"{folder} cannot be used ({error.strerror}): {'free some space, or ' * disk.is_full(error)}"
            "name another folder with --to"
        ) from None
    try:
        for path in (*folder.glob(f"vinops-*.dump{SIDECAR}"), folder / LAST):  # an earlier version left them open
            with suppress(OSError):
                if path.stat().st_mode & 0o077:
                    path.chmod(0o600)
        yield
    finally:
        os.close(descriptor)


def verified(folder: Path) -> tuple[list[Backup], list[str]]:
    """Return the backups in a folder, the newest first, and what is wrong with those that do not count: a sidecar that
    cannot be read, a dump that is gone or has another size."""
    found, wrong = [], []
    for path in sorted(folder.glob(f"vinops-*.dump{SIDECAR}"), reverse=True):
        try:
            backup = parse_sidecar(path.read_text(encoding="utf-8"))
            size = path.with_name(backup.name).stat().st_size
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            wrong.append(f"{path.name}: {reason}")
            continue
        if path.name != backup.name + SIDECAR:
            wrong.append(f"{path.name}: it is the sidecar of {backup.name}")
        elif size != backup.bytes:
            wrong.append(f"{backup.name} has {size:,} bytes instead of {backup.bytes:,}")
        else:
            found.append(backup)
    return sorted(found, key=lambda each: each.time, reverse=True), wrong


def checked(dumped: Path) -> Backup:
    """Return what is known of a dump after every byte of it was compared with that. Raises BackupError if there is
    any doubt: the dump is then not to be restored."""
    if not dumped.is_file():
        raise BackupError(f"there is no file {dumped}: `vinops backup --list` names what there is")
    try:
        backup = parse_sidecar(sidecar(dumped).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BackupError(
            f"{dumped} has no {sidecar(dumped).name} beside it: it was never verified, or was moved without it"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BackupError(f"{sidecar(dumped)} cannot be trusted ({reason}): restore another backup") from None
    if backup.name != dumped.name:
        raise BackupError(f"{sidecar(dumped)} belongs to {backup.name}: restore another backup")
    digest = hashlib.sha256()
    try:
        size = dumped.stat().st_size
        if size == backup.bytes:
            with dumped.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
    except OSError as error:
        raise BackupError(f"{dumped} cannot be read ({error.strerror}): restore another backup") from None
    if size != backup.bytes:
        raise BackupError(f"{dumped} has {size:,} bytes instead of {backup.bytes:,}: restore another backup")
    if digest.hexdigest() != backup.sha256:
        raise BackupError(f"{dumped} is damaged, its sha256 is another one: restore another backup")
    return backup


def place(part: Path, backup: Backup) -> Path:
    """Give a verified dump its name, then its sidecar, and return its path.

    If the process dies in between, there is a dump without a sidecar, which counts for nothing; `leftovers` has it.
    Raises OSError.
    """
    dumped = part.with_name(backup.name)
    part.replace(dumped)
    force(dumped.parent)
    write_whole(sidecar(dumped), backup.text())
    return dumped


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole and on disk, or as it was before, whenever the process dies. Raises OSError."""
    part = path.with_name(path.name + PART)
    with open(part, "w", encoding="utf-8", opener=private) as file:  # Path.open takes no opener
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    force(path.parent)


def private(path: str, flags: int) -> int:
    """Open a file for its owner alone: an opener for `open`. Raises OSError."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)  # one that was left by a process that was killed, too
    return descriptor


def force(folder: Path) -> None:
    """Force the entries of a folder to disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leftovers(folder: Path) -> list[Path]:
    """Return what killed backups left in a folder that nobody else writes to: parts, and dumps without a sidecar."""
    parts = [*folder.glob(f"vinops-*.dump{PART}"), *folder.glob(f"vinops-*.dump{SIDECAR}{PART}")]
    dumps = [path for path in folder.glob("vinops-*.dump") if not sidecar(path).exists()]
    return [path for path in (*parts, *dumps) if NAME.match(path.name)]


def abandoned_fetches(folder: Path) -> list[Path]:
    """Return the folders into which killed restores fetched a backup: those that nobody has locked."""
    found = []
    for path in folder.glob(f"restore-*{PART}"):
        try:
            os.close(locked(path))
        except OSError:
            continue  # in use, or gone by now
        found.append(path)
    return found


def locked(folder: Path) -> int:
    """Lock a folder and return the descriptor, which holds the lock until it is closed. Raises BlockingIOError if
    another process has it, OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def dated(name: str) -> datetime | None:
    """Return when a backup was taken, by its name; None if that is no name of a backup."""
    try:
        return datetime.strptime(name, "vinops-%Y%m%dT%H%M%SZ.dump").replace(tzinfo=UTC)
    except ValueError:
        return None


def candidates(folder: Path, at: datetime) -> tuple[list[Path], list[Path]]:
    """Return the dumps in a folder that have a sidecar, the newest first, and apart from them those that are dated in
    the future: these are never the latest. Costs a list of the folder: no file is opened."""
    dumps = [path.with_suffix("") for path in folder.glob(f"vinops-*.dump{SIDECAR}")]
    found = sorted(((when, path) for path in dumps if (when := dated(path.name))), reverse=True)
    ahead = [path for when, path in found if clock.is_ahead(when, at)]
    return [path for _, path in found[len(ahead) :]], ahead


def counted(backups: Sequence[Backup], at: datetime) -> tuple[list[Backup], list[str]]:
    """Return those of the backups that count, in their order, and what is said of the others: a backup that is dated
    in the future is never the latest, never one of those kept, and stays for a person to look at."""
    wrong = [ahead_text(each.name, each.time) for each in backups if clock.is_ahead(each.time, at)]
    return [each for each in backups if not clock.is_ahead(each.time, at)], wrong


def ahead_text(name: str, when: datetime) -> str:
    """Return what is said of a backup that is dated in the future."""
    return f"{name} is dated in the future ({when:%Y-%m-%d %H:%M} UTC): a clock was wrong when it was taken, or is now"


def outdated(
    backups: Sequence[Backup], *, keep: int, days: float, now: datetime, taken: Backup | None = None
) -> list[Backup]:
    """Return those that are to go: beyond the newest `keep`, or older than `days` as seen from the newest.

    `taken`, which was taken a moment ago, is the first of those kept and never goes, whatever it is dated; ages are
    measured without it, because the same clock dated it. The newest of the others stays too unless `keep` has no room
    for it. Raises ClockDoubted if the clock may be wrong: nothing is to go then.
    """
    others, _ = counted([each for each in backups if taken is None or each.name != taken.name], now)
    clock.check((each.time for each in others), now)
    newest = clock.newest((each.time for each in others), now) or now
    first = 0 if taken is None else 1
    return [
        each
        for number, each in enumerate(others, first)
        if number and (number >= keep or (newest - each.time).total_seconds() > days * 86_400)
    ]


def last_backup(settings: Settings) -> Backup | None:
    """Return the backup that was last taken on this machine, wherever it went and whatever it is dated; None if there
    is none, or its note cannot be read. Costs a small file: for health and the monitor."""
    try:
        return parse_sidecar((folder_of(settings) / LAST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
