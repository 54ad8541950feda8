"""Reading GGUF files with numpy: metadata, and tensors as float32.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Covered are the tensor types F32, F16, Q8_0
and Q4_1, of which the shipped model is made.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_BLOCK = 32  # quantised weights come in blocks of this many
_Q8_0 = np.dtype([("scale", "<f2"), ("quants", "i1", _BLOCK)])
_Q4_1 = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("quants", "u1", _BLOCK // 2)])


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


class Gguf:
    """A GGUF file: `metadata` by key, `tensors()` by name. Raises ValueError for a file it cannot read."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        magic, version = self._take("<4sI")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(f"{path} is no GGUF file of version 2 or 3.")
        tensor_count, key_count = self._take("<QQ")
        self.metadata: dict[str, Any] = {}
        for _ in range(key_count):
            key = self._string()
            self.metadata[key] = self._value(*self._take("<I"))
        self._tensors = [self._tensor() for _ in range(tensor_count)]
        alignment = int(self.metadata.get("general.alignment", 32))
        self._base = -(-self._at // alignment) * alignment

    def tensors(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Each tensor dequantised, in the file's order; shapes outermost dimension first."""
        for tensor in self._tensors:
            yield tensor.name, self._read(tensor)

    def _read(self, tensor: _Tensor) -> NDArray[np.float32]:
        count = int(np.prod(tensor.shape))
        start = self._base + tensor.offset
        if tensor.kind == 0:
            flat = np.frombuffer(self._data, np.dtype("<f4"), count, start).copy()
        elif tensor.kind == 1:
            flat = np.frombuffer(self._data, np.dtype("<f2"), count, start).astype(np.float32)
        elif tensor.kind == 8:
            blocks = np.frombuffer(self._data, _Q8_0, count // _BLOCK, start)
            flat = blocks["quants"].astype(np.float32) * _column(blocks["scale"])
        elif tensor.kind == 3:
            flat = _unpack_q4_1(np.frombuffer(self._data, _Q4_1, count // _BLOCK, start))
        else:
            raise ValueError(f"Tensor {tensor.name} is of GGML type {tensor.kind}, which is not read here.")
        return flat.reshape(tensor.shape)

    def _tensor(self) -> _Tensor:
        name = self._string()
        (dimensions,) = self._take("<I")
        shape = self._take(f"<{dimensions}Q")
        kind, offset = self._take("<IQ")
        return _Tensor(name, tuple(reversed(shape)), kind, offset)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            item, length = self._take("<IQ")
            if item in (_STRING, _ARRAY):
                return [self._value(item) for _ in range(length)]
            return list(self._take(f"<{length}{_SCALARS[item]}"))
        return self._take("<" + _SCALARS[kind])[0]

    def _string(self) -> str:
        (length,) = self._take("<Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values


def _unpack_q4_1(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """Sixteen bytes of a block hold weights 0–15 in their low and 16–31 in their high halves."""
    quants, half = blocks["quants"], _BLOCK // 2
    flat = np.empty((len(blocks), _BLOCK), np.float32)
    np.bitwise_and(quants, 15, out=flat[:, :half], casting="unsafe")
    np.right_shift(quants, 4, out=flat[:, half:], casting="unsafe")
    flat *= _column(blocks["scale"])
    flat += _column(blocks["minimum"])
    return flat


def _column(values: NDArray[Any]) -> NDArray[np.float32]:
    column: NDArray[np.float32] = values.astype(np.float32)[:, None]
    return column
