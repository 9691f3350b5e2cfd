"""`scrapy list`, whose reader may close the pipe early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.commands import list as scrapys

from vinops.output import for_reader

if TYPE_CHECKING:
    import argparse


class Command(scrapys.Command):
    """Lists the spiders."""

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Print their names."""
        for_reader(lambda: super(Command, self).run(args, opts), enough=None)
