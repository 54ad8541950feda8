"""What is kept of a job: one document, whose every change MLflow hears of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from azureml_local.errors import NotFound
from azureml_local.execution.tracking import Run, Tracking, run_status
from azureml_local.state.clock import Clock, iso
from azureml_local.state.store import Document, Store

KIND = "jobs"
TERMINAL = frozenset({"Completed", "Failed", "Canceled"})


class Records:
    """The documents of jobs, root and child alike, by name.

    A document has: `root`, `parent`, `children` and `step` (its path in the root's graph), `number`,
    `request` (what was asked for), `properties` (what the service shows), `created`, `started`, `ended`,
    `error`, `cancel`, `hidden`, `leases` (ledger rows of its nodes).
    """

    def __init__(self, store: Store, clock: Clock, tracking: Tracking) -> None:
        self._store = store
        self._clock = clock
        self._tracking = tracking

    def get(self, name: str) -> Document:
        """The job's document; raises NotFound."""
        document = self._store.get(KIND, name)
        if document is None:
            raise NotFound(f"The job {name} was not found.", code="UserError", inner=("NotFoundError",))
        return document

    def create(
        self,
        name: str,
        properties: dict[str, Any],
        *,
        root: str | None = None,
        step: str = "",
        request: dict[str, Any] | None = None,
        seed: str = "",
    ) -> Document:
        """Write a new job that has not started; raises Conflict."""
        document: Document = {
            "name": name,
            "root": root or name,
            "parent": root,
            "step": step,
            "children": [],
            "number": self._next_number(),
            "request": request or {},
            "seed": seed,
            "properties": {**properties, "status": "NotStarted"},
            "created": self._now(),
            "started": None,
            "ended": None,
            "error": None,
            "cancel": False,
            "hidden": bool(properties.get("isArchived")),
            "leases": [],
        }
        self._store.create(KIND, name, document)
        if root is not None:
            self._store.update(KIND, root, lambda d: {**d, "children": [*d["children"], name]})
        self._tell(document)
        return document

    def change(self, name: str, **fields: Any) -> Document:
        """Set fields of the document; `properties` are merged into those it has."""

        def merge(document: Document) -> Document:
            merged = {**document["properties"], **fields.get("properties", {})}
            return {**document, **fields, "properties": merged}

        document = self._store.update(KIND, name, merge)
        self._tell(document)
        return document

    def move(self, name: str, status: str, *, error: dict[str, Any] | None = None) -> Document:
        """Give the job another status; one that has ended keeps its own."""

        def moved(document: Document) -> Document:
            if document["properties"]["status"] in TERMINAL:
                return document
            now = self._now()
            starts = status == "Running" and document["started"] is None
            return {
                **document,
                "properties": {**document["properties"], "status": status},
                "started": now if starts else document["started"],
                "ended": now if status in TERMINAL else None,
                "error": error or document["error"],
            }

        document = self._store.update(KIND, name, moved)
        self._tell(document)
        return document

    def children(self, root: str) -> list[Document]:
        """The root's children, oldest first."""
        return [self.get(name) for name in self.get(root)["children"]]

    def roots(self) -> list[Document]:
        """The jobs that were submitted, newest first."""
        found = [d for _, d in self._store.list(KIND) if d["parent"] is None]
        return sorted(found, key=lambda document: -document["number"])

    def live(self) -> list[Document]:
        """Root jobs that have not ended."""
        return [d for d in self.roots() if d["properties"]["status"] not in TERMINAL]

    def unfinished(self) -> list[str]:
        """The names of all jobs, steps of pipelines too, that have not ended."""
        return [name for name, d in self._store.list(KIND) if d["properties"]["status"] not in TERMINAL]

    def retell(self) -> None:
        """Let MLflow hear, when it is next used, what a server that was killed has not told it."""
        for _, document in self._store.list(KIND):
            self._tracking.owe(_run(document))

    def _next_number(self) -> int:
        with_one = self._store.get("counters", "jobs") or {"value": 0}
        return int(self._store.put("counters", "jobs", {"value": with_one["value"] + 1})["value"])

    def _tell(self, document: Document) -> None:
        self._tracking.put(_run(document))

    def _now(self) -> str:
        return iso(self._clock.now())


def _run(document: Document) -> Run:
    """The job as MLflow shows it, with the tags that the service sets."""
    properties = document["properties"]
    tags = {str(k): str(v) for k, v in (properties.get("tags") or {}).items()}
    tags |= {"mlflow.rootRunId": document["root"], "mlflow.user": "local user"}
    if document["parent"]:
        tags["mlflow.parentRunId"] = document["parent"]
    return Run(
        id=document["name"],
        experiment=properties["experimentName"],
        name=properties.get("displayName") or document["name"],
        status=run_status(properties["status"]),
        started=_milliseconds(document["started"] or document["created"]),
        ended=_milliseconds(document["ended"]),
        tags=tags,
    )


def _milliseconds(moment: str | None) -> int | None:
    return None if moment is None else int(datetime.fromisoformat(moment).timestamp() * 1000)
