"""Jobs: submitted, run in threads of their own, cancelled, and taken up again by the next server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, NotFound, ServiceError
from azureml_local.execution import component, graph
from azureml_local.execution.cluster import Clusters
from azureml_local.execution.control import Control, Interrupted
from azureml_local.execution.documents import TERMINAL, Records
from azureml_local.execution.fingerprint import fingerprints
from azureml_local.execution.graph import Asset, Graph, Step
from azureml_local.execution.outputs import output_uri
from azureml_local.execution.pipeline import PipelineRun, checkpoints, child_name
from azureml_local.execution.step import StepRun
from azureml_local.execution.tracking import Tracking
from azureml_local.fields import texts
from azureml_local.state.store import Document
from azureml_local.state.workspace import WorkspaceState

logger = logging.getLogger(__name__)


@dataclass
class _Live:
    control: Control
    run: StepRun | PipelineRun
    thread: threading.Thread


class Jobs:
    """The jobs of one workspace: at any time each is in a thread here, or it has ended."""

    def __init__(self, state: WorkspaceState, tracking: Tracking) -> None:
        self.records = Records(state.store, state.clock, tracking)
        self._state = state
        self._clusters = Clusters(state.store, state.ledger, state.settings.pace)
        self._lock = threading.Lock()
        self._live: dict[str, _Live] = {}

    def submit(self, name: str, properties: Mapping[str, Any]) -> Document:
        """Check the job and set it going; raises BadRequest, or Conflict when there is one of that name."""
        found = self._graph(properties)
        for step in found.steps:
            self._clusters.find(step.compute)
            self._check_data(step)
        seed = uuid4().hex
        shown = {
            "experimentName": str(properties.get("experimentName") or "Default"),
            "displayName": str(properties.get("displayName") or name),
            "tags": texts(properties, "tags"),
            "properties": texts(properties, "properties"),
            "outputs": _outputs(name, seed, properties, found),
        }
        document = self.records.create(name, {**properties, **shown}, request=dict(properties), seed=seed)
        self._go(name, found)
        return document

    def cancel(self, name: str) -> None:
        """Ask a job to end; one that has ended stays as it is. Raises NotFound."""
        document = self.records.get(name)
        if document["properties"]["status"] in TERMINAL:
            return
        self.records.change(name, cancel=True)
        self.records.move(name, "CancelRequested")
        self._ask(document, "cancel")

    def preempt(self, name: str) -> None:
        """Take a running command's node away, as a low-priority cluster may; the command begins again."""
        self._ask(self.records.get(name), "preempt")

    def resume(self) -> None:
        """Take up the jobs that a previous server left: their processes may still be running."""
        live = self.records.live()
        names = [name for document in live for name in (document["name"], *document["children"])]
        self._clusters.stop_all_but({row for name in names for row in self.records.get(name)["leases"]})
        self.records.retell()
        for document in live:
            try:
                self._go(document["name"], self._graph(document["request"]), cancel=document["cancel"])
            except ServiceError as error:
                problem = {"code": "NotResumable", "message": f"The server was restarted: {error.message}"}
                self.records.move(document["name"], "Failed", error=problem)

    def close(self) -> None:
        """Let go of the jobs without ending them; their processes run on."""
        with self._lock:
            live = list(self._live.values())
        for job in live:
            job.control.ask("detach")
        for job in live:
            job.thread.join()

    def _graph(self, properties: Mapping[str, Any]) -> Graph:
        kind = properties.get("jobType")
        if kind == "Pipeline":
            return graph.of_pipeline(properties, self._component)
        if kind == "Command":
            reference = properties.get("componentId")
            return graph.of_command(properties, self._component(reference) if reference else None)
        raise BadRequest(f"Jobs of type {kind} are not run here: Command and Pipeline are.", target="jobType")

    def _component(self, reference: str) -> component.Component:
        return component.find(self._state.store, reference)

    def _check_data(self, step: Step) -> None:
        """Raise BadRequest for an input that names an asset or a job's output which does not exist."""
        for name, value in step.inputs.items():
            if not isinstance(value, Asset):
                continue
            try:
                addresses.check(self._state, value.uri)
            except NotFound as error:
                where = f"Step '{step.path}': input" if step.path else "Input"
                raise BadRequest(f"{where} '{name}': {error.message}", target="inputs") from error

    def _go(self, name: str, found: Graph, *, cancel: bool = False) -> None:
        control = Control()
        if cancel:
            control.ask("cancel")
        run = self._run(name, found, control)
        thread = threading.Thread(target=self._drive, args=[name, run], name=f"job-{name}", daemon=True)
        with self._lock:
            self._live[name] = _Live(control, run, thread)
        thread.start()

    def _run(self, name: str, found: Graph, control: Control) -> StepRun | PipelineRun:
        if self.records.get(name)["properties"]["jobType"] == "Pipeline":
            return PipelineRun(self._state, self.records, self._clusters, found, name, control)
        (step,) = found.steps
        kept = checkpoints(self._state, fingerprints(found)[step.path])
        return StepRun(self._state, self.records, self._clusters, step, name, control, {}, kept)

    def _drive(self, name: str, run: StepRun | PipelineRun) -> None:
        try:
            run.run()
        except Interrupted:
            logger.info("job %s goes on without this server", name)
        except Exception as error:  # whatever it was, the job must not seem to run
            logger.exception("job %s", name)
            problem = {"code": "SystemError", "message": f"The job could not be run: {error}"}
            self.records.move(name, "Failed", error=problem)
        finally:
            with self._lock:
                del self._live[name]

    def _ask(self, document: Document, wish: Any) -> None:
        with self._lock:
            live = self._live.get(document["root"])
        if live is None:
            return
        if document["parent"] is None:
            live.control.ask(wish)
        elif isinstance(live.run, PipelineRun):
            live.run.ask(document["name"], wish)


def _outputs(name: str, seed: str, properties: Mapping[str, Any], found: Graph) -> dict[str, Any]:
    """The job's outputs with their addresses, known before anything runs."""
    steps = {step.path: step for step in found.steps}
    if properties["jobType"] == "Command":
        (step,) = found.steps
        targets = {output: (name, output, step) for output in step.outputs}
    else:
        targets = {
            mine: (child_name(name, seed, target.step), target.output, steps[target.step])
            for mine, target in found.outputs.items()
        }
    asked = properties.get("outputs") or {}
    return {
        mine: {
            "description": None,
            "mode": "ReadWriteMount",
            **{key: value for key, value in (asked.get(mine) or {}).items() if value is not None},
            "jobOutputType": step.outputs[output].type,
            "uri": output_uri(job, output, step.outputs[output]),
        }
        for mine, (job, output, step) in targets.items()
    }
