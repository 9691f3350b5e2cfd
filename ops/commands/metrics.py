"""`vinops metrics`: the snapshot as Prometheus reads it."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Final

import typer

from ops.checks.metrics import PARTS, Collector, exposition
from ops.observe.observer import Observer, observe_once
from vinops import config, network, systemd
from vinops.output import name_data_folder
from vinops.redaction import remember

PORT: Final = 9477


def command(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow an address that others can reach: no password is asked for.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Print them and exit.")] = False,
) -> None:
    """Serve the metrics for Prometheus, on loopback."""
    settings = config.load()
    remember(settings)
    if once:
        typer.echo(exposition(observe_once(settings, application="vinops metrics", parts=PARTS)), nl=False)
        return
    if host not in network.LOOPBACK and not expose:
        raise typer.BadParameter(f"{host} can be reached by others: add --expose to listen there", param_hint="--host")
    _serve(settings, host, port)


def _serve(settings: config.Settings, host: str, port: int) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    with closing(Observer(settings, application="vinops metrics")) as observer:
        registry = CollectorRegistry()
        registry.register(Collector(lambda: observer.observe(PARTS)))
        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            text = f"--port {port} on {host} cannot be opened ({error.strerror}): choose another"
            raise config.ConfigError(text) from None
        name_data_folder(settings)
        typer.echo(f"http://{host}:{port}/metrics", err=True)
        systemd.ready()
        try:
            while thread.is_alive():
                systemd.alive()
                thread.join((systemd.watchdog_seconds() or 30) / 3)
        except KeyboardInterrupt:
            server.shutdown()
        finally:
            systemd.stopping()
