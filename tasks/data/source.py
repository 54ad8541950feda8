"""Where rows are: the files of each split, and what else lies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from tasks.azure.failure import Cause, Failure
from tasks.data import layout
from tasks.data.layout import Format


@dataclass(frozen=True)
class Source:
    """The files of each split. `identity` changes whenever the bytes behind it may have changed.

    `others` are files beside them that hold no rows, or are in no format that is read.
    """

    name: str
    revision: str | None
    fs: Any  # fsspec.AbstractFileSystem
    splits: Mapping[str, tuple[str, ...]]
    formats: Mapping[str, Format]  # path -> format
    identity: str
    root: str = ""
    others: tuple[str, ...] = ()
    # Of a document that holds its splits: what stands for one of them here -> the file, the list's name.
    within: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def files(self, split: str) -> tuple[str, ...]:
        """The files of a split by its name, or those that a file's, a folder's name or a pattern says.

        Raises Failure listing the splits there are, or for a split that is not whole.
        """
        if split in self.splits:
            found = self.splits[split]
            layout.check_shards(self.name, split, found)
        else:
            found = tuple(path for path in self.formats if self._is_named(path, split))
        if not found:
            raise self.missing(split)
        families = {self.formats[path].family for path in found}
        if len(families) > 1:
            kinds = ", ".join(sorted({self.formats[path].value for path in found}))
            raise Failure(
                f"The split {split} of {self.name} has files of several kinds ({kinds}).",
                "Name one kind by a pattern in the split's name, such as *.parquet.",
                cause=Cause.DATA,
            )
        for one, other in layout.twice(found):
            raise Failure(
                f"{PurePosixPath(one).name} and {PurePosixPath(other).name} seem to be the same data twice.",
                "Delete one, or name the files meant by a pattern in the split's name.",
                cause=Cause.DATA,
            )
        return found

    def missing(self, split: str) -> Failure:
        """That there is no such split, and which setting names one that there is."""
        there = ", ".join(sorted(self.splits)) or "none"
        return Failure(
            f"{self.name} has no split {split!r}.",
            f"Set data.train.name to one of: {there}. Without data.test.name, the test split is cut from it.",
            cause=Cause.NOT_FOUND,
        )

    def _is_named(self, path: str, split: str) -> bool:
        below = path.removeprefix(self.root).lstrip("/")
        if split in (path, below, PurePosixPath(path).name) or split.rstrip("/") in (
            str(folder) for folder in PurePosixPath(below).parents
        ):
            return True
        return fnmatchcase(below, split) or fnmatchcase(PurePosixPath(path).name, split)
