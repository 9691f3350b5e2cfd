"""The site that CONTRIBUTING.md adds: it is whole by the contract, and its page function reads its recorded page."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.http import HtmlResponse

from tests.unit.test_pages_contract import ROOT, what_is_missing
from vinops_scrapy.pages.errors import PageError

if TYPE_CHECKING:
    from types import ModuleType

URL = "https://kola.example/ads"


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str]]:
    """The code blocks of the section, by their language."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("### A new site")[1].split("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, blocks: list[tuple[str, str]]) -> Path:
    """The files of the example, where it says that they belong."""
    spider, page = (text for language, text in blocks if language == "python")
    case = next(text for language, text in blocks if language == "json")
    html = next(text for language, text in blocks if language == "html")
    files = {
        "vinops_scrapy/spiders/kola.py": spider,
        "vinops_scrapy/pages/kola.py": page,
        "tests/pages/kola/two_ads/case.json": case,
        "tests/pages/kola/two_ads/response.html": html,
        "tests/pages/kola/two_ads/expected.json": "{}",
        "tests/pages/kola/empty/error.json": "{}",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "vinops_scrapy"


def missing(package: Path) -> list[str]:
    return what_is_missing(package, package.parent / "tests" / "pages")


def imported(path: Path) -> ModuleType:
    """Import a file as if it stood in the package."""
    name = f"vinops_scrapy.{path.parent.name}.{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def response(body: str) -> HtmlResponse:
    return HtmlResponse(URL, body=body.encode(), encoding="utf-8")


def test_it_is_whole(package: Path) -> None:
    assert missing(package) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("vinops_scrapy/pages/kola.py", "spiders/kola.py: pages/kola.py is missing, the page module of its site"),
        ("vinops_scrapy/spiders/kola.py", 'pages/kola.py: no spider has `site = "kola"`'),
        (
            "tests/pages/kola/two_ads/expected.json",
            "spiders/kola.py: no case in tests/pages/kola/ has an expected.json",
        ),
        ("tests/pages/kola/empty/error.json", "spiders/kola.py: no case in tests/pages/kola/ has an error.json"),
    ],
)
def test_what_is_missing_is_named(package: Path, path: str, says: str) -> None:
    (package.parent / path).unlink()
    assert missing(package) == [says]


def test_its_page_is_read_and_its_spider_goes_on(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = imported(package / "pages" / "kola.py")
    monkeypatch.setattr("vinops_scrapy.pages.kola", pages, raising=False)
    spider: Any = imported(package / "spiders" / "kola.py").Kola()
    recorded = package.parent / "tests" / "pages" / "kola" / "two_ads"
    assert json.loads((recorded / "case.json").read_text())["url"] == URL
    first, second, following = spider.parse(response((recorded / "response.html").read_text()))
    assert (first.title, first.price_eur, first.url) == ("Opel Astra", Decimal(4500), "https://kola.example/ad/1")
    assert (second.ad_id, second.posted_at.year) == ("2", 2026)
    assert following.url == "https://kola.example/ads?page=2"
    with pytest.raises(PageError, match="no_cards"):
        pages.list_page(response("<p>nothing</p>"))


def test_its_code_is_as_ours(blocks: list[tuple[str, str]]) -> None:
    for language, text in blocks:
        if language == "python":
            assert all(ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef))
