"""The egg that scrapyd runs crawls from: all code and data of vinops, without its dependencies."""

from __future__ import annotations

import configparser
import io
import subprocess
import sys
import tempfile
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vinops.db import database
from vinops.redaction import redact

SHOWN: Final = 5  # last lines of a build that failed


class EggError(Exception):
    """An egg cannot be built. The message says what fixes it."""


def spiders(egg: bytes) -> list[str]:
    """Return the names of the spiders in an egg, imported from it as a node does. Raises EggError for one that a node
    would refuse.

    Code of the egg runs in a process of its own, with this process's rights: it is to run on the nodes anyway.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(egg)) as archive:
            broken = archive.testzip()
            points = archive.read("EGG-INFO/entry_points.txt").decode("utf-8")
        settings = configparser.ConfigParser(delimiters=("=",))
        settings.read_string(points)
        module = settings["scrapy"]["settings"]
    except (zipfile.BadZipFile, EOFError, zlib.error):
        raise EggError(
            "this is not an egg, which is a ZIP file: build one with `scrapyd-deploy --build-egg FILE`"
        ) from None
    except (KeyError, UnicodeDecodeError, configparser.Error):
        raise EggError(
            "this egg names no Scrapy project: EGG-INFO/entry_points.txt is to have `settings = …` under [scrapy]; "
            "build it with `scrapyd-deploy --build-egg FILE`"
        ) from None
    if broken:
        raise EggError(f"the egg is damaged at {broken}: build it again")
    return _listed(egg, module)


LISTING: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from scrapy.settings import Settings
from scrapy.spiderloader import get_spider_loader
settings = Settings()
settings.setmodule(sys.argv[2], priority="project")
for name in sorted(get_spider_loader(settings).list()):
    print(name)
"""


def _listed(egg: bytes, module: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="vinops-egg-") as folder:
        path = Path(folder, "checked.egg")
        path.write_bytes(egg)
        done = subprocess.run(
            [sys.executable, "-P", "-W", "ignore", "-c", LISTING, str(path), module],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = redact(next(iter(done.stderr.strip().splitlines()[-1:]), f"exit code {done.returncode}"))
        raise EggError(f"a node would refuse this egg, as its spiders cannot be imported: {last}")
    if not (found := done.stdout.split()):
        raise EggError(f"there is no spider in this egg, as {module} has them: a node would run nothing from it")
    return found


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
