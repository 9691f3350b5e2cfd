"""The stand-in for the member feed: a realistic salesdata.csv, the files that follow it, and files with errors.

    python -m standin.feed write sales.csv --rows 5000 --advance 1 --quirk inner_quotes
    python -m standin.feed serve --rows 5000
    python -m standin.feed serve --live --speed 60

All content is generated from a seed: the same arguments give the same bytes. A summary of what was written goes to
standard output as one line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from standin.feed.live import LOTS, NEW_A_DAY, LiveFeed
from standin.feed.lots import PHOTO_BASE
from standin.feed.market import DEFAULT_NOW, HEADERS, Advance, Market, Relisting
from standin.feed.pages import site_export
from standin.feed.quirks import QUIRKS, inject
from standin.feed.report import Report, Touch, Verdict
from standin.refusals import REFUSALS, refusal_page

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "HEADERS",
    "QUIRKS",
    "REFUSALS",
    "Advance",
    "Market",
    "Relisting",
    "Report",
    "Touch",
    "Verdict",
    "inject",
    "refusal_page",
    "site_export",
]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m standin.feed", description="A stand-in for the member feed: realistic files from a seed."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    market = argparse.ArgumentParser(add_help=False)
    market.add_argument("--rows", type=int, default=150_000, metavar="N", help="lots in the first file (%(default)s)")
    market.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the market's lots (%(default)s)")
    market.add_argument("--photo-url", default=PHOTO_BASE, metavar="URL", help="root of every Image URL (%(default)s)")
    market.add_argument("--thumbnail-url", metavar="URL", help="root of every Image Thumbnail (the real host)")
    text = "time of the first file; not of a live feed (%(default)s)"
    market.add_argument("--now", type=_moment, default=DEFAULT_NOW, metavar="TIME", help=text)
    text = "days from then to the first sales; not of a live feed (%(default)s)"
    market.add_argument("--sales-ahead", type=int, default=0, metavar="DAYS", help=text)
    market.add_argument(
        "--live", action="store_true", help="lots that each stay for nine days (the median), until sold"
    )
    market.add_argument(
        "--imports", type=date.fromisoformat, metavar="DAY", help="lots for the import deals among the first, sold then"
    )
    market.add_argument("--new-a-day", type=int, metavar="N", help=f"new lots of a live feed ({NEW_A_DAY} of {LOTS})")
    quirks = "\n".join(f"  {name:26}{(quirk.__doc__ or '').splitlines()[0]}" for name, quirk in QUIRKS.items())
    write = commands.add_parser(
        "write",
        parents=[market],
        help="write a feed file",
        description="Write a feed file, or the K-th file after it, and print what it holds as one line of JSON.",
        epilog=f"quirks:\n{quirks}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    write.add_argument("file", type=Path, metavar="FILE", help="where to write; an existing file is replaced")
    write.add_argument("--advance", type=int, default=0, metavar="K", help="write the K-th file after the first")
    for name, default in (
        ("changed", 0.01),
        ("new", 0.002),
        ("gone", 0.002),
        ("returned", 0.0005),
        ("relisted", 0.0005),
    ):
        text = f"share of the lots {name} in each advance (%(default)s)"
        write.add_argument(f"--{name}", type=float, default=default, metavar="SHARE", help=text)
    write.add_argument("--minutes", type=int, default=15, metavar="N", help="minutes between files (%(default)s)")
    write.add_argument("--header", choices=HEADERS, default="2026", help="header variant (%(default)s)")
    write.add_argument(
        "--quirk", choices=QUIRKS, action="append", default=[], metavar="NAME", help="see below; repeatable"
    )
    write.add_argument("--quirk-seed", type=int, default=1, metavar="S", help="where the quirks fall (%(default)s)")
    write.add_argument("--quirk-count", type=int, default=3, metavar="N", help="rows each quirk touches (%(default)s)")
    serve = commands.add_parser("serve", parents=[market], help="serve the feed on loopback until interrupted")
    serve.add_argument("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    serve.add_argument("--port", type=int, default=0, help="0 picks a free one (%(default)s)")
    serve.add_argument("--key", default="stand-in-key", help="the authKey the feed asks for (%(default)s)")
    serve.add_argument(
        "--speed", type=float, default=0.0, metavar="X", help="a file every quarter of an hour: 1 is real time (none)"
    )
    return parser


def _market(options: argparse.Namespace) -> Market:
    market = _drawn(options)
    if options.imports:
        market.plant(options.imports)
    return market


def _drawn(options: argparse.Namespace) -> Market:
    if options.live:
        return LiveFeed(
            seed=options.seed,
            lots=options.rows,
            new_a_day=options.new_a_day,
            photo_base=options.photo_url,
            thumbnail_base=options.thumbnail_url,
        )
    return Market(
        seed=options.seed,
        lots=options.rows,
        now=options.now,
        photo_base=options.photo_url,
        thumbnail_base=options.thumbnail_url,
        sales_ahead=options.sales_ahead,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def write_command(options: argparse.Namespace) -> dict[str, object]:
    """Write the file that the options describe and return a summary of its content."""
    began = time.perf_counter()
    market = _market(options)
    advances = [
        market.advance(
            changed=options.changed,
            new=options.new,
            gone=options.gone,
            returned=options.returned,
            relisted=options.relisted,
            minutes=options.minutes,
        ).counts()
        for _ in range(options.advance)
    ]
    result: dict[str, object] = {"file": str(options.file), "rows": len(market), "now": market.now.isoformat()}
    if options.quirk:
        buffer = io.BytesIO()
        market.write(buffer, header=options.header)
        data, report = inject(buffer.getvalue(), *options.quirk, seed=options.quirk_seed, count=options.quirk_count)
        options.file.write_bytes(data)
        result |= {"bytes": len(data), "quirks": report.summary()}
    else:
        result["bytes"] = market.write(options.file, header=options.header)
    result |= {"advances": advances, "seconds": round(time.perf_counter() - began, 3)}
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "serve":
            # Only the server needs aiohttp; the generator runs on the standard library alone.
            from standin.feed.server import serve_forever

            serve_forever(_market(options), host=options.host, port=options.port, key=options.key, speed=options.speed)
        else:
            sys.stdout.write(json.dumps(write_command(options)) + "\n")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"standin.feed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
