"""What a batch endpoint makes of the body of a request, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from azureml_local.errors import BadRequest
from azureml_local.execution.batch import Invocation
from azureml_local.state.batch_documents import BatchDeploymentDocument
from azureml_local.state.document import Json
from azureml_local.wire import batch_deployment_request, batch_job_request

STORE = "/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/datastores/store"
FOLDER = {"jobInputType": "UriFolder", "uri": "azureml:data:1"}
COMPONENT = {
    "deploymentConfigurationType": "pipelineComponent",
    "componentId": {"referenceType": "Id", "assetId": "azureml:tell:1"},
    "settings": {"ComponentDeployment.Settings.continue_on_step_failure": True},
}


def deployment(**given: Any) -> BatchDeploymentDocument:
    return {
        "name": "first",
        "endpoint": "scorer",
        "tags": {},
        "location": "local",
        "systemData": {"createdAt": "", "createdBy": "", "lastModifiedAt": ""},
        "properties": {**batch_deployment_request.settings(given), "provisioningState": "Succeeded"},
    }


def read(given: Json, **settings: Any) -> Invocation:
    return batch_job_request.read(given, deployment(**settings))


def test_a_request_is_understood_as_the_sdk_and_as_the_articles_write_it() -> None:
    sdk = read({"inputData": {"UriFolder": FOLDER}})
    article = read({"InputData": {"heart": {"JobInputType": "uri_folder", "Uri": "azureml:data:1"}}})
    (one,), (other,) = sdk.inputs.values(), article.inputs.values()
    assert one == other == {"jobInputType": "uri_folder", "uri": "azureml:data:1", "mode": "ReadOnlyMount"}
    assert (sdk.experiment, sdk.settings["miniBatchSize"]) == ("scorer", 10)


def test_a_path_by_its_datastores_id_is_one_in_the_datastore() -> None:
    data = {"jobInputType": "UriFile", "uri": f"azureml:{STORE}/paths/a/b.csv"}
    score = {"jobOutputType": "UriFile", "uri": f"{STORE}/paths/out/c.csv"}
    asked = read({"inputData": {"x": data}, "outputData": {"y": score}})
    assert asked.inputs["x"]["uri"] == "azureml://datastores/store/paths/a/b.csv"
    assert asked.outputs["y"] == {
        "jobOutputType": "uri_file",
        "uri": "azureml://datastores/store/paths/out/c.csv",
    }


def test_settings_of_a_request_are_for_its_job_alone() -> None:
    kept = deployment(miniBatchSize=5, retrySettings={"maxRetries": 1, "timeout": "PT9S"})
    asked = batch_job_request.read(
        {
            "inputData": {"x": FOLDER},
            "miniBatchSize": 20,
            "errorThreshold": 0,
            "outputFileName": "mine.csv",
            "retrySettings": {"timeout": "PT1M"},
            "compute": {"instanceCount": 5, "isLocal": False},
            "outputDataset": {"datastoreId": STORE, "path": "/out/"},
            "name": "shown",
            "properties": {"experimentName": "mine"},
        },
        kept,
    )
    changed = asked.settings
    assert (changed["miniBatchSize"], changed["errorThreshold"]) == (20, 0)
    assert (changed["outputFileName"], changed["resources"]["instanceCount"]) == ("mine.csv", 5)
    assert changed["retrySettings"] == {"maxRetries": 1, "timeout": "PT1M"}
    assert asked.outputs["score"]["uri"] == "azureml://datastores/store/paths/out/"
    assert (asked.experiment, asked.display_name) == ("mine", "shown")
    assert kept["properties"]["miniBatchSize"] == 5


def test_a_component_takes_values_and_any_number_of_inputs() -> None:
    inputs = {"x": FOLDER, "times": {"jobInputType": "Literal", "value": 2}}
    asked = read({"inputData": inputs}, deploymentConfiguration=COMPONENT)
    assert asked.inputs["times"] == {"jobInputType": "literal", "value": "2"}
    assert read({}, deploymentConfiguration=COMPONENT).inputs == {}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "takes one data input, not 0"),
        ({"inputData": {"x": FOLDER, "y": FOLDER}}, "takes one data input, not 2"),
        ({"inputData": {"x": {"jobInputType": "Literal", "value": "1"}}}, "a UriFile or a UriFolder"),
        ({"inputData": {"x": {"jobInputType": "MLTable", "uri": "azureml:t:1"}}}, "UriFolder or Literal"),
        ({"inputData": {"x": {"jobInputType": "UriFolder"}}}, "must be the address of data"),
        ({"inputData": {"x": {"jobInputType": "Literal", "value": [1]}}}, "must be a value"),
        ({"inputData": {"x": "azureml:t:1"}}, "must be an object"),
        ({"inputData": [FOLDER]}, "must be an object"),
        ({"inputData": {"x": FOLDER}, "outputData": {"y": FOLDER}}, "UriFile or UriFolder"),
        ({"dataset": "d", "inputData": {"x": FOLDER}}, "use inputData"),
        ({"inputData": {"x": FOLDER}, "miniBatchSize": 0}, "of 1 or more"),
        ({"inputData": {"x": FOLDER}, "outputFileName": "../x"}, "without folders"),
        ({"inputData": {"x": FOLDER}, "properties": {"experimentName": "-"}}, "Experiment name must"),
    ],
)
def test_a_request_that_cannot_be_is_refused_with_the_reason(given: Json, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        read(given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"errorThreshold": -2}, "of -1 or more"),
        ({"miniBatchSize": "10"}, "of 1 or more"),
        ({"outputAction": "append_row"}, "one of AppendRow, SummaryOnly"),
        ({"retrySettings": {"timeout": "30"}}, "is not a duration"),
        ({"retrySettings": {"timeout": "PT0S"}}, "PT30S"),
        ({"codeConfiguration": {"codeId": "c"}}, "needs a codeId and a scoringScript"),
        ({"model": {"referenceType": "DataPath", "path": "x"}}, "one of Id"),
        ({"model": {"referenceType": "Id"}}, "with an assetId"),
        ({"deploymentConfiguration": {"deploymentConfigurationType": "Other"}}, "Model, PipelineComponent"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused_with_the_reason(given: Json, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        batch_deployment_request.settings(given)
