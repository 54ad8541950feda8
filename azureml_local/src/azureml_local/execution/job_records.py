"""What is kept of a job: one document, whose every change MLflow hears of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from azureml_local.errors import NotFound
from azureml_local.execution.tracking import Run, Tracking, run_status
from azureml_local.state.clock import Clock, iso
from azureml_local.state.document import Json
from azureml_local.state.documents import (
    COUNTERS,
    JOBS,
    JOBS_RUN_HERE,
    ROOT_JOBS,
    UNFINISHED_JOBS,
    CounterDocument,
)
from azureml_local.state.job_documents import JobDocument, JobError, JobProperties, holds_others, status
from azureml_local.state.job_states import JobState
from azureml_local.state.order import Position
from azureml_local.state.store import Store


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to be written down: what the service shows of it, and what it needs to run.

    `root`, `parent` and `step` are a pipeline step's: the submitted job, the run right above it, and its path
    in the graph. `nodes` is how many it runs on. `request` and `seed` are a submitted job's: the properties
    asked for, and what tells it from a deleted one of the same name.
    """

    name: str
    properties: JobProperties
    root: str | None = None
    parent: str | None = None
    step: str = ""
    nodes: int = 1
    request: Json = field(default_factory=dict)
    seed: str = ""


class JobRecords:
    """The documents of jobs, root and child alike, by name."""

    def __init__(self, store: Store, clock: Clock, tracking: Tracking) -> None:
        self._store = store
        self._clock = clock
        self._tracking = tracking

    def get(self, name: str) -> JobDocument:
        """The job's document; raises NotFound."""
        document = self.find(name)
        if document is None:
            raise NotFound(f"The job {name} was not found.", code="UserError", inner=("NotFoundError",))
        return document

    def find(self, name: str) -> JobDocument | None:
        """The job's document, None when there is no such job."""
        return self._store.get(JOBS, name)

    def create(self, job: NewJob) -> JobDocument:
        """Write a new job; raises Conflict."""
        document: JobDocument = {
            "name": job.name,
            "root": job.root or job.name,
            "parent": job.parent,
            "step": job.step,
            "children": [],
            "number": self.next_number(),
            "request": job.request,
            "seed": job.seed,
            "properties": job.properties,
            "created": self._now(),
            "started": None,
            "ended": None,
            "error": None,
            "cancel": False,
            "hidden": bool(job.properties.get("isArchived")),
            "nodes": job.nodes,
            "leases": [],
        }
        self._store.create(JOBS, job.name, document)
        if job.parent is not None:
            self._store.update(JOBS, job.parent, lambda d: {**d, "children": [*d["children"], job.name]})
        self._report(document)
        return document

    def show(self, name: str, properties: Json, *, hidden: bool | None = None) -> JobDocument:
        """Change what the service shows of the job; other properties stay."""

        def merged(document: JobDocument) -> JobDocument:
            return {
                **document,
                "properties": {**document["properties"], **properties},  # type: ignore[typeddict-item]
                "hidden": document["hidden"] if hidden is None else hidden,
            }

        return self._changed(name, merged)

    def hold(self, name: str, leases: list[str]) -> None:
        """Note the ledger rows of the nodes that the job holds."""
        self._changed(name, lambda document: {**document, "leases": leases})

    def begin_again(self, name: str) -> None:
        """Forget that the job had started: its node was taken away."""
        self._changed(name, lambda document: {**document, "started": None, "leases": []})

    def request_cancel(self, name: str) -> None:
        """Note that the job's end was asked for, also for a server started later."""
        self._changed(name, lambda document: {**document, "cancel": True})
        self.move(name, JobState.CANCEL_REQUESTED)

    def move(self, name: str, state: JobState, *, error: JobError | None = None) -> JobDocument:
        """Give the job another state; it keeps its own where that cannot follow (see job_states)."""

        def moved(document: JobDocument) -> JobDocument:
            old = status(document)
            if old.is_final:
                return document
            now = self._now()
            starts = state is JobState.RUNNING and document["started"] is None
            return {
                **document,
                "properties": {**document["properties"], "status": state if old.may_become(state) else old},
                "started": now if starts else document["started"],
                "ended": now if state.is_final else None,
                "error": error or document["error"],
            }

        return self._changed(name, moved)

    def children(self, name: str) -> list[JobDocument]:
        """The runs right below a job, oldest first."""
        return [self.get(child) for child in self.get(name)["children"]]

    def below(self, name: str) -> list[JobDocument]:
        """All runs below a job, each before those below it."""
        found = []
        for child in self.children(name):
            found += [child, *self.below(child["name"])]
        return found

    def steps(self, name: str) -> list[JobDocument]:
        """The commands below a job, oldest first."""
        return sorted(
            (run for run in self.below(name) if not holds_others(run)), key=lambda run: run["number"]
        )

    def roots(self, after: Position | None = None) -> Iterator[tuple[Position, JobDocument]]:
        """The jobs that were submitted, the newest first, each with its position in this order."""
        return self._store.newest(ROOT_JOBS, after=after)

    def live(self) -> list[JobDocument]:
        """Root jobs that have not ended, and run here, the newest first."""
        return [document for document in self._unfinished() if document["parent"] is None]

    def unfinished(self) -> list[str]:
        """The names of all jobs, steps of pipelines too, that have not ended, and run here."""
        return [document["name"] for document in self._unfinished()]

    def forget(self, document: JobDocument) -> None:
        """Delete the job and all below it; what they wrote stays."""
        for name in [*(run["name"] for run in self.below(document["name"])), document["name"]]:
            self._store.delete(JOBS, name)

    def report_again(self) -> None:
        """Let MLflow hear, when it is next used, what a server that was killed has not reported."""
        for _, document in self._store.newest(JOBS_RUN_HERE):
            self._tracking.owe(_run(document))

    def next_number(self) -> int:
        """The number of the next job: the newest have the highest."""
        with self._store.transaction():
            last = self._store.get(COUNTERS, JOBS.name)
            counter: CounterDocument = {"value": last["value"] + 1 if last else 1}
            self._store.put(COUNTERS, JOBS.name, counter)
            return counter["value"]

    def _unfinished(self) -> Iterator[JobDocument]:
        return (d for _, d in self._store.newest(UNFINISHED_JOBS) if not d.get("foreign"))

    def _changed(self, name: str, change: Callable[[JobDocument], JobDocument]) -> JobDocument:
        document = self._store.update(JOBS, name, change)
        self._report(document)
        return document

    def _report(self, document: JobDocument) -> None:
        self._tracking.put(_run(document))

    def _now(self) -> str:
        return iso(self._clock.now())


def _run(document: JobDocument) -> Run:
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
        status=run_status(status(document)),
        started=_milliseconds(document["started"] or document["created"]),
        ended=_milliseconds(document["ended"]),
        tags=tags,
    )


def _milliseconds(moment: str | None) -> int | None:
    return None if moment is None else int(datetime.fromisoformat(moment).timestamp() * 1000)
