"""Tables of any Arrow types as polars has them, and which of their columns are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

Rows = list[dict[str, Any]]
Batch = tuple[Sequence[int], pl.DataFrame | Rows]  # positions in the split, and the rows there


@dataclass(frozen=True)
class Columns:
    """Chooses the columns to read of those there are; all of them where none may hold a conversation."""

    choose: Callable[[Sequence[str]], list[str]]

    def wanted(self, there: Sequence[str]) -> list[str]:
        return self.choose(there) or list(there)

    def unused(self, there: Iterable[str]) -> set[str]:
        names = list(there)
        return {f"column {name}" for name in set(names) - set(self.wanted(names))}


def batch_of(table: Any) -> pl.DataFrame | Rows:
    """An Arrow table or batch for polars; as Python's own values where it has types that polars has not."""
    if not is_read_by_polars(table.schema):
        rows: Rows = table.to_pylist()
        return rows
    import pyarrow

    frame = pl.from_arrow(table if isinstance(table, pyarrow.Table) else pyarrow.Table.from_batches([table]))
    return plain(frame if isinstance(frame, pl.DataFrame) else frame.to_frame())


def picked(batch: pl.DataFrame | Rows, places: Sequence[int]) -> pl.DataFrame | Rows:
    """Some of the rows."""
    if len(places) == len(batch):
        return batch
    return [batch[place] for place in places] if isinstance(batch, list) else batch[list(places)]


def is_read_by_polars(schema: Any) -> bool:
    """Whether polars has all types of an Arrow schema; it panics at some others."""
    return all(map(_is_known, schema.types))


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Texts of any type, categories and arrays as strings and lists; bytes that are no text stay bytes."""
    types = {name: _plain(kind) for name, kind in frame.schema.items()}
    if types == dict(frame.schema):
        return frame
    try:
        return frame.cast(types)
    except pl.exceptions.ComputeError:  # bytes that are not UTF-8
        return frame


def _is_known(kind: Any) -> bool:
    from pyarrow import types

    if any(
        getattr(types, f"is_{name}")(kind)
        for name in ("list_view", "large_list_view", "run_end_encoded", "union", "map")
    ):
        return False
    if types.is_dictionary(kind):
        return _is_known(kind.value_type)
    return all(_is_known(kind.field(number).type) for number in range(kind.num_fields))


def _plain(kind: Any) -> Any:
    if isinstance(kind, pl.Categorical | pl.Enum | pl.Binary) or kind in (pl.Categorical, pl.Binary):
        return pl.String()
    if isinstance(kind, pl.List | pl.Array):
        return pl.List(_plain(kind.inner))
    if isinstance(kind, pl.Struct):
        return pl.Struct({field.name: _plain(field.dtype) for field in kind.fields})
    return kind
