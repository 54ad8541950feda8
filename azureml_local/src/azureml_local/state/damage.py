"""Files of the state that are not what was written: which they are, and what to do about them."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from azureml_local.errors import ServiceError
from azureml_local.state import (
    batch_documents,
    documents,
    endpoint_documents,
    form,
    job_documents,
    workspace_documents,
)
from azureml_local.state.document import D, Kind
from azureml_local.state.documents import COLLECTIONS, assets

# The forms of documents by the names of their kinds; the other kinds hold whatever a request has said.
FORMS: Mapping[str, Any] = {
    documents.WORKSPACES.name: workspace_documents.WorkspaceDocument,
    documents.GROUPS.name: workspace_documents.GroupDocument,
    documents.REGISTRIES.name: workspace_documents.RegistryDocument,
    documents.TEMPLATES.name: workspace_documents.DeploymentOfTemplateDocument,
    documents.JOBS.name: job_documents.JobDocument,
    documents.SCHEDULES.name: job_documents.ScheduleDocument,
    documents.CLUSTERS.name: documents.ClusterDocument,
    documents.ENDPOINTS.name: endpoint_documents.EndpointDocument,
    documents.HELD_NAMES.name: endpoint_documents.HeldNameDocument,
    documents.DEPLOYMENTS.name: endpoint_documents.DeploymentDocument,
    documents.BATCH_ENDPOINTS.name: batch_documents.BatchEndpointDocument,
    documents.BATCH_DEPLOYMENTS.name: batch_documents.BatchDeploymentDocument,
    documents.BATCH_JOBS.name: batch_documents.BatchJobDocument,
    documents.BATCH_COMPONENTS.name: documents.AssetDocument,
    documents.DATASTORES.name: documents.DatastoreDocument,
    documents.CONNECTIONS.name: documents.ConnectionDocument,
    documents.BLOBS.name: documents.BlobDocument,
    documents.FOLDERS.name: documents.FolderDocument,
    documents.OPERATIONS.name: documents.OperationDocument,
    documents.LEDGER.name: documents.LedgerDocument,
    documents.QUOTAS.name: documents.QuotaDocument,
    documents.PROVIDERS.name: documents.ProviderDocument,
    documents.COUNTERS.name: documents.CounterDocument,
    documents.COMPLETED_STEPS.name: documents.CompletedStepDocument,
    **{
        assets(name, registry=registry).name: documents.AssetDocument
        for name in COLLECTIONS
        for registry in (False, True)
    },
}

_ALWAYS = "alembic_version"  # a table of every database that is brought up to date as MLflow's is


class DamagedState(ServiceError):
    """A file cannot be what azureml-local has written; the message says which, and what to do.

    Where a request finds it, the answer is this. Azure has no such error: the code is our own.
    """

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        super().__init__(500, "DamagedState", f"{path} is damaged: {why}. {remedy}")


def parsed(path: Path, kind: Kind[D], key: str, text: str) -> D:
    """The document that the database at `path` has as that text; raises DamagedState."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _document(path, (kind.name, key), "is no JSON object")
    found = FORMS.get(kind.name)
    if found is not None and (why := form.fault(found, document)) is not None:
        raise _document(path, (kind.name, key), why)
    sound: Any = document
    return sound  # type: ignore[no-any-return]


def check_json(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedState for a document that is no JSON object."""
    row = connection.execute(
        "SELECT kind, key FROM documents WHERE NOT json_valid(body) OR ltrim(body) NOT LIKE '{%' LIMIT 1"
    ).fetchone()
    if row is not None:
        raise _document(path, row, "is no JSON object")


@contextmanager
def readable(path: Path, remedy: str) -> Iterator[None]:
    """Turn what SQLite says of a file that it cannot make sense of into DamagedState.

    What the disk, another process or a statement is to blame for has a class of its own in SQLite, and stays
    what it is.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise DamagedState(path, f"SQLite says {str(error)!r}", remedy) from error


def check_tables(path: Path, remedy: str, *, like: Path, thorough: bool) -> None:
    """Raise DamagedState for a database without the tables of the one `like` it, where that is there.

    A thorough look reads all of it.
    """
    with readable(path, remedy), closing(sqlite3.connect(path)) as database:
        if thorough and (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise DamagedState(path, f"SQLite says {' '.join(found.split())!r}", remedy)
        if missing := sorted((_tables(like) or {_ALWAYS}) - _tables(path)):
            raise DamagedState(path, f"it has no table {missing[0]}", remedy)


def is_sound(made: Path) -> bool:
    """Whether a database is there that can be made again, and need not be."""
    if not made.exists():
        return False
    try:
        check_tables(made, "", like=made, thorough=True)
    except DamagedState:
        return False
    return True


def _tables(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _document(path: Path, row: tuple[str, str], why: str) -> DamagedState:
    kind, key = (value.replace("'", "''") for value in row)
    statement = f"DELETE FROM documents WHERE kind = '{kind}' AND key = '{key}'"
    return DamagedState(
        path,
        f"the document '{row[1]}' of the kind {row[0]} {why}",
        f"Restore the file from a copy, or give that document up: sqlite3 {shlex.quote(str(path))} "
        f"{shlex.quote(statement)}",
    )
