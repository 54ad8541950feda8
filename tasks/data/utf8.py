"""Text of any encoding that a file's first bytes tell, as UTF-8."""

from __future__ import annotations

import codecs
import io
from typing import Any

_CHUNK = 2**20  # bytes
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def as_utf8(file: io.BufferedReader) -> io.BufferedReader:
    """The stream without a byte order mark; of UTF-16, as spreadsheets and Windows write it, in UTF-8."""
    head = file.peek(4)[:4]
    if head.startswith(codecs.BOM_UTF8):
        file.read(3)
        return file
    if (encoding := _MARKS.get(head[:2])) is not None and head[2:4] != b"\0\0":
        file.read(2)
    else:
        # Without a mark: what begins with a sign of JSON or a letter has a zero beside each.
        encoding = {(False, True): "utf-16-le", (True, False): "utf-16-be"}.get(
            (not any(head[:3:2]), not any(head[1:4:2]))
        )
        if len(head) < 4 or encoding is None:
            return file
    return io.BufferedReader(_Recoded(file, encoding), _CHUNK)


class _Recoded(io.RawIOBase):
    """UTF-8 of a stream in another encoding; raises UnicodeDecodeError at the byte where it is not."""

    def __init__(self, file: io.BufferedReader, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            content = self._file.read(_CHUNK)
            self._left = self._decoder.decode(content, final=not content).encode()
            if not content:
                break
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
