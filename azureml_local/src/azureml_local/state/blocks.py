"""Blocks of uploads: kept until their list is committed as a blob."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from azureml_local.errors import BadRequest
from azureml_local.state.blob import Blob, BlobProperties
from azureml_local.state.blobs import Blobs, MayReplace

# Azure discards blocks that nobody has committed within a week.
_LIFETIME = 7 * 86400.0
_COPY_BUFFER = 2**20
_APPENDED = "\0appended"  # no blob has such a name


class Blocks:
    """The blocks that clients have uploaded, by the blob that they are to become."""

    def __init__(self, uploads: Path, blobs: Blobs) -> None:
        self._path = uploads / "blocks"
        self._blobs = blobs
        self._path.mkdir(exist_ok=True)
        self._discard_old()

    def stage(self, container: str, name: str, block: str, staged: Path) -> None:
        """Keep one block until its list is committed; `block` is the client's base64 id."""
        self._blobs.writable(container, name)
        directory = self._directory(container, name)
        directory.mkdir(parents=True, exist_ok=True)
        os.replace(staged, directory / _file(block))

    def commit(
        self,
        container: str,
        name: str,
        blocks: Sequence[str],
        properties: BlobProperties,
        *,
        may_replace: MayReplace,
    ) -> Blob:
        """Join the staged blocks, in the given order, into the blob; raises BadRequest for unknown ones."""
        directory = self._directory(container, name)
        with self._blobs.staged() as path:
            with path.open("wb") as target:
                for block in blocks:
                    _append(directory / _file(block), block, target)
            blob = self._blobs.commit(container, name, path, properties, may_replace=may_replace)
        shutil.rmtree(directory, ignore_errors=True)
        return blob

    def append(self, container: str, name: str, position: int, staged: Path) -> None:
        """Keep a part of a file until it is flushed; `position` is where it begins, in bytes."""
        self._blobs.get(container, name)
        directory = self._directory(container, name, _APPENDED)
        directory.mkdir(parents=True, exist_ok=True)
        os.replace(staged, directory / f"{position:020}")

    def flush(self, container: str, name: str, length: int) -> Blob:
        """Join what is there and the parts appended; raises BadRequest for gaps and other lengths."""
        directory = self._directory(container, name, _APPENDED)
        parts = sorted(directory.iterdir()) if directory.is_dir() else []
        with self._blobs.unchanged():
            known = self._blobs.get(container, name)
            with self._blobs.staged() as path:
                _join(self._blobs.path(container, name), parts, path)
                if path.stat().st_size != length:
                    raise BadRequest(
                        f"The file has {path.stat().st_size} bytes with what was appended, not {length}.",
                        code="InvalidFlushPosition",
                    )
                blob = self._blobs.commit(container, name, path, known.properties)
        shutil.rmtree(directory, ignore_errors=True)
        return blob

    def discard(self, container: str, name: str) -> None:
        """Forget what was appended and not flushed."""
        shutil.rmtree(self._directory(container, name, _APPENDED), ignore_errors=True)

    def _directory(self, container: str, name: str, kind: str = "") -> Path:
        return self._path / hashlib.sha256(f"{container}/{name}{kind}".encode()).hexdigest()

    def _discard_old(self) -> None:
        for directory in self._path.iterdir():
            if time.time() - directory.stat().st_mtime > _LIFETIME:
                shutil.rmtree(directory, ignore_errors=True)


def _join(beginning: Path, parts: Sequence[Path], target: Path) -> None:
    """Write the parts behind the beginning, each where it was appended; raises BadRequest for gaps."""
    with target.open("wb") as joined:
        if not parts or int(parts[0].name) > 0:
            with beginning.open("rb") as file:
                shutil.copyfileobj(file, joined, _COPY_BUFFER)
        for part in parts:
            if int(part.name) != joined.tell():
                raise BadRequest(
                    f"Nothing was appended at the position {joined.tell()}.", code="InvalidFlushPosition"
                )
            with part.open("rb") as file:
                shutil.copyfileobj(file, joined, _COPY_BUFFER)


def _append(file: Path, block: str, target: BinaryIO) -> None:
    try:
        with file.open("rb") as source:
            shutil.copyfileobj(source, target, _COPY_BUFFER)
    except FileNotFoundError as error:
        raise BadRequest(f"The block {block} was not uploaded.", code="InvalidBlockList") from error


def _file(block: str) -> str:
    try:
        return base64.b64decode(block, validate=True).hex() or "0"
    except ValueError as error:
        raise BadRequest("A block id must be base64.", code="InvalidQueryParameterValue") from error
