"""The stand-in for the photo side: the list of a lot's photos, the CDN and the members' site, on loopback.

    python -m standin.photos serve --seed 1 --alias 45000002=45000001

The addresses go to standard output as one line of JSON. Everything comes from a seed: the same arguments give the same
photos, under the same paths.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from standin.core import add_port, serve_command, serve_parser
from standin.photos.pages import CONSENTS, LAYOUTS
from standin.photos.server import PhotoServer

if TYPE_CHECKING:
    from collections.abc import Sequence


def pair(text: str) -> tuple[int, int]:
    """`45000002=45000001` as two lots."""
    lot, _, earlier = text.partition("=")
    return int(lot), int(earlier)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 done, 1 failed, 2 wrong usage."""
    parser, serve = serve_parser("photos", "A stand-in for the photo side: lists, photos, lot pages.")
    serve.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, other photos (%(default)s)")
    for name in ("api", "cdn", "site"):
        add_port(serve, f"--{name}-port")
    serve.add_argument("--username", default="stand-in-member", help="who may log in (%(default)s)")
    serve.add_argument("--password", default="stand-in-password", help="and with what (%(default)s)")
    serve.add_argument("--consent", choices=CONSENTS, default="before", help="where the popup appears (%(default)s)")
    serve.add_argument("--layout", choices=LAYOUTS, help="how galleries are built (each lot has its own)")
    serve.add_argument(
        "--empty-every",
        type=int,
        default=50,
        metavar="N",
        help="one lot in N has photos on its page only (%(default)s)",
    )
    serve.add_argument(
        "--none-every", type=int, default=97, metavar="N", help="one lot in N has none yet (%(default)s)"
    )
    serve.add_argument(
        "--alias",
        type=pair,
        action="append",
        default=[],
        metavar="LOT=EARLIER",
        help="a vehicle that is back with the photos of an earlier lot; repeatable",
    )
    options = parser.parse_args(arguments)

    def make() -> PhotoServer:
        return PhotoServer(
            seed=options.seed,
            host=options.host,
            api_port=options.api_port,
            cdn_port=options.cdn_port,
            site_port=options.site_port,
            username=options.username,
            password=options.password,
            consent=options.consent,
            layout=options.layout,
            empty_every=options.empty_every,
            none_every=options.none_every,
            alias=dict(options.alias),
        )

    return serve_command("photos", make, PhotoServer.addresses)


if __name__ == "__main__":
    sys.exit(main())
