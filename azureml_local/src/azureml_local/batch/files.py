"""The files of a batch job's input, and the mini batches that they come in."""

from __future__ import annotations

from pathlib import Path


class NoData(Exception):
    """The input has no file that could be scored."""


def mini_batches(data: Path, size: int) -> tuple[list[list[str]], int]:
    """The files of the input, `size` at a time in the order of their names, and how many were left out.

    Documented in how-to-mlflow-batch: work is divided by files, whatever their sizes, and folders within the
    input are not looked into. Raises NoData.
    """
    if data.is_file():
        return [[str(data)]], 0
    files = sorted(str(path) for path in data.iterdir() if path.is_file())
    nested = sum(path.is_file() for path in data.rglob("*")) - len(files)
    if not files:
        beside = f" The {nested} files in folders below it are not looked at." if nested else ""
        raise NoData(
            "Dataset initialization failed: the source of the dataset is either not accessible or doesn't "
            f"contain any data.{beside}"
        )
    return [files[start : start + size] for start in range(0, len(files), size)], nested
