"""`vinops web`: the site."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from vinops import config, network
from vinops.output import name_data_folder

PORT: Final = 8080


def command(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = PORT,
) -> None:
    """Serve the site: the market as pages. On loopback it prints a link that signs the operator in, once."""
    settings = config.load()
    if not network.is_loopback(host) and settings.web_public_url is None:
        raise config.ConfigError(
            f"--host {host} can be reached by others, and passwords would cross the network unencrypted: put a server "
            "with TLS in front, as Caddy, and set WEB_PUBLIC_URL to its https:// address; see docs/runbook.md, The site"
        )
    from web.serve import serve

    name_data_folder(settings)
    serve(settings, host=host, port=port)
