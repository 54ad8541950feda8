"""Files anywhere that fsspec reaches, grouped into splits as their names, folders and descriptions say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.azure.failure import Cause, Failure
from tasks.data import card, layout
from tasks.data.layout import READ, Format
from tasks.data.packed import sniffed
from tasks.data.section import Data
from tasks.data.source import Source

_STATE = "state.json"  # of `save_to_disk`: which of the folder's Arrow files are the data


def listed(where: str, name: str, data: Data) -> Source:
    """The files at a path or address. Nothing but listings, and the beginnings of odd files, is read.

    Raises Failure in one line.
    """
    import fsspec

    address = where if "://" in where else str(Path(where).expanduser())
    try:
        fs, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:  # ValueError: the protocol comes with a package
        raise Failure(
            f"Reading {name} needs a package that is not installed: {_line(error)}.",
            "Install it beside this one, such as adlfs for abfss://, s3fs for s3://, gcsfs for gs://, "
            "azureml-fsspec for azureml://.",
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
            f"Name a file, a folder or a pattern of files ({READ}).",
            cause=Cause.NOT_FOUND,
        )
    splits = card.splits(fs, listing.root, formats, data) if listing.is_folder else None
    if splits is None:
        splits = _by_split(formats, path if listing.is_folder else "")
    used = {file for paths in splits.values() for file in paths}
    others = [file for file in listing.files if file not in used]
    identity = "\n".join(f"{file} {_stamp(info)}" for file, info in sorted(listing.files.items()))
    return Source(
        name=name,
        revision=None,
        fs=fs,
        splits=splits,
        formats={file: found for file, found in formats.items() if file in used},
        identity=f"{data.subset} {identity}",
        root=listing.root,
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
            named = len(self.files) == 1 and not self.is_folder
            if (layout.is_described(file) and not named) or (kept is not None and file not in kept):
                found[file] = None
            else:
                found[file] = layout.format_of(file) or sniffed(fs, file)
        return found


def _listing(fs: Any, path: str) -> _Listing:
    """Files below a folder, the one file, or else those of a pattern: a name may hold its signs as well."""
    if fs.isdir(path):
        root = path.rstrip("/")
        return _Listing(_only_files(fs.find(path, detail=True)), root, True)
    if fs.exists(path):
        return _Listing({path: fs.info(path)}, str(PurePosixPath(path).parent), False)
    if not any(mark in path for mark in "*?["):
        raise FileNotFoundError(path)
    found = _only_files(fs.glob(path, detail=True))
    if not found:
        raise FileNotFoundError(path)
    return _Listing(found, path[: min(path.find(m) for m in "*?[" if m in path)].rpartition("/")[0], False)


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


def _stamp(info: Mapping[str, Any]) -> str:
    """What a file system says that changes with the content."""
    known = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "generation", "sha256")
    return " ".join(f"{key}={info[key]}" for key in known if info.get(key) is not None)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
