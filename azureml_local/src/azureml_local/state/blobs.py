"""Blobs as plain files below one directory a container, committed by renaming."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from azureml_local.errors import BadRequest, Conflict, Forbidden, NotFound
from azureml_local.state.blob import Blob, BlobProperties
from azureml_local.state.documents import BLOBS, DATASTORES, BlobDocument
from azureml_local.state.places import container_of
from azureml_local.state.store import Store

MayReplace = Callable[[], bool]


def _always() -> bool:
    return True


class Blobs:
    """Containers of blobs on disk.

    A blob is a plain file, so a job can read and write it by path; half an upload lives in a directory of its
    own until it is renamed into place. As in a storage account with folders, a name cannot be a blob and a
    folder at once.

    `lent` are folders elsewhere that are read as containers, their links followed; nothing is written there.
    What has been answered survives kill -9 of the server, and with `durable` a power cut.
    """

    def __init__(
        self,
        root: Path,
        uploads: Path,
        store: Store,
        lent: Mapping[str, Path] | None = None,
        *,
        durable: bool = False,
    ) -> None:
        self._durable = durable
        self._root = root.resolve()
        self._lent = lent or {}
        self._staging = uploads / "staging"
        self._store = store
        self._lock = threading.RLock()  # a commit makes folders, a delete removes empty ones
        self._root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True)

    def create_container(self, container: str) -> bool:
        """Make the container; False if it was there."""
        try:
            self._container(container).mkdir()
        except FileExistsError:
            return False
        return True

    def path(self, container: str, name: str) -> Path:
        """Where the blob or folder lies, existing or not; raises BadRequest for a name that cannot be."""
        root = self._container(container)
        if not root.is_dir():
            raise NotFound(f"The container {container} does not exist.", code="ContainerNotFound")
        path = root.joinpath(*_segments(name))
        if container not in self._lent and not path.resolve().is_relative_to(root):
            raise BadRequest(f"The name {name!r} leads outside its container.", code="InvalidUri")
        return path

    def datastore_path(self, datastore: str, relative: str = "") -> Path:
        """The local path behind a path in a datastore."""
        return self.path(self.datastore_container(datastore), relative.strip("/"))

    def datastore_container(self, datastore: str) -> str:
        """The container of the datastore; raises NotFound."""
        document = self._store.get(DATASTORES, datastore)
        if document is None:
            raise NotFound(f"The datastore {datastore} does not exist.")
        return container_of(document["properties"])

    def get(self, container: str, name: str) -> Blob:
        """The blob's properties; raises NotFound."""
        root = self.path(container, "")
        try:
            path = self.path(container, name)
        except BadRequest:  # no blob has a name that cannot be
            path = root
        if not path.is_file():
            raise NotFound("The specified blob does not exist.", code="BlobNotFound")
        return self._blob(container, name, path)

    def open(self, container: str, name: str) -> BinaryIO:
        """Read the blob's content; raises NotFound."""
        try:
            return self.path(container, name).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound("The specified blob does not exist.", code="BlobNotFound") from error

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A fresh path for an upload under way, removed at the end unless it has been committed."""
        path = self._staging / uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def commit(
        self,
        container: str,
        name: str,
        staged: Path,
        properties: BlobProperties | None = None,
        *,
        may_replace: MayReplace = _always,
    ) -> Blob:
        """Make the staged file the blob, in one step; raises Conflict when it may not take that place.

        `may_replace` is asked when nothing else can change any more.
        """
        path = self.writable(container, name)
        if not name:
            raise BadRequest("A blob needs a name.", code="InvalidUri")
        with self._lock:
            if path.is_dir():
                raise Conflict(f"{name} is a folder.", code="PathConflict")
            if not may_replace() and path.exists():
                raise Conflict("The specified blob already exists.", code="BlobAlreadyExists")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise Conflict(f"A folder in {name} is a blob.", code="PathConflict") from error
            status = staged.stat()
            self._remember(container, name, status.st_mtime_ns, properties or BlobProperties())
            if self._durable:
                _sync(staged)
            os.replace(staged, path)
            if self._durable:
                _sync(path.parent)
            return self._blob(container, name, path)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """While the block runs, no client changes a blob: what is read of one and written to it fit."""
        with self._lock:
            yield

    def set_metadata(self, container: str, name: str, metadata: Mapping[str, str]) -> Blob:
        """Replace the client's own properties of the blob; raises NotFound."""
        blob = self.get(container, name)
        path = self.writable(container, name)
        with self._lock:
            now, changed = time.time_ns(), replace(blob.properties, metadata=metadata)
            self._remember(container, name, now, changed)
            os.utime(path, ns=(now, now))  # a change of metadata changes Last-Modified and the ETag
            if (kept := path.stat().st_mtime_ns) != now:  # a file system of coarser times
                self._remember(container, name, kept, changed)
            return self._blob(container, name, path)

    def delete(self, container: str, name: str) -> None:
        """Remove the blob and the folders it leaves empty; raises NotFound."""
        self.get(container, name)
        path = self.writable(container, name)
        root = self._container(container)
        with self._lock:
            path.unlink(missing_ok=True)
            self._store.delete(BLOBS, f"{container}/{name}")
            for folder in path.parents:
                if folder == root or any(folder.iterdir()):
                    break
                folder.rmdir()

    def list(self, container: str, prefix: str = "", *, after: str = "") -> Iterator[Blob]:
        """Blobs whose names begin with `prefix` and follow `after`, in the order of their names."""
        root = self.path(container, "")
        for name, entry in _walk(root, "", prefix, after, container in self._lent):
            yield self._blob(container, name, entry)

    def clear(self) -> None:
        """Remove every blob; the containers stay, and what the documents say of blobs."""
        with self._lock:
            containers = self._emptied()
            for container in containers:
                (self._root / container).mkdir()

    def copy_to(self, path: Path) -> None:
        """Copy every container to a directory that is not there yet."""
        with self._lock:
            shutil.copytree(self._root, path)

    def replace_by(self, path: Path) -> None:
        """Have such a copy in the place of all that is here."""
        with self._lock:
            self._emptied()
            shutil.copytree(path, self._root, dirs_exist_ok=True)

    def writable(self, container: str, name: str) -> Path:
        """The path of a blob that may be written; raises Forbidden in a container that is lent."""
        if container in self._lent:
            raise Forbidden(
                f"The container {container} can only be read.", code="AuthorizationPermissionMismatch"
            )
        return self.path(container, name)

    def _emptied(self) -> tuple[str, ...]:
        """Put all containers away, to be removed in a thread: who waits for this waits for no file."""
        containers = tuple(entry.name for entry in self._root.iterdir())
        away = self._staging / uuid4().hex
        os.replace(self._root, away)
        self._root.mkdir()
        threading.Thread(target=shutil.rmtree, args=(away,), kwargs={"ignore_errors": True}).start()
        return containers

    def _container(self, container: str) -> Path:
        allowed = "-$_" if "$" in container else "-"  # as places.py names those of other accounts
        if not container or not all(c.isascii() and (c.isalnum() or c in allowed) for c in container):
            raise BadRequest(f"{container!r} is not a container name.", code="InvalidResourceName")
        return self._lent.get(container) or self._root / container

    def _blob(self, container: str, name: str, path: Path) -> Blob:
        try:
            status = path.stat()
        except FileNotFoundError as error:
            raise NotFound("The specified blob does not exist.", code="BlobNotFound") from error
        return Blob(
            container=container,
            name=name,
            size=status.st_size,
            modified=datetime.fromtimestamp(status.st_mtime, UTC),
            etag=f'"0x{status.st_mtime_ns:X}"',
            properties=self._remembered(container, name, status.st_mtime_ns),
        )

    def _remember(self, container: str, name: str, mtime_ns: int, properties: BlobProperties) -> None:
        """Write down what is true of the blob once its file has that time, and what is true until then."""
        document: BlobDocument = {
            "mtime_ns": mtime_ns,
            "metadata": dict(properties.metadata),
            "content_type": properties.content_type,
            "content_md5": properties.content_md5,
        }
        with suppress(FileNotFoundError):
            current = self._kept(container, name, self.path(container, name).stat().st_mtime_ns)
            if current is not None:
                document["before"] = _alone(current)
        self._store.put(BLOBS, f"{container}/{name}", document)

    def _kept(self, container: str, name: str, mtime_ns: int) -> BlobDocument | None:
        """What was written down of the file of that time; None where a job has written it since."""
        newest = self._store.get(BLOBS, f"{container}/{name}")
        known = (newest, newest.get("before")) if newest else ()
        return next((each for each in known if each and each["mtime_ns"] == mtime_ns), None)

    def _remembered(self, container: str, name: str, mtime_ns: int) -> BlobProperties:
        kept = self._kept(container, name, mtime_ns)
        if kept is None:
            return BlobProperties()
        return BlobProperties(
            metadata=kept["metadata"], content_type=kept["content_type"], content_md5=kept["content_md5"]
        )


def _alone(document: BlobDocument) -> BlobDocument:
    """The document without the one before."""
    return {
        "mtime_ns": document["mtime_ns"],
        "metadata": document["metadata"],
        "content_type": document["content_type"],
        "content_md5": document["content_md5"],
    }


def _sync(path: Path) -> None:
    """Have what was written to the file, or the folder's list of names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _segments(name: str) -> list[str]:
    """The parts of a blob's name as file names; the empty name is the container itself."""
    if not name:
        return []
    segments = name.split("/")
    if len(name) > 1024 or any(
        segment in ("", ".", "..") or "\0" in segment or len(segment.encode(errors="replace")) > 255
        for segment in segments
    ):
        raise BadRequest(
            f"{name[:200]!r} cannot be a blob's name here: at most 1024 characters, parts of 1 to 255 bytes "
            "between slashes, none of them '.' or '..'.",
            code="InvalidUri",
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadRequest("A blob's name must be valid UTF-8.", code="InvalidUri") from error
    return segments


def _walk(folder: Path, base: str, prefix: str, after: str, links: bool) -> Iterator[tuple[str, Path]]:
    """Files below `folder` in the order of full names, visiting only folders that can hold a match.

    Links to files count as files where `links` says so; those to folders are never followed.
    """
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:  # removed while we were listing
        return
    named = [(base + e.name + ("/" if e.is_dir(follow_symlinks=False) else ""), e) for e in entries]
    for name, entry in sorted(named, key=lambda pair: pair[0]):
        if name.endswith("/"):
            reaches = name.startswith(prefix) or prefix.startswith(name)
            passed = name <= after and not after.startswith(name)
            if reaches and not passed:
                yield from _walk(Path(entry.path), name, prefix, after, links)
        elif name.startswith(prefix) and name > after and entry.is_file(follow_symlinks=links):
            yield name, Path(entry.path)
