"""The data stage: only the bytes that are needed, and rows that are known to be good."""

from tasks.data.prepared import PreparedData, PreparedSplit
from tasks.data.section import Data, Split
from tasks.data.task import prepare_data
from tasks.data.window import Window

__all__ = ["Data", "PreparedData", "PreparedSplit", "Split", "Window", "prepare_data"]
