"""A store in a bucket of Cloudflare R2, or of anything else that speaks S3, through boto3; PUTs are sent by put.py.

The reasons and measurements behind the settings of the client: docs/decisions/0008-object-store.md.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from base64 import b64encode
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.session import Session  # type: ignore[import-untyped]

from vinops.storage.put import Puts
from vinops.storage.store import BACKUPS, BLOCK, PHOTOS, ObjectMissing, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vinops.config import Secret
    from vinops.storage.store import Namespace

REGION: Final = "auto"
USER_AGENT: Final = "vinops"
TRIAL_KEY: Final = "check/trial"  # outside of every namespace, so that no list shows it
OURS: Final = frozenset({PHOTOS.prefix, BACKUPS.prefix, "check/"})
PART_BYTES: Final = 64 << 20  # 10,000 parts are the most: 640 GB
ABANDONED: Final = timedelta(days=1)  # an upload takes minutes: an older one no longer has a sender

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

# What R2 and S3 say, by code. Source: https://developers.cloudflare.com/r2/api/error-codes/
_REASONS = {
    "NoSuchBucket": "there is no such bucket: correct R2_BUCKET_NAME, or make the bucket",
    "InvalidBucketName": "that is not a bucket name: correct R2_BUCKET_NAME",
    "Unauthorized": "the key is not accepted: correct R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY",
    "InvalidAccessKeyId": "the key's id is not known there: correct R2_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the key does not belong to its id: correct R2_SECRET_ACCESS_KEY",
    "AccessDenied": "the key may not do that: give R2_ACCESS_KEY_ID `Object Read & Write` on the bucket R2_BUCKET_NAME",
    "NotEntitled": "the account has no R2: subscribe to it, or correct R2_ENDPOINT",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it, as timesyncd does",
    "BadDigest": "the bytes were damaged on the way: try again",
}
# HEAD has no body and so no code, and a proxy has codes of its own.
_BY_STATUS = {401: "Unauthorized", 403: "AccessDenied"}


class Bucket:
    """Keeps the objects of a namespace in a bucket, through one client for all threads; see Store for what the methods
    promise."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        namespace: Namespace,
        *,
        key_id: Secret,
        secret: Secret,
        threads: int = 8,
        ca_file: Path | None = None,
        connect_seconds: float = 5,
        read_seconds: float = 30,
        attempts: int = 3,
        part_bytes: int = PART_BYTES,
    ) -> None:
        """Make the client; no request is sent yet. The seconds are for each attempt. Raises StoreError if the endpoint
        or the bucket cannot be right."""
        address = urlsplit(endpoint)
        if address.path.strip("/"):
            # The dashboard shows the address with the bucket behind it; every key would begin with the bucket's name.
            raise StoreError(f"R2_ENDPOINT ends in {address.path}: leave that out, the bucket is R2_BUCKET_NAME")
        if not _BUCKET.fullmatch(bucket):
            raise StoreError("R2_BUCKET_NAME is not a bucket name: it has 3 to 63 of a-z, 0-9 and -")
        self._bucket = bucket
        self._namespace = namespace
        self._part_bytes = part_bytes
        self._where = f"bucket {bucket} at {address.netloc}"
        _silence()
        verify = str(ca_file) if ca_file else True
        self._client = boto3.session.Session(botocore_session=_isolated_session()).client(
            "s3",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=key_id.reveal(),
            aws_secret_access_key=secret.reveal(),
            verify=verify,
            config=Config(
                signature_version="s3v4",
                request_checksum_calculation="when_required",  # R2 does not know the checksums behind the body
                response_checksum_validation="when_required",
                s3={"addressing_style": "path"},
                retries={"mode": "standard", "total_max_attempts": attempts},
                max_pool_connections=threads + 2,
                connect_timeout=connect_seconds,
                read_timeout=read_seconds,
                proxies={},  # none, rather than those of the environment
                parameter_validation=False,  # keys are checked here, the rest is constant
                user_agent=USER_AGENT,  # the default is assembled again for each request, 5 % of its time
            ),
        )
        self._client.meta.events.register_first("before-call.s3.UploadPart", _send_as_bytes)
        self._puts = Puts(
            f"{endpoint.rstrip('/')}/{bucket}",
            region=REGION,
            key_id=key_id,
            secret=secret,
            verify=verify,
            connections=threads + 2,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            attempts=attempts,
        )

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object with one request. If the process dies in it, the old or the whole new object is there: the
        server keeps nothing of a body that is incomplete or does not match its MD5."""
        self._put(key, body, self._namespace.checked_type(key, content_type))

    def put_file(self, key: str, path: Path, progress: Callable[[int], None] = lambda _bytes: None) -> None:
        """Store a file, a large one in parts, each with its MD5. If the process dies in it, the object is as before,
        and there are perhaps parts that `sweep` removes a day later."""
        content_type = self._namespace.type_of(key)
        with path.open("rb") as file:
            first = file.read(self._part_bytes)
            if len(first) < self._part_bytes:
                self._put(key, first, content_type)
                progress(len(first))
                return
            upload: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
            with self._explained(f"{key} was not stored in"):
                created = self._client.create_multipart_upload(**upload, ContentType=content_type)
                upload["UploadId"] = created["UploadId"]
                try:
                    parts: list[dict[str, Any]] = []
                    sent, block = 0, first
                    while block:
                        number = len(parts) + 1
                        answer = self._client.upload_part(
                            **upload, PartNumber=number, Body=block, ContentMD5=_md5(block)
                        )
                        parts.append({"PartNumber": number, "ETag": str(answer["ETag"])})
                        sent += len(block)
                        progress(sent)
                        block = file.read(self._part_bytes)
                    self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
                except BaseException:
                    with suppress(BotoCoreError, ClientError):
                        self._client.abort_multipart_upload(**upload)
                    raise

    def get(self, key: str) -> bytes:
        return b"".join(self.blocks(key))

    def blocks(self, key: str) -> Iterator[bytes]:
        with self._explained(f"{self._namespace.checked(key)} was not read from"):
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            except self._client.exceptions.NoSuchKey:
                raise ObjectMissing(key) from None
            yield from body.iter_chunks(BLOCK)

    def exists(self, key: str) -> bool:
        """Tell whether there is such an object. `False` costs a second request: only that one
        distinguishes a missing object from a missing bucket."""
        with self._explained(f"{self._namespace.checked(key)} was not looked up in"):
            try:
                self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._namespace.prefix, MaxKeys=1)
                return False
            return True

    def delete(self, key: str) -> None:
        """Remove an object with one request, which the server carries out whole or not at all."""
        with self._explained(f"{self._namespace.checked(key)} was not removed from"):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def sizes(self, prefix: str | None = None) -> Iterator[tuple[str, int]]:
        """Yield keys and bytes; one request for each thousand."""
        prefix = self._namespace.checked_prefix(prefix)
        pages = self._client.get_paginator("list_objects_v2")
        with self._explained("the objects were not listed in"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield found["Key"], int(found["Size"])

    def outside(self) -> list[str]:
        """Return the beginnings of keys outside of all namespaces: one request, for the first thousand."""
        with self._explained("the objects were not listed in"):
            answer = self._client.list_objects_v2(Bucket=self._bucket, Delimiter="/")
        names = [*(each["Prefix"] for each in answer.get("CommonPrefixes", ()))]
        names += [each["Key"] for each in answer.get("Contents", ())]
        return sorted(name for name in names if name not in OURS)

    def check(self) -> None:
        """Write a trial object and remove it. If the process dies in it, that object is left, one for all checks."""
        self._put(TRIAL_KEY, b"", "text/plain")
        with self._explained("the trial object was not removed from"):
            self._client.delete_object(Bucket=self._bucket, Key=TRIAL_KEY)

    def sweep(self) -> int:
        """Remove the parts of uploads that were begun more than ABANDONED ago, and return of how many uploads. Ages
        are by the store's clock; without it none is removed, as another machine may be sending them."""
        with self._explained("unfinished uploads were not listed in"):
            answer = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._namespace.prefix)
            now = _clock(answer)
            found = answer.get("Uploads", ())
            old = [each for each in found if now is not None and now - each["Initiated"] > ABANDONED]
            for each in old:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"])
            return len(old)

    def describe(self, key: str | None = None) -> str:
        return self._where if key is None else f"{self._where}, {key}"

    def close(self) -> None:
        self._client.close()
        self._puts.close()

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        headers = {"Content-MD5": _md5(body), "Content-Type": content_type, "User-Agent": USER_AGENT}
        if self._namespace.cache_control:
            headers["Cache-Control"] = self._namespace.cache_control
        with self._explained(f"{key} was not stored in"):
            self._puts.put(key, body, headers)

    @contextmanager
    def _explained(self, failed: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StoreError(f"{failed} {self._where}: {_reason(error)}") from error


def _isolated_session() -> Session:
    """Return a session that reads neither the AWS_… variables nor the files in ~/.aws: everything is set explicitly."""
    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    for name in ("config_file", "credentials_file"):
        variables[name] = (None, None, os.devnull, None)
    return Session(session_vars=variables)


def _silence() -> None:
    """Keep the libraries from logging each request with its headers, signature and body when the root logs DEBUG."""
    for name in ("boto3", "botocore", "s3transfer", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        code, status = str(error.response.get("Error", {}).get("Code", "")), _status(error)
        if (known := _REASONS.get(code) or _REASONS.get(_BY_STATUS.get(status, ""))) is not None:
            return known
        shown = code if code.isalnum() and code != str(status) else "nothing more"  # the other side's text
        if status == 429 or status >= 500:
            return f"it answered {status}, {shown}: try again later"
        return f"it answered {status}, {shown}: see whether R2_ENDPOINT is the address of an S3 store"
    if isinstance(error, SSLError):
        return "its certificate is not trusted: correct R2_ENDPOINT"
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return "it did not answer in time: try again later, or correct R2_ENDPOINT"
    if isinstance(error, (EndpointConnectionError, HTTPClientError)):
        return "it cannot be reached, or closed the connection: try again later, or correct R2_ENDPOINT"
    return f"it answered what S3 does not ({type(error).__name__}): correct R2_ENDPOINT"


def _md5(body: bytes) -> str:
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")


def _clock(answer: dict[str, Any]) -> datetime | None:
    """Return the time at which the store answered, by its own clock."""
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return None


def _send_as_bytes(params: dict[str, Any], **_: object) -> None:
    """Send a part as bytes: before a file, into which botocore wraps them, it would ask with `Expect: 100-continue`."""
    body = params["body"]
    if hasattr(body, "getvalue"):
        params["body"] = body.getvalue()


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
