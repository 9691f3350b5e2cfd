"""The command `vinops demo`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from demo import demo, serve as demo_serve


def command(
    *,
    # Leaves room for broken rows above the fewest rows that a file must have (VINOPS_FEED_MIN_ROWS is 1,000).
    lots: Annotated[int, typer.Option(min=1250, max=1_000_000, help="How many lots the first file has.")] = 150_000,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over with an empty folder.")] = False,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Start the stand-ins and the site of the last demo, and keep them until Ctrl-C."),
    ] = False,
    page: Annotated[
        bool | None, typer.Option("--page/--no-page", help="Open the site at the end; default: on a terminal.")
    ] = None,
) -> None:
    """Run vinops end to end on this machine: database, stand-ins, feed, photos, market, deals, operators' queries."""

    is_page = sys.stdout.isatty() and sys.stdin.isatty() if page is None else page
    raise typer.Exit(demo_serve.serve() if serve else demo.run(lots, fresh=fresh, page=is_page))
