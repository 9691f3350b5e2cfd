"""The stand-in for the ECB's daily reference rates, on loopback.

    python -m standin.rates serve --usd 1.1 --port 8083

The address goes to standard output as one line of JSON: set ECB_RATES_URL to `url`.
"""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING

from standin.core import add_port, serve_command, serve_parser
from standin.rates.server import RatesServer

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    parser, serve = serve_parser("rates", "A stand-in for the ECB's daily reference rates.")
    serve.add_argument("--usd", default="1.1000", metavar="RATE", help="dollars for one euro (%(default)s)")
    serve.add_argument("--day", type=date.fromisoformat, metavar="DAY", help="the day of the rates (today, in UTC)")
    add_port(serve)
    options = parser.parse_args(arguments)

    def make() -> RatesServer:
        return RatesServer(usd=options.usd, day=options.day, host=options.host, port=options.port)

    return serve_command("rates", make, RatesServer.addresses)


if __name__ == "__main__":
    sys.exit(main())
