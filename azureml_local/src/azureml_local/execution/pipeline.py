"""A pipeline job: its steps in their order, side by side where nothing keeps them apart."""

from __future__ import annotations

import logging
import queue
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from azureml_local.assets import addresses
from azureml_local.errors import NotFound
from azureml_local.execution.cluster import Clusters
from azureml_local.execution.control import Control, Interrupted, Wish
from azureml_local.execution.documents import TERMINAL, Records
from azureml_local.execution.fingerprint import fingerprints
from azureml_local.execution.graph import Graph, Step
from azureml_local.execution.outputs import output_uri, register
from azureml_local.execution.step import StepRun, child_properties
from azureml_local.settings import ARTIFACT_DATASTORE
from azureml_local.state.workspace import WorkspaceState

logger = logging.getLogger(__name__)

LOG = "logs/azureml/executionlogs.txt"
# Fingerprint of a step -> the job that has completed it.
_COMPLETED = "completed-steps"
_LOOK_AGAIN = 0.1  # seconds between looks at what somebody wants of the pipeline


def child_name(root: str, seed: str, path: str) -> str:
    """The job name of a step: the same for every server that runs the pipeline.

    The pipeline's seed tells it from one of the same name that was deleted, whose outputs are still there.
    """
    return str(uuid5(NAMESPACE_URL, f"azureml://jobs/{root}/{seed}/{path}"))


class PipelineRun:
    """Runs the steps of one pipeline job, each as a child job in a thread of its own."""

    def __init__(
        self,
        state: WorkspaceState,
        records: Records,
        clusters: Clusters,
        graph: Graph,
        name: str,
        control: Control,
    ) -> None:
        job = records.get(name)
        settings = job["request"].get("settings") or {}
        self._state = state
        self._records = records
        self._clusters = clusters
        self._graph = graph
        self._name = name
        self._control = control
        self._reuses = not _flag(settings.get("force_rerun"))
        self._continues = _flag(
            settings.get("continue_on_step_failure", settings.get("continue_run_on_step_failure"))
        )
        self._fingerprints = fingerprints(graph)
        self._jobs = {step.path: child_name(name, job["seed"], step.path) for step in graph.steps}
        self._statuses: dict[str, str] = {}
        self._controls: dict[str, Control] = {}
        self._lock = threading.Lock()  # steps that are reused change the job's outputs
        self._ended: queue.Queue[tuple[str, str]] = queue.Queue()
        self._log = state.blobs.datastore_path(ARTIFACT_DATASTORE, f"ExperimentRun/dcid.{name}/{LOG}")

    def run(self) -> str:
        """The status in which the job ends; raises Interrupted("detach") when the server stops."""
        self._records.move(self._name, "Preparing")
        self._records.move(self._name, "Running")
        self._run_steps()
        if self._control.wish == "detach":
            raise Interrupted("detach")
        failed = [path for path, status in self._statuses.items() if status == "Failed"]
        if self._control.wish == "cancel":
            return self._end("Canceled")
        if failed:
            return self._end("Failed", self._failure(failed))
        if len(self._statuses) < len(self._graph.steps):
            return self._end("Canceled")  # a step was cancelled by itself, and others waited for it
        return self._end("Completed")

    def ask(self, child: str, wish: Wish) -> None:
        """Pass a wish on to one of the steps; nothing happens when it does not run."""
        for path, control in list(self._controls.items()):
            if self._jobs[path] == child:
                control.ask(wish)

    def _run_steps(self) -> None:
        running: set[str] = set()
        while True:
            if not self._stops():
                for step in self._ready(running):
                    running.add(step.path)
                    self._begin(step)
            elif self._control.wish != "preempt":
                self._pass_on(running)
            if not running:
                return
            try:
                path, status = self._ended.get(timeout=_LOOK_AGAIN)
            except queue.Empty:
                continue
            running.discard(path)
            self._statuses[path] = status
            self._write(f"{status} processing run id {self._jobs[path]}.")

    def _stops(self) -> bool:
        """Whether no further step may begin."""
        return self._control.wish is not None or (not self._continues and "Failed" in self._statuses.values())

    def _ready(self, running: set[str]) -> list[Step]:
        return [
            step
            for step in self._graph.steps
            if step.path not in running
            and step.path not in self._statuses
            and all(self._statuses.get(need) == "Completed" for need in step.needs)
        ]

    def _pass_on(self, running: set[str]) -> None:
        wish: Wish = "detach" if self._control.wish == "detach" else "cancel"
        for path in running:
            if self._controls[path].wish is None:
                if wish == "cancel":
                    self._records.move(self._jobs[path], "CancelRequested")
                self._controls[path].ask(wish)

    def _begin(self, step: Step) -> None:
        self._controls[step.path] = Control()
        thread = threading.Thread(
            target=self._run_child, args=[step], name=self._jobs[step.path], daemon=True
        )
        thread.start()

    def _run_child(self, step: Step) -> None:
        status = "Failed"
        try:
            status = self._child(step)
        except Interrupted as interrupted:
            status = interrupted.wish
        except Exception as error:  # whatever it was, the pipeline must hear of it
            logger.exception("step %s of job %s", step.path, self._name)
            problem = {"code": "SystemError", "message": f"The step could not be run: {error}"}
            self._records.move(self._jobs[step.path], "Failed", error=problem)
        finally:
            self._ended.put((step.path, status))

    def _child(self, step: Step) -> str:
        name = self._jobs[step.path]
        status = self._known_status(name)
        if status in TERMINAL:
            return status
        if status is None:
            self._create(step, name)
            self._write(f"Submitting 1 runs, first five are: {step.path}:{name}")
            if self._reuse(step, name):
                return "Completed"
        run = StepRun(
            self._state,
            self._records,
            self._clusters,
            step,
            name,
            self._controls[step.path],
            self._jobs,
            checkpoints(self._state, self._fingerprints[step.path]),
        )
        status = run.run()
        if status == "Completed":
            self._state.store.put(_COMPLETED, self._fingerprints[step.path], {"job": name})
        return status

    def _known_status(self, name: str) -> str | None:
        try:
            return str(self._records.get(name)["properties"]["status"])
        except NotFound:
            return None

    def _create(self, step: Step, name: str) -> None:
        root = self._records.get(self._name)["properties"]
        cluster = self._clusters.find(step.compute)
        self._records.create(
            name,
            {
                "experimentName": root["experimentName"],
                "displayName": step.display_name or step.name,
                "jobType": "Command",
                "computeId": cluster.name,
                "tags": {},
                "properties": child_properties(cluster, step, self._name),
                "outputs": {
                    output: {"jobOutputType": o.type, "uri": output_uri(name, output, o)}
                    for output, o in step.outputs.items()
                },
            },
            root=self._name,
            step=step.path,
        )

    def _reuse(self, step: Step, name: str) -> bool:
        """Take over the outputs of an earlier run of the same step, as the service does unless told not."""
        known = self._state.store.get(_COMPLETED, self._fingerprints[step.path])
        if not (self._reuses and step.component.deterministic and known):
            return False
        try:
            earlier = self._records.get(known["job"])
            outputs = earlier["properties"]["outputs"]
            for output in outputs.values():
                addresses.resolve(self._state, output["uri"])
        except NotFound:
            return False  # somebody has deleted the job, or what it made
        properties = self._records.get(name)["properties"]["properties"] | {
            "azureml.isreused": "true",
            "azureml.reusedrunid": earlier["name"],
            "azureml.reusedpipelinerunid": earlier["root"],
        }
        self._records.change(name, properties={"outputs": outputs, "properties": properties})
        with self._lock:
            shown = dict(self._records.get(self._name)["properties"]["outputs"])
            for mine, target in self._graph.outputs.items():
                if target.step == step.path:
                    shown[mine] = {**shown[mine], "uri": outputs[target.output]["uri"]}
            self._records.change(self._name, properties={"outputs": shown})
        register(self._state, name, step.outputs)
        self._records.move(name, "Completed")
        return True

    def _failure(self, failed: list[str]) -> dict[str, Any]:
        details = [self._records.get(self._jobs[path])["error"] or {} for path in failed]
        named = ", ".join("/" + path for path in failed)
        first = details[0].get("message", "")
        return {
            "code": "UserError",
            "message": f"Pipeline has failed child jobs. Failed nodes: {named}. The first says: {first}",
            "details": details,
        }

    def _end(self, status: str, error: dict[str, Any] | None = None) -> str:
        self._write(f"Pipeline ends as {status}.")
        return str(self._records.move(self._name, status, error=error)["properties"]["status"])

    def _write(self, line: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            log.write(f"[{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}] {line}\n")


def checkpoints(state: WorkspaceState, fingerprint: str) -> Path:
    """A directory that every run of the same step finds, until one completes."""
    return state.settings.state / "checkpoints" / fingerprint


def _flag(value: object) -> bool:
    return str(value).casefold() == "true"
