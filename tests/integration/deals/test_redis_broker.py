"""A worker on a real Redis that refuses, is killed or changes its password: it goes on when Redis does.

All of it stands for one thing: a Redis in trouble costs the time of the trouble, and no worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from kombu.transport import redis as kombus
from redis import Redis

from deals.broker import (
    filesystem as embedded,  # noqa: F401 # it gives `redis` our transport
    redis as redis_broker,
)
from tests.support.brokers import WITHOUT_REDIS, Broker, available, broker
from tests.support.fleets import ROOT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not available("redis"), reason=WITHOUT_REDIS)

PROGRAM = """
import pathlib, sys, time
from celery import Celery
from deals import app as deals
from vinops import config

app = Celery("watched")
app.conf.update({**deals.configuration(config.load()), "include": [], "beat_schedule": {}})

@app.task(name="watched.work", queue="upkeep")
def work(name, seconds=0):
    pathlib.Path(name + ".begun").touch()
    time.sleep(seconds)
    pathlib.Path(name).touch()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Broker]:
    """A Redis."""
    with broker("redis", tmp_path) as found:
        yield found


# In hand: what a connection does about its messages, without a worker.


def one_in_hand(server: Broker) -> tuple[Connection, Any]:
    """Return a connection that has one message in hand, and the message."""
    queue = Queue("work", Exchange("work"), routing_key="work")
    with Connection(server.url) as sender:
        sender.Producer().publish({"a": 1}, exchange="work", routing_key="work", declare=[queue])
    connection, found = Connection(server.url), list[Any]()
    with Consumer(connection, [queue], callbacks=[lambda _, message: found.append(message)], prefetch_count=1):
        connection.drain_events(timeout=5)
    (message,) = found
    assert isinstance(message.channel, redis_broker.Channel)
    assert not message.channel.qos.can_consume()
    return connection, message


@pytest.mark.parametrize("settle", ["ack", "reject", "requeue"])
def test_a_message_that_redis_does_not_hear_of_is_not_in_hand_any_more(server: Broker, settle: str) -> None:
    _, message = one_in_hand(server)
    server.stop()
    getattr(message, settle)()
    assert message.channel.qos.can_consume(), "or it takes no other, for ever"


def test_a_connection_can_be_closed_though_nothing_can_be_given_back(server: Broker) -> None:
    connection, message = one_in_hand(server)
    server.stop()
    message.channel.qos.restore_unacked_once()
    connection.close()


def test_a_message_can_be_acknowledged_after_its_connection_was_closed(server: Broker) -> None:
    connection, message = one_in_hand(server)
    server.stop()
    connection.close()
    message.ack()


def test_what_is_not_acknowledged_is_given_back_where_redis_takes_it(server: Broker) -> None:
    connection, _ = one_in_hand(server)
    connection.close()
    with Connection(server.url) as other:
        assert other.SimpleQueue("work").qsize() == 1


def test_kombus_own_does_none_of_this(server: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_broker.Channel, "QoS", kombus.QoS)
    connection, message = one_in_hand(server)
    server.stop()
    with pytest.raises(connection.connection_errors):
        message.ack()
    assert not message.channel.qos.can_consume()
    with pytest.raises(connection.connection_errors):
        message.channel.qos.restore_unacked_once()


# A worker.


@pytest.fixture
def worker(server: Broker, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker on this Redis that has done a task."""
    (tmp_path / "watched.py").write_text(PROGRAM)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "VINOPS_DATA_DIR": str(tmp_path / "var"),
        "VINOPS_LOG_DIR": str(tmp_path / "logs"),
        "CELERY_BROKER_URL": server.url,
        "C_FORCE_ROOT": "1",
    }
    with (tmp_path / "worker.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "watched", "worker", "-l", "INFO", "-c", "2", "--without-mingle"],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def no_memory(server: Broker, redis: Redis) -> Callable[[], object]:
    """Redis is at its maxmemory: OOM."""
    redis.config_set("maxmemory", 1)
    return lambda: redis.config_set("maxmemory", 0)


def a_replica(server: Broker, redis: Redis) -> Callable[[], object]:
    """Redis is a replica after a failover: UNBLOCKED, then READONLY."""
    redis.replicaof("127.0.0.1", 1)
    return lambda: redis.replicaof("NO", "ONE")


def no_disk(server: Broker, redis: Redis) -> Callable[[], object]:
    """Redis cannot save: MISCONF. A folder that is gone stands for a full disk."""
    redis.config_set("save", "3600 1")
    gone = server.folder / "gone"
    gone.mkdir()
    redis.config_set("dir", str(gone))
    gone.rmdir()
    redis.bgsave()
    until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", "it cannot save")

    def undo() -> None:
        redis.config_set("save", "")

    return undo


def killed(server: Broker, redis: Redis) -> Callable[[], object]:
    """Redis is killed, with what it had in memory."""
    del redis
    server.stop()
    return server.start


def another_password(server: Broker, redis: Redis) -> Callable[[], object]:
    """The password is another one, and connections have to show it."""
    redis.config_set("requirepass", "another")
    redis.auth("another")
    for each in redis.client_list():
        if int(each["id"]) != redis.client_id():
            redis.client_kill_filter(_id=each["id"])
    return lambda: redis.config_set("requirepass", "")


FAULTS = (no_memory, a_replica, no_disk, killed, another_password)


@pytest.mark.slow
def test_a_worker_goes_on_when_its_redis_does(server: Broker, worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    def send(name: str, seconds: float = 0) -> None:
        with Connection(server.url) as connection:
            about = {"id": name, "task": "watched.work", "lang": "py"}
            connection.Producer().publish(
                [[name, seconds], {}, {}], exchange="upkeep", routing_key="upkeep", headers=about
            )

    def are(what: str) -> bool:
        assert worker.poll() is None, f"the worker is gone: {(tmp_path / 'worker.out').read_text()[-3000:]}"
        return len([*tmp_path.glob(what)]) == 2

    def takes_others(name: str) -> bool:
        for number in (3, 4):  # again and again: before the worker has its queues again Redis forgets what is sent
            send(f"{name}-after-{number}")
        time.sleep(0.2)
        return are(f"{name}-after-?")

    until(lambda: b" ready." in (tmp_path / "worker.out").read_bytes(), "it is up")
    for fault in FAULTS:
        name = fault.__name__
        send(f"{name}-1", 0.7)
        send(f"{name}-2", 0.7)
        until(lambda: are(f"{name}-?.begun"), "both of its processes have a message in hand")  # noqa: B023
        end = fault(server, Redis(port=server.port, single_connection_client=True))
        until(lambda: are(f"{name}-?"), "their tasks have ended")  # noqa: B023
        time.sleep(0.5)  # it tries to reach a Redis that refuses
        end()
        until(lambda: takes_others(name), f"it takes tasks after {name}")  # noqa: B023
