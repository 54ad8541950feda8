"""The dataset card of a repository's clone: the splits that it lays out, as the hub reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import yaml

from tasks.azure.failure import Cause, Failure
from tasks.data.layout import Format
from tasks.data.section import Data


def splits(
    fs: Any, root: str, formats: Mapping[str, Format], data: Data
) -> dict[str, tuple[str, ...]] | None:
    """The splits of the configuration that is meant; None where there is no card that lays out any.

    Raises Failure where there are several configurations and none is named.
    """
    found = _configurations(fs, root)
    if not found:
        return None
    names = [str(one.get("config_name", "default")) for one in found]
    wanted = data.subset or next(
        (str(one.get("config_name", "default")) for one in found if one.get("default")),
        "default" if "default" in names else names[0] if len(names) == 1 else None,
    )
    if wanted not in names:
        raise unknown_subset(data, names)
    body = found[names.index(wanted)]
    laid_out: dict[str, tuple[str, ...]] = {}
    for split, patterns in _patterns(body.get("data_files")):
        matched = [
            path
            for path in formats
            if any(_fits(path.removeprefix(root).lstrip("/"), pattern) for pattern in patterns)
        ]
        if matched:
            laid_out[split] = tuple(sorted(matched))
    return laid_out or None


def unknown_subset(data: Data, names: Iterable[str]) -> Failure:
    """That the configuration named, or none, is not one of those there are."""
    listed = ", ".join(names)
    what = (
        f"has no configuration {data.subset!r}"
        if data.subset
        else "has several configurations, and none is named"
    )
    return Failure(
        f"{data.dataset} {what}.", f"Set data.subset to one of: {listed}.", cause=Cause.CONFIGURATION
    )


def _configurations(fs: Any, root: str) -> list[dict[str, Any]]:
    try:
        text = fs.cat_file(f"{root}/README.md").decode("utf-8")
        _, front, _ = text.split("---\n", 2) if text.startswith("---\n") else ("", "", "")
        body = yaml.safe_load(front)
    except (OSError, ValueError, yaml.YAMLError):
        return []
    found = body.get("configs") if isinstance(body, dict) else None
    return [one for one in found or () if isinstance(one, dict) and one.get("data_files")]


def _patterns(data_files: Any) -> Iterable[tuple[str, list[str]]]:
    """As a card may have them: a pattern, a list of them, or a list of splits with paths."""
    if isinstance(data_files, str):
        data_files = [data_files]
    loose: list[str] = []
    for entry in data_files or ():
        if isinstance(entry, dict):
            paths = entry.get("path", [])
            yield str(entry.get("split", "train")), [paths] if isinstance(paths, str) else list(paths)
        else:
            loose.append(str(entry))
    if loose:
        yield "train", loose


def _fits(path: str, pattern: str) -> bool:
    return path == pattern or fnmatchcase(path, pattern) or fnmatchcase(path, pattern.replace("**/", ""))
