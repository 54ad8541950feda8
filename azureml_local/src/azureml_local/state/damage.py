"""Files of the state that are not what was written: which they are, and what to do about them."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, Required, get_origin, get_type_hints

from azureml_local.state.documents import (
    CLUSTERS,
    DATASTORES,
    DEPLOYMENTS,
    ENDPOINTS,
    JOBS,
    LEDGER,
    OPERATIONS,
    ClusterDocument,
    DatastoreDocument,
    JobDocument,
    LedgerDocument,
    OperationDocument,
)
from azureml_local.state.endpoint_documents import DeploymentDocument, EndpointDocument

# What a server reads when it starts, by kind.
_FORMS: Mapping[str, Any] = {
    JOBS.name: JobDocument,
    OPERATIONS.name: OperationDocument,
    ENDPOINTS.name: EndpointDocument,
    DEPLOYMENTS.name: DeploymentDocument,
    CLUSTERS.name: ClusterDocument,
    DATASTORES.name: DatastoreDocument,
    LEDGER.name: LedgerDocument,
}


class DamagedState(Exception):
    """A file cannot be what azureml-local has written; the message says which, and what to do."""

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        super().__init__(f"{path} is damaged: {why}. {remedy}")


def check_json(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedState for a document that is no JSON object."""
    row = connection.execute(
        "SELECT kind, key FROM documents WHERE NOT json_valid(body) OR ltrim(body) NOT LIKE '{%' LIMIT 1"
    ).fetchone()
    if row is not None:
        raise _document(path, row, "is no JSON object")


def check_fields(path: Path) -> None:
    """Raise DamagedState for a document that lacks a field which this version cannot be without."""
    connection = sqlite3.connect(path)
    try:
        for kind, form in _FORMS.items():
            for field in _required(form):
                row = connection.execute(
                    "SELECT kind, key FROM documents WHERE kind = ? AND json_type(body, ?) IS NULL LIMIT 1",
                    (kind, f'$."{field}"'),
                ).fetchone()
                if row is not None:
                    raise _document(path, row, f"has no field '{field}'")
    finally:
        connection.close()


def _document(path: Path, row: tuple[str, str], why: str) -> DamagedState:
    kind, key = (value.replace("'", "''") for value in row)
    statement = f"DELETE FROM documents WHERE kind = '{kind}' AND key = '{key}'"
    return DamagedState(
        path,
        f"the document '{row[1]}' of the kind {row[0]} {why}",
        f"Restore the file from a copy, or give that document up: sqlite3 {shlex.quote(str(path))} "
        f"{shlex.quote(statement)}",
    )


def _required(form: Any) -> list[str]:
    hints = get_type_hints(form, include_extras=True)
    return [
        name
        for name, hint in hints.items()
        if get_origin(hint) is Required or (form.__total__ and get_origin(hint) is not NotRequired)
    ]
