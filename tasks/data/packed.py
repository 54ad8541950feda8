"""Compressed files, known by their first bytes whatever they are called."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

from tasks.azure.failure import Cause, Failure
from tasks.data.layout import Format

ERRORS = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile)
_HEAD = 4096  # bytes looked at
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}
_BUFFER = 2**20
_LFS = b"version https://git-lfs.github.com/spec/"


def packing(head: bytes) -> str | None:
    """How a file that begins so is compressed, or None."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def unpacked(file: io.BufferedReader) -> io.BufferedReader:
    """The content of a stream, whichever way it is compressed but as an archive; itself where it is not."""
    kind = packing(file.peek(6)[:6])
    if kind in (None, "zip"):
        return file
    if kind == "zstd":
        import pyarrow

        return io.BufferedReader(
            pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd"), _BUFFER
        )
    opened: Any = {"gzip": gzip.GzipFile, "bzip2": bz2.BZ2File, "xz": lzma.LZMAFile}[kind]
    content = opened(fileobj=file) if kind == "gzip" else opened(file)
    return io.BufferedReader(content, _BUFFER)


def only_member(file: Path, path: str) -> io.BufferedReader:
    """The one file of an archive on this machine; raises Failure for an archive of several."""
    archive = zipfile.ZipFile(file)
    members = [
        member for member in archive.infolist() if not member.is_dir() and "__MACOSX" not in member.filename
    ]
    if len(members) != 1:
        raise Failure(
            f"{path} is an archive of {len(members)} files.",
            "Unpack it, and name the folder.",
            cause=Cause.DATA,
        )
    return io.BufferedReader(archive.open(members[0]), _BUFFER)  # type: ignore[arg-type]


def sniffed(fs: Any, path: str) -> Format | None:
    """The format of a file whose name says none, by its beginning; None where it holds no rows."""
    with fs.open(path, "rb") as file:
        head = file.read(_HEAD)
    if kind := packing(head):
        head = _unpacked_head(head, kind)
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return Format.ARROW
    return Format.JSON if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{") else None


def check_pointer(head: bytes, path: str) -> None:
    """Raise Failure for what Git LFS leaves in a clone where it is not installed."""
    if head.startswith(_LFS):
        raise Failure(
            f"{path} is a pointer of Git LFS, and not the data itself.",
            "Fetch the data into the clone: git lfs pull.",
            cause=Cause.DATA,
        )


def _unpacked_head(head: bytes, kind: str) -> bytes:
    try:
        if kind == "gzip":
            return zlib.decompressobj(31).decompress(head)
        if kind == "bzip2":
            return bz2.BZ2Decompressor().decompress(head) or b"{"  # nothing comes before a whole block
        if kind == "xz":
            return lzma.LZMADecompressor().decompress(head) or b"{"
    except (OSError, *ERRORS):
        return b""
    return b"{"  # zstd, zip: what is inside is seen when it is read
