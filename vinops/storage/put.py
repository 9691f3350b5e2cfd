"""PUT requests to the bucket, signed and sent with botocore's classes, but not through its client.

A photo is one PUT, and PUTs are nearly all requests of a crawl to the bucket. The client builds each request from the
model of S3, looks its endpoint up by rules, and calls some twelve listeners, which is 0.75 of 1.7 ms of processor for
200 kB (AMD EPYC, 2026-11-25), with Python's lock held meanwhile. Here the request is the same, and errors are raised
and retried as by the client.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # type: ignore[import-untyped] # noqa: A004
from botocore.httpsession import URLLib3Session  # type: ignore[import-untyped]
from botocore.parsers import RestXMLParser  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vinops.config import Secret

PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses that are retried, as in botocore's standard mode."""
THROTTLED = frozenset({429, 503})
LONGEST_PAUSE = 20.0  # seconds, as in botocore's standard mode


class Puts:
    """Sends objects to one bucket over persistent connections; all threads may share it."""

    def __init__(
        self,
        address: str,
        *,
        region: str,
        key_id: Secret,
        secret: Secret,
        verify: str | bool,
        connections: int,
        connect_seconds: float,
        read_seconds: float,
        attempts: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use the address of a bucket, without a slash at its end. The seconds are for each attempt."""
        self._address = address
        self._auth = S3SigV4Auth(Credentials(key_id.reveal(), secret.reveal()), "s3", region)
        self._session = URLLib3Session(
            verify=verify,
            proxies={},  # none, rather than those of the environment
            timeout=(connect_seconds, read_seconds),
            max_pool_connections=connections,
        )
        self._parser = RestXMLParser()
        self._attempts = attempts
        self._sleep = sleep

    def put(self, key: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an object, and retry after a transient error. Raises botocore's errors: ClientError for an error
        response, HTTPClientError without a response."""
        for attempt in range(1, self._attempts + 1):
            is_last = attempt == self._attempts
            scale = 0.05
            try:
                status, answer, found = self._send(key, body, headers)
            except (ConnectionError, HTTPClientError):
                if is_last:
                    raise
            else:
                if status < 300:
                    return
                if is_last or status not in PASSING:
                    raise ClientError(self._parsed(status, answer, found), "PutObject")
                scale = 1.0 if status in THROTTLED else scale
            self._sleep(
                random.random() * min(scale * 2 ** (attempt - 1), LONGEST_PAUSE)
            )  # so that clients do not retry at the same time

    def close(self) -> None:
        self._session.close()

    def _send(self, key: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
        request = AWSRequest("PUT", f"{self._address}/{key}", headers=headers, data=body)
        request.context["has_streaming_input"] = True  # over TLS the MD5 proves the bytes, as in the client
        self._auth.add_auth(request)  # for each attempt: a signature contains the time
        answer = self._session.send(request.prepare())
        return answer.status_code, answer.content, answer.headers

    def _parsed(self, status: int, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        response = {"status_code": status, "headers": headers, "body": body}
        parsed: dict[str, Any] = self._parser.parse(response, None)
        return parsed
