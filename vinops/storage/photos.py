"""The store of photos: a bucket where R2 is set up, else the data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from vinops.config import Settings
    from vinops.storage.objects import ObjectStore


def open_store(settings: Settings, *, threads: int = 8, ca_file: Path | None = None) -> ObjectStore:
    """Return the bucket of the R2 settings or, where they are not set, the data folder. Speaks to nobody yet.

    `threads` is how many threads will use it at once, and `ca_file` what to trust instead of the public certificate
    authorities. Raises StoreError if the settings cannot be right.
    """
    endpoint, bucket = settings.r2_endpoint, settings.r2_bucket_name
    key_id, secret = settings.r2_access_key_id, settings.r2_secret_access_key
    if endpoint and bucket and key_id and secret:
        from vinops.storage.r2 import Bucket  # boto3 takes 0.3 s: only where it is used

        return Bucket(endpoint, bucket, key_id=key_id, secret=secret, threads=threads, ca_file=ca_file)
    from vinops.storage.folder import Folder

    return Folder(settings.data_dir)
