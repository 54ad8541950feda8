"""The body of a request to a batch endpoint, checked: inputs, outputs, settings in place of the deployment's.

The SDK writes names in camel case, Microsoft's articles in Pascal case (how-to-access-data-batch-endpoints-
jobs): both are understood. Documented there: a model's deployment takes one data input and has one output,
whose names do not count; values are for pipeline components, MLTable is for nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from azureml_local.execution import component
from azureml_local.execution.batch import Invocation
from azureml_local.state.batch_documents import BatchDeploymentDocument, BatchDeploymentSettings
from azureml_local.state.document import Json
from azureml_local.wire import batch_deployment_request
from azureml_local.wire.fields import record, refused, text
from azureml_local.wire.job_request import check_experiment

_DATA = {"urifile": "uri_file", "urifolder": "uri_folder"}
_MODELS = {"custommodel": "custom_model", "mlflowmodel": "mlflow_model", "tritonmodel": "triton_model"}
# A path in a datastore, by the datastore's id.
_PATH = re.compile(r"(?:azureml:)?(?P<store>/subscriptions/.+/datastores/[^/]+)/paths/(?P<path>.*)", re.I)


def read(given: Json, deployment: BatchDeploymentDocument) -> Invocation:
    """What the properties of a request ask the deployment for; raises BadRequest."""
    said = _lowered(given)
    inputs = {name: _input(name, spec) for name, spec in _named(said, "inputData").items()}
    outputs = {name: _output(name, spec) for name, spec in _named(said, "outputData").items()}
    settings = _settings(said, deployment)
    if settings["deploymentConfiguration"] is None:
        _check_model(said, inputs, outputs)
        outputs = outputs or _output_dataset(said, settings["outputFileName"])
    asked = _lowered(record(said, "properties") or {})
    return Invocation(
        deployment=deployment,
        settings=settings,
        inputs=inputs,
        outputs=outputs,
        experiment=check_experiment(text(asked, "experimentName") or deployment["endpoint"]),
        display_name=text(said, "name"),
    )


def _settings(said: Json, deployment: BatchDeploymentDocument) -> BatchDeploymentSettings:
    """The deployment's settings with those that the request has for this job alone."""
    kept, asked = deployment["properties"], batch_deployment_request
    compute = _lowered(record(said, "compute") or {})
    nodes = asked.number(compute, "instanceCount", kept["resources"]["instanceCount"])
    retries = {"retrySettings": _lowered(record(said, "retrySettings") or {})}
    changed = {
        **kept,
        "errorThreshold": asked.number(said, "errorThreshold", kept["errorThreshold"], least=-1),
        "miniBatchSize": asked.number(said, "miniBatchSize", kept["miniBatchSize"]),
        "outputFileName": asked.file_name(said) or kept["outputFileName"],
        "retrySettings": asked.retries(retries, kept["retrySettings"]),
        "compute": text(compute, "target") or kept["compute"],
        "resources": {**kept["resources"], "instanceCount": nodes},
    }
    return cast(BatchDeploymentSettings, changed)


def _check_model(said: Json, inputs: Mapping[str, Json], outputs: Mapping[str, Json]) -> None:
    """Raise BadRequest unless there is the one data input, and no more than one output."""
    if said.get("dataset") is not None:
        raise refused("dataset", "datasets of the first API are retired: use inputData")
    if len(inputs) != 1:
        raise refused("inputData", f"a model deployment takes one data input, not {len(inputs)}")
    ((name, data),) = inputs.items()
    if data["jobInputType"] not in _DATA.values():
        raise refused(f"inputData.{name}", "a model deployment takes a UriFile or a UriFolder")
    if len(outputs) > 1:
        raise refused("outputData", f"a model deployment has one output, not {len(outputs)}")


def _input(name: str, spec: object) -> Json:
    """An input as a job's request has it."""
    given = _object(f"inputData.{name}", spec)
    kind = _kind(given, "jobInputType")
    if kind == "literal":
        if isinstance(given.get("value"), dict | list | None):
            raise refused(f"inputData.{name}.value", "it must be a value")
        return {"jobInputType": "literal", "value": component.text(given["value"])}
    type_ = (_DATA | _MODELS).get(kind)
    if type_ is None:
        raise refused(f"inputData.{name}.jobInputType", "it must be UriFile, UriFolder or Literal")
    return {"jobInputType": type_, "uri": _uri(given, f"inputData.{name}"), "mode": "ReadOnlyMount"}


def _output(name: str, spec: object) -> Json:
    given = _object(f"outputData.{name}", spec)
    type_ = (_DATA | _MODELS).get(_kind(given, "jobOutputType"))
    if type_ is None:
        raise refused(f"outputData.{name}.jobOutputType", "it must be UriFile or UriFolder")
    return {"jobOutputType": type_, "uri": _uri(given, f"outputData.{name}")}


def _output_dataset(said: Json, file_name: str) -> dict[str, Json]:
    """Where the older form of a request wants its file: a folder of a datastore."""
    given = _lowered(record(said, "outputDataset") or {})
    store, path = text(given, "datastoreId"), (text(given, "path") or "").strip("/")
    if not store:
        return {}
    place = _uri({"uri": f"{store}/paths/{path}"}, "outputDataset")
    return {"score": {"jobOutputType": "uri_folder", "uri": f"{place.rstrip('/')}/"}}


def _uri(given: Json, where: str) -> str:
    """The address of data, one in a datastore that is named by its id in the usual form."""
    uri = text(given, "uri")
    if not uri:
        raise refused(f"{where}.uri", "it must be the address of data")
    if match := _PATH.fullmatch(uri):
        return f"azureml://datastores/{match['store'].rsplit('/', 1)[-1]}/paths/{match['path']}"
    return uri


def _kind(given: Json, name: str) -> str:
    """The type without case and underscores, which clients write as they like."""
    return (text(given, name) or "").replace("_", "").casefold()


def _named(said: Json, name: str) -> Json:
    return record(said, name) or {}


def _object(where: str, spec: object) -> Json:
    if not isinstance(spec, dict):
        raise refused(where, "it must be an object")
    return _lowered(spec)


def _lowered(given: Mapping[str, Any]) -> Json:
    """The object with its names in camel case."""
    return {name[:1].lower() + name[1:]: value for name, value in given.items()}
