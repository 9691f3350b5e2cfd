"""The locks are complete: `pip install -r requirements.txt` takes them as they are, with every hash it asks for."""

from __future__ import annotations

import ast
import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)([^\\]*)\\?$", re.MULTILINE)


def pins(lock: str) -> dict[str, tuple[str, str]]:
    """Return the version and the marker of each package that a lock names."""
    found = PIN.findall((ROOT / lock).read_text())
    return {str(canonicalize_name(name)): (version, marker.strip(" ;")) for name, version, marker in found}


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_pip_finds_every_package_that_another_one_needs_in_the_lock(lock: str) -> None:
    """With hashes pip refuses to install what is not pinned, as the backport `typing` of scrapy-rotating-proxies."""
    found = pins(lock)
    assert len(found) > 80
    missing = []
    for name in found:
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # not for this version of Python, or not in this environment
            continue
        for text in needed:
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            pin = found.get(str(canonicalize_name(requirement.name)))
            if pin is None or not requirement.specifier.contains(pin[0], prereleases=True):
                missing.append(f"{name} needs {text}, pinned is {pin}")
    assert missing == []


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt", "deploy/scrapyd/requirements.txt"])
def test_every_pin_has_a_hash(lock: str) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)
    without = [block.split("\n")[0] for block in blocks if PIN.match(block) and "--hash=sha256:" not in block]
    assert without == []


@pytest.mark.parametrize(
    ("name", "used"),
    [("itemadapter", "itemadapter"), ("scrapy-playwright", "scrapy_playwright"), ("boto3", "boto3")],
)
def test_what_the_owner_asks_for_is_used(name: str, used: str) -> None:
    assert name in pins("requirements.txt")
    for path in [*ROOT.glob("vinops/**/*.py"), *ROOT.glob("vinops_scrapy/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(each.partition(".")[0] == used for each in modules):
                return
    pytest.fail(f"nothing imports {used}")
