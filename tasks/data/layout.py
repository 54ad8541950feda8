"""What the names of files say: their format, their split, and whether they are data at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from tasks.azure.failure import Cause, Failure


class Format(StrEnum):
    """What a file is written in."""

    PARQUET = "parquet"
    ARROW = "arrow"
    JSON = "json"  # a document, or lines of them
    CSV = "csv"
    TSV = "tsv"

    @property
    def family(self) -> str:
        """Files of one family can be read one after the other as one split."""
        return self.value if self in (Format.PARQUET, Format.ARROW) else "text"


FORMATS: dict[str, Format] = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".feather": Format.ARROW,
    ".ipc": Format.ARROW,
    ".jsonl": Format.JSON,
    ".jsonlines": Format.JSON,
    ".ndjson": Format.JSON,
    ".json": Format.JSON,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
}
READ = (
    "parquet, arrow, jsonl, json, csv and tsv, as they are or packed with gzip, bzip2, zstd, xz, lz4 or zip"
)
_PACKED = {".gz", ".gzip", ".bz2", ".zst", ".zstd", ".xz", ".lzma", ".lz4", ".zip"}
# Files that describe data or the code around it, by their names; `datasets` and the hub write most of them.
_DESCRIPTIONS = {
    *("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json"),
    *("croissant.json", "schema.json", "package.json", "package-lock.json", "mltable", "manifest.json"),
    *("_metadata", "_common_metadata", "config.json", "tokenizer.json", "tokenizer_config.json"),
}
_PROSE = {
    *(".md", ".rst", ".py", ".sh", ".ipynb", ".yaml", ".yml", ".toml", ".cfg", ".lock", ".crc", ".html"),
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".incomplete", ".safetensors", ".bin", ".pt"),
    # What editors and browsers leave behind, and what must be opened by another program first.
    *(".bak", ".orig", ".old", ".tmp", ".temp", ".swp", ".part", ".crdownload", ".ini"),
    *(".xlsx", ".xls", ".ods", ".docx", ".db", ".sqlite", ".tar", ".tgz", ".7z", ".rar"),
}
# data/train_sft-00000-of-00003-a1b2c3d4.parquet belongs to the split train_sft.
_SHARD = re.compile(
    r"[-_.](?:part|shard|chunk)?[-_.]?(\d{1,6})(?:[-_.]?of[-_.]?(\d{1,6}))?(?:[-_.][0-9a-f]{8,})?$", re.I
)
_UNNAMED = re.compile(r"(part|data|shard|chunk|file|rows|\d+|[0-9a-f]{8,}|[0-9a-f-]{32,}|)([-_.].*)?$", re.I)
# mytrain, testset and so on; "latest" and "constrain" are none of them.
_COMPOUND = re.compile(
    r"^(?:my|our|the|full|all|new|chat|sft|data)?(train|training|valid|validation|val|dev|test|testing|eval)"
    r"(?:set|data|split|file|chats?|sft)?$"
)
_HINT = re.compile(r"train|(?<!la)(?<!con)test|valid|holdout|heldout", re.I)
_TRAINING = {"train", "training"}
_VALIDATION = {"validation", "valid", "val", "dev"}
_TEST = {"test", "testing", "eval", "evaluation", "heldout", "holdout"}


def format_of(path: str) -> Format | None:
    """The format that a file's name says, or None."""
    return FORMATS.get(_unpacked(path).suffix.lower())


def is_described(path: str) -> bool:
    """Whether a path below the source is of a file without rows: a description, a marker, prose, code."""
    name = PurePosixPath(_name(path))
    lower = name.name.lower()
    hidden = lower.startswith((".", "~$", "_success", "cache-")) or lower.endswith("~")
    hidden |= any(
        part.startswith((".", "_temporary", "__macosx")) and part not in (".", "..")
        for part in map(str.lower, name.parts[:-1])
    )
    return hidden or lower in _DESCRIPTIONS or name.suffix.lower() in _PROSE or lower in ("license", "notice")


def purpose(name: str) -> str | None:
    """`train`, `validation` or `test` where a word of the name says so."""
    parts = re.split(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])", name)
    words = {_COMPOUND.sub(r"\1", part.lower().rstrip("0123456789")) for part in parts}
    for found, known in (("train", _TRAINING), ("validation", _VALIDATION), ("test", _TEST)):
        if words & known:
            return found
    return None


def hints(name: str) -> bool:
    """Whether a name that says no purpose by a word of its own may yet mean one."""
    return _HINT.search(name) is not None


def split_of(path: str, root: str) -> str:
    """The split that a file's name says, else a folder's of those below `root`, else the file's own name."""
    stem = _SHARD.sub("", _unpacked(path).stem)
    if purpose(stem):
        return stem
    below = PurePosixPath(_name(path).removeprefix(_name(root))).parent.parts
    for folder in reversed(below):
        if purpose(folder):
            return folder.rpartition("=")[2] or folder  # split=train, as Hive and Spark have it
    if _UNNAMED.fullmatch(stem):
        return PurePosixPath(_name(path)).parent.name or stem
    return stem


def check_shards(source: str, split: str, paths: Iterable[str]) -> None:
    """Raise Failure where names say that there is one file more: two of train-00000-of-00003 and so on."""
    sets: dict[tuple[str, str], list[int]] = {}
    names: dict[tuple[str, str], str] = {}  # as one of the set is written, with a place for the number
    for path in paths:
        stem = _unpacked(path).stem
        if (match := _SHARD.search(stem)) and match[2]:
            folder = str(PurePosixPath(_name(path)).parent)
            one = (f"{folder}/{stem[: match.start()]}", match[2])
            sets.setdefault(one, []).append(int(match[1]))
            names[one] = f"{stem[: match.start(1)]}{{:0{len(match[1])}}}{stem[match.end(1) : match.end(2)]}"
    stems = [stem for stem, _ in sets]
    for (stem, count), numbers in sets.items():
        name, of = names[stem, count], int(count)
        if stems.count(stem) > 1 or len(set(numbers)) < len(numbers):
            raise Failure(
                f"{source} has files of two versions of {split}: {_listed(name, numbers)} and others.",
                "Delete the older ones, or name those meant by a pattern in the split's name.",
                cause=Cause.DATA,
            )
        if len(numbers) != of:
            there, first = set(numbers), 0 if 0 in numbers or of not in numbers else 1
            missing = [number for number in range(first, first + of) if number not in there]
            raise Failure(
                f"{source} has {len(numbers)} of {of} files of {split}: {_listed(name, missing)} missing.",
                "Fetch what is missing, or name those that are meant: "
                f"data.train.name={stem.rsplit('/', 1)[-1]}*.",
                cause=Cause.DATA,
            )


def _listed(name: str, numbers: list[int]) -> str:
    shown = [name.format(number) for number in numbers[:3]]
    return ", ".join(shown) + (f" and {len(numbers) - 3} more" if len(numbers) > 3 else "")


def twice(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of files that seem to be one: the same name in two formats, or packed and not."""
    seen: dict[PurePosixPath, str] = {}
    for path in paths:
        name = _unpacked(path).with_suffix("")
        if name in seen:
            yield seen[name], path
        seen.setdefault(name, path)


def _unpacked(path: str) -> PurePosixPath:
    """The name without what says that it is compressed."""
    name = PurePosixPath(_name(path))
    if name.suffix.lower() in _PACKED:
        name = name.with_suffix("")
    if name.stem.lower().endswith(".snappy"):  # Spark: part-00000-….snappy.parquet
        name = name.with_name(name.stem[: -len(".snappy")] + name.suffix)
    return name


def _name(path: str) -> str:
    """A path; of an address without its query."""
    return urlsplit(path).path if path.startswith(("http://", "https://")) else path
