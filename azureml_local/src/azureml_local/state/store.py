"""Documents in one SQLite file: JSON objects addressed by kind and name."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from azureml_local.errors import Conflict, NotFound, StorageFull
from azureml_local.state import damage, schema
from azureml_local.state.document import D, Kind
from azureml_local.state.documents import orders
from azureml_local.state.order import AT_ONCE, Order, Position

_REMEDY = "Restore the file from a copy, or choose another state with --state."


class Store:
    """A thread-safe map of (kind, name) to JSON documents, each change a transaction.

    Names are hierarchical with `/`. A change that has returned survives kill -9 of the process. Raises
    NewerState for a database that a later version has written. Whatever reads raises DamagedState for a
    document, or a file, that is not what was written; the other documents can be read all the same.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self.registries: dict[str, Store] = {}  # of registries beside the first, by name in lower case
        self._lock = threading.RLock()
        self._path = path
        path.touch(mode=0o600)
        path.chmod(0o600)  # it holds the endpoints' keys; what SQLite writes beside it has the same rights
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            with damage.readable(path, _REMEDY):
                self._connection.execute("PRAGMA journal_mode=WAL")
                # With WAL the page cache survives the death of the process; only a power cut needs FULL.
                self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                schema.adopt(self._connection, path)
                damage.check_json(self._connection, path)
                for order in orders():
                    self._connection.execute(order.index)
        except BaseException:
            self._connection.close()
            raise

    def of_registry(self, name: str) -> Store:
        """Where the documents of that registry are; the first one stands for those that are not known."""
        return self.registries.get(name.lower(), self)

    def get(self, kind: Kind[D], name: str) -> D | None:
        """The document, None when there is none."""
        key = _key(kind, name)
        rows = self._rows("SELECT body FROM documents WHERE kind = ? AND key = ?", (kind.name, key))
        return self._document(kind, key, rows[0][0]) if rows else None

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
        return cursor.rowcount > 0

    def list(
        self, kind: Kind[D], prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, D]]:
        """(name, document) in the order of names; those that begin with `prefix` and follow `after`."""
        low = _key(kind, prefix)
        rows = self._rows(
            "SELECT name, key, body FROM documents WHERE kind = ? AND key >= ? AND key < ? AND key > ? "
            "ORDER BY key LIMIT ?",
            (
                kind.name,
                low,
                low + "\U0010ffff",
                "" if after is None else _key(kind, after),
                -1 if limit is None else limit,
            ),
        )
        return [(name, self._document(kind, key, body)) for name, key, body in rows]

    def by_name(
        self, kind: Kind[D], prefix: str = "", *, after: str | None = None
    ) -> Iterator[tuple[str, D]]:
        """As `list`, read by and by."""
        while True:
            found = self.list(kind, prefix, after=after, limit=AT_ONCE)
            yield from found
            if len(found) < AT_ONCE:
                return
            after = found[-1][0]

    def newest(
        self, order: Order[D], group: str = "", *, after: Position | None = None
    ) -> Iterator[tuple[Position, D]]:
        """The documents of an order from its end on, those that follow a position in this direction.

        They are read by and by: who takes a hundred of a hundred thousand has read no more.
        """
        return self._walk(order, group, after, descending=True)

    def oldest(
        self, order: Order[D], group: str = "", *, after: Position | None = None
    ) -> Iterator[tuple[Position, D]]:
        """The documents of an order from its beginning on, as `newest`."""
        return self._walk(order, group, after, descending=False)

    def last(self, order: Order[D], group: str = "") -> D | None:
        """The document at the end of an order, None when there is none."""
        rows = self._rows(_select(order, None, descending=True), (group.lower(), 1))
        return self._document(order.kind, rows[0][1], rows[0][2]) if rows else None

    def first_parts(self, kind: Kind[D], after: str = "") -> Iterator[str]:
        """What stands before the `/` of names, each once, in their order; those that follow `after`.

        All names of the kind have a slash, and no two with the same beginning differ by case alone.
        """
        part = after
        while True:
            low = f"{_key(kind, part)}0" if part else ""  # a zero is the character that follows a slash
            rows = self._rows(
                "SELECT name FROM documents WHERE kind = ? AND key > ? ORDER BY key LIMIT 1", (kind.name, low)
            )
            if not rows:
                return
            part = rows[0][0].partition("/")[0]
            yield part

    def clear(self, kinds: Iterable[str] | None = None) -> None:
        """Delete all documents, or those of the kinds with these names."""
        with self.transaction() as connection:
            if kinds is None:
                connection.execute("DELETE FROM documents WHERE kind != ?", (schema.KIND,))
                return
            connection.executemany("DELETE FROM documents WHERE kind = ?", [(kind,) for kind in kinds])

    def copy_to(self, path: Path) -> None:
        """Write all documents to a database of their own."""
        with self._lock, closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def replace_by(self, path: Path) -> None:
        """Have the documents of such a database in the place of all that are here."""
        with closing(sqlite3.connect(path, isolation_level=None)) as kept, self.transaction() as connection:
            schema.adopt(kept, path)
            rows = kept.execute("SELECT kind, key, name, body FROM documents WHERE kind != ?", (schema.KIND,))
            self.clear()
            connection.executemany("INSERT INTO documents (kind, key, name, body) VALUES (?, ?, ?, ?)", rows)

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
                with damage.readable(self._path, _REMEDY):
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection
                    self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._rollback()
                raise StorageFull(f"The state directory cannot be written: {error}.") from error
            except BaseException:
                self._rollback()
                raise

    def _walk(
        self, order: Order[D], group: str, after: Position | None, *, descending: bool
    ) -> Iterator[tuple[Position, D]]:
        while True:
            query = _select(order, after, descending=descending)
            rows = self._rows(query, (group.lower(), *((after[0], *after) if after else ()), order.at_once))
            for value, key, body in rows:
                after = (value, key)
                yield after, self._document(order.kind, key, body)
            if len(rows) < order.at_once:
                return

    def _rows(self, query: str, values: tuple[str | int, ...]) -> Sequence[Any]:
        with self._lock, damage.readable(self._path, _REMEDY):
            return self._connection.execute(query, values).fetchall()

    def _document(self, kind: Kind[D], key: str, text: str) -> D:
        return damage.parsed(self._path, kind, key, text)

    def _write(self, kind: Kind[D], name: str, body: D) -> None:
        self._connection.execute(
            "INSERT INTO documents (kind, key, name, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind.name, _key(kind, name), name, json.dumps(body, separators=(",", ":"))),
        )

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _select(order: Order[D], after: Position | None, *, descending: bool) -> str:
    """The query of an order; it takes the group, the position with its value once more, and how many."""
    beyond, direction = ("<", "DESC") if descending else (">", "ASC")
    # The first condition says nothing more than the second, but is one that SQLite looks up in the index.
    start = "" if after is None else f" AND {order.by} {beyond}= ? AND ({order.by}, key) {beyond} (?, ?)"
    return (
        f'SELECT {order.by}, key, body FROM documents INDEXED BY "{order.name}" '
        f"WHERE {order.among} AND {order.grouped} = ?{start} "
        f"ORDER BY {order.by} {direction}, key {direction} LIMIT ?"
    )


def _key(kind: Kind[D], name: str) -> str:
    return name if kind.case_sensitive else name.lower()
