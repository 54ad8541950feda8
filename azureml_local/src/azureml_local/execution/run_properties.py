"""The properties and tags that the service writes on the runs of a job.

Those of pipelines and of their command steps were seen in recorded traffic, of the azure-ai-ml 1.5 tests
among others. A run that stands for a pipeline component was in none: its StepType and runSource are
documented by Microsoft's mldesigner (_compare/_graph_traversal.py), the rest of it is assumed to be like
the recorded ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from azureml_local.execution.component import Component
from azureml_local.execution.graph import Literal, Step, Subgraph
from azureml_local.execution.nodes import PipelineJob
from azureml_local.execution.sweep_job import SweepJob
from azureml_local.settings import DEFAULT_DATASTORE
from azureml_local.state.document import Json

COMMAND_STEP, SUBGRAPH_STEP = "PythonScriptStep", "SubGraphCloudStep"


def of_pipeline(job: PipelineJob) -> dict[str, str]:
    """Of a submitted pipeline; every value is text."""
    literals = {name: value.value for name, value in job.inputs.items() if isinstance(value, Literal)}
    compute = str(job.compute or "").removeprefix("azureml:").rsplit("/", 1)[-1]
    found = {
        "azureml.DevPlatv2": "true",
        "azureml.runsource": "azureml.PipelineRun",
        "runSource": "MFE",
        "runType": "HTTP",
        "azureml.parameters": json.dumps(literals, separators=(",", ":")),
        "azureml.continue_on_step_failure": _title(job.continues),
        "azureml.continue_on_failed_optional_input": "True",
        "azureml.defaultComputeName": compute,
        "azureml.defaultDataStoreName": DEFAULT_DATASTORE,
        "azureml.pipelineComponent": "pipelinerun",
    }
    if job.component:
        found["azureml.SourceComponentId"] = job.component
    return {name: value for name, value in found.items() if value}


def of_sweep(job: SweepJob) -> dict[str, str]:
    """Of a submitted sweep, as recorded; every value is text."""
    return {
        "azureml.runsource": "hyperdrive",
        "runTemplate": "HyperDrive",
        "platform": "AML",
        "primary_metric_config": _metric(job),
        "resume_from": "null",
        "ContentSnapshotId": str(uuid5(NAMESPACE_URL, f"snapshot:{job.trial.code}")),
    }


def tags_of_sweep(job: SweepJob, space: object) -> dict[str, str]:
    """The service's own tags on a sweep, as recorded; `space` is its search space on the wire."""
    drawn = {"rule": job.rule, "logbase": None, "seed": job.seed} if job.sampling == "Random" else {}
    generator = {"name": job.sampling.upper(), "parameter_space": space, "properties": drawn}
    policy: Json = {"name": job.policy.kind if job.policy else "Default", "properties": {}}
    tags = {
        "_aml_system_max_concurrent_jobs": str(job.most_at_once),
        "_aml_system_max_total_jobs": str(job.most),
        "_aml_system_policy_config": json.dumps(policy),
        "_aml_system_generator_config": json.dumps(generator),
        "_aml_system_primary_metric_config": _metric(job),
    }
    if job.timeout is not None:
        tags["_aml_system_max_duration_minutes"] = str(int(job.timeout // 60))
    return tags


def of_step(root: str, run: str, step: Step) -> dict[str, str]:
    """Of a command within the pipeline `root`."""
    return _of_node(root, run, step.component, COMMAND_STEP) | {
        "ComputeTargetType": "AmlCompute",
        "_azureml.ComputeTargetType": "amlctrain",
        "ProcessInfoFile": "azureml-logs/process_info.json",
        "ProcessStatusFile": "azureml-logs/process_status.json",
    }


def of_node(root: str, run: str, subgraph: Subgraph) -> dict[str, str]:
    """Of the node that a pipeline component is."""
    return _of_node(root, run, subgraph.component, SUBGRAPH_STEP)


def of_subgraph(root: str) -> dict[str, str]:
    """Of the pipeline within such a node."""
    return {
        "azureml.DevPlatv2": "true",
        "azureml.runsource": "azureml.PipelineRun",
        "runSource": "SubGraphCloud",
        "azureml.pipeline": root,
        "azureml.pipelinerunid": root,
        "azureml.pipelineComponent": "pipelinerun",
    }


def of_reused(properties: Mapping[str, str], earlier: str, root: str) -> dict[str, str]:
    """Of a step that takes over what the run `earlier` of the pipeline `root` has made."""
    return {
        **properties,
        "azureml.isreused": "true",
        "azureml.reusedrunid": earlier,
        "azureml.reusednodeid": node_id(earlier),
        "azureml.reusedpipeline": root,
        "azureml.reusedpipelinerunid": root,
    }


def tags_of_node(root: str, run: str) -> dict[str, str]:
    """The tags of a node's run."""
    return {"azureml.nodeid": node_id(run), "azureml.pipeline": root}


def compute_target_status(live: Mapping[str, Any]) -> dict[str, str]:
    """The tag that says what a step sees of its cluster; `live` is what the compute shows of its nodes."""
    counts = live["nodeStateCounts"]
    status = {
        "AllocationState": str(live["allocationState"]).lower(),
        "PreparingNodeCount": counts["preparingNodeCount"],
        "RunningNodeCount": counts["runningNodeCount"],
        "CurrentNodeCount": live["currentNodeCount"],
    }
    return {"_aml_system_ComputeTargetStatus": json.dumps(status, separators=(",", ":"))}


def node_id(run: str) -> str:
    """The id of a node in the graph: eight hex digits."""
    return uuid5(NAMESPACE_URL, f"node:{run}").hex[:8]


def _metric(job: SweepJob) -> str:
    return json.dumps({"name": job.metric, "goal": job.goal.lower()})


def _of_node(root: str, run: str, component: Component, kind: str) -> dict[str, str]:
    return {
        "azureml.runsource": "azureml.StepRun",
        "azureml.nodeid": node_id(run),
        "ContentSnapshotId": str(uuid5(NAMESPACE_URL, f"snapshot:{component.code or component.id}")),
        "StepType": kind,
        "azureml.moduleid": str(uuid5(NAMESPACE_URL, component.id)),
        "azureml.moduleName": component.name,
        "azureml.moduleVersion": component.version,
        "azureml.pipeline": root,
        "azureml.pipelinerunid": root,
        "azureml.DevPlatv2": "true",
        "azureml.pipelineComponent": "masterescloud",
    }


def _title(value: bool) -> str:
    return "True" if value else "False"
