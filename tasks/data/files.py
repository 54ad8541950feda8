"""Files anywhere that fsspec reaches, grouped into splits as their names, folders and descriptions say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.azure.failure import Cause, Failure
from tasks.data import card, datastore, layout, split_lists
from tasks.data.layout import READ, Format
from tasks.data.packed import sniffed
from tasks.data.ranges import is_local
from tasks.data.section import Data
from tasks.data.source import Source

_UNPACK, _EXPORT = "Unpack it. ", "Save it as CSV in UTF-8. "
_OPENED = dict.fromkeys((".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"), _UNPACK) | dict.fromkeys(
    (".xlsx", ".xls", ".ods", ".db", ".sqlite"), _EXPORT
)
_STATE = "state.json"  # of `save_to_disk`: which of the folder's Arrow files are the data


def listed(where: str, name: str, data: Data) -> Source:
    """The files at a path or address. Nothing but listings, and the beginnings of odd files, is read.

    Raises Failure in one line.
    """
    import fsspec

    address = where if "://" in where or datastore.is_meant(where) else str(Path(where).expanduser())
    try:
        fs, path = (
            datastore.opened(address) if datastore.is_meant(address) else fsspec.core.url_to_fs(address)
        )
    except (ImportError, ValueError) as error:  # ValueError: the protocol comes with a package
        raise Failure(
            f"Reading {name} needs a package that is not installed: {_line(error)}.",
            "Install it beside this one, such as adlfs for abfss://, s3fs for s3://, gcsfs for gs://.",
            cause=Cause.CONFIGURATION,
        ) from error
    try:
        listing = _listing(fs, path)
    except FileNotFoundError as error:
        raise Failure(
            f"The data at {name} cannot be listed: no such file or folder.",
            "Check data.dataset: a path, an address, or a dataset of the hub as owner/name.",
            cause=Cause.NOT_FOUND,
        ) from error
    except (OSError, ValueError) as error:
        raise Failure(
            f"The data at {name} cannot be listed: {_line(error)}.",
            "Check the path and your access to it.",
            cause=Cause.UNREACHABLE if isinstance(error, ConnectionError) else Cause.NOT_FOUND,
        ) from error
    return _source(fs, path, name, listing, data)


def _source(fs: Any, path: str, name: str, listing: _Listing, data: Data) -> Source:
    formats = {file: found for file, found in listing.formats(fs).items() if found}
    if not formats:
        names = ", ".join(PurePosixPath(file).name for file in list(listing.files)[:5])
        raise Failure(
            f"There are no data files at {name}{f' (there is {names})' if names else ''}.",
            _OPENED.get(PurePosixPath(names.lower()).suffix, "")
            + f"Name a file, a folder or a pattern of files ({READ}).",
            cause=Cause.NOT_FOUND,
        )
    splits = card.splits(fs, listing.root, formats, data) if listing.is_folder else None
    if splits is None:
        splits = _by_split(formats, path if listing.is_folder else "")
    within = _within(fs, [file for paths in splits.values() for file in paths], formats)
    formats |= dict.fromkeys(within, Format.JSON)
    splits = _taken_apart(splits, within)
    used = {file for paths in splits.values() for file in paths}
    held = {file for file, _ in within.values()}
    others = [file for file in listing.files if file not in used | held]
    identity = "\n".join(f"{file} {_stamp(info)}" for file, info in sorted(listing.files.items()))
    return Source(
        name=name,
        revision=None,
        fs=fs,
        splits=splits,
        formats={file: found for file, found in formats.items() if file in used},
        identity=f"{data.subset} {identity}",
        root=listing.root,
        within=within,
        others=tuple(file.removeprefix(listing.root).lstrip("/") for file in sorted(others)),
    )


@dataclass(frozen=True)
class _Listing:
    """What there is at a place, each file with what is known of it."""

    files: Mapping[str, Mapping[str, Any]]
    root: str
    is_folder: bool

    def formats(self, fs: Any) -> dict[str, Format | None]:
        """Each file's format by its name; of an odd name by its first bytes; None for what holds no rows."""
        found: dict[str, Format | None] = {}
        kept = _kept_by_state(fs, self.files)
        for file in sorted(self.files):
            alone = len(self.files) == 1 and not self.is_folder
            below = file.removeprefix(self.root).lstrip("/")
            named = layout.format_of(file)
            if (layout.is_described(below) and not alone) or (kept is not None and file not in kept):
                found[file] = None
            elif named and not is_local(fs):
                found[file] = named  # a look into each file of a server would take longer than all the rest
            else:
                found[file] = sniffed(fs, file, named)
        return found


def _listing(fs: Any, path: str) -> _Listing:
    """Files below a folder, the one file, or else those of a pattern: a name may hold its signs as well."""
    if fs.isdir(path):
        root = path.rstrip("/")
        return _Listing(_below(fs, root), root, True)
    if fs.exists(path):
        return _Listing({path: fs.info(path)}, str(PurePosixPath(path).parent), False)
    if not any(mark in path for mark in "*?["):
        raise FileNotFoundError(path)
    found = _only_files(fs.glob(path, detail=True))
    if not found:
        raise FileNotFoundError(path)
    return _Listing(found, path[: min(path.find(m) for m in "*?[" if m in path)].rpartition("/")[0], False)


def _below(fs: Any, folder: str, above: frozenset[str] = frozenset()) -> dict[str, Mapping[str, Any]]:
    """The files below a folder, and below folders that are linked into it, but for those that it is in."""
    found = _only_files(fs.find(folder, detail=True))
    if not is_local(fs):
        return found
    above |= {os.path.realpath(folder)}
    for link in [file for file, info in found.items() if info.get("islink") and fs.isdir(file)]:
        del found[link]
        real = os.path.realpath(link)
        if not any(f"{one}/".startswith(f"{real}/") for one in above):
            found |= _below(fs, link, above)
    return found


def _only_files(found: Any) -> dict[str, Mapping[str, Any]]:
    return {file: info for file, info in found.items() if info.get("type") != "directory"}


def _kept_by_state(fs: Any, files: Mapping[str, Any]) -> set[str] | None:
    """The files that the descriptions of `save_to_disk` name, and those elsewhere; None without such ones."""
    states = [file for file in files if PurePosixPath(file).name == _STATE]
    folders: dict[str, set[str]] = {}
    for state in states:
        try:
            body = json.loads(fs.cat_file(state))
            named = {entry["filename"] for entry in body["_data_files"]}
        except (ValueError, KeyError, TypeError):
            continue  # another program's state.json
        folder = str(PurePosixPath(state).parent)
        if body.get("_indices_data_files") or body.get("_indices_files"):
            raise Failure(
                f"The dataset in {folder} is a choice of rows that an old release of datasets has saved.",
                "Load it with datasets and save it again: load_from_disk(…).save_to_disk(…).",
                cause=Cause.DATA,
            )
        missing = sorted(named - {PurePosixPath(file).name for file in files})
        if missing:
            raise Failure(
                f"The saved dataset in {folder} lacks files: {', '.join(missing[:3])}.",
                "Copy the whole folder.",
                cause=Cause.DATA,
            )
        folders[folder] = named
    if not folders:
        return None
    return {
        file
        for file in files
        if (parent := str(PurePosixPath(file).parent)) not in folders
        or PurePosixPath(file).name in folders[parent]
    }


def _by_split(formats: Mapping[str, Format], root: str) -> dict[str, tuple[str, ...]]:
    """Files grouped by the split that their names or their folders say; one split where none says any."""
    splits: dict[str, list[str]] = {}
    for file in sorted(formats):
        splits.setdefault(layout.split_of(file, root), []).append(file)
    return {name: tuple(found) for name, found in splits.items()}


def _within(fs: Any, files: Iterable[str], formats: Mapping[str, Format]) -> dict[str, tuple[str, str]]:
    """The splits that lie in one document; a server's files are not read to find them."""
    if not is_local(fs):
        return {}
    documents = [file for file in files if formats[file] is Format.JSON]
    return {f"{file}#{name}": (file, name) for file in documents for name in split_lists.names(fs, file)}


def _taken_apart(
    splits: Mapping[str, tuple[str, ...]], within: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, ...]]:
    """The splits with each document replaced by those that lie in it."""
    documents = {file for file, _ in within.values()}
    found = {
        name: tuple(file for file in files if file not in documents)
        for name, files in splits.items()
        if not documents.issuperset(files)
    }
    for part, (_, name) in within.items():
        found[name] = (*found.get(name, ()), part)
    return found


def _stamp(info: Mapping[str, Any]) -> str:
    """What a file system says that changes with the content."""
    known = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "generation", "sha256")
    return " ".join(f"{key}={info[key]}" for key in known if info.get(key) is not None)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
