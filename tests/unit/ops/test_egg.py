"""An egg is checked before it is sent: what a node would refuse is refused here, by what is wrong with it."""

from __future__ import annotations

import io
import zipfile

import pytest

from ops.nodes import egg
from ops.nodes.egg import EggError
from tests.support.cases import few_quick

SPIDER = "import scrapy\n\n\nclass One(scrapy.Spider):\n    name = 'one'\n"
GOOD = {
    "EGG-INFO/entry_points.txt": "[console_scripts]\ncars = cars:main\n\n[scrapy]\nsettings = cars.settings\n",
    "cars/__init__.py": "",
    "cars/settings.py": 'SPIDER_MODULES = ["cars.spiders"]\n',
    "cars/spiders/__init__.py": "",
    "cars/spiders/one.py": SPIDER,
}


def made(**changed: str | None) -> bytes:
    """Return an egg with files changed, or without those that are None; `__` stands for a slash."""
    files = GOOD | {name.replace("__", "/") + ".py": text for name, text in changed.items()}
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, text in files.items():
            if text is not None:
                archive.writestr(name, text)
    return found.getvalue()


def test_the_spiders_of_an_egg_are_those_in_it_and_not_those_of_this_checkout() -> None:
    assert egg.spiders(made()) == ["one"]
    name = "vinops_scrapy"  # the checkout has such a package, too
    renamed = {file.replace("cars", name): text.replace("cars", name) for file, text in GOOD.items()}
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for file, text in renamed.items():
            archive.writestr(file, text)
    assert egg.spiders(found.getvalue()) == ["one"]


@pytest.mark.parametrize(
    ("content", "says"),
    few_quick(
        [
            (b"", "this is not an egg, which is a ZIP file"),
            (b"no egg at all", "this is not an egg, which is a ZIP file"),
            (made()[:-60], "this is not an egg, which is a ZIP file"),
            (made().replace(b"One(scrapy", b"Two(scrapy"), "the egg is damaged at cars/spiders/one.py"),
            (made(cars__spiders__one="def broken(:\n"), "its spiders cannot be imported: SyntaxError: invalid syntax"),
            (made(cars__spiders__one="import not_installed\n"), "ModuleNotFoundError: No module named 'not_installed'"),
            (made(cars__settings="SPIDER_MODULES = []\n"), "there is no spider in this egg, as cars.settings has them"),
            (made(cars__settings=None), "No module named 'cars.settings'"),
        ],
        0,
        3,
        4,
    ),
)
def test_what_a_node_would_refuse_is_refused_here(content: bytes, says: str) -> None:
    with pytest.raises(EggError) as raised:
        egg.spiders(content)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("points", [None, "[console_scripts]\na = b:c\n", "settings\n", "\xff"])
def test_an_egg_that_is_no_scrapy_project_is_refused(points: str | None) -> None:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        archive.writestr("cars/__init__.py", "")
        if points is not None:
            archive.writestr("EGG-INFO/entry_points.txt", points.encode("latin-1"))
    with pytest.raises(EggError, match="this egg names no Scrapy project"):
        egg.spiders(found.getvalue())
