"""Backups in a store: a dump, and beside it a sidecar (`….dump.json`) that describes it.

The sidecar is stored last, after the dump was restored and compared: a dump without one was never verified, and does
not count.
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
from vinops.storage.folder import Folder
from vinops.storage.store import BACKUPS, ObjectMissing, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ops.backup.progress import Progress
    from vinops.config import Settings
    from vinops.storage.store import Store

NAME = re.compile(r"vinops-\d{8}T\d{6}Z\.dump")
SIDECAR = ".json"
PART = ".part"
LAST = "last.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A verified dump, as its sidecar describes it. `bytes` is the size of the dump, `seconds` the time it took,
    `skipped` the tables whose rows are not in it."""

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
    skipped: tuple[str, ...] = ()

    @property
    def time(self) -> datetime:
        """When it was taken."""
        return datetime.fromisoformat(self.taken_at)

    @property
    def contents(self) -> Contents:
        """The rows and sequences in it."""
        return Contents(tables=self.tables, sequences=self.sequences)

    def text(self) -> str:
        """Return the sidecar, with a checksum over all of it."""
        fields = {"format": FORMAT, **asdict(self)}
        if not self.skipped:  # sidecars from before there was such a field have none
            del fields["skipped"]
        sealed = {**fields, "seal": hashlib.sha256(_json(fields).encode()).hexdigest()}
        return _json(sealed)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=1, sort_keys=True) + "\n"


def parse_sidecar(text: str) -> Backup:
    """Read a sidecar. Raises ValueError if a single character of it was changed."""
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    if fields.pop("format", None) != FORMAT:
        raise ValueError("it is of another version of vinops")
    fields.pop("seal", None)
    try:
        found = Backup(
            **{
                **fields,
                "migrations": tuple(fields["migrations"]),
                "skipped": tuple(fields.get("skipped", ())),
                "tables": {name: (rows, checksum) for name, (rows, checksum) in fields["tables"].items()},
            }
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a field is missing or wrong ({type(error).__name__})") from None
    if found.text() != text:
        raise ValueError("it was changed after it was written")
    return found


def sidecar(dumped: Path) -> Path:
    """Return the sidecar of a dump."""
    return dumped.with_name(dumped.name + SIDECAR)


def folder_of(settings: Settings) -> Path:
    """Return the default folder of backups."""
    return settings.data_dir / "backups"


def in_folder(folder: Path) -> Store:
    """Return the store of backups in a folder."""
    return Folder(folder, BACKUPS)


def key(name: str) -> str:
    """Return the key of a dump or a sidecar."""
    return BACKUPS.prefix + name


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the lock of writing backups into this folder, which ends with the process. Raises BackupError if another
    process has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = locked(folder)
    except BlockingIOError:
        raise BackupError(f"another backup into {folder} is under way: wait until it has ended") from None
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


def verified(store: Store) -> tuple[list[Backup], list[str]]:
    """Return the backups in a store, the newest first, and what is wrong with those that do not count: a sidecar that
    cannot be read, a dump that is missing or has another size. Raises StoreError if the store cannot be listed."""
    sizes = _sizes(store)
    found, wrong = [], []
    for name in (name + SIDECAR for name in _dumps_of(sizes)):
        try:
            backup = parse_sidecar(store.get(key(name)).decode())
        except (StoreError, ObjectMissing, ValueError) as error:
            wrong.append(f"{name}: {error}")
            continue
        size = sizes.get(backup.name)
        if name != backup.name + SIDECAR:
            wrong.append(f"{name}: it is the sidecar of {backup.name}")
        elif size is None:
            wrong.append(f"{name}: {backup.name} is missing")
        elif size != backup.bytes:
            wrong.append(f"{backup.name} has {size:,} bytes instead of {backup.bytes:,}")
        else:
            found.append(backup)
    return sorted(found, key=lambda each: each.time, reverse=True), wrong


def _sizes(store: Store) -> dict[str, int]:
    return {found.removeprefix(BACKUPS.prefix): size for found, size in store.sizes()}


def _dumps_of(sizes: dict[str, int]) -> list[str]:
    """Return the names of the dumps that have a sidecar, the newest first."""
    names = (name.removesuffix(SIDECAR) for name in sizes if name.endswith(SIDECAR))
    return sorted((name for name in names if NAME.fullmatch(name)), reverse=True)


def checked(dumped: Path) -> Backup:
    """Read every byte of a dump, and return its sidecar. Raises BackupError if they differ in anything: the dump must
    not be restored then."""
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
        raise BackupError(f"{dumped} is damaged: its sha256 differs from that in its sidecar: restore another backup")
    return backup


def place(store: Store, part: Path, backup: Backup, progress: Progress) -> None:
    """Store a verified dump, then its sidecar.

    If the process dies in between, there is a dump without a sidecar, which does not count. Raises StoreError, OSError.
    """
    store.sweep()
    store.put_file(key(backup.name), part, progress.counter("stored"))
    if (stored := _sizes(store).get(backup.name)) != backup.bytes:
        raise StoreError(f"{store.describe(key(backup.name))} has {stored} bytes instead of {backup.bytes}: try again")
    text = part.with_name(backup.name + SIDECAR + PART)
    try:
        with open(text, "w", encoding="utf-8", opener=private) as file:  # Path.open takes no opener
            file.write(backup.text())
        store.put_file(key(backup.name + SIDECAR), text)
    except Exception:
        text.unlink(missing_ok=True)
        raise


def remove(store: Store, name: str) -> None:
    """Remove a backup. If the process dies in it, a dump without its sidecar is left. Raises StoreError."""
    store.delete(key(name + SIDECAR))
    store.delete(key(name))


def write_whole(path: Path, text: str) -> None:
    """Write a file. If the process dies in it, the file is as it was before, or whole. Raises OSError."""
    part = path.with_name(path.name + PART)
    with open(part, "w", encoding="utf-8", opener=private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    disk.sync_folder(path.parent)


def private(path: str, flags: int) -> int:
    """Open a file for its owner alone: an opener for `open`. Raises OSError."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)  # also of a file that a killed process left
    return descriptor


def leftovers(folder: Path) -> list[Path]:
    """Return what killed backups left in a folder: parts, and dumps without a sidecar. Call it with the folder's
    lock."""
    parts = [*folder.glob(f"vinops-*.dump{PART}"), *folder.glob(f"vinops-*.dump{SIDECAR}{PART}")]
    dumps = [path for path in folder.glob("vinops-*.dump") if not sidecar(path).exists()]
    return [path for path in (*parts, *dumps) if NAME.match(path.name)]


def abandoned_fetches(folder: Path) -> list[Path]:
    """Return the folders into which killed restores fetched a backup: those that no process has locked."""
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
    """Return when a backup was taken, according to its name; None for the name of something else."""
    try:
        return datetime.strptime(name, "vinops-%Y%m%dT%H%M%SZ.dump").replace(tzinfo=UTC)
    except ValueError:
        return None


def candidates(store: Store, at: datetime) -> tuple[list[str], list[str]]:
    """Return the names of the dumps that have a sidecar, the newest first, and apart from them those that are dated in
    the future, which are never the latest. Reads no object. Raises StoreError if the store cannot be listed."""
    found = [(when, name) for name in _dumps_of(_sizes(store)) if (when := dated(name))]
    ahead = [name for when, name in found if clock.is_ahead(when, at)]
    return [name for _, name in found[len(ahead) :]], ahead


def counted(backups: Sequence[Backup], at: datetime) -> tuple[list[Backup], list[str]]:
    """Return the backups that count, in their order, and a message for each of the others: a backup that is dated in
    the future is never the latest, never one of those kept, and stays for a person to look at."""
    wrong = [ahead_text(each.name, each.time) for each in backups if clock.is_ahead(each.time, at)]
    return [each for each in backups if not clock.is_ahead(each.time, at)], wrong


def ahead_text(name: str, when: datetime) -> str:
    """Return the message for a backup that is dated in the future."""
    return f"{name} is dated in the future ({when:%Y-%m-%d %H:%M} UTC): a clock was wrong when it was taken, or is now"


def outdated(
    backups: Sequence[Backup], *, keep: int, days: float, now: datetime, taken: Backup | None = None
) -> list[Backup]:
    """Return the backups to remove: beyond the newest `keep`, or more than `days` older than the newest.

    `taken`, which was taken a moment ago, is the first of those kept and never removed, whatever its date; ages are
    measured without it, because the same clock dated it. The newest of the others stays too unless `keep` has no room
    for it. Raises ClockDoubted if the clock may be wrong: nothing may be removed then.
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
    """Return the backup that was last taken on this machine, whatever its place and date; None if there is none, or
    its note cannot be read. Reads one small file: for health and the monitor."""
    try:
        return parse_sidecar((folder_of(settings) / LAST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
