"""Shares crawls out over scrapyd nodes: a market worker once, wherever it runs; photo crawls on all of them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from ops.nodes.scrapyd import NodeError, NodeSilent
from ops.workers import runs
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import Connection

    from ops.nodes.scrapyd import Job, Node
    from ops.workers.registry import Program

T = TypeVar("T")

UNFINISHED: Final = ("pending", "running")
RESERVED: Final = frozenset({"project", "spider", "jobid", "setting", "priority", "_version"})
"""Fields of scrapyd's own: no -a may have such a name."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for: programs, their -a `arguments` and -s `options`, lots of a photo crawl and how many crawls."""

    programs: Sequence[Program]
    arguments: Mapping[str, str]
    options: Sequence[str]
    batch: int
    crawls: int | None


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """The result for a crawl: `problem` is why it was not scheduled, or why that is not known."""

    worker: str
    node: str | None = None
    job: str | None = None
    problem: str | None = None


def schedule(
    connection: Connection[Any], order: Order, everywhere: Sequence[Node], nodes: Sequence[Node]
) -> tuple[list[Scheduled], list[str]]:
    """Put crawls on `nodes`, a market worker only if it runs on none of `everywhere` and on no machine.

    The least busy node gets the next crawl. Returns the results and the errors of nodes. If this process dies,
    what is scheduled stays so.
    """
    connection.execute(queries("nodes")["lock_scheduling"])
    jobs, problems = unfinished(everywhere)
    nodes = [node for node in nodes if node.name not in problems]
    running = runs.elsewhere(connection, order.programs)
    outcomes, wanted = [], []
    for program in order.programs:
        if problem := _obstacle(program, running, jobs):
            text = f"worker {program.name} was not scheduled: {problem}"
            outcomes.append(Scheduled(worker=program.name, problem=text))
        else:
            wanted += [program] * ((order.crawls or max(1, len(nodes))) if program.is_shared else 1)
    wanted.sort(key=lambda program: program.is_shared)
    return outcomes + _spread(nodes, wanted, order, Counter(job.node for job in jobs)), list(problems.values())


def ask(nodes: Sequence[Node], what: Callable[[Node], T]) -> list[T | NodeError]:
    """Query all nodes at once; an error of one does not affect the others."""

    def one(node: Node) -> T | NodeError:
        try:
            return what(node)
        except NodeError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        return list(pool.map(one, nodes))


def jobs_of(nodes: Sequence[Node]) -> tuple[list[Job], dict[str, str]]:
    """Return the jobs of all nodes, and the errors of those that did not list theirs, by node."""
    found = dict(zip((node.name for node in nodes), ask(nodes, lambda node: node.jobs()), strict=True))
    problems = {name: str(each) for name, each in found.items() if isinstance(each, NodeError)}
    return [job for each in found.values() if not isinstance(each, NodeError) for job in each], problems


def unfinished(nodes: Sequence[Node]) -> tuple[list[Job], dict[str, str]]:
    """Return the jobs that wait or run, and the errors as above."""
    jobs, problems = jobs_of(nodes)
    return [job for job in jobs if job.state in UNFINISHED], problems


def _prefix(program: Program) -> str:
    """Return how the ids of a program's jobs begin: running jobs are listed without their arguments."""
    return f"{program.name if program.is_shared else program.key}-"


def _obstacle(program: Program, running: Mapping[str, str], jobs: Sequence[Job]) -> str | None:
    """Return why no more of a program may run, None if it may."""
    if program.is_shared:
        return None
    if job := next((job for job in jobs if job.id.startswith(_prefix(program))), None):
        return f"it is {job.state} on node {job.node} as {job.id}"
    where = running.get(program.name)
    return f"it runs already, as {where}" if where else None


def _spread(nodes: Sequence[Node], programs: Sequence[Program], order: Order, busy: Counter[str]) -> list[Scheduled]:
    """Put each on the least busy node. One that fails gets nothing more, and the next best is asked, unless the first
    may have scheduled the crawl nevertheless: it would run twice."""
    left = {node.name: node for node in nodes}
    outcomes = []
    for program in programs:
        spider = program.spider or ""
        batch = {"batch": str(order.batch)} if program.is_shared else {}
        arguments = {**program.arguments, **batch, **order.arguments}
        outcome = Scheduled(worker=program.name, problem=f"no node is left for {spider}: see `vinops nodes list`")
        while left:
            node = min(left.values(), key=lambda each: busy[each.name])  # of equals the first
            job = f"{_prefix(program)}{uuid4().hex[:12]}"
            try:
                job = node.schedule(spider, job, arguments, order.options)
            except NodeError as error:
                del left[node.name]
                outcome = Scheduled(worker=program.name, node=node.name, job=job, problem=str(error))
                if isinstance(error, NodeSilent):
                    break
            else:
                busy[node.name] += 1
                outcome = Scheduled(worker=program.name, node=node.name, job=job)
                break
        outcomes.append(outcome)
    return outcomes
