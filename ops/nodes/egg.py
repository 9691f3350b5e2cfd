"""The egg that scrapyd runs crawls from: all code and data of vinops, without its dependencies."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vinops.db import database

SHOWN: Final = 5  # last lines of a build that failed


class EggError(Exception):
    """An egg cannot be built. The message says what fixes it."""


def build() -> bytes:
    """Return an egg of this checkout, as scrapyd-deploy would build it. The checkout is left as it is. Raises EggError.

    Other than scrapyd-deploy it builds in a temporary folder, so that builds do not disturb each other.
    """
    root = database.SQL.parent
    if not (root / "setup.py").is_file():
        raise EggError(f"there is no checkout at {root} to build an egg of: give one with --egg")
    if find_spec("setuptools") is None:
        raise EggError("setuptools is not installed here: build with `scrapyd-deploy --build-egg FILE`, and give --egg")
    with tempfile.TemporaryDirectory(prefix="vinops-egg-") as folder:
        made = subprocess.run(
            [
                *(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", folder),
                *("build", "--build-base", f"{folder}/build"),
                *("bdist_egg", "--bdist-dir", f"{folder}/bdist", "--dist-dir", f"{folder}/egg"),
            ],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        eggs = list(Path(folder, "egg").glob("*.egg"))
        if made.returncode or len(eggs) != 1:
            last = "\n".join((made.stdout + made.stderr).splitlines()[-SHOWN:])
            raise EggError(f"the egg could not be built ({made.returncode}):\n{last}")
        return eggs[0].read_bytes()
