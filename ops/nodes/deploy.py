"""Gives nodes an egg: all of them or none. scrapyd stores an egg before it reads it, and runs jobs from the newest
that is stored, so one that a node refused is taken back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ops.nodes.schedule import ask
from ops.nodes.scrapyd import NodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.nodes.scrapyd import Node

STORED: Final = re.compile(r"[^A-Za-z0-9_-]")
"""What scrapyd replaces by `_` in the name of a version."""


def deploy(nodes: Sequence[Node], egg: bytes, version: str) -> tuple[list[int], list[str]]:
    """Give the nodes an egg under a new version; return the number of its spiders on each, or no numbers and why no
    node has it now.

    Nothing is sent unless every node answers and none has the version. If this process dies in here some nodes may have
    the egg: `vinops nodes list` shows the version of each.
    """
    if problems := _obstacles(nodes, STORED.sub("_", version)):
        return [], [*problems, "no node has got the egg: `--node` deploys to those that answer"]
    found = ask(nodes, lambda node: node.deploy(egg, version))
    failed = [each for each in found if isinstance(each, NodeError)]
    if not failed:
        return [each for each in found if not isinstance(each, NodeError)], []
    kept = [each for each in ask(nodes, lambda node: node.remove(version)) if isinstance(each, NodeError)]
    problems = list(map(str, failed))
    if kept:
        text = f"version {version} may be there still, and jobs would run from it: deploy an egg that is accepted"
        problems += [f"{each}; {text}" for each in kept]
    else:
        problems.append(f"version {version} was taken back from every node: jobs run from the egg that they had before")
    return [], problems


def _obstacles(nodes: Sequence[Node], stored: str) -> list[str]:
    """Return why the egg cannot be sent to every node."""
    found = ask(nodes, lambda node: node.versions())
    problems = [str(each) for each in found if isinstance(each, NodeError)]
    return problems + [
        f"node {node.name} has a version {stored} already: give another one with --version"
        for node, each in zip(nodes, found, strict=True)
        if not isinstance(each, NodeError) and stored in each
    ]
