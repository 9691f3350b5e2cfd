"""`vinops nodes` on nodes that are stand-ins: what it prints, and how it ends."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from ops.nodes import egg
from tests.support import forks
from tests.support.fake_scrapyd import PASSWORD, FakeScrapyd

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def nodes() -> Iterator[list[FakeScrapyd]]:
    """Two nodes that have run with version 7."""
    with ExitStack() as stack:
        yield [stack.enter_context(FakeScrapyd(name=name, versions=["7"])) for name in ("one", "two")]


def run(
    nodes: list[FakeScrapyd], folder: Path, *arguments: str, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    about = {
        "VINOPS_SCRAPYD_NODES": ",".join(f"{node.name}={node.address}" for node in nodes),
        "VINOPS_SCRAPYD_PASSWORD": password,
        "VINOPS_DATA_DIR": str(folder),
    }
    return forks.vinops({**os.environ, **about}, "nodes", *arguments, cwd=folder)


def test_a_wrong_password_is_not_an_empty_list(nodes: list[FakeScrapyd], tmp_path: Path) -> None:
    locked = run(nodes, tmp_path, "jobs", password="another")
    assert (locked.returncode, locked.stdout) == (1, "")
    assert [line.partition(":")[0] for line in locked.stderr.splitlines()] == ["vinops", "vinops"]
    assert "node one refuses the password" in locked.stderr
    assert "no jobs" not in locked.stderr
    opened = run(nodes, tmp_path, "jobs")
    assert (opened.returncode, opened.stderr) == (0, "no jobs\n")


def test_an_egg_is_checked_before_any_node_is_asked(nodes: list[FakeScrapyd], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.egg"
    wrong.write_text("no egg")
    done = run(nodes, tmp_path, "deploy", "--egg", str(wrong))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vinops: this is not an egg, which is a ZIP file")
    folder = run(nodes, tmp_path, "deploy", "--egg", str(tmp_path))
    assert (folder.returncode, folder.stderr.count("\n")) == (1, 1)
    assert folder.stderr.startswith(f"vinops: {tmp_path}: Is a directory: give an egg")
    assert [node.asked for node in nodes] == [[], []]


@pytest.mark.slow
def test_the_egg_of_this_checkout_is_one_that_nodes_take() -> None:
    assert egg.spiders(egg.build()) == ["lot_photos", "mobile_bg"]
