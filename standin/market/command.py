"""The stand-in for the classifieds site: lists of ads and pages of single ads, on loopback.

    python -m standin.market serve --seed 1 --ads 7600 --make-ads bmw=3001
    python -m standin.market serve --market real --speed 60

The URLs go to standard output as one line of JSON. All content is generated from a seed: the same arguments give the
same ads, in the same order.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

from standin.core import add_port, serve_command, serve_parser
from standin.market.cycles import NOW, AdMarket
from standin.market.live import LiveMarket
from standin.market.pages import LAYOUTS
from standin.market.real import FOLLOWED, NEW_A_DAY
from standin.market.server import REGION_SOURCES, MarketServer

if TYPE_CHECKING:
    from collections.abc import Sequence


def size(text: str) -> tuple[str, int]:
    """Parse `bmw=3001` as a make and a number of ads. Raises ValueError."""
    make, _, number = text.partition("=")
    return make, int(number)


def moment(text: str) -> datetime:
    """Parse an ISO 8601 time with UTC offset. Raises ValueError, also for a time without offset."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        message = f"{text} has no offset from UTC: write {text}+00:00"
        raise ValueError(message)
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    parser, serve = serve_parser("market", "A stand-in for the classifieds site: lists and ads.")
    serve.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the ads (%(default)s)")
    serve.add_argument(
        "--market",
        choices=("small", "real"),
        default="small",
        help="small: changes by cycles on demand; real: 129,431 ads that come, change and go by a clock (%(default)s)",
    )
    serve.add_argument(
        "--ads",
        type=int,
        default=None,
        metavar="N",
        help=f"ads of the twenty makes (7600, of a real market {FOLLOWED})",
    )
    serve.add_argument(
        "--speed", type=float, default=0.0, metavar="X", help="clock of a real market: 1 is real time (%(default)s)"
    )
    serve.add_argument("--new-a-day", type=int, metavar="N", help=f"new ads in a real market ({NEW_A_DAY})")
    serve.add_argument(
        "--make-ads", type=size, action="append", default=[], metavar="MAKE=N", help="ads of one make; repeatable"
    )
    serve.add_argument(
        "--others", type=int, default=0, metavar="N", help="further ads, of makes that are not followed (%(default)s)"
    )
    serve.add_argument(
        "--without-region", type=float, default=0.0, metavar="SHARE", help="ads that name no region (%(default)s)"
    )
    serve.add_argument(
        "--regions-in",
        choices=REGION_SOURCES,
        nargs="*",
        default=REGION_SOURCES,
        help="where the slugs of regions are shown (all of them)",
    )
    serve.add_argument("--layout", choices=LAYOUTS, default="plain", help="HTML variant of the lists (%(default)s)")
    serve.add_argument("--page-limit", type=int, default=150, metavar="N", help="most pages of a list (%(default)s)")
    serve.add_argument(
        "--repeats", type=int, default=2, metavar="N", help="promoted ads repeated per page (%(default)s)"
    )
    serve.add_argument("--now", type=moment, default=NOW, metavar="TIME", help="start time of the market (%(default)s)")
    serve.add_argument("--vin", metavar="VIN", help="name this VIN in the ad of a BMW 330")
    add_port(serve)
    options = parser.parse_args(arguments)

    def make() -> MarketServer:
        live = None
        if options.market == "real":
            ads = FOLLOWED if options.ads is None else options.ads
            live = LiveMarket(
                seed=options.seed, ads=ads, new_a_day=options.new_a_day, now=options.now, speed=options.speed
            )
        server = MarketServer(
            seed=options.seed,
            ads=7600 if options.ads is None else options.ads,
            make_ads=dict(options.make_ads),
            others=options.others,
            without_region=options.without_region,
            regions_in=options.regions_in,
            layout=options.layout,
            page_limit=options.page_limit,
            repeats=options.repeats,
            now=options.now,
            market=live,
            host=options.host,
            port=options.port,
        )
        if options.vin and isinstance(server.market, AdMarket):
            server.market.name_vin(options.vin)
        return server

    return serve_command("market", make, MarketServer.addresses)


if __name__ == "__main__":
    sys.exit(main())
