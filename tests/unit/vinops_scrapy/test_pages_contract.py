"""A site is three things of one name: a spider, a page module, a folder of recorded pages. What is missing is named.

Spiders navigate, pages parse: no selector in spiders/, neither network nor settings in pages/.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[3]

SHARED: Final = {"__init__", "errors", "masking", "mobile_bg_words", "refusals"}
"""Modules in pages/ that are no site's."""

SELECTS: Final = {"css", "xpath", "jmespath", "re_first", "selector"}
"""Attributes by which a response is taken apart."""

BODIES: Final = {"text", "body"}

PURE: Final = {
    "__future__", "collections", "dataclasses", "datetime", "decimal", "enum", "functools", "html", "ipaddress",
    "itertools", "json", "math", "operator", "re", "string", "typing", "unicodedata", "urllib.parse", "zlib",
    "zoneinfo", "parsel", "w3lib", "scrapy.http", "scrapy.selector", "itemadapter",
    "vinops.network", "vinops.text", "vinops.vehicles", "vinops_scrapy.items", "vinops_scrapy.pages",
}  # fmt: skip
"""What a page module may import: nothing that reaches the network, the settings, the clock's owner or a file."""


def what_is_missing(package: Path, recorded: Path) -> list[str]:
    """Return what keeps the spiders and pages of a package from being complete, each with the file to fix."""
    faults = []
    sites = set()
    for module in _modules(package / "spiders"):
        name = f"spiders/{module.name}"
        tree = ast.parse(module.read_text(encoding="utf-8"))
        spiders = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and _value(node, "name")]
        if not spiders:
            faults.append(f'{name}: no class has a `name = "…"`: it holds no spider')
        for spider in spiders:
            site = _value(spider, "site")
            if site:
                sites.add(site)
                faults += _of_site(site, name, package, recorded)
            else:
                faults.append(f'{name}: {spider.name} has no `site = "…"`, the name of its page module')
        faults += [f"{name}:{line}: {what} takes a page apart: that belongs in pages/" for line, what in _selects(tree)]
    for module in sorted((package / "pages").glob("*.py")):
        name = f"pages/{module.name}"
        tree = ast.parse(module.read_text(encoding="utf-8"))
        faults += [f"{name}:{line}: imports {what}: a page is a function of a response" for line, what in _impure(tree)]
        if module.stem not in SHARED | sites:
            faults.append(f'{name}: no spider has `site = "{module.stem}"`')
    return faults


def _of_site(site: str, spider: str, package: Path, recorded: Path) -> list[str]:
    faults = []
    if not (package / "pages" / f"{site}.py").exists():
        faults.append(f"{spider}: pages/{site}.py is missing, the page module of its site")
    if not (recorded / site).is_dir():
        return [*faults, f"{spider}: tests/pages/{site}/ is missing, the folder of its recorded pages"]
    return faults + [
        f"{spider}: no case in tests/pages/{site}/ has an {outcome}"
        for outcome in ("expected.json", "error.json")
        if not list((recorded / site).glob(f"*/{outcome}"))
    ]


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.stem not in ("__init__", "base"))


def _value(spider: ast.ClassDef, name: str) -> str | None:
    """Return the text that a class gives to an attribute, with a type or without."""
    for node in spider.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    return None


def _selects(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of what takes a page apart."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in SELECTS:
            yield node.lineno, f".{node.attr}"
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((node.lineno, name) for name in names if name.split(".")[0] in {"parsel", "lxml", "bs4"})
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            arguments = [part for argument in node.args for part in ast.walk(argument)]
            is_on_body = any(isinstance(part, ast.Attribute) and part.attr in BODIES for part in arguments)
            owner = ast.unparse(node.func.value)
            if is_on_body and owner in {"re", "json"}:
                yield node.lineno, f"{owner}.{node.func.attr} on a body"


def _impure(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of what a page module must not import."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for name in (start + alias.name for alias in node.names):
            if not any(name == pure or name.startswith(f"{pure}.") for pure in PURE):
                yield node.lineno, name


def test_every_site_is_whole() -> None:
    assert what_is_missing(ROOT / "vinops_scrapy", ROOT / "tests" / "pages") == []


SPIDER = """
import scrapy
from made_up.pages import cars

class Cars(scrapy.Spider):
    name = "cars"
    site: str = "cars"

    def parse(self, response):
        yield from cars.listing(response)
        yield Photo(body=response.body)
"""
PAGE = """
from __future__ import annotations
import re
from urllib.parse import urljoin
from scrapy.http import Response
from vinops_scrapy.pages.errors import PageError

def listing(response):
    return response.css("a").getall()
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose only site is whole, to be spoilt; its recorded pages lie in `recorded` beside it."""
    files = {
        "made_up/spiders/__init__.py": "",
        "made_up/spiders/cars.py": SPIDER,
        "made_up/pages/__init__.py": "",
        "made_up/pages/errors.py": "",
        "made_up/pages/cars.py": PAGE,
        "recorded/cars/normal/expected.json": "{}",
        "recorded/cars/not_a_car/error.json": "{}",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "made_up"


def missing(package: Path) -> list[str]:
    return what_is_missing(package, package.parent / "recorded")


def test_a_whole_site_lacks_nothing(package: Path) -> None:
    assert missing(package) == []


def test_without_spiders_nothing_is_missing(package: Path) -> None:
    (package / "spiders" / "cars.py").unlink()
    (package / "pages" / "cars.py").unlink()
    assert missing(package) == []


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("made_up/pages/cars.py", "spiders/cars.py: pages/cars.py is missing, the page module of its site"),
        ("made_up/spiders/cars.py", 'pages/cars.py: no spider has `site = "cars"`'),
        (
            "recorded/cars/normal/expected.json",
            "spiders/cars.py: no case in tests/pages/cars/ has an expected.json",
        ),
        ("recorded/cars/not_a_car/error.json", "spiders/cars.py: no case in tests/pages/cars/ has an error.json"),
    ],
)
def test_a_missing_file_is_named(package: Path, path: str, fault: str) -> None:
    (package.parent / path).unlink()
    assert missing(package) == [fault]


def test_a_missing_folder_is_named(package: Path) -> None:
    (package.parent / "recorded" / "cars").rename(package.parent / "recorded" / "vans")
    assert missing(package) == ["spiders/cars.py: tests/pages/cars/ is missing, the folder of its recorded pages"]


def test_each_of_two_spiders_is_looked_at(package: Path) -> None:
    (package / "spiders" / "vans.py").write_text('class Vans:\n    name = "vans"\n    site = "vans"\n')
    assert missing(package) == [
        "spiders/vans.py: pages/vans.py is missing, the page module of its site",
        "spiders/vans.py: tests/pages/vans/ is missing, the folder of its recorded pages",
    ]


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        (
            '    site: str = "cars"\n',
            "",
            [
                'spiders/cars.py: Cars has no `site = "…"`, the name of its page module',
                'pages/cars.py: no spider has `site = "cars"`',
            ],
        ),
        (
            '    name = "cars"\n',
            "",
            [
                'spiders/cars.py: no class has a `name = "…"`: it holds no spider',
                'pages/cars.py: no spider has `site = "cars"`',
            ],
        ),
    ],
)
def test_a_missing_attribute_is_named(package: Path, old: str, new: str, faults: list[str]) -> None:
    assert old in SPIDER
    (package / "spiders" / "cars.py").write_text(SPIDER.replace(old, new))
    assert missing(package) == faults


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('response.css("a")', ".css"),
        ('response.xpath("//a")', ".xpath"),
        ('links.re_first("a")', ".re_first"),
        ("response.selector", ".selector"),
        ('re.search("a", response.text)', "re.search on a body"),
        ('re.findall(b"a", bytes(response.body[:9]))', "re.findall on a body"),
        ("json.loads(response.text)", "json.loads on a body"),
        ("from parsel import Selector", "parsel"),
    ],
)
def test_a_selector_in_a_spider_is_named(package: Path, line: str, what: str) -> None:
    (package / "spiders" / "cars.py").write_text(f"{SPIDER}\n        {line}\n")
    number = SPIDER.count("\n") + 2
    assert missing(package) == [f"spiders/cars.py:{number}: {what} takes a page apart: that belongs in pages/"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import os", "os"),
        ("import urllib.request", "urllib.request"),
        ("from urllib import request", "urllib.request"),
        ("from vinops import config", "vinops.config"),
        ("from vinops_scrapy.settings import BOT_NAME", "vinops_scrapy.settings.BOT_NAME"),
        ("from scrapy import Request", "scrapy.Request"),
        ("import psycopg", "psycopg"),
        ("from pathlib import Path", "pathlib.Path"),
    ],
)
@pytest.mark.parametrize("module", ["cars.py", "errors.py"])
def test_network_and_settings_in_a_page_module_are_named(package: Path, module: str, line: str, what: str) -> None:
    path = package / "pages" / module
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    number = before.count("\n") + 2
    assert missing(package) == [f"pages/{module}:{number}: imports {what}: a page is a function of a response"]
