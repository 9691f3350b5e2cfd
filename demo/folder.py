"""The folder of the demo: locked against another demo, with the note of an earlier one."""

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
    """Return the folder of the demo, below the configured data folder. Raises DemoFailed if that cannot be read; other
    errors in the settings do not matter."""
    found = config.survey()
    for name in ("CREDENTIALS_DIRECTORY", ".env", "VINOPS_DATA_DIR"):
        if name in found.problems:
            raise DemoFailed(found.problems[name])
    return found.settings.data_dir / "demo"


@contextmanager
def held(folder: Path, settings: config.Settings, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the folder and lock it against another demo; yield the note of an earlier demo, if it agrees with `wanted`.

    Otherwise empty the folder. Raises DemoFailed if it is in use or cannot be emptied. If the process dies in here the
    next demo begins with an empty folder.
    """
    try:
        for each in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
            each.mkdir(exist_ok=True)
            if os.geteuid() == 0:  # the server's account needs access, whatever the umask is
                each.chmod(0o711)
        descriptor = locks.opened(folder / LOCK)
    except OSError as error:
        raise DemoFailed(
            f"{folder} cannot be made ({error.strerror}): set VINOPS_DATA_DIR to a folder of yours"
        ) from None
    try:
        _lock(descriptor, folder)
        try:
            found = noted(folder, wanted)
            folder.joinpath(NOTE).unlink(missing_ok=True)  # a demo that was interrupted cannot be continued
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
    """Lock the folder of an earlier demo, and yield its note. Raises DemoFailed if there is none, or it is in use."""
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
            f"another demo is at work in {folder}: {locks.holders(descriptor)}. Wait for its end, or set "
            "VINOPS_DATA_DIR to another folder"
        ) from None


def migrations() -> list[str]:
    """Return the migrations of this version: a demo of another version is not continued."""
    return sorted(path.stem for path in database.SQL.glob("migrations/*.sql"))


def note(folder: Path, what: dict[str, Any]) -> None:
    """Write the note for the next demo, atomically."""
    part = folder / f"{NOTE}.part"
    part.write_text(json.dumps(what))
    part.replace(folder / NOTE)


def noted(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the note of an earlier demo; empty if there is none or it does not agree with `wanted`."""
    try:
        found: dict[str, Any] = {"served": 0} | json.loads(folder.joinpath(NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return found if wanted and wanted.items() <= found.items() else {}


@contextmanager
def signals() -> Iterator[None]:
    """Handle SIGTERM and a closed terminal like Ctrl-C, so that the processes that were started are ended."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # A signal that is ignored stays so, as under nohup.
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
