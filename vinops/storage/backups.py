"""Backups in the bucket of the photos, under `backups/`: files of any size, in parts of 64 MB."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from vinops.storage.objects import ObjectMissing, StoreError
from vinops.storage.r2 import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vinops.config import Settings

PREFIX: Final = "backups/"
PART_BYTES: Final = 64 << 20  # 10,000 parts are the most: 640 GB
ABANDONED: Final = timedelta(days=1)  # an upload takes minutes: an older one has nobody who goes on with it

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class BackupBucket(Bucket):
    """Keeps backups in a bucket. All methods raise StoreError when the store fails."""

    def __init__(self, *arguments: Any, part_bytes: int = PART_BYTES, **options: Any) -> None:
        """Make the client; nothing is asked yet. See Bucket for the arguments."""
        super().__init__(*arguments, **options)
        self._part_bytes = part_bytes
        self._client.meta.events.register_first("before-call.s3.UploadPart", _send_as_bytes)

    def put_file(self, name: str, path: Path, progress: Callable[[int], None] = lambda _bytes: None) -> None:
        """Store a file. It appears when all of it has arrived, every part as its MD5 says.

        If the process dies in it there is no such object, and parts that `abort_abandoned` removes a day later.
        Raises OSError where the file cannot be read.
        """
        key = _key(name)
        with path.open("rb") as file:
            first = file.read(self._part_bytes)
            if len(first) < self._part_bytes:
                self._put(key, first, "application/octet-stream")
                progress(len(first))
                return
            with self._explained(f"{key} was not stored in"):
                upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]
                try:
                    parts: list[dict[str, Any]] = []
                    sent, block = 0, first
                    while block:
                        parts.append({"PartNumber": len(parts) + 1, "ETag": self._part(key, upload, parts, block)})
                        sent += len(block)
                        progress(sent)
                        block = file.read(self._part_bytes)
                    self._client.complete_multipart_upload(
                        Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
                    )
                except BaseException:
                    with suppress(BotoCoreError, ClientError):
                        self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
                    raise

    def _part(self, key: str, upload: str, parts: list[dict[str, Any]], block: bytes) -> str:
        md5 = b64encode(hashlib.md5(block, usedforsecurity=False).digest()).decode("ascii")
        answer = self._client.upload_part(
            Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=len(parts) + 1, Body=block, ContentMD5=md5
        )
        return str(answer["ETag"])

    def get_file(self, name: str, path: Path, progress: Callable[[int], None] = lambda _bytes: None) -> None:
        """Write an object to a file. Raises ObjectMissing, and OSError where the file cannot be written. If the process
        dies in it, or it fails, the file is not whole."""
        with self._explained(f"{_key(name)} was not read from"):
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=_key(name))["Body"]
            except self._client.exceptions.NoSuchKey:
                raise ObjectMissing(name) from None
            done = 0
            path.touch(mode=0o600)  # all that is known is in it
            path.chmod(0o600)
            with path.open("wb") as file:
                for block in body.iter_chunks(1 << 20):
                    file.write(block)
                    done += len(block)
                    progress(done)

    def sizes(self) -> dict[str, int]:
        """Return the names of all files here with their bytes."""
        pages = self._client.get_paginator("list_objects_v2")
        with self._explained("the backups were not listed in"):
            return {
                found["Key"].removeprefix(PREFIX): int(found["Size"])
                for page in pages.paginate(Bucket=self._bucket, Prefix=PREFIX)
                for found in page.get("Contents", ())
            }

    def remove_file(self, name: str) -> None:
        """Remove a file; if there is none, nothing happens."""
        with self._explained(f"{_key(name)} was not removed from"):
            self._client.delete_object(Bucket=self._bucket, Key=_key(name))

    def abort_abandoned(self) -> int:
        """Remove the parts of uploads that nobody finished, and return of how many uploads. Their age is that by the
        store's clock, and none is removed if it does not tell the time: another machine may be at work on them."""
        with self._explained("unfinished uploads were not listed in"):
            answer = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=PREFIX)
            now = _clock(answer)
            found = answer.get("Uploads", ())
            old = [each for each in found if now is not None and now - each["Initiated"] > ABANDONED]
            for each in old:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"])
            return len(old)


def open_backups(settings: Settings, *, part_bytes: int = PART_BYTES, ca_file: Path | None = None) -> BackupBucket:
    """Return the place for backups in the bucket of the R2 settings. Speaks to nobody yet. Raises StoreError if they
    are not set, or cannot be right."""
    endpoint, bucket = settings.r2_endpoint, settings.r2_bucket_name
    key_id, secret = settings.r2_access_key_id, settings.r2_secret_access_key
    if not (endpoint and bucket and key_id and secret):
        raise StoreError(
            "there is no R2 to keep backups in: set R2_ENDPOINT, R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY and "
            "R2_BUCKET_NAME, or keep them in a folder"
        )
    return BackupBucket(
        endpoint, bucket, key_id=key_id, secret=secret, threads=1, ca_file=ca_file, part_bytes=part_bytes
    )


def _clock(answer: dict[str, Any]) -> datetime | None:
    """Return the time at which the store answered, by its own clock."""
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return None


def _key(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a backup")
    return PREFIX + name


def _send_as_bytes(params: dict[str, Any], **_: object) -> None:
    """Give a part back as the bytes that it was; see objects_r2."""
    body = params["body"]
    if hasattr(body, "getvalue"):
        params["body"] = body.getvalue()
