"""The command `vinops demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from demo import demo, serve as demo_serve


def command(
    *,
    # Leaves room for broken rows above the fewest rows that a file must have (VINOPS_FEED_MIN_ROWS is 1,000).
    lots: Annotated[int, typer.Option(min=1250, max=1_000_000, help="How many lots the first file has.")] = 150_000,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over with an empty folder.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Start the stand-ins of the last demo and keep them running until Ctrl-C.")
    ] = False,
) -> None:
    """Run vinops end to end on this machine: database, stand-ins, feed, photos, market, deals, operators' queries."""

    raise typer.Exit(demo_serve.serve() if serve else demo.run(lots, fresh=fresh))
