"""Templates and static files: nothing inline, nothing from elsewhere, names with the hash of the content."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from web import assets, routes

WEB = Path(assets.__file__).parent
TEMPLATES = sorted(WEB.glob("templates/*.html"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bstyle\s*=|<style|\bon[a-z]+\s*=\s*[\"']|javascript:|\|\s*safe|https?://", text)
    assert all("src=" in each for each in re.findall(r"<script[^>]*>", text))
    for image in re.findall(r"<img[^>]*>", text):
        assert "width=" in image, image
        assert "height=" in image, image
        assert "alt=" in image, image


def test_scripts_and_styles_come_from_here() -> None:
    for name, asset in assets.assets().items():
        text = asset.content.decode()
        assert not re.search(r"@import|eval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text), name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert hashlib.sha256(asset.content).hexdigest()[:16] in asset.path


def test_get_changes_nothing() -> None:
    """Pages that are read use connections that only read."""
    for page in routes.ROUTES:
        if page.method == "GET":
            names = page.function.__code__.co_names
            assert "write" not in names, page.path


def test_axe_is_the_vendored_version() -> None:
    content = (Path(__file__).parents[2] / "support/axe/axe.min.js").read_bytes()
    assert content.startswith(b"/*! axe v4.14.1")
    assert hashlib.sha256(content).hexdigest() == "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
