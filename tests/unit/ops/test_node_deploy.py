"""An egg is on every node or on none: one that a node refuses is taken back, and jobs run from the egg before it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from ops.nodes.deploy import deploy
from tests.support.fake_scrapyd import FakeScrapyd

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def nodes() -> Iterator[list[FakeScrapyd]]:
    """Two nodes that have run with version 7."""
    with ExitStack() as stack:
        yield [stack.enter_context(FakeScrapyd(name=name, versions=["7"])) for name in ("one", "two")]


def given(nodes: list[FakeScrapyd], version: str = "8") -> tuple[list[int], list[str]]:
    return deploy([node.client for node in nodes], b"an egg", version)


def test_every_node_gets_it(nodes: list[FakeScrapyd]) -> None:
    assert given(nodes) == ([2, 2], [])
    assert [node.versions for node in nodes] == [["7", "8"], ["7", "8"]]


def test_what_one_node_refuses_no_node_keeps(nodes: list[FakeScrapyd]) -> None:
    nodes[1].refuses_eggs = True
    counts, problems = given(nodes)
    assert counts == []
    assert problems == [
        "node two says: SyntaxError: invalid syntax",
        "version 8 was taken back from every node: jobs run from the egg that they had before",
    ]
    assert [node.versions for node in nodes] == [["7"], ["7"]]
    assert [node.client.versions()[-1] for node in nodes] == ["7", "7"], "what `nodes list` shows"


def test_a_node_that_does_not_take_it_back_is_named(nodes: list[FakeScrapyd]) -> None:
    nodes[1].refuses_eggs = nodes[1].refuses_removals = True
    _, problems = given(nodes)
    assert problems[-1] == (
        "node two says: OSError: Read-only file system; version 8 may be there still, and jobs would run from it: "
        "deploy an egg that is accepted"
    )
    assert [node.versions for node in nodes] == [["7"], ["7", "8"]]


def test_nothing_is_sent_while_a_node_is_away(nodes: list[FakeScrapyd]) -> None:
    nodes[1].server.shutdown()
    nodes[1].server.server_close()
    counts, problems = given(nodes)
    assert counts == []
    assert "node two is down (Connection refused)" in problems[0]
    assert "`--node` deploys to those that answer" in problems[1]
    assert "addversion.json" not in nodes[0].asked
    nodes[1].server.server_close()


def test_a_version_that_a_node_has_is_not_replaced_and_so_never_removed(nodes: list[FakeScrapyd]) -> None:
    nodes[0].versions.append("1_2")
    for version in ("7", "1.2"):
        counts, problems = given(nodes, version)
        assert counts == []
        assert "already: give another one with --version" in problems[0]
    assert [node.versions for node in nodes] == [["7", "1_2"], ["7"]]
    assert not {"addversion.json", "delversion.json"} & {*nodes[0].asked, *nodes[1].asked}
