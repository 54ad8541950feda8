"""Documents in one SQLite file: JSON objects addressed by kind and name."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from azureml_local.errors import Conflict, NotFound, StorageFull
from azureml_local.state.document import D, Kind

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    key  TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""


class Store:
    """A thread-safe map of (kind, name) to JSON documents, each change a transaction.

    Names are hierarchical with `/`. A change that has returned survives kill -9 of the process.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        # With WAL the page cache survives the death of the process; only a power cut would need FULL.
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_SCHEMA)
        self._changes: dict[str, int] = {}

    def get(self, kind: Kind[D], name: str) -> D | None:
        """The document, None when there is none."""
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM documents WHERE kind = ? AND key = ?", (kind.name, _key(kind, name))
            ).fetchone()
        return None if row is None else _document(kind, row[0])

    def put(self, kind: Kind[D], name: str, body: D) -> D:
        """Create the document or replace it."""
        with self.transaction():
            self._write(kind, name, body)
        return body

    def create(self, kind: Kind[D], name: str, body: D) -> D:
        """Create the document; raises Conflict when there is one of that name."""
        with self.transaction():
            if self.get(kind, name) is not None:
                raise Conflict(f"{kind.name} {name} already exists.")
            self._write(kind, name, body)
        return body

    def update(self, kind: Kind[D], name: str, change: Callable[[D], D]) -> D:
        """Replace the document by what `change` makes of it, atomically; raises NotFound when absent."""
        with self.transaction():
            body = self.get(kind, name)
            if body is None:
                raise NotFound(f"{kind.name} {name} was not found.")
            body = change(body)
            self._write(kind, name, body)
        return body

    def delete(self, kind: Kind[D], name: str) -> bool:
        """Whether there was such a document."""
        with self.transaction() as connection:
            cursor = connection.execute(
                "DELETE FROM documents WHERE kind = ? AND key = ?", (kind.name, _key(kind, name))
            )
            self._note(kind)
        return cursor.rowcount > 0

    def list(
        self, kind: Kind[D], prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, D]]:
        """(name, document) in the order of names; those that begin with `prefix` and follow `after`."""
        low = _key(kind, prefix)
        with self._lock:
            rows = self._connection.execute(
                "SELECT name, body FROM documents WHERE kind = ? AND key >= ? AND key < ? AND key > ? "
                "ORDER BY key LIMIT ?",
                (
                    kind.name,
                    low,
                    low + "\U0010ffff",
                    "" if after is None else _key(kind, after),
                    -1 if limit is None else limit,
                ),
            ).fetchall()
        return [(name, _document(kind, body)) for name, body in rows]

    def changes(self, kind: Kind[D]) -> tuple[int, int]:
        """How often documents of the kind were changed here, and which version others have left.

        While it stays the same, so does what a list was made of.
        """
        with self._lock:
            (others,) = self._connection.execute("PRAGMA data_version").fetchone()
            return self._changes.get(kind.name, 0), others

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Changes made within the block happen together or not at all."""
        with self._lock:
            if self._connection.in_transaction:  # a change within a change is one transaction
                yield self._connection
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._rollback()
                raise StorageFull(f"The state directory cannot be written: {error}.") from error
            except BaseException:
                self._rollback()
                raise

    def _write(self, kind: Kind[D], name: str, body: D) -> None:
        self._connection.execute(
            "INSERT INTO documents (kind, key, name, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind.name, _key(kind, name), name, json.dumps(body, separators=(",", ":"))),
        )
        self._note(kind)

    def _note(self, kind: Kind[D]) -> None:
        """Count a change; one that is rolled back counts as well, and costs no more than another look."""
        self._changes[kind.name] = self._changes.get(kind.name, 0) + 1

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _key(kind: Kind[D], name: str) -> str:
    return name if kind.case_sensitive else name.lower()


def _document(kind: Kind[D], text: str) -> D:
    document: D = json.loads(text)
    return document
