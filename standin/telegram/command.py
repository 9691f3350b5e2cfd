"""The stand-in for Telegram's HTTP API, on loopback.

    python -m standin.telegram serve --token 12345:abc --port 8081

The addresses go to standard output as one line of JSON: `url` is what TELEGRAM_API_URL holds, `messages` shows what the
chats hold.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from standin.core import add_port, serve_command, serve_parser
from standin.telegram.server import TelegramServer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TelegramServer", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 done, 1 failed, 2 wrong usage."""
    parser, serve = serve_parser("telegram", "A stand-in for Telegram's API.")
    serve.add_argument("--token", required=True, metavar="TOKEN", help="of the bot that may write")
    serve.add_argument("--chat", action="append", metavar="ID", help="it may write there only; repeatable")
    serve.add_argument("--flood", type=int, metavar="N", help="messages a minute in a chat (any number)")
    serve.add_argument("--keep", type=Path, metavar="FILE", help="where messages outlive it (nowhere)")
    add_port(serve)
    options = parser.parse_args(arguments)

    def make() -> TelegramServer:
        return TelegramServer(
            token=options.token,
            chats=tuple(options.chat) if options.chat else None,
            flood=options.flood,
            keep=options.keep,
            host=options.host,
            port=options.port,
        )

    return serve_command("telegram", make, TelegramServer.addresses)


if __name__ == "__main__":
    sys.exit(main())
