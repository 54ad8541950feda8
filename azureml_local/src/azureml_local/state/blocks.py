"""Blocks of uploads: kept until their list is committed as a blob."""

from __future__ import annotations

import base64
import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from azureml_local.errors import BadRequest
from azureml_local.state.blob import Blob, BlobProperties
from azureml_local.state.blobs import Blobs, MayReplace
from azureml_local.state.parts import Part, Parts, Upload, Writing

# Azure discards blocks that nobody has committed within a week.
_LIFETIME = 7 * 86400.0
_APPENDED = "\0appended"  # no blob has such a name


class Blocks:
    """The blocks that clients have uploaded, by the blob that they are to become."""

    def __init__(self, uploads: Path, blobs: Blobs) -> None:
        self._path = uploads / "blocks"
        self._blobs = blobs
        self._parts = Parts(self._path)
        self._discard_old()

    def stage(self, container: str, name: str, block: str, length: int) -> Writing:
        """Room for a block that is kept until its list is committed; `block` is the client's base64 id."""
        self._blobs.writable(container, name)
        return self._parts.reserve(_upload(container, name), _key(block), length, _place(block))

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
        with (
            self._parts.held(_upload(container, name)) as upload,
            self._blobs.staged() as path,
            upload.joined([_known(upload, block) for block in blocks], path),
        ):
            return self._blobs.commit(container, name, path, properties, may_replace=may_replace)

    def append(self, container: str, name: str, position: int, length: int) -> Writing:
        """Room for a part of a file that is kept until it is flushed; `position` is where it begins."""
        self._blobs.get(container, name)
        return self._parts.reserve(_upload(container, name, _APPENDED), f"{position:020}", length, position)

    def flush(self, container: str, name: str, length: int) -> Blob:
        """Join what is there and the parts appended; raises BadRequest for gaps and other lengths."""
        with self._parts.held(_upload(container, name, _APPENDED)) as upload, self._blobs.unchanged():
            known = self._blobs.get(container, name)
            file = self._blobs.path(container, name)
            appended = sorted(upload.parts.items())
            at_start = bool(appended) and int(appended[0][0]) == 0
            end = _end(appended, 0 if at_start else file.stat().st_size)
            if end != length:
                raise BadRequest(
                    f"The file has {end} bytes with what was appended, not {length}.",
                    code="InvalidFlushPosition",
                )
            parts = [part for _, part in appended]
            with (
                self._blobs.staged() as path,
                upload.joined(parts, path, beginning=None if at_start else file),
            ):
                return self._blobs.commit(container, name, path, known.properties)

    def discard(self, container: str, name: str) -> None:
        """Forget what was appended and not flushed."""
        with self._parts.held(_upload(container, name, _APPENDED)) as upload:
            upload.discard()

    def _discard_old(self) -> None:
        for directory in self._path.iterdir():
            if time.time() - directory.stat().st_mtime > _LIFETIME:
                shutil.rmtree(directory, ignore_errors=True)


def _upload(container: str, name: str, kind: str = "") -> str:
    return hashlib.sha256(f"{container}/{name}{kind}".encode()).hexdigest()


def _known(upload: Upload, block: str) -> Part:
    if (part := upload.parts.get(_key(block))) is None:
        raise BadRequest(f"The block {block} was not uploaded.", code="InvalidBlockList")
    return part


def _end(appended: Sequence[tuple[str, Part]], beginning: int) -> int:
    """Where the file ends with what was appended behind its beginning; raises BadRequest for gaps."""
    end = beginning
    for position, part in appended:
        if int(position) != end:
            raise BadRequest(f"Nothing was appended at the position {end}.", code="InvalidFlushPosition")
        end += part.length
    return end


def _place(block: str) -> int | None:
    """Where a block is to stand if its id says so, as azure-storage-blob's do: base64 twice of the offset.

    A guess that is wrong costs a copy and nothing else.
    """
    try:
        place = base64.b64decode(unquote(base64.b64decode(block).decode()))
    except ValueError:
        return None
    return int(place) if place.isdigit() else None


def _key(block: str) -> str:
    try:
        return base64.b64decode(block, validate=True).hex() or "0"
    except ValueError as error:
        raise BadRequest("A block id must be base64.", code="InvalidQueryParameterValue") from error
