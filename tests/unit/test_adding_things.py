"""The examples of CONTRIBUTING.md, "Adding things": they fit the files they name; tests/integration proves them."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tools.adding_things import (
    MOST_PLACES,
    PROOFS,
    ROOT,
    AddingError,
    Block,
    blocks,
    places,
    read_block,
    sections,
)

SECTIONS = sections((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def written(folder: Path, text: str, *applied: Block) -> str:
    """Return a file of a copy after blocks were applied to it."""
    (folder / "a.py").write_text(text)
    for block in applied:
        block.apply(folder)
    return (folder / "a.py").read_text()


def test_every_change_has_a_section_and_a_proof() -> None:
    assert set(MOST_PLACES) == set(PROOFS) <= set(SECTIONS)


@pytest.mark.parametrize("name", MOST_PLACES)
def test_an_example_fits_the_files_it_names_and_touches_few(name: str, tmp_path: Path) -> None:
    found = blocks(SECTIONS[name])
    for path in {block.path for block in found if (ROOT / block.path).exists()}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for block in found:
        block.apply(tmp_path)
    assert 1 <= len(places(found)) <= MOST_PLACES[name]
    for path in tmp_path.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))


def test_a_block_that_begins_with_a_path_is_a_new_file() -> None:
    assert read_block("# a/b.py\nx = 1\n") == Block(path="a/b.py", text="x = 1\n", is_new=True)
    assert read_block("-- a/b.sql\nselect 1\n") == Block(path="a/b.sql", text="select 1\n", is_new=True)
    assert read_block('// a/b.json\n{"a": 1}\n') == Block(path="a/b.json", text='{"a": 1}\n', is_new=True)
    assert read_block("<!-- a/b.html -->\n<p>\n") == Block(path="a/b.html", text="<p>\n", is_new=True)
    assert read_block("# .env.example: add\nA=1\n") == Block(path=".env.example", text="A=1\n", is_new=False)


@pytest.mark.parametrize("text", ["make test\n", "# a comment\nx = 1\n", "", "insert into staging.codes\n"])
def test_another_block_is_none(text: str) -> None:
    assert read_block(text) is None


def test_lines_go_behind_the_line_that_is_named_by_those_before_it(tmp_path: Path) -> None:
    block = read_block("# a.py: add\n# after: def b():\n# after: return 1\n    # more\n")
    assert block is not None
    text = "def a():\n    return 1\n\ndef b():\n    return 1\n"
    assert written(tmp_path, text, block) == text + "    # more\n"


def test_lines_without_a_place_go_to_the_end(tmp_path: Path) -> None:
    assert written(tmp_path, "x = 1\n", Block(path="a.py", text="y = 2\n", is_new=False)) == "x = 1\ny = 2\n"


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (Block(path="a.py", text="", is_new=True), "exists"),
        (Block(path="b.py", text="", is_new=False), "no such file"),
        (Block(path="a.py", text="", is_new=False, after=("z = 3",)), "no line `z = 3`"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(block: Block, says: str, tmp_path: Path) -> None:
    with pytest.raises(AddingError, match=says):
        written(tmp_path, "x = 1\n", block)
