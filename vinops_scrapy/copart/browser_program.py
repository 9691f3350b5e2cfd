"""The Chromium that is installed: its path and its version. Scrapy is not imported here: the doctor asks for both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vinops.config import ConfigError, playwright_browsers

if TYPE_CHECKING:
    from vinops.config import Settings

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OWN: Final = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/**/MacOS/*Chrom*")
INSTALL: Final = "apt-get install chromium (Debian), or playwright install chromium, or set CHROMIUM_PATH"


def find_chromium(settings: Settings) -> Path:
    """Return the path of the browser: CHROMIUM_PATH, else the first on PATH, else Playwright's own.

    Raises ConfigError, whose message says how to install it.
    """
    if settings.chromium_path is not None:
        if os.access(settings.chromium_path, os.X_OK) and settings.chromium_path.is_file():
            return settings.chromium_path
        raise ConfigError(f"CHROMIUM_PATH is not an executable file: {INSTALL}")
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    folder = playwright_browsers()
    own = sorted(found for pattern in OWN for found in folder.glob(pattern) if os.access(found, os.X_OK))
    if own:
        return own[-1]
    raise ConfigError(f"there is no Chromium, which lot pages need: {INSTALL}")


@cache
def version(executable: Path) -> str:
    """Return the version of a browser, as `150.0.7871.100`; cached. Raises ConfigError."""
    try:
        said = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{executable} does not start ({type(error).__name__}): {INSTALL}") from None
    found = re.search(r"\b\d+(?:\.\d+){3}\b", said)
    if found is None:
        raise ConfigError(f"{executable} --version names no version of Chromium: {INSTALL}")
    return found[0]
