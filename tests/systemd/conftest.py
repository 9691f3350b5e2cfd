"""What the machines share: the packages of the locks, fetched once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.systemd import wheels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the locks name. Skips the test where there is no package index."""
    folder = tmp_path_factory.mktemp("locked")
    yield wheels.fetch(folder)
    shutil.rmtree(folder)
