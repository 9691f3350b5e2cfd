"""`vinops nodes …`: crawls over several scrapyd nodes. Leases and budgets in PostgreSQL let them share the work."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.commands.workers import AsJson, Names, chosen_programs, load_settings
from ops.nodes import egg as eggs
from ops.nodes.deploy import deploy as deploy_egg
from ops.nodes.schedule import RESERVED, Order, ask, jobs_of, schedule as schedule_crawls, unfinished
from ops.nodes.scrapyd import NodeError, nodes_of
from ops.show import tables
from vinops import config
from vinops.db import database
from vinops.output import at_work
from vinops.redaction import redact
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.nodes.scrapyd import Node
    from vinops.config import Settings

ASKING = "asking the nodes"
LOAD = ("pending", "running", "finished", "version")

app = typer.Typer(help="Crawls over several scrapyd nodes: VINOPS_SCRAPYD_NODES names them.", no_args_is_help=True)

OnNode = Annotated[list[str] | None, typer.Option("--node", help="This node only; may be given more than once.")]


@app.command("list")
def list_nodes(*, on: OnNode = None, as_json: AsJson = False) -> None:
    """Show the state of the nodes. Exits with 1 if one does not answer."""
    settings = load_settings()
    nodes = _nodes(settings, on)
    with at_work(ASKING):
        found = ask(nodes, lambda node: node.load())
    rows = [
        {
            "node": node.name,
            "address": node.address,
            "state": "trouble" if isinstance(each, NodeError) else "up",
            **(dict.fromkeys(LOAD) if isinstance(each, NodeError) else asdict(each)),
        }
        for node, each in zip(nodes, found, strict=True)
    ]
    _show(rows, as_json=as_json)
    _end([str(each) for each in found if isinstance(each, NodeError)])


@app.command()
def jobs(
    *,
    on: OnNode = None,
    everything: Annotated[bool, typer.Option("--all", help="Include jobs that have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs that wait or run. Exits with 1 if a node does not answer; the others' are listed."""
    nodes = _nodes(load_settings(), on)
    with at_work(ASKING):
        listed, problems = jobs_of(nodes) if everything else unfinished(nodes)
    _show([asdict(job) for job in listed], as_json=as_json, nothing="" if problems else "no jobs")
    _end([*problems.values()])


@app.command()
def schedule(
    chosen: Names = None,
    *,
    on: OnNode = None,
    batch: Annotated[int, typer.Option(min=1, help="Lots of one photo crawl.")] = 500,
    crawls: Annotated[int | None, typer.Option(min=1, help="Photo crawls; default: one a node.")] = None,
    arguments: Annotated[
        list[str] | None, typer.Option("-a", metavar="NAME=VALUE", help="Passed on to scrapy crawl.")
    ] = None,
    options: Annotated[
        list[str] | None, typer.Option("-s", metavar="NAME=VALUE", help="Passed on to scrapy crawl.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have the nodes run crawls: each market worker once, wherever it is, and photo crawls on all of them.

    The least busy node gets the next. Exits with 1 if a node does not answer or something was not scheduled; the rest
    is then on the nodes that do. If this process dies, what is scheduled is: `vinops nodes jobs` lists it.
    """
    settings = load_settings()
    own = _pairs("-a", arguments)
    _pairs("-s", options)
    if reserved := sorted(RESERVED & set(own)):
        raise typer.BadParameter(f"-a {reserved[0]} is reserved by scrapyd")
    order = Order(
        programs=chosen_programs(settings, chosen), arguments=own, options=options or [], batch=batch, crawls=crawls
    )
    nodes = _nodes(settings, on)
    with (
        at_work("giving the crawls to the nodes"),
        database.connect(settings, application="vinops nodes", autocommit=True) as connection,
    ):
        # Of all nodes, also those that get nothing: a worker may run there.
        outcomes, problems = schedule_crawls(connection, order, _nodes(settings, None), nodes)
    _show([asdict(each) for each in outcomes], as_json=as_json, nothing="nothing was scheduled")
    _end(problems + [each.problem for each in outcomes if each.problem])


@app.command()
def cancel(
    chosen: Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="Ids, as `jobs` lists them.")] = None,
    *,
    on: OnNode = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait or run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop jobs, as Ctrl-C does: each finishes its page and releases its leases. Waiting jobs are removed."""
    if bool(chosen) == everything:
        raise typer.BadParameter("name jobs, or give --all")
    nodes = _nodes(load_settings(), on)
    with at_work(ASKING):
        listed, failed = unfinished(nodes)
    wanted = [job for job in listed if everything or job.id in (chosen or ())]
    by_name = {node.name: node for node in nodes}
    rows, problems = [], [*failed.values()]
    for job in wanted:
        try:
            with at_work(ASKING):
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
    """Give the nodes the egg that later jobs run from: all of them or none. Exits with 1 if none has got it.

    The egg is checked here first, and taken back from every node if one refuses it.
    """
    settings = load_settings()
    nodes = _nodes(settings, on)
    try:
        with at_work("building the egg"):
            egg = file.read_bytes() if file else eggs.build()
            eggs.spiders(egg)
    except OSError as error:
        _end([f"{error.filename or file}: {error.strerror}: give an egg with --egg, or none to build it here"])
    except eggs.EggError as error:
        _end([str(error)])
    name = version or str(int(time.time()))  # as scrapyd-deploy does: the newest version is the one that runs
    with at_work("sending the egg to the nodes"):
        counts, problems = deploy_egg(nodes, egg, name)
    rows = [
        {"node": node.name, "version": name, "bytes": len(egg), "spiders": count}
        for node, count in zip(nodes, counts, strict=False)
    ]
    _show(rows, as_json=as_json)
    _end(problems)


def _pairs(name: str, given: Sequence[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{name} {each} is not NAME=VALUE")
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
        raise typer.BadParameter(f"{unknown[0]} is not a node: use {', '.join(names)}")
    return [node for node in found if not on or node.name in on]


def _show(rows: Sequence[dict[str, Any]], *, as_json: bool, nothing: str = "") -> None:
    if as_json:
        typer.echo(json.dumps(rows))
    elif rows:
        tables.write_objects(rows, as_json=False)
    elif nothing:
        typer.echo(nothing, err=True)


def _end(problems: Sequence[str]) -> None:
    for problem in dict.fromkeys(problems):
        typer.echo(f"vinops: {printable(redact(problem))}", err=True)
    if problems:
        raise typer.Exit(1)
