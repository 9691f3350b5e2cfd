"""Redis as the broker: kombu's transport, with a worker that survives a Redis that refuses commands or is unavailable.

kombu 5.7 loses a worker over one command that Redis refuses:

- Unacknowledged messages are returned when a connection is closed. An error there ends the worker (`Unrecoverable
  error`), though the connection is closed because it is broken.
- A task that ends after its connection was closed is acknowledged on that connection, with the same result.
- A message whose acknowledgement failed (`Couldn't ack`) counts as unfinished for ever: after four of them the worker
  takes no more tasks.

In all three the message is safe: Redis delivers it again after the visibility timeout, and the sweep does not wait for
that.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis, virtual

from vinops.logs import pairs

log = logging.getLogger("deals")


class QoS(redis.QoS):
    """kombu's record of unacknowledged messages, which also drops those whose acknowledgement Redis did not accept."""

    def restore_unacked(self, client: Any = None) -> None:
        """Return unacknowledged messages; those that Redis refuses are left to the visibility timeout."""
        try:
            super().restore_unacked(client)
        except Exception as error:  # noqa: BLE001 # a closed channel fails in any way, by AttributeError too
            unfinished: dict[str, Any] = self._delivered or {}
            log.warning(
                "Redis did not requeue unacknowledged messages %s", pairs(messages=len(unfinished), error=error)
            )
            unfinished.clear()

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message. It counts as finished even if Redis does not receive the acknowledgement."""
        try:
            super().ack(delivery_tag)
        except Exception as error:  # noqa: BLE001 # as above
            log.warning("Redis did not accept an acknowledgement %s", pairs(error=error))
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject a message. It counts as finished, as in `ack`."""
        try:
            super().reject(delivery_tag, requeue)
        except Exception as error:  # noqa: BLE001 # as above
            log.warning("Redis did not accept a rejection %s", pairs(error=error))
            virtual.QoS.ack(self, delivery_tag)


class Channel(redis.Channel):
    """kombu's channel with our QoS."""

    QoS = QoS


class Transport(redis.Transport):
    """kombu's transport with our channel."""

    Channel = Channel
