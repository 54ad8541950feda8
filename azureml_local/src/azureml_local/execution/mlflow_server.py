"""MLflow's own tracking service as a child process of the workspace's server.

Run as `python -m azureml_local.execution.mlflow_server SOCKET_FD DATABASE ARTIFACTS SYNCHRONOUS`, the last as
SQLite's pragma has it. It answers HTTP on the listening Unix socket it inherits, and ends when its standard
input does: with its parent, however that dies.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from azureml_local import imports
from azureml_local.execution.tracking import EMPTY
from azureml_local.state import damage

# A quarter of the processor time until the first answer, and azureml-mlflow's client a sixth.
with imports.uncollected(), imports.without_plugins("mlflow"):
    import mlflow
    from flask import Flask, request
    from mlflow.entities import Run, RunTag
    from mlflow.protos.service_pb2 import MlflowService
    from mlflow.server import handlers
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from werkzeug.serving import WSGIRequestHandler, make_server

# What Azure's tracking service has of MLflow's; logged models, traces and the like it answers with 404.
_OFFERED = re.compile(r"/api/2\.0/mlflow/(experiments|runs|metrics)/")
_PARENT, _ROOT = "mlflow.parentRunId", "mlflow.rootRunId"


class RunStore(SqlAlchemyStore):  # type: ignore[misc]
    """MLflow's store, with what the service adds.

    Runs may have a given id (a job's name), artifacts lie where azureml-mlflow looks, a tag names the root.
    """

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: list[RunTag], run_name: str
    ) -> Run:
        """MLflow's own, under the id of the job that asks for it."""
        given = {tag.key: tag.value for tag in tags}
        run = super().create_run(experiment_id, user_id, start_time, tags, run_name)
        root = self._root(given[_PARENT]) if _PARENT in given else run.info.run_id
        self.set_tag(run.info.run_id, RunTag(_ROOT, root))
        with self.ManagedSessionMaker(read_only=False) as session:
            record = self._get_run(session, run.info.run_id)
            record.artifact_uri = self._artifacts(experiment_id, run.info.run_id)
            return record.to_mlflow_entity()

    def put_run(self, run: dict[str, Any]) -> None:
        """Create the run or bring it up to date: id, experiment, name, status, started, ended (ms), tags."""
        experiment_id = self._experiment(run["experiment"])
        with self.ManagedSessionMaker(read_only=False) as session:
            record = session.get(SqlRun, run["id"])
            if record is None:
                record = SqlRun(
                    run_uuid=run["id"],
                    experiment_id=int(experiment_id),
                    source_type="JOB",
                    source_name="",
                    entry_point_name="",
                    source_version="",
                    user_id="",
                    lifecycle_stage="active",
                    artifact_uri=self._artifacts(experiment_id, run["id"]),
                )
                session.add(record)
            record.name = run["name"]
            record.status = run["status"]
            record.start_time = run["started"]
            record.end_time = run["ended"]
            for key, value in {**run["tags"], "mlflow.runName": run["name"]}.items():
                session.merge(SqlTag(run_uuid=run["id"], key=key, value=value))

    def own_experiments(self) -> None:
        """Let every experiment's artifacts lie where this store's are: the database may be a copy."""
        with self.ManagedSessionMaker(read_only=False) as session:
            for experiment in session.query(SqlExperiment):
                experiment.artifact_location = self._get_artifact_location(experiment.experiment_id)

    def _root(self, parent: str) -> str:
        return str(self.get_run(parent).data.tags.get(_ROOT, parent))

    def _experiment(self, name: str) -> str:
        experiment = self.get_experiment_by_name(name)
        if experiment is None:
            return str(self.create_experiment(name))
        if experiment.lifecycle_stage != "active":
            self.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _artifacts(self, experiment_id: str, run_id: str) -> str:
        return f"{self.artifact_root_uri}/experiments/{experiment_id}/runs/{run_id}/artifacts"


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing: the workspace's server logs requests."""


def application(store: RunStore) -> Flask:
    """MLflow's own handlers over the store, and the one route by which the workspace keeps runs in step."""
    handlers._tracking_store = store
    app = Flask("tracking")
    for path, handler, methods in handlers.get_service_endpoints(MlflowService, handlers.get_handler):
        if _OFFERED.match(path):
            app.add_url_rule(path, f"{handler.__name__} {path}", handler, methods=methods)

    @app.put("/runs")
    def put_run() -> tuple[str, int]:
        store.put_run(request.get_json())
        return "", 204

    return app


def main(descriptor: int, database: str, artifacts: str, synchronous: str) -> None:
    """Serve MLflow on the socket of that file descriptor until stdin is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    app = application(open_store(Path(database), artifacts, synchronous))
    make_server(
        "unix://inherited", 0, app, threaded=True, request_handler=_Quiet, fd=descriptor
    ).serve_forever()


def open_store(database: Path, artifacts: str, synchronous: str = "NORMAL") -> RunStore:
    """The store in that file, made when there is none; a copy stays empty, to reset the workspace by."""
    empty = database.with_suffix(EMPTY)
    if not damage.is_sound(empty):
        fresh = database.with_suffix(".new")
        shutil.copyfile(_migrated(database.parent), fresh)
        store = RunStore(f"sqlite:///{fresh}", artifacts)
        store.own_experiments()
        store.engine.dispose()
        os.replace(fresh, empty)
    if not database.exists():
        fresh = shutil.copyfile(empty, database.with_suffix(".new"))
        os.replace(fresh, database)
    # As the workspace's own: what has been answered survives the death of the process.
    _on_connect("PRAGMA journal_mode=WAL", f"PRAGMA synchronous={synchronous}")
    return RunStore(f"sqlite:///{database}", artifacts)


def _migrated(state: Path) -> Path:
    """A database with MLflow's tables, made once on a machine for each version of MLflow.

    MLflow takes an empty file through dozens of migrations, a second of the processor, and does not get over
    one that was broken off. So it is made beside, without waiting for the disk, and moved into place when it
    is whole. Where there is no cache it is made for this state alone.
    """
    cache = Path(platformdirs.user_cache_dir("azureml-local", appauthor=False))
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    folder = cache if os.access(cache, os.W_OK) else state
    kept = folder / f"mlflow-{mlflow.__version__}.sqlite"
    if not damage.is_sound(kept):
        fresh = folder / f".mlflow-{os.getpid()}.sqlite"
        fresh.unlink(missing_ok=True)
        unsafe = _on_connect("PRAGMA journal_mode=MEMORY", "PRAGMA synchronous=OFF")
        RunStore(f"sqlite:///{fresh}", "none").engine.dispose()
        event.remove(Engine, "connect", unsafe)
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(fresh, kept)
    return kept


def _on_connect(*statements: str) -> Callable[..., None]:
    """Let every new connection of SQLAlchemy begin with the statements, until the listener is removed."""

    def execute(connection: sqlite3.Connection, _: object) -> None:
        for statement in statements:
            connection.execute(statement)

    event.listen(Engine, "connect", execute)
    return execute


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
