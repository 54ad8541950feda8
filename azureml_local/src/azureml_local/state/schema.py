"""The form of the state's database, numbered: another version of azureml-local knows what it finds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    key  TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""
KIND = "state"  # of the document that says which version wrote the state last
_WRITER = (KIND, "writer")  # its kind and key


class NewerState(Exception):
    """The state is of a form that only a later version knows; the message says which, and what to do."""


def _number(connection: sqlite3.Connection) -> None:
    """From what was there before forms had numbers: its documents are as they are now."""
    connection.execute(_TABLE)


# What makes the form of each number of the one before; a change of documents' form adds one.
_MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_number,)


def adopt(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to this version's form, all of it or nothing; raises NewerState."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > len(_MIGRATIONS):
            raise NewerState(
                f"{path} was written by azureml-local {_writer(connection)}, in a form that this version "
                f"({_version()}) does not know. Update azureml-local, or choose another with --state."
            )
        for migrate in _MIGRATIONS[found:]:
            migrate(connection)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        connection.execute(
            "INSERT OR REPLACE INTO documents (kind, key, name, body) VALUES (?, ?, ?, ?)",
            (*_WRITER, _WRITER[1], json.dumps({"version": _version()})),
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _writer(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT body FROM documents WHERE kind = ? AND key = ?", _WRITER).fetchone()
    return str(json.loads(row[0])["version"]) if row else "of a later version"


def _version() -> str:
    return metadata.version("azureml-local")
