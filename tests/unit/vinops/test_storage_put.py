"""What is sent for a PUT is what boto3 sends, and what goes wrong is tried again as boto3 does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.awsrequest import AWSResponse  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, ConnectTimeoutError, SSLError  # type: ignore[import-untyped]

from vinops.config import Secret
from vinops.storage.put import Puts

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "photos/81234567/0a1b.jpg"
HEADERS = {"Content-MD5": "1B2M2Y8AsgTpgAmy7PhCfg==", "Content-Type": "image/jpeg", "Cache-Control": "public"}
SLOW_DOWN = b"<Error><Code>SlowDown</Code></Error>"


class Wire:
    """Takes what is sent instead of a server, and answers in turn with statuses, or raises."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[Any] = []

    def send(self, request: Any) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        body = SLOW_DOWN if answer >= 300 else b""
        raw = SimpleNamespace(stream=lambda: iter([body]))
        return AWSResponse(request.url, answer, {}, raw)


def puts(wire: Wire, address: str = "https://account.example/photos", slept: list[float] | None = None) -> Puts:
    made = Puts(
        address,
        region="auto",
        key_id=Secret("id"),
        secret=Secret("secret"),
        verify=True,
        connections=1,
        connect_seconds=1,
        read_seconds=1,
        attempts=3,
        sleep=(slept if slept is not None else []).append,
    )
    made._session = wire
    return made


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time for both signatures."""
    from datetime import datetime

    import botocore.auth  # type: ignore[import-untyped]

    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **_: datetime(2026, 11, 25, 3, 4, 5))  # noqa: DTZ001
    return


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize("endpoint", ["https://account.example", "http://127.0.0.1:9000"])
def test_the_request_and_its_signature_are_those_of_boto3(endpoint: str) -> None:
    wire, theirs = Wire(), Wire()
    puts(wire, f"{endpoint}/photos").put(KEY, b"photo", HEADERS)
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="auto",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
        config=Config(
            request_checksum_calculation="when_required", s3={"addressing_style": "path"}, signature_version="s3v4"
        ),
    )
    client.meta.events.register("before-send.s3.PutObject", lambda request, **_: theirs.send(request))
    client.put_object(
        Bucket="photos",
        Key=KEY,
        Body=b"photo",
        ContentMD5=HEADERS["Content-MD5"],
        ContentType="image/jpeg",
        CacheControl="public",
    )
    client.close()
    (ours,), (other,) = wire.requests, theirs.requests
    assert (ours.method, ours.url, ours.body) == (other.method, other.url, b"photo")
    assert signature(ours) == signature(other)
    assert set(header_names(other)) - set(header_names(ours)) <= {
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "expect",
        "user-agent",
    }


def header_names(request: Any) -> list[str]:
    return [name.lower() for name in request.headers]


def signature(request: Any) -> str:
    found = request.headers["Authorization"]
    return found.decode() if isinstance(found, bytes) else found


@pytest.mark.parametrize("first", [500, 502, 503, 504, 429, ConnectTimeoutError(endpoint_url="https://x")])
def test_what_may_pass_is_tried_again_after_a_pause(first: int | Exception) -> None:
    slept: list[float] = []
    wire = Wire(first)
    puts(wire, slept=slept).put(KEY, b"photo", HEADERS)
    assert len(wire.requests) == 2
    assert len(slept) == 1
    assert 0 <= slept[0] <= 1


def test_it_gives_up_after_the_last_attempt() -> None:
    wire, slept = Wire(503, 503, 503), list[float]()
    with pytest.raises(ClientError, match="SlowDown"):
        puts(wire, slept=slept).put(KEY, b"photo", HEADERS)
    assert len(wire.requests) == 3
    assert len(slept) == 2
    assert slept[1] <= 2
    broken = [SSLError(endpoint_url="https://x", error="no") for _ in range(3)]
    with pytest.raises(SSLError):
        puts(Wire(*broken)).put(KEY, b"photo", HEADERS)


@pytest.mark.parametrize("status", [301, 400, 403, 404, 501])
def test_what_does_not_pass_is_not_tried_again(status: int) -> None:
    wire = Wire(status)
    with pytest.raises(ClientError) as refused:
        puts(wire).put(KEY, b"photo", HEADERS)
    assert len(wire.requests) == 1
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
