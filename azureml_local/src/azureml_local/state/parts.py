"""Parts of files that clients upload, each written at once to where it is to stand in the file."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from azureml_local.errors import Conflict

_CONTENT = "content"
_COPY_BUFFER = 2**20
_AHEAD = 2**30  # bytes behind what is there that a part may be written at: the rest would be a hole


@dataclass(frozen=True)
class Part:
    """Bytes of an upload's file."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


class Upload:
    """A folder with the bytes of all parts, and an empty file a part: its name says where the part is.

    A part is kept once that file is there. A second part of the same key takes its place, elsewhere in the
    bytes, since what was answered must not be damaged by one that is cut off.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.is_gone = False
        self.parts: dict[str, Part] = {}
        self._taken: list[Part] = []  # all of the bytes that are or will be somebody's
        self._writing = 0
        marks = (file for file in folder.iterdir() if "-" in file.name) if folder.is_dir() else ()
        for mark in sorted(marks, key=lambda file: file.stat().st_mtime_ns):
            key, offset, length = mark.name.rsplit("-", 2)
            self.parts[key] = Part(int(offset), int(length))
            self._taken.append(self.parts[key])

    def reserve(self, length: int, at: int | None) -> tuple[Part, BinaryIO]:
        """Room for a part, at `at` if that is free, else behind all others; and the file at that place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        end = max((part.end for part in self._taken), default=0)
        part = Part(end if at is None or at > end + _AHEAD else at, length)
        if any(part.offset < other.end and other.offset < part.end for other in self._taken):
            part = Part(end, length)
        file = os.fdopen(os.open(self._content, os.O_WRONLY | os.O_CREAT, 0o666), "wb")
        file.seek(part.offset)
        self._taken.append(part)
        self._writing += 1
        return part, file

    def keep(self, key: str, part: Part) -> None:
        """Take the part for written."""
        self._writing -= 1
        (self.folder / _mark(key, part)).touch()
        if before := self.parts.get(key):
            (self.folder / _mark(key, before)).unlink(missing_ok=True)
        self.parts[key] = part

    def release(self, part: Part) -> None:
        """Give the room of a part back that was not written."""
        self._writing -= 1
        self._taken.remove(part)

    @contextmanager
    def joined(self, parts: Sequence[Part], target: Path, beginning: Path | None = None) -> Iterator[None]:
        """The parts, behind the beginning, as the file `target`; nothing is left if the block ends well.

        Bytes that are where they are to stand are not written again: the file itself becomes the target.
        """
        if beginning is None and self._is_whole(parts):
            os.replace(self._content, target)
            try:
                yield
            except BaseException:
                with suppress(FileNotFoundError):  # where it was moved on before the block failed
                    os.replace(target, self._content)
                raise
        else:
            _copy(self._content, parts, target, beginning)
            yield
        self.discard()

    def discard(self) -> None:
        """Remove all that is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.is_gone = True

    @property
    def _content(self) -> Path:
        return self.folder / _CONTENT

    def _is_whole(self, parts: Sequence[Part]) -> bool:
        """Whether the file is these parts, one after another, and nobody writes to it."""
        starts = [0, *(part.end for part in parts)]
        in_order = all(part.offset == start for part, start in zip(parts, starts, strict=False))
        return bool(parts) and in_order and not self._writing and self._content.stat().st_size == starts[-1]


class Parts:
    """Uploads by their names, which can be those of folders."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()
        root.mkdir(exist_ok=True)

    @contextmanager
    def held(self, name: str) -> Iterator[Upload]:
        """The upload, which nobody else changes while the block runs."""
        while True:
            with self._lock:
                if name not in self._uploads:
                    self._uploads[name] = Upload(self._root / name)
                upload = self._uploads[name]
            with upload.lock:
                if upload.is_gone:  # while it was waited for
                    continue
                try:
                    yield upload
                finally:
                    if upload.is_gone or not upload.folder.is_dir():
                        upload.is_gone = True
                        with self._lock:
                            self._uploads.pop(name, None)
                return

    def reserve(self, name: str, key: str, length: int, at: int | None) -> Writing:
        """Room for a part of so many bytes; `at` is where it will stand, as far as that is known."""
        with self.held(name) as upload:
            return Writing(upload, key, *upload.reserve(length, at))


@dataclass(frozen=True)
class Writing:
    """A part that is being written to `file`; to be kept or released."""

    upload: Upload
    key: str
    part: Part
    file: BinaryIO

    def keep(self) -> None:
        """Raises Conflict when the upload was joined or discarded before the part was whole."""
        self.file.close()
        with self.upload.lock:
            if self.upload.is_gone:
                raise Conflict("The blob was written while this part of it was uploaded.")
            self.upload.keep(self.key, self.part)

    def release(self) -> None:
        """Give up a part that was cut off."""
        with suppress(OSError):  # what is left in its buffer, where the disk is full
            self.file.close()
        with self.upload.lock:
            self.upload.release(self.part)


def _copy(content: Path, parts: Sequence[Part], target: Path, beginning: Path | None) -> None:
    with target.open("wb") as joined:
        if beginning is not None:
            with beginning.open("rb") as file:
                shutil.copyfileobj(file, joined, _COPY_BUFFER)
        if not parts:
            return
        with content.open("rb") as file:
            for part in parts:
                file.seek(part.offset)
                left = part.length
                while left and (chunk := file.read(min(left, _COPY_BUFFER))):
                    left -= joined.write(chunk)


def _mark(key: str, part: Part) -> str:
    return f"{key}-{part.offset}-{part.length}"
