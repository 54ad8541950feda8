"""Rows of one JSON object that is no row: by columns, by keys, or further inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.data.shape import is_row


def is_table(document: Mapping[str, Any]) -> bool:
    """Whether an object is a table whose columns are named once, beside its data."""
    columns = document.get("columns")
    named = isinstance(columns, list) and bool(columns) and all(isinstance(name, str) for name in columns)
    return named and isinstance(document.get("data"), list)


def rows_in(document: Mapping[str, Any]) -> tuple[list[Any], set[str]] | None:
    """The rows that an object holds, and the names of what else is in it; None where it holds none.

    Columns, as pandas writes a table by default, rows by their ids, and an object in an object.
    """
    for found in (_by_columns(document), _by_keys(document)):
        if found and is_row(found[0]):
            return found, set()
    for key, inner in document.items():
        if isinstance(inner, Mapping) and (rows := rows_in(inner)) is not None:
            return rows[0], {f"{key}.{name}" for name in rows[1]} | (document.keys() - {key})
        if isinstance(inner, list) and inner and is_row(inner[0]):
            return inner, set(document.keys() - {key})
    return None


def _by_columns(document: Mapping[str, Any]) -> list[Any]:
    columns = list(document.values())
    if columns and all(isinstance(column, Mapping) for column in columns):
        keys = list(columns[0])
        if all(list(column) == keys for column in columns):
            return [{name: column[key] for name, column in document.items()} for key in keys]
    if columns and all(isinstance(column, list) for column in columns) and len(set(map(len, columns))) == 1:
        return [dict(zip(document, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return []


def _by_keys(document: Mapping[str, Any]) -> list[Any]:
    rows = list(document.values())
    return rows if all(map(is_row, rows)) else []
