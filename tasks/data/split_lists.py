"""JSON documents that hold their splits: {"train": […], "test": […]}."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from tasks.azure.failure import Failure
from tasks.data import layout, packed
from tasks.data.utf8 import as_utf8

_HEAD = 4096  # bytes looked at
_FIRST = re.compile(rb'\s*\{\s*"([^"\\]{1,80})"\s*:\s*\[')


def names(fs: Any, path: str) -> list[str]:
    """The members of a document that are lists and called as splits are; none unless there are two at least.

    The file is read as a whole where its first member is called so, and else only its beginning.
    """
    try:
        with fs.open(path, "rb") as stored:
            content = as_utf8(packed.unpacked(io.BufferedReader(stored)))
            first = _FIRST.match(content.peek(_HEAD)[:_HEAD])
            if not first or not layout.purpose(first[1].decode(errors="replace")):
                return []
            found = [name for name in _lists(content) if layout.purpose(name)]
    except (OSError, ValueError, Failure, *packed.ERRORS):
        return []  # what is wrong with it is said when its rows are read
    return found if len(found) > 1 else []


def _lists(content: Any) -> Iterator[str]:
    import ijson
    from ijson.common import JSONError

    key, depth = "", 0
    try:
        for event, value in ijson.basic_parse(content, use_float=True):
            if depth == 1 and event == "map_key":
                key = value
            elif event in ("start_map", "start_array"):
                if depth == 1 and event == "start_array":
                    yield key
                depth += 1
            elif event in ("end_map", "end_array"):
                depth -= 1
    except JSONError as error:
        raise ValueError(str(error)) from error
