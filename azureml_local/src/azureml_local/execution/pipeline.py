"""A pipeline job: its steps in their order, side by side where nothing keeps them apart."""

from __future__ import annotations

import logging
import queue
import threading
from datetime import UTC, datetime

from azureml_local.execution import nodes, reuse, run_properties
from azureml_local.execution.control import Control, Interrupted, Signal
from azureml_local.execution.fingerprint import fingerprints
from azureml_local.execution.graph import Graph, Step
from azureml_local.execution.job_records import NewJob
from azureml_local.execution.outputs import output_uri
from azureml_local.execution.run_tree import RunTree, child_name
from azureml_local.execution.runtime import Runtime
from azureml_local.execution.step import StepRun
from azureml_local.execution.step_directory import StepTask
from azureml_local.state.job_documents import JobDocument, JobError, experiment, status
from azureml_local.state.job_states import JobState

logger = logging.getLogger(__name__)

LOG = "logs/azureml/executionlogs.txt"
_LOOK_AGAIN = 0.1  # seconds between looks at what somebody wants of the pipeline


class PipelineRun:
    """Runs the steps of one pipeline job, each as a child job in a thread of its own."""

    def __init__(self, runtime: Runtime, graph: Graph, name: str, control: Control) -> None:
        job = runtime.records.get(name)
        settings = job["request"].get("settings") or {}
        self._runtime = runtime
        self._records = runtime.records
        self._graph = graph
        self._name = name
        self._control = control
        self._reuse = None if _flag(settings.get("force_rerun")) else reuse.Reuse(runtime, graph, name)
        self._continues = nodes.continues(settings)
        self._fingerprints = fingerprints(graph)
        self._jobs = {step.path: child_name(name, job["seed"], step.path) for step in graph.steps}
        self._tree = RunTree(runtime.records, graph, name)
        self._ends: dict[str, JobState] = {}  # the states in which steps have ended, by path
        self._controls: dict[str, Control] = {}
        self._stopped: queue.Queue[tuple[str, JobState | None]] = queue.Queue()
        self._log = runtime.artifacts(name) / LOG

    def run(self) -> JobState:
        """The state in which the job ends; raises Interrupted when the server stops."""
        self._records.move(self._name, JobState.PREPARING)
        self._records.move(self._name, JobState.RUNNING)
        self._run_steps()
        if self._control.signal in (Signal.DETACH, Signal.STOP):
            raise Interrupted(self._control.signal)
        self._tree.end(self._ends, over=True)
        failed = [path for path, state in self._ends.items() if state is JobState.FAILED]
        if self._control.signal is Signal.CANCEL:
            return self._end(JobState.CANCELED)
        if failed:
            return self._end(JobState.FAILED, self._failure(failed))
        if len(self._ends) < len(self._graph.steps):
            return self._end(JobState.CANCELED)  # a step was cancelled by itself, and others waited for it
        return self._end(JobState.COMPLETED)

    def cancel(self, child: str) -> None:
        """Cancel one of the steps, or all below a run; nothing happens to those that do not run."""
        wanted = {child, *(run["name"] for run in self._records.below(child))}
        for path, control in list(self._controls.items()):
            if self._jobs[path] in wanted:
                control.send(Signal.CANCEL)

    def _run_steps(self) -> None:
        running: set[str] = set()
        while True:
            if self._stops():
                self._pass_on(running)
            else:
                for step in self._ready(running):
                    running.add(step.path)
                    self._begin(step)
            if not running:
                return
            try:
                path, end = self._stopped.get(timeout=_LOOK_AGAIN)
            except queue.Empty:
                continue
            running.discard(path)
            if end is None:  # the server stops, the step goes on
                continue
            self._ends[path] = end
            self._tree.end(self._ends)
            self._write(f"{end} processing run id {self._jobs[path]}.")

    def _stops(self) -> bool:
        """Whether no further step may begin."""
        failed = JobState.FAILED in self._ends.values()
        return self._control.signal is not None or (failed and not self._continues)

    def _ready(self, running: set[str]) -> list[Step]:
        return [
            step
            for step in self._graph.steps
            if step.path not in running
            and step.path not in self._ends
            and all(self._ends.get(need) is JobState.COMPLETED for need in step.needs)
        ]

    def _pass_on(self, running: set[str]) -> None:
        signal = Signal.CANCEL if self._control.signal is None else self._control.signal
        for path in running:
            if self._controls[path].signal is None:
                if signal is Signal.CANCEL:
                    self._records.move(self._jobs[path], JobState.CANCEL_REQUESTED)
                self._controls[path].send(signal)

    def _begin(self, step: Step) -> None:
        self._controls[step.path] = Control()
        thread = threading.Thread(
            target=self._run_child, args=[step], name=self._jobs[step.path], daemon=True
        )
        thread.start()

    def _run_child(self, step: Step) -> None:
        end: JobState | None = JobState.FAILED
        try:
            end = self._child(step)
        except Interrupted:
            end = None
        except Exception as error:  # whatever it was, the pipeline must hear of it
            logger.exception("step %s of job %s", step.path, self._name)
            message = f"The step could not be run: {error}"
            problem: JobError = {"code": "SystemError", "message": message}
            self._records.move(self._jobs[step.path], JobState.FAILED, error=problem)
        finally:
            self._stopped.put((step.path, end))

    def _child(self, step: Step) -> JobState:
        name, fingerprint = self._jobs[step.path], self._fingerprints[step.path]
        known = self._records.find(name)
        if known is not None and status(known).is_final:
            return status(known)
        if known is None:
            self._create(step, name)
            self._write(f"Submitting 1 runs, first five are: {step.path}:{name}")
            earlier = self._reusable(step, fingerprint)
            if earlier is not None and self._reuse is not None:
                self._reuse.complete(step, name, earlier)
                return JobState.COMPLETED
        checkpoints = self._runtime.checkpoints(fingerprint)
        task = StepTask(name=name, step=step, upstream=self._jobs, checkpoints=checkpoints)
        end = StepRun(self._runtime, task, self._controls[step.path]).run()
        if end is JobState.COMPLETED:
            reuse.remember(self._runtime, fingerprint, name)
        return end

    def _reusable(self, step: Step, fingerprint: str) -> JobDocument | None:
        """An earlier run of the same step, which the service takes over unless force_rerun is set."""
        if self._reuse is None or not step.component.deterministic:
            return None
        return reuse.find(self._runtime, fingerprint)

    def _create(self, step: Step, name: str) -> None:
        cluster = self._runtime.clusters.find(step.compute)
        self._records.create(
            NewJob(
                name=name,
                root=self._name,
                parent=self._tree.parent(step.path),
                step=step.path,
                nodes=step.instance_count,
                properties={
                    "status": JobState.NOT_STARTED,
                    "experimentName": experiment(self._records.get(self._name)),
                    "displayName": step.display_name or step.name,
                    "jobType": "Command",
                    "computeId": cluster.name,
                    "tags": run_properties.tags_of_node(self._name, name),
                    "properties": run_properties.of_step(self._name, name, step),
                    "outputs": {
                        output: {"jobOutputType": o.type, "uri": output_uri(name, output, o)}
                        for output, o in step.outputs.items()
                    },
                },
            )
        )

    def _failure(self, failed: list[str]) -> JobError:
        errors = [self._records.get(self._jobs[path])["error"] for path in failed]
        named = ", ".join("/" + path for path in failed)
        first = errors[0]["message"] if errors[0] else ""
        return {
            "code": "UserError",
            "message": f"Pipeline has failed child jobs. Failed nodes: {named}. The first says: {first}",
            "details": [error or {} for error in errors],
        }

    def _end(self, state: JobState, error: JobError | None = None) -> JobState:
        self._write(f"Pipeline ends as {state}.")
        return status(self._records.move(self._name, state, error=error))

    def _write(self, line: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            log.write(f"[{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}] {line}\n")


def _flag(value: object) -> bool:
    return str(value).casefold() == "true"
