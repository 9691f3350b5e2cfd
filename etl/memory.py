"""Memory allocation of a load, which frees and allocates the same few megabytes thousands of times.

glibc returns each large piece to the system at once and maps it again, page fault by page fault: measured 2026-11-23 on
a virtual machine, that was a third of the time of a delta load.
"""

from __future__ import annotations

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_MOST = 32 << 20  # the largest that glibc allows for M_MMAP_THRESHOLD


def keep_freed() -> None:
    """Make the allocator keep freed memory, in one arena for all threads. Does nothing without glibc."""
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, _MOST)
    mallopt(_M_TRIM_THRESHOLD, 4 * _MOST)
