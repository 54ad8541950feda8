"""Where rows come from: the bundled sample, files anywhere fsspec reaches, or a dataset of the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tasks.azure.failure import Cause, Failure
from tasks.data.section import SAMPLE, Data

Format = Literal["parquet", "jsonl", "json", "csv"]

FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
}
# data/train_sft-00000-of-00003-a1b2c3.parquet belongs to the split train_sft.
_SHARD = re.compile(r"[-_.]\d{1,6}(-of-\d{1,6})?([-_.][0-9a-f]{8,})?$")


@dataclass(frozen=True)
class Source:
    """The files of each split. `identity` changes whenever the bytes behind it may have changed."""

    name: str
    revision: str | None
    fs: Any  # fsspec.AbstractFileSystem
    splits: dict[str, tuple[str, ...]]
    format: Format
    identity: str

    def files(self, split: str) -> tuple[str, ...]:
        """The split's files; raises Failure listing the splits there are."""
        if split in self.splits:
            return self.splits[split]
        there = ", ".join(sorted(self.splits)) or "none"
        raise Failure(
            f"{self.name} has no split {split!r}.",
            f"Set data.train.name and data.test.name: {there}.",
            cause=Cause.NOT_FOUND,
        )


def resolve(data: Data) -> Source:
    """The source that the section names; nothing but listings is read. Raises Failure in one line."""
    if data.dataset == SAMPLE:
        return _files(str(resources.files("tasks.data") / SAMPLE), SAMPLE)
    if _is_path(data.dataset):
        return _files(data.dataset, data.dataset)
    from tasks.data.hub import listed

    return listed(data)


def _is_path(dataset: str) -> bool:
    if "://" in dataset or any(mark in dataset for mark in "*?[\\") or dataset.startswith((".", "/", "~")):
        return True
    if PurePosixPath(dataset).suffix.lower() in FORMATS or Path(dataset).exists():
        return True
    return dataset.count("/") > 1


def _files(where: str, name: str) -> Source:
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(str(Path(where).expanduser()) if "://" not in where else where)
        found = _listed(fs, path)
    except (OSError, ValueError, ImportError) as error:
        raise Failure(
            f"The data at {name} cannot be listed: {_line(error)}.",
            "Check the path and your access to it.",
            cause=Cause.NOT_FOUND if isinstance(error, FileNotFoundError) else Cause.DATA,
        ) from error
    if not found:
        raise Failure(
            f"There are no data files at {name}.",
            f"Name a file, a folder or a pattern of files that end in {', '.join(FORMATS)}.",
            cause=Cause.NOT_FOUND,
        )
    formats = {FORMATS[PurePosixPath(file).suffix.lower()] for file in found}
    if len(formats) > 1:
        raise Failure(
            f"{name} holds files of several kinds ({', '.join(sorted(formats))}).",
            "Name one kind with a pattern such as folder/*.parquet.",
            cause=Cause.DATA,
        )
    identity = "\n".join(f"{file} {_stamp(info)}" for file, info in sorted(found.items()))
    return Source(name, None, fs, _by_split(found, path), formats.pop(), identity)


def _listed(fs: Any, path: str) -> dict[str, dict[str, Any]]:
    """Data files below a folder, of a pattern, or the one file, each with what is known of it."""
    if any(mark in path for mark in "*?["):
        found = fs.glob(path, detail=True)
    elif fs.isdir(path):
        found = fs.find(path, detail=True)
    elif fs.exists(path):
        found = {path: fs.info(path)}
    else:
        raise FileNotFoundError("no such file or folder")
    return {
        file: info
        for file, info in found.items()
        if info.get("type") != "directory" and PurePosixPath(file).suffix.lower() in FORMATS
    }


def _by_split(files: dict[str, Any], root: str) -> dict[str, tuple[str, ...]]:
    """Files grouped by the split that their name, or their folder, says."""
    splits: dict[str, list[str]] = {}
    for file in sorted(files):
        path = PurePosixPath(file)
        name = _SHARD.sub("", path.stem)
        if name.isdigit() or name in ("", "part", "data"):
            name = path.parent.name
        splits.setdefault(name, []).append(file)
        if file != root:
            splits.setdefault(path.name, [file])
    return {name: tuple(dict.fromkeys(found)) for name, found in splits.items()}


def _stamp(info: dict[str, Any]) -> str:
    """What a file system says that changes with the content."""
    known = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "generation", "sha256")
    return " ".join(f"{key}={info[key]}" for key in known if info.get(key) is not None)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
