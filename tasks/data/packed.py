"""Compressed files, known by their first bytes whatever they are called."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import shutil
import zipfile
import zlib
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from tasks.azure.failure import Cause, Failure
from tasks.data import layout
from tasks.data.layout import Format
from tasks.data.utf8 import as_utf8

ERRORS = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile)
_HEAD = 4096  # bytes looked at
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x5d\x00\x00": "lzma",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}
_BUFFER = 2**20
_LFS = b"version https://git-lfs.github.com/spec/"
_NAME = re.compile(r" *[A-Za-z][\w ./-]{0,39}")
_PAGE = re.compile(rb"\s*<(!doctype html|html|\?xml)\b", re.I)


def packing(head: bytes) -> str | None:
    """How a file that begins so is compressed, or None."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def unpacked(file: io.BufferedReader) -> io.BufferedReader:
    """The content of a stream, however often it is compressed, but as an archive; itself where it is not."""
    while (kind := packing(file.peek(6)[:6])) not in (None, "zip"):
        if kind in ("zstd", "lz4"):
            import pyarrow

            content: Any = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), kind)
        elif kind == "gzip":
            content = gzip.GzipFile(fileobj=file, mode="rb")  # a stream's own mode may be a number
        else:
            content = bz2.BZ2File(file) if kind == "bzip2" else lzma.LZMAFile(file)  # noqa: SIM115 - the stream's
        file = io.BufferedReader(content, _BUFFER)
    return file


def only_member(file: Path | BinaryIO, path: str) -> io.BufferedReader:
    """The one file of an archive that may hold rows; raises Failure for an archive of several."""
    archive = zipfile.ZipFile(file)
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not layout.is_described(member.filename)
    ]
    if any(member.flag_bits & 1 for member in members):
        raise Failure(f"{path} is locked by a password.", "Unpack it, and name the file.", cause=Cause.DATA)
    if len(members) != 1:
        raise Failure(
            f"{path} is an archive of {len(members)} files.",
            "Unpack it, and name the folder.",
            cause=Cause.DATA,
        )
    return io.BufferedReader(archive.open(members[0]), _BUFFER)  # type: ignore[arg-type]


def whole(file: Path, path: str, copy: Path) -> Path:
    """A file on this machine or, where it is compressed, what it holds, written to `copy`."""
    with file.open("rb") as stored:
        head = stored.read(64)
        check_pointer(head, path)
        if packing(head) is None:
            return file
        stored.seek(0)
        try:
            is_archive = packing(head) == "zip"
            content = only_member(stored, path) if is_archive else unpacked(io.BufferedReader(stored))
            with copy.open("wb") as target:
                shutil.copyfileobj(content, target, _BUFFER)
        except (*ERRORS, OSError) as error:
            raise Failure(
                f"{path} is cut off or damaged: {' '.join(str(error).split())[:200]}.",
                "Download it again.",
                cause=Cause.DATA,
            ) from error
    return copy


def sniffed(fs: Any, path: str, named: Format | None = None) -> Format | None:
    """The format of a file by its beginning, whatever its name; else what the name says."""
    try:
        with fs.open(path, "rb") as file:
            stored = unpacked(io.BufferedReader(file))
            if packing(stored.peek(6)[:6]) == "zip":
                stored.seek(0)
                stored = unpacked(only_member(stored, path))
            return _format(as_utf8(stored).read(_HEAD)) or named
    except (OSError, Failure, csv.Error, *ERRORS):
        return named  # what is wrong with it is said when it is read


def _format(head: bytes) -> Format | None:
    """What a file that begins so is written in; None where that is not certain."""
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return Format.ARROW
    if head.lstrip()[:1] in (b"[", b"{"):
        return Format.JSON
    return _table(head)


def _table(head: bytes) -> Format | None:
    """The kind of a table whose header is made of names, above a row of as many cells.

    One column alone is one where the row holds a list.
    """
    text = head.decode(errors="replace")
    for mark, kind in (("\t", Format.TSV), (",", Format.CSV), (";", Format.CSV)):
        found = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=mark), 2))
        if len(found) < 2 or len(found[0]) != len(found[1]) or not all(map(_NAME.fullmatch, found[0])):
            continue
        if len(found[0]) > 1 or found[1][0].startswith(("[", "{")):
            return kind
    return None


def check_pointer(head: bytes, path: str) -> None:
    """Raise Failure for what Git LFS leaves in a clone where it is not installed, and for a web page."""
    if _PAGE.match(head):
        raise Failure(
            f"{path} is a web page, and not the data itself.",
            "Download it again: the server may have answered with an error, or asked for a sign-in.",
            cause=Cause.DATA,
        )
    if head.startswith(_LFS):
        raise Failure(
            f"{path} is a pointer of Git LFS, and not the data itself.",
            "Fetch the data into the clone: git lfs pull.",
            cause=Cause.DATA,
        )
