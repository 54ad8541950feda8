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
from azureml_local.execution import component, nodes, run_properties, sweep_job
from azureml_local.execution.binding import bind, of_command
from azureml_local.execution.cluster import Clusters
from azureml_local.execution.control import Control, Interrupted, Signal
from azureml_local.execution.environments import Environments
from azureml_local.execution.fingerprint import fingerprints
from azureml_local.execution.graph import Asset, Graph, Step
from azureml_local.execution.job_records import JobRecords, NewJob
from azureml_local.execution.nodes import CommandJob, PipelineJob
from azureml_local.execution.outputs import output_uri
from azureml_local.execution.pipeline import PipelineRun
from azureml_local.execution.run_tree import child_name
from azureml_local.execution.runtime import Runtime
from azureml_local.execution.step import StepRun
from azureml_local.execution.step_directory import StepTask
from azureml_local.execution.sweep import SweepRun
from azureml_local.execution.sweep_job import SweepJob
from azureml_local.execution.tracking import Tracking
from azureml_local.state.document import Json
from azureml_local.state.job_documents import JobDocument, JobOutput, has_ended, is_pipeline, job_type
from azureml_local.state.job_states import JobState
from azureml_local.state.workspace import WorkspaceState

logger = logging.getLogger(__name__)

Definition = CommandJob | PipelineJob | SweepJob
Run = StepRun | PipelineRun | SweepRun


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A job to submit: its properties as they came, and what has been read from them and checked.

    `written` are the properties that the service writes on its run, where they are not as of every such job.
    """

    given: Json
    definition: Definition
    experiment: str
    display_name: str
    tags: dict[str, str]
    properties: dict[str, str]
    written: Mapping[str, str] | None = None


@dataclass
class _Live:
    control: Control
    run: Run
    thread: threading.Thread


class Jobs:
    """The jobs of one workspace: at any time each is in a thread here, or it has ended."""

    def __init__(self, state: WorkspaceState, tracking: Tracking, environments: Environments) -> None:
        self.records = JobRecords(state.store, state.clock, tracking)
        self._state = state
        self.clusters = Clusters(state)
        self._runtime = Runtime(state, self.records, self.clusters, tracking, environments)
        self._lock = threading.Lock()
        self._live: dict[str, _Live] = {}

    def submit(self, name: str, request: JobRequest) -> JobDocument:
        """Bind the job and set it going; raises BadRequest, or Conflict when there is one of that name."""
        found = self._bound(request.definition)
        for step in found.steps:
            self.clusters.find(step.compute)
            self._check_data(step)
        seed = uuid4().hex
        written = _said_by_service(request.definition) if request.written is None else request.written
        properties: Any = {
            **request.given,
            "experimentName": request.experiment,
            "displayName": request.display_name,
            "tags": {**request.tags, **_tags(request)},
            "properties": {**request.properties, **written},
            "status": _first_state(request.definition),
            "outputs": _outputs(name, seed, request, found),
        }
        nodes = found.steps[0].instance_count if isinstance(request.definition, CommandJob) else 1
        job = NewJob(name=name, properties=properties, request=request.given, seed=seed, nodes=nodes)
        document = self.records.create(job)
        self._go(document, found)
        return document

    def submit_scheduled(self, name: str, given: Json, properties: Mapping[str, str]) -> None:
        """Submit the job of a schedule, whose definition was checked when it was made."""
        self.submit(
            name,
            JobRequest(
                given=given,
                definition=read(given),
                experiment=str(given.get("experimentName") or "Default"),
                display_name=str(given["displayName"]),
                tags=given.get("tags") or {},
                properties={**(given.get("properties") or {}), **properties},
            ),
        )

    def cancel(self, name: str) -> None:
        """Ask a job to end; one that has ended stays as it is. Raises NotFound."""
        document = self.records.get(name)
        if has_ended(document):
            return
        self.records.request_cancel(name)
        with self._lock:
            live = self._live.get(document["root"])
        if document.get("foreign"):
            self.records.move(name, JobState.CANCELED)
        if live is None:
            return
        if document["parent"] is None:
            live.control.send(Signal.CANCEL)
        elif not isinstance(live.run, StepRun):
            live.run.cancel(name)

    def steps(self, document: JobDocument) -> tuple[Step, ...]:
        """A pipeline's steps; none of a command, or when a component that it names has been deleted since."""
        if not is_pipeline(document):
            return ()
        try:
            return self._graph(document).steps
        except ServiceError:
            return ()

    def resume(self) -> None:
        """Take up the jobs that a previous server left: their processes may still be running."""
        live = self.records.live()
        runs = [run for job in live for run in (job, *self.records.below(job["name"]))]
        self.clusters.stop_all_but({row for run in runs for row in run["leases"]})
        self.records.report_again()
        for document in live:
            try:
                self._go(document, self._graph(document))
            except ServiceError as error:
                message = f"The server was restarted: {error.message}"
                self._fail(document["name"], "NotResumable", message)

    def end_all(self) -> None:
        """End every job that runs, with its processes, and wait for it."""
        self._send_all(Signal.CANCEL)

    def stop_all(self) -> list[str]:
        """End the processes of every job that runs, which begins again with the next server; their names."""
        with self._lock:
            names = sorted(self._live)
        self._send_all(Signal.STOP)
        return names

    def close(self) -> None:
        """Let go of the jobs without ending them; their processes run on."""
        self._send_all(Signal.DETACH)

    def _send_all(self, signal: Signal) -> None:
        with self._lock:
            live = list(self._live.values())
        for job in live:
            job.control.send(signal)
        for job in live:
            job.thread.join()

    def _graph(self, document: JobDocument) -> Graph:
        """The graph of a job that was submitted before, maybe to another server."""
        return self._bound(read(document["request"]))

    def _bound(self, definition: Definition) -> Graph:
        """The graph of a job; that of a sweep is one trial's, with the first values that there are."""
        if isinstance(definition, SweepJob):
            return of_command(definition.trial_with(next(definition.values(""))), None)
        return bind(definition, self._component)

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

    def _go(self, document: JobDocument, found: Graph) -> None:
        name, control = document["name"], Control()
        if document["cancel"]:
            control.send(Signal.CANCEL)
        run = self._run(document, found, control)
        thread = threading.Thread(target=self._drive, args=[name, run], name=f"job-{name}", daemon=True)
        with self._lock:
            self._live[name] = _Live(control, run, thread)
        thread.start()

    def _run(self, document: JobDocument, found: Graph, control: Control) -> Run:
        name = document["name"]
        if job_type(document) == "Sweep":
            return SweepRun(self._runtime, sweep_job.read(document["request"]), name, control)
        if is_pipeline(document):
            return PipelineRun(self._runtime, found, name, control)
        (step,) = found.steps
        checkpoints = self._runtime.checkpoints(fingerprints(found)[step.path])
        task = StepTask(name=name, step=step, upstream={}, checkpoints=checkpoints)
        return StepRun(self._runtime, task, control)

    def _drive(self, name: str, run: Run) -> None:
        try:
            run.run()
        except Interrupted:
            logger.info("job %s goes on without this server", name)
        except Exception as error:  # whatever it was, the job must not seem to run
            logger.exception("job %s", name)
            self._fail(name, "SystemError", f"The job could not be run: {error}")
        finally:
            with self._lock:
                del self._live[name]

    def _fail(self, name: str, code: str, message: str) -> None:
        """End the job and all that is below it; what has ended stays as it is."""
        for run in (*self.records.below(name), self.records.get(name)):
            self.records.move(run["name"], JobState.FAILED, error={"code": code, "message": message})


def read(properties: Mapping[str, Any]) -> Definition:
    """The job that a request's properties describe; raises BadRequest for what they cannot be."""
    return sweep_job.read(properties) if properties.get("jobType") == "Sweep" else nodes.read(properties)


def _said_by_service(definition: Definition) -> dict[str, str]:
    match definition:
        case PipelineJob():
            return run_properties.of_pipeline(definition)
        case SweepJob():
            return run_properties.of_sweep(definition)
    return {}


def _tags(request: JobRequest) -> dict[str, str]:
    """The tags that the service adds."""
    if isinstance(request.definition, SweepJob):
        return run_properties.tags_of_sweep(request.definition, request.given["searchSpace"])
    return {}


def _first_state(definition: Definition) -> JobState:
    """What the answer to the request shows; as seen in recorded traffic of pipelines and of sweeps."""
    match definition:
        case PipelineJob():
            return JobState.PREPARING
        case SweepJob():
            return JobState.RUNNING
    return JobState.NOT_STARTED


def _outputs(name: str, seed: str, request: JobRequest, found: Graph) -> dict[str, JobOutput]:
    """The job's outputs with their addresses, known before anything runs."""
    steps = {step.path: step for step in found.steps}
    if not isinstance(request.definition, PipelineJob):
        (step,) = found.steps
        targets = {output: (name, output, step) for output in step.outputs}
    else:
        targets = {
            mine: (child_name(name, seed, target.step), target.output, steps[target.step])
            for mine, target in found.outputs.items()
        }
    asked = request.given.get("outputs") or {}
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
