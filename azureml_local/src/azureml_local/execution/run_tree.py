"""The runs that stand for a pipeline's components: made when a step below begins, ended with the last one.

A node that is a pipeline component is a StepRun (StepType SubGraphCloudStep) with one child, a PipelineRun
(runSource SubGraphCloud), whose children are the component's nodes. Documented by three of Microsoft's
clients (mldesigner, azure-ml-component, the callbacks of azureml-acft); no recording was found. That they
begin with the first step below, and end as a pipeline does, is assumed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from uuid import NAMESPACE_URL, uuid5

from azureml_local.execution import run_properties
from azureml_local.execution.graph import Graph, Subgraph
from azureml_local.execution.job_records import JobRecords, NewJob
from azureml_local.state.job_documents import JobError, JobProperties, experiment
from azureml_local.state.job_states import JobState


def child_name(root: str, seed: str, path: str) -> str:
    """The job name of a step: the same for every server that runs the pipeline.

    The pipeline's seed tells it from one of the same name that was deleted, whose outputs are still there.
    """
    return str(uuid5(NAMESPACE_URL, f"azureml://jobs/{root}/{seed}/{path}"))


class RunTree:
    """The runs between one pipeline job and its steps."""

    def __init__(self, records: JobRecords, graph: Graph, root: str) -> None:
        self._records = records
        self._graph = graph
        self._root = root
        self._seed = records.get(root)["seed"]
        self._lock = threading.Lock()  # steps side by side may be the first ones of a subgraph

    def parent(self, path: str) -> str:
        """The run to which the step of that path belongs; it and those above it run from now on."""
        above = self._root
        with self._lock:
            for subgraph in self._graph.subgraphs:
                if subgraph.holds(path):
                    above = self._begin(subgraph, above)
        return above

    def end(self, ends: Mapping[str, JobState], *, over: bool = False) -> None:
        """End the subgraphs whose steps have all ended, by path with their states; all when it is `over`."""
        for subgraph in reversed(self._graph.subgraphs):
            node, pipeline = self._names(subgraph)
            inside = [step.path for step in self._graph.steps if subgraph.holds(step.path)]
            if self._records.find(node) is None or not (over or all(path in ends for path in inside)):
                continue
            states = {ends.get(path, JobState.CANCELED) for path in inside}
            error: JobError | None = None
            end = JobState.COMPLETED if states == {JobState.COMPLETED} else JobState.CANCELED
            if JobState.FAILED in states:
                failed = ", ".join(f"/{path}" for path in inside if ends.get(path) is JobState.FAILED)
                end = JobState.FAILED
                message = f"Pipeline has failed child jobs. Failed nodes: {failed}."
                error = {"code": "UserError", "message": message}
            for name in (pipeline, node):
                self._records.move(name, end, error=error)

    def _begin(self, subgraph: Subgraph, above: str) -> str:
        """The pipeline within the node, made with the node below `above` where they are not there yet."""
        node, pipeline = self._names(subgraph)
        if self._records.find(node) is None:
            self._create(node, above, subgraph, run_properties.of_node(self._root, node, subgraph))
        if self._records.find(pipeline) is None:
            self._create(pipeline, node, subgraph, run_properties.of_subgraph(self._root))
        for name in (node, pipeline):
            for state in (JobState.PREPARING, JobState.RUNNING):
                self._records.move(name, state)
        return pipeline

    def _create(self, name: str, parent: str, subgraph: Subgraph, properties: dict[str, str]) -> None:
        shown: JobProperties = {
            "status": JobState.NOT_STARTED,
            "experimentName": experiment(self._records.get(self._root)),
            "displayName": subgraph.display_name or subgraph.name,
            "jobType": "Pipeline",
            "tags": run_properties.tags_of_node(self._root, name),
            "properties": properties | {"azureml.moduleName": subgraph.component.name},
            "outputs": {},
        }
        self._records.create(
            NewJob(name=name, root=self._root, parent=parent, step=subgraph.path, properties=shown)
        )

    def _names(self, subgraph: Subgraph) -> tuple[str, str]:
        """The runs of the node and of the pipeline in it."""
        return (
            child_name(self._root, self._seed, f"{subgraph.path}#node"),
            child_name(self._root, self._seed, f"{subgraph.path}#pipeline"),
        )
