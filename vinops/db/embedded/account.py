"""The account that the server runs as: how it is chosen, what it can reach, and running programs as it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vinops.db.embedded.process import ServerError, foreign

if TYPE_CHECKING:
    from pwd import struct_passwd

SYSTEM_USER = "vinops"


@dataclass(frozen=True, kw_only=True)
class Account:
    """The system account that the server runs as."""

    uid: int
    gid: int
    name: str

    @property
    def is_other(self) -> bool:
        """Whether it is not the account of this process."""
        return self.uid != os.geteuid()


def account_of(base: Path) -> Account:
    """Return the account to run the server of this folder as, which is never root. Raises ServerError."""
    import pwd

    data = base / "data"
    uid = os.geteuid()
    try:
        owner = data.stat().st_uid if data.exists() else None
    except PermissionError:
        raise ServerError(foreign(base)) from None
    if uid != 0:
        if owner is not None and owner != uid:
            raise ServerError(foreign(base))
        return Account(uid=uid, gid=os.getegid(), name=str(uid))
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = None
    if entry is None and owner:
        return Account(uid=owner, gid=data.stat().st_gid, name=str(owner))
    if entry is None:
        entry = _make_account()
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def _make_account() -> struct_passwd:
    import pwd
    import subprocess

    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=False, capture_output=True, cwd="/")
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, KeyError):
        raise ServerError(
            f"PostgreSQL does not run as root and the system user {SYSTEM_USER} could not be made: "
            f"run `{' '.join(command)}`, run as an ordinary user, or set DATABASE_URL"
        ) from None


def reaches(account: Account, target: Path) -> bool:
    """Tell whether the account may search a folder or execute a program, by trying it."""
    if not account.is_other:
        return True
    import subprocess

    probe = subprocess.run(
        ["/usr/bin/test", "-x", str(target)],
        check=False,
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
    )
    return probe.returncode == 0


def obstacle(target: Path) -> str:
    """Name the first parent folder that is closed to other accounts: the cause, unless an ACL is."""
    for each in (*reversed(target.parents), target):
        mode = each.stat().st_mode & 0o7777
        if not mode & 0o001:
            return f"{each} (mode {mode:04o}) is in the way"
    return "an access rule of the system is in the way"


def run_as(account: Account, command: list[str], text: str = "") -> str:
    """Run a program as the server's account, in a session of its own, and return its output. Raises ServerError."""
    import subprocess

    done = subprocess.run(
        command,
        check=False,
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        start_new_session=True,
        umask=0o077,
        user=account.uid if account.is_other else None,
        group=account.gid if account.is_other else None,
        extra_groups=[] if account.is_other else None,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise ServerError(f"{Path(command[0]).name} failed with exit code {done.returncode}:\n{last}")
    return done.stdout
