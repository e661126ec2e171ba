"""Freed memory stays with the process, as thousands of searches one after the other want it.

The matrices of the model of runs lie above the sizes that glibc keeps: by default it takes each
from the kernel, page by page, and gives it back. In a sandbox that half of the time of a study of
200 trainings goes there (42 CPU s with, 22 without); a training doesn't notice.
"""

import ctypes

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST = 2**25  # bytes; more is refused by older versions


def keep_freed_memory() -> None:
    """Ask the C library for it; one that knows no such thing goes on as before."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(option, _MOST)
