"""What became of a process."""

from __future__ import annotations

import psutil


def runs(pid: int) -> bool:
    """Whether the process runs; one that has ended may still wait to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
