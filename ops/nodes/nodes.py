"""`vinops nodes …`: crawls over several scrapyd nodes. Leases and budgets in PostgreSQL make them one crowd."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from uuid import uuid4

import typer

from ops.nodes import egg as eggs
from ops.nodes.scrapyd import NodeError, NodeSilent, nodes_of
from ops.show import tables
from ops.workers import registry as workers
from vinops import config
from vinops.db import database
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ops.nodes.scrapyd import Job, Node
    from vinops.config import Settings

T = TypeVar("T")

ALIVE: Final = ("pending", "running")
OURS: Final = frozenset({"project", "spider", "jobid", "setting", "priority", "_version"})
"""What scrapyd takes for itself: no -a may be called so."""

app = typer.Typer(help="Crawls over several scrapyd nodes: VINOPS_SCRAPYD_NODES names them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OnNode = Annotated[list[str] | None, typer.Option("--node", help="This node only; may be given more than once.")]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A crawl to be started: which worker it is, and what it is told."""

    worker: str
    spider: str
    arguments: Mapping[str, str]

    @property
    def job(self) -> str:
        """A new id for its job, by which it is known for this worker's."""
        return f"{prefix(self.worker)}{uuid4().hex[:12]}"


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """What came of one: `problem` is why it was not scheduled, or why that is not known."""

    worker: str
    node: str | None = None
    job: str | None = None
    problem: str | None = None


def prefix(worker: str) -> str:
    """Return how the ids of a worker's jobs begin: running jobs are listed without their arguments."""
    return f"{worker}-" if worker == workers.PHOTOS else f"worker_{worker}-"


@app.command("list")
def list_nodes(*, on: OnNode = None, as_json: AsJson = False) -> None:
    """Show how the nodes are. Exits with 1 if one does not answer."""
    settings = _settings()
    nodes = _nodes(settings, on)
    found = _ask(nodes, lambda node: node.standing())
    rows = [
        {
            "node": node.name,
            "address": node.address,
            "state": "trouble" if isinstance(each, NodeError) else "up",
            **({"pending": None, "running": None, "finished": None, "version": None} | _values(each)),
        }
        for node, each in zip(nodes, found, strict=True)
    ]
    problems = _problems(found)
    _show(rows, as_json=as_json)
    _end(problems)


@app.command()
def jobs(
    *,
    on: OnNode = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that ended too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs that wait or run. Exits with 1 if a node does not answer; the others' are listed."""
    found = _ask(_nodes(_settings(), on), lambda node: node.jobs())
    listed = [job for each in found if not isinstance(each, NodeError) for job in each]
    _show([asdict(job) for job in listed if everything or job.state in ALIVE], as_json=as_json, nothing="no jobs")
    _end(_problems(found))


@app.command()
def schedule(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="[N]...", help="1 to 4, or photos; default: the market workers.", show_default=False),
    ] = None,
    *,
    on: OnNode = None,
    batch: Annotated[int, typer.Option(min=1, help="Lots of one photo crawl.")] = 500,
    crawls: Annotated[int | None, typer.Option(min=1, help="Photo crawls; default: one a node.")] = None,
    arguments: Annotated[list[str] | None, typer.Option("-a", metavar="NAME=VALUE", help="As of scrapy crawl.")] = None,
    options: Annotated[list[str] | None, typer.Option("-s", metavar="NAME=VALUE", help="As of scrapy crawl.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have the nodes run crawls: each market worker once, wherever it is, and photo crawls on all of them.

    What is least busy gets the next. Exits with 1 if a node does not answer or something was not scheduled; the rest
    is then on the nodes that do. If this process dies, what is scheduled is: `vinops nodes jobs` lists it.
    """
    settings = _settings()
    known = workers.names(settings)
    if unknown := [name for name in chosen or () if name not in known]:
        raise typer.BadParameter(f"{unknown[0]} is no worker: use {', '.join(known)}")
    which = list(dict.fromkeys(chosen)) if chosen else [name for name in known if name != workers.PHOTOS]
    own = _pairs("-a", arguments)
    _pairs("-s", options)
    if reserved := sorted(OURS & set(own)):
        raise typer.BadParameter(f"-a {reserved[0]} is scrapyd's own word")
    nodes = _nodes(settings, on)
    with database.connect(settings, application="vinops nodes", autocommit=True) as connection:
        connection.execute(database.queries("nodes")["lock_scheduling"])
        # All nodes, also those that nothing is to be put on: a worker may run there.
        everywhere = _nodes(settings, None)
        found = _ask(everywhere, lambda node: node.jobs())
        alive = [job for each in found if not isinstance(each, NodeError) for job in each if job.state in ALIVE]
        up = {node.name for node, each in zip(everywhere, found, strict=True) if not isinstance(each, NodeError)}
        nodes = [node for node in nodes if node.name in up]
        running = workers.elsewhere(connection, which)
        taken = [name for name in which if _is_taken(name, running, alive)]
        outcomes = [_refusal(name, running.get(name), alive) for name in taken]
        wanted = [name for name in which if name not in taken]
        plans = _plans(wanted, own, batch=batch, crawls=crawls or max(1, len(nodes)))
        outcomes += _spread(nodes, plans, options or [], Counter(job.node for job in alive))
    _show([asdict(each) for each in outcomes], as_json=as_json, nothing="nothing was scheduled")
    _end(_problems(found) + [each.problem for each in outcomes if each.problem])


@app.command()
def cancel(
    chosen: Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="Ids, as `jobs` lists them.")] = None,
    *,
    on: OnNode = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait or run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell jobs to end, as Ctrl-C does: each ends its page and gives back what it had. Those that wait never begin."""
    if bool(chosen) == everything:
        raise typer.BadParameter("name jobs, or give --all")
    nodes = _nodes(_settings(), on)
    found = _ask(nodes, lambda node: node.jobs())
    listed = [job for each in found if not isinstance(each, NodeError) for job in each if job.state in ALIVE]
    wanted = [job for job in listed if everything or job.id in (chosen or ())]
    by_name = {node.name: node for node in nodes}
    rows, problems = [], _problems(found)
    for job in wanted:
        try:
            was = by_name[job.node].cancel(job.id)
        except NodeError as error:
            problems.append(str(error))
        else:
            rows.append({"node": job.node, "job": job.id, "spider": job.spider, "was": was})
    missing = sorted(set(chosen or ()) - {job.id for job in wanted})
    problems += [f"no node that answers has a job {job} that waits or runs: see `vinops nodes jobs`" for job in missing]
    _show(rows, as_json=as_json, nothing="nothing was cancelled")
    _end(problems)


@app.command()
def deploy(
    *,
    on: OnNode = None,
    file: Annotated[
        Path | None,
        typer.Option("--egg", help="An egg of `scrapyd-deploy --build-egg`; default: one of this checkout."),
    ] = None,
    version: Annotated[str | None, typer.Option("--version", help="Default: the time, in seconds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give the nodes the egg that later jobs run from. Exits with 1 if one has not got it."""
    settings = _settings()
    nodes = _nodes(settings, on)
    try:
        egg = file.read_bytes() if file else eggs.build()
    except (OSError, eggs.EggError) as error:
        _fail(str(error))
    name = version or str(int(time.time()))  # as scrapyd-deploy does: the newest version is the one that runs
    found = _ask(nodes, lambda node: node.deploy(egg, name))
    rows = [
        {"node": node.name, "version": name, "bytes": len(egg), "spiders": each}
        for node, each in zip(nodes, found, strict=True)
        if not isinstance(each, NodeError)
    ]
    _show(rows, as_json=as_json, nothing="no node has got it")
    _end(_problems(found))


def _is_taken(worker: str, running: Mapping[str, str], alive: Sequence[Job]) -> bool:
    """Tell whether there may be no more of a worker. Photo crawls share their work by leases: any number may run."""
    return worker != workers.PHOTOS and (worker in running or any(job.id.startswith(prefix(worker)) for job in alive))


def _refusal(worker: str, where: str | None, alive: Sequence[Job]) -> Scheduled:
    job = next((job for job in alive if job.id.startswith(prefix(worker))), None)
    how = f"it is {job.state} on node {job.node} as {job.id}" if job else f"it runs already, as {where}"
    return Scheduled(worker=worker, problem=f"worker {worker} was not scheduled: {how}")


def _plans(wanted: Sequence[str], own: Mapping[str, str], *, batch: int, crawls: int) -> list[Planned]:
    plans = [
        Planned(worker=name, spider="mobile_bg", arguments={"worker": name, **own})
        for name in wanted
        if name != workers.PHOTOS
    ]
    if workers.PHOTOS in wanted:
        told = {"batch": str(batch), **own}
        plans += [Planned(worker=workers.PHOTOS, spider="lot_photos", arguments=told)] * crawls
    return plans


def _spread(
    nodes: Sequence[Node], plans: Sequence[Planned], options: Sequence[str], busy: Counter[str]
) -> list[Scheduled]:
    """Put each on the node that has least to do; one that fails gets nothing more, and the next best is tried. Not if
    it may have been scheduled nevertheless: two of a worker would run."""
    left = {node.name: node for node in nodes}
    outcomes = []
    for plan in plans:
        outcome = Scheduled(worker=plan.worker, problem=f"no node is left for {plan.spider}: see `vinops nodes list`")
        while left:
            node = min(left.values(), key=lambda each: busy[each.name])  # of equals the first
            job = plan.job
            try:
                outcome = Scheduled(
                    worker=plan.worker,
                    node=node.name,
                    job=node.schedule(plan.spider, job, plan.arguments, options),
                )
                busy[node.name] += 1
                break
            except NodeError as error:
                del left[node.name]
                outcome = Scheduled(worker=plan.worker, node=node.name, job=job, problem=str(error))
                if isinstance(error, NodeSilent):
                    break
        outcomes.append(outcome)
    return outcomes


def _ask(nodes: Sequence[Node], what: Callable[[Node], T]) -> list[T | NodeError]:
    """Ask all nodes at once; one that fails keeps nobody from asking the others."""

    def one(node: Node) -> T | NodeError:
        try:
            return what(node)
        except NodeError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        return list(pool.map(one, nodes))


def _problems(found: Sequence[object]) -> list[str]:
    return [str(each) for each in found if isinstance(each, NodeError)]


def _values(found: object) -> dict[str, Any]:
    return {} if isinstance(found, NodeError) else asdict(found)  # type: ignore[call-overload]


def _pairs(name: str, given: Sequence[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{name} {each} is no NAME=VALUE")
        pairs[key] = value
    return pairs


def _nodes(settings: Settings, on: Sequence[str] | None) -> list[Node]:
    """Return the nodes, or those of these names. Raises ConfigError if there are none."""
    found = nodes_of(settings)
    if not found:
        raise config.ConfigError(
            "VINOPS_SCRAPYD_NODES names no node: write name=address, as in `one=http://127.0.0.1:6800`"
        )
    names = [node.name for node in found]
    if unknown := [name for name in on or () if name not in names]:
        raise typer.BadParameter(f"{unknown[0]} is no node: use {', '.join(names)}")
    return [node for node in found if not on or node.name in on]


def _show(rows: Sequence[dict[str, Any]], *, as_json: bool, nothing: str = "") -> None:
    if as_json:
        typer.echo(json.dumps(rows))
    elif rows:
        write = tables.write_rich if sys.stdout.isatty() else _write_plain
        write(list(rows[0]), [tuple(row.values()) for row in rows])
    elif nothing:
        typer.echo(nothing, err=True)


def _write_plain(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    tables.write_plain(sys.stdout, names, rows)


def _end(problems: Sequence[str]) -> None:
    for problem in dict.fromkeys(problems):
        typer.echo(f"vinops: {redact(problem)}", err=True)
    if problems:
        raise typer.Exit(1)


def _fail(message: str) -> None:
    typer.echo(f"vinops: {redact(message)}", err=True)
    raise typer.Exit(1)


def _settings() -> Settings:
    settings = config.load()
    remember(settings)
    return settings
