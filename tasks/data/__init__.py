"""The data stage: only the bytes that are needed, and rows that are known to be good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.data.prepared import PreparedData, PreparedSplit
from tasks.data.section import Data, Split
from tasks.data.window import Window

if TYPE_CHECKING:
    from tasks.data.task import prepare_data

__all__ = ["Data", "PreparedData", "PreparedSplit", "Split", "Window", "prepare_data"]


def __getattr__(name: str) -> Any:
    """The stage itself, which needs Prefect, only for those who run it."""
    if name != "prepare_data":
        raise AttributeError(name)
    from tasks.data.task import prepare_data

    return prepare_data
