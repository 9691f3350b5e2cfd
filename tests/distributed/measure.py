"""What one database does for crawlers on other hosts: `python -m tests.distributed.measure`, as root.

The hosts are network namespaces of this machine, so its cores are shared by the crawlers and the database: what is
measured is a lower bound for hosts of their own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from standin.photos.server import PhotoServer
from tests.conftest import remove_folder
from tests.distributed.hosts import DatabaseHost, Host, Network
from tests.support.photo_crawls import Crawls
from tests.support.scrapyd_nodes import plain_environment
from vinops import config
from vinops.config import Secret, Settings
from vinops.db import database
from vinops.politeness import Budgets
from vinops_scrapy.copart.leases import Lots, Settlement
from vinops_scrapy.items import Photo, PhotoLink

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 6.0
CROWDS = (1, 2, 4, 8)
LOTS = 40_000
PHOTOS = 10


async def reserve(pool: AsyncConnectionPool[Any], host: str) -> int:
    """Reserve places in the budget of a host for a while; return how many."""
    budgets = Budgets(pool, daily=10**9, refusals=5, open_seconds=60)
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        await budgets.reserve(host, 0)
        count += 1
    return count


async def do_lots(pool: AsyncConnectionPool[Any], owner: str) -> int:
    """Lease lots and settle each with its photos for a while; return how many."""
    lots = Lots(pool, owner)
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        for lot in await lots.lease_due(8):
            known = await lots.known(lot)
            photos = tuple(
                Photo(
                    lot=lot,
                    link=PhotoLink(seq=seq, variant="ful", url=f"https://cs.example/{lot.id}/{seq}.jpg"),
                    body=b"",
                    content_type="image/jpeg",
                    storage_key=f"photos/{lot.id}/{seq}.jpg",
                    content_hash=sha256(f"{lot.id}/{seq}".encode()).hexdigest(),
                    width=1,
                    height=1,
                )
                for seq in range(1, PHOTOS + 1)
                if f"https://cs.example/{lot.id}/{seq}.jpg" not in known.seqs
            )
            links = tuple(photo.link for photo in photos)
            await lots.settle(lot, Settlement(state="ok", due_seconds=1e6, listed=PHOTOS, links=links, photos=photos))
            count += 1
    return count


async def work(what: str, owner: str) -> int:
    """Do one of the two over one connection."""
    pool = database.async_pool(config.load(), application="measure", size=1)
    await pool.open()
    try:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        if what == "lots":
            return await do_lots(pool, owner)
        return await reserve(pool, "cs.example" if what == "one" else owner)
    finally:
        await pool.close()


def crowd(hosts: list[Host], url: str, what: str, count: int) -> float:
    """Have so many crawlers on the hosts do it at once; return how many a second all together."""
    started = []
    for number in range(count):
        host = hosts[number % len(hosts)]
        started.append(
            subprocess.Popen(
                host.command(sys.executable, "-m", "tests.distributed.measure", what, f"crawler-{number}"),
                env=plain_environment({"DATABASE_URL": url}),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in started:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    return sum(int(each.communicate()[0].split()[-1]) for each in started) / SECONDS


def measure() -> None:
    """Print the figures as JSON, a line each."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-test-"))
    folder.chmod(0o711)
    with Network() as network:
        server = DatabaseHost(host=network.add("database"), folder=folder / "database", fsync="on")
        hosts = [network.add("crawler-1"), network.add("crawler-2")]
        try:
            server.start()
            settings = Settings(database_url=Secret(server.socket_url), data_dir=folder / "data")
            database.migrate(settings)
            with (
                database.connect(settings, application="measure", autocommit=True) as connection,
                PhotoServer(seed=3) as photos,
            ):
                Crawls(settings=settings, database=connection, server=photos).add_lots(1)
                connection.execute(FILL, {"count": LOTS})
                for what in ("one", "own", "lots"):
                    for count in CROWDS:
                        found = crowd(hosts, server.url, what, count)
                        print(json.dumps({"what": what, "crawlers": count, "a_second": round(found)}), flush=True)
        finally:
            server.stop()
    remove_folder(folder)


FILL = """
with made as (
    insert into vehicles (vin)
    select '1VN' || lpad((46000000 + n)::text, 14, '0') from generate_series(1, %(count)s) as n
    returning id, vin
),

added as (
    insert into lots (lot_external_id, vin, vehicle_id, first_seen_at, sale_at, image_url, row_hash, file_id)
    select right(vin, 8)::bigint, vin, id, now(), now() + interval '1 day', 'https://x.example/', '', 0 from made
    returning id
)

insert into lot_photos (lot_id) select id from added
"""


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(asyncio.run(work(sys.argv[1], sys.argv[2])))
    else:
        measure()
