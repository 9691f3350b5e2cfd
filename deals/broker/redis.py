"""Redis as the broker: kombu's transport, with a worker that outlives a Redis that refuses or is gone.

kombu 5.7 loses a worker over one command that Redis does not take:

- What was not acknowledged is given back when a connection is closed. An error there ends the worker (`Unrecoverable
  error`), though the connection is closed because it is broken.
- A task that ends after its connection was closed is acknowledged on what is left of it, with the same end.
- A message whose acknowledgement failed (`Couldn't ack`) counts as in hand for ever: after four of them the worker
  takes no task again.

In all three the message is safe: Redis delivers it again when the visibility timeout is over, and the sweep does not
wait for that.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis, virtual

from vinops.logs import pairs

log = logging.getLogger("deals")


class QoS(redis.QoS):
    """What a worker has in hand: kombu's, but what Redis does not hear of is let go of here all the same."""

    def restore_unacked(self, client: Any = None) -> None:
        """Give back what was not acknowledged; what Redis does not take is left to the visibility timeout."""
        try:
            super().restore_unacked(client)
        except Exception as error:  # noqa: BLE001 # a closed channel fails in any way, by AttributeError too
            in_hand: dict[str, Any] = self._delivered or {}
            log.warning("Redis did not take back %s", pairs(messages=len(in_hand), error=error))
            in_hand.clear()

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message. It is not in hand any more, whether or not Redis hears of it."""
        try:
            super().ack(delivery_tag)
        except Exception as error:  # noqa: BLE001 # as above
            log.warning("Redis did not take an acknowledgement %s", pairs(error=error))
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject a message, as `ack` acknowledges it."""
        try:
            super().reject(delivery_tag, requeue)
        except Exception as error:  # noqa: BLE001 # as above
            log.warning("Redis did not take a rejection %s", pairs(error=error))
            virtual.QoS.ack(self, delivery_tag)


class Channel(redis.Channel):
    """kombu's, with our QoS."""

    QoS = QoS


class Transport(redis.Transport):
    """kombu's, with our channel."""

    Channel = Channel
