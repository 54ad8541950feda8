"""What became of a process."""

from __future__ import annotations

from pathlib import Path

import psutil


def runs(pid: int) -> bool:
    """Whether the process runs; one that has ended may still wait to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def of_state(state: Path) -> list[psutil.Process]:
    """All that runs for a state directory: its server, MLflow, nodes, containers."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(state) in " ".join(p.info["cmdline"] or [])]
