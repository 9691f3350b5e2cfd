"""A store in a bucket: S3 over real HTTP and over TLS, and every way in which it can be set up wrongly."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.s3_server import BUCKET, KEY_ID, SECRET, S3Server, s3_server
from vinops.config import Secret
from vinops.storage.bucket import Bucket
from vinops.storage.opening import open_bucket, open_photos
from vinops.storage.store import BACKUPS, PHOTOS, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vinops.storage.store import Store

JPEG = "image/jpeg"
KEY = "photos/81234567/0a1b.jpg"


@pytest.fixture(scope="module", params=["http", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with s3_server(request.param == "tls", strict=True) as running:
        running.make_bucket()
        yield running


@pytest.fixture
def store(server: S3Server) -> Iterator[Store]:
    opened = open_photos(server.settings(), ca_file=server.ca_file)
    yield opened
    for key, _ in list(opened.sizes()):
        opened.delete(key)
    opened.close()


@pytest.fixture
def plain() -> Iterator[S3Server]:
    """A fresh server over plain HTTP, for a test that changes it."""
    with s3_server() as running:
        running.make_bucket()
        yield running


def hasty(endpoint: str, **changed: Any) -> Bucket:
    """A store that gives up soon."""
    patience = {"connect_seconds": 0.3, "read_seconds": 0.3, "attempts": 1}
    return Bucket(endpoint, BUCKET, PHOTOS, key_id=Secret(KEY_ID), secret=Secret(SECRET), **{**patience, **changed})


def test_a_photo_is_one_request_that_r2_accepts(store: Store, server: S3Server) -> None:
    """No question first, no ACL, no `Expect`, no checksum behind the body: the strict server refuses those."""
    before = len(server.requests())
    store.put(KEY, os.urandom(200_000), content_type=JPEG)
    store.put("photos/1/empty.webp", b"", content_type="image/webp")
    assert server.requests()[before:] == [f"PUT /{BUCKET}/{KEY} 200", f"PUT /{BUCKET}/photos/1/empty.webp 200"]


@pytest.mark.parametrize("server", ["http"], indirect=True)
def test_the_strict_server_is_strict(server: S3Server) -> None:
    """The control of the test above: boto3 as it comes does what R2 and the clock do not like."""
    before = len(server.requests())
    client = server.client()
    for extra in ({}, {"ACL": "private"}):
        with pytest.raises(client.exceptions.ClientError):
            client.put_object(Bucket=BUCKET, Key=KEY, Body=b"x", **extra)
    client.close()
    assert {line.rpartition(" ")[2] for line in server.requests()[before:]} <= {"400", "417", "501"}


def test_a_photo_has_its_type_and_may_be_cached_for_ever(store: Store, server: S3Server) -> None:
    store.put(KEY, b"x", content_type=JPEG)
    client = server.client()
    found = client.head_object(Bucket=BUCKET, Key=KEY)
    client.close()
    assert found["ContentType"] == JPEG
    assert found["CacheControl"] == "public, max-age=31536000, immutable"


@pytest.mark.slow
def test_more_keys_than_fit_one_list(plain: S3Server) -> None:
    store = open_photos(plain.settings())
    keys = [f"photos/{number // 100}/{number}.jpg" for number in range(1050)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.put(key, b"x", content_type=JPEG), keys))
    store.check()
    assert [key for key, _ in store.sizes()] == sorted(keys)
    assert [key for key, _ in store.sizes("photos/7/")] == sorted(keys[700:800])
    assert sum("list-type" in line for line in plain.requests()) == 3
    store.close()


def test_bytes_damaged_on_the_way_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session = store._puts._session  # type: ignore[attr-defined] # the last place before the wire
    send = session.send

    def damage(request: Any) -> Any:
        request.body = request.body[:-1] + bytes([request.body[-1] ^ 1])
        return send(request)

    store.put(KEY, b"whole", content_type=JPEG)
    monkeypatch.setattr(session, "send", damage)
    with pytest.raises(StoreError, match="damaged on the way"):
        store.put(KEY, b"damaged", content_type=JPEG)
    monkeypatch.undo()
    assert store.get(KEY) == b"whole"


def test_what_is_no_key_never_leaves(store: Store, server: S3Server) -> None:
    before = len(server.requests())
    for method in (store.get, store.exists, store.delete, lambda key: store.put(key, b"x", content_type=JPEG)):
        with pytest.raises(ValueError, match="is not an object key"):
            method("check/trial")
    assert server.requests()[before:] == []


def test_check_leaves_nothing(store: Store, server: S3Server) -> None:
    store.check()
    client = server.client()
    assert "Contents" not in client.list_objects_v2(Bucket=BUCKET)
    client.close()


METHODS: list[Callable[[Store], object]] = [
    lambda store: store.check(),
    lambda store: store.put(KEY, b"x", content_type=JPEG),
    lambda store: store.get(KEY),
    lambda store: store.exists(KEY),
    lambda store: store.delete(KEY),
    lambda store: [key for key, _ in store.sizes()],
]


def refusals(store: Store) -> set[str]:
    """Return what every method says; each must refuse with StoreError."""
    said = set()
    for method in METHODS:
        with pytest.raises(StoreError) as refused:
            method(store)
        said.add(str(refused.value).rpartition(": ")[0].rpartition(": ")[2] + ": " + str(refused.value).split(": ")[-1])
        assert SECRET not in str(refused.value)
    store.close()
    return said


def test_a_bucket_that_is_not_there(server: S3Server) -> None:
    store = open_photos(server.settings(r2_bucket_name="nobody-made-this"), ca_file=server.ca_file)
    said = refusals(store)
    assert said == {"there is no such bucket: correct R2_BUCKET_NAME, or make the bucket"}


def user(server: S3Server, name: str, *actions: str) -> tuple[Secret, Secret]:
    """Make a user who may do this in any bucket, and return the id and the secret of a key."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    if actions:
        rule = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        iam.put_user_policy(UserName=name, PolicyName="rule", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    iam.close()
    return Secret(made["AccessKeyId"]), Secret(made["SecretAccessKey"])


def test_wrong_keys_and_missing_permission(plain: S3Server) -> None:
    key_id, secret = user(plain, "full", "s3:*")
    reader = user(plain, "reader", "s3:GetObject", "s3:ListBucket")
    plain.require_accounts()

    def store(key_id: Secret, secret: Secret) -> Store:
        return open_photos(plain.settings(r2_access_key_id=key_id, r2_secret_access_key=secret))

    right = store(key_id, secret)
    right.check()
    right.put(KEY, b"x", content_type=JPEG)
    right.close()
    for wrong, setting in [
        (store(Secret("nobody"), secret), "correct R2_ACCESS_KEY_ID"),
        (store(key_id, Secret(SECRET)), "correct R2_SECRET_ACCESS_KEY"),
        (store(*reader), "Object Read & Write"),
    ]:
        with pytest.raises(StoreError, match=setting) as refused:
            wrong.check()
        assert secret.reveal() not in str(refused.value)
        wrong.close()


def test_no_server_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        said = refusals(hasty(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert said == {"it cannot be reached, or closed the connection: try again later, or correct R2_ENDPOINT"}


def test_a_server_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        started = time.monotonic()
        said = refusals(hasty(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert said == {"it did not answer in time: try again later, or correct R2_ENDPOINT"}
    assert time.monotonic() - started < 10


def answering(status: bytes, body: bytes, asked: list[bytes]) -> socket.socket:
    """Listen, and answer every connection so. Close the socket to end it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    threading.Thread(target=answer, daemon=True).start()
    return listener


@pytest.mark.parametrize(
    ("status", "body", "says", "attempts"),
    [
        (b"503 Slow Down", b"<Error><Code>SlowDown</Code></Error>", "answered 503, SlowDown: try again later", 3),
        (b"401 Unauthorized", b"<Error><Code>Unauthorized</Code></Error>", "R2_ACCESS_KEY_ID and R2_SECRET", 1),
        (b"404 Not Found", b"<html>welcome</html>", "R2_ENDPOINT is the address of an S3 store", 1),
        (b"403 Forbidden", b"<html>go away</html>", "Object Read & Write", 1),
    ],
)
def test_answers_are_explained_and_only_passing_ones_asked_again(
    status: bytes, body: bytes, says: str, attempts: int
) -> None:
    asked: list[bytes] = []
    listener = answering(status, body, asked)
    store = hasty(f"http://127.0.0.1:{listener.getsockname()[1]}", attempts=3)
    with pytest.raises(StoreError, match=says):
        store.check()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    store.close()
    assert len(asked) == attempts


def test_a_certificate_that_nobody_vouches_for() -> None:
    with s3_server(tls=True) as server:
        store = hasty(server.endpoint, read_seconds=5)
        with pytest.raises(StoreError, match=r"certificate is not trusted: correct R2_ENDPOINT"):
            store.check()
        store.close()


def test_the_environment_of_aws_and_proxies_is_not_heard(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nca_bundle = nowhere\nuse_fips_endpoint = true\nendpoint_url = http://127.0.0.1:9\n"
        "[profile other]\nregion = mars\nsource_profile = nobody\n"
    )
    (tmp_path / ".aws" / "credentials").write_text("[default]\nthis is no file of credentials")
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_CONFIG_FILE": str(tmp_path / ".aws" / "config"),
        "AWS_PROFILE": "missing",
        "AWS_CA_BUNDLE": str(tmp_path / "missing.pem"),
        "REQUESTS_CA_BUNDLE": str(tmp_path / "missing.pem"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_MAX_ATTEMPTS": "none",
        "AWS_SESSION_TOKEN": "token-of-somebody-else",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    store = open_photos(server.settings(), ca_file=server.ca_file)
    store.check()
    store.put(KEY, b"x", content_type=JPEG)
    assert [key for key, _ in store.sizes()] == [KEY]
    store.close()


def test_no_secret_reaches_the_logs(server: S3Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        store = open_photos(server.settings(), ca_file=server.ca_file)
        store.put(KEY, b"body-of-the-photo", content_type=JPEG)
        store.get(KEY)
        store.close()
        with pytest.raises(StoreError) as refused:
            hasty("http://127.0.0.1:9").check()
        logging.getLogger("vinops").error("failed", exc_info=refused.value)
    for canary in (SECRET, KEY_ID, "Signature=", "body-of-the-photo"):
        assert canary not in caplog.text
    assert "failed" in caplog.text


def test_a_file_that_is_interrupted_leaves_no_object_and_no_part(plain: S3Server, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(os.urandom(12 << 20))

    def interrupted(_done: int) -> None:
        raise KeyboardInterrupt

    with closing(open_bucket(plain.settings(), BACKUPS, part_bytes=5 << 20)) as store:
        with pytest.raises(KeyboardInterrupt):
            store.put_file("backups/a.dump", whole, interrupted)
        assert list(store.sizes()) == []
    client = plain.client()
    assert not client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    client.close()


def test_an_upload_is_abandoned_by_the_clock_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """By that of this machine both are months old."""
    begun = {"young": datetime(2026, 6, 30, 13, tzinfo=UTC), "old": datetime(2026, 6, 30, 11, tzinfo=UTC)}
    answer: dict[str, Any] = {
        "ResponseMetadata": {"HTTPHeaders": {"date": "Wed, 01 Jul 2026 12:00:00 GMT"}},
        "Uploads": [{"Key": key, "UploadId": key, "Initiated": moment} for key, moment in begun.items()],
    }
    with closing(hasty("http://127.0.0.1:9")) as store:
        aborted: list[str] = []
        monkeypatch.setattr(store._client, "list_multipart_uploads", lambda **_: answer)
        monkeypatch.setattr(store._client, "abort_multipart_upload", lambda **about: aborted.append(about["Key"]))
        assert store.sweep() == 1
        assert aborted == ["old"]
        answer["ResponseMetadata"] = {"HTTPHeaders": {}}
        assert store.sweep() == 0
