"""The folder of the demo: held against another demo, and what an earlier one left in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.demo_world import PATIENCE, DemoFailed
from vinops import config, database, embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

FOLDER = Path("var/demo")
NOTE = "demo.json"


@contextmanager
def held(folder: Path, settings: config.Settings, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the folder and hold it against another demo; yield what an earlier demo noted, if it is as `wanted`.

    Otherwise the folder is emptied. Raises DemoFailed if it is in use or cannot be emptied. If the process dies in
    here the next demo begins with an empty folder.
    """
    try:
        for each in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
            each.mkdir(exist_ok=True)
            if os.geteuid() == 0:  # the server's account must get through, whatever the umask is
                each.chmod(0o711)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DemoFailed(f"{folder} cannot be made ({error.strerror}): go to a folder of yours") from None
    try:
        _lock(descriptor, folder)
        try:
            found = noted(folder, wanted)
            folder.joinpath(NOTE).unlink(missing_ok=True)  # a demo that is cut short is no base for the next
            if not found:
                _remove_server(embedded.folder(settings.data_dir))
                for path in folder.iterdir():
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
    """Hold the folder of an earlier demo, and yield what that noted. Raises DemoFailed if there is none, or it is in
    use."""
    missing = DemoFailed(f"there is no demo of this version in {folder} to go on with: run `vinops demo` first")
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
        raise DemoFailed(f"another demo is at work in {folder}: wait for its end") from None


def migrations() -> list[str]:
    """Return the migrations of this version: a demo of another one is no base."""
    return sorted(path.stem for path in database.SQL.glob("migrations/*.sql"))


def note(folder: Path, what: dict[str, Any]) -> None:
    """Leave word for the next demo of what is here, whole or not at all."""
    part = folder / f"{NOTE}.part"
    part.write_text(json.dumps(what))
    part.replace(folder / NOTE)


def noted(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the note of an earlier demo, empty if there is none or it was of another kind."""
    try:
        found: dict[str, Any] = {"served": 0} | json.loads(folder.joinpath(NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return found if wanted and wanted.items() <= found.items() else {}


def _remove_server(base: Path) -> None:
    """Stop the server of an earlier demo and remove its folder. Raises OSError, DemoFailed, ServerError."""
    if not base.exists():
        return
    # Held while the folder goes: a keeper stops servers only when this lock is its own (see vinops/embedded.py), so
    # one of an earlier demo cannot mistake the new server for the old one.
    users = os.open(base / "users.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DemoFailed(f"somebody uses the database in {base}: end that first, then try again") from None
                time.sleep(0.05)
        embedded.stop(base)
        while base.exists():  # a keeper that is about to end may make its lock file once more
            shutil.rmtree(base, ignore_errors=True)
            if base.exists() and time.monotonic() > deadline + PATIENCE:
                shutil.rmtree(base)  # this time it tells why not
    finally:
        os.close(users)


@contextmanager
def signals() -> Iterator[None]:
    """Answer SIGTERM and a closed terminal like Ctrl-C, so that what was started is ended."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # One that is ignored stays so: nohup means it.
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
