"""The lock: plain `pip install -r requirements.txt` takes nothing that is not in it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).resolve().parents[2] / "requirements.txt"


def test_the_lock_holds_whatever_its_packages_require() -> None:
    """With hashes pip refuses a package that is missing from the lock, also one that `bin/setup` removes afterwards."""
    locked = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", LOCK.read_text(), re.MULTILINE)}
    assert len(locked) > 50
    missing, looked_at = set[str](), 0
    for name in locked:
        try:
            found = requires(name) or []
        except PackageNotFoundError:
            continue
        looked_at += 1
        for requirement in map(Requirement, found):
            is_needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if is_needed and canonicalize_name(requirement.name) not in locked:
                missing.add(f"{name} requires {requirement.name}")
    assert looked_at > 50
    assert missing == set()
