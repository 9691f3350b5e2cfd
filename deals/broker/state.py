"""The state of the broker: how many messages wait, and whether it accepts messages. Uses a connection of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vinops.redaction import redact

if TYPE_CHECKING:
    from celery import Celery

SECONDS: Final = 4  # a broker that takes longer to answer is unavailable
KEY: Final = "vinops.check"  # written to Redis as a test, and gone after as many seconds


@dataclass(frozen=True, kw_only=True)
class BrokerState:
    """How many messages wait for a worker, or why that is not known: the broker is unavailable, or accepts none."""

    waiting: int = 0
    trouble: str | None = None


def ask(app: Celery) -> BrokerState:
    """Query the broker of an application. An unavailable broker takes some seconds and raises nothing."""
    url = str(app.conf.broker_url)
    is_redis = url.startswith("redis")
    # RabbitMQ's client has no such options, and a time limit of its own.
    options = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS} if is_redis else {}
    with app.connection_for_read(transport_options=options) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=SECONDS)
            if is_redis:  # without memory, without its disk, or as a replica it still answers
                client: Any = connection.default_channel
                client.client.set(KEY, "", ex=SECONDS)
            waiting = sum(_waiting(connection, queue.name) for queue in app.amqp.queues.values())
        except Exception as error:  # noqa: BLE001 # each transport has exceptions of its own
            return BrokerState(trouble=redact(" ".join(str(error).split())) or type(error).__name__)
    return BrokerState(waiting=waiting)


def _waiting(connection: Any, queue: str) -> int:
    """Return how many messages wait in a queue. In Redis an empty queue does not exist, which counts as 0."""
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:
        return 0
    finally:
        channel.close()
