"""The site that CONTRIBUTING.md adds: it is complete by the contract, and its page function reads its recorded page."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scrapy.http import HtmlResponse

from tests.unit.vinops_scrapy.test_pages_contract import ROOT, what_is_missing
from vinops_scrapy.pages.errors import PageError

if TYPE_CHECKING:
    from types import ModuleType

URL = "https://kola.example/ads"
BLOCK = re.compile(r"^```\w+\n(?:#|//|<!--) (\S+\.\w+)(?: -->)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def example_site() -> dict[str, str]:
    """Return the files of the section, by the path in the first line of each code block."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(BLOCK.findall(re.split("^##+ ", text.split("### A site\n")[1], maxsplit=1, flags=re.MULTILINE)[0]))


def write_site(folder: Path) -> None:
    """Write the files of the example where they belong, below a folder."""
    for name, text in example_site().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The example in a package of its own, with results as `rewrite` makes them."""
    write_site(tmp_path)
    (tmp_path / "tests/pages/kola/two_ads/expected.json").write_text("{}")
    (tmp_path / "tests/pages/kola/empty/error.json").write_text("{}")
    return tmp_path / "vinops_scrapy"


def missing(package: Path) -> list[str]:
    return what_is_missing(package, package.parent / "tests" / "pages")


def imported(path: Path) -> ModuleType:
    """Import a file as if it were in the package."""
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


def test_it_is_complete(package: Path) -> None:
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


def test_its_page_is_read(package: Path) -> None:
    pages = imported(package / "pages" / "kola.py")
    recorded = package.parent / "tests" / "pages" / "kola" / "two_ads"
    assert json.loads((recorded / "case.json").read_text())["url"] == URL
    page = pages.list_page(response((recorded / "response.html").read_text()))
    first, second = page.listings
    assert (first.title, first.price_eur, first.url) == ("Opel Astra", Decimal(4500), "https://kola.example/ad/1")
    assert (second.ad_id, second.posted_at.year) == ("2", 2026)
    assert page.next_url == "https://kola.example/ads?page=2"
    with pytest.raises(PageError, match="no_cards"):
        pages.list_page(response("<p>nothing</p>"))


def test_its_code_is_documented() -> None:
    for path, text in example_site().items():
        if path.endswith(".py"):
            tree = ast.parse(text)
            assert ast.get_docstring(tree)
            assert all(ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
