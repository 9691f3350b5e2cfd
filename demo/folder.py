"""The folder of the demo: its lock against concurrent demos, and the note that a demo leaves for the next one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from demo.world import PATIENCE, DemoFailed
from vinops import config, locks
from vinops.db import database, embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

NOTE = "demo.json"
LOCK = "demo.lock"


def place() -> Path:
    """Return the folder of the demo, in the configured data folder.

    Raises DemoFailed if the setting of the data folder cannot be read; other errors in the settings are ignored.
    """
    found = config.survey()
    for name in ("CREDENTIALS_DIRECTORY", ".env", "VINOPS_DATA_DIR"):
        if name in found.problems:
            raise DemoFailed(found.problems[name])
    return found.settings.data_dir / "demo"


@contextmanager
def held(folder: Path, settings: config.Settings, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Create the folder, lock it, and yield the note of an earlier demo if it matches `wanted`.

    Otherwise empty the folder and yield an empty note. Raises DemoFailed if the folder is in use or cannot be created
    or emptied. If the process dies in the block, the next demo starts with an empty folder.
    """
    try:
        for each in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
            each.mkdir(exist_ok=True)
            if os.geteuid() == 0:  # the database server's account needs access, regardless of the umask
                each.chmod(0o711)
        descriptor = locks.opened(folder / LOCK)
    except OSError as error:
        raise DemoFailed(
            f"{folder} cannot be created ({error.strerror}): set VINOPS_DATA_DIR to a folder you can write to"
        ) from None
    try:
        _lock(descriptor, folder)
        try:
            found = noted(folder, wanted)
            folder.joinpath(NOTE).unlink(missing_ok=True)  # an interrupted demo cannot be continued
            if not found:
                embedded.remove(settings.data_dir, PATIENCE)
                for path in folder.iterdir():
                    if path.name != LOCK:
                        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise DemoFailed(
                f"{folder} cannot be emptied ({error.strerror}: {error.filename}): remove it, as its owner or as root"
            ) from None
        except embedded.ServerError as error:
            raise DemoFailed(str(error)) from None
        yield found
    finally:
        os.close(descriptor)


@contextmanager
def kept(folder: Path) -> Iterator[dict[str, Any]]:
    """Lock the folder of an earlier demo and yield its note. Raises DemoFailed if there is none or it is in use."""
    missing = DemoFailed(f"there is no demo of this version in {folder} to go on with: run `vinops demo` first")
    try:
        descriptor = locks.opened(folder / LOCK)
    except OSError:
        raise missing from None
    try:
        _lock(descriptor, folder)
        found = noted(folder, {"migrations": migrations()})
        if not found:
            raise missing
        yield found
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DemoFailed(
            f"another demo is at work in {folder}: {locks.holders(descriptor)}. Wait until it ends, or set "
            "VINOPS_DATA_DIR to another folder"
        ) from None


def migrations() -> list[str]:
    """Return the names of this version's migrations. A demo with other migrations is not continued."""
    return sorted(path.stem for path in database.SQL.glob("migrations/*.sql"))


def note(folder: Path, what: dict[str, Any]) -> None:
    """Write the note for the next demo, atomically."""
    part = folder / f"{NOTE}.part"
    part.write_text(json.dumps(what))
    part.replace(folder / NOTE)


def noted(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the note of an earlier demo; empty if there is none or it does not match `wanted`."""
    try:
        found: dict[str, Any] = {"served": 0} | json.loads(folder.joinpath(NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return found if wanted and wanted.items() <= found.items() else {}


@contextmanager
def signals() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C in the block, so that all child processes are stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # An ignored signal stays ignored, for example under nohup.
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
