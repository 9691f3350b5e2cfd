"""What waits in the broker, and whether it takes messages: asked on a connection of its own, as anybody may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vinops.redaction import redact

if TYPE_CHECKING:
    from celery import Celery

SECONDS: Final = 4  # a broker that does not answer within them is away
TRACE: Final = "vinops.check"  # a key of Redis, for as many seconds


@dataclass(frozen=True, kw_only=True)
class BrokerState:
    """How many messages no worker has taken, or why that cannot be said: the broker is away, or takes no messages."""

    waiting: int = 0
    trouble: str | None = None


def ask(app: Celery) -> BrokerState:
    """Ask the broker of an application. Takes some seconds where it does not answer; raises nothing for that."""
    url = str(app.conf.broker_url)
    is_redis = url.startswith("redis")
    # RabbitMQ's client knows no such options, and has its own time limit.
    options = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS} if is_redis else {}
    with app.connection_for_read(transport_options=options) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=SECONDS)
            if is_redis:  # one without memory, without its disk, or that is a replica, still answers
                client: Any = connection.default_channel
                client.client.set(TRACE, "", ex=SECONDS)
            waiting = sum(_waiting(connection, queue.name) for queue in app.amqp.queues.values())
        except Exception as error:  # noqa: BLE001 # each transport has its own; whatever it is, nothing is known
            return BrokerState(trouble=redact(" ".join(str(error).split())) or type(error).__name__)
    return BrokerState(waiting=waiting)


def _waiting(connection: Any, queue: str) -> int:
    """Return how many messages of a queue nobody has taken; Redis has no queue where there are none."""
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:
        return 0
    finally:
        channel.close()
