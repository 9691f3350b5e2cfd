"""Opens the stores that the settings name: the bucket of the R2 settings, else a folder.

Photos that were stored before the settings changed stay where they are, and `images.store_id` says where: a place has a
name that outlives the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from vinops.storage.folder import Folder
from vinops.storage.store import PHOTOS, Namespace, Store, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from vinops.config import Settings

FOLDER: Final = "folder"
"""The name of the folder `photos` in the data folder, wherever that is."""
READ_SECONDS: Final = 30.0
ATTEMPTS: Final = 3
"""Of a request to the bucket, for who can wait."""


def photos_place(settings: Settings) -> str:
    """Return the name of the place where photos are stored by these settings, as in `photo_stores`."""
    if not settings.r2_endpoint:
        return FOLDER
    return f"bucket {settings.r2_bucket_name} at {urlsplit(settings.r2_endpoint).netloc}"


def photo_places(
    settings: Settings, *, threads: int = 8, read_seconds: float = READ_SECONDS, attempts: int = ATTEMPTS
) -> dict[str, Store]:
    """Return every place of photos that these settings reach, by name: the folder, and the bucket if it is set. What
    removes a photo for good removes it in all of them. Connects to nothing yet; raises StoreError as `open_photos`.

    `read_seconds` and `attempts` are how long, and how often, a request to the bucket may take.
    """
    found: dict[str, Store] = {FOLDER: _folder(settings)}
    if settings.r2_endpoint:
        found[photos_place(settings)] = open_bucket(
            settings, PHOTOS, threads=threads, read_seconds=read_seconds, attempts=attempts
        )
    return found


def _folder(settings: Settings) -> Store:
    return Folder(settings.data_dir / "photos", PHOTOS)


def open_photos(settings: Settings, *, threads: int = 8, ca_file: Path | None = None) -> Store:
    """Return the store of photos: the bucket or, without R2 settings, the data folder. Connects to nothing yet.

    `threads` is how many threads will use it at once, `ca_file` the certificate authorities to trust instead of the
    public ones. Raises StoreError if the settings cannot be right.
    """
    if settings.r2_endpoint:
        return open_bucket(settings, PHOTOS, threads=threads, ca_file=ca_file)
    return _folder(settings)


def open_bucket(
    settings: Settings,
    namespace: Namespace,
    *,
    threads: int = 1,
    ca_file: Path | None = None,
    part_bytes: int | None = None,
    read_seconds: float = READ_SECONDS,
    attempts: int = ATTEMPTS,
) -> Store:
    """Return a namespace of the bucket of the R2 settings. See `open_photos`; raises StoreError if they are not set.

    `part_bytes` is the size of the parts in which a large file is sent (default: 64 MB).
    """
    endpoint, bucket = settings.r2_endpoint, settings.r2_bucket_name
    key_id, secret = settings.r2_access_key_id, settings.r2_secret_access_key
    if not (endpoint and bucket and key_id and secret):
        raise StoreError(
            f"there is no R2 to keep {namespace.prefix.rstrip('/')} in: set R2_ENDPOINT, R2_ACCESS_KEY_ID, "
            "R2_SECRET_ACCESS_KEY and R2_BUCKET_NAME, or keep them in a folder"
        )
    from vinops.storage.bucket import PART_BYTES, Bucket  # boto3 takes 0.3 s to import

    return Bucket(
        endpoint,
        bucket,
        namespace,
        key_id=key_id,
        secret=secret,
        threads=threads,
        ca_file=ca_file,
        part_bytes=part_bytes or PART_BYTES,
        read_seconds=read_seconds,
        attempts=attempts,
    )
