"""Templates and static files: nothing inline, nothing from elsewhere, names with the hash of the content."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from web import assets, routes

WEB = Path(assets.__file__).parent
UPLOT = "/*! https://github.com/leeoniya/uPlot (v1.6.32) */"
VENDORED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""The files of uPlot 1.6.32 as `npm pack uplot@1.6.32` has them in dist/, and its licence, by their SHA-256."""
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
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text.removeprefix(UPLOT)), name
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


def test_uplot_is_the_vendored_version() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in WEB.glob("static/uPlot*")}
    assert found == VENDORED
    assert assets.assets()["uPlot.iife.min.js"].content.decode().startswith(UPLOT)


def test_scripts_are_small() -> None:
    """60 KB on pages with charts, 15 KB on others."""
    sizes = {name: len(asset.content) for name, asset in assets.assets().items() if name.endswith(".js")}
    with_charts = ("uPlot.iife.min.js", "market.js")
    assert sum(size for name, size in sizes.items() if name not in with_charts) <= 15_000
    assert sum(sizes[name] for name in ("site.js", *with_charts)) <= 60_000
    loads = [path.name for path in TEMPLATES if "uPlot" in path.read_text(encoding="utf-8")]
    assert loads == ["market_family.html"], "only pages with charts load them"
