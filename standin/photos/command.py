"""The stand-in for the photo sources: the API that lists a lot's photos, the CDN and the members' site, on loopback.

    python -m standin.photos serve --seed 1 --alias 45000002=45000001

The URLs go to standard output as one line of JSON. All content is generated from a seed: the same arguments give the
same photos, under the same paths.
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
    """Parse `45000002=45000001` as two lot numbers. Raises ValueError."""
    lot, _, earlier = text.partition("=")
    return int(lot), int(earlier)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    parser, serve = serve_parser("photos", "A stand-in for the photo sources.")
    serve.add_argument("--seed", type=int, default=1, metavar="S", help="seed of all photos (%(default)s)")
    for name in ("api", "cdn", "site"):
        add_port(serve, f"--{name}-port")
    serve.add_argument("--username", default="stand-in-member", help="user name of the only member (%(default)s)")
    serve.add_argument("--password", default="stand-in-password", help="password of the member (%(default)s)")
    serve.add_argument("--consent", choices=CONSENTS, default="before", help="pages with a consent popup (%(default)s)")
    serve.add_argument("--layout", choices=LAYOUTS, help="HTML variant of all galleries (by lot number)")
    serve.add_argument(
        "--empty-every",
        type=int,
        default=50,
        metavar="N",
        help="one lot in N has photos only on its page (%(default)s)",
    )
    serve.add_argument(
        "--none-every", type=int, default=97, metavar="N", help="one lot in N has no photos (%(default)s)"
    )
    serve.add_argument("--tiny", action="store_true", help="photos of all sizes are as small as thumbnails")
    serve.add_argument(
        "--alias",
        type=pair,
        action="append",
        default=[],
        metavar="LOT=EARLIER",
        help="a lot with the photos of an earlier lot of the same vehicle; repeatable",
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
            tiny=options.tiny,
        )

    return serve_command("photos", make, PhotoServer.addresses)


if __name__ == "__main__":
    sys.exit(main())
