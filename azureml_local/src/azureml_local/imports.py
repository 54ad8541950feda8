"""Imports without what takes much of their time and does nothing: the garbage collector, plug-ins."""

from __future__ import annotations

import gc
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uncollected() -> Iterator[None]:
    """While the block imports, nothing is collected, and later what it has made is not looked at again."""
    if not gc.isenabled():  # within such a block
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def without_plugins(of: str) -> Iterator[None]:
    """While the block imports, `of` finds no plug-in among its entry points, which are named `of.…`.

    Whatever is installed: what is not loaded takes no time, and cannot keep a server from its start.
    """
    found = importlib.metadata.entry_points

    def others(**wanted: Any) -> Any:
        if str(wanted.get("group", "")).startswith(f"{of}."):
            return importlib.metadata.EntryPoints()
        return found(**wanted)

    importlib.metadata.entry_points = others
    try:
        yield
    finally:
        importlib.metadata.entry_points = found
