"""The stand-in for Telegram's HTTP API, on loopback.

    python -m standin.telegram serve --token 12345:abc --port 8081

The URLs go to standard output as one line of JSON: set TELEGRAM_API_URL to `url`; `messages` lists the messages of all
chats.
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
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    parser, serve = serve_parser("telegram", "A stand-in for Telegram's API.")
    serve.add_argument("--token", required=True, metavar="TOKEN", help="token of the bot")
    serve.add_argument("--chat", action="append", metavar="ID", help="a chat open to the bot; repeatable (all)")
    serve.add_argument("--flood", type=int, metavar="N", help="most messages per minute and chat (no limit)")
    serve.add_argument("--limits", action="store_true", help="enforce Telegram's limits of messages")
    serve.add_argument("--keep", type=Path, metavar="FILE", help="file that keeps the messages (none)")
    add_port(serve)
    options = parser.parse_args(arguments)

    def make() -> TelegramServer:
        return TelegramServer(
            token=options.token,
            chats=tuple(options.chat) if options.chat else None,
            flood=options.flood,
            limits=options.limits,
            keep=options.keep,
            host=options.host,
            port=options.port,
        )

    return serve_command("telegram", make, TelegramServer.addresses)


if __name__ == "__main__":
    sys.exit(main())
