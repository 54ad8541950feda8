"""Making the most of the processor: memory allocation, threads."""

from __future__ import annotations

import ctypes
import os
import time

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h
_BUSY = 0.7  # of the processor time asked for; below it somebody else computes too


def keep_memory() -> None:
    """Have glibc keep freed memory; to be called before torch is imported.

    Each step frees and takes the same large tensors again; returned to the system, every page of them would
    be zeroed again, which takes as long as a third of the computing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries than glibc have no such call
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def wait_without_spinning() -> None:
    """Have idle OpenMP threads sleep soon; to be called before torch is imported.

    A thread that spins takes the processor from the very one it waits for when others compute as well.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


class Threads:
    """Chooses how many threads compute, step by step.

    Threads wait for each other many thousand times a second. When another program holds one of the cores,
    all wait for the one that shares it, and a single thread is faster than two. How much processor time was
    had for the time that passed tells which it is.
    """

    def __init__(self, *, fixed: bool = False) -> None:
        import torch

        self._set = torch.set_num_threads
        self._most = self.count = torch.get_num_threads()
        self._fixed = fixed or self._most == 1
        self._mark = _times()

    def adapt(self) -> None:
        """Look back at what was computed since the last call."""
        if self._fixed:
            return
        wall, own, idle = (now - then for now, then in zip(_times(), self._mark, strict=True))
        if wall < 0.5:  # seconds; the system counts in hundredths
            return
        self._mark = _times()
        if self.count > 1 and own / wall / self.count < _BUSY:
            self._use(max(1, self.count // 2))
        elif self.count < self._most and idle / wall > 0.7 * self.count:
            self._use(self._most)

    def _use(self, count: int) -> None:
        self.count = count
        self._set(count)


def _times() -> tuple[float, float, float]:
    """Seconds of wall clock, of this process's computing, and of all cores' idling."""
    import psutil

    return time.monotonic(), time.process_time(), psutil.cpu_times().idle
