"""Syncs folders to disk, and explains why a file cannot be written: which disk is full, and what to remove from it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
PHRASE: Final = os.strerror(errno.ENOSPC)
"""The words for a full disk in the message of a server, which is all that is known of such an error."""
GO: Final = "`vinops logs --prune 1d` removes rotated logs; docs/runbook.md, The disk is full, says what else may go"


def read_only(place: Path) -> str:
    """Return in words that the file system of a folder takes no writes, and what fixes it."""
    return (
        f"the file system of {place} is read-only ({os.strerror(errno.EROFS)}): mount it writable, or name another "
        "folder; `dmesg` says whether the kernel did that because the disk fails"
    )


def is_full(error: BaseException) -> bool:
    """Tell whether a disk, a quota or a limit of a file's size is used up."""
    return isinstance(error, OSError) and error.errno in FULL


def explain(error: OSError, place: Path, *, go: str = GO, is_sure: bool = True) -> str:
    """Return in words why a file below `place` was not written: which disk is full, and with `go` how to free space;
    of a
    read-only file system that it is one; for other errors the file, the reason, and that its owner has to run the
    command.

    Without `is_sure` it may be the output of the program that was not written.
    """
    reason = error.strerror or type(error).__name__
    named = error.filename and Path(os.fsdecode(error.filename))
    if error.errno == errno.EROFS:
        return read_only(named or place)
    if not is_full(error):
        return f"{named or place}: {reason}: run as the owner of it, or name another folder"
    if named or is_sure:
        return f"the disk of {named or place} is full ({reason}): free some space: {go}"
    return f"a disk is full ({reason}), that of {place} or the one that the output goes to: free some space: {go}"


def sync_folder(folder: Path) -> None:
    """Write the entries of a folder to disk, so that new names in it survive a loss of power. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
