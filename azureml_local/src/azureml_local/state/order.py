"""Orders: ways to read documents of a kind from one end, for which the store keeps an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from azureml_local.state.document import D, Kind

AT_ONCE = 128  # documents that are read in one query
# Where a document stands: the value that it is ordered by, and its key.
Position = tuple[str | int, str]


@dataclass(frozen=True)
class Order(Generic[D]):
    """The documents of a kind by a value of theirs: a page costs the same however many there are.

    `by` is an SQL expression of the document's `body`; documents without the value are left out, and with
    `lacking` all that have anything at that path of JSON. With `group`, a path as well, the documents of one
    group are read, whose value there is compared without regard to case. `at_once` are read in one query.
    """

    name: str
    kind: Kind[D]
    by: str
    group: str | None = None
    lacking: str | None = None
    at_once: int = AT_ONCE

    @property
    def among(self) -> str:
        """The SQL condition for a document to be in the order.

        The kind is written out: SQLite cannot know of a parameter that it is the one of a partial index.
        """
        found = [f"kind = '{self.kind.name}'", f"{self.by} IS NOT NULL"]
        found += [f"{at(self.lacking)} IS NULL"] if self.lacking else []
        return " AND ".join(found)

    @property
    def grouped(self) -> str:
        """The SQL expression of the document's group."""
        return f"lower({at(self.group)})" if self.group else "''"

    @property
    def index(self) -> str:
        """The statement that makes the index, where it is missing."""
        columns = [self.grouped] if self.group else []
        return (
            f'CREATE INDEX IF NOT EXISTS "{self.name}" ON documents '
            f"({', '.join([*columns, self.by, 'key'])}) WHERE {self.among}"
        )


def at(path: str) -> str:
    """The SQL expression of what stands at a path of the document, such as `$.number`."""
    return f"json_extract(body, '{path}')"
