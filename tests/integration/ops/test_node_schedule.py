"""Which crawls go to which scrapyd node, with nodes of a test; real nodes are in test_nodes.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from ops.nodes.schedule import Order, Scheduled, schedule
from ops.nodes.scrapyd import Job, Node, NodeError, NodeSilent
from ops.workers import registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from vinops.config import Settings


@dataclass(kw_only=True)
class StandIn:
    """A node with so many jobs, which takes more of them or fails."""

    name: str
    listed: list[Job] = field(default_factory=list)
    failure: NodeError | None = None
    is_down: bool = False
    taken: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def jobs(self) -> list[Job]:
        """List its jobs."""
        if self.is_down and self.failure is not None:
            raise self.failure
        return self.listed

    def schedule(self, spider: str, job: str, arguments: Mapping[str, str], _: Sequence[str]) -> str:
        """Take a job."""
        self.taken.append((spider, arguments))
        if self.failure is not None:
            raise self.failure
        return job


def job(node: str, name: str) -> Job:
    """A job that runs."""
    return Job(node=node, id=name, spider="mobile_bg", state="running")


@pytest.fixture
def put(settings: Settings, database: Connection[Any]) -> Any:
    """Schedules these workers on these nodes."""

    def put(nodes: Sequence[StandIn], *names: str, crawls: int | None = None) -> tuple[list[Scheduled], list[str]]:
        programs = registry.chosen(settings, names)
        order = Order(programs=programs, arguments={"pages": "2"}, options=[], batch=50, crawls=crawls)
        found = cast("list[Node]", nodes)
        return schedule(database, order, found, found)

    return put


def test_the_least_busy_node_gets_the_next_and_photo_crawls_come_last(put: Any) -> None:
    one, two = StandIn(name="one", listed=[job("one", "worker_4-a")]), StandIn(name="two")
    outcomes, problems = put([one, two], "photos", "1", "2")
    assert problems == []
    assert [(each.worker, each.node, each.problem) for each in outcomes] == [
        ("1", "two", None),
        ("2", "one", None),
        ("photos", "two", None),
        ("photos", "one", None),
    ]
    assert outcomes[0].job.startswith("worker_1-")
    assert two.taken[0] == ("mobile_bg", {"worker": "1", "pages": "2"})
    assert two.taken[1] == ("lot_photos", {"batch": "50", "pages": "2"})


def test_a_worker_that_runs_on_a_node_or_a_machine_is_not_scheduled_again(put: Any, database: Connection[Any]) -> None:
    database.execute("insert into ops.crawl_runs (spider, worker, machine, pid) values ('mobile_bg', '2', 'far', 7)")
    node = StandIn(name="one", listed=[job("one", "worker_1-a"), job("one", "photos-b")])
    outcomes, _ = put([node], "1", "2", "photos")
    assert [each.problem for each in outcomes] == [
        "worker 1 was not scheduled: it is running on node one as worker_1-a",
        "worker 2 was not scheduled: it runs already, as PID 7 on far",
        None,
    ]


def test_a_node_that_fails_gets_nothing_more_and_the_next_is_asked(put: Any) -> None:
    full, down = (
        StandIn(name="full", failure=NodeError("disk full")),
        StandIn(name="down", failure=NodeError("down"), is_down=True),
    )
    other = StandIn(name="other")
    outcomes, problems = put([full, down, other], "1", "2")
    assert [each.node for each in outcomes] == ["other", "other"]
    assert (len(full.taken), down.taken, problems) == (1, [], ["down"])


def test_what_a_silent_node_may_have_scheduled_is_not_scheduled_elsewhere(put: Any) -> None:
    silent, other = StandIn(name="a", failure=NodeSilent("no answer")), StandIn(name="b")
    (outcome,), _ = put([silent, other], "1")
    assert (outcome.node, outcome.problem, other.taken) == ("a", "no answer", [])
