"""The stand-in's bucket answers as S3 does what a crawl and Scrapy's own pipelines ask of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from base64 import b64encode
from hashlib import md5
from typing import TYPE_CHECKING, Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from standin.bucket import BucketServer
from vinops.config import Secret
from vinops.storage.bucket import Bucket
from vinops.storage.store import PHOTOS, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

NAME = "photos-of-the-tests"
KEY = "photos/81234567/0a1b.jpg"


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with BucketServer(bucket=NAME) as server:
        yield server


@pytest.fixture
def client(server: BucketServer) -> Iterator[Any]:
    """boto3 as it comes."""
    made = boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
    )
    yield made
    made.close()


def ours(server: BucketServer, name: str = NAME) -> Bucket:
    return Bucket(server.endpoint, name, PHOTOS, key_id=Secret("id"), secret=Secret("secret"))


def test_what_is_put_is_there(server: BucketServer, client: Any) -> None:
    body = os.urandom(200_000)
    store = ours(server)
    store.put(KEY, body, content_type="image/jpeg")
    client.put_object(Bucket=NAME, Key="full/other.jpg", Body=body, ContentType="image/jpeg")
    assert store.get(KEY) == body
    store.close()
    for key in (KEY, "full/other.jpg"):
        found = client.head_object(Bucket=NAME, Key=key)
        assert found["ETag"] == f'"{md5(body).hexdigest()}"'
        assert (found["ContentLength"], found["ContentType"]) == (len(body), "image/jpeg")
    assert [(each.method, each.status) for each in server.requests] == [
        ("PUT", 200),
        ("PUT", 200),
        ("GET", 200),
        ("HEAD", 200),
        ("HEAD", 200),
    ]


def test_what_is_not_there_is_a_404(client: Any) -> None:
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket=NAME, Key=KEY)
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket=NAME, Key=KEY)
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.get_object(Bucket="another", Key=KEY)


def test_a_body_that_is_not_as_its_md5_says_is_refused(server: BucketServer, client: Any) -> None:
    other = b64encode(md5(b"other").digest()).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=NAME, Key=KEY, Body=b"photo", ContentMD5=other)
    assert server.objects == {}
    store = ours(server, "another")
    with pytest.raises(StoreError, match="no such bucket"):
        store.put(KEY, b"photo", content_type="image/jpeg")
    store.close()


def test_the_command_serves_and_counts() -> None:

    command = [sys.executable, "-m", "standin.bucket", "serve", "--bucket", NAME]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    endpoint = json.loads(process.stdout.readline())["endpoint"]
    store = Bucket(endpoint, NAME, PHOTOS, key_id=Secret("id"), secret=Secret("secret"))
    store.put(KEY, b"photo", content_type="image/jpeg")
    store.close()

    def control(name: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{endpoint}/control/{name}", method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    assert control("objects") == {"objects": 1}
    assert control("requests") == [{"method": "PUT", "path": f"/{NAME}/{KEY}", "status": 200}]
    control("objects", "DELETE")
    assert control("objects") == {"objects": 0}
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()
