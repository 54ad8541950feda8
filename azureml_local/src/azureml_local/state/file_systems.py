"""Containers with folders: what Data Lake Storage Gen2 has beside blobs.

Folders are those of the disk, so that a job's are seen as well; what is kept of one besides is its metadata.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.state.blobs import Blobs
from azureml_local.state.documents import DATASTORES, FOLDERS, FolderDocument
from azureml_local.state.places import container_of
from azureml_local.state.store import Store


@dataclass(frozen=True)
class Entry:
    """A file or folder; `size` in bytes, 0 of a folder."""

    name: str
    is_folder: bool
    size: int
    modified: datetime
    etag: str


class FileSystems:
    """The folders of the containers that a datastore of Data Lake Storage Gen2 names."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    def has(self, container: str) -> bool:
        """Whether the container has folders: a datastore says that it is a file system."""
        return any(
            "filesystem" in document["properties"] and container_of(document["properties"]) == container
            for _, document in self._store.list(DATASTORES)
        )

    def folder(self, container: str, name: str) -> tuple[Entry, Mapping[str, str]] | None:
        """The folder with its metadata, None where there is none, or the container has no folders."""
        try:
            path = self._blobs.path(container, name)
        except (BadRequest, NotFound):  # no folder has a name that cannot be
            return None
        if not (path.is_dir() and self.has(container)):
            return None
        kept = self._store.get(FOLDERS, f"{container}/{name}")
        return _entry(name, path), (kept["metadata"] if kept else {})

    def make(self, container: str, name: str) -> Entry:
        """Make the folder with those above it; raises Conflict where a file has that place."""
        path = self._blobs.writable(container, name)
        with self._blobs.unchanged():
            try:
                path.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise Conflict(f"{name} is a file, or is in one.", code="PathAlreadyExists") from error
            return _entry(name, path)

    def set_metadata(self, container: str, name: str, metadata: Mapping[str, str]) -> Entry:
        """Replace the folder's metadata."""
        path = self._blobs.writable(container, name)
        with self._blobs.unchanged():
            document: FolderDocument = {"metadata": dict(metadata)}
            self._store.put(FOLDERS, f"{container}/{name}", document)
            os.utime(path)  # a change of metadata changes Last-Modified and the ETag
            return _entry(name, path)

    def entries(self, container: str, below: str = "", *, recursive: bool) -> Iterator[Entry]:
        """What is in a folder, in the order of names; a file is itself. Raises NotFound."""
        path = self._blobs.path(container, below)
        if path.is_file():
            yield _entry(below, path)
        elif path.is_dir():
            yield from _walk(path, f"{below}/" if below else "", recursive)
        else:
            raise NotFound("The specified path does not exist.", code="PathNotFound")


def _walk(folder: Path, base: str, recursive: bool) -> Iterator[Entry]:
    """Links are never followed: a job can make one that leads anywhere."""
    for each in sorted(folder.iterdir()):
        if each.is_symlink():
            continue
        try:
            entry = _entry(base + each.name, each)
        except FileNotFoundError:  # removed while we were listing
            continue
        yield entry
        if entry.is_folder and recursive:
            yield from _walk(each, f"{base}{each.name}/", recursive)


def _entry(name: str, path: Path) -> Entry:
    status, is_folder = path.stat(), path.is_dir()
    return Entry(
        name=name,
        is_folder=is_folder,
        size=0 if is_folder else status.st_size,
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
        etag=f'"0x{status.st_mtime_ns:X}"',
    )
