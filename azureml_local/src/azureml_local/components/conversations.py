"""Conversations in files: reading every format the pipeline takes, and the rules they must keep."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Message = Mapping[str, str]
Conversation = Sequence[Message]

KEY = "messages"
ROLES = ("system", "user", "assistant")
_TABLES = {".csv": ",", ".tsv": "\t"}


class DataError(ValueError):
    """Data that no model can be trained on; the message says which and why."""


def read(path: Path) -> list[Conversation]:
    """The conversations of a .jsonl, .json, .csv, .tsv or .parquet file, or of an MLTable folder.

    Raises:
        DataError: a file that cannot be read, or a row that breaks a rule; the message names the row.
    """
    conversations = []
    for number, row in enumerate(_rows(path), start=1):
        where = f"{path.name}, row {number}"
        if not isinstance(row, Mapping) or KEY not in row:
            raise DataError(f"{where}: there is no {KEY!r}; every row needs a list of messages under it.")
        messages = row[KEY]
        if isinstance(messages, str):
            messages = _json(messages, where)
        conversations.append(_checked(messages, where))
    if not conversations:
        raise DataError(f"Found no examples in {path.name}.")
    return conversations


def _rows(path: Path) -> Iterator[Any]:
    if path.is_dir():
        for file in _files_of_table(path):
            yield from _rows(file)
        return
    suffix = path.suffix.casefold()
    if suffix == ".parquet":
        from pyarrow import parquet

        yield from parquet.read_table(path, columns=[KEY]).to_pylist()
    elif suffix in _TABLES:
        with path.open(newline="", encoding="utf-8") as table:
            yield from csv.DictReader(table, delimiter=_TABLES[suffix])
    elif suffix in (".jsonl", ".json"):
        yield from _json_rows(path)
    else:
        raise DataError(f"{path.name}: only .jsonl, .json, .csv, .tsv and .parquet files are read.")


def _json_rows(path: Path) -> Iterator[Any]:
    """Rows one a line, or all in one list."""
    with path.open(encoding="utf-8") as file:
        start = file.read(1)
        while start.isspace():
            start = file.read(1)
        file.seek(0)
        if start == "[":
            yield from _json(file.read(), path.name)
            return
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _json(line, f"{path.name}, line {number}")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: this is no JSON: {error}.") from error


def _files_of_table(folder: Path) -> list[Path]:
    """The files an MLTable names; without such a file, those that lie in the folder."""
    description = folder / "MLTable"
    if not description.is_file():
        files = sorted(file for file in folder.iterdir() if file.is_file())
        if not files:
            raise DataError(f"The folder {folder.name} holds no files.")
        return files
    paths = (yaml.safe_load(description.read_text()) or {}).get("paths") or []
    found: list[Path] = []
    for entry in paths:
        pattern = str(entry.get("file") or entry.get("pattern") or entry.get("folder") or "")
        found += sorted(folder.glob(pattern.removeprefix("./")))
    if not found:
        raise DataError(f"The MLTable in {folder.name} names no file that is there.")
    return found


def _checked(messages: Any, where: str) -> Conversation:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise DataError(f"{where}: {KEY!r} must be a list of at least one message.")
    checked = []
    for message in messages:
        role = message.get("role") if isinstance(message, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        if role not in ROLES or not isinstance(content, str):
            raise DataError(
                f"{where}: a message is {{'role', 'content'}} with a role of {', '.join(ROLES)} and text."
            )
        checked.append({"role": str(role), "content": content})
    roles = [message["role"] for message in checked]
    if "system" in roles[1:]:
        raise DataError(f"{where}: only one system message is allowed, at the beginning.")
    if roles[0] == "system" and "user" not in roles:
        raise DataError(f"{where}: a system message needs a user message after it.")
    return checked
