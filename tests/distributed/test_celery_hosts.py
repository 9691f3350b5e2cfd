"""Celery workers on two hosts, Redis and PostgreSQL on a third: each ad goes through all stages, whoever is cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.distributed.hosts import DatabaseHost, Host, Network, obstacle
from tests.support.brokers import WITHOUT_REDIS
from tests.support.deal_ads import insert_ads
from vinops import config
from vinops.config import Secret, Settings
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

pytest.importorskip("deals.stages.score")

NO_HOSTS = obstacle()
pytestmark = [pytest.mark.crash, pytest.mark.machines, pytest.mark.skipif(NO_HOSTS is not None, reason=str(NO_HOSTS))]

ROOT = Path(__file__).resolve().parents[2]
ADS = 4000
LEASE = "5"  # seconds
QUEUES = "normalize,price,score,match,notify,upkeep"


def until(is_so: Callable[[], object], what: str, *, seconds: float = 120) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)


class World:
    """A database host with a Redis beside the database, and hosts with a worker each."""

    def __init__(self, network: Network, folder: Path) -> None:
        """Start the servers."""
        self.network, self.folder = network, folder
        self.server = DatabaseHost(host=network.add("database"), folder=folder / "database")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.server.start()
        self.redis = f"redis://{self.server.host.address}:6379/0"
        self.run(
            self.server.host,
            *("redis-server", "--bind", self.server.host.address, "--protected-mode", "no"),
            *("--save", "", "--appendonly", "no"),
        )

    def run(self, host: Host, *command: str) -> subprocess.Popen[bytes]:
        """Start something on a host, with settings of its own."""
        place = self.folder / host.name
        place.mkdir(exist_ok=True)
        environment = {
            **config.without_settings(),
            "DATABASE_URL": self.server.url,
            "CELERY_BROKER_URL": self.redis,
            "VINOPS_DATA_DIR": str(place),
            "VINOPS_DEALS_LEASE": LEASE,
            "PYTHONPATH": str(ROOT),
        }
        with (self.folder / f"{host.name}.log").open("ab") as log:
            process = subprocess.Popen(
                host.command(*command), env=environment, cwd=place, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def celery(self, host: Host, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a part of Celery on a host."""
        return self.run(host, sys.executable, "-m", "celery", "-A", "deals", *arguments)

    def log(self) -> str:
        """Return what all of them said."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))

    def close(self) -> None:
        """End everything."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.server.stop()


@pytest.fixture
def world(open_folder: Path) -> Iterator[World]:
    """Servers, and no workers yet."""
    if subprocess.run(["which", "redis-server"], capture_output=True, check=False).returncode:
        pytest.skip(WITHOUT_REDIS)
    with Network() as network:
        found = World(network, open_folder)
        try:
            yield found
        finally:
            found.close()


@pytest.mark.timeout(600)
def test_workers_on_two_hosts_share_the_ads_and_one_may_be_cut_off(world: World, open_folder: Path) -> None:
    settings = Settings(database_url=Secret(world.server.socket_url), data_dir=open_folder / "tests")
    db.migrate(settings)
    first, second = world.network.add("worker-1"), world.network.add("worker-2")
    for host in (first, second):
        world.celery(host, "worker", "--queues", QUEUES, "--concurrency", "1", "--hostname", f"deals@{host.name}")
    world.celery(world.server.host, "beat")
    with db.connect(settings, application="tests", autocommit=True) as connection:
        insert_ads(connection, ADS)
        until(lambda: len(holders(connection)) == 2, f"both have ads in hand\n{world.log()}")
        first.cut()
        assert left(connection), "it was cut off when all was done"
        until(lambda: not left(connection), f"the other does all\n{world.log()}", seconds=300)
        rows = connection.execute("select count(*), count(distinct listing_id) from scores").fetchone()
        assert rows == (ADS, ADS)
        first.reconnect()
        insert_ads(connection, 200, first=ADS)
        until(lambda: not left(connection), "both are back")


def left(connection: Connection[Any]) -> int:
    """Return how many ads wait or are in hand."""
    row = connection.execute("select count(*) from ops.deal_outbox where dead_at is null").fetchone()
    assert row is not None
    return int(row[0])


def holders(connection: Connection[Any]) -> set[str]:
    """Return the machines whose workers have asked the database lately."""
    rows = connection.execute(
        "select distinct client_addr::text from pg_stat_activity where client_addr is not null"
        " and state_change > now() - interval '2 seconds'"
    ).fetchall()
    return {str(address) for (address,) in rows if not str(address).startswith("10.231.7.1/")}
