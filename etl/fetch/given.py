"""A feed file that is named by its path: what it is, and its content where it is compressed."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from etl.errors import FeedRefused, FetchFailed
from etl.fetch.download import GZIP, Damaged, gunzipped
from etl.fetch.incoming import COPIED_BYTES, Part
from etl.progress import Progress, silent
from etl.store.places import INCOMING

if TYPE_CHECKING:
    from pathlib import Path

    from vinops.config import Settings

OTHER: Final = {
    b"\x28\xb5\x2f\xfd": "compressed with zstd: files of the archive are read with `python -m etl cat STAMP`, others "
    "with `zstd -d`",
    b"PK\x03\x04": "a ZIP file: unpack it and name the CSV file in it",
    b"BZh": "compressed with bzip2: unpack it with `bunzip2`",
    b"\xfd7zXZ": "compressed with xz: unpack it with `unxz`",
}
"""The first bytes of files that are not a feed, and what they are."""


@contextmanager
def plain(settings: Settings, path: Path, progress: Progress = silent) -> Iterator[Path]:
    """Yield the path of a file with the content of `path`: the same, or for gzip a decompressed copy, which is removed
    afterwards. `progress` gets the compressed bytes that were read.

    Raises FetchFailed for what is not a file, FeedRefused for one that is damaged, larger than any feed, or compressed
    otherwise, and OSError. If the process dies the copy is left: the next fetch removes it.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no file on a disk, but a pipe or a device"
        raise FetchFailed("not_a_file", f"{path} is {kind}: name the feed's CSV file")
    with path.open("rb") as file:
        head = file.read(8)
        if other := next((what for magic, what in OTHER.items() if head.startswith(magic)), None):
            raise FeedRefused("compressed", f"{path} is {other}")
        if not head.startswith(GZIP):
            yield path
            return
        file.seek(0)
        folder = settings.data_dir / INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        with Part(folder, "given") as part:
            _decompress(file, found.st_size, part, progress)
            copy = part.keep()
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _decompress(file: BinaryIO, size: int, part: Part, progress: Progress) -> None:
    def read() -> Iterator[bytes]:
        while data := file.read(COPIED_BYTES):
            yield data
            progress(file.tell(), size)

    try:
        for data in gunzipped(read()):
            part.write(data)
    except Damaged as damage:
        raise FeedRefused("truncated", f"{file.name} is cut short or damaged ({damage}): get it again") from None
    part.flush()
