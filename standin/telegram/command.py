"""The stand-in for Telegram's HTTP API, on loopback.

    python -m standin.telegram serve --token 12345:abc --port 8081

The addresses go to standard output as one line of JSON: `url` is what TELEGRAM_API_URL holds, `messages` shows what the
chats hold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from standin.core import serve_until_told
from standin.telegram.server import TelegramServer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TelegramServer", "main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standin.telegram", description="A stand-in for Telegram's API.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve on loopback until interrupted")
    serve.add_argument("--token", required=True, metavar="TOKEN", help="of the bot that may write")
    serve.add_argument("--chat", action="append", metavar="ID", help="it may write there only; repeatable")
    serve.add_argument("--flood", type=int, metavar="N", help="messages a minute in a chat (any number)")
    serve.add_argument("--keep", type=Path, metavar="FILE", help="where messages outlive it (nowhere)")
    serve.add_argument("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    serve.add_argument("--port", type=int, default=0, metavar="N", help="0 picks a free one (%(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 done, 1 failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        server = TelegramServer(
            token=options.token,
            chats=tuple(options.chat) if options.chat else None,
            flood=options.flood,
            keep=options.keep,
            host=options.host,
            port=options.port,
        )
        serve_until_told(server, server.addresses)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"standin.telegram: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
