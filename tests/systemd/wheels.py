"""What the locks name, fetched once from the package index: a machine without a network installs from it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.outbound.sitecustomize import without_guard
from tests.systemd.boot import CHECKOUT
from tests.systemd.installed import deploy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.systemd.boot import Machine

LOCKS = ("requirements.txt", "deploy/scrapyd/requirements.txt")
INTERPRETER = "/usr/bin/python3"  # the one that the deploy script takes
SECONDS = 600
#: Where a machine sees them, and what has its pip look there and nowhere else.
PLACE = "var/cache/wheels"
ENVIRONMENT = ("PIP_CONFIG_FILE=/dev/null", "PIP_NO_INDEX=1", f"PIP_FIND_LINKS=/{PLACE}")


def fetch(folder: Path) -> Path:
    """Fill a folder with what is locked, each file as its hash says. Skips the test if that is not to be had."""
    made = subprocess.run(
        [INTERPRETER, "-m", "venv", str(folder / "venv")], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"{INTERPRETER} makes no virtual environment: {made.stdout.strip()[-200:]}")
    wheels = folder / "wheels"
    download = (str(folder / "venv/bin/python"), "-m", "pip", "download", "-qq", "--dest", str(wheels))
    locked = [part for lock in LOCKS for part in ("-r", str(CHECKOUT / lock))]
    arguments = ("--only-binary", ":all:", "--no-deps", "--require-hashes", *locked)
    try:
        done = subprocess.run(
            [*download, *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=without_guard(),
        )
    except subprocess.TimeoutExpired:
        pytest.skip("what is locked could not be fetched in time: no package index?")
    if done.returncode:
        pytest.skip(f"what is locked could not be fetched: {done.stderr.strip().splitlines()[-1]}")
    return wheels


def put_into(machine: Machine, wheelhouse: Path) -> None:
    """Have the machine find the files when it boots."""
    shutil.copytree(wheelhouse, machine.changed / PLACE)


def install(machine: Machine, *options: str) -> str:
    """Run the deploy script as it is run on a server: pip installs what is locked."""
    return deploy(machine, *options, venv=(), environment=ENVIRONMENT, seconds=800)
