"""Outputs of a step that an earlier job has completed, taken over instead of running it again."""

from __future__ import annotations

import threading

from azureml_local.assets import addresses
from azureml_local.errors import NotFound
from azureml_local.execution.graph import Graph, Step
from azureml_local.execution.outputs import register
from azureml_local.execution.run_properties import compute_target_status, of_reused
from azureml_local.execution.runtime import Runtime
from azureml_local.state.documents import COMPLETED_STEPS, CompletedStepDocument
from azureml_local.state.job_documents import JobDocument, JobOutput, outputs_of, run_properties
from azureml_local.state.job_states import JobState


def remember(runtime: Runtime, fingerprint: str, job: str) -> None:
    """Note that the job has completed the step with that fingerprint."""
    completed: CompletedStepDocument = {"job": job}
    runtime.state.store.put(COMPLETED_STEPS, fingerprint, completed)


def find(runtime: Runtime, fingerprint: str) -> JobDocument | None:
    """The job that has completed such a step, while it and all that it made are still there."""
    known = runtime.state.store.get(COMPLETED_STEPS, fingerprint)
    earlier = runtime.records.find(known["job"]) if known else None
    if earlier is None:
        return None
    try:
        for output in outputs_of(earlier).values():
            addresses.resolve(runtime.state, output["uri"])
    except NotFound:
        return None
    return earlier


class Reuse:
    """Completes the steps of one pipeline with what earlier jobs have made."""

    def __init__(self, runtime: Runtime, graph: Graph, pipeline: str) -> None:
        self._runtime = runtime
        self._graph = graph
        self._pipeline = pipeline
        self._lock = threading.Lock()  # steps side by side change the pipeline's outputs

    def complete(self, step: Step, name: str, earlier: JobDocument) -> None:
        """Complete the step's job `name` with the outputs of the earlier job."""
        records = self._runtime.records
        outputs, record = outputs_of(earlier), records.get(name)
        properties = of_reused(run_properties(record), earlier["name"], earlier["root"])
        # As seen, such a step has looked at its cluster as well.
        clusters = self._runtime.clusters
        seen = compute_target_status(clusters.live(clusters.find(step.compute).name))
        tags = {**record["properties"]["tags"], **seen}
        records.show(name, {"outputs": outputs, "properties": properties, "tags": tags})
        self._show(step, outputs)
        register(self._runtime.state, name, step.outputs)
        records.move(name, JobState.COMPLETED)

    def _show(self, step: Step, outputs: dict[str, JobOutput]) -> None:
        """Let the pipeline's own outputs that the step makes be the earlier job's."""
        records = self._runtime.records
        with self._lock:
            shown = dict(outputs_of(records.get(self._pipeline)))
            for mine, target in self._graph.outputs.items():
                if target.step == step.path:
                    shown[mine] = {**shown[mine], "uri": outputs[target.output]["uri"]}
            records.show(self._pipeline, {"outputs": shown})
