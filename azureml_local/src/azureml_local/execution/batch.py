"""What a batch endpoint makes of a request: a pipeline job, of one step over a model or of a component's own.

Recorded in 2023 of a model: names, tags and properties. Documented: its step is called batchscoring and has
an output `score` (how-to-troubleshoot-batch-endpoints, azure-ai-ml's download), the experiment is the
endpoint's (Microsoft's example notebooks), a component's job has its own inputs and outputs.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from azureml_local.assets import versions
from azureml_local.execution import component, duration, jobs
from azureml_local.execution.graph import Target
from azureml_local.execution.jobs import JobRequest
from azureml_local.execution.workspace import Workspace
from azureml_local.state.batch_documents import BatchDeploymentDocument, BatchDeploymentSettings
from azureml_local.state.document import Json
from azureml_local.state.documents import BATCH_COMPONENTS, assets
from azureml_local.state.job_documents import JobDocument
from azureml_local.state.workspace import WorkspaceState

STEP, INPUT, SCORE = "batchscoring", "input_data", "score"

_MODEL = re.compile(r".*/models/(?P<name>[^/]+)/(?P<by>versions|labels)/(?P<version>[^/]+)$", re.IGNORECASE)
_MLFLOW = "mlflow_model"


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """A request to a deployment: `settings` are the deployment's with what the request has put over them.

    Inputs and outputs are those of a job on the wire, by name.
    """

    deployment: BatchDeploymentDocument
    settings: BatchDeploymentSettings
    inputs: Mapping[str, Json]
    outputs: Mapping[str, Json]
    experiment: str
    display_name: str | None


def new_name() -> str:
    """The name of a batch endpoint's next job."""
    return f"batchjob-{uuid4()}"


def submit(workspace: Workspace, name: str, invocation: Invocation) -> JobDocument:
    """Submit the job of that name; raises BadRequest for what it cannot be."""
    of_component = invocation.settings["deploymentConfiguration"]
    if of_component is not None:
        given, written = _component_job(workspace, invocation, of_component), None
    else:
        given, written = _scoring_job(workspace, invocation), _properties(name, invocation)
    given |= {
        "jobType": "Pipeline",
        "experimentName": invocation.experiment,
        "displayName": invocation.display_name or name,
    }
    request = JobRequest(
        given=given,
        definition=jobs.read(given),
        experiment=invocation.experiment,
        display_name=given["displayName"],
        tags=_tags(invocation),
        properties={},
        written=written,
    )
    return workspace.jobs.submit(name, request)


def target(compute: str) -> Target:
    """The cluster that a deployment names, by its name or its id."""
    return Target(cluster=compute.removeprefix("azureml:").rsplit("/", 1)[-1])


def is_mlflow(state: WorkspaceState, model: str) -> bool:
    """Whether the model with that id is an MLflow model, which needs no scoring script."""
    match = _MODEL.match(model)
    if match is None:
        return False
    kind = assets("models", registry="/registries/" in model)
    version = match["version"]
    if match["by"].casefold() == "labels":
        version = versions.latest(state.store, kind, match["name"])
    document = state.store.get(kind, f"{match['name']}/{version}")
    return document is not None and document["properties"].get("modelType") == _MLFLOW


def _component_job(workspace: Workspace, invocation: Invocation, configuration: Json) -> Json:
    """The job that is the deployment's pipeline component."""
    reference = configuration["componentId"]["assetId"]
    ports = component.find(workspace.store, reference).outputs
    settings = {key.rsplit(".", 1)[-1]: value for key, value in configuration["settings"].items()}
    return {
        "description": configuration["description"],
        "componentId": reference,
        "jobs": {},
        "settings": settings,
        "inputs": dict(invocation.inputs),
        "outputs": {name: {"jobOutputType": port.type} for name, port in ports.items()}
        | dict(invocation.outputs),
    }


def _scoring_job(workspace: Workspace, invocation: Invocation) -> Json:
    """The job with one step, which scores the one input that a model's deployment takes."""
    settings = invocation.settings
    (data,) = invocation.inputs.values()
    output: Json = next(iter(invocation.outputs.values()), {"jobOutputType": "uri_folder"})
    inputs = {INPUT: data}
    if settings["model"] is not None:
        model = settings["model"]["assetId"]
        kind = _MLFLOW if is_mlflow(workspace, model) else "custom_model"
        inputs["model"] = {"jobInputType": kind, "uri": model, "mode": "ReadOnlyMount"}
    step = {
        "type": "command",
        "componentId": _component(workspace, invocation, inputs, output),
        "computeId": settings["compute"],
        "inputs": inputs,
        "outputs": {SCORE: output},
        "resources": {"instanceCount": settings["resources"]["instanceCount"]},
    }
    return {"jobs": {STEP: step}, "inputs": {}, "outputs": {}, "settings": {}}


def _component(workspace: Workspace, invocation: Invocation, inputs: Mapping[str, Json], output: Json) -> str:
    """The id of the component that scores, which no client has written."""
    deployment, settings = invocation.deployment, invocation.settings
    code = settings["codeConfiguration"]
    spec: Json = {
        "name": STEP,
        "type": "command",
        "is_deterministic": False,
        "inputs": {name: {"type": given["jobInputType"]} for name, given in inputs.items()},
        "outputs": {SCORE: {"type": output["jobOutputType"]}},
        "code": code["codeId"] if code else None,
        "environment": settings["environmentId"],
        "environment_variables": settings["environmentVariables"],
        "command": _command(settings, has_model="model" in inputs, output=output),
    }
    version = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
    made = versions.document(workspace.clock, deployment["name"], version, {"componentSpec": spec})
    workspace.store.put(BATCH_COMPONENTS, f"{deployment['name']}/{version}", made)
    above = f"{workspace.settings.workspace_arm_id}/batchEndpoints/{deployment['endpoint']}"
    return f"{above}/deployments/{deployment['name']}/components/{version}"


def _command(settings: BatchDeploymentSettings, *, has_model: bool, output: Json) -> str:
    """The command line of the driver, in this server's Python; its workers run in the step's own."""
    # -P: a script's folder must not hide a module that the driver imports.
    words = [shlex.quote(sys.executable), "-P", "-m", "azureml_local.batch"]
    words += ["--input", "${{inputs." + INPUT + "}}"]
    is_file = output["jobOutputType"] == "uri_file"
    words += ["--score-file" if is_file else "--score", "${{outputs." + SCORE + "}}"]
    if has_model:
        model = settings["model"] or {}
        match = _MODEL.match(model["assetId"])
        words += ["--model", "${{inputs.model}}"]
        words += ["--model-version", shlex.quote(f"{match['name']}/{match['version']}")] if match else []
    if settings["codeConfiguration"] is not None:
        words += ["--script", shlex.quote(settings["codeConfiguration"]["scoringScript"])]
    if settings["outputAction"] == "SummaryOnly":
        words.append("--summary-only")
    for name, value in _parameters(settings).items():
        words += [f"--{name}", shlex.quote(value)]
    return " ".join(words)


def _parameters(settings: BatchDeploymentSettings) -> dict[str, str]:
    """How the scoring is run, under the names that the service gives the parameters (recorded)."""
    seconds = duration.seconds(settings["retrySettings"]["timeout"]) or 0.0
    return {
        "run_max_try": str(settings["retrySettings"]["maxRetries"]),
        "run_invocation_timeout": f"{seconds:g}",
        "mini_batch_size": str(settings["miniBatchSize"]),
        "error_threshold": str(settings["errorThreshold"]),
        "logging_level": settings["loggingLevel"].upper(),
        "process_count_per_node": str(settings["maxConcurrencyPerInstance"]),
        "NodeCount": str(settings["resources"]["instanceCount"]),
        "append_row_file_name": settings["outputFileName"],
    }


def _properties(name: str, invocation: Invocation) -> dict[str, str]:
    """What the service writes on the run of a model's job."""
    parameters: dict[str, Any] = {**_parameters(invocation.settings), "legacy_model_job": "False"}
    return {
        "azureml.pipelineid": str(uuid5(NAMESPACE_URL, f"batch:{name}")),
        "azureml.runsource": "azureml.PipelineRun",
        "runSource": "Unavailable",
        "runType": "HTTP",
        "azureml.parameters": json.dumps(parameters, separators=(",", ":")),
        "azureml.pipelineComponent": "pipelinerun",
    }


def _tags(invocation: Invocation) -> dict[str, str]:
    """What the service tags the job with; the SDK tells by jobtype where its results lie."""
    configuration = invocation.settings["deploymentConfiguration"]
    common = {"azureml.batchrun": "true", "azureml.deploymentname": invocation.deployment["name"]}
    if configuration is not None:
        return {**configuration["tags"], **common, "azureml.jobtype": "azureml.pipelinejob"}
    return {
        **common,
        "azureml.jobtype": "azureml.batchjob",
        "inputType": INPUT,
        "outputType": "output_data",
    }
